"""
Encrypted mailboxes on disk, and the sealed mail that waits for locked ones.

Layout of the directory::

    <alias id>.<epoch>.sqlite  one mailbox: SQLite3MultipleCiphers, ChaCha20, raw 32-octet key
    <alias id>.sqlite          one of epoch 0, made before mailboxes had epochs
    sealed.sqlite              mail sealed to locked mailboxes, quotas and usage; nothing readable

Every mailbox that an alias ever gets has an epoch of its own, and so a file of its own: nobody who
is late, or lost a race for it, can touch the file of another one. Which of them counts stands in
``sealed.sqlite``.

A mailbox that was unlocked stays open as long as somebody has a handle, and ``KEEP_OPEN_SECONDS``
after that, at most ``OPEN_FILES_MAX`` at a time without a handle. While it is open, mail goes
straight in; else it is sealed to the public key, durably, and the next unlock takes it in. The
delivery's id is remembered in the mailbox, in the transaction that appends it, so that a crash
between "taken in" and "no longer sealed", or a queue that tries again, makes no second copy.
"""

import re
import secrets
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.adapters.durability import sync
from fe_mail.adapters.mailbox_rules import check_size
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.failures import translated
from fe_mail.adapters.sqlite.mailbox import files
from fe_mail.adapters.sqlite.mailbox.examining import examine, fault_of
from fe_mail.adapters.sqlite.mailbox.file import SCHEMA, MailboxFile, fill_new
from fe_mail.adapters.sqlite.mailbox.locks import AliasLock
from fe_mail.adapters.sqlite.mailbox.open_mailbox import SQLiteOpenMailbox
from fe_mail.adapters.sqlite.mailbox.spool import Spool
from fe_mail.adapters.sqlite.schema import migrate, open_connection
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Troubles, Watch
from fe_mail.model.errors import (
    AuthenticationFailed,
    Corrupt,
    Invalid,
    MailboxGone,
    MailError,
    Missing,
    NotFound,
)
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery, Quota
from fe_mail.ports import Bus

__all__ = ["SQLiteMailboxStore"]

SEALED = "sealed.sqlite"
KEY_OCTETS = 32
KEEP_OPEN_SECONDS = 30.0
OPEN_FILES_MAX = 256
UNFINISHED_SECONDS = 3600.0  # no creation takes that long

_ALIAS_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_MAILBOX = "There is no such mailbox."
_DAMAGED = "This mailbox is damaged on the server; your password is right. Ask its operator."
_MISSING = "This mailbox is missing on the server; your password is right. Ask its operator."


