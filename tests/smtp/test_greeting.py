"""A6: who speaks before the greeting, through the real MX and its reception."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.policy.limits import ACQUAINTANCE_SECONDS, GREETING_SECONDS
from fe_mail.reception.harvesting import Harvesting
from fe_mail.reception.inbound import InboundReception
from fe_mail.smtp.mx import MXFactory
from fe_mail.smtp.server import SMTPServer
from tests.queue.base import PostOfficeTestCase
from tests.smtp.fakes import RecordingReception, Transport, make_submission

STRANGER = "198.41.0.4"
EARLY = [b"554 5.5.1 You spoke before it was your turn"]
GREETING = [b"220 mx.test ESMTP fe-mail"]


class LateCache(MemoryCache):
    """Answers when it is told to."""

    waiting: list["Deferred[None]"]

    async def get(self, key: str) -> bytes | None:
        """Later."""
        done: Deferred[None] = Deferred()
        self.waiting.append(done)
        await done
        return await super().get(key)


class GreetingCase(PostOfficeTestCase):
    """A cache that answers at once, as the one in memory does."""

    def setUp(self) -> None:
        """An MX."""
        super().setUp()
        self.cache = self.make_cache()
        self.reception = InboundReception(
            self.router,
            self.intake,
            self.rooms,
            Harvesting(self.counters, self.cache),
            self.cache,
            self.clock,
            hostname="mx.test",
            count=self.counted.append,
            trusted=("198.41.1.0/24", "2001:500::/32"),
        )
        self.factory = MXFactory(self.reception, hostname="mx.test", clock=self.clock)

    def make_cache(self) -> MemoryCache:
        """One that answers at once."""
        return MemoryCache(self.clock)

    def answer_cache(self) -> None:
        """Nothing waits for it."""

    def connect(self, ip: str = STRANGER) -> tuple[SMTPServer, StringTransport]:
        """A client that says nothing yet."""
        transport = Transport(ip)
        if ":" in ip:
            transport.peerAddr = IPv6Address("TCP", ip, 40000)
        server = self.factory.buildProtocol(IPv4Address("TCP", ip, 40000))
        server.makeConnection(transport)
        return server, transport

    def said(self, transport: StringTransport) -> list[bytes]:
        """The lines since the last call."""
        lines = transport.value().split(b"\r\n")[:-1]
        transport.clear()
        return lines

    def lose(self, server: Any) -> None:
        """The client is gone."""
        server.connectionLost(Failure(ConnectionDone()))


class AtOnceTests(GreetingCase):
    """As in production."""

    def test_stranger_who_waits(self) -> None:
        """The greeting comes after the pause, and the session goes on."""
        server, transport = self.connect()
        self.answer_cache()
        self.clock.advance(GREETING_SECONDS - 0.1)
        self.assertEqual(self.said(transport), [])
        self.clock.advance(0.1)
        self.assertEqual(self.said(transport), GREETING)
        server.dataReceived(b"EHLO c.test\r\n")
        self.assertEqual(self.said(transport)[0], b"250-mx.test")

    def test_stranger_who_does_not(self) -> None:
        """What comes before the greeting, even a part of a line, is the end."""
        for octets in (b"EHLO c.test\r\n", b"E", b"\x16\x03\x01"):
            server, transport = self.connect()
            self.answer_cache()
            self.clock.advance(GREETING_SECONDS / 2)
            server.dataReceived(octets)
            self.assertEqual(self.said(transport), EARLY)
            self.assertTrue(transport.disconnecting)
            self.lose(server)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_once(self) -> None:
        """Octets that come with the connection are seen too."""
        server, transport = self.connect()
        server.dataReceived(b"EHLO c.test\r\n")
        self.answer_cache()
        self.assertEqual(self.said(transport), EARLY)

    def test_acquaintance(self) -> None:
        """A network that went on to MAIL waits no more, for a day; one that only looked does."""
        server, transport = self.connect()
        self.answer_cache()
        self.clock.advance(GREETING_SECONDS)
        server.dataReceived(b"EHLO c.test\r\nQUIT\r\n")
        self.lose(server)
        server, transport = self.connect()
        self.answer_cache()
        self.assertEqual(self.said(transport), [])
        self.clock.advance(GREETING_SECONDS)
        server.dataReceived(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n")
        self.answer_cache()
        self.assertEqual(self.said(transport)[-1], b"250 2.1.0 Sender accepted")
        self.lose(server)
        _, transport = self.connect()
        self.answer_cache()
        self.assertEqual(self.said(transport), GREETING)
        self.clock.advance(ACQUAINTANCE_SECONDS)
        _, transport = self.connect()
        self.answer_cache()
        self.assertEqual(self.said(transport), [])

    def test_own_network(self) -> None:
        """Addresses that nobody on the Internet has are greeted at once."""
        for ip in ("127.0.0.1", "10.1.2.3", "fd00::1"):
            _, transport = self.connect(ip)
            self.answer_cache()
            self.assertEqual(self.said(transport), GREETING, ip)

    def test_health_check(self) -> None:
        """A trusted proxy may say what it likes, when it likes."""
        for ip in ("198.41.1.9", "2001:500::9"):
            server, transport = self.connect(ip)
            server.dataReceived(b"QUIT\r\n")
            self.answer_cache()
            self.assertEqual(self.said(transport), [*GREETING, b"221 2.0.0 Goodbye"], ip)
            self.lose(server)

    def test_gone_meanwhile(self) -> None:
        """A client that hangs up before the greeting leaves nothing behind."""
        server, _ = self.connect()
        self.answer_cache()
        self.lose(server)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.factory.registry), 0)

    def test_stopping(self) -> None:
        """A stop does not wait for the pause."""
        server, transport = self.connect()
        self.answer_cache()
        stopped = Deferred.fromCoroutine(self.factory.drain())
        self.assertEqual(self.said(transport)[0][:9], b"421 4.3.2")
        self.lose(server)
        self.successResultOf(stopped)

    def test_submission(self) -> None:
        """Mail programs are greeted at once, whatever they do."""
        factory = make_submission(RecordingReception(), self.clock)
        server = factory.buildProtocol(None)
        transport = Transport(STRANGER)
        server.makeConnection(transport)
        self.assertEqual(self.said(transport), GREETING)


class LateTests(AtOnceTests):
    """The same with a cache that takes its time."""

    def make_cache(self) -> MemoryCache:
        """One that answers later."""
        cache = LateCache(self.clock)
        cache.waiting = []
        return cache

    def answer_cache(self) -> None:
        """Answer all that is asked."""
        assert isinstance(self.cache, LateCache)
        while self.cache.waiting:
            self.cache.waiting.pop().callback(None)

    def test_while_the_cache_is_asked(self) -> None:
        """That time counts as before the greeting."""
        server, transport = self.connect("10.1.2.3")
        server.dataReceived(b"EHLO c.test\r\n")
        self.answer_cache()
        self.assertEqual(self.said(transport), EARLY)
