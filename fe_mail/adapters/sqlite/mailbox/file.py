"""
One unlocked mailbox file, shared by all its sessions in this process.

Every write is one function in a group commit; when it is durable, the folders that it touched
are published on the bus. Mail that other processes sealed for us meanwhile is taken in when the
bus says so. New texts are put into the search index, and other upkeep is done, when the mailbox
has been quiet for a moment, so that arriving mail does not wait for it.

A mailbox that nobody uses for ``SLEEP_SECONDS`` gives its connections back though it stays
unlocked: a session in IDLE costs no memory here. The next call opens them again in a
millisecond.
"""

import secrets
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from fe_mail.adapters.batch import Batch, Results
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.mailbox import folders, messages
from fe_mail.adapters.sqlite.mailbox.contents import Prepared, mark_reading, prepare
from fe_mail.adapters.sqlite.mailbox.dream import Dream, Folders, known_folders
from fe_mail.adapters.sqlite.mailbox.flags import FlagSets
from fe_mail.adapters.sqlite.mailbox.sealing import new_key_pair, open_sealed
from fe_mail.adapters.sqlite.mailbox.spool import SealedItem, Spool
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.adapters.sqlite.mailbox.upkeep import CHORES, Chore
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch
from fe_mail.model.change import Change
from fe_mail.model.errors import Corrupt, MailboxGone, MailError, Unavailable
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import DEFAULT_FOLDERS, Changes, Delivery, NewMessage
from fe_mail.ports import Bus

__all__ = ["MailboxFile", "fill_new"]

SCHEMA = "mailbox"
UPKEEP_DELAY_SECONDS = 1.0
UPKEEP_DELAY_MAX_SECONDS = 30.0
SLEEP_SECONDS = 60.0
_NO_FILE = (0, 0)
ARRIVALS_AT_ONCE = 20

T = TypeVar("T")


