"""
The statements of the queue's leases: who may be claimed, claiming, renewing, settling.

All of it runs in a transaction of ``SQLiteQueue``. A lease is a random token in the rows of a
claim: whoever wrote it last has them, in this process or another. Which lines have something due
is kept in ``turns`` by triggers, so that claiming costs the same with ten deliveries and with
100,000 to hosts that have no room.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from fe_mail.adapters.sqlite.database import Cursor, Value
from fe_mail.adapters.sqlite.queue_rows import (
    INSERT_DELIVERY,
    INSERT_ENTRY,
    INSERT_MESSAGE,
    SELECT_DELIVERIES,
    SELECT_MESSAGE,
    delivery_row,
    delivery_value,
    entry_row,
    message_row,
    message_value,
)
from fe_mail.model.errors import AlreadyExists
from fe_mail.model.ids import BlobId
from fe_mail.model.lane import SMTP, kind_of, lane_of, owner_of
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    OutcomeKind,
    QueuedDelivery,
    QueuedMessage,
    Room,
)
from fe_mail.ports import Settlement

__all__ = [
    "ATTEMPTS_TOGETHER",
    "MAX_CLAIM_RECIPIENTS",
    "end_expired",
    "group",
    "insert",
    "is_any_due",
    "message_of",
    "renewed",
    "returned",
    "settle",
    "take",
]

# What failed so often together is tried alone: there are hosts that break off at a second RCPT.
ATTEMPTS_TOGETHER = 2
MAX_CLAIM_RECIPIENTS = 100  # of one transaction with another host (RFC 5321 section 4.5.3.1.8)

# The token stays: until somebody else claims, a late outcome still counts.
_END_EXPIRED = "UPDATE deliveries SET lease_until = 0 WHERE lease_until > 0 AND lease_until <= ?"
_ANY_EXPIRED = "SELECT 1 FROM deliveries WHERE lease_until > 0 AND lease_until <= ? LIMIT 1"
# Steps from owner to owner in the index, however many lanes each of them has.
_DUE_OWNERS = """
    WITH RECURSIVE each (owner) AS (
        SELECT min(owner) FROM turns WHERE kind = :kind
        UNION ALL
        SELECT (SELECT min(owner) FROM turns WHERE kind = :kind AND owner > each.owner)
        FROM each WHERE each.owner IS NOT NULL
    )
    SELECT owner, (SELECT min(due_at) FROM turns WHERE kind = :kind AND owner = each.owner) AS due
    FROM each WHERE owner IS NOT NULL AND due <= :now ORDER BY due
"""
_DUE_LANES = """
    SELECT lane FROM turns WHERE kind = ? AND owner = ? AND due_at <= ? ORDER BY due_at
"""
_DUE_DELIVERIES = """
    SELECT message, number, courier, attempts FROM deliveries
    WHERE lane = ? AND owner = ? AND state = 'waiting' AND lease_until = 0 AND next_attempt_at <= ?
    ORDER BY next_attempt_at, message, number
"""
_SIBLINGS = """
    SELECT number FROM deliveries
    WHERE message = ? AND lane = ? AND owner = ? AND courier = ?
        AND state = 'waiting' AND lease_until = 0 AND next_attempt_at <= ? AND attempts < ?
    ORDER BY number LIMIT ?
"""
_LEASE = "UPDATE deliveries SET token = ?, lease_until = ? WHERE message = ? AND number = ?"
_SERIAL = "SELECT serial FROM messages WHERE id = ?"
_RENEW = """
    UPDATE deliveries SET lease_until = ? WHERE message = ? AND number = ? AND token = ? RETURNING 1
"""
_RETURN = """
    UPDATE deliveries SET token = '', lease_until = 0
    WHERE message = ? AND number = ? AND token = ?
"""
_CLOSE = """
    UPDATE deliveries SET state = ?, hold_reason = '', attempts = attempts + 1, last_status = ?,
        last_attempt_at = ?, token = '', lease_until = 0
    WHERE message = ? AND number = ?
"""
_DEFER = """
    UPDATE deliveries SET next_attempt_at = :next, attempts = attempts + 1, last_status = :status,
        last_attempt_at = :now, token = '', lease_until = 0,
        delayed_notice_at = CASE WHEN :notice > 0 THEN :notice ELSE delayed_notice_at END
    WHERE message = :message AND number = :number
"""
_DROP_IF_DONE = """
    DELETE FROM messages WHERE serial = ? AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message = messages.serial AND state IN ('waiting', 'held')
    ) RETURNING blob
