"""Tests of fe_mail.adapters.http_client: real sockets on loopback, and a clock for time-outs."""

from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from fe_mail.adapters.http_client import MAX_RESPONSE_OCTETS, HTTPClient
from fe_mail.adapters.memory.http import MemoryHTTP
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.app.tls import make_self_signed
from fe_mail.model.errors import Invalid, NotFound, PermissionDenied, Unavailable
from fe_mail.model.web import Posting, Reach, WebAnswer
from fe_mail.ports import HTTPPost
from tests.contracts.http import LONG, HTTPPostContract

BAD = (
    "",
    "ftp://web.test/",
    "http://",
    "http://web.test:0/",
    "http://web.test:99999/",
    "http://web.test/a b",
    "http://web.test/\r\nX: y",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://-bad-.test/",
    "file:///etc/passwd",
)


class MemoryHTTPTests(HTTPPostContract, TestCase):
    """The specification."""

    nowhere = "http://web.test:9/"
    unknown = "http://unknown.test/"
    bad = ("no url",)

    _client: MemoryHTTP | None = None

    def client(self) -> HTTPPost:
        """In memory."""
        if self._client is None:
            answers: dict[str, Any] = {
                "http://web.test/ok": WebAnswer(status=200, body=b"thanks"),
                "http://web.test/ok?a=b%20c": WebAnswer(status=200, body=b"thanks"),
                "http://web.test/error": WebAnswer(status=500),
                "http://web.test/moved": WebAnswer(status=302),
                "http://web.test/long": WebAnswer(status=200, body=LONG),
                self.nowhere: Unavailable(),
                "no url": Invalid(),
            }
            self._client = MemoryHTTP(answers)
        return self._client

    def url(self, path: str) -> str:
        """Of the host that answers."""
        return f"http://web.test{path}"

    def received(self) -> list[tuple[str, bytes, dict[str, str]]]:
        """What was posted."""
        assert self._client is not None
        return [
            (
                each.url.removeprefix("http://web.test"),
                b"".join(each.body),
                {name.lower(): value for name, value in each.headers.items()},
            )
            for each in self._client.posted
        ]


