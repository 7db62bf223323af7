"""Encrypted mailbox files: what the disk shows, who shares them, what ``check`` finds."""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore, sealing
from fe_mail.adapters.sqlite.mailbox import store as store_module
from fe_mail.adapters.sqlite.mailbox.dream import BELIEVED_SECONDS
from fe_mail.adapters.sqlite.mailbox.sealing import new_key_pair
from fe_mail.adapters.sqlite.mailbox.spool import ENDED_KEPT_SECONDS, Spool
from fe_mail.adapters.sqlite.mailbox.store import KEEP_OPEN_SECONDS, UNFINISHED_SECONDS
from fe_mail.adapters.sqlite.mailbox.upkeep import DELIVERIES_REMEMBERED_SECONDS
from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY, migrate, open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model import search
from fe_mail.model.errors import (
    AuthenticationFailed,
    Conflict,
    Invalid,
    MailboxGone,
    NotFound,
    SchemaTooNew,
    Unavailable,
)
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import NewMessage
from fe_mail.model.records import NewItem
from fe_mail.ports import OpenMailbox
from tests.contracts.mailbox_case import ALICE, BOB, KEY, NOW, delivery, letter, new
from tests.contracts.mailbox_messages import with_attachment

T = TypeVar("T")

SERVER_KEY = b"s" * 32
SECRET = "Zanzibar-Quokka"  # a word that nothing else contains


class FilesCase(SynchronousTestCase):
    """A directory and the stores on it."""

    def setUp(self) -> None:
        """One started store with Alice's mailbox."""
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.clock.advance(NOW)
        self.bus = MemoryBus(self.clock)
        self.store = self.started()
        self.sealing_key = self.now(self.store.create(ALICE, KEY))

    def started(self) -> SQLiteMailboxStore:
        """One more store on the directory, as another process would have."""
        store = SQLiteMailboxStore(
            self.directory, self.bus, InlineThreads(), self.clock, key=SERVER_KEY
        )
        self.now(store.start())
        self.addCleanup(lambda: self.now(store.stop()))
        return store

    def now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that never waits."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def fails(self, kind: type[Exception], coroutine: Coroutine[Any, Any, object]) -> None:
        """The coroutine raises this error."""
        self.failureResultOf(Deferred.fromCoroutine(coroutine), kind)

    def unlock(self) -> OpenMailbox:
        """Alice's mailbox."""
        return self.now(self.store.unlock(ALICE, KEY))

    def lock(self, mailbox: OpenMailbox) -> None:
        """Close it and wait until the file is closed."""
        mailbox.close()
        self.clock.advance(120)

    def deliver(self, name: str, raw: bytes | None = None) -> None:
        """A delivery to Alice."""
        self.now(self.store.deliver(ALICE, self.sealing_key, delivery(name, raw)))

    def file(self) -> apsw.Connection:
        """Alice's file, opened beside the store."""
        connection = open_connection(self.directory / f"{ALICE}.sqlite", KEY)
        self.addCleanup(connection.close)
        return connection

    def spool(self, sql: str) -> list[tuple[Any, ...]]:
        """Execute beside the store on the file of sealed mail."""
        connection = open_connection(self.directory / "sealed.sqlite")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def uids(self, mailbox: OpenMailbox) -> tuple[int, ...]:
        """The UIDs of INBOX."""
        return tuple(self.now(mailbox.select("INBOX")).uids)


