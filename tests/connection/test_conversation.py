"""
Tests of the common conversation and its connection, with the smallest protocol that has it all.

Each line is a command: ``echo``, ``slow`` (waits for ``gate``), ``login ALIAS``, ``tls``, ``much``
(writes until the client does not read), ``defect``, ``bye``. Whatever else is echoed too.
"""

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.app.proxy import ProxyFactory
from fe_mail.connection.conversation import (
    GATHERED_OCTETS,
    MAX_ANONYMOUS_COMMANDS,
    SLOW_SECONDS,
    Conversation,
    Link,
)
from fe_mail.connection.factory import CountedFactory
from fe_mail.connection.pacing import CLOSE_SECONDS
from fe_mail.connection.registry import DRAIN_SECONDS, Connections, Limits, Reason
from fe_mail.connection.server import ServerConnection
from fe_mail.connection.turns import BURST
from fe_mail.imap.conversation import IMAPConversation
from fe_mail.pop3.conversation import POP3Conversation
from fe_mail.smtp.conversation import SMTPConversation

IDLE_SECONDS = 60.0


class Lines:
    """A framer."""

    def __init__(self) -> None:
        self.buffer = b""

    waiting_octets = property(lambda self: len(self.buffer))
    is_full = property(lambda self: len(self.buffer) > 100)

    def feed(self, octets: bytes) -> None:
        """Keep."""
        self.buffer += octets

    def next(self) -> bytes | None:
        """A line."""
        line, end, rest = self.buffer.partition(b"\n")
        if not end:
            return None
        self.buffer = rest
        return line


class Chat(Conversation):
    """See above."""

    protocol = "CHAT"
    last_words = {why: why.value.encode() + b"!\n" for why in Reason}
    idle_seconds = IDLE_SECONDS
    octets_buy_time = False
    framer: Lines

    def __init__(self, link: Link) -> None:
        super().__init__(link, Lines())
        self.gate: Deferred[None] = Deferred()
        self.alias_id = ""
        self.is_let_go = False

    is_anonymous = property(lambda self: not self.alias_id)

    async def greet(self) -> None:
        """Say hello."""
        self.write(b"hello\n")

    async def step(self) -> None:
        """One line."""
        line = await self.next(self.framer.next)
        word, _, rest = line.partition(b" ")
        if word == b"slow":
            await self.gate
        elif word == b"login":
            self.signed_in(rest.decode())
            self.alias_id = rest.decode()
        elif word == b"tls":
            self.allow_nothing_after()
            self.write(b"begin\n")
            self.start_tls()
            return
        elif word == b"much":
            for _ in range(10):
                self.write(b"x" * GATHERED_OCTETS)
                if self.is_full():
                    await self.drain()
        elif word == b"defect":
            raise ZeroDivisionError
        elif word == b"bye":
            self.end(b"bye\n")
            return
        self.write(line + b"\n")

    async def let_go(self) -> None:
        """It was."""
        self.is_let_go = True

    def secured(self) -> None:
        """Forget."""
        self.framer = Lines()


class ChatServer(ServerConnection, Protocol):
    """The connection."""

    def __init__(self, clock: Clock, registry: Connections) -> None:
        super().__init__(clock=clock, tls=object(), registry=registry)  # type: ignore[arg-type]
        self.conversation = self.chat = Chat(self)


class ChatFactory(CountedFactory):
    """The listener."""

    def __init__(self, clock: Clock, limits: Limits, bus: MemoryBus) -> None:
        super().__init__(Connections("CHAT", limits, clock=clock, bus=bus))
        self.clock = clock

    def make_server(self) -> ChatServer:
        """A server."""
        return ChatServer(self.clock, self.registry)


class Transport(StringTransport):
    """It notes how often it was written to, and TLS; ``is_slow``: every write is too much."""

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 4000))
        self.writes: list[bytes] = []
        self.tls: object = None
        self.is_slow = False

    def write(self, data: bytes) -> None:
        """Note."""
        self.writes.append(data)
        super().write(data)
        if self.is_slow:
            self.producer.pauseProducing()

    def startTLS(self, context: object) -> None:
        """Note."""
        self.tls = context


class ConversationCase(SynchronousTestCase):
    """One client."""

    limits = Limits(in_all=5, per_address=3, per_alias=1)

    def setUp(self) -> None:
        """It is connected."""
        self.clock = Clock()
        self.bus = MemoryBus(self.clock)
        self.factory = ChatFactory(self.clock, self.limits, self.bus)
        self.server, self.transport = self.connect()
        self.chat = self.server.chat

    def connect(self) -> tuple[ChatServer, Transport]:
        """A new client."""
        server = self.factory.buildProtocol(None)
        transport = Transport()
        directlyProvides(transport, ITLSTransport)
        server.makeConnection(transport)
        return server, transport

    def said(self) -> bytes:
        """What was said since the last time."""
        octets: bytes = self.transport.value()
        self.transport.clear()
        self.transport.writes.clear()
        return octets

    def leave(self, server: ChatServer) -> None:
        """The client hangs up."""
        server.connectionLost(Failure(ConnectionDone()))


