"""
``sealed.sqlite``: mail that waits for locked mailboxes, and what must be known without their keys.

One file for the whole server, so that deliveries to many mailboxes share one fsync. It holds no
readable mail: see ``sealing``. It knows which mailbox an alias has, by its epoch and by the hash of
its sealing key; mail that was sealed to another key is refused in the transaction that would keep
it, so that nothing is ever called delivered that nobody can read. A mailbox that went leaves its
epoch behind for ``ENDED_KEPT_SECONDS``: whoever is late then finds it. The octets that an open
mailbox uses are written here a little later than they change; a crash in between is set right by
the next unlock.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.mailbox.sealing import seal
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch
from fe_mail.model.errors import Conflict, MailError, NotFound, OverQuota
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery

__all__ = ["SealedItem", "Spool", "Usage"]

WAITING_ITEMS = 100  # taken in together
WAITING_OCTETS = 32 * 1024 * 1024
USED_DELAY_SECONDS = 5.0
ENDED_KEPT_SECONDS = 30 * 86_400.0  # no process is that late
ALONE_OCTETS = 1024 * 1024  # a bigger message is sealed before its turn, so that none waits for it

_NO_MAILBOX = "There is no such mailbox."
_REPLACED = "The mailbox was replaced in the meantime."
_GONE = b""  # as a key mark


@attrs.frozen(kw_only=True)
class SealedItem:
    """One sealed delivery."""

    id: int
    delivery_id: str
    octets: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Usage:
    """The last mailbox of an alias: which one, and its octets. ``key_mark`` empty: it is gone."""

    epoch: int
    key_mark: bytes | None
    limit_octets: int
    used_octets: int
    sealed_octets: int

    @property
    def is_gone(self) -> bool:
        """Only the memory of a mailbox."""
        return self.key_mark == _GONE


class Spool:
    """
    The sealed mail and the usage of all mailboxes.

    ``key`` makes the hashes of delivery ids: without it they prove nothing to whoever has the disk.
    """

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        threads: Threads,
        clock: IReactorTime,
        key: bytes,
        watch: Watch | None = None,
    ) -> None:
        self._database = Database(
            directory / "sealed.sqlite", "sealed", threads, watch=watch, is_lasting=True
        )
        self._threads = threads
        self._clock = clock
        self._key = key
        self._used: dict[tuple[AliasId, int], int] = {}  # not written yet
        self._timer: IDelayedCall | None = None
        self._writing: set[Deferred[None]] = set()

    async def open(self, opening: Opening = Opening.NEW) -> None:
        """Open or create the file."""
        await self._database.open(opening)

    async def close(self) -> None:
        """Write what is to be written and close."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self.flush()
        except MailError as error:  # on a full disk, say; the next unlock sets it right
            self._log.warn("usage was not written: {reason}", reason=error.message)
        await self._database.close()

    async def probe(self) -> None:
        """Can anything be kept?"""
        await self._database.probe()

    async def begin(
        self,
        alias_id: AliasId,
        epoch: int,
        sealing_key: bytes,
        limit_octets: int,
        place: Callable[[], None],
    ) -> None:
        """
        The alias has this mailbox from now on. ``Conflict`` when a later one was begun or ended.

        ``place`` gives the new file its name, in the transaction: whoever ends this mailbox does
        so either before, and there is no file, or after, and finds it.
        """

        def work(cursor: Cursor) -> None:
            usage = _usage(cursor, alias_id)
            if usage is not None and usage.epoch >= epoch:
                raise Conflict(_REPLACED)
            place()
            _forget(cursor, alias_id)
            cursor.execute(
                "INSERT INTO mailbox (alias_id, epoch, key_mark, limit_octets, used_octets)"
                " VALUES (?, ?, ?, ?, 0)",
                (alias_id, epoch, _mark(sealing_key), limit_octets),
            )

        await self._database.write(work)

    async def settle(self, alias_id: AliasId, before: int, sealing_key: bytes) -> int | None:
        """
        End what was begun before this epoch, unless it has this key, and drop its sealed mail.

        Returns the epoch of the mailbox that stays, if one does.
        """
        now = self._clock.seconds()

        def work(cursor: Cursor) -> int | None:
            usage = _usage(cursor, alias_id)
            _forget_ended(cursor, now)
            if usage is not None and not usage.is_gone and usage.epoch >= before:
                return usage.epoch
            if usage is not None and _has_key(cursor, alias_id, usage, sealing_key):
                return usage.epoch
            epoch = before - 1 if usage is None else max(before - 1, usage.epoch)
            _forget(cursor, alias_id)
            cursor.execute(
                "INSERT INTO mailbox (alias_id, epoch, key_mark, ended_at, limit_octets,"
                " used_octets) VALUES (?, ?, ?, ?, 0, 0)",
                (alias_id, epoch, _GONE, now),
            )
            return None

        return await self._database.write(work)

    async def add_mailbox(self, alias_id: AliasId, epoch: int = 0) -> None:
        """A mailbox whose file is there and of which nothing is known here, as after a loss."""
        await self._database.execute(
            "INSERT INTO mailbox (alias_id, epoch, limit_octets, used_octets) VALUES (?, ?, 0, 0)"
            " ON CONFLICT DO NOTHING",
            (alias_id, epoch),
        )

    async def set_limit(self, alias_id: AliasId, limit_octets: int) -> None:
        """Set a quota. ``NotFound``."""

        usage = await self.usage(alias_id)
        if usage is None or usage.is_gone:
            raise NotFound(_NO_MAILBOX)
        if usage.limit_octets != limit_octets:
            await self._database.execute(
                "UPDATE mailbox SET limit_octets = ? WHERE alias_id = ? AND key_mark IS NOT x''",
                (limit_octets, alias_id),
            )

    async def usage(self, alias_id: AliasId) -> Usage | None:
        """What is known of the last mailbox of an alias, None if there was none."""
        usage = await self._database.read(lambda cursor: _usage(cursor, alias_id))
        if usage is None:
            return None
        used = self._used.get((alias_id, usage.epoch), usage.used_octets)
        return attrs.evolve(usage, used_octets=used)

    async def seal(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> bool:
        """
        Seal and keep, durably; False if it waits already.

        ``NotFound``, ``OverQuota``; ``Conflict`` when the mailbox has another key.
        """
        sealed: bytes | None = None
        if len(delivery.message.raw) > ALONE_OCTETS:
            sealed = await self._threads.run(lambda: seal(sealing_key, alias_id, delivery))
        hashed = self._hashed(alias_id, delivery.id)

        def prepare() -> Callable[[Cursor], bool]:
            octets = sealed or seal(sealing_key, alias_id, delivery)
            size = len(delivery.message.raw)

            def work(cursor: Cursor) -> bool:
                usage = _usage(cursor, alias_id)
                if usage is None:
                    raise NotFound(_NO_MAILBOX)
                if not _has_key(cursor, alias_id, usage, sealing_key):
                    raise Conflict(_REPLACED)
                if _is_waiting(cursor, alias_id, hashed, delivery.id):
                    return False
                _add(cursor, alias_id, usage, hashed, size, octets)
                return True

            return work

        return await self._database.write_prepared(prepare)

    def _hashed(self, alias_id: AliasId, delivery_id: str) -> str:
        text = f"{alias_id}\0{delivery_id}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    async def waiting(self, alias_id: AliasId, after: int) -> tuple[SealedItem, ...]:
        """The next items with a greater id than ``after``, oldest first; empty if none."""
        return await self._database.read(lambda cursor: _waiting(cursor, alias_id, after))

    async def discard(self, items: Sequence[SealedItem]) -> None:
        """
        Remove items that were taken in. Their number alone does not name them: when another
        process was quicker, newer mail may have it by now.
        """
        taken = [(item.id, item.delivery_id) for item in items]
        sql = "DELETE FROM sealed WHERE id = ? AND delivery_id = ?"
        await self._database.write(lambda cursor: cursor.executemany(sql, taken) and None)

    def note_used(self, alias_id: AliasId, used_octets: int, epoch: int = 0) -> None:
        """An open mailbox uses so much; written soon."""
        self._used[alias_id, epoch] = used_octets
        if self._timer is None:
            self._timer = self._clock.callLater(USED_DELAY_SECONDS, self._flush_later)

    def _flush_later(self) -> None:
        self._timer = None
        done = Deferred.fromCoroutine(self.flush())
        self._writing.add(done)
        done.addErrback(lambda failure: self._log.failure("usage was not written", failure))
        done.addBoth(lambda _: self._writing.discard(done))

    async def flush(self) -> None:
        """Write what open mailboxes use; one that was replaced meanwhile counts no more."""
        used, self._used = self._used, {}
        if not used:
            return
        rows = [(alias_id, epoch, octets) for (alias_id, epoch), octets in used.items()]
        sql = (
            "UPDATE mailbox SET used_octets = ?3 WHERE alias_id = ?1 AND epoch = ?2"
            " AND key_mark IS NOT x''"
        )
        try:
            await self._database.write(lambda cursor: cursor.executemany(sql, rows) and None)
        except MailError:
            self._used = {**used, **self._used}
            raise

    async def waiting_count(self) -> int:
        """How many messages wait sealed."""
        statement = "SELECT count(*) FROM sealed"
        ((count,),) = await self._database.read(lambda c: c.execute(statement).fetchall())
        return int(count)

    async def mailboxes(self) -> dict[AliasId, int]:
        """The epoch of every mailbox that is not gone, by its alias."""
        sql = "SELECT alias_id, epoch FROM mailbox WHERE key_mark IS NOT x''"
        rows = await self._database.read(lambda cursor: cursor.execute(sql).fetchall())
        return {AliasId(alias_id): epoch for alias_id, epoch in rows}

    async def usages(self) -> dict[AliasId, int]:
        """Octets of stored and sealed mail of every alias that has a mailbox."""
        sql = (
            "SELECT alias_id, epoch, used_octets, sealed_octets FROM mailbox"
            " WHERE key_mark IS NOT x''"
        )
        unwritten = dict(self._used)

        def work(cursor: Cursor) -> dict[AliasId, int]:
            return {
                AliasId(alias_id): unwritten.get((alias_id, epoch), used) + sealed
                for alias_id, epoch, used, sealed in cursor.execute(sql).fetchall()
            }

        return await self._database.read(work)

    async def has_key(self, alias_id: AliasId, sealing_key: bytes) -> bool:
        """Is this the key of the alias's mailbox? Of one that no delivery has named yet: yes."""
        usage = await self.usage(alias_id)
        return usage is not None and usage.key_mark in (None, _mark(sealing_key))

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return await self._database.read(_check)


def _mark(sealing_key: bytes) -> bytes:
    return hashlib.sha256(sealing_key).digest() if sealing_key else _GONE


def _usage(cursor: Cursor, alias_id: AliasId) -> Usage | None:
    sql = (
        "SELECT epoch, key_mark, limit_octets, used_octets, sealed_octets FROM mailbox"
        " WHERE alias_id = ?"
    )
    for epoch, mark, limit, used, sealed in cursor.execute(sql, (alias_id,)).fetchall():
        return Usage(
            epoch=epoch,
            key_mark=mark,
            limit_octets=limit,
            used_octets=used,
            sealed_octets=sealed,
        )
    return None


def _has_key(cursor: Cursor, alias_id: AliasId, usage: Usage, sealing_key: bytes) -> bool:
    """
    Is this the key of the mailbox? One of version 1 learns it here: it was never replaced since
    (then its row would say so), so every key that is read for it is its own.
    """
    mark = _mark(sealing_key)
    if usage.key_mark is None and mark:
        sql = "UPDATE mailbox SET key_mark = ? WHERE alias_id = ?"
        cursor.execute(sql, (mark, alias_id))
        return True
    return bool(mark) and usage.key_mark == mark


def _forget(cursor: Cursor, alias_id: AliasId) -> None:
    cursor.execute("DELETE FROM sealed WHERE alias_id = ?", (alias_id,))
    cursor.execute("DELETE FROM mailbox WHERE alias_id = ?", (alias_id,))


def _forget_ended(cursor: Cursor, now: float) -> None:
    sql = "DELETE FROM mailbox WHERE key_mark = x'' AND ended_at < ?"
    cursor.execute(sql, (now - ENDED_KEPT_SECONDS,))


def _is_waiting(cursor: Cursor, alias_id: AliasId, hashed: str, delivery_id: str) -> bool:
    """Under the hash of its id, or under the id itself since before version 2."""
    sql = "SELECT 1 FROM sealed WHERE alias_id = ? AND delivery_id IN (?, ?)"
    return bool(cursor.execute(sql, (alias_id, hashed, delivery_id)).fetchall())


def _add(
    cursor: Cursor, alias_id: AliasId, usage: Usage, hashed: str, size: int, octets: bytes
) -> None:
    used = usage.used_octets + usage.sealed_octets
    if usage.limit_octets and used + size > usage.limit_octets:
        raise OverQuota
    cursor.execute(
        "INSERT INTO sealed (alias_id, delivery_id, size_octets, octets) VALUES (?, ?, ?, ?)",
        (alias_id, hashed, size, octets),
    )


def _waiting(cursor: Cursor, alias_id: AliasId, after: int) -> tuple[SealedItem, ...]:
    sizes = cursor.execute(
        "SELECT id, size_octets FROM sealed WHERE alias_id = ? AND id > ? ORDER BY id LIMIT ?",
        (alias_id, after, WAITING_ITEMS),
    ).fetchall()
    items: list[SealedItem] = []
    total = 0
    for item_id, size in sizes:
        total += size
        if items and total > WAITING_OCTETS:
            break
        sql = "SELECT delivery_id, octets FROM sealed WHERE id = ?"
        for delivery_id, octets in cursor.execute(sql, (item_id,)).fetchall():
            items.append(SealedItem(id=item_id, delivery_id=delivery_id, octets=octets))
    return tuple(items)


def _check(cursor: Cursor) -> tuple[str, ...]:
    if cursor.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        return ("The file of sealed mail is damaged.",)
    wrong = cursor.execute(
        "SELECT alias_id FROM mailbox WHERE sealed_octets <> (SELECT"
        " coalesce(sum(size_octets), 0) FROM sealed WHERE sealed.alias_id = mailbox.alias_id)"
    ).fetchall()
    broken = [f"Mailbox {row[0]}: its sealed mail is not counted right." for row in wrong]
    if cursor.execute("PRAGMA foreign_key_check").fetchall():
        broken.append("Sealed mail waits for a mailbox that is missing.")
    return tuple(broken)