class AtRestTests(FilesCase):
    """No readable mail on the disk, ever."""

    def markers(self) -> tuple[bytes, NewMessage]:
        """A message whose header, body and attachment carry the secret, and its traces."""
        attached = base64.encodebytes(SECRET.encode() * 600).replace(b"\n", b"\r\n")
        raw = (
            (
                f'Subject: {SECRET}-subject\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
                f"--b\r\n\r\n{SECRET}-body\r\n--b\r\nContent-Type: application/pdf\r\n"
                f"Content-Disposition: attachment; filename={SECRET}.pdf\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n"
            ).encode()
            + attached
            + b"--b--\r\n"
        )
        return attached[:40], new(raw, f"${SECRET}")

    def assert_unreadable(self, *more: bytes) -> None:
        """No file has the secret in it, in any case, nor the keys."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        self.assertGreaterEqual(len(files), 2)
        for path in files:
            octets = path.read_bytes()
            for trace in (SECRET.encode(), SECRET.lower().encode(), KEY, KEY.hex().encode(), *more):
                self.assertNotIn(trace, octets, path)
                self.assertNotIn(trace[:8], octets, path)
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_locked(self) -> None:
        """Mail that waits sealed is unreadable, also in the spool's WAL."""
        attached, message = self.markers()
        self.now(
            self.store.deliver(ALICE, self.sealing_key, delivery("d", message.raw, f"{SECRET}"))
        )
        self.assert_unreadable(attached)
        private = self.file().execute("SELECT sealing_private FROM mailbox").fetchone()
        self.assert_unreadable(attached, private[0])

    def test_open(self) -> None:
        """Mail in an open mailbox is unreadable, in the file, its WAL and its index."""
        attached, message = self.markers()
        mailbox = self.unlock()
        self.now(mailbox.create_folder(SECRET))
        self.now(mailbox.append(SECRET, [message] * 3))
        self.assert_unreadable(attached)
        self.clock.advance(10)
        folder = self.now(mailbox.select(SECRET)).folder
        found = self.now(mailbox.search(folder.id, search.TextContains(SECRET)))
        self.assertEqual(len(found), 3)
        self.assert_unreadable(attached)
        self.now(mailbox.remove(folder.id, [1]))
        self.lock(mailbox)
        self.assert_unreadable(attached)

    def test_taken_in(self) -> None:
        """Nothing stays in the spool when mail was taken in."""
        _, message = self.markers()
        self.deliver("d", message.raw)
        self.unlock()
        self.assertEqual(self.spool("SELECT count(*) FROM sealed"), [(0,)])

    def test_directory(self) -> None:
        """Only the owner may look."""
        self.assertEqual(self.directory.stat().st_mode & 0o077, 0)


class SharingTests(FilesCase):
    """Several stores on one directory, as several processes have it."""

    def test_sealed_elsewhere(self) -> None:
        """What another process seals is taken in by the one that has the mailbox open."""
        mailbox = self.unlock()
        other = self.started()
        self.now(other.deliver(ALICE, self.sealing_key, delivery("d1")))
        self.clock.advance(0)
        self.assertEqual(self.uids(mailbox), (1,))
        self.assertEqual(self.now(mailbox.check()), ())

    def test_lost_hint(self) -> None:
        """A hint that got lost costs time and no mail."""
        mailbox = self.unlock()
        deaf = SQLiteMailboxStore(
            self.directory, MemoryBus(self.clock), InlineThreads(), self.clock, key=SERVER_KEY
        )
        self.now(deaf.start())
        self.addCleanup(lambda: self.now(deaf.stop()))
        self.now(deaf.deliver(ALICE, self.sealing_key, delivery("d1")))
        self.clock.advance(0)
        self.assertEqual(self.uids(mailbox), ())
        self.assertEqual(self.now(mailbox.take_in()), 1)

    def test_both_open(self) -> None:
        """Two processes write to one mailbox: no UID and no ModSeq is used twice."""
        mailbox, other = self.unlock(), self.now(self.started().unlock(ALICE, KEY))
        appended = [self.now(each.append("INBOX", [new(), new()])) for each in (mailbox, other) * 3]
        uids = [uid for one in appended for uid in one.uids]
        self.assertEqual(uids, list(range(1, 13)))
        self.assertEqual(len({one.modseq for one in appended}), 6)
        self.now(self.store.deliver(ALICE, self.sealing_key, delivery("same")))
        self.assertEqual(len(self.uids(other)), 13)
        self.assertEqual(self.now(other.check()), ())

    def test_number_used_again(self) -> None:
        """Who removes what it took in a moment late does not remove newer mail."""
        self.deliver("d1")
        spool = self.store._spool
        late = self.now(spool.waiting(ALICE, 0))
        self.now(spool.discard(late))
        self.deliver("d2")
        (newer,) = self.now(spool.waiting(ALICE, 0))
        self.assertEqual(newer.id, late[0].id)
        self.now(spool.discard(late))
        self.assertEqual(self.now(spool.waiting(ALICE, 0)), (newer,))

    def test_replaced_elsewhere(self) -> None:
        """Another process begins the mailbox anew: nothing goes into the old one any more."""
        mailbox, other, key = self.unlock(), self.started(), b"n" * 32
        self.now(other.settle(ALICE, 1))
        self.sealing_key = self.now(other.create(ALICE, key, 1))
        self.deliver("d1")
        self.fails(AuthenticationFailed, self.store.unlock(ALICE, KEY))
        fresh = self.now(self.store.unlock(ALICE, key))
        self.assertEqual(self.uids(fresh), (1,))
        self.deliver("d2")
        self.assertEqual(self.uids(fresh), (1, 2))
        mailbox.close()
        self.assertEqual(self.uids(fresh), (1, 2))
        self.assertEqual(self.now(other.check()), ())

    def test_destroyed_elsewhere(self) -> None:
        """A session that slept meanwhile finds no mailbox, and makes none."""
        mailbox = self.unlock()
        self.clock.advance(61)
        self.clock.advance(61)
        self.now(self.started().settle(ALICE, 1))
        self.fails(NotFound, mailbox.select("INBOX"))
        self.fails(NotFound, self.store.unlock(ALICE, KEY))
        self.fails(Conflict, self.store.deliver(ALICE, self.sealing_key, delivery("d1")))
        self.assertEqual(list(self.directory.glob(f"{ALICE}*")), [])
        mailbox.close()

    def test_destroyed_under_a_session(self) -> None:
        """Nor is anything read from what is not there any more, or kept in it."""
        mailbox = self.unlock()
        inbox = self.now(mailbox.select("INBOX")).folder.id
        self.now(self.started().settle(ALICE, 1))
        self.fails(MailboxGone, mailbox.append("INBOX", [new()]))
        self.fails(MailboxGone, mailbox.select("INBOX"))
        self.fails(MailboxGone, mailbox.changes(inbox, 0))
        self.fails(MailboxGone, mailbox.folders())
        self.clock.advance(60)
        mailbox.close()

    def test_destroyed_during_a_write(self) -> None:
        """What was written too late is not said to be kept."""
        mailbox = self.unlock()
        file = self.store._open[ALICE]
        other = self.started()
        self.fails(MailboxGone, file.write(lambda _: self.now(other.settle(ALICE, 1))))
        mailbox.close()

    def test_quota_set_elsewhere(self) -> None:
        """A quota that another process sets is seen when it is asked for."""
        mailbox = self.unlock()
        self.now(self.started().set_quota(ALICE, 12345))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, 12345)


