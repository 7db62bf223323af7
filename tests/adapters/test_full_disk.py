"""Disks that take nothing: full, over a limit, read-only. Real ones, where they can be made."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.failures import translate
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.system import of_system
from fe_mail.adapters.threads import InlineThreads
from fe_mail.adapters.troubles import TELL_AGAIN_SECONDS, Troubles
from fe_mail.model.errors import Corrupt, Invalid, NoSpace, NotFound, Unavailable
from fe_mail.model.status import status_for
from fe_mail.ports import Acceptance
from tests.contracts.mailbox_case import ALICE, KEY, delivery, new
from tests.contracts.queue import delivery as queued
from tests.contracts.queue import message

T = TypeVar("T")
DISK_OCTETS = 16 * 1024 * 1024
BIG = b"X: y\r\n\r\n" + os.urandom(600_000).hex().encode()  # no compression makes it small


LIMITED = """
import contextlib, os, resource, sys
from pathlib import Path
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from fe_mail.adapters.troubles import Troubles
from tests.contracts.mailbox_case import ALICE, KEY, delivery

directory, threads, clock, troubles = Path(sys.argv[1]), InlineThreads(), Clock(), Troubles()
path = directory / "queue.sqlite"
blobs = FileBlobs(directory / "spool", KEY, threads, troubles)
queue = SQLiteQueue(path, threads, blobs, steady=clock.seconds, key=KEY,
                    watch=troubles.watch("queue", path))
mailboxes = SQLiteMailboxStore(directory / "mailboxes", MemoryBus(clock), threads, clock, key=KEY,
                               troubles=troubles)

def now(work):
    found = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    return found[0]

for store in (blobs, queue, mailboxes):
    now(store.start())
sealing_key = now(mailboxes.create(ALICE, KEY))

async def blob():
    writer = blobs.create(0.0)
    await writer.write(os.urandom(600_000))
    await writer.commit()

def writes():
    return (queue.database.probe(), blobs.probe(), mailboxes.probe(), blob(),
            mailboxes.deliver(ALICE, sealing_key, delivery("d")),
            queue.database.execute("UPDATE boot SET boot_id = 'x'"))

soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
failures = [now(write) for write in writes()]
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(*[failure.type.__name__ for failure in failures])
print(*sorted({trouble.store for trouble in troubles.current()}))
print(*["fine" if now(write) is None else "failed" for write in writes()])
assert not troubles.current()
"""


class DiskCase(SynchronousTestCase):
    """The stores on a directory; what is wrong with them is written down."""

    def setUp(self) -> None:
        """Started, with Alice's mailbox."""
        self.directory = self.place()
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.troubles = Troubles(self.clock.seconds)
        threads = InlineThreads()
        path = self.directory / "queue.sqlite"
        self.blobs = FileBlobs(self.directory / "spool", KEY, threads, self.troubles)
        self.queue = SQLiteQueue(
            path,
            threads,
            self.blobs,
            steady=self.clock.seconds,
            key=KEY,
            watch=self.troubles.watch("queue", path),
        )
        self.mailboxes = SQLiteMailboxStore(
            self.directory / "mailboxes",
            MemoryBus(self.clock),
            threads,
            self.clock,
            key=KEY,
            troubles=self.troubles,
        )
        for store in (self.blobs, self.queue, self.mailboxes):
            self.now(store.start())  # type: ignore[attr-defined]
            self.addCleanup(lambda store=store: self.now(store.stop()))
        self.sealing_key = self.now(self.mailboxes.create(ALICE, KEY))
        self.mailbox = self.now(self.mailboxes.unlock(ALICE, KEY))

    def place(self) -> Path:
        """Where."""
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work: Coroutine[Any, Any, object]) -> None:
        """It cannot be stored; a peer hears that it should come back (RFC 3463 §3.4)."""
        error = self.failureResultOf(Deferred.fromCoroutine(work), NoSpace).value
        status = status_for(error)
        self.assertEqual((status.code, status.enhanced), (452, "4.3.1"))

    async def accept(self, name: str, octets: bytes) -> None:
        """A message into the queue."""
        body = self.queue.body(1000.0)
        await body.write(octets)
        acceptance = Acceptance(message=message(name), deliveries=(queued(name),), body=body)
        await self.queue.accept(acceptance)

    def everything(self) -> list[tuple[str, Coroutine[Any, Any, object]]]:
        """One write of each kind, by the file that it goes to."""
        arrival = delivery("d", BIG)
        small = b"X: y\r\n\r\n" + bytes(60_000)
        return [
            ("spool", self.accept("large", BIG)),
            ("queue.sqlite", self.accept("small", small)),
            (f"{ALICE}.sqlite", self.mailbox.append("INBOX", [new(BIG)])),
            (
                f"{ALICE}.sqlite",
                self.mailboxes.deliver(ALICE, self.sealing_key, arrival),
            ),
        ]

    def told(self) -> dict[str, str]:
        """What the operator knows, by the name of the file."""
        return {trouble.path.name: str(trouble) for trouble in self.troubles.current()}

    def assert_all_refused(self) -> None:
        """Every write is, and each file is named."""
        for name, write in self.everything():
            self.refused(write)
            self.assertIn(name, self.told())

    def assert_all_well(self) -> None:
        """The same writes work, once, and nothing is wrong any more."""
        for _, write in self.everything():
            self.now(write)
        self.assertEqual(self.told(), {})
        self.assertEqual(self.now(self.queue.check()), ())
        self.assertEqual(self.now(self.mailboxes.check()), ())