class Page(Resource):
    """Answers by path, and keeps what came."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.received: list[tuple[str, bytes, dict[str, str]]] = []

    def render_POST(self, request: Any) -> bytes:
        """One request."""
        headers = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.received.append((request.uri.decode(), request.content.read(), headers))
        path = request.path.decode()
        if path == "/error":
            request.setResponseCode(500)
        if path == "/moved":
            request.redirect(b"/ok")
            request.setResponseCode(302)
        return {"/long": LONG, "/ok": b"thanks"}.get(path, b"")


class Shouting(Protocol):
    """Answers with a header that never ends."""

    def connectionMade(self) -> None:
        """Begin."""
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(MAX_RESPONSE_OCTETS // 1000 + 10):
            self.transport.write(f"X-{number}: {'y' * 1000}\r\n".encode())


class Breaking(Protocol):
    """Promises more than it sends, then hangs up."""

    def dataReceived(self, data: bytes) -> None:
        """Answer the first octets."""
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 900\r\n\r\nso far")
        self.transport.loseConnection()


class Silent(Protocol):
    """Takes the request and says nothing; ``gone`` fires when the client hangs up."""

    gone: "Deferred[None]"

    def connectionLost(self, reason: Any = None) -> None:
        """The client gave up."""
        self.gone.callback(None)


class LoopbackTestCase(TestCase):
    """Servers on loopback, and a client that may go there."""

    def setUp(self) -> None:
        """One server that answers."""
        self.page = Page()
        self.port = self.listen(Site(self.page))
        self.table = {("web.test", "A"): ("127.0.0.1",)}
        self.more: dict[str, Any] = {"reach": Reach(networks=("127.0.0.0/8",))}

    def listen(self, factory: Any) -> int:
        """Serve until the end of the test; the port."""
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def client(self) -> HTTPPost:
        """The real one."""
        self.resolver = TableResolver(self.table)
        return HTTPClient(reactor, self.resolver, **self.more)  # type: ignore[arg-type]

    def url(self, path: str) -> str:
        """Of the server that answers."""
        return f"http://web.test:{self.port}{path}"

    def received(self) -> list[tuple[str, bytes, dict[str, str]]]:
        """What arrived."""
        return self.page.received

    async def ask(self, url: str, seconds: float = 10.0) -> WebAnswer:
        """Post one octet."""
        return await self.client().post(Posting(url=url, body=[b"x"]), seconds)


class LoopbackContractTests(LoopbackTestCase, HTTPPostContract):
    """The contract, over TCP."""

    unknown = "http://unknown.test/"
    bad = BAD

    def setUp(self) -> None:
        """A host where nobody listens."""
        super().setUp()
        self.table["nowhere.test", "A"] = ("127.0.0.9",)
        self.nowhere = f"http://nowhere.test:{self.port}/"


class LoopbackTests(LoopbackTestCase):
    """What only a network can show."""

    def test_request(self) -> "Deferred[None]":
        """Host has the port, credentials go into a field, odd octets are escaped once."""

        async def scenario() -> None:
            url = f"http://me:p%40ss@web.test:{self.port}/ok/\u00e9%20?q=\u00e9&a[]=1"
            await self.ask(url)
            ((path, _, headers),) = self.received()
            self.assertEqual(path, "/ok/%C3%A9%20?q=%C3%A9&a[]=1")
            self.assertEqual(headers["host"], f"web.test:{self.port}")
            self.assertEqual(headers["authorization"], "Basic bWU6cEBzcw==")
            self.assertEqual(headers["content-length"], "1")

        return ensureDeferred(scenario())

    def test_address_in_url(self) -> "Deferred[None]":
        """An IP address needs no resolver."""

        async def scenario() -> None:
            self.assertEqual((await self.ask(f"http://127.0.0.1:{self.port}/ok")).status, 200)
            self.assertEqual(self.resolver.asked, [])

        return ensureDeferred(scenario())

    def test_next_address(self) -> "Deferred[None]":
        """An address where nobody listens is passed over; nothing was sent to it."""
        self.table["web.test", "A"] = ("127.0.0.9", "127.0.0.1")

        async def scenario() -> None:
            answer = await self.ask(self.url("/ok"))
            self.assertEqual((answer.status, answer.ip), (200, "127.0.0.1"))

        return ensureDeferred(scenario())

    def test_not_our_network(self) -> "Deferred[None]":
        """Whatever leads into it is refused: by name, by number, in disguise; nobody is asked."""
        self.more = {"reach": Reach(ports=(self.port,))}
        self.table["mapped.test", "AAAA"] = ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "fec0::1")
        self.table["meta.test", "A"] = ("169.254.169.254", "10.0.0.1", "100.64.0.1", "224.0.0.1")
        hosts = ("web.test", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "mapped.test", "meta.test")

        async def scenario() -> None:
            for host in (*hosts, "0.0.0.0", "[::]", "[fe80::1]", "255.255.255.255"):
                with self.assertRaises(PermissionDenied, msg=host):
                    await self.ask(f"http://{host}:{self.port}/ok")
            # These are names to us, not numbers, and names like this do not exist.
            for host in ("2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost"):
                with self.assertRaises((NotFound, Invalid), msg=host):
                    await self.ask(f"http://{host}:{self.port}/ok")
            self.assertEqual(self.received(), [])

        return ensureDeferred(scenario())

    def test_endless_answer(self) -> "Deferred[None]":
        """A server that never stops talking is cut off."""
        port = self.listen(Factory.forProtocol(Shouting))

        async def scenario() -> None:
            with self.assertRaises(Unavailable):
                await self.ask(f"http://web.test:{port}/")

        return ensureDeferred(scenario())

    def test_broken_answer(self) -> "Deferred[None]":
        """The status counts, however the body ends."""
        port = self.listen(Factory.forProtocol(Breaking))

        async def scenario() -> None:
            answer = await self.ask(f"http://web.test:{port}/")
            self.assertEqual((answer.status, answer.body), (503, b"so far"))

        return ensureDeferred(scenario())

    def test_silence(self) -> "Deferred[None]":
        """Nobody waits longer than told; the connection goes too, also when cancelled."""
        Silent.gone = Deferred()
        port = self.listen(Factory.forProtocol(Silent))

        async def scenario() -> None:
            with self.assertRaises(Unavailable):
                await self.ask(f"http://web.test:{port}/", 0.2)
            await Silent.gone
            Silent.gone = Deferred()
            waiting = ensureDeferred(self.ask(f"http://web.test:{port}/"))
            reactor.callLater(0.1, waiting.cancel)  # type: ignore[attr-defined]
            with self.assertRaises(CancelledError):
                await waiting
            await Silent.gone

        return ensureDeferred(scenario())


class TLSTests(LoopbackTestCase):
    """Certificates."""

    def setUp(self) -> None:
        """A server with a certificate of its own making for ``web.test``."""
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        make_self_signed(directory, ["web.test"])
        pem = (directory / "fullchain.pem").read_bytes()
        self.authority = Certificate.loadPEM(pem)
        key = (directory / "privkey.pem").read_bytes()
        options = PrivateCertificate.loadPEM(pem + key).options()
        port: Any = reactor.listenSSL(  # type: ignore[attr-defined]
            0, Site(self.page), options, interface="127.0.0.1"
        )
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.table["other.test", "A"] = ("127.0.0.1",)

    def test_verified(self) -> "Deferred[None]":
        """The right certificate, of an authority that we know, for the host of the URL."""
        self.more["trust_root"] = self.authority

        async def scenario() -> None:
            answer = await self.ask(f"https://web.test:{self.port}/ok")
            self.assertEqual((answer.status, answer.body), (200, b"thanks"))
            with self.assertRaises(Unavailable):
                await self.ask(f"https://other.test:{self.port}/ok")

        return ensureDeferred(scenario())

    def test_unknown_authority(self) -> "Deferred[None]":
        """Whoever merely says so is not believed, and gets nothing."""

        async def scenario() -> None:
            with self.assertRaises(Unavailable):
                await self.ask(f"https://web.test:{self.port}/ok")
            self.assertEqual(self.received(), [])

        return ensureDeferred(scenario())


class Wire(StringTransport):
    """TCP, as the client's TLS expects it."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As it likes."""


