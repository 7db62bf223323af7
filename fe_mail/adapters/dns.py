"""
The ``Resolver`` over the network: dnspython's wire format on Twisted's UDP and TCP.

Questions go to the recursive resolvers of ``/etc/resolv.conf`` or a given list. Every question
has its own socket, so its own port, a random id and random letter case in its name; an answer
counts only if host, port, id, question and case match. What is truncated, or comes back in
another case, is asked again over TCP. The AD bit is believed only from resolvers on this host,
since nothing protects it on the way.

RFC 1035 §4.2 (transports), §7.3 (matching responses); RFC 5452 (forged answers); RFC 6891
(EDNS); RFC 2308 (negative caching); RFC 6840 §5.7 (asking for AD); RFC 7766 (TCP).
"""

import ipaddress
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from fe_mail.model.dns import MX, Answer
from fe_mail.model.errors import Unavailable
from fe_mail.model.network import parse_ip

__all__ = ["MAX_CACHED", "DNSResolver", "read_resolv_conf"]

log = Logger()

DNS_PORT = 53
UDP_PAYLOAD_OCTETS = 1232  # fits every path without fragments (DNS flag day 2020)
MAX_DATAGRAM_OCTETS = 8192
TRY_SECONDS = 3.0
TRIES = 2  # rounds over all resolvers
MAX_SERVERS = 3
MAX_CNAMES = 8
MAX_RECORDS = 256
MAX_TTL_SECONDS = 86_400
MAX_NEGATIVE_TTL_SECONDS = 900
DEFAULT_NEGATIVE_TTL_SECONDS = 60
MAX_CACHED = 10_000

T = TypeVar("T")
Server = tuple[str, int]
Accept = Callable[[bytes], dns.message.Message | None]


@attrs.frozen
class _Reply:
    """Answer records of one question, as text-free rdata."""

    records: tuple[Any, ...]
    ttl: int
    authentic: bool
    exists: bool


class _Datagram(DatagramProtocol):
    """One question over UDP."""

    def __init__(self, question: bytes, server: Server, accept: Accept) -> None:
        self.answered: Deferred[dns.message.Message] = Deferred()
        self._question = question
        self._server = server
        self._accept = accept

    def startProtocol(self) -> None:
        """Only this server is heard from now on."""
        transport: Any = self.transport
        transport.connect(*self._server)
        transport.write(self._question)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """What does not match is dropped, and the right answer awaited."""
        reply = self._accept(datagram)
        if reply is not None and not self.answered.called:
            self.answered.callback(reply)

    def connectionRefused(self) -> None:
        """Nobody listens there."""
        if not self.answered.called:
            self.answered.errback(Failure(ConnectError()))


