"""
How long the resolver waits and for whom, on a clock and sockets of our own.

Every socket is checked to be closed, whatever ended the question.
"""

from collections.abc import Callable
from typing import Any

import attrs
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.dns import (
    MAX_UNDER_WAY,
    QUESTION_SECONDS,
    TRY_SECONDS,
    DNSResolver,
)
from fe_mail.model.dns import MX, TXT, HostAddress
from fe_mail.model.errors import Unavailable

SERVERS = [("192.0.2.53", 53), ("192.0.2.54", 53), ("192.0.2.55", 53)]


@attrs.define(eq=False)
class Socket:
    """A UDP port as the resolver sees it."""

    protocol: DatagramProtocol
    sent: list[bytes] = attrs.Factory(list)
    peer: Any = None
    is_open: bool = True

    def connect(self, host: str, port: int) -> None:
        """Remember whom it asks."""
        self.peer = (host, port)

    def write(self, datagram: bytes) -> None:
        """Remember the question."""
        self.sent.append(datagram)

    def stopListening(self) -> None:
        """Close."""
        self.is_open = False

    def answer(self, change: Callable[[dns.message.Message], None]) -> None:
        """Say something."""
        response = dns.message.make_response(dns.message.from_wire(self.sent[0]))
        change(response)
        self.protocol.datagramReceived(response.to_wire(), self.peer)


class SilentReactor(MemoryReactorClock):
    """Sockets that nobody answers."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[Socket] = []
        self.refuses = False

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> Socket:
        """Another one."""
        if self.refuses:
            raise CannotListenError(interface, port, OSError("no socket left"))
        self.sockets.append(Socket(protocol))
        return self.sockets[-1]


def truncated(response: dns.message.Message) -> None:
    """Send the resolver to TCP."""
    response.flags |= dns.flags.TC


def two_hosts(response: dns.message.Message) -> None:
    """A good answer."""
    name = response.question[0].name
    response.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", "1 a.test.", "2 b.test."))


class WaitingCase(SynchronousTestCase):
    """A resolver of three silent servers."""

    def setUp(self) -> None:
        """One without memory of answers."""
        self.reactor = SilentReactor()
        self.resolver = DNSResolver(self.reactor, servers=SERVERS, max_cached=0)

    def ask(self, name: str = "example.test", kind: Any = MX) -> "Deferred[Any]":
        """A question under way."""
        return Deferred.fromCoroutine(self.resolver.query(name, kind))

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps, as it does."""
        self.reactor.pump([0.25] * int(seconds / 0.25))

    def assertQuiet(self) -> None:
        """No socket is open, no connection is tried, no timer runs, nothing is remembered."""
        self.assertEqual([each for each in self.reactor.sockets if each.is_open], [])
        self.assertTrue(all(each.stoppedConnecting for each in self.reactor.connectors))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.resolver._under_way, {})


class CancelTests(WaitingCase):
    """Whoever asks may stop waiting."""

    def test_at_once(self) -> None:
        """A timeout of the caller ends the question then and there, not after the last try."""
        for kind in (MX, HostAddress):
            asked = self.ask(kind=kind).addTimeout(5.0, self.reactor)
            self.wait(4.75)
            self.assertNoResult(asked)
            self.wait(0.25)
            self.failureResultOf(asked, TimeoutError)
            self.assertQuiet()

    def test_over_tcp(self) -> None:
        """A connection that is being made is given up."""
        asked = self.ask()
        self.reactor.sockets[0].answer(truncated)
        self.assertEqual(len(self.reactor.connectors), 1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertQuiet()

    def test_over_an_open_connection(self) -> None:
        """A connection that waits for its answer is closed."""
        asked = self.ask()
        self.reactor.sockets[0].answer(truncated)
        *_, factory, _, _ = self.reactor.tcpClients[0]
        stream = factory.buildProtocol(None)
        stream.makeConnection(transport := Transport())
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertTrue(transport.is_aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_of_one_among_many(self) -> None:
        """The others get their answer; the question went out once."""
        first, second, third = self.ask(), self.ask("EXAMPLE.test."), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.reactor.sockets), 1)
        self.reactor.sockets[0].answer(two_hosts)
        for asked in (second, third):
            self.assertEqual(len(self.successResultOf(asked).records), 2)
        self.assertQuiet()

    def test_of_all(self) -> None:
        """The last one to give up ends the question."""
        asked = [self.ask() for _ in range(3)]
        for each in asked:
            self.assertTrue(self.reactor.sockets[0].is_open)
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertQuiet()

    def test_by_one_that_is_told(self) -> None:
        """Who hears the answer first may stop the others."""
        first, second = self.ask(), self.ask()
        first.addCallback(lambda _: second.cancel())
        self.reactor.sockets[0].answer(two_hosts)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertQuiet()