class ResolvingTests(SynchronousTestCase):
    """One question, and the connection goes where its answer says."""

    def test_pinned(self) -> None:
        """A name that changes its mind between look-up and connection changes nothing."""
        clock = MemoryReactorClock()
        resolver = TableResolver({("web.test", "A"): ("198.41.0.4",)})
        client = HTTPClient(clock, resolver)
        posting = Posting(url="https://web.test/", body=[b"x"])
        waiting = Deferred.fromCoroutine(client.post(posting, 5.0))
        self.assertEqual(clock.tcpClients[0][:2], ("198.41.0.4", 443))
        self.assertEqual(resolver.asked, [("web.test", "AAAA"), ("web.test", "A")])
        clock.advance(5.0)
        self.failureResultOf(waiting, Unavailable)

    def post(self, url: str, **reach: Any) -> "Deferred[WebAnswer]":
        """Post with a reach, on a network where nothing answers by itself."""
        self.reactor = MemoryReactorClock()
        client = HTTPClient(self.reactor, TableResolver(self.TABLE), reach=Reach(**reach))
        return Deferred.fromCoroutine(client.post(Posting(url=url), 5.0))

    TABLE: ClassVar = {
        ("web.test", "A"): ("198.41.0.4",),
        ("mx.test", "A"): ("198.41.0.4",),
        ("other.test", "A"): ("198.41.0.5",),
        ("inside.test", "A"): ("10.0.0.7",),
    }

    def test_own_address(self) -> None:
        """This server's addresses are refused, as configured or as its own name says."""
        for url in (
            "http://web.test/",
            "http://198.41.0.4/",
            "http://[::ffff:198.41.0.4]/",
            "http://[64:ff9b::c629:4]/",
        ):
            for own in ({"own_addresses": ("198.41.0.4",)}, {"own_hosts": ("mx.test",)}):
                with self.subTest(url=url, own=own):
                    error = self.failureResultOf(self.post(url, **own), PermissionDenied)
                    self.assertIn("this server", error.value.message)
                    self.assertEqual(self.reactor.tcpClients, [])
        self.assertNoResult(self.post("http://other.test/", own_hosts=("mx.test",)))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("198.41.0.5", 80))

    def test_late_answers(self) -> None:
        """The DNS takes its time about the host and about ours; nobody is connected to before."""
        clock, resolver = MemoryReactorClock(), TableResolver(self.TABLE)
        resolver.is_late = True
        for host, is_own in (("web.test", True), ("other.test", False)):
            client = HTTPClient(clock, resolver, reach=Reach(own_hosts=("mx.test",)))
            url = f"http://{host}/"
            waiting = Deferred.fromCoroutine(client.post(Posting(url=url), 5.0))
            resolver.answer_next()
            self.assertEqual((clock.tcpClients, len(resolver.waiting)), ([], 1))
            resolver.answer_next()
            if is_own:
                self.failureResultOf(waiting, PermissionDenied)
        self.assertEqual(clock.tcpClients[0][:2], ("198.41.0.5", 80))

    def test_own_host_unknown(self) -> None:
        """Who we are cannot be told now: temporary, and nothing is sent."""
        clock, resolver = MemoryReactorClock(), TableResolver(self.TABLE, failing=["mx.test"])
        client = HTTPClient(clock, resolver, reach=Reach(own_hosts=("mx.test",)))
        post = client.post(Posting(url="http://other.test/"), 5.0)
        self.failureResultOf(Deferred.fromCoroutine(post), Unavailable)
        self.assertEqual(clock.tcpClients, [])

    def test_own_end(self) -> None:
        """Nobody listed this address, but both ends of the connection have it: nothing is sent."""
        for url in ("http://web.test/", "https://web.test/"):
            waiting = self.post(url)
            protocol = self.reactor.tcpClients[0][2].buildProtocol(None)
            here = IPv4Address("TCP", "198.41.0.4", 80)
            transport = Wire(hostAddress=here, peerAddress=here)
            protocol.makeConnection(transport)
            self.failureResultOf(waiting, PermissionDenied)
            self.assertNotIn(b"POST", transport.value())
            self.assertTrue(transport.disconnecting or transport.aborting)

    def test_ports(self) -> None:
        """Those of the web, unless others are allowed."""
        for port in (22, 25, 465, 587, 6379, 9187, 8081):
            error = self.failureResultOf(self.post(f"http://web.test:{port}/"), PermissionDenied)
            self.assertIn("port", error.value.message)
        self.assertNoResult(self.post("https://web.test/"))
        self.assertNoResult(self.post("http://web.test:8081/", ports=(8081,)))

    def test_excepted(self) -> None:
        """What the operator allows is reached on any port, and nothing beside it."""
        networks = {"networks": ("10.0.0.0/29",), "own_addresses": ("10.0.0.7",)}
        self.assertNoResult(self.post("http://inside.test:5678/", **networks))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("10.0.0.7", 5678))
        self.failureResultOf(self.post("http://10.0.0.8/", **networks), PermissionDenied)
        self.failureResultOf(self.post("http://web.test:5678/", **networks), PermissionDenied)

    def test_resolver_fails(self) -> None:
        """SERVFAIL is temporary."""
        resolver = TableResolver({}, failing=["web.test"])
        client = HTTPClient(MemoryReactorClock(), resolver)
        waiting = Deferred.fromCoroutine(client.post(Posting(url="http://web.test/"), 5.0))
        self.failureResultOf(waiting, Unavailable)