class SQLiteMailboxStore:
    """``fe_mail.ports.MailboxStore`` in a directory; ``key`` is the server's, for ``Spool``."""

    _log = Logger()

    def __init__(
        self,
        directory: str | Path,
        bus: Bus,
        threads: Threads,
        clock: IReactorTime,
        *,
        key: bytes,
        troubles: Troubles | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._bus = bus
        self._threads = threads
        self._clock = clock
        self._troubles = troubles or Troubles()
        sealed = self._troubles.watch("sealed", self._directory / SEALED)
        self._spool = Spool(self._directory, threads, clock, key, sealed)
        self._open: dict[AliasId, MailboxFile] = {}  # least recently unlocked first
        self._locks: dict[AliasId, DeferredLock] = {}
        self._closing: set[Deferred[None]] = set()

    async def start(self, opening: Opening = Opening.NEW, sealed: Opening | None = None) -> None:
        """
        Make the directory and open what needs no key; ``sealed`` is for the file of sealed mail,
        which may have to be begun anew beside mailboxes that are all there.
        """
        await self._threads.run(lambda: files.begin(self._directory, opening))
        await self._spool.open(sealed or opening)
        if opening is Opening.LOOK:
            return
        await self._take_stock(begins_anew=sealed is Opening.NEW)
        oldest = self._clock.seconds() - UNFINISHED_SECONDS
        await self._threads.run(lambda: files.remove_unfinished(self._directory, oldest))

    async def _take_stock(self, *, begins_anew: bool) -> None:
        """Say which mailboxes are gone; beside new sealed mail, enter those that are there."""
        known = frozenset((await self._spool.mailboxes()).items())
        there = await self._threads.run(lambda: files.every(self._directory))
        gone = known - there
        if gone:  # what another process removes just now has no row any more
            gone &= frozenset((await self._spool.mailboxes()).items())
        for alias_id, epoch in sorted(gone):
            self._watch(self._path(alias_id, epoch)).failed(Missing("It is missing."))
        if begins_anew and not known:
            for alias_id, epoch in dict(sorted(there)).items():  # the last of each
                await self._spool.add_mailbox(alias_id, epoch)

    def _watch(self, path: Path) -> Watch:
        """For one mailbox, whose damage concerns its owner only."""
        mark = files.mark_of(path)
        return self._troubles.watch("mailboxes", path, is_wide=False, mark=mark)

    async def stop(self) -> None:
        """Close every file."""
        for closing in tuple(self._closing):
            await closing
        for file in tuple(self._open.values()):
            await self._close(file)
        await self._spool.close()

    async def create(
        self, alias_id: AliasId, mailbox_key: bytes, epoch: int = 0, limit_octets: int = 0
    ) -> bytes:
        """A new mailbox with the default folders; returns its public sealing key."""
        if len(mailbox_key) != KEY_OCTETS:
            raise Invalid("A mailbox key has 32 octets.", field="mailbox_key")
        path, now = self._path(alias_id, epoch), self._clock.seconds()
        unfinished = files.unfinished(path)
        async with self._lock(alias_id):
            public = await self._threads.run(lambda: _build(unfinished, mailbox_key, now))
            try:
                await self._spool.begin(
                    alias_id, epoch, public, limit_octets, lambda: files.place(unfinished, path)
                )
            except MailError:
                await self._threads.run(lambda: files.remove(unfinished))
                raise
        return public

    async def unlock(
        self, alias_id: AliasId, mailbox_key: bytes, sealing_key: bytes = b""
    ) -> SQLiteOpenMailbox:
        """Open, take in sealed mail."""
        if len(mailbox_key) != KEY_OCTETS:
            raise AuthenticationFailed
        async with self._lock(alias_id):
            try:
                file = await self._opened(alias_id, mailbox_key)
            except (AuthenticationFailed, NotFound) as error:
                await self._blame_the_file(alias_id, sealing_key, error)
                raise
            except Corrupt as error:
                raise Corrupt(_DAMAGED) from error
            file.handles += 1
            _stay_open(file)
        handle = SQLiteOpenMailbox(file, lambda: self._given_back(file))
        try:
            await file.take_in()
        except BaseException:
            handle.close()
            raise
        return handle

    async def _blame_the_file(
        self, alias_id: AliasId, sealing_key: bytes, error: MailError
    ) -> None:
        """
        Who names the sealing key of the mailbox that counts has its own key: a file that is not
        there, or that does not open with it, is at fault, and nobody's password.
        """
        usage = await self._spool.usage(alias_id)
        is_gone = usage is not None and usage.is_gone
        if not sealing_key or is_gone:
            return
        if usage is not None and not await self._spool.has_key(alias_id, sealing_key):
            return
        watch = self._watch(self._path(alias_id, usage.epoch if usage is not None else 0))
        if isinstance(error, NotFound):
            watch.failed(Missing("It is missing."))
            raise Missing(_MISSING) from error
        watch.failed(Corrupt("Its first page cannot be read."))
        raise Corrupt(_DAMAGED) from error

    async def _opened(self, alias_id: AliasId, mailbox_key: bytes) -> MailboxFile:
        file = self._current(alias_id)
        if file is None:
            file = await self._open_file(alias_id, mailbox_key)
        self._open.pop(alias_id, None)
        self._open[alias_id] = file  # the last one is the latest
        self._close_oldest()
        if not secrets.compare_digest(file.mailbox_key, mailbox_key):
            raise AuthenticationFailed
        return file

    async def _open_file(self, alias_id: AliasId, mailbox_key: bytes) -> MailboxFile:
        epoch = await self._epoch(alias_id)
        path = self._path(alias_id, epoch)
        if not await self._threads.run(path.exists):
            raise NotFound(_NO_MAILBOX)
        file = MailboxFile(
            alias_id,
            path,
            mailbox_key,
            self._spool,
            self._bus,
            self._threads,
            self._clock,
            epoch,
            self._watch(path),
        )
        try:
            await file.open()
        except MailError:
            await self._remove_again(alias_id, epoch)
            raise
        return file

    async def _remove_again(self, alias_id: AliasId, epoch: int) -> None:
        """When it was removed while it opened, opening may have made an empty file."""
        usage = await self._spool.usage(alias_id)
        if usage is not None and (usage.is_gone or usage.epoch != epoch):
            await self._threads.run(lambda: files.remove(self._path(alias_id, epoch)))

    async def _epoch(self, alias_id: AliasId) -> int:
        """Which mailbox counts; when nothing is known of any, the latest that has a file."""
        self._path(alias_id)
        usage = await self._spool.usage(alias_id)
        if usage is None:
            there = await self._threads.run(lambda: files.epochs(self._directory, alias_id))
            return max(there, default=0)
        if usage.is_gone:
            raise NotFound(_NO_MAILBOX)
        return usage.epoch

    def _given_back(self, file: MailboxFile) -> None:
        file.handles -= 1
        is_open = self._open.get(file.alias_id) is file
        if not is_open:
            self._let_go(file)
        elif not file.handles and file.close_timer is None:
            file.close_timer = self._clock.callLater(KEEP_OPEN_SECONDS, self._close_in_time, file)

    def _current(self, alias_id: AliasId) -> MailboxFile | None:
        """The open file, unless another process has destroyed it or put a new one in its place."""
        file = self._open.get(alias_id)
        if file is not None and file.is_replaced():
            del self._open[alias_id]
            self._let_go(file)
            return None
        return file

    def _let_go(self, file: MailboxFile) -> None:
        """Close a file that is not in its place any more, as soon as nobody has a handle."""
        _stay_open(file)
        if not file.handles:
            self._in_background(file.close())

    def _close_in_time(self, file: MailboxFile) -> None:
        file.close_timer = None
        self._close_later(file)

    def _close_oldest(self) -> None:
        idle = [file for file in self._open.values() if not file.handles]
        for file in idle[: max(0, len(self._open) - OPEN_FILES_MAX)]:
            self._close_later(file)

    def _close_later(self, file: MailboxFile) -> None:
        self._in_background(self._close_unused(file))

    def _in_background(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        done = Deferred.fromCoroutine(work)
        self._closing.add(done)
        done.addErrback(lambda failure: self._log.failure("a mailbox did not close", failure))
        done.addBoth(lambda _: self._closing.discard(done))

    async def _close_unused(self, file: MailboxFile) -> None:
        async with self._lock(file.alias_id):
            if file.handles or self._open.get(file.alias_id) is not file:
                return
            await self._close(file)
            await self._spool.flush()

    async def _close(self, file: MailboxFile) -> None:
        del self._open[file.alias_id]
        _stay_open(file)
        await file.close()

    async def deliver(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> None:
        """
        Durable when it returns: appended if the mailbox is open here, else sealed.

        A file is removed before another mailbox of its alias begins. So what went into an open
        file, which looks whether it is still in its place, is in the mailbox that counts.
        """
        check_size([len(delivery.message.raw)])
        file = self._current(alias_id)
        if file is not None and await self._appended(file, delivery):
            return
        if await self._spool.seal(alias_id, sealing_key, delivery):
            self._bus.publish(f"sealed:{alias_id}", {})

    async def _appended(self, file: MailboxFile, delivery: Delivery) -> bool:
        file.handles += 1  # keeps it open
        try:
            await file.deliver(delivery)
        except MailboxGone:
            return False  # and what went into it is gone with it
        finally:
            self._given_back(file)
        return True

    async def set_quota(self, alias_id: AliasId, limit_octets: int) -> None:
        """The limit that append and deliver enforce; 0: none. ``NotFound``."""
        await self._spool.set_limit(alias_id, limit_octets)
        if alias_id in self._open:
            self._open[alias_id].limit_octets = limit_octets

    async def quota(self, alias_id: AliasId) -> Quota:
        """Octets of stored and sealed mail, and the limit."""
        usage = await self._spool.usage(alias_id)
        if usage is None:
            return Quota(used_octets=0, limit_octets=0)
        used = usage.used_octets + usage.sealed_octets
        return Quota(used_octets=used, limit_octets=usage.limit_octets)

    async def used_octets(self, alias_id: AliasId) -> int:
        """Octets of stored and sealed mail; 0 if there is no mailbox."""
        return (await self.quota(alias_id)).used_octets

    async def usage(self) -> dict[AliasId, int]:
        """The same of every alias that has a mailbox."""
        return await self._spool.usages()

    async def settle(self, alias_id: AliasId, before: int, sealing_key: bytes = b"") -> None:
        """Remove the mailboxes of earlier epochs, but not the one of this key."""
        self._path(alias_id)
        async with self._lock(alias_id):
            kept = await self._spool.settle(alias_id, before, sealing_key)
            file = self._open.get(alias_id)
            if file is not None and file.epoch < before and file.epoch != kept:
                await self._close(file)
            await self._threads.run(
                lambda: files.remove_before(self._directory, alias_id, before, kept)
            )

    async def aliases(self) -> frozenset[AliasId]:
        """Every alias that has a mailbox here, or a file of one."""
        known = await self._spool.mailboxes()
        there = await self._threads.run(lambda: files.every(self._directory))
        return frozenset(known) | {alias_id for alias_id, _ in there}

    async def has_key(self, alias_id: AliasId, sealing_key: bytes) -> bool:
        """Is there a mailbox of this key?"""
        return await self._spool.has_key(alias_id, sealing_key)

    async def check(self) -> tuple[str, ...]:
        """Broken invariants of what can be checked without keys, one sentence each."""
        there = await self._threads.run(lambda: files.every(self._directory))
        known = frozenset((await self._spool.mailboxes()).items())
        broken = [*await self._spool.check(), *await self.faults(known)]
        if there - known:
            there = await self._threads.run(lambda: files.every(self._directory))
            known = frozenset((await self._spool.mailboxes()).items())
        broken += [f"Mailbox {name}: a file is left over." for name, _ in sorted(there - known)]
        return tuple(broken)

    async def faults(self, known: frozenset[tuple[AliasId, int]] | None = None) -> tuple[str, ...]:
        """What shows from outside of the mailboxes ``known``, or else of those that are there."""

        def look() -> Iterator[str]:
            for name, epoch in sorted(files.every(self._directory) if known is None else known):
                path = self._path(name, epoch)
                fault = fault_of(path)
                if fault:
                    yield f"{path}: {fault}. Restore it from a backup."

        return await self._threads.run(lambda: tuple(look()))

    async def examine(self, alias_id: AliasId, mailbox_key: bytes) -> tuple[tuple[str, ...], int]:
        """Broken invariants inside a mailbox, and how many messages it has; nothing is written."""
        path = self._path(alias_id, await self._epoch(alias_id))
        watch = self._troubles.watch("mailboxes", path, is_wide=False)  # leaves no mark
        return await examine(path, mailbox_key, self._threads, watch)

    async def probe(self) -> None:
        """Can anything be kept?"""
        await self._spool.probe()

    async def counts(self) -> tuple[int, int]:
        """How many mailboxes there are, and how many messages wait sealed."""
        there = await self._threads.run(lambda: files.every(self._directory))
        return len(there), await self._spool.waiting_count()

    def _path(self, alias_id: AliasId, epoch: int = 0) -> Path:
        if not _ALIAS_ID.fullmatch(alias_id) or alias_id == "sealed":
            raise NotFound(_NO_MAILBOX)
        return files.path_of(self._directory, alias_id, epoch)

    def _lock(self, alias_id: AliasId) -> AliasLock:
        return AliasLock(self._locks, alias_id)


def _stay_open(file: MailboxFile) -> None:
    """Forget when it was to be closed. Not for a delivery: mail alone shall not keep it open."""
    if file.close_timer is not None:
        file.close_timer.cancel()
        file.close_timer = None


def _build(unfinished: Path, mailbox_key: bytes, now: float) -> bytes:
    """A whole mailbox under a name that nobody looks for yet; returns its public sealing key."""
    with translated():
        files.remove(unfinished)
        connection = open_connection(unfinished, mailbox_key)
        try:
            migrate(connection, unfinished, SCHEMA, key=mailbox_key)
            public = fill_new(connection, now)
        finally:
            connection.close()
        sync(unfinished)
    return public
