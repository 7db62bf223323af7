"""The listener: limits on connections and bodies, draining, proxies, the switch."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from fe_mail.connection.registry import DRAIN_SECONDS, Limits
from fe_mail.http.request import (
    MAX_BODY_OCTETS,
    MAX_DISCARDED_OCTETS,
    MAX_SMALL_PIECES,
    CappedRequest,
    Proxies,
)
from fe_mail.http.site import MAX_REQUESTS, HTTPSite, Switch
from fe_mail.http.work import Work


class Echo(Resource):
    """Says what it saw; ``/wait`` answers when the test says so."""

    isLeaf = True

    def __init__(self, name: bytes = b"echo", proxies: Proxies | None = None) -> None:
        super().__init__()
        self.name = name
        self.proxies = proxies or Proxies()
        self.waiting: list[CappedRequest] = []

    def render(self, request: CappedRequest) -> Any:
        """Answer."""
        if request.postpath == [b"wait"]:
            self.waiting.append(request)
            return NOT_DONE_YET
        if request.is_too_big:
            request.setResponseCode(413)
            return b"too big"
        remote = self.proxies.remote(request)
        secure = self.proxies.is_secure(request)
        return b"%s %d %s %d" % (self.name, len(request.body()), remote.encode(), secure)


class SiteTestCase(SynchronousTestCase):
    """Raw HTTP over a transport of strings."""

    def setUp(self) -> None:
        """A site that echoes."""
        self.clock = Clock()
        self.echo = Echo()
        self.work = Work()
        self.site = self.site_of(self.echo)

    def site_of(self, resource: Resource, **limits: Limits) -> HTTPSite:
        """A site."""
        return HTTPSite(resource, clock=self.clock, work=self.work, **limits)

    def connect(self, site: HTTPSite | None = None, host: str = "192.0.2.1") -> Any:
        """A connection; None if it was refused."""
        family = IPv6Address if ":" in host else IPv4Address
        address = family("TCP", host, 4000)
        channel = (site or self.site).buildProtocol(address)
        if channel is None:
            return None
        transport = StringTransport(peerAddress=address)
        transport.abortConnection = transport.loseConnection
        channel.makeConnection(transport)
        return channel

    def ask(self, channel: Any, request: bytes) -> bytes:
        """Send octets; what came back."""
        channel.transport.clear()
        channel.dataReceived(request)
        return bytes(channel.transport.value())


class BodyTests(SiteTestCase):
    """How much is taken."""

    def test_small(self) -> None:
        """A body is there, in memory."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
        self.assertIn(b"echo 5 ", self.ask(self.connect(), head + b"hello"))

    def test_too_big(self) -> None:
        """Announced or chunked, more than the limit is answered with 413 and not kept."""
        size = MAX_BODY_OCTETS + 1
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        self.assertIn(b" 413 ", self.ask(self.connect(), head + b"x" * size))
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
        self.assertIn(b" 413 ", self.ask(self.connect(), head + body))

    def test_expectation(self) -> None:
        """A client that asks first is not told to go on with too big a body."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        self.assertIn(b"100 Continue", self.ask(self.connect(), head % 5))
        self.assertNotIn(b"100 Continue", self.ask(self.connect(), head % (MAX_BODY_OCTETS + 1)))

    def test_tiny_chunks(self) -> None:
        """Chunks of one octet are taken as long as they are not an attack."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"1\r\nx\r\n"
        some = self.ask(self.connect(), head + chunk * 500 + b"0\r\n\r\n")
        self.assertIn(b"echo 500 ", some)
        channel = self.connect()
        channel.dataReceived(head + chunk * (MAX_SMALL_PIECES + 200))
        self.assertTrue(channel.transport.disconnecting)

    def test_pipelining(self) -> None:
        """Requests that wait are answered in order, one in each turn of the reactor."""
        channel = self.connect()
        count = 20
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        self.assertEqual(channel.transport.value().count(b" 200 "), 1)
        self.clock.advance(0)
        self.assertEqual(channel.transport.value().count(b" 200 "), count)

    def test_left_while_waiting(self) -> None:
        """Who leaves before it is his turn is forgotten."""
        channel = self.connect()
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        channel.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertEqual(channel.transport.value().count(b" 200 "), 1)

    def test_many_requests(self) -> None:
        """A connection is not good for ever."""
        channel = self.connect()
        for _ in range(MAX_REQUESTS):
            channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(channel.transport.disconnecting)
        self.assertEqual(channel.transport.value().lower().count(b"connection: close"), 1)

    def test_endless(self) -> None:
        """Who goes on sending is cut off."""
        channel = self.connect()
        channel.dataReceived(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(MAX_DISCARDED_OCTETS // 0x100000):
            channel.dataReceived(chunk)
        self.assertFalse(channel.transport.disconnecting)
        channel.dataReceived(chunk)
        self.assertTrue(channel.transport.disconnecting)


class ConnectionTests(SiteTestCase):
    """How many, and how they end."""

    def test_limits(self) -> None:
        """Per address and in all; a place is free again when a connection ends."""
        site = self.site_of(self.echo, limits=Limits(in_all=3, per_address=2))
        first = self.connect(site)
        self.connect(site)
        self.assertIsNone(self.connect(site))
        self.assertIsNotNone(self.connect(site, "192.0.2.2"))
        self.assertIsNone(self.connect(site, "192.0.2.3"))
        first.connectionLost()
        self.assertEqual(2, site.connections)
        self.assertIsNotNone(self.connect(site))

    def test_drain(self) -> None:
        """Idle connections close, a running request is answered first, new ones are refused."""
        idle, busy = self.connect(), self.connect()
        busy.dataReceived(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        drained = Deferred.fromCoroutine(self.site.drain())
        self.assertIsNone(self.connect())
        self.assertTrue(idle.transport.disconnecting)
        self.assertFalse(busy.transport.disconnecting)
        idle.connectionLost()
        self.assertNoResult(drained)
        self.echo.waiting[0].end(b"done")
        self.assertIn(b"done", busy.transport.value())
        self.assertTrue(busy.transport.disconnecting)
        busy.connectionLost()
        self.successResultOf(drained)
        self.successResultOf(Deferred.fromCoroutine(self.site.drain()))

    def test_drain_has_a_limit(self) -> None:
        """A request that never ends cannot hold up the stop."""
        busy = self.connect()
        busy.dataReceived(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        drained = Deferred.fromCoroutine(self.site.drain())
        self.clock.advance(DRAIN_SECONDS)
        self.assertTrue(busy.transport.disconnecting)
        busy.connectionLost()
        self.successResultOf(drained)

    def test_ipv6_counts_by_network(self) -> None:
        """A subscriber with a /64 is one address."""
        site = self.site_of(self.echo, limits=Limits(in_all=9, per_address=2))
        self.connect(site, "2001:db8::1")
        self.connect(site, "2001:db8::2")
        self.assertIsNone(self.connect(site, "2001:db8::3"))
        self.assertIsNotNone(self.connect(site, "2001:db8:0:1::3"))

    def test_drain_waits_for_work(self) -> None:
        """Work that outlives its client is waited for."""
        gate: Deferred[None] = Deferred()

        async def wait() -> None:
            await gate

        self.work.shield(wait())
        drained = Deferred.fromCoroutine(self.site.drain())
        self.assertNoResult(drained)
        gate.callback(None)
        self.successResultOf(drained)


class WorkTests(SynchronousTestCase):
    """Shielded coroutines."""

    def test_result_and_failure(self) -> None:
        """Both come through."""

        async def good() -> int:
            return 5

        async def bad() -> int:
            raise ValueError

        self.assertEqual(5, self.successResultOf(Work().shield(good())))
        self.failureResultOf(Work().shield(bad()), ValueError)

    def test_cancelled(self) -> None:
        """The coroutine goes on when its waiter is cancelled; a later failure is logged."""
        gate: Deferred[None] = Deferred()
        done = []

        async def write() -> None:
            await gate
            done.append(True)
            raise ValueError

        waiting = Work().shield(write())
        waiting.cancel()
        waiting.addErrback(lambda _: None)
        gate.callback(None)
        self.assertEqual([True], done)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))


class ProxyTests(SiteTestCase):
    """Whose word about the client counts."""

    HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\nX-Forwarded-Proto: https\r\n\r\n"

    def seen(self, forwarded: bytes, host: str, *trusted: str) -> bytes:
        """Address and scheme as a resource sees them."""
        site = self.site_of(Echo(proxies=Proxies(trusted)))
        answer = self.ask(self.connect(site, host), self.HEAD % forwarded)
        return answer.rpartition(b"echo 0 ")[2]

    def test_untrusted(self) -> None:
        """Anybody can write the headers, so they count for nothing."""
        self.assertEqual(b"192.0.2.1 0", self.seen(b"203.0.113.9", "192.0.2.1")[:11])

    def test_trusted(self) -> None:
        """The last address that is no proxy of ours; earlier ones may be made up."""
        chain = b"198.51.100.1, 203.0.113.9, 10.0.0.2"
        seen = self.seen(chain, "10.0.0.1", "10.0.0.0/8")
        self.assertTrue(seen.startswith(b"203.0.113.9 1"), seen)
        mapped = self.seen(b"203.0.113.9", "::ffff:10.0.0.1", "10.0.0.0/8")
        self.assertTrue(mapped.startswith(b"203.0.113.9 1"), mapped)

    def test_nonsense(self) -> None:
        """What is no address is nobody's."""
        seen = self.seen(b"<script>", "10.0.0.1", "10.0.0.0/8")
        self.assertTrue(seen.startswith(b" 1"), seen)


class SwitchTests(SiteTestCase):
    """One port for two."""

    def test_switch(self) -> None:
        """By path and by host name."""
        switch = Switch(Echo(b"web"), Echo(b"api"), frozenset({"api.example.net"}))
        site = self.site_of(switch)
        for path, host, expected in (
            (b"/", b"mail.example.net", b"web "),
            (b"/v1/domains", b"mail.example.net", b"api "),
            (b"/v1", b"mail.example.net:8080", b"api "),
            (b"/anything", b"API.example.net:8080", b"api "),
            (b"/v10", b"[::1]:8080", b"web "),
        ):
            with self.subTest(path=path, host=host):
                head = b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host)
                self.assertIn(expected, self.ask(self.connect(site), head))
