"""
The pace of a connection: who waits for whom, and for how long.

A conversation is one coroutine that waits at two places: for input, and for a client that does
not read what it was sent. ``PacedConnection`` is the transport's side of it. It wakes the
coroutine, pauses the client when too much waits in either direction, and keeps the time; time
counts only while we wait for the client. What the octets mean is the protocol's.
"""

import abc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["CLOSE_SECONDS", "ConnectionEnded", "PacedConnection", "Wait"]

CLOSE_SECONDS = 30  # for the client to read our last words


class ConnectionEnded(Exception):
    """The client is gone, or we closed: nothing more comes."""


class Wait:
    """A place where one coroutine waits until somebody wakes it."""

    def __init__(self) -> None:
        self._woken: Deferred[None] | None = None

    def __bool__(self) -> bool:
        """Does somebody wait here?"""
        return self._woken is not None

    async def sleep(self) -> None:
        """Wait."""
        self._woken = Deferred()
        await self._woken

    def wake(self, error: Exception | None = None) -> bool:
        """End the wait, with an error if there is one; False if nobody waits."""
        woken, self._woken = self._woken, None
        if woken is None:
            return False
        if error is None:
            woken.callback(None)
        else:
            woken.errback(Failure(error))
        return True


@implementer(IPushProducer)
class PacedConnection(TimeoutMixin, abc.ABC):
    """The transport's side of one conversation; comes before Twisted's protocol in the bases."""

    transport: Any

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._input = Wait()
        self._output = Wait()
        self._is_output_full = self._is_input_paused = False
        self._is_closing = self._is_lost = False
        self._is_fresh = True  # waiting for something new, not for the rest of a line

    # What a protocol adds

    @property
    @abc.abstractmethod
    def is_input_full(self) -> bool:
        """More input waits than is good."""

    @property
    @abc.abstractmethod
    def idle_seconds(self) -> float:
        """How long the client may be silent, or not read, now."""

    @property
    def octets_buy_time(self) -> bool:
        """Does every octet begin ``idle_seconds`` again? Else only what was ``consumed`` does."""
        return False

    @abc.abstractmethod
    def take(self, data: bytes) -> None:
        """Keep octets for the conversation."""

    @abc.abstractmethod
    def say_timeout(self) -> None:
        """The client is silent for too long: say so and close."""

    def woken(self) -> None:  # most have nothing to do here
        """The conversation has looked at new input and waits again, or does something slow."""

    # The transport's side

    def callLater(self, period: float, func: Callable[[], Any]) -> IDelayedCall:
        """The clock that we were given."""
        return self._clock.callLater(period, func)

    def setTimeout(self, period: float | None) -> None:
        """Start, change or (None) stop the timer."""
        TimeoutMixin.setTimeout(self, period)

    def dataReceived(self, data: bytes) -> None:
        """Octets of the client."""
        if self._is_closing:
            return
        if self.octets_buy_time:
            self.setTimeout(self.idle_seconds)
        self.take(data)
        if self._input.wake():
            self.woken()
        if self._input or self._is_input_paused or self._is_closing:
            return
        if self.is_input_full:  # and somebody else's turn, or something slow, is before it
            self._is_input_paused = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The conversation ends where it waits; what it is doing just now is finished."""
        self._is_lost = self._is_closing = True
        self.setTimeout(None)
        self._end_waits()

    def timeoutConnection(self) -> None:
        """Time counts only while we wait for the client."""
        if self._is_closing or self._output:
            self.cut()
        elif self._input:
            self.say_timeout()
        else:
            self.setTimeout(self.idle_seconds)

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._is_output_full = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._is_output_full = False
        self._output.wake()

    def stopProducing(self) -> None:
        """The transport is done; ``connectionLost`` follows."""

    # The conversation's side

    def seconds(self) -> float:
        """The time."""
        return self._clock.seconds()

    @property
    def is_waiting(self) -> bool:
        """Does the conversation wait for input?"""
        return bool(self._input)

    def wake(self) -> None:
        """Let it look again without any."""
        self._input.wake()

    def write(self, octets: bytes) -> None:
        """Send."""
        if not self._is_closing:
            self.transport.write(octets)

    async def more(self) -> None:
        """Wait for input; octets that complete nothing buy no time. ``ConnectionEnded``."""
        if self._is_closing:
            raise ConnectionEnded
        if self._is_fresh:
            self.setTimeout(self.idle_seconds)
            self._is_fresh = False
        if self._is_input_paused:
            self._read_on()
        await self._input.sleep()

    async def listen(self, seconds: float) -> None:
        """Wait for input, but no longer than that. ``ConnectionEnded``."""
        if self._is_closing:
            raise ConnectionEnded
        timer = self._clock.callLater(seconds, self._input.wake)
        try:
            await self._input.sleep()
        finally:
            if timer.active():
                timer.cancel()

    async def writable(self) -> None:
        """Wait until the client reads what it was sent. ``ConnectionEnded``."""
        if self._is_closing:
            raise ConnectionEnded
        if self._is_output_full:
            self.setTimeout(self.idle_seconds)
            await self._output.sleep()

    def consumed(self) -> None:
        """Input was used: read on, if there is room again."""
        self._is_fresh = True
        if self._is_input_paused and not self.is_input_full and not self._is_closing:
            self._read_on()

    def _read_on(self) -> None:
        self._is_input_paused = False
        self.transport.resumeProducing()

    def close(self) -> None:
        """Close when everything is written; cut if the client does not read it."""
        if self._is_closing:
            return
        self._is_closing = True
        self.setTimeout(CLOSE_SECONDS)
        self.transport.unregisterProducer()
        if self._is_input_paused:
            self._read_on()
        self.transport.loseConnection()
        self._end_waits()

    def cut(self) -> None:
        """Close whatever is running."""
        self.close()
        if not self._is_lost:
            self.transport.abortConnection()

    def _end_waits(self) -> None:
        self._input.wake(ConnectionEnded())
        self._output.wake(ConnectionEnded())
