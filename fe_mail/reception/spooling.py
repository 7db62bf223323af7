"""
How a message becomes durable: a body, then its row in the queue, then whoever wrote it may say 250.

A crash in between leaves a body that nobody needs, which a job removes; never a promise without a
message. This is the only place in reception that knows how bodies and rows are stored.
"""

import attrs
from twisted.logger import Logger

from fe_mail.model.envelope import Envelope
from fe_mail.model.queue import DUE_TOPIC, QueuedDelivery, QueuedMessage
from fe_mail.ports import Blobs, Bus, Queue

__all__ = ["Body", "Spool", "message_of"]

log = Logger()


class Spool:
    """Takes messages."""

    def __init__(self, queue: Queue, blobs: Blobs, bus: Bus) -> None:
        self._queue = queue
        self._blobs = blobs
        self._bus = bus

    def begin(self, now: float) -> "Body":
        """A body to write."""
        return Body(self._queue, self._blobs, self._bus, now)


class Body:
    """The body of one message. Whoever began it ends it, by ``enqueue`` or by ``abort``."""

    def __init__(self, queue: Queue, blobs: Blobs, bus: Bus, now: float) -> None:
        self._queue = queue
        self._blobs = blobs
        self._bus = bus
        self._writer = blobs.create(now)

    async def write(self, data: bytes) -> None:
        """More octets."""
        await self._writer.write(data)

    async def abort(self) -> None:
        """Forget it; after ``enqueue`` this does nothing."""
        await self._writer.abort()

    async def enqueue(self, message: QueuedMessage, deliveries: tuple[QueuedDelivery, ...]) -> bool:
        """
        Durable when it returns, and the runner gets a hint; False if it was there already.

        What ``message`` says of its body is filled in here.
        """
        size = self._writer.size_octets
        blob = await self._writer.commit()
        message = attrs.evolve(message, blob=blob, size_octets=size)
        if not await self._queue.put(message, deliveries):
            await self._blobs.delete(blob)
            return False
        log.info(
            "queued {message_id} from <{reverse_path}> for {count} targets",
            message_id=message.id,
            session_id=message.peer.session_id,
            reverse_path=message.reverse_path,
            count=len(deliveries),
            size_octets=size,
            source=message.source,
        )
        self._bus.publish(DUE_TOPIC)
        return True


def message_of(envelope: Envelope, message_id: str, now: float, source: str) -> QueuedMessage:
    """What the queue keeps of an envelope; the body is still to be written."""
    return QueuedMessage(
        id=message_id,
        reverse_path=str(envelope.reverse_path or ""),
        created_at=now,
        source=source,
        envelope_id=envelope.envelope_id,
        dsn_return=envelope.dsn_return,
        is_8bit=envelope.is_8bit,
        is_utf8=envelope.is_utf8,
        requires_tls=envelope.requires_tls,
        peer=envelope.peer,
    )
