"""Tests of fe_mail.connection.pacing with the smallest protocol that needs it, an echo of lines."""

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.connection.pacing import CLOSE_SECONDS, ConnectionEnded, PacedConnection, Wait

IDLE_SECONDS = 60.0
MANY = 100  # octets of input


class Echo(PacedConnection, Protocol):
    """Gives back each line; ``gate`` is awaited before each."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.gate: Deferred[None] | None = None
        self.waiting = b""
        self.wakings = 0

    is_input_full = property(lambda self: len(self.waiting) > MANY)
    idle_seconds = IDLE_SECONDS

    def connectionMade(self) -> None:
        """Begin."""
        self.transport.registerProducer(self, True)
        self.setTimeout(IDLE_SECONDS)
        self.done = Deferred.fromCoroutine(self.run())

    async def run(self) -> None:
        """Line by line."""
        while True:
            await self.writable()
            while b"\n" not in self.waiting:
                await self.more()
            line, _, self.waiting = self.waiting.partition(b"\n")
            self.consumed()
            if self.gate is not None:
                await self.gate
            self.write(line + b"\n")

    def take(self, data: bytes) -> None:
        """Keep."""
        self.waiting += data

    def woken(self) -> None:
        """Count."""
        self.wakings += 1

    def say_timeout(self) -> None:
        """A last word."""
        self.write(b"timeout\n")
        self.close()


class PacingTests(SynchronousTestCase):
    """Both directions, and the time."""

    def setUp(self) -> None:
        """One client."""
        self.clock = Clock()
        self.transport = StringTransport()
        self.echo = Echo(self.clock)
        self.echo.makeConnection(self.transport)

    def test_input(self) -> None:
        """The conversation is woken by input, line or not."""
        for octets in (b"a", b"b\nc", b"\n"):
            self.echo.dataReceived(octets)
        self.assertEqual(self.transport.value(), b"ab\nc\n")
        self.assertEqual(self.echo.wakings, 3)

    def test_slow_reader(self) -> None:
        """Nothing is written to who does not read; reading again goes on."""
        self.echo.pauseProducing()
        self.echo.dataReceived(b"a\nb\n")
        self.assertEqual(self.transport.value(), b"a\n")
        self.echo.resumeProducing()
        self.assertEqual(self.transport.value(), b"a\nb\n")

    def test_fast_writer(self) -> None:
        """Input that waits behind something slow pauses the transport, and no longer than that."""
        self.echo.gate = Deferred()
        self.echo.dataReceived(b"x\n" * MANY)
        self.assertEqual(self.transport.producerState, "paused")
        gate, self.echo.gate = self.echo.gate, None
        gate.callback(None)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.transport.value(), b"x\n" * MANY)

    def test_silence(self) -> None:
        """A silent client is told; octets that complete nothing buy no time."""
        self.clock.advance(IDLE_SECONDS / 2)
        self.echo.dataReceived(b"a\n")
        self.clock.advance(IDLE_SECONDS / 2)
        self.echo.dataReceived(b"b")
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(IDLE_SECONDS / 2)
        self.assertEqual(self.transport.value(), b"a\ntimeout\n")
        self.assertTrue(self.transport.disconnecting)
        self.failureResultOf(self.echo.done, ConnectionEnded)

    def test_our_own_time(self) -> None:
        """What takes us long is no fault of the client."""
        self.echo.gate = Deferred()
        self.echo.dataReceived(b"a\n")
        self.clock.pump([IDLE_SECONDS] * 5)
        self.assertFalse(self.transport.disconnecting)

    def test_reader_that_stays_away(self) -> None:
        """It is cut, since no last word would reach it."""
        self.echo.pauseProducing()
        self.echo.dataReceived(b"a\nb\n")
        self.clock.advance(IDLE_SECONDS)
        self.assertTrue(self.transport.disconnected)
        self.failureResultOf(self.echo.done, ConnectionEnded)

    def test_client_that_does_not_hang_up(self) -> None:
        """After our last words there is a little time, and nothing is listened to."""
        self.echo.close()
        self.echo.dataReceived(b"a\n")
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.transport.disconnected)
        self.failureResultOf(self.echo.done, ConnectionEnded)

    def test_closing_reads_on(self) -> None:
        """A transport that is paused would never notice that the client hung up."""
        self.echo.gate = Deferred()
        self.echo.dataReceived(b"x\n" * MANY)
        self.echo.close()
        self.assertEqual(self.transport.producerState, "producing")

    def test_connection_lost(self) -> None:
        """The conversation ends, no timer stays, and cutting what is gone does nothing."""
        self.echo.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(self.echo.done, ConnectionEnded)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.echo.cut()
        self.assertFalse(self.transport.disconnected)


class WaitTests(SynchronousTestCase):
    """One place, one sleeper."""

    def test_wake(self) -> None:
        """Waking ends the sleep once; with nobody there it does nothing."""
        wait = Wait()
        self.assertFalse(wait.wake())
        asleep = Deferred.fromCoroutine(wait.sleep())
        self.assertTrue(wait)
        self.assertTrue(wait.wake())
        self.assertFalse(wait.wake())
        self.assertFalse(wait)
        self.successResultOf(asleep)

    def test_error(self) -> None:
        """The sleeper gets the error."""
        wait = Wait()
        asleep = Deferred.fromCoroutine(wait.sleep())
        wait.wake(ConnectionEnded())
        self.failureResultOf(asleep, ConnectionEnded)
