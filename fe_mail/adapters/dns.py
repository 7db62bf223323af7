"""
The ``Resolver`` over the network: dnspython's wire format on Twisted's UDP and TCP.

Questions go to the recursive resolvers of ``/etc/resolv.conf`` or a given list. Every question
has its own socket, so its own port, a random id and random letter case in its name; an answer
counts only if host, port, id, question and case match. What is truncated, or comes back in
another case, is asked again over TCP. The AD bit is believed only from resolvers on this host,
since nothing protects it on the way.

A question has one deadline over all its tries: both transports, every server, twice. Whoever
asks what is under way already waits for the same answer; the last one to give up ends the
question and closes its socket. Answers are kept for their time to live, within bounds.

RFC 1035 §4.2 (transports), §7.3 (matching responses); RFC 5452 (forged answers); RFC 6891
(EDNS); RFC 2308 (negative caching); RFC 6840 §5.7 (asking for AD); RFC 7766 (TCP).
"""

import ipaddress
import random
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import dns.exception
import dns.flags
import dns.message
import dns.name
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP
from twisted.python.failure import Failure

from fe_mail.adapters.dns_answers import is_same_case, read_answer
from fe_mail.adapters.dns_exchange import Server, over_tcp, over_udp
from fe_mail.model.dns import AAAA, PTR, A, Answer, HostAddress, Record
from fe_mail.model.errors import Unavailable
from fe_mail.model.network import parse_ip

__all__ = ["MAX_CACHED", "DNSResolver", "read_resolv_conf"]

DNS_PORT = 53
UDP_PAYLOAD_OCTETS = 1232  # fits every path without fragments (DNS flag day 2020)
TRY_SECONDS = 3.0  # of one transport to one server
TRIES = 2  # rounds over all resolvers
QUESTION_SECONDS = 10.0  # of all tries together
MAX_SERVERS = 3
MAX_CACHED = 10_000
MAX_UNDER_WAY = 500  # questions at once: each has a socket

R = TypeVar("R", bound=Record)
_Key = tuple[str, type[Record]]


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
        self._families: tuple[type[HostAddress], ...] = (AAAA, A) if prefer_ipv6 else (A, AAAA)
        self._try_seconds = try_seconds
        self._cache: OrderedDict[_Key, tuple[float, Answer[Any]]] = OrderedDict()
        self._max_cached = max_cached
        self._under_way: dict[_Key, _Shared] = {}
        self._random = random.SystemRandom()

    async def query(self, name: str, kind: type[R]) -> Answer[R]:
        """The records of a name."""
        if kind is HostAddress:
            return cast(Answer[R], await self._addresses(name))
        if kind is PTR:
            ip = parse_ip(name)
            if ip is None:
                return Answer(records=(), exists=False)
            name = ip.reverse_pointer
        return await self._ask(name, kind)

    async def _addresses(self, name: str) -> Answer[HostAddress]:
        """When one of the two questions fails, the other's records are the answer, if any."""
        questions = [Deferred.fromCoroutine(self._ask(name, kind)) for kind in self._families]
        results: Any = await DeferredList(questions, consumeErrors=True)
        answers: list[Answer[HostAddress]] = []
        for is_answer, result in results:
            if is_answer:
                answers.append(result)
            elif not result.check(Unavailable):
                result.raiseException()  # somebody cancelled
        records = tuple(record for answer in answers for record in answer.records)
        if len(answers) < len(questions) and not records:
            raise Unavailable("The domain name system does not answer.")
        return Answer(
            records=records,
            ttl=min(answer.ttl for answer in answers),
            authentic=all(answer.authentic for answer in answers),
            exists=any(answer.exists for answer in answers),
        )

    # -- what is known, and what is being asked ---------------------------------------------------

    async def _ask(self, name: str, kind: type[R]) -> Answer[R]:
        key = (name.lower().rstrip("."), kind)
        known = self._cached(key)
        if known is not None:
            return known
        try:
            qname = dns.name.from_text(key[0])
        except (dns.exception.DNSException, UnicodeError):
            return Answer(records=(), exists=False)
        shared = self._under_way.get(key)
        if shared is not None:
            return cast(Answer[R], await shared.wait())
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise Unavailable
        shared = self._under_way[key] = _Shared()
        waiter = shared.wait()  # before the work begins: it may fail at once
        self._begin(key, qname, shared)
        return cast(Answer[R], await waiter)

    def _begin(self, key: _Key, qname: dns.name.Name, shared: "_Shared") -> None:
        def finish(result: Answer[Any] | Failure) -> None:
            del self._under_way[key]
            if isinstance(result, Answer) and result.ttl > 0:
                self._remember(key, result)
            shared.tell(result)

        work = Deferred.fromCoroutine(self._ask_servers(qname, key[1]))
        work.addTimeout(QUESTION_SECONDS, IReactorTime(self._reactor))
        work.addErrback(_as_unavailable)
        shared.work = work
        work.addBoth(finish)

    def _cached(self, key: _Key) -> Answer[Any] | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        since, answer = entry
        age = self._clock.seconds() - since
        if not 0 <= age < answer.ttl:  # it has run out, or is of a later date
            del self._cache[key]
            return None
        return attrs.evolve(answer, ttl=max(1, int(answer.ttl - age)))

    def _remember(self, key: _Key, answer: Answer[Any]) -> None:
        self._cache[key] = (self._clock.seconds(), answer)
        self._cache.move_to_end(key)
        while len(self._cache) > self._max_cached:
            self._cache.popitem(last=False)

    # -- asking ---------------------------------------------------------------------------------

    async def _ask_servers(self, qname: dns.name.Name, kind: type[Record]) -> Answer[Any]:
        for _ in range(TRIES):
            for server in self._servers:
                response = await self._ask_server(qname, kind, server)
                if response is None:
                    continue
                answer = read_answer(response, kind, self._trusts)
                if answer is not None:
                    return answer
        raise Unavailable("The domain name system does not answer.")

    async def _ask_server(
        self, qname: dns.name.Name, kind: type[Record], server: Server
    ) -> dns.message.Message | None:
        """A matching response, or None when this server has none to give."""
        query = dns.message.make_query(
            self._random_case(qname), kind.__name__, use_edns=0, payload=UDP_PAYLOAD_OCTETS
        )
        query.flags |= dns.flags.AD
        try:
            response = await over_udp(self._reactor, query, server, self._try_seconds)
            if response.flags & dns.flags.TC or not is_same_case(query, response):
                stream_reactor: IReactorTCP = IReactorTCP(self._reactor)
                response = await over_tcp(stream_reactor, query, server, self._try_seconds)
        except (ConnectError, CannotListenError, TimeoutError, OSError):
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


class _Shared:
    """A question under way and everybody who waits for its answer."""

    def __init__(self) -> None:
        self.work: Deferred[Any] | None = None
        self._waiting: list[Deferred[Answer[Any]]] = []

    def wait(self) -> "Deferred[Answer[Any]]":
        """Fires with the answer; may be cancelled without harm to others."""
        waiter: Deferred[Answer[Any]] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def _leave(self, waiter: "Deferred[Answer[Any]]") -> None:
        if waiter not in self._waiting:
            return  # it is being told
        self._waiting.remove(waiter)
        if not self._waiting and self.work is not None:
            self.work.cancel()

    def tell(self, result: Answer[Any] | Failure) -> None:
        """Hand the answer out."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:  # one that was told before may have cancelled it
                waiter.callback(result)  # a Failure goes to the errbacks


def _as_unavailable(failure: Failure) -> Failure:
    return Failure(Unavailable()) if failure.check(TimeoutError) else failure


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
