"""The ``Queue`` of a test: the specification of what the durable ones do."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from fe_mail.adapters.queue_rules import OPEN, check_put, settled
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
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

__all__ = ["MemoryQueue"]


@attrs.define
class _Row:
    """A delivery with its lease; ``token`` is empty without one."""

    delivery: QueuedDelivery
    serial: int
    token: str = ""
    lease_until: float = 0.0

    @property
    def due_at(self) -> float:
        return max(self.delivery.next_attempt_at, self.lease_until)


class MemoryQueue:
    """A queue in the memory of this process."""

    def __init__(self) -> None:
        self._messages: dict[str, QueuedMessage] = {}
        self._rows: dict[str, dict[int, _Row]] = {}
        self._serials = itertools.count()

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def put(self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]) -> bool:
        """Keep the message. False if a message of this id was there already."""
        check_put(message, deliveries)
        if message.id in self._messages:
            return False
        if message.blob in await self.blobs():
            raise AlreadyExists("Another message has this blob.")
        self._messages[message.id] = message
        self._rows[message.id] = {
            delivery.number: _Row(delivery, next(self._serials)) for delivery in deliveries
        }
        return True

    async def claim(self, now: float, lease_seconds: float, limit: int) -> tuple[Claim, ...]:
        """Lease waiting deliveries that are due, oldest due first."""
        due = [row for row in self._waiting() if row.due_at <= now]
        due.sort(key=lambda row: (row.due_at, row.serial))
        return tuple(self._lease(row, now + lease_seconds) for row in due[: max(0, limit)])

    def _lease(self, row: _Row, lease_until: float) -> Claim:
        row.token = f"lease-{next(self._serials)}"
        row.lease_until = lease_until
        return Claim(
            message=self._messages[row.delivery.message_id],
            delivery=row.delivery,
            token=row.token,
            lease_until=lease_until,
        )

    async def renew(self, claim: Claim, lease_until: float) -> None:
        """Extend a lease. ``Conflict`` when it was lost."""
        self._leased(claim).lease_until = lease_until

    async def end_leases(self) -> int:
        """End every lease; how many there were."""
        leased = [row for row in self._waiting() if row.token]
        for row in leased:
            row.token, row.lease_until = "", 0.0
        return len(leased)

    async def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        now: float,
        next_attempt_at: float = 0.0,
        delayed_notice_at: float = 0.0,
    ) -> BlobId | None:
        """Record an outcome and end the lease; the blob if the message went with it."""
        row = self._leased(claim)
        row.delivery = settled(row.delivery, outcome, now, next_attempt_at, delayed_notice_at)
        row.token, row.lease_until = "", 0.0
        message_id = claim.message.id
        if any(row.delivery.state in OPEN for row in self._rows[message_id].values()):
            return None
        return await self.drop(message_id)

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """Hold waiting deliveries (all, or those numbered). ``NotFound``."""
        for row in self._numbered(message_id, numbers):
            if row.delivery.state is DeliveryState.WAITING:
                row.delivery = attrs.evolve(
                    row.delivery, state=DeliveryState.HELD, hold_reason=reason
                )

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due at once. ``NotFound``."""
        for row in self._numbered(message_id, numbers):
            if row.delivery.state in OPEN:
                row.delivery = attrs.evolve(
                    row.delivery,
                    state=DeliveryState.WAITING,
                    hold_reason="",
                    next_attempt_at=now,
                )

    async def drop(self, message_id: str) -> BlobId:
        """Remove a message with all deliveries; returns its blob for deletion. ``NotFound``."""
        if message_id not in self._messages:
            raise NotFound("The message is not in the queue.")
        del self._rows[message_id]
        return self._messages.pop(message_id).blob

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first."""
        messages = sorted(self._messages.values(), key=lambda message: message.created_at)
        entries = (self._entry(message) for message in messages)
        matches = (entry for entry in entries if _is_match(entry, which))
        return tuple(itertools.islice(matches, max(0, which.limit)))

    async def next_due(self) -> float | None:
        """When the earliest waiting delivery is due (or its lease runs out), None if none."""
        return min((row.due_at for row in self._waiting()), default=None)

    async def counts(self) -> Mapping[DeliveryState, int]:
        """How many deliveries stand in each state."""
        found = Counter(row.delivery.state for rows in self._rows.values() for row in rows.values())
        return {state: found[state] for state in DeliveryState}

    async def blobs(self) -> frozenset[BlobId]:
        """Every blob that a message still needs."""
        return frozenset(message.blob for message in self._messages.values())

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return tuple(
            f"Message {message_id} has no open delivery."
            for message_id, rows in self._rows.items()
            if not any(row.delivery.state in OPEN for row in rows.values())
        )

    def _waiting(self) -> list[_Row]:
        rows = (row for rows in self._rows.values() for row in rows.values())
        return [row for row in rows if row.delivery.state is DeliveryState.WAITING]

    def _leased(self, claim: Claim) -> _Row:
        row = self._rows.get(claim.message.id, {}).get(claim.delivery.number)
        if row is None or not row.token or row.token != claim.token:
            raise Conflict("The lease was lost.")
        return row

    def _numbered(self, message_id: str, numbers: Sequence[int]) -> list[_Row]:
        rows = self._rows.get(message_id)
        if rows is None or not set(numbers) <= set(rows):
            raise NotFound("The message or the delivery is not in the queue.")
        return [row for number, row in rows.items() if not numbers or number in numbers]

    def _entry(self, message: QueuedMessage) -> QueueEntry:
        rows = sorted(self._rows[message.id].values(), key=lambda row: row.delivery.number)
        return QueueEntry(message=message, deliveries=tuple(row.delivery for row in rows))


def _is_match(entry: QueueEntry, which: QueueFilter) -> bool:
    message, needle = entry.message, which.recipient.casefold()
    return (
        which.message_id in ("", message.id)
        and which.alias_id in ("", message.alias_id)
        and which.domain_id in ("", message.domain_id)
        and any(
            which.state in (None, delivery.state) and needle in delivery.recipient.casefold()
            for delivery in entry.deliveries
        )
    )