class KnownMessageTests(FilesCase):
    """What the disk proves about a message that somebody knows."""

    def ids(self) -> list[str]:
        """The ids of sealed mail, as they stand on the disk."""
        return [row[0] for row in self.spool("SELECT delivery_id FROM sealed ORDER BY id")]

    def test_nothing(self) -> None:
        """A delivery's id is not there, and its hash only with the key of the server."""
        known = hashlib.sha256(b"what somebody sent").hexdigest()
        self.deliver(known)
        (stored,) = self.ids()
        for octets in (known.encode(), f"{ALICE}\0{known}".encode()):
            self.assertNotEqual(stored, hashlib.sha256(octets).hexdigest())
        for path in self.directory.rglob("*"):
            self.assertNotIn(known.encode(), path.read_bytes(), path)

    def test_another_server_or_alias(self) -> None:
        """Another key, or another alias, and it is another hash."""
        self.deliver("d")
        mine = Spool(self.directory, InlineThreads(), self.clock, SERVER_KEY)
        other = Spool(self.directory, InlineThreads(), self.clock, b"t" * 32)
        hashes = {spool._hashed(alias, "d") for spool in (mine, other) for alias in (ALICE, BOB)}
        self.assertEqual(len(hashes), 4)
        self.assertEqual(self.ids(), [mine._hashed(ALICE, "d")])


