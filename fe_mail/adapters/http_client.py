"""
HTTP as a client: the ``HTTPPost`` on Twisted's ``Agent``, for URLs that strangers chose.

A URL of a user must not become a way into our own network. Invariants:

- a name is resolved once, its addresses are checked, and the connection goes to the very
  addresses that were checked: an answer that changes in between (DNS rebinding) changes nothing;
- it goes to public addresses, none of which is this server's (also where a connection shows it to
  be: both its ends have one address), and to the ports of the web;
- redirects are not followed, connections are not kept, proxies of the environment not used;
- TLS is verified for the host of the URL, with SNI, against the system's authorities;
- whatever comes back, no more than ``MAX_RESPONSE_OCTETS`` of it are read, and no longer than
  the caller waits.

RFC 9110 §4.2 (URLs), §7.2 (Host), §11.6.2 (credentials of a URL); RFC 9112; RFC 6125.
"""

import base64
import contextlib
import ipaddress
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IConsumer,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import Cooperator, TaskFinished, TaskStopped
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from fe_mail.model.address import normalize_domain
from fe_mail.model.dns import HostAddress
from fe_mail.model.errors import Invalid, NotFound, PermissionDenied, Unavailable
from fe_mail.model.network import is_public
from fe_mail.model.web import Posting, Reach, WebAnswer
from fe_mail.ports import Resolver
from fe_mail.ports.http import MAX_ANSWER_OCTETS

__all__ = ["MAX_ADDRESSES", "MAX_RESPONSE_OCTETS", "HTTPClient"]

log = Logger()

CONNECT_SECONDS = 10.0
MAX_ADDRESSES = 4  # of one host that are tried
MAX_RESPONSE_OCTETS = 128 * 1024  # everything that a server says: TLS, header and all
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_QUERY_SAFE = _PATH_SAFE + "?[]{}|^"
_PORTS = {"http": 80, "https": 443}
_OWN = "The host of the URL is this server itself."


@attrs.frozen(kw_only=True)
class _Place:
    """A URL, taken apart: where to connect and what to ask for."""

    scheme: str
    host: str  # A-labels, or an IP address without brackets
    port: int
    target: str  # path and query, ASCII
    credentials: str = attrs.field(default="", repr=False)

    @property
    def netloc(self) -> str:
        """What the Host field says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{self.netloc}{self.target}"


def _place(url: str) -> _Place:
    """``Invalid`` for what is no http or https URL."""
    wrong = Invalid("The URL cannot be used.", code="INVALID_URL")
    try:
        parts = urllib.parse.urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
        host = host if _is_ip(host) else normalize_domain(host)
    except (ValueError, Invalid):
        raise wrong from None
    if scheme not in ("http", "https") or port == 0 or not url.isprintable() or " " in url:
        raise wrong
    target = urllib.parse.quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe=_QUERY_SAFE)
    return _Place(
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        target=target,
        credentials=_credentials(parts),
    )


def _credentials(parts: urllib.parse.SplitResult) -> str:
    """What a URL with a user in it means (RFC 7617): the value of Authorization, or empty."""
    if parts.username is None:
        return ""
    user, password = (
        urllib.parse.unquote(parts.username),
        urllib.parse.unquote(parts.password or ""),
    )
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


class HTTPClient:
    """
    Posts. ``reactor`` provides time too. ``trust_root`` takes the place of the system's
    authorities.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        resolver: Resolver,
        *,
        reach: Reach | None = None,
        trust_root: Certificate | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._resolver = resolver
        self._reach = reach or Reach()
        self._trust_root = trust_root
        self._connect_seconds = connect_seconds
        self._cooperator = Cooperator(scheduler=lambda work: self._clock.callLater(0, work))

    async def post(self, posting: Posting, timeout_seconds: float) -> WebAnswer:
        """Once, within the time."""
        place = _place(posting.url)
        work = Deferred.fromCoroutine(self._post(place, posting))
        work.addTimeout(timeout_seconds, self._clock)
        try:
            return await work
        except TimeoutError:
            raise Unavailable("The web service does not answer in time.") from None

    async def _post(self, place: _Place, posting: Posting) -> WebAnswer:
        for ip in await self._addresses(place):
            connection = _Connection(self._endpoint(ip, place.port), self._reach.is_excepted(ip))
            try:
                return await self._ask(place, connection, posting, ip)
            except (ConnectError, OSError):  # nothing was sent: another address may do
                log.info("{host} [{ip}] does not answer", host=place.host, ip=ip, port=place.port)
            finally:
                connection.abort()
        raise Unavailable("The web service does not answer.")

    async def _addresses(self, place: _Place) -> Sequence[str]:
        """Where we may connect to."""
        found = (place.host,) if _is_ip(place.host) else await self._look_up(place.host)
        if not found:
            raise NotFound("The host of the URL does not exist.")
        excepted = [ip for ip in found if self._reach.is_excepted(ip)]
        if not excepted and place.port not in self._reach.ports:
            raise PermissionDenied("The port of the URL is none of the web's.")
        return (excepted or await self._public(found))[:MAX_ADDRESSES]

    async def _look_up(self, host: str) -> Sequence[str]:
        return (await self._resolver.query(host, HostAddress)).records

    async def _public(self, found: Sequence[str]) -> list[str]:
        public = [ip for ip in found if is_public(ip)]
        if not public:
            raise PermissionDenied("The host of the URL has no public address.")
        own = [ip for host in self._reach.own_hosts for ip in await self._look_up(host)]
        others = [ip for ip in public if not self._reach.is_own(ip, *own)]
        if not others:
            raise PermissionDenied(_OWN)
        return others

    async def _ask(
        self, place: _Place, connection: "_Connection", posting: Posting, ip: str
    ) -> WebAnswer:
        agent = Agent.usingEndpointFactory(self._reactor, self._pinned(place, connection))
        body = _Pieces(posting, self._cooperator)
        try:
            response: Any = await agent.request(
                b"POST", place.url.encode("ascii"), _headers(place, posting), body
            )
            start = _Start()
            response.deliverBody(start)
            return WebAnswer(status=response.code, body=await start.collected, ip=ip)
        except (ConnectError, OSError, PermissionDenied):
            raise
        except Exception as error:
            if _is_cancelled(error):
                raise CancelledError from None
            # The client's own failures are lists of reasons; none of them is for people.
            log.info("{host} [{ip}]: {kind}", host=place.host, ip=ip, kind=type(error).__name__)
            raise Unavailable("The web service gave no answer.") from None

    def _endpoint(self, ip: str, port: int) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in ip else TCP4ClientEndpoint
        return kind(self._reactor, ip, port, timeout=self._connect_seconds)

    def _pinned(self, place: _Place, connection: "_Connection") -> "_Pinned":
        if place.scheme == "http":
            return _Pinned(connection)
        return _Pinned(wrapClientTLS(optionsForClientTLS(place.host, self._trust_root), connection))