"""


# -- into the queue -----------------------------------------------------------------------------


def insert(
    cursor: Cursor,
    message: QueuedMessage,
    groups: Sequence[Sequence[QueuedDelivery]],
    content: bytes | None,
    leased: Collection[int],
    lease_until: float,
) -> tuple[Claim, ...]:
    """
    A new message; the deliveries numbered in ``leased`` are claimed at once.

    ``AlreadyExists`` when there is a message of this id.
    """
    added = cursor.execute(INSERT_MESSAGE, [*message_row(message), content]).fetchone()
    if added is None:
        raise AlreadyExists("The queue has a message of this id.")
    claims = []
    for deliveries in groups:
        chosen = tuple(one for one in deliveries if one.number in leased)
        token = _new_token() if chosen else ""
        for delivery in deliveries:
            is_chosen = delivery in chosen
            row = delivery_row(
                added[0],
                message,
                delivery,
                token if is_chosen else "",
                lease_until if is_chosen else 0.0,
            )
            cursor.execute(INSERT_DELIVERY, row)
        if chosen:
            claims.append(_claim(message, chosen, token))
    return tuple(claims)


def group(deliveries: Iterable[QueuedDelivery]) -> tuple[tuple[QueuedDelivery, ...], ...]:
    """What may share a claim: deliveries by the same courier to the same mail host."""
    found: dict[object, list[QueuedDelivery]] = {}
    for delivery in deliveries:
        target = delivery.target
        is_shared = kind_of(target) == SMTP and delivery.state is DeliveryState.WAITING
        key: object = (target.courier, lane_of(target)) if is_shared else delivery.number
        found.setdefault(key, []).append(delivery)
    return tuple(
        tuple(members[start : start + MAX_CLAIM_RECIPIENTS])
        for members in found.values()
        for start in range(0, len(members), MAX_CLAIM_RECIPIENTS)
    )


# -- leases -------------------------------------------------------------------------------------


def end_expired(cursor: Cursor, steady_now: float) -> None:
    """What somebody claimed and did not renew is ready again."""
    cursor.execute(_END_EXPIRED, (steady_now,))


def is_any_due(cursor: Cursor, now: float, steady_now: float, rooms: Sequence[Room]) -> bool:
    """Would claiming change anything?"""
    if cursor.execute(_ANY_EXPIRED, (steady_now,)).fetchone() is not None:
        return True
    return any(
        _due_lanes(cursor, now, room, owner, Counter())
        for room in rooms
        if room.places > 0
        for owner in _due_owners(cursor, now, room)
    )


def take(cursor: Cursor, now: float, lease_until: float, room: Room) -> Iterator[Claim]:
    """Claim what is due and has room: each owner its share, then what is left to the first."""
    owners = _due_owners(cursor, now, room) if room.places > 0 else []
    left = room.places
    of_lane: Counter[str] = Counter()
    of_owner: Counter[str] = Counter()
    share = max(1, left // len(owners)) if owners else 0
    for limit in (share, room.places):
        for owner in owners:
            limit_of_owner = min(limit, room.per_owner) if owner else limit
            for lane in _due_lanes(cursor, now, room, owner, of_lane):
                wanted = min(left, limit_of_owner - of_owner[owner], room.per_lane - of_lane[lane])
                for claim in _take_from(cursor, now, lease_until, lane, owner, wanted):
                    of_lane[lane] += 1
                    of_owner[owner] += 1
                    left -= 1
                    yield claim
            if left <= 0:
                return


def _due_owners(cursor: Cursor, now: float, room: Room) -> list[str]:
    rows = cursor.execute(_DUE_OWNERS, {"kind": room.kind, "now": now}).fetchall()
    return [owner for owner, _ in rows if owner not in room.full_owners]


def _due_lanes(
    cursor: Cursor, now: float, room: Room, owner: str, of_lane: Mapping[str, int]
) -> list[str]:
    """At most as many as there are places."""
    lanes: list[str] = []
    rows = cursor.execute(_DUE_LANES, (room.kind, owner, now))
    while len(lanes) < room.places and (row := rows.fetchone()) is not None:
        lane = row[0]
        if lane not in room.full_lanes and of_lane.get(lane, 0) < room.per_lane:
            lanes.append(lane)
    return lanes


def _take_from(
    cursor: Cursor, now: float, lease_until: float, lane: str, owner: str, wanted: int
) -> Iterator[Claim]:
    """The oldest of a line, each with those of its message that go the same way."""
    for _ in range(wanted):
        first = cursor.execute(_DUE_DELIVERIES + " LIMIT 1", (lane, owner, now)).fetchone()
        if first is None:
            return
        serial, number, courier, attempts = first
        numbers = [number]
        if lane.startswith(f"{SMTP}:") and attempts < ATTEMPTS_TOGETHER:
            bindings = (serial, lane, owner, courier, now, ATTEMPTS_TOGETHER, MAX_CLAIM_RECIPIENTS)
            numbers = [row[0] for row in cursor.execute(_SIBLINGS, bindings).fetchall()]
        token = _new_token()
        for each in numbers:
            cursor.execute(_LEASE, (token, lease_until, serial, each))
        message = message_of(cursor, serial)
        yield _claim(message, _deliveries(cursor, message.id, serial, numbers), token)


def renewed(cursor: Cursor, claim: Claim, lease_until: float) -> Claim | None:
    """Extend a lease; what of the claim was lost, None if nothing was."""
    serial = _serial(cursor, claim)
    lost = tuple(
        one
        for one in claim.deliveries
        if not cursor.execute(_RENEW, (lease_until, serial, one.number, claim.token)).fetchall()
    )
    if len(lost) == len(claim.deliveries):
        return claim
    return attrs.evolve(claim, deliveries=lost) if lost else None


def returned(cursor: Cursor, claim: Claim) -> None:
    """End a lease as if it had not been."""
    serial = _serial(cursor, claim)
    for delivery in claim.deliveries:
        cursor.execute(_RETURN, (serial, delivery.number, claim.token))


# -- outcomes -----------------------------------------------------------------------------------


def settle(cursor: Cursor, settlement: Settlement, now: float) -> tuple[bool, BlobId | None]:
    """
    Record outcomes: whether the claim held, and the large body of a message that went.

    Each delivery counts for which it still holds: what was achieved is never forgotten.
    """
    serial = max(_serial(cursor, claim) for claim in settlement.claims)
    held = {number for claim in settlement.claims for number in _held(cursor, serial, claim)}
    for delivery, outcome in zip(settlement.deliveries, settlement.outcomes, strict=True):
        if delivery.number in held:
            _record(cursor, serial, delivery.number, outcome, settlement, now)
    if not held:
        return False, None
    for entry in settlement.entries:
        cursor.execute(INSERT_ENTRY, entry_row(entry))
    gone = cursor.execute(_DROP_IF_DONE, (serial,)).fetchone()
    return True, BlobId(gone[0]) if gone and gone[0] else None


def _record(
    cursor: Cursor, serial: int, number: int, outcome: Outcome, settlement: Settlement, now: float
) -> None:
    if outcome.kind is OutcomeKind.DEFERRED:
        bindings: dict[str, Value] = {
            "next": settlement.next_attempt_at,
            "status": outcome.record,
            "now": now,
            "notice": settlement.delayed_notice_at,
            "message": serial,
            "number": number,
        }
        cursor.execute(_DEFER, bindings)
        return
    is_delivered = outcome.kind is OutcomeKind.DELIVERED
    state = DeliveryState.DELIVERED if is_delivered else DeliveryState.FAILED
    cursor.execute(_CLOSE, (state.value, outcome.record, now, serial, number))


def _serial(cursor: Cursor, claim: Claim) -> int:
    """The row of the claim's message, 0 if it is gone."""
    row = cursor.execute(_SERIAL, (claim.message.id,)).fetchone()
    return 0 if row is None or not claim.token else row[0]


