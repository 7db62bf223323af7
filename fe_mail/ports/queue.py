"""Everything accepted, with its body, until it is settled."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import attrs

from fe_mail.model.account import LogEntry
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueEntry,
    QueueFilter,
    Room,
)
from fe_mail.ports.blobs import BlobReader

__all__ = ["Acceptance", "BodyWriter", "Queue", "Settlement"]


class BodyWriter(Protocol):
    """
    One body being received: small ones stay in memory, large ones go to the disk as they come.

    Nothing of it is promised before it was accepted with its message.
    """

    @property
    def size_octets(self) -> int:
        """Octets written so far."""

    async def write(self, data: bytes) -> None:
        """Add octets; awaiting it is the back-pressure. ``Unavailable``, ``Conflict``."""

    async def complete(self) -> None:
        """
        The end of it: what is large is on the disk when it returns. ``Unavailable``.

        Accepting does that too. Who cannot repeat what he does next, does it before.
        """

    async def abort(self) -> None:
        """Forget everything; never raises. Nothing happens once it was accepted."""


@attrs.frozen(kw_only=True)
class Acceptance:
    """A message that becomes durable as a whole: envelope, deliveries and body."""

    message: QueuedMessage
    deliveries: tuple[QueuedDelivery, ...]
    body: BodyWriter


@attrs.frozen(kw_only=True)
class Settlement:
    """
    What came of a claim: ``outcomes[i]`` of ``deliveries[i]``. With it may go other claims of the
    same message, ``also``: a report tells of all of them.

    What is deferred waits until ``next_attempt_at``, or is still held if it was held meanwhile. A
    ``delayed_notice_at`` of 0.0 keeps the one recorded before. What the owners of domains read,
    and the reports to the sender, become durable with it.
    """

    claim: Claim
    outcomes: tuple[Outcome, ...]
    also: tuple[Claim, ...] = ()
    next_attempt_at: float = 0.0
    delayed_notice_at: float = 0.0
    entries: tuple[LogEntry, ...] = ()
    reports: tuple[Acceptance, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All that it settles."""
        return (self.claim, *self.also)

    @property
    def deliveries(self) -> tuple[QueuedDelivery, ...]:
        """Of all claims."""
        return tuple(delivery for claim in self.claims for delivery in claim.deliveries)


class Queue(Protocol):
    """
    Everything accepted, until it is settled. At least once; leases survive a kill.

    Due times are seconds since the epoch. Leases are measured by a clock that nobody can set and
    that ends with the machine: a step of the time of day ends none, a restart ends all.
    """

    def body(self, now: float) -> BodyWriter:
        """Begin a body."""

    async def accept(
        self, acceptance: Acceptance, lease_seconds: float = 0.0, leased: Collection[int] = ()
    ) -> tuple[Claim, ...]:
        """
        Durable when it returns, body and all, in one transaction.

        The waiting deliveries numbered in ``leased`` are claimed in it, for a runner that has
        room for them. ``Invalid`` without an open (waiting or held) delivery; ``AlreadyExists``
        when there is a message of this id.
        """

    async def claim(
        self, now: float, lease_seconds: float, rooms: Sequence[Room]
    ) -> tuple[Claim, ...]:
        """
        Lease waiting deliveries that are due and for which there is room.

        Owners take turns; within a lane the oldest due comes first. A delivery whose lease ran
        out is due from then on. ``attempts`` counts settled attempts, so the first claim shows 0.
        What has no room costs nothing, however much it is.
        """

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> tuple[Claim, ...]:
        """
        Extend leases; returns the claims that were lost (to another runner, or dropped), each
        with those of its deliveries only that were.
        """

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """End leases without an attempt: due as before. Lost ones are ignored."""

    async def rest(self, lane: str, until: float) -> None:
        """Nothing that waits in the lane is due before ``until``: it does not answer."""

    async def set_back(self, now: float, longest_seconds: float, rest_seconds: float) -> int:
        """
        The date is earlier than it was; how many deliveries waited for what was planned under it.

        Each waits for its own pause from now, at most ``longest_seconds``; a lane rests for
        ``rest_seconds`` at most; a message of the future came now. What is planned right stays.
        """

    async def end_leases(self) -> int:
        """
        End every lease, of whomever; how many deliveries they held.

        For a runner that knows it is the only one: what a killed process had claimed is due
        again at once. A claim from before cannot be settled any more.
        """

    async def finish(self, settlements: Sequence[Settlement], now: float) -> tuple[Claim, ...]:
        """
        Record what came of claims, and end their leases; returns the claims that were lost (of a
        settlement of several, its first, if all were lost).

        A lease that merely ran out still counts, so that a late 2xx is not forgotten. Of a lost
        claim nothing is recorded, and no report of it is sent. Messages without a waiting or held
        delivery go, with their bodies.
        """

    async def read_body(self, message: QueuedMessage) -> bytes:
        """All of it. ``NotFound``, ``Corrupt``."""

    async def open_body(self, message: QueuedMessage) -> BlobReader:
        """Begin to read. ``NotFound``, ``Corrupt``."""

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """
        Hold waiting deliveries (all, or those numbered). ``NotFound``.

        A running attempt goes on, and its outcome is still recorded.
        """

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due as soon as their lane does not rest. ``NotFound``."""

    async def drop(self, message_id: str) -> None:
        """Remove a message with all deliveries and its body. ``NotFound``."""

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first; one delivery meets both its conditions."""

    async def next_due(self, now: float) -> float | None:
        """When the next waiting delivery becomes due after ``now``, None if none does."""

    async def waiting_octets(self, lane: str) -> int:
        """
        What waits in a lane, under way or not: the sizes of the messages. Of very much it is
        enough to say that it is much.
        """

    async def counts(self) -> Mapping[DeliveryState, int]:
        """How many deliveries wait (also those under way) and how many are held."""

    async def sweep(self, before: float) -> int:
        """Remove large bodies begun before then that no message has; how many there were."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