class UpgradeTests(FilesCase):
    """A directory of the version before."""

    def setUp(self) -> None:
        """Alice's mailbox and one sealed message, as version 1 left them."""
        super().setUp()
        self.now(self.store.stop())
        connection = open_connection(self.directory / "sealed.sqlite")
        connection.execute("DROP TABLE sealed; DROP TABLE mailbox; DROP TABLE version")
        first = SCHEMA_DIRECTORY / "sealed-v1.sql"
        connection.execute(first.read_text() + "CREATE TABLE version (version INTEGER NOT NULL);")
        connection.execute("INSERT INTO version VALUES (1)")
        connection.execute("INSERT INTO mailbox VALUES (?, 5000, 0, 0)", (ALICE,))
        about = json.dumps(["INBOX", [], NOW]).encode()
        key = sealing._public_key(self.sealing_key)
        info = f"fe-mail sealed mail\0{ALICE}\0d1".encode()
        octets = b"\x01" + sealing._SUITE.encrypt(
            zlib.compress(about + b"\n" + letter()), key, info=info
        )
        connection.execute(
            "INSERT INTO sealed (alias_id, delivery_id, size_octets, octets)"
            " VALUES (?, 'd1', ?, ?)",
            (ALICE, len(letter()), octets),
        )
        connection.close()
        self.store = self.started()

    def test_nothing_is_lost(self) -> None:
        """The mailbox, its quota and what waited are there; nothing arrives twice."""
        self.deliver("d1")
        self.deliver("d2")
        mailbox = self.unlock()
        self.assertEqual(self.uids(mailbox), (1, 2))
        self.deliver("d1")
        self.assertEqual(self.uids(mailbox), (1, 2))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, 5000)
        self.assertEqual(self.now(self.store.check()), ())
        self.assertEqual((self.directory / "sealed.before-v2.sqlite").exists(), True)

    def test_key_is_learned(self) -> None:
        """The first delivery tells the key; from then on another one is refused."""
        self.deliver("d2")
        self.fails(Conflict, self.store.deliver(ALICE, new_key_pair()[0], delivery("d3")))

    def test_kept_when_settled(self) -> None:
        """The mailbox whose key the accounts name stays; without a key it goes."""
        self.now(self.store.settle(ALICE, 1, self.sealing_key))
        self.assertEqual(self.uids(self.unlock()), (1,))
        self.now(self.store.settle(ALICE, 2))
        self.fails(NotFound, self.store.unlock(ALICE, KEY))
        self.assertEqual(list(self.directory.glob(f"{ALICE}*")), [])


