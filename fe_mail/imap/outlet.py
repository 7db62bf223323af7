"""
The way out: collects responses and writes them with back-pressure.

Small writes are joined, so a command costs one write; ``drain`` waits while the peer reads too
slowly, so a slow client costs its transport's buffer and one chunk, never a mailbox.
"""

from typing import Final

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface import implementer

from fe_mail.connection.pacing import Wait

__all__ = ["Disconnected", "Outlet"]

FLUSH_OCTETS: Final = 32 * 1024


class Disconnected(Exception):
    """The client is gone; the conversation ends."""


@implementer(IPushProducer)
class Outlet:
    """The output side of one connection."""

    def __init__(self, transport: ITransport) -> None:
        self._transport = transport
        self._pending: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._is_closed = False
        self._blocked = Wait()
        self._registered = IConsumer.providedBy(transport)
        if self._registered:
            IConsumer(transport).registerProducer(self, True)

    def write(self, octets: bytes) -> None:
        """Add to what goes out."""
        self._pending.append(octets)
        self._size += len(octets)

    def is_full(self) -> bool:
        """Enough is collected to be worth a write."""
        return self._size >= FLUSH_OCTETS

    def flush(self) -> None:
        """Give everything to the transport."""
        if self._pending and not self._is_closed:
            pending, self._pending, self._size = self._pending, [], 0
            self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    async def drain(self) -> None:
        """Flush, then wait until the peer keeps up. ``Disconnected`` when it is gone."""
        self.flush()
        if self._is_closed:
            raise Disconnected
        if self._is_paused:
            await self._blocked.sleep()

    def close(self) -> None:
        """Flush and stop; the transport may close."""
        self.flush()
        if not self._is_closed:
            self._is_closed = True
            if self._registered:
                IConsumer(self._transport).unregisterProducer()

    def lost(self) -> None:
        """The connection is gone."""
        self._is_closed = True
        self._pending.clear()
        self._blocked.wake(Disconnected())

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self._is_paused = False
        self._blocked.wake()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self.lost()