class OrderTests(ConversationCase):
    """One command at a time, and who waits for whom."""

    def test_replies_are_joined(self) -> None:
        """Pipelined commands are answered in order, in one write."""
        self.assertEqual(self.said(), b"hello\n")
        self.server.dataReceived(b"a\nb\nc\nhal")
        self.assertEqual(self.transport.writes, [b"a\nb\nc\n"])
        self.said()
        self.server.dataReceived(b"f\n")
        self.assertEqual(self.said(), b"half\n")

    def test_slow_command(self) -> None:
        """What is known is said before; nothing overtakes; afterwards nothing waits."""
        self.said()
        self.server.dataReceived(b"a\nslow\nb\n")
        self.assertEqual(self.said(), b"a\n")
        self.server.dataReceived(b"c\nslow\n")
        self.assertEqual(self.said(), b"")
        self.clock.advance(SLOW_SECONDS)
        gate, self.chat.gate = self.chat.gate, Deferred()
        gate.callback(None)
        self.assertEqual(self.said(), b"slow\n")

    def test_slow_client(self) -> None:
        """Time that it takes to speak is not ours: its commands are still answered in one write."""
        self.said()
        self.clock.advance(SLOW_SECONDS)
        self.server.dataReceived(b"a\nb\n")
        self.assertEqual(self.transport.writes, [b"a\nb\n"])

    def test_turns(self) -> None:
        """After a burst others are first; nothing is lost."""
        self.said()
        self.server.dataReceived(b"x\n" * 3 * BURST)
        self.assertEqual(self.said(), b"x\n" * BURST)
        self.assertEqual(len(self.factory.registry.turns), 1)
        self.clock.advance(0)
        self.assertEqual(self.said(), b"x\n" * 2 * BURST)

    def test_slow_reader(self) -> None:
        """Who does not read costs one portion, and the commands behind it wait."""
        self.said()
        self.transport.is_slow = True
        self.server.dataReceived(b"much\nafter\n")
        for _ in range(10):
            self.assertEqual(self.said(), b"x" * GATHERED_OCTETS)
            self.server.resumeProducing()
        self.assertEqual(self.said(), b"much\nafter\n")

    def test_half_a_line_that_is_long(self) -> None:
        """Only what waits for its turn stops the client; what we wait for must come in."""
        self.server.dataReceived(b"x" * 200)
        self.assertEqual(self.transport.producerState, "producing")
        self.server.dataReceived(b"\nslow\n" + b"y" * 200)
        self.assertEqual(self.transport.producerState, "paused")
        self.chat.gate.callback(None)
        self.assertEqual(self.transport.producerState, "producing")
        self.said()
        self.server.dataReceived(b"\n")
        self.assertEqual(self.said(), b"y" * 200 + b"\n")