class EpochTests(FilesCase):
    """Files of several mailboxes of one alias."""

    def test_names(self) -> None:
        """Each mailbox has a file of its own; ids that begin alike are not mixed up."""
        cousin = AliasId(f"{ALICE}1")
        self.now(self.store.create(cousin, KEY, 2))
        self.now(self.store.create(ALICE, KEY, 1))
        names = {path.name for path in self.directory.glob(f"{ALICE}*.sqlite")}
        self.assertEqual(names, {f"{ALICE}.sqlite", f"{ALICE}.1.sqlite", f"{cousin}.2.sqlite"})
        self.now(self.store.settle(ALICE, 9))
        names = {path.name for path in self.directory.glob(f"{ALICE}*.sqlite")}
        self.assertEqual(names, {f"{cousin}.2.sqlite"})

    def test_copies_go_too(self) -> None:
        """What was copied before an upgrade of the file goes with the mailbox."""
        copy = self.directory / f"{ALICE}.before-v2.sqlite"
        copy.write_bytes(b"of a mailbox")
        self.now(self.store.settle(ALICE, 1))
        self.assertFalse(copy.exists())

    def test_left_over(self) -> None:
        """A file that belongs to no mailbox is named, one that is being made is not."""
        (self.directory / f"{BOB}.3.sqlite").write_bytes(b"")
        (self.directory / f"{BOB}.4.sqlite.new").write_bytes(b"")
        (problem,) = self.now(self.store.check())
        self.assertIn(BOB, problem)
        self.assertEqual(self.now(self.store.aliases()), {ALICE, BOB})

    def test_sealed_file_is_lost(self) -> None:
        """Without ``sealed.sqlite`` the latest mailbox file is still found."""
        self.now(self.store.create(ALICE, bytes(32), 4))
        self.now(self.store.stop())
        for path in self.directory.glob("sealed.sqlite*"):
            path.unlink()
        self.store = self.started()
        self.now(self.store.unlock(ALICE, bytes(32)))

    def test_usage_of_the_one_before(self) -> None:
        """What a process still writes down of a mailbox that was replaced changes nothing."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new()]))
        other = self.started()
        self.now(other.create(ALICE, bytes(32), 1))
        self.clock.advance(10)
        self.assertEqual(self.now(other.used_octets(ALICE)), 0)

    def test_memory_of_the_gone(self) -> None:
        """It does not grow for ever."""
        self.now(self.store.settle(ALICE, 9))
        self.clock.advance(ENDED_KEPT_SECONDS + 1)
        self.now(self.store.settle(BOB, 9))
        self.assertEqual(self.spool("SELECT alias_id FROM mailbox"), [(BOB,)])

    def test_half_made(self) -> None:
        """What a crash left half made goes with the next start, unless it is young."""
        old, young = (self.directory / f"{BOB}.{n}.sqlite.new" for n in (1, 2))
        for path, age in ((old, UNFINISHED_SECONDS + 1), (young, 1)):
            path.write_bytes(b"")
            os.utime(path, (NOW - age, NOW - age))
        self.started()
        self.assertEqual((old.exists(), young.exists()), (False, True))

    def test_finished_meanwhile(self) -> None:
        """What another process finishes while a store starts does not stop it."""
        gone = self.directory / "gone.1.sqlite.new-wal"
        glob = Path.glob

        def listed(path: Path, pattern: str) -> list[Path]:
            return [*glob(path, pattern), gone]

        self.patch(Path, "glob", listed)
        self.assertEqual(self.now(self.started().used_octets(ALICE)), 0)


class OpenFilesTests(FilesCase):
    """When files are open, and when they are not."""

    def is_open(self) -> bool:
        """Has the store Alice's mailbox open? Then it does not seal what arrives."""
        waiting = self.spool("SELECT count(*) FROM sealed")
        self.deliver(f"probe {self.clock.seconds()} {waiting}")
        return self.spool("SELECT count(*) FROM sealed") == waiting

    def has_connections(self) -> bool:
        """Is Alice's WAL there?"""
        return (self.directory / f"{ALICE}.sqlite-wal").exists()

    def test_closed_after_a_while(self) -> None:
        """The last handle closes the file, not at once, and not if somebody came back."""
        first, second = self.unlock(), self.unlock()
        first.close()
        self.clock.advance(120)
        self.assertTrue(self.is_open())
        second.close()
        self.clock.advance(1)
        self.assertTrue(self.is_open())
        third = self.unlock()
        self.clock.advance(120)
        self.assertTrue(self.is_open())
        self.lock(third)
        self.assertFalse(self.is_open())
        self.assertFalse(self.has_connections())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_after_the_last(self) -> None:
        """The while begins when the last one leaves; mail alone does not extend it."""
        self.unlock().close()
        self.clock.advance(KEEP_OPEN_SECONDS - 1)
        self.unlock().close()
        self.clock.advance(KEEP_OPEN_SECONDS - 1)
        self.assertTrue(self.is_open())
        self.clock.advance(1)
        self.assertFalse(self.is_open())

    def test_sleep(self) -> None:
        """A session that only waits keeps the mailbox unlocked, but no connections."""
        mailbox = self.unlock()
        for _ in range(5):
            self.clock.advance(50)
            self.assertEqual(self.uids(mailbox), ())
        self.assertTrue(self.has_connections())
        self.clock.advance(70)
        self.clock.advance(70)
        self.assertFalse(self.has_connections())
        self.assertTrue(self.is_open())
        self.assertEqual(self.uids(mailbox), (1,))
        self.clock.advance(70)
        self.clock.advance(70)
        self.now(mailbox.append("INBOX", [new()]))
        self.assertEqual(self.now(mailbox.check()), ())

    def test_looking_while_it_sleeps(self) -> None:
        """Who only looks every minute does not open the file, until another process wrote."""
        mailbox = self.unlock()
        view = self.now(mailbox.select("INBOX"))
        inbox, modseq = view.folder.id, view.highest_modseq
        for _ in range(3):
            self.clock.advance(70)
        for _ in range(10):
            self.clock.advance(60)
            found = self.now(mailbox.changes(inbox, modseq))
            self.assertEqual((found.messages, found.vanished, found.gone), ((), (), False))
            self.assertFalse(self.has_connections())
        deaf = SQLiteMailboxStore(
            self.directory, MemoryBus(self.clock), InlineThreads(), self.clock, key=SERVER_KEY
        )
        self.now(deaf.start())
        self.addCleanup(lambda: self.now(deaf.stop()))
        elsewhere = self.now(deaf.unlock(ALICE, KEY))
        self.now(elsewhere.append("INBOX", [new()]))
        self.assertEqual(len(self.now(mailbox.changes(inbox, modseq)).messages), 1)
        for _ in range(3):
            self.clock.advance(70)
        self.now(elsewhere.append("INBOX", [new()]))
        elsewhere.close()
        self.clock.advance(120)
        self.assertEqual(len(self.now(mailbox.changes(inbox, modseq)).messages), 2)

    def test_disturbed_while_it_falls_asleep(self) -> None:
        """A call that begins in that moment is served, and the file is closed later."""
        mailbox = self.unlock()
        file = self.store._open[ALICE]
        known, disturbed = file._known_folders, list[bool]()

        async def disturb() -> Any:
            if not disturbed:
                disturbed.append(True)
                await file._enter()
            return await known()

        file._known_folders = disturb  # type: ignore[method-assign]
        for _ in range(3):
            self.clock.advance(70)
        self.assertTrue(disturbed and self.has_connections())
        file._leave()
        for _ in range(3):
            self.clock.advance(70)
        self.assertFalse(self.has_connections())
        self.assertEqual(self.uids(mailbox), ())

    def test_dreams_end(self) -> None:
        """What was known when the file was closed is not believed for ever."""
        mailbox = self.unlock()
        view = self.now(mailbox.select("INBOX"))
        for seconds in (70, 70, 70, BELIEVED_SECONDS + 1):
            self.clock.advance(seconds)
        self.now(mailbox.changes(view.folder.id, view.highest_modseq))
        self.assertTrue(self.has_connections())

    def test_limit(self) -> None:
        """Files without a handle are closed earlier when there are too many."""
        self.patch(store_module, "OPEN_FILES_MAX", 1)
        self.now(self.store.create(BOB, KEY))
        self.unlock().close()
        self.now(self.store.unlock(BOB, KEY))
        self.assertFalse(self.has_connections())

    def test_stop(self) -> None:
        """Stopping closes files that sessions still have, which then hear ``Unavailable``."""
        mailbox = self.unlock()
        self.now(self.store.stop())
        self.assertFalse(self.has_connections())
        self.fails(Unavailable, mailbox.folders())
        mailbox.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.now(self.store.start())

    def test_newer_schema(self) -> None:
        """A file of a newer program is left alone."""
        self.file().execute("UPDATE version SET version = version + 1")
        self.fails(SchemaTooNew, self.store.unlock(ALICE, KEY))

    def test_upgrade_copies_encrypted(self) -> None:
        """The copy that is made before an upgrade needs the same key, and has everything."""
        schemas, path = Path(self.mktemp()), Path(self.mktemp()) / "x.sqlite"
        schemas.mkdir()
        (schemas / "x-v1.sql").write_text("CREATE TABLE x (y)")
        connection = open_connection(path, KEY)
        migrate(connection, path, "x", schemas, KEY)
        connection.execute("INSERT INTO x VALUES (?)", (SECRET,))
        (schemas / "x-v2.sql").write_text("CREATE TABLE x (y, z)")
        (schemas / "upgrade-x-to-v2.sql").write_text("ALTER TABLE x ADD COLUMN z")
        migrate(connection, path, "x", schemas, KEY)
        connection.close()
        copy = path.with_name("x.before-v2.sqlite")
        for file in path.parent.iterdir():
            self.assertNotIn(SECRET.encode(), file.read_bytes())
        with self.assertRaises(AuthenticationFailed):
            open_connection(copy, bytes(32))
        connection = open_connection(copy, KEY)
        self.assertEqual(connection.execute("SELECT * FROM x").fetchall(), [(SECRET,)])
        connection.close()

    def test_interrupted_creation(self) -> None:
        """What a killed process left of a mailbox is no mailbox and in nobody's way."""
        left = self.directory / f"{BOB}.sqlite.new"
        left.write_bytes(b"half a file")
        self.fails(NotFound, self.store.unlock(BOB, KEY))
        self.now(self.store.create(BOB, KEY))
        self.assertFalse(left.exists())
        self.now(self.store.unlock(BOB, KEY))

    def test_refused_by_the_disk(self) -> None:
        """What the system refuses is ``Unavailable``, wherever in the work that happens."""
        (self.directory / f"{BOB}.sqlite.new").mkdir()
        self.fails(Unavailable, self.store.create(BOB, KEY))
        (self.directory / f"{ALICE}.sqlite-journal").mkdir()
        self.fails(Unavailable, self.store.settle(ALICE, 1))

    def test_odd_arguments(self) -> None:
        """An id that is no id names no file; a key that is no key makes no mailbox."""
        for odd in ("../x", "sealed", "", "a/b", "x" * 100, "a\0b"):
            self.fails(NotFound, self.store.create(odd, KEY))  # type: ignore[arg-type]
            self.fails(NotFound, self.store.unlock(odd, KEY))  # type: ignore[arg-type]
        self.fails(Invalid, self.store.create(BOB, b"short"))


