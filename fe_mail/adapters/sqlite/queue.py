"""
The ``Queue`` in one SQLite file (schema ``queue``).

Every method is one transaction; ``put``, ``claim`` and ``settle`` that meet share a commit. A
lease is a random token in the row: whoever wrote it last has the delivery, in this process or
another. ``due_at`` is computed by SQLite from the next attempt and the lease, and indexed.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fe_mail.adapters.queue_rules import check_put, settled
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.queue_rows import (
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    delivery_row,
    delivery_value,
    message_row,
    message_value,
)
from fe_mail.adapters.threads import Threads
from fe_mail.model.errors import Conflict, NotFound
from fe_mail.model.ids import BlobId
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueEntry,
    QueueFilter,
)

__all__ = ["SQLiteQueue"]

_INSERT_MESSAGE = (
    f"INSERT INTO messages ({', '.join(MESSAGE_COLUMNS)}) "  # noqa: S608  # constants
    f"VALUES ({', '.join('?' * len(MESSAGE_COLUMNS))}) RETURNING serial"
)
_INSERT_DELIVERY = (
    f"INSERT INTO deliveries (message, {', '.join(DELIVERY_COLUMNS)}) "  # noqa: S608
    f"VALUES (?, {', '.join('?' * len(DELIVERY_COLUMNS))})"
)
_SELECT_MESSAGE = f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM messages"  # noqa: S608
_SELECT_DELIVERY = f"SELECT {', '.join(DELIVERY_COLUMNS)} FROM deliveries"  # noqa: S608
_CLAIM = """
    UPDATE deliveries SET token = ?, lease_until = ? WHERE serial = ?
"""
_DUE = """
    SELECT serial, message FROM deliveries
    WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at, serial LIMIT ?
"""
_SETTLE = """
    UPDATE deliveries SET state = ?, hold_reason = ?, attempts = ?, next_attempt_at = ?,
        last_status = ?, last_attempt_at = ?, delayed_notice_at = ?, token = '', lease_until = 0
    WHERE serial = ?
"""
_HOLD = """
    UPDATE deliveries SET state = 'held', hold_reason = ?
    WHERE message = ? AND number = ? AND state = 'waiting'
"""
_RELEASE = """
    UPDATE deliveries SET state = 'waiting', hold_reason = '', next_attempt_at = ?
    WHERE message = ? AND number = ? AND state IN ('waiting', 'held')
"""
_DROP_IF_DONE = """
    DELETE FROM messages WHERE serial = ? AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message = messages.serial AND state IN ('waiting', 'held')
    ) RETURNING blob
"""
_FIND = """
    SELECT serial FROM messages
    WHERE (:message_id = '' OR id = :message_id)
        AND (:alias_id = '' OR alias_id = :alias_id)
        AND (:domain_id = '' OR domain_id = :domain_id)
        AND EXISTS (
            SELECT 1 FROM deliveries WHERE message = messages.serial
                AND (:state = '' OR state = :state)
                AND (:recipient = '' OR instr(fold(recipient), :recipient) > 0)
        )
    ORDER BY created_at, serial LIMIT :limit
"""
_NO_OPEN_DELIVERY = """
    SELECT id FROM messages WHERE NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message = messages.serial AND state IN ('waiting', 'held')
    )