class MailboxFile:
    """The open file of one alias."""

    _log = Logger()

    def __init__(
        self,
        alias_id: AliasId,
        path: Path,
        mailbox_key: bytes,
        spool: Spool,
        bus: Bus,
        threads: Threads,
        clock: IReactorTime,
        epoch: int = 0,
        watch: Watch | None = None,
    ) -> None:
        self.alias_id = alias_id
        self.epoch = epoch  # which of the alias's mailboxes this is
        self.mailbox_key = mailbox_key
        self.flagsets = FlagSets()
        self.handles = 0
        self.close_timer: IDelayedCall | None = None  # of the store
        self.limit_octets = 0
        self._damaged: set[int] = set()  # contents that were told of
        self.used_octets = 0
        self._spool = spool
        self._bus = bus
        self._threads = threads
        self._clock = clock
        self._path = path
        self._database = Database(path, SCHEMA, threads, key=mailbox_key, watch=watch)
        # Mail that arrives together shares the hops of preparing and of writing.
        self._arrivals: Batch[NewMessage] = Batch(threads, _prepare_all, ARRIVALS_AT_ONCE)
        self._sealing_private = b""
        self._taking_in = DeferredLock()
        self._take_in_waits = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._upkeep_timer: IDelayedCall | None = None
        self._neglected_since = 0.0
        self._door = DeferredLock()  # whoever opens or closes the connections
        self._identity = _NO_FILE  # device and inode of the file that was opened
        self._is_asleep = True
        self._dream: Dream | None = None
        self._is_leaving = False
        self._is_closed = False
        self._running = 0
        self._used_at = 0.0
        self._sleep_timer: IDelayedCall | None = None
        self._background: set[Deferred[object]] = set()

    async def open(self) -> None:
        """Open with the key. ``AuthenticationFailed``, ``SchemaTooNew``, ``Corrupt``."""
        await self._wake()
        self._identity = _identity(self._path)
        try:
            row = await self.read(
                lambda tx: tx.row("SELECT sealing_private, used_octets FROM mailbox")
            )
            if row is None:
                raise Corrupt("The mailbox is empty.")
            self._sealing_private, self.used_octets = row
            await self._spool.add_mailbox(self.alias_id, self.epoch)
            self._spool.note_used(self.alias_id, self.used_octets, self.epoch)
            await self.refresh_limit()
        except BaseException:
            await self.close()
            raise
        self._unsubscribe = self._bus.subscribe(
            f"sealed:{self.alias_id}", lambda _: self._take_in_hinted()
        )
        self._tend_later()

    async def close(self) -> None:
        """Finish what was started and close the file; once is enough."""
        if self._is_closed:
            return
        self._unsubscribe()
        self._is_leaving = True
        if self._upkeep_timer is not None:
            self._upkeep_timer.cancel()
            self._upkeep_timer = None
        for running in tuple(self._background):
            await running
        await self._door.acquire()  # whoever opens the connections now would leave them open
        try:
            if self._sleep_timer is not None:
                self._sleep_timer.cancel()
                self._sleep_timer = None
            self._is_closed = True
            await self._database.close()
        finally:
            self._door.release()

    def is_replaced(self) -> bool:
        """Has another process destroyed this mailbox, and maybe made a new one in its place?"""
        return _identity(self._path) != self._identity

    async def _enter(self) -> None:
        """Somebody needs the connections; whatever happens, ``_leave`` follows."""
        self._running += 1
        self._check_place()
        if self._is_asleep:
            await self._wake()

    def _check_place(self) -> None:
        """What is read from a file that is not in its place is no news, what is written is lost."""
        if self._identity != _NO_FILE and self.is_replaced():
            raise MailboxGone

    def _leave(self) -> None:
        self._running -= 1
        self._used_at = self._clock.seconds()

    async def _wake(self) -> None:
        await self._door.acquire()
        try:
            if self._is_closed:
                raise Unavailable
            if self._is_asleep:
                self._check_place()  # nor may opening make one
                await self._database.open(Opening.KEPT)
                self._is_asleep = False
                self._dream = None
                self._used_at = self._clock.seconds()
                self._sleep_timer = self._clock.callLater(SLEEP_SECONDS, self._tired)
        finally:
            self._door.release()

    def _tired(self) -> None:
        self._sleep_timer = None
        rested = self._clock.seconds() - self._used_at
        if self._running or rested < SLEEP_SECONDS:
            self._sleep_timer = self._clock.callLater(
                SLEEP_SECONDS - rested % SLEEP_SECONDS, self._tired
            )
        else:
            self._start(self._sleep())

    async def _sleep(self) -> None:
        await self._door.acquire()
        try:
            known = await self._known_folders()
            if self._running:  # somebody came meanwhile
                self._sleep_timer = self._clock.callLater(SLEEP_SECONDS, self._tired)
                return
            self._is_asleep = True
            await self._database.close()
            self._dream = Dream(self._path, self._clock.seconds(), known)
        finally:
            self._door.release()

    async def _known_folders(self) -> Folders:
        try:
            return await self._database.read(known_folders)
        except MailError:
            return {}  # whoever looks next hears of it

    def nothing_new(self, folder_id: int, since: int) -> Changes | None:
        """What changed in a folder, if that can be known without opening the file: nothing."""
        if self._dream is None or not self._is_asleep:
            return None
        return self._dream.nothing_new(folder_id, since, self._clock.seconds())

    async def refresh_limit(self) -> None:
        """Read the quota, which any process may have set."""
        usage = await self._spool.usage(self.alias_id)
        if usage is not None:
            self.limit_octets = usage.limit_octets

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Call ``work`` in a snapshot."""
        now = self._clock.seconds()

        def run(cursor: Cursor) -> tuple[T, set[int]]:
            tx = Transaction(cursor, now, self.limit_octets)
            return work(tx), tx.damaged

        try:
            await self._enter()
            result, damaged = await self._database.read(run)
        finally:
            self._leave()
        self._note_damage(damaged)
        return result

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Call ``work`` in a transaction; when it is durable, say which folders changed."""
        now, limit = self._clock.seconds(), self.limit_octets

        def run(cursor: Cursor) -> tuple[T, int, tuple[Change, ...], set[int]]:
            tx = Transaction(cursor, now, limit)
            result = work(tx)
            used = tx.value("SELECT used_octets FROM mailbox")
            return result, used, self._changes(tx), tx.damaged

        try:
            await self._enter()
            result, used, changes, damaged = await self._database.write(run)
        finally:
            self._leave()
        self._note_damage(damaged)
        self._check_place()
        if used != self.used_octets:
            self.used_octets = used
            self._spool.note_used(self.alias_id, used, self.epoch)
        if changes:
            self._tend_later()
        for change in changes:
            self._bus.publish(Change.topic(self.alias_id), change.payload())
        return result

    def _note_damage(self, contents: set[int]) -> None:
        """Once for each content; the others were answered."""
        new = contents - self._damaged
        self._damaged |= new
        if new:
            self._log.error(
                "messages of mailbox {alias_id} are damaged: contents {contents}; restore the"
                " mailbox, 'fe-mail verify' says what else is broken",
                alias_id=self.alias_id,
                contents=sorted(new),
            )

    def _changes(self, tx: Transaction) -> tuple[Change, ...]:
        return tuple(
            Change(alias_id=self.alias_id, kind=kind, id=number, modseq=tx.modseq())
            for kind, number in tx.touched
        )

    async def prepare(self, new: Sequence[NewMessage]) -> list[Prepared]:
        """Digest and compress in a thread."""
        return await self._threads.run(lambda: [prepare(message) for message in new])

    async def deliver(self, delivery: Delivery) -> None:
        """Append, unless it arrived before. ``OverQuota``."""
        prepared = cast(Prepared, await self._arrivals.add(delivery.message))

        def work(tx: Transaction) -> None:
            if not tx.row("SELECT 1 FROM delivery WHERE id = ?", delivery.id):
                messages.check_quota(tx, prepared.size_octets)
                messages.deliver(tx, delivery.id, delivery.folder, prepared)

        await self.write(work)

    async def take_in(self) -> int:
        """Move sealed mail into its folders; returns how many arrived."""
        await self._taking_in.acquire()
        self._take_in_waits = False
        try:
            arrived, after = 0, 0
            while items := await self._spool.waiting(self.alias_id, after):
                after = items[-1].id
                arrived += await self._take_in(items)
            return arrived
        finally:
            self._taking_in.release()

    async def _take_in(self, items: Sequence[SealedItem]) -> int:
        opened = await self._threads.run(lambda: [self._opened(item) for item in items])
        ready = [(item, *pair) for item, pair in zip(items, opened, strict=True) if pair]
        if len(ready) < len(items):
            self._log.error(
                "sealed mail cannot be opened and stays where it is",
                alias_id=self.alias_id,
                count=len(items) - len(ready),
            )

        def work(tx: Transaction) -> int:
            arrivals = [
                messages.deliver(tx, delivery.id, delivery.folder, prepared)
                for _, delivery, prepared in ready
            ]
            return sum(arrivals)

        arrived = await self.write(work)
        await self._spool.discard([item for item, _, _ in ready])
        return arrived

    def _opened(self, item: SealedItem) -> tuple[Delivery, Prepared] | None:
        try:
            delivery = open_sealed(
                self._sealing_private, self.alias_id, item.delivery_id, item.octets
            )
        except Corrupt:
            return None
        return delivery, prepare(delivery.message)

    def _take_in_hinted(self) -> None:
        if not self._take_in_waits:  # one that has not begun yet will find everything
            self._take_in_waits = True
            self._start(self.take_in())

    def _tend_later(self) -> None:
        """When nothing arrived for a moment, or has arrived without end for a while."""
        now = self._clock.seconds()
        if self._is_leaving:
            return
        if self._upkeep_timer is None:
            self._neglected_since = now
            self._upkeep_timer = self._clock.callLater(UPKEEP_DELAY_SECONDS, self._tend_now)
        elif now - self._neglected_since < UPKEEP_DELAY_MAX_SECONDS:
            self._upkeep_timer.reset(UPKEEP_DELAY_SECONDS)

    def _tend_now(self) -> None:
        self._upkeep_timer = None
        self._start(self._tend())

    async def _tend(self) -> None:
        """Every chore that is due; damage that one of them meets does not keep the others."""
        for chore in CHORES:
            try:
                await self._do(chore)
            except Corrupt:
                self._log.failure(
                    "a chore met damage in mailbox {alias_id}", alias_id=self.alias_id
                )

    async def _do(self, chore: Chore) -> None:
        """A bounded transaction at a time, until nothing is due or we are to close."""
        while not self._is_leaving and await self.read(chore.is_due):
            if not await self.write(chore.work):
                break

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        done: Deferred[object] = Deferred.fromCoroutine(work)
        self._background.add(done)
        done.addErrback(lambda failure: failure.trap(MailboxGone) and None)
        done.addErrback(lambda failure: self._log.failure("mailbox work failed", failure))
        done.addBoth(lambda _: self._background.discard(done))


def _identity(path: Path) -> tuple[int, int]:
    """Device and inode, zeros if there is no such file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _NO_FILE
    return (found.st_dev, found.st_ino)


def _prepare_all(messages: Sequence[NewMessage]) -> Results:
    return [_prepared_or_failure(message) for message in messages]


def _prepared_or_failure(message: NewMessage) -> Prepared | Failure:
    """One that cannot be prepared must not keep out those that came with it."""
    try:
        return prepare(message)
    except Exception:
        return Failure()


def fill_new(connection: apsw.Connection, now: float) -> bytes:
    """The first rows of a new file, in one transaction; returns the public sealing key."""
    public, private = new_key_pair()
    connection.execute("BEGIN IMMEDIATE")
    tx = Transaction(connection.cursor(), now)
    prefix = secrets.token_hex(4)
    tx.run("INSERT INTO mailbox VALUES (1, 0, 0, 0, ?, ?, ?, 0)", public, private, prefix)
    for name, use in DEFAULT_FOLDERS:
        folders.add(tx, name, special_use=use)
    mark_reading(tx)
    connection.execute("COMMIT")
    return public