class SealedTests(FilesCase):
    """Taking in, when something goes wrong in the middle."""

    def test_crash_before_discard(self) -> None:
        """Mail that was taken in but is still sealed is not taken in again."""
        self.deliver("d1")
        self.deliver("d2")

        async def fail(*_: object) -> None:
            raise Unavailable

        patched = self.patch(Spool, "discard", fail)
        self.fails(Unavailable, self.store.unlock(ALICE, KEY))
        patched.restore()
        self.assertEqual(len(self.now(self.started().check())), 0)
        mailbox = self.unlock()
        self.assertEqual(self.uids(mailbox), (1, 2))
        self.assertEqual(self.now(self.store.used_octets(ALICE)), 2 * len(letter()))
        self.assertEqual(self.now(mailbox.check()), ())

    def test_damaged(self) -> None:
        """Sealed mail that cannot be opened stays, and holds nothing else up."""
        for name in ("d1", "d2", "d3"):
            self.deliver(name)
        self.spool("UPDATE sealed SET octets = zeroblob(2000) WHERE id = 2")
        mailbox = self.unlock()
        self.assertEqual(self.uids(mailbox), (1, 2))
        self.assertEqual(self.now(mailbox.take_in()), 0)
        self.assertGreater(self.now(self.store.used_octets(ALICE)), 2 * len(letter()))

    def test_many(self) -> None:
        """More than one group is taken in, in the order of arrival."""
        for number in range(120):
            self.deliver(f"d{number}", letter(str(number)))
        mailbox = self.unlock()
        folder = self.now(mailbox.select("INBOX")).folder.id
        last = self.now(mailbox.read(folder, 120, 0, 1000))
        self.assertEqual(last, letter("119"))

    def test_memory_of_deliveries(self) -> None:
        """Ids of deliveries are forgotten when no queue can try them again."""
        self.lock(self.unlock())
        self.deliver("old")
        self.lock(self.unlock())
        self.clock.advance(DELIVERIES_REMEMBERED_SECONDS + 1)
        self.deliver("new")
        self.lock(self.unlock())
        self.clock.advance(2)
        ids = self.file().execute("SELECT id FROM delivery").fetchall()
        self.assertEqual(ids, [("new",)])

    def test_usage_after_a_crash(self) -> None:
        """What was not written down of the usage is set right by the next unlock."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new()]))
        crashed = self.started()  # sees only what is on the disk
        self.assertEqual(self.now(crashed.used_octets(ALICE)), 0)
        self.now(crashed.unlock(ALICE, KEY))
        self.assertEqual(self.now(crashed.used_octets(ALICE)), len(letter()))


class StorageTests(FilesCase):
    """What is stored how often."""

    def count(self, table: str) -> int:
        """Rows of a table."""
        rows = self.file().execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(rows[0][0])

    def test_attachments_once(self) -> None:
        """The same attachment in two messages is stored once, and goes with the last of them."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new(with_attachment(n, 600_000)) for n in ("a", "b")]))
        self.assertEqual((self.count("attachment"), self.count("attachment_piece")), (1, 3))
        inbox = self.now(mailbox.select("INBOX")).folder.id
        self.now(mailbox.remove(inbox, [1]))
        self.assertEqual(self.count("attachment"), 1)
        self.now(mailbox.remove(inbox, [2]))
        for table in ("attachment", "attachment_piece", "content", "piece", "content_text"):
            self.assertEqual(self.count(table), 0, table)

    def test_copies_are_free(self) -> None:
        """Copies share their content."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new()]))
        inbox = self.now(mailbox.select("INBOX")).folder.id
        for _ in range(5):
            self.now(mailbox.copy(inbox, [1], "Archive"))
        self.assertEqual((self.count("content"), self.count("message")), (1, 6))

    def test_compression(self) -> None:
        """Text becomes smaller on the disk, noise does not become bigger."""
        mailbox = self.unlock()
        noise = bytes((n * n * 31 + n // 7) % 256 for n in range(1000))
        self.now(mailbox.append("INBOX", [new(letter(body="all the same\r\n" * 1000)), new(noise)]))
        sizes = self.file().execute("SELECT length(octets) FROM piece ORDER BY id").fetchall()
        self.assertLess(sizes[0][0], 1000)
        self.assertLessEqual(sizes[1][0], len(noise))

    def test_index(self) -> None:
        """Everything is indexed once the mailbox is quiet, or has been busy for long."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new()] * 150))
        self.assertEqual(self.count("trigram_docsize"), 0)
        for _ in range(45):
            self.clock.advance(0.9)
            self.now(mailbox.append("INBOX", [new()]))
        self.assertGreater(self.count("trigram_docsize"), 150)
        self.clock.advance(2)
        self.assertEqual(self.count("trigram_docsize"), 195)
        self.assertEqual(self.now(mailbox.check()), ())