"""


class SQLiteQueue:
    """A durable queue in a file that processes may share; encrypted if it has a key."""

    def __init__(self, path: str | Path, threads: Threads, *, key: bytes | None = None) -> None:
        self._database = Database(path, "queue", threads, key=key)

    async def start(self) -> None:
        """Open, create or upgrade the file."""
        await self._database.open()

    async def stop(self) -> None:
        """Finish and close."""
        await self._database.close()

    async def put(self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]) -> bool:
        """Durable when it returns. False if a message of this id was there already."""
        check_put(message, deliveries)
        row = message_row(message)
        rows = [delivery_row(delivery) for delivery in deliveries]

        def work(cursor: Cursor) -> bool:
            if cursor.execute("SELECT 1 FROM messages WHERE id = ?", (message.id,)).fetchone():
                return False
            (serial,) = cursor.execute(_INSERT_MESSAGE, row).fetchall()[0]
            cursor.executemany(_INSERT_DELIVERY, [(serial, *values) for values in rows])
            return True

        return await self._database.write(work)

    async def claim(self, now: float, lease_seconds: float, limit: int) -> tuple[Claim, ...]:
        """Lease waiting deliveries that are due, oldest due first."""
        lease_until = now + lease_seconds

        def work(cursor: Cursor) -> tuple[Claim, ...]:
            due = cursor.execute(_DUE, (now, max(0, limit))).fetchall()
            messages: dict[int, QueuedMessage] = {}
            claims = []
            for serial, message in due:
                if message not in messages:
                    messages[message] = _message(cursor, message)
                token = secrets.token_hex(16)
                cursor.execute(_CLAIM, (token, lease_until, serial))
                claims.append(
                    Claim(
                        message=messages[message],
                        delivery=_delivery(cursor, messages[message].id, serial),
                        token=token,
                        lease_until=lease_until,
                    )
                )
            return tuple(claims)

        if not await self._database.read(lambda cursor: _is_any_due(cursor, now)):
            return ()  # nothing to write: polling costs no fsync
        return await self._database.write(work)

    async def renew(self, claim: Claim, lease_until: float) -> None:
        """Extend a lease. ``Conflict`` when it was lost."""

        def work(cursor: Cursor) -> None:
            serial, _ = _leased(cursor, claim)
            cursor.execute(
                "UPDATE deliveries SET lease_until = ? WHERE serial = ?", (lease_until, serial)
            )

        await self._database.write(work)

    async def end_leases(self) -> int:
        """End every lease; how many there were."""

        def work(cursor: Cursor) -> int:
            ended = cursor.execute(
                "UPDATE deliveries SET token = '', lease_until = 0 WHERE token != '' RETURNING 1"
            ).fetchall()
            return len(ended)

        return await self._database.write(work)

    async def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        now: float,
        next_attempt_at: float = 0.0,
        delayed_notice_at: float = 0.0,
    ) -> BlobId | None:
        """Record an outcome and end the lease; the blob if the message went with it."""

        def work(cursor: Cursor) -> BlobId | None:
            serial, message = _leased(cursor, claim)
            before = _delivery(cursor, claim.message.id, serial)
            after = settled(before, outcome, now, next_attempt_at, delayed_notice_at)
            cursor.execute(
                _SETTLE,
                (
                    after.state.value,
                    after.hold_reason,
                    after.attempts,
                    after.next_attempt_at,
                    after.last_status,
                    after.last_attempt_at,
                    after.delayed_notice_at,
                    serial,
                ),
            )
            gone = cursor.execute(_DROP_IF_DONE, (message,)).fetchone()
            return BlobId(gone[0]) if gone else None

        return await self._database.write(work)

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """Hold waiting deliveries (all, or those numbered). ``NotFound``."""

        def work(cursor: Cursor) -> None:
            message, chosen = _numbered(cursor, message_id, numbers)
            cursor.executemany(_HOLD, [(reason, message, number) for number in chosen])

        await self._database.write(work)

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due at once. ``NotFound``."""

        def work(cursor: Cursor) -> None:
            message, chosen = _numbered(cursor, message_id, numbers)
            cursor.executemany(_RELEASE, [(now, message, number) for number in chosen])

        await self._database.write(work)

    async def drop(self, message_id: str) -> BlobId:
        """Remove a message with all deliveries; returns its blob for deletion. ``NotFound``."""

        def work(cursor: Cursor) -> BlobId:
            gone = cursor.execute(
                "DELETE FROM messages WHERE id = ? RETURNING blob", (message_id,)
            ).fetchone()
            if gone is None:
                raise NotFound("The message is not in the queue.")
            return BlobId(gone[0])

        return await self._database.write(work)

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first."""
        conditions = {
            "message_id": which.message_id,
            "alias_id": which.alias_id,
            "domain_id": which.domain_id,
            "state": which.state.value if which.state else "",
            "recipient": which.recipient.casefold(),
            "limit": max(0, which.limit),
        }

        def work(cursor: Cursor) -> tuple[QueueEntry, ...]:
            serials = cursor.execute(_FIND, conditions).fetchall()
            return tuple(_entry(cursor, serial) for (serial,) in serials)

        return await self._database.read(work)

    async def next_due(self) -> float | None:
        """When the earliest waiting delivery is due (or its lease runs out), None if none."""
        return await self._database.read(
            lambda cursor: cursor.execute(
                "SELECT min(due_at) FROM deliveries WHERE state = 'waiting'"
            ).fetchall()[0][0]
        )

    async def counts(self) -> Mapping[DeliveryState, int]:
        """How many deliveries stand in each state."""
        rows = await self._database.read(
            lambda cursor: cursor.execute(
                "SELECT state, count(*) FROM deliveries GROUP BY state"
            ).fetchall()
        )
        found: dict[str, int] = dict(rows)
        return {state: found.get(state.value, 0) for state in DeliveryState}

    async def blobs(self) -> frozenset[BlobId]:
        """Every blob that a message still needs."""
        rows = await self._database.read(
            lambda cursor: cursor.execute("SELECT blob FROM messages").fetchall()
        )
        return frozenset(BlobId(blob) for (blob,) in rows)

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""

        def work(cursor: Cursor) -> tuple[str, ...]:
            damage = cursor.execute("PRAGMA integrity_check").fetchall()
            stray = cursor.execute("PRAGMA foreign_key_check").fetchall()
            closed = cursor.execute(_NO_OPEN_DELIVERY).fetchall()
            return (
                *(f"The queue's file is damaged: {line}." for (line,) in damage if line != "ok"),
                *(f"Row {row[1]} of {row[0]} belongs to no message." for row in stray),
                *(f"Message {message_id} has no open delivery." for (message_id,) in closed),
            )

        return await self._database.read(work)


def _is_any_due(cursor: Cursor, now: float) -> bool:
    return cursor.execute(_DUE, (now, 1)).fetchone() is not None


def _leased(cursor: Cursor, claim: Claim) -> tuple[int, int]:
    """(serial of the delivery, serial of the message) while the claim holds."""
    row = cursor.execute(
        "SELECT deliveries.serial, message FROM messages JOIN deliveries "
        "ON message = messages.serial WHERE id = ? AND number = ? AND token = ?",
        (claim.message.id, claim.delivery.number, claim.token),
    ).fetchone()
    if row is None or not claim.token:
        raise Conflict("The lease was lost.")
    return row[0], row[1]


def _numbered(cursor: Cursor, message_id: str, numbers: Sequence[int]) -> tuple[int, Iterable[int]]:
    """The serial of a message and which of its deliveries are meant."""
    rows = cursor.execute(
        "SELECT messages.serial, number FROM messages JOIN deliveries "
        "ON message = messages.serial WHERE id = ?",
        (message_id,),
    ).fetchall()
    present = {number for _, number in rows}
    if not rows or not set(numbers) <= present:
        raise NotFound("The message or the delivery is not in the queue.")
    return rows[0][0], set(numbers) or present


def _entry(cursor: Cursor, serial: int) -> QueueEntry:
    message = _message(cursor, serial)
    rows = cursor.execute(f"{_SELECT_DELIVERY} WHERE message = ? ORDER BY number", (serial,))
    deliveries = tuple(delivery_value(message.id, row) for row in rows.fetchall())
    return QueueEntry(message=message, deliveries=deliveries)


def _message(cursor: Cursor, serial: int) -> QueuedMessage:
    row = cursor.execute(f"{_SELECT_MESSAGE} WHERE serial = ?", (serial,)).fetchall()[0]
    return message_value(row)


def _delivery(cursor: Cursor, message_id: str, serial: int) -> QueuedDelivery:
    row = cursor.execute(f"{_SELECT_DELIVERY} WHERE serial = ?", (serial,)).fetchall()[0]
    return delivery_value(message_id, row)