class DeadlineTests(WaitingCase):
    """Servers that say nothing."""

    def test_one_for_all_tries(self) -> None:
        """Three silent servers, asked twice over, cost no more than the deadline."""
        for kind in (MX, HostAddress):
            asked = self.ask(kind=kind)
            self.wait(QUESTION_SECONDS - 0.25)
            self.assertNoResult(asked)
            self.wait(0.25)
            self.failureResultOf(asked, Unavailable)
            self.assertQuiet()

    def test_tcp_is_in_it(self) -> None:
        """Truncated answers and silent connections do not begin anew."""
        asked = self.ask()
        waited = 0.0
        while waited < QUESTION_SECONDS:
            for socket in self.reactor.sockets:
                if socket.is_open:
                    socket.answer(truncated)
            self.wait(TRY_SECONDS / 2)
            waited += TRY_SECONDS / 2
        self.failureResultOf(asked, Unavailable)
        self.assertQuiet()

    def test_second_family_late(self) -> None:
        """One family that has nothing and one that is silent: nobody knows."""
        asked = self.ask(kind=HostAddress)
        self.reactor.sockets[0].answer(lambda response: None)
        self.assertNoResult(asked)
        self.wait(QUESTION_SECONDS)
        self.failureResultOf(asked, Unavailable)
        self.assertQuiet()

    def test_no_socket(self) -> None:
        """A question that fails at once leaves nothing, and the next one may succeed."""
        self.reactor.refuses = True
        self.failureResultOf(self.ask(), Unavailable)
        self.assertQuiet()
        self.reactor.refuses = False
        asked = self.ask()
        self.reactor.sockets[0].answer(two_hosts)
        self.successResultOf(asked)


class SharingTests(WaitingCase):
    """Equal questions that meet."""

    def test_failure_is_shared(self) -> None:
        """Nobody waits longer than the first one."""
        first = self.ask()
        self.wait(QUESTION_SECONDS / 2)
        second = self.ask()
        self.wait(QUESTION_SECONDS / 2)
        for asked in (first, second):
            self.failureResultOf(asked, Unavailable)
        self.assertQuiet()

    def test_only_equal_ones(self) -> None:
        """Another name or another kind is another question, and so is a later one."""
        asked = [self.ask(), self.ask(kind=TXT), self.ask("other.test")]
        self.assertEqual(len(self.reactor.sockets), 3)
        self.reactor.sockets[0].answer(two_hosts)
        asked.append(self.ask())
        self.assertEqual(len(self.reactor.sockets), 4)
        for each in asked[1:]:
            each.cancel()
            self.failureResultOf(each, CancelledError)

    def test_bound(self) -> None:
        """No more sockets than the limit, whatever strangers make us ask."""
        asked = [self.ask(f"n{number}.test") for number in range(MAX_UNDER_WAY)]
        self.failureResultOf(self.ask("one-more.test"), Unavailable)
        self.assertEqual(len(self.reactor.sockets), MAX_UNDER_WAY)
        for each in asked:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertQuiet()


class Transport:
    """Of a TCP connection."""

    is_aborted = False

    def write(self, octets: bytes) -> None:
        """Take it."""

    def abortConnection(self) -> None:
        """Close."""
        self.is_aborted = True