class _Stream(Int16StringReceiver):
    """One question over TCP."""

    def __init__(self, question: bytes, accept: Accept) -> None:
        self.answered: Deferred[dns.message.Message] = Deferred()
        self._question = question
        self._accept = accept

    def connectionMade(self) -> None:
        """Ask."""
        self.sendString(self._question)  # type: ignore[no-untyped-call]  # Twisted has no types here

    def stringReceived(self, string: bytes) -> None:
        """The answer."""
        reply = self._accept(string)
        if reply is not None and not self.answered.called:
            self.answered.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Too early, unless the answer is there."""
        if not self.answered.called:
            self.answered.errback(Failure(ConnectError()))


class DNSResolver:
    """
    Asks ``servers`` ((address, port) pairs; default: those of the host).

    ``reactor`` provides UDP, TCP and time. ``trust_authentic`` None: trust the AD bit if all
    servers are on this host. ``max_cached`` 0 asks anew each time, for checks of what somebody
    has just published.
    """

    def __init__(
        self,
        reactor: IReactorUDP,
        *,
        servers: Sequence[Server] = (),
        resolv_conf: str = "/etc/resolv.conf",
        clock: IReactorTime | None = None,
        trust_authentic: bool | None = None,
        prefer_ipv6: bool = True,
        try_seconds: float = TRY_SECONDS,
        max_cached: int = MAX_CACHED,
    ) -> None:
        self._reactor = reactor
        self._clock = clock or IReactorTime(reactor)
        self._servers = tuple(servers) or read_resolv_conf(resolv_conf)
        local = all(ipaddress.ip_address(host).is_loopback for host, _ in self._servers)
        self._trusts = local if trust_authentic is None else trust_authentic
        self._families = ("AAAA", "A") if prefer_ipv6 else ("A", "AAAA")
        self._try_seconds = try_seconds
        self._cache: OrderedDict[tuple[str, str], tuple[float, _Reply]] = OrderedDict()
        self._max_cached = max_cached
        self._random = random.SystemRandom()

    # -- the port -------------------------------------------------------------------------------

    async def mx(self, name: str) -> Answer[MX]:
        """MX records sorted by preference."""
        reply = await self._ask(name, "MX")
        records = [MX(rdata.preference, _text(rdata.exchange)) for rdata in reply.records]
        return _answer(reply, sorted(records, key=lambda record: record.preference))

    async def addresses(self, name: str) -> Answer[str]:
        """A and AAAA; when one of the two questions fails, the other's records are the answer."""
        questions = [Deferred.fromCoroutine(self._ask(name, kind)) for kind in self._families]
        results = await DeferredList(questions, consumeErrors=True)
        replies: list[_Reply] = [reply for success, reply in results if success]
        records = [rdata.address for reply in replies for rdata in reply.records]
        if len(replies) < len(questions) and not records:
            raise Unavailable("The domain name system does not answer.")
        merged = _Reply(
            records=(),
            ttl=min(reply.ttl for reply in replies),
            authentic=all(reply.authentic for reply in replies),
            exists=any(reply.exists for reply in replies),
        )
        return _answer(merged, records)

    async def txt(self, name: str) -> Answer[str]:
        """TXT records, their strings joined (RFC 7208 §3.3)."""
        reply = await self._ask(name, "TXT")
        joined = [b"".join(rdata.strings).decode("utf-8", "replace") for rdata in reply.records]
        return _answer(reply, joined)

    async def cname(self, name: str) -> Answer[str]:
        """The canonical name."""
        reply = await self._ask(name, "CNAME")
        return _answer(reply, [_text(rdata.target) for rdata in reply.records])

    async def ptr(self, ip: str) -> Answer[str]:
        """Reverse names."""
        reply = await self._ask(ipaddress.ip_address(ip).reverse_pointer, "PTR")
        return _answer(reply, [_text(rdata.target) for rdata in reply.records])

    async def ns(self, name: str) -> Answer[str]:
        """Name servers."""
        reply = await self._ask(name, "NS")
        return _answer(reply, [_text(rdata.target) for rdata in reply.records])

    # -- cache ----------------------------------------------------------------------------------

    async def _ask(self, name: str, kind: str) -> _Reply:
        key = (name.lower().rstrip("."), kind)
        known = self._cached(key)
        if known is not None:
            return known
        try:
            qname = dns.name.from_text(key[0])
        except (dns.exception.DNSException, UnicodeError):
            return _Reply(records=(), ttl=0, authentic=False, exists=False)  # no name can be so
        reply = await self._ask_servers(qname, kind)
        if reply.ttl > 0:
            self._remember(key, reply)
        return reply

    def _cached(self, key: tuple[str, str]) -> _Reply | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        left = entry[0] - self._clock.seconds()
        if left <= 0:
            del self._cache[key]
            return None
        return attrs.evolve(entry[1], ttl=max(1, int(left)))

    def _remember(self, key: tuple[str, str], reply: _Reply) -> None:
        self._cache[key] = (self._clock.seconds() + reply.ttl, reply)
        self._cache.move_to_end(key)
        while len(self._cache) > self._max_cached:
            self._cache.popitem(last=False)

    # -- asking ---------------------------------------------------------------------------------

    async def _ask_servers(self, qname: dns.name.Name, kind: str) -> _Reply:
        for _ in range(TRIES):
            for server in self._servers:
                response = await self._ask_server(qname, kind, server)
                if response is None:
                    continue
                reply = _read(response, self._trusts)
                if reply is not None:
                    return reply
        raise Unavailable("The domain name system does not answer.")

    async def _ask_server(
        self, qname: dns.name.Name, kind: str, server: Server
    ) -> dns.message.Message | None:
        """A matching response, or None when this server has none to give."""
        query = dns.message.make_query(
            self._random_case(qname), kind, use_edns=0, payload=UDP_PAYLOAD_OCTETS
        )
        query.flags |= dns.flags.AD
        try:
            response = await self._over_udp(query, server)
            if response.flags & dns.flags.TC or not _is_same_case(query, response):
                response = await self._over_tcp(query, server)
        except (ConnectError, CannotListenError, CancelledError, TimeoutError, OSError):
            return None
        return response

    def _random_case(self, qname: dns.name.Name) -> dns.name.Name:
        """Bits for free against forged answers; servers give back what was asked."""
        mixed = [
            bytes(
                octet ^ 0x20 if chr(octet).isalpha() and self._random.getrandbits(1) else octet
                for octet in label
            )
            for label in qname.labels
        ]
        return dns.name.Name(mixed)

    async def _over_udp(self, query: dns.message.Message, server: Server) -> dns.message.Message:
        protocol = _Datagram(query.to_wire(), server, lambda wire: _matching(query, wire))
        interface = "::" if ":" in server[0] else ""
        port: Any = self._reactor.listenUDP(0, protocol, interface, MAX_DATAGRAM_OCTETS)
        try:
            return await self._in_time(protocol.answered)
        finally:
            port.stopListening()

    async def _over_tcp(self, query: dns.message.Message, server: Server) -> dns.message.Message:
        kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        reactor: IReactorTCP = IReactorTCP(self._reactor)
        endpoint = kind(reactor, server[0], server[1], timeout=self._try_seconds)
        factory = Factory.forProtocol(
            lambda: _Stream(query.to_wire(), lambda wire: _matching(query, wire))
        )
        protocol: Any = await endpoint.connect(factory)
        try:
            return await self._in_time(protocol.answered)
        finally:
            protocol.transport.abortConnection()

    async def _in_time(self, answered: "Deferred[dns.message.Message]") -> dns.message.Message:
        return await answered.addTimeout(self._try_seconds, IReactorTime(self._reactor))


