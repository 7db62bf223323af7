"""
Intake: what is accepted becomes durable, and goes on at once if this process delivers.

Whoever answers 250 waits for ``accept``. The runner of this process, if there is one, says which
deliveries it has room for; those are claimed by the same transaction and handed over in memory, so
that a message on its way through costs one commit before the 250 and one after its delivery. What
it has no room for waits in the queue, and a hint tells the runners of other processes.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from twisted.logger import Logger

from fe_mail.model.queue import DUE_TOPIC, Claim, QueuedDelivery, QueuedMessage
from fe_mail.ports import Acceptance, BodyWriter, Bus, Queue

__all__ = ["LEASE_SECONDS", "Intake", "Taker"]

log = Logger()

LEASE_SECONDS = 60.0


class Taker(Protocol):
    """Who delivers."""

    def room_for(
        self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]
    ) -> Collection[int]:
        """The numbers of the deliveries that may be claimed for it."""

    def take(self, claims: Sequence[Claim]) -> None:
        """Deliver them."""


class Intake:
    """The way into the queue for everything that this process accepts or makes."""

    def __init__(self, queue: Queue, bus: Bus) -> None:
        self._queue = queue
        self._bus = bus
        self._taker: Taker | None = None

    def attach(self, taker: Taker | None) -> None:
        """From now on claims go to ``taker``; None: nobody here delivers."""
        self._taker = taker

    def body(self, now: float) -> BodyWriter:
        """Begin to receive a body."""
        return self._queue.body(now)

    async def written(self, *pieces: bytes, now: float) -> BodyWriter:
        """A body that is here as a whole already, complete."""
        body = self._queue.body(now)
        try:
            for piece in pieces:
                await body.write(piece)
            await body.complete()
        except BaseException:
            await body.abort()
            raise
        return body

    async def accept(
        self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery], body: BodyWriter
    ) -> None:
        """Durable when it returns. Errors: those of ``Queue.accept``."""
        taker = self._taker
        leased = taker.room_for(message, deliveries) if taker is not None else ()
        acceptance = Acceptance(message=message, deliveries=tuple(deliveries), body=body)
        claims = await self._queue.accept(acceptance, LEASE_SECONDS, leased)
        handed_over = sum(len(claim.deliveries) for claim in claims)
        if taker is not None and claims:
            taker.take(claims)
        if handed_over < len(deliveries):
            self._tell(message, len(deliveries))

    def _tell(self, message: QueuedMessage, count: int) -> None:
        """What is delivered at once is in the log with its outcome."""
        log.info(
            "queued {message_id} from <{reverse_path}> for {count} targets",
            message_id=message.id,
            session_id=message.peer.session_id,
            reverse_path=message.reverse_path,
            count=count,
            size_octets=message.size_octets,
            source=message.source,
        )
        self._bus.publish(DUE_TOPIC)
