"""Everything accepted, until it is settled."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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

__all__ = ["Queue"]


class Queue(Protocol):
    """Everything accepted, until it is settled. At least once; leases survive a kill."""

    async def put(self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]) -> bool:
        """
        Durable when it returns. False if a message of this id was there already.

        ``Invalid`` without an open (waiting or held) delivery; ``AlreadyExists`` when the blob
        belongs to another message.
        """

    async def claim(self, now: float, lease_seconds: float, limit: int) -> tuple[Claim, ...]:
        """
        Lease waiting deliveries that are due, oldest due first.

        A delivery whose lease ran out is due from then on. ``attempts`` counts settled attempts,
        so the first claim shows 0.
        """

    async def renew(self, claim: Claim, lease_until: float) -> None:
        """Extend a lease. ``Conflict`` when it was lost (to another claim, or with the message)."""

    async def end_leases(self) -> int:
        """
        End every lease, of whomever; how many there were.

        For a runner that knows it is the only one: what a killed process had claimed is due
        again at once. A claim from before cannot be settled any more (``Conflict``).
        """

    async def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        now: float,
        next_attempt_at: float = 0.0,
        delayed_notice_at: float = 0.0,
    ) -> BlobId | None:
        """
        Record an outcome and end the lease (``Conflict`` when it was lost to another claim; one
        that merely ran out still counts, so that a late 2xx is not forgotten).

        Deferred: waiting until ``next_attempt_at``, or still held if it was held meanwhile. A
        ``delayed_notice_at`` of 0.0 keeps the one recorded before. When no delivery of the
        message is waiting or held any more, the message goes and its blob is returned, for the
        caller to delete.
        """

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """
        Hold waiting deliveries (all, or those numbered). ``NotFound``.

        A running attempt goes on, and its outcome is still recorded.
        """

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due at once. ``NotFound``."""

    async def drop(self, message_id: str) -> BlobId:
        """Remove a message with all deliveries; returns its blob for deletion. ``NotFound``."""

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first; one delivery meets both its conditions."""

    async def next_due(self) -> float | None:
        """When the earliest waiting delivery is due (or its lease runs out), None if none."""

    async def counts(self) -> Mapping[DeliveryState, int]:
        """How many deliveries of the messages that are there stand in each state."""

    async def blobs(self) -> frozenset[BlobId]:
        """Every blob that a message still needs."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