def read_resolv_conf(path: str) -> tuple[Server, ...]:
    """The resolvers of this host; itself if the file names none (resolv.conf(5))."""
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    found: list[Server] = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and parse_ip(words[1]):
            found.append((words[1], DNS_PORT))
    return tuple(found[:MAX_SERVERS]) or (("127.0.0.1", DNS_PORT),)


def _matching(query: dns.message.Message, wire: bytes) -> dns.message.Message | None:
    """The response if it answers this question, None for anything else, whatever the octets."""
    try:
        response = dns.message.from_wire(wire, ignore_trailing=True)
        matches = query.is_response(response) and bool(response.question)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    return response if matches else None


def _is_same_case(query: dns.message.Message, response: dns.message.Message) -> bool:
    return query.question[0].name.labels == response.question[0].name.labels


def _read(response: dns.message.Message, trusts: bool) -> _Reply | None:
    """The records behind at most ``MAX_CNAMES`` aliases; None for SERVFAIL and nonsense."""
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    if not isinstance(response, dns.message.QueryMessage):
        return None
    exists = response.rcode() == dns.rcode.NOERROR
    try:
        chain = response.resolve_chaining()
    except dns.exception.DNSException:
        return None
    if len(chain.cnames) > MAX_CNAMES:
        return None
    authentic = trusts and bool(response.flags & dns.flags.AD)
    records = tuple(chain.answer)[:MAX_RECORDS] if chain.answer is not None else ()
    return _Reply(
        records=records,
        ttl=_ttl(response, chain.minimum_ttl, bool(records)),
        authentic=authentic,
        exists=exists,
    )


def _ttl(response: dns.message.Message, minimum: int, has_records: bool) -> int:
    if has_records:
        return min(minimum, MAX_TTL_SECONDS)
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    return min(minimum if has_soa else DEFAULT_NEGATIVE_TTL_SECONDS, MAX_NEGATIVE_TTL_SECONDS)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _answer(reply: _Reply, records: Sequence[T]) -> Answer[T]:
    return Answer(
        records=tuple(records), ttl=reply.ttl, authentic=reply.authentic, exists=reply.exists
    )
