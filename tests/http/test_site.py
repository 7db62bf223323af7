"""The listener: limits on connections, draining, proxies, the switch."""

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.ssl import CertificateOptions
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from fe_mail.connection.registry import DRAIN_SECONDS, Limits
from fe_mail.http.proxies import Proxies
from fe_mail.http.request import MAX_SHOWN_SEGMENT
from fe_mail.http.site import Switch
from fe_mail.http.work import Work
from tests.http.raw import Echo, SiteTestCase, Wire


class LogTests(SiteTestCase):
    """What an operator, and whoever gets the logs, reads of a request."""

    def test_no_secrets(self) -> None:
        """No query, and of a mailed link too little to open it."""
        token = "".join(f"{n:02x}" for n in range(70))
        with capturedLogs() as logged:
            self.connect().dataReceived(
                f"GET /refuse/en/verify/{token}?q=secret HTTP/1.1\r\nHost: a\r\n\r\n".encode()
            )
        (path,) = [event["path"] for event in logged if event.get("method") == "GET"]
        self.assertEqual(path, f"/refuse/en/verify/{token[:MAX_SHOWN_SEGMENT]}...")
        self.assertNotIn("secret", str(logged))


@implementer(ISSLTransport)
class SecureWire(Wire):
    """TLS, as far as anybody asks."""


class ConnectionTests(SiteTestCase):
    """How many, and how they end."""

    def test_limits(self) -> None:
        """Per address and in all; a place is free again when a connection ends."""
        site = self.site_of(self.echo, limits=Limits(in_all=3, per_address=2))
        busy = [self.connect(site), self.connect(site)]
        self.assertIsNone(self.connect(site))
        busy.append(self.connect(site, "192.0.2.2"))
        for channel in busy:
            channel.dataReceived(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIsNone(self.connect(site, "192.0.2.3"))
        busy[0].connectionLost()
        self.assertEqual(2, site.connections)
        self.assertIsNotNone(self.connect(site))

    def test_refused_inside_tls(self) -> None:
        """One too many is reset before a handshake, without a traceback."""
        site = self.site_of(self.echo, limits=Limits(in_all=9, per_address=1))
        outer = TLSMemoryBIOFactory(CertificateOptions(), False, site)
        address = IPv4Address("TCP", "192.0.2.1", 4000)
        wires = []
        for _ in range(3):
            protocol = outer.buildProtocol(address)
            wires.append(Wire(peerAddress=address))
            protocol.makeConnection(wires[-1])
        self.assertEqual([wire.is_aborted for wire in wires], [False, True, True])
        self.assertEqual(site.connections, 1)
        self.assertEqual(self.flushLoggedErrors(), [])

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

    def test_access_log(self) -> None:
        """It names the client that counts, not the proxy, and no IPv4 address as IPv6."""
        for host, shown in (
            ("10.0.0.1", "203.0.113.9"),
            ("::ffff:10.0.0.1", "203.0.113.9"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ):
            site = self.site_of(Echo(), proxies=Proxies(("10.0.0.0/8",)))
            with capturedLogs() as logged:
                self.ask(self.connect(site, host), self.HEAD % b"203.0.113.9")
            self.assertEqual([shown], [event["remote"] for event in logged if "remote" in event])

    def test_ports(self) -> None:
        """Some proxies write them."""
        for hop, shown in (
            (b"203.0.113.9:4711", b"203.0.113.9"),
            (b"[2001:db8::9]:4711", b"2001:db8::9"),
            (b"[2001:db8::9]", b"2001:db8::9"),
            (b"2001:DB8::9", b"2001:db8::9"),
        ):
            self.assertEqual(
                shown + b" 1", self.seen(hop, "10.0.0.1", "10.0.0.0/8").split(b"\r\n")[0]
            )

    def raw(self, fields: bytes, peer: IAddress) -> bytes:
        """What a resource sees of a client that came through a trusted proxy."""
        site = self.site_of(Echo(proxies=Proxies(("10.0.0.0/8",))))
        channel: Any = site.buildProtocol(peer)
        channel.makeConnection(Wire(peerAddress=peer))
        answer = self.ask(channel, b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
        return answer.rpartition(b"echo 0 ")[2].split(b"\r\n")[0]

    def test_several_fields(self) -> None:
        """HAProxy adds a field of its own behind the client's: that one counts."""
        said = b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n"
        added = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n"
        proxy = IPv4Address("TCP", "10.0.0.1", 4000)
        self.assertEqual(b"203.0.113.9 0", self.raw(said + added, proxy))
        self.assertEqual(b"198.51.100.1 1", self.raw(added + said, proxy))

    def test_tls_to_us_only(self) -> None:
        """A proxy may speak TLS to us and be reached without: the cookie must not ask for TLS."""
        site = self.site_of(Echo(proxies=Proxies(("10.0.0.0/8",))))
        seen = {}
        for said in (b"X-Forwarded-Proto: http\r\n", b""):
            channel: Any = site.buildProtocol(IPv4Address("TCP", "10.0.0.1", 4000))
            wire = SecureWire(peerAddress=IPv4Address("TCP", "10.0.0.1", 4000))
            channel.makeConnection(wire)
            answer = self.ask(channel, b"GET / HTTP/1.1\r\nHost: a\r\n" + said + b"\r\n")
            seen[said] = answer.rpartition(b"echo 0 ")[2].split(b"\r\n")[0][-1:]
        self.assertEqual([b"0", b"1"], list(seen.values()))

    def test_socket_in_the_file_system(self) -> None:
        """Who may open it is trusted."""
        fields = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        self.assertEqual(b"203.0.113.9 1", self.raw(fields, UNIXAddress(None)))

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
            (b"/anything", b"api.example.net.", b"api "),
            (b"/v10", b"[::1]:8080", b"web "),
        ):
            with self.subTest(path=path, host=host):
                head = b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host)
                self.assertIn(expected, self.ask(self.connect(site), head))