def _held(cursor: Cursor, serial: int, claim: Claim) -> set[int]:
    """The numbers of the claim's deliveries for which the lease holds."""
    if not serial or not claim.token:
        return set()
    statement = "SELECT number FROM deliveries WHERE message = ? AND token = ?"
    rows = cursor.execute(statement, (serial, claim.token)).fetchall()
    return {number for (number,) in rows} & {one.number for one in claim.deliveries}


# -- values -------------------------------------------------------------------------------------


def _new_token() -> str:
    return secrets.token_hex(12)


def _claim(message: QueuedMessage, deliveries: tuple[QueuedDelivery, ...], token: str) -> Claim:
    first = deliveries[0]
    return Claim(
        message=message,
        deliveries=deliveries,
        token=token,
        lane=lane_of(first.target),
        owner=owner_of(message, first),
    )


def message_of(cursor: Cursor, serial: int) -> QueuedMessage:
    """The message of a row."""
    return message_value(
        cursor.execute(f"{SELECT_MESSAGE} WHERE serial = ?", (serial,)).fetchall()[0]
    )


def _deliveries(
    cursor: Cursor, message_id: str, serial: int, numbers: Sequence[int]
) -> tuple[QueuedDelivery, ...]:
    statement = f"{SELECT_DELIVERIES} WHERE message = ? AND number = ?"
    return tuple(
        delivery_value(message_id, cursor.execute(statement, (serial, number)).fetchall()[0])
        for number in numbers
    )
