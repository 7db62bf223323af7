"""
The statements of the operator's list: what is in the queue, and what he changes by hand.

All of it runs in a transaction of ``SQLiteQueue``.
"""

from collections.abc import Iterable, Mapping, Sequence

from fe_mail.adapters.sqlite.database import Cursor, Value
from fe_mail.adapters.sqlite.queue_claims import message_of
from fe_mail.adapters.sqlite.queue_rows import SELECT_DELIVERIES, delivery_value
from fe_mail.model.errors import NotFound
from fe_mail.model.ids import BlobId
from fe_mail.model.queue import DeliveryState, QueueEntry, QueueFilter

__all__ = [
    "broken_invariants",
    "counts",
    "drop",
    "find",
    "hold",
    "large_bodies",
    "release",
    "waiting_octets",
]

MAX_COUNTED = 1000  # deliveries of one lane, twice

_HOLD = """
    UPDATE deliveries SET state = 'held', hold_reason = ?
    WHERE message = ? AND number = ? AND state = 'waiting'
"""
_RELEASE = """
    UPDATE deliveries SET state = 'waiting', hold_reason = '', next_attempt_at = ?
    WHERE message = ? AND number = ? AND state IN ('waiting', 'held')
"""
_COUNTS = """
    SELECT
        (SELECT coalesce(sum(waiting), 0) FROM turns)
            + (SELECT count(*) FROM deliveries WHERE lease_until > 0 AND state = 'waiting'),
        (SELECT count(*) FROM deliveries WHERE state = 'held')
"""
# Both indexes are small: what is ready in one lane, and what is under way anywhere.
_WAITING_OCTETS = """
    SELECT coalesce(sum(size_octets), 0) FROM messages WHERE serial IN (
        SELECT message FROM (
            SELECT message FROM deliveries INDEXED BY deliveries_ready
            WHERE lane = :lane AND state = 'waiting' AND lease_until = 0 LIMIT :limit
        )
        UNION ALL
        SELECT message FROM (
            SELECT message FROM deliveries INDEXED BY deliveries_leased
            WHERE lease_until > 0 AND lane = :lane AND state = 'waiting' LIMIT :limit
        )
    )
"""
_FIND = """
    SELECT serial FROM messages
    WHERE (:message_id = '' OR id = :message_id)
        AND (:alias_id = '' OR alias_id = :alias_id)
        AND (:domain_id = '' OR domain_id = :domain_id)
        AND (created_at, id) > (:after_at, :after_id)
        AND EXISTS (
            SELECT 1 FROM deliveries WHERE message = messages.serial
                AND (:state = '' OR state = :state)
                AND (:recipient = '' OR instr(fold(recipient), :recipient) > 0)
        )
    ORDER BY created_at, id LIMIT :limit
"""
_NO_OPEN_DELIVERY = """
    SELECT id FROM messages WHERE NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message = messages.serial AND state IN ('waiting', 'held')
    )
"""
_NO_BODY = "SELECT id FROM messages WHERE blob = '' AND body IS NULL"
_WRONG_TURNS = """
    SELECT DISTINCT lane FROM turns FULL JOIN (
        SELECT kind, owner, lane, count(*) AS ready, min(next_attempt_at) AS earliest
        FROM deliveries WHERE state = 'waiting' AND lease_until = 0 GROUP BY kind, owner, lane
    ) USING (kind, owner, lane)
    WHERE waiting IS NOT ready OR due_at <> max(rest_until, earliest)
"""


def waiting_octets(cursor: Cursor, lane: str) -> int:
    """The sizes of the messages that wait in a lane, of so many at most."""
    bindings: dict[str, Value] = {"lane": lane, "limit": MAX_COUNTED}
    octets: int = cursor.execute(_WAITING_OCTETS, bindings).fetchall()[0][0]
    return octets


def hold(cursor: Cursor, message_id: str, reason: str, numbers: Sequence[int]) -> None:
    """Hold waiting deliveries. ``NotFound``."""
    message, chosen = _numbered(cursor, message_id, numbers)
    cursor.executemany(_HOLD, [(reason, message, number) for number in chosen])


def release(cursor: Cursor, message_id: str, now: float, numbers: Sequence[int]) -> None:
    """Make held or waiting deliveries due. ``NotFound``."""
    message, chosen = _numbered(cursor, message_id, numbers)
    cursor.executemany(_RELEASE, [(now, message, number) for number in chosen])


def drop(cursor: Cursor, message_id: str) -> BlobId | None:
    """Remove a message; the large body to delete. ``NotFound``."""
    cursor.execute(
        "DELETE FROM deliveries WHERE message = (SELECT serial FROM messages WHERE id = ?)",
        (message_id,),
    )
    gone = cursor.execute(
        "DELETE FROM messages WHERE id = ? RETURNING blob", (message_id,)
    ).fetchone()
    if gone is None:
        raise NotFound("The message is not in the queue.")
    return BlobId(gone[0]) if gone[0] else None


def find(cursor: Cursor, which: QueueFilter) -> tuple[QueueEntry, ...]:
    """Messages that match, oldest first."""
    conditions: dict[str, Value] = {
        "message_id": which.message_id,
        "alias_id": which.alias_id,
        "domain_id": which.domain_id,
        "state": which.state.value if which.state else "",
        "recipient": which.recipient.casefold(),
        "limit": max(0, which.limit),
        "after_at": which.after[0],
        "after_id": which.after[1],
    }
    serials = cursor.execute(_FIND, conditions).fetchall()
    return tuple(_entry(cursor, serial) for (serial,) in serials)


def counts(cursor: Cursor) -> Mapping[DeliveryState, int]:
    """How many deliveries wait and are held."""
    (row,) = cursor.execute(_COUNTS).fetchall()
    return {DeliveryState.WAITING: row[0], DeliveryState.HELD: row[1]}


def broken_invariants(cursor: Cursor) -> tuple[str, ...]:
    """What is wrong with the rows, one sentence each."""
    damage = cursor.execute("PRAGMA integrity_check").fetchall()
    stray = cursor.execute("PRAGMA foreign_key_check").fetchall()
    broken = [f"The queue's file is damaged: {line}." for (line,) in damage if line != "ok"]
    broken += [f"Row {row[1]} of {row[0]} belongs to no message." for row in stray]
    for statement, sentence in (
        (_NO_OPEN_DELIVERY, "Message {} has no open delivery."),
        (_NO_BODY, "Message {} has no body."),
        (_WRONG_TURNS, "The line of {} is counted wrong."),
    ):
        broken += [sentence.format(row[0]) for row in cursor.execute(statement).fetchall()]
    return tuple(broken)


def large_bodies(cursor: Cursor) -> list[BlobId]:
    """Those that messages need."""
    blobs = cursor.execute("SELECT blob FROM messages WHERE blob <> ''").fetchall()
    return [BlobId(blob) for (blob,) in blobs]


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
    message = message_of(cursor, serial)
    rows = cursor.execute(f"{SELECT_DELIVERIES} WHERE message = ? ORDER BY number", (serial,))
    deliveries = tuple(delivery_value(message.id, row) for row in rows.fetchall())
    return QueueEntry(message=message, deliveries=deliveries)