class CheckTests(FilesCase):
    """Each broken invariant has its sentence."""

    def test_broken(self) -> None:
        """Damage that is done behind the store's back is found."""
        mailbox = self.unlock()
        self.now(mailbox.append("INBOX", [new(), new(with_attachment("a", 9000))]))
        self.now(mailbox.append("Junk", [new()]))
        collection = self.now(mailbox.records.create("k", "n")).id
        self.now(mailbox.records.update(collection, [NewItem(name="x", octets=b"y")]))
        self.clock.advance(2)
        connection = self.file()
        connection.execute("PRAGMA foreign_keys=OFF")
        for damage, expected in (
            ("UPDATE folder SET unseen = 7 WHERE id = 1", "counts"),
            ("UPDATE folder SET uidnext = 1 WHERE id = 1", "UIDNEXT"),
            ("UPDATE folder SET highest_modseq = 0 WHERE id = 1", "above the highest"),
            ("UPDATE mailbox SET modseq = 0", "mailbox's"),
            ("INSERT INTO vanished VALUES (1, 1, 1)", "vanished"),
            ("UPDATE content SET refs = 2 WHERE id = 1", "not used as often"),
            ("UPDATE message SET content_id = 99 WHERE uid = 1", "missing"),
            ("DELETE FROM content_text WHERE content_id = 1", "text"),
            ("UPDATE content SET is_indexed = 0 WHERE id = 1", "index"),
            ("UPDATE message SET size_octets = 1 WHERE uid = 1", "another size"),
            ("UPDATE mailbox SET used_octets = 5", "quota"),
            ("INSERT INTO piece VALUES (99 << 20, 0, x'00')", "no content"),
            ("INSERT INTO attachment_piece VALUES (99 << 20, 0, x'00')", "no attachment"),
            ("DELETE FROM piece WHERE id = 1 << 20", "octets"),
            ("UPDATE attachment SET refs = 2", "Attachment"),
            ("UPDATE folder SET name = 'x/y' WHERE id = 2", "parent"),
            ("UPDATE message SET flagset_id = 77 WHERE uid = 1", "flags"),
            ("INSERT INTO vanished VALUES (77, 1, 1)", "refers"),
            ("UPDATE mailbox SET last_content_id = 0", "given again"),
            ("DELETE FROM digest WHERE content_id = 1", "digest"),
            ("DELETE FROM structure WHERE content_id = 1", "digest"),
            ("UPDATE content SET thread_id = 0 WHERE id = 1", "digest"),
            ("UPDATE collection SET items = 7", "counts are not those of its items"),
            ("UPDATE collection SET highest_modseq = 0", "above the highest"),
            ("INSERT INTO gone VALUES (1, 'x', 0)", "is there and gone"),
        ):
            self.assertEqual(self.now(mailbox.check()), ())
            self.damage(connection, damage, expected, mailbox)

    def damage(
        self, connection: apsw.Connection, sql: str, expected: str, mailbox: OpenMailbox
    ) -> None:
        """Do it on a copy of the rows, look, and put them back."""
        tables = ("mailbox", "folder", "message", "vanished", "content", "content_text")
        tables += ("piece", "attachment", "attachment_piece", "collection", "gone")
        tables += ("digest", "structure")
        for table in tables:
            connection.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        kept = list(triggers.fetchall())
        for name, _ in kept:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql)
        sentences = self.now(mailbox.check())
        self.assertTrue(any(expected in sentence for sentence in sentences), (sql, sentences))
        for table in tables:
            connection.execute(
                f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table};"
                f"DROP TABLE kept_{table}"
            )
        for _, create in kept:
            connection.execute(create)

    def test_store(self) -> None:
        """A mailbox whose file is gone, sealed mail that is counted wrong."""
        self.deliver("d")
        self.spool("UPDATE mailbox SET sealed_octets = 1")
        (self.directory / f"{ALICE}.sqlite").unlink()
        self.assertEqual(len(self.now(self.store.check())), 2)
