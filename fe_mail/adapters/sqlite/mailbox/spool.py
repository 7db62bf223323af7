"""
``sealed.sqlite``: mail that waits for locked mailboxes, and what must be known without their keys.

One file for the whole server, so that deliveries to many mailboxes share one fsync. It holds no
readable mail: see ``sealing``. The octets that an open mailbox uses are written here a little
later than they change; a crash in between is set right by the next unlock.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.mailbox.sealing import seal
from fe_mail.adapters.threads import Threads
from fe_mail.model.errors import MailError, NotFound, OverQuota
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery

__all__ = ["SealedItem", "Spool", "Usage"]

WAITING_ITEMS = 100  # taken in together
WAITING_OCTETS = 32 * 1024 * 1024
USED_DELAY_SECONDS = 5.0

_NO_MAILBOX = "There is no such mailbox."


@attrs.frozen(kw_only=True)
class SealedItem:
    """One sealed delivery."""

    id: int
    delivery_id: str
    octets: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Usage:
    """Octets of one mailbox."""

    limit_octets: int
    used_octets: int
    sealed_octets: int


class Spool:
    """The sealed mail and the usage of all mailboxes."""

    _log = Logger()

    def __init__(self, directory: Path, threads: Threads, clock: IReactorTime) -> None:
        self._database = Database(directory / "sealed.sqlite", "sealed", threads)
        self._threads = threads
        self._clock = clock
        self._used: dict[AliasId, int] = {}  # not written yet
        self._timer: IDelayedCall | None = None
        self._writing: set[Deferred[None]] = set()

    async def open(self) -> None:
        """Open or create the file."""
        await self._database.open()

    async def close(self) -> None:
        """Write what is to be written and close."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.flush()
        await self._database.close()

    async def add_mailbox(self, alias_id: AliasId) -> None:
        """A mailbox without mail."""
        await self._database.write(
            lambda cursor: (
                cursor.execute(
                    "INSERT INTO mailbox (alias_id, limit_octets, used_octets) VALUES (?, 0, 0)"
                    " ON CONFLICT DO NOTHING",
                    (alias_id,),
                )
                and None
            )
        )

    async def remove_mailbox(self, alias_id: AliasId) -> None:
        """Forget a mailbox and everything sealed for it."""
        self._used.pop(alias_id, None)

        def work(cursor: Cursor) -> None:
            cursor.execute("DELETE FROM sealed WHERE alias_id = ?", (alias_id,))
            cursor.execute("DELETE FROM mailbox WHERE alias_id = ?", (alias_id,))

        await self._database.write(work)

    async def set_limit(self, alias_id: AliasId, limit_octets: int) -> None:
        """Set a quota. ``NotFound``."""

        def work(cursor: Cursor) -> None:
            sql = "UPDATE mailbox SET limit_octets = ? WHERE alias_id = ? RETURNING 1"
            if not cursor.execute(sql, (limit_octets, alias_id)).fetchall():
                raise NotFound(_NO_MAILBOX)

        await self._database.write(work)

    async def usage(self, alias_id: AliasId) -> Usage | None:
        """What is known of a mailbox, None if there is none."""
        usage = await self._database.read(lambda cursor: _usage(cursor, alias_id))
        if usage is None or alias_id not in self._used:
            return usage
        return attrs.evolve(usage, used_octets=self._used[alias_id])

    async def seal(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> bool:
        """Seal and keep, durably. ``NotFound``, ``OverQuota``. False if it waits already."""
        octets = await self._threads.run(lambda: seal(sealing_key, alias_id, delivery))
        size = len(delivery.message.raw)
        return await self._database.write(
            lambda cursor: _add(cursor, alias_id, delivery.id, size, octets)
        )

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

    def note_used(self, alias_id: AliasId, used_octets: int) -> None:
        """An open mailbox uses so much; written soon."""
        self._used[alias_id] = used_octets
        if self._timer is None:
            self._timer = self._clock.callLater(USED_DELAY_SECONDS, self._flush_later)

    def _flush_later(self) -> None:
        self._timer = None
        done = Deferred.fromCoroutine(self.flush())
        self._writing.add(done)
        done.addErrback(lambda failure: self._log.failure("usage was not written", failure))
        done.addBoth(lambda _: self._writing.discard(done))

    async def flush(self) -> None:
        """Write what open mailboxes use."""
        used, self._used = self._used, {}
        if not used:
            return
        rows = [(alias_id, octets) for alias_id, octets in used.items()]
        sql = "UPDATE mailbox SET used_octets = ?2 WHERE alias_id = ?1"
        try:
            await self._database.write(lambda cursor: cursor.executemany(sql, rows) and None)
        except MailError:
            self._used = {**used, **self._used}
            raise

    async def mailboxes(self) -> frozenset[str]:
        """The ids of all mailboxes that are known here."""
        return await self._database.read(
            lambda cursor: frozenset(
                row[0] for row in cursor.execute("SELECT alias_id FROM mailbox").fetchall()
            )
        )

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return await self._database.read(_check)


def _usage(cursor: Cursor, alias_id: AliasId) -> Usage | None:
    sql = "SELECT limit_octets, used_octets, sealed_octets FROM mailbox WHERE alias_id = ?"
    for limit, used, sealed in cursor.execute(sql, (alias_id,)).fetchall():
        return Usage(limit_octets=limit, used_octets=used, sealed_octets=sealed)
    return None


def _add(cursor: Cursor, alias_id: AliasId, delivery_id: str, size: int, octets: bytes) -> bool:
    usage = _usage(cursor, alias_id)
    if usage is None:
        raise NotFound(_NO_MAILBOX)
    known = "SELECT 1 FROM sealed WHERE alias_id = ? AND delivery_id = ?"
    if cursor.execute(known, (alias_id, delivery_id)).fetchall():
        return False
    used = usage.used_octets + usage.sealed_octets
    if usage.limit_octets and used + size > usage.limit_octets:
        raise OverQuota
    cursor.execute(
        "INSERT INTO sealed (alias_id, delivery_id, size_octets, octets) VALUES (?, ?, ?, ?)",
        (alias_id, delivery_id, size, octets),
    )
    return True


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