def _headers(place: _Place, posting: Posting) -> Headers:
    headers = Headers({name: [value] for name, value in posting.headers.items()})
    headers.setRawHeaders("Host", [place.netloc])
    if place.credentials:
        headers.setRawHeaders("Authorization", [place.credentials])
    return headers


def _is_cancelled(error: Exception) -> bool:
    """Did somebody stop waiting? The client wraps that in failures of its own."""
    reasons: Sequence[Failure] = getattr(error, "reasons", ())
    return isinstance(error, CancelledError | ConnectingCancelledError) or any(
        reason.check(CancelledError, ConnectingCancelledError) for reason in reasons
    )


@implementer(IAgentEndpointFactory)
class _Pinned:
    """Whatever the URL says: to the endpoint that was checked."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The one."""
        return self._endpoint


class _Counted(ProtocolWrapper):
    """Counts what the other side says, TLS and all, and hangs up when it is too much."""

    octets = 0

    def dataReceived(self, data: bytes) -> None:
        """Pass on what is within the limit."""
        self.octets += len(data)
        if self.octets > MAX_RESPONSE_OCTETS:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # Twisted has no types here


@implementer(IStreamClientEndpoint)
class _Connection:
    """An endpoint for one connection, which can be ended from here, and must not end here."""

    def __init__(self, endpoint: IStreamClientEndpoint, may_be_own: bool) -> None:
        self._endpoint = endpoint
        self._may_be_own = may_be_own
        self._counted: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        """Connect the protocol, with a counter in between."""
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _Counted
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(self._connected)

    def _connected(self, counted: ProtocolWrapper) -> object:
        self._counted = counted
        ends: Any = counted.transport
        if not self._may_be_own and ends.getHost().host == ends.getPeer().host:
            raise PermissionDenied(_OWN)
        return counted.wrappedProtocol

    def abort(self) -> None:
        """Hang up, if it was ever connected."""
        if self._counted is not None:
            self._counted.transport.abortConnection()


@implementer(IBodyProducer)
class _Pieces:
    """The body of a request, piece by piece as the connection takes it."""

    def __init__(self, posting: Posting, cooperator: Cooperator) -> None:
        self.length = posting.size_octets
        self._pieces = posting.body
        self._cooperator = cooperator
        self._task: Any = None

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        """Fires when all is written; never if it is stopped."""
        finished: Deferred[None] = Deferred()
        self._task = self._cooperator.cooperate(self._written(consumer))
        self._task.whenDone().addCallbacks(
            lambda _: finished.callback(None), self._unless_stopped, errbackArgs=(finished,)
        )
        return finished

    def _written(self, consumer: IConsumer) -> Iterator[None]:
        for piece in self._pieces:
            consumer.write(piece)
            yield

    def _unless_stopped(self, failure: Failure, finished: "Deferred[None]") -> None:
        if not failure.check(TaskStopped):
            finished.errback(failure)

    def pauseProducing(self) -> None:
        """The connection's buffer is full."""
        self._task.pause()

    def resumeProducing(self) -> None:
        """It is not any more."""
        self._task.resume()

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        with contextlib.suppress(TaskFinished):
            self._task.stop()


class _Start(Protocol):
    """The start of a response's body; also of one that breaks off, since its status is known."""

    def __init__(self) -> None:
        self.collected: Deferred[bytes] = Deferred()
        self._octets = b""

    def dataReceived(self, data: bytes) -> None:
        """Keep what is within the limit."""
        self._octets += data
        if len(self._octets) >= MAX_ANSWER_OCTETS:
            self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, in order or not."""
        self._finish()

    def _finish(self) -> None:
        if not self.collected.called:
            self.collected.callback(self._octets[:MAX_ANSWER_OCTETS])