class LimitTests(SynchronousTestCase):
    """A limit of the process stands for a quota of the disk; here nobody needs to mount one."""

    def test_nothing_fits(self) -> None:
        """Until it is lifted: then everything goes on, and nothing is wrong any more."""
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(directory)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(
            done.stdout.split(),
            ["NoSpace"] * 6 + ["queue", "sealed", "spool"] + ["fine"] * 6,
            done.stderr,
        )


class DiskTests(DiskCase):
    """A small disk of our own; whoever may not mount one skips it."""

    def place(self) -> Path:
        """Mounted."""
        directory = super().place()
        if not self.mount(directory, "-t", "tmpfs", "-o", f"size={DISK_OCTETS}", "tmpfs"):
            raise unittest.SkipTest("no disk can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(directory)], check=True)
        return directory

    def mount(self, directory: Path, *options: str) -> bool:
        """Whether it worked."""
        with contextlib.suppress(OSError):
            done = subprocess.run(
                ["mount", *options, str(directory)], capture_output=True, check=False
            )
            return done.returncode == 0
        return False

    def fill(self) -> Path:
        """Take all of the space."""
        path = self.directory / "filler"
        with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        return path

    def test_full(self) -> None:
        """Nothing is lost by it, and all goes on when there is space again."""
        filler = self.fill()
        self.assert_all_refused()
        self.assertTrue(any("full" in text or "No space" in text for text in self.told().values()))
        filler.unlink()
        self.assert_all_well()

    def test_full_when_it_starts(self) -> None:
        """A database that has no room even for its index says so as well."""
        self.now(self.queue.stop())
        filler = self.fill()
        self.refused(self.queue.start())
        self.assertIn("queue.sqlite", self.told())
        filler.unlink()
        self.now(self.queue.start())
        self.assertEqual(self.told(), {})

    def test_read_only(self) -> None:
        """As a kernel leaves a disk on which it met errors."""
        probes = (self.queue.database.probe, self.blobs.probe, self.mailboxes.probe)
        for store in (self.queue, self.mailboxes):
            self.now(store.stop())  # an open file keeps a disk from becoming read-only
        if not self.mount(self.directory, "-o", "remount,ro"):
            raise unittest.SkipTest("no disk can be made read-only here")
        self.refused(self.blobs.probe())
        self.assertIn("Read-only file system", self.told()["spool"])
        self.refused(self.queue.start())
        self.assertIn("queue.sqlite", self.told())
        self.assertTrue(self.mount(self.directory, "-o", "remount,rw"))
        self.now(self.queue.start())
        self.now(self.mailboxes.start())
        for probe in probes:
            self.now(probe())
        self.assertEqual(self.told(), {})


class ToldOnceTests(SynchronousTestCase):
    """A thousand messages on a full disk are one line of the log."""

    def test_once(self) -> None:
        """Each trouble once, and once more when it comes back much later."""
        clock, lines = Clock(), []
        troubles = Troubles(clock.seconds)
        observer = lines.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        watch = troubles.watch("queue", Path("/data/queue.sqlite"))
        full = NoSpace()
        full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
        for _ in range(3):
            for _ in range(1000):
                watch.failed(full)
            self.assertEqual(len(troubles.current()), 1)
            watch.written()
            self.assertEqual(troubles.current(), ())
            clock.advance(TELL_AGAIN_SECONDS / 2)
        texts = [formatEvent(event) for event in lines]
        told = "queue: /data/queue.sqlite: No space left on device. "
        self.assertEqual(len([text for text in texts if text.startswith(told)]), 2)
        self.assertEqual(len([text for text in texts if "works again" in text]), 3)

    def test_what_is_none(self) -> None:
        """What a peer did, a lock of somebody else, and our own defects say nothing of a file."""
        troubles = Troubles()
        watch = troubles.watch("queue", Path("/data/queue.sqlite"))
        busy = Unavailable()
        busy.__cause__ = apsw.BusyError("database is locked")
        for error in (Invalid(), NotFound(), Unavailable(), busy, RuntimeError()):
            watch.failed(error)
        self.assertEqual(troubles.current(), ())

    def test_damage_stays(self) -> None:
        """A write that works proves nothing of the rest of the file; opening it anew does."""
        troubles = Troubles()
        watch = troubles.watch("mailboxes", Path("/data/x.sqlite"), is_wide=False)
        watch.failed(Corrupt())
        watch.written()
        (trouble,) = troubles.current()
        self.assertFalse(trouble.is_wide)
        watch.opened()
        self.assertEqual(troubles.current(), ())


class TranslationTests(SynchronousTestCase):
    """SQLite's errors and the system's that mean the same."""

    def test_no_space(self) -> None:
        """Full, over a quota or a limit, read-only; everything else is temporary and no more."""
        shm = apsw.IOError()
        shm.extendedresult = apsw.SQLITE_IOERR_SHMSIZE
        for error in (apsw.FullError(), apsw.ReadOnlyError(), shm):
            self.assertIsInstance(translate(error), NoSpace)
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            self.assertIsInstance(translate(apsw.IOError(), number), NoSpace)
            self.assertIsInstance(translate(apsw.CantOpenError(), number), NoSpace)
            self.assertIsInstance(of_system(number), NoSpace)
        for number in (0, errno.EIO, errno.EACCES, errno.EMFILE):
            self.assertNotIsInstance(translate(apsw.IOError(), number), NoSpace)
            self.assertNotIsInstance(of_system(number), NoSpace)