class EndTests(ConversationCase):
    """How a conversation ends, and that it lets go each time."""

    def ended_with(self, words: bytes) -> None:
        """The last words were said, and it is over."""
        self.assertTrue(self.said().endswith(words))
        self.assertTrue(self.transport.disconnecting)
        self.assertTrue(self.chat.is_let_go)
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.transport.disconnected)

    def test_bye(self) -> None:
        """What was pipelined behind it is not looked at."""
        self.server.dataReceived(b"bye\na\n")
        self.ended_with(b"bye\n")

    def test_defect(self) -> None:
        """A fault of ours is logged, and the client is told no more than that."""
        self.server.dataReceived(b"defect\n")
        self.ended_with(b"defect!\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_timeout(self) -> None:
        """Silence."""
        self.clock.advance(IDLE_SECONDS)
        self.ended_with(b"timeout!\n")

    def test_octets_buy_time(self) -> None:
        """Only where the protocol wants it: a big message may take long to come."""
        for buys in (False, True):
            server, transport = self.connect()
            server.chat.octets_buy_time = buys
            self.clock.advance(IDLE_SECONDS / 2)
            server.dataReceived(b"half")
            self.clock.advance(IDLE_SECONDS / 2)
            self.assertEqual(transport.disconnecting, not buys)
            self.leave(server)

    def test_stranger(self) -> None:
        """Who does not sign in may not say much."""
        for _ in range(MAX_ANONYMOUS_COMMANDS):
            self.server.dataReceived(b"x\n")
        self.assertFalse(self.transport.disconnecting)
        self.server.dataReceived(b"x\n")
        self.ended_with(b"stranger!\n")

    def test_known(self) -> None:
        """Who did may."""
        self.server.dataReceived(b"login a1\n")
        for _ in range(2 * MAX_ANONYMOUS_COMMANDS):
            self.server.dataReceived(b"x\n")
        self.assertFalse(self.transport.disconnecting)

    def test_hangs_up(self) -> None:
        """The client is gone: not counted, no timer, nothing held."""
        self.leave(self.server)
        self.assertTrue(self.chat.is_let_go)
        self.assertEqual(self.factory.connections, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hangs_up_while_it_is_served(self) -> None:
        """What runs is finished first."""
        self.server.dataReceived(b"slow\n")
        self.leave(self.server)
        self.assertFalse(self.chat.is_let_go)
        self.chat.gate.callback(None)
        self.assertTrue(self.chat.is_let_go)

    def test_too_many_of_an_address(self) -> None:
        """The refused one hears why, and counts until it is gone."""
        others = [self.connect() for _ in range(3)]
        server, transport = others[-1]
        self.assertEqual(transport.value(), b"address!\n")
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.factory.connections, 4)
        self.leave(server)
        self.assertEqual(self.factory.connections, 3)

    def test_too_many_of_an_alias(self) -> None:
        """The second one that signs in hears why."""
        self.server.dataReceived(b"login a1\n")
        self.server, self.transport = self.connect()
        self.chat = self.server.chat
        self.server.dataReceived(b"login a1\n")
        self.ended_with(b"alias!\n")

    def test_password_changed(self) -> None:
        """It ends at once when it waits, else after what is running."""
        self.server.dataReceived(b"login a1\nslow\nnext\n")
        self.said()
        self.bus.publish("credentials:a1")
        self.clock.advance(0)
        self.assertEqual(self.said(), b"")
        self.chat.gate.callback(None)
        self.ended_with(b"slow\nrevoked!\n")

    def test_graceful_stop(self) -> None:
        """Who waits is told; what is running is finished; what takes too long is cut."""
        busy, there = self.connect()
        busy.dataReceived(b"slow\n")
        done = Deferred.fromCoroutine(self.factory.drain())
        self.assertEqual(self.said(), b"hello\nstopping!\n")
        self.assertFalse(there.disconnecting)
        self.leave(self.server)
        self.clock.advance(DRAIN_SECONDS)
        self.assertTrue(there.disconnected)
        self.leave(busy)
        self.successResultOf(done)


class TLSTests(ConversationCase):
    """The change to TLS."""

    def test_begins(self) -> None:
        """The yes goes out in clear; once is enough."""
        self.assertTrue(self.server.can_start_tls)
        self.server.dataReceived(b"tls\n")
        self.assertEqual(self.said(), b"hello\nbegin\n")
        self.assertIsNotNone(self.transport.tls)
        self.assertTrue(self.server.is_secure)
        self.assertFalse(self.server.can_start_tls)

    def test_behind_a_load_balancer(self) -> None:
        """Its header wraps the transport, which then does not say that it is secure."""
        proxy = ProxyFactory(self.factory, self.clock).buildProtocol(None)
        transport = Transport()
        directlyProvides(transport, ITLSTransport)
        proxy.makeConnection(transport)
        proxy.dataReceived(b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\ntls\n")
        server = proxy.wrappedProtocol
        self.assertEqual(server.peer.ip, "203.0.113.9")
        self.assertIsNotNone(transport.tls)
        self.assertTrue(server.is_secure)

    def test_nothing_may_follow(self) -> None:
        """Neither a command nor half of one (CVE-2011-0411)."""
        for rest in (b"login a1\n", b"log"):
            server, transport = self.connect()
            server.dataReceived(b"tls\n" + rest)
            self.assertTrue(transport.value().endswith(b"clear text!\n"))
            self.assertTrue(transport.disconnecting)
            self.assertIsNone(transport.tls)
            self.leave(server)

    def test_what_was_heard_in_clear_is_forgotten(self) -> None:
        """Even if a command did not ask whether something follows."""
        self.chat.framer.feed(b"login a1\n")
        self.chat.start_tls()
        self.assertEqual(self.chat.framer.waiting_octets, 0)


class WordsTests(SynchronousTestCase):
    """What each protocol says."""

    def test_every_reason_has_words(self) -> None:
        """None is forgotten, and each is whole lines."""
        for cls in (SMTPConversation, POP3Conversation, IMAPConversation):
            self.assertEqual(set(cls.last_words), set(Reason), cls)
            for octets in cls.last_words.values():
                self.assertTrue(octets.endswith(b"\r\n"), octets)
