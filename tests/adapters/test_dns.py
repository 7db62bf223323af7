"""Tests of fe_mail.adapters.dns against a small server of our own on loopback."""

import ipaddress
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.internet.task import Clock
from twisted.protocols.basic import Int16StringReceiver
from twisted.trial.unittest import SynchronousTestCase, TestCase

from fe_mail.adapters.dns import DNSResolver, read_resolv_conf
from fe_mail.adapters.dns_answers import matching
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.model.dns import MX, TXT, HostAddress
from fe_mail.model.errors import Unavailable
from fe_mail.ports import Resolver
from tests.contracts.resolver import AUTHENTIC, FAILING, TABLE, ResolverContract
from tests.sockets import Sockets

MAX_UDP_OCTETS = 512  # of our server: longer answers are truncated
MAX_CHAIN = 20
TRY_SECONDS = 2.0  # that nobody has to wait for


def zone_name(name: str) -> str:
    """The name under which the zone keeps a name or an address."""
    try:
        return ipaddress.ip_address(name).reverse_pointer
    except ValueError:
        return name


ZONE = {(zone_name(name), kind): rows for (name, kind), rows in TABLE.items()}


def answer_to(query: dns.message.Message) -> dns.message.Message:
    """What a recursive resolver says."""
    question = query.question[0]
    response = dns.message.make_response(query, recursion_available=True)
    name = question.name.to_text(omit_final_dot=True).lower()
    kind = dns.rdatatype.to_text(question.rdtype)
    if name in FAILING or (name, kind) in FAILING:
        response.set_rcode(dns.rcode.SERVFAIL)
        return response
    owner = question.name
    for _ in range(MAX_CHAIN):
        rows = ZONE.get((name, "CNAME"))
        if rows is None or kind == "CNAME":
            break
        response.answer.append(dns.rrset.from_text(owner, 300, "IN", "CNAME", *rows))
        name, owner = rows[0].rstrip("."), dns.name.from_text(rows[0])
    rows = ZONE.get((name, kind), ())
    if kind == "TXT":
        rows = tuple(
            " ".join(f'"{row[start : start + 255]}"' for start in range(0, len(row), 255))
            for row in rows
        )
    if rows:
        response.answer.append(dns.rrset.from_text(owner, 300, "IN", kind, *rows))
    elif not any(known == name for known, _ in ZONE):
        response.set_rcode(dns.rcode.NXDOMAIN)
    if name in AUTHENTIC:
        response.flags |= dns.flags.AD
    return response


class UDPServer(DatagramProtocol):
    """Answers datagrams; ``twist`` may replace what is sent."""

    def __init__(self) -> None:
        self.asked: list[dns.message.Message] = []
        self.ports: list[int] = []
        self.twist: Any = lambda query, wire: [wire]

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer."""
        query = dns.message.from_wire(datagram)
        self.asked.append(query)
        self.ports.append(addr[1])
        response = answer_to(query)
        wire = response.to_wire(max_size=65535)
        if len(wire) > MAX_UDP_OCTETS:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        for part in self.twist(query, wire):
            self.transport.write(part, addr)


class TCPServer(Int16StringReceiver):
    """Answers whole."""

    def stringReceived(self, string: bytes) -> None:
        """Answer."""
        self.factory.count += 1
        self.sendString(answer_to(dns.message.from_wire(string)).to_wire(max_size=65535))


class TableResolverTests(ResolverContract, TestCase):
    """The specification."""

    def resolver(self) -> Resolver:
        """In memory."""
        return TableResolver(TABLE, failing=FAILING, authentic=AUTHENTIC)


class ServedCase(TestCase):
    """A name server on loopback, UDP and TCP on one port."""

    def setUp(self) -> None:
        """Listen."""
        self.udp = UDPServer()
        self.tcp = Factory.forProtocol(TCPServer)
        self.tcp.count = 0  # type: ignore[attr-defined]
        self.patience = Clock()
        self.sockets = Sockets(time=self.patience)
        stream = self.sockets.listenTCP(0, self.tcp, interface="127.0.0.1")
        number = stream.getHost().port
        datagrams = reactor.listenUDP(number, self.udp, interface="127.0.0.1", maxPacketSize=4096)
        self.addCleanup(stream.stopListening)
        self.addCleanup(datagrams.stopListening)
        self.server = ("127.0.0.1", number)
        self.clock = Clock()

    def tearDown(self) -> "Deferred[None]":
        """Let sockets that were closed go."""
        return self.sockets.all_gone()

    def lose(self) -> list[bytes]:
        """No answer; when whoever asks waits for nothing else, time passes."""
        alone = self.sockets.open(1)
        alone.addCallback(lambda _: reactor.callLater(0, self.patience.advance, TRY_SECONDS))
        return []

    def resolver(self, **more: Any) -> DNSResolver:
        """The one under test."""
        known = {"servers": [self.server], "clock": self.clock, "try_seconds": TRY_SECONDS}
        more = {**known, **more}
        return DNSResolver(self.sockets, **more)


class DNSResolverTests(ServedCase, ResolverContract):
    """The contract over sockets."""


class TransportTests(ServedCase):
    """Forgeries, loss, caching."""

    def test_truncated(self) -> "Deferred[None]":
        """A truncated answer is asked again over TCP."""

        async def scenario() -> None:
            answer = await self.resolver().query("long.test", TXT)
            self.assertEqual(len(answer.records[0]), 600)
            self.assertEqual(self.tcp.count, 1)  # type: ignore[attr-defined]

        return ensureDeferred(scenario())

    def test_forged(self) -> "Deferred[None]":
        """Answers with another id or question, and nonsense, are dropped until the right one."""

        def twist(query: dns.message.Message, wire: bytes) -> list[bytes]:
            other_id = bytes([wire[0] ^ 1]) + wire[1:]
            forged = dns.message.make_query("evil.test", "MX", id=query.id)
            other = dns.message.make_response(forged).to_wire()
            return [b"", b"\xff" * 30, other_id, query.to_wire(), other, wire]

        async def scenario() -> None:
            self.udp.twist = twist
            answer = await self.resolver().query("example.test", MX)
            self.assertEqual(len(answer.records), 2)

        return ensureDeferred(scenario())

    def test_case(self) -> "Deferred[None]":
        """An answer whose name has not our letter case may be forged: TCP decides."""

        def twist(query: dns.message.Message, wire: bytes) -> list[bytes]:
            response = dns.message.from_wire(wire)
            response.question[0].name = dns.name.from_text(
                response.question[0].name.to_text().swapcase()
            )
            return [response.to_wire()]

        async def scenario() -> None:
            self.udp.twist = twist
            answer = await self.resolver().query("example.test", MX)
            self.assertEqual(len(answer.records), 2)
            self.assertEqual(self.tcp.count, 1)  # type: ignore[attr-defined]

        return ensureDeferred(scenario())

    def test_randomness(self) -> "Deferred[None]":
        """Ids, ports and letter case differ from question to question."""

        async def scenario() -> None:
            resolver = self.resolver()
            for number in range(8):
                await resolver.query(f"abcdefghijkl{number}.test", MX)
            ids = {query.id for query in self.udp.asked}
            names = {query.question[0].name.labels[0] for query in self.udp.asked}
            self.assertGreater(len(ids), 6)
            self.assertGreater(len(set(self.udp.ports)), 4)
            self.assertGreater(len({name[:12].swapcase() for name in names}), 4)
            self.assertTrue(all(query.edns == 0 for query in self.udp.asked))

        return ensureDeferred(scenario())

    def test_lost(self) -> "Deferred[None]":
        """A question that gets lost is asked again; one that never gets an answer ends."""

        async def scenario() -> None:
            losses = [1]
            self.udp.twist = lambda query, wire: self.lose() if losses and losses.pop() else [wire]
            answer = await self.resolver().query("example.test", MX)
            self.assertEqual(len(answer.records), 2)
            self.udp.twist = lambda query, wire: self.lose()
            with self.assertRaises(Unavailable):
                await self.resolver().query("example.test", MX)

        return ensureDeferred(scenario())

    def test_second_server(self) -> "Deferred[None]":
        """A server that is not there, or fails, is passed over."""

        async def scenario() -> None:
            resolver = self.resolver(servers=[("127.0.0.1", 1), self.server])
            work = ensureDeferred(resolver.query("example.test", MX))
            self.lose()
            answer = await work
            self.assertEqual(len(answer.records), 2)

        return ensureDeferred(scenario())

    def test_cache(self) -> "Deferred[None]":
        """Answers are kept for their time to live, also negative ones, failures never."""

        async def scenario() -> None:
            resolver = self.resolver()
            await resolver.query("example.test", MX)
            await resolver.query("nowhere.test", MX)
            self.clock.advance(50)
            answer = await resolver.query("EXAMPLE.test.", MX)
            self.assertEqual((len(self.udp.asked), answer.ttl), (2, 250))
            self.clock.advance(15)
            await resolver.query("nowhere.test", MX)
            self.assertEqual(len(self.udp.asked), 3)
            self.clock.advance(240)
            await resolver.query("example.test", MX)
            self.assertEqual(len(self.udp.asked), 4)
            for _ in range(2):
                with self.assertRaises(Unavailable):
                    await resolver.query("broken.test", MX)
            self.assertEqual(len(self.udp.asked), 8)

        return ensureDeferred(scenario())

    def test_fresh(self) -> "Deferred[None]":
        """Without a cache every question goes out: somebody has just published a record."""

        async def run() -> None:
            resolver = self.resolver(max_cached=0)
            await resolver.query("example.test", MX)
            first = len(self.udp.asked)
            await resolver.query("example.test", MX)
            self.assertEqual(len(self.udp.asked), 2 * first)

        return ensureDeferred(run())

    def test_trust(self) -> "Deferred[None]":
        """The AD bit counts only from a resolver that we trust."""

        async def scenario() -> None:
            answer = await self.resolver(trust_authentic=False).query("example.test", MX)
            self.assertFalse(answer.authentic)

        return ensureDeferred(scenario())

    def test_half(self) -> "Deferred[None]":
        """When only AAAA fails, the A records are the answer."""

        def twist(query: dns.message.Message, wire: bytes) -> list[bytes]:
            return self.lose() if query.question[0].rdtype == dns.rdatatype.AAAA else [wire]

        async def scenario() -> None:
            self.udp.twist = twist
            answer = await self.resolver().query("four.example.test", HostAddress)
            self.assertEqual(answer.records, ("192.0.2.4",))

        return ensureDeferred(scenario())


class OneFamilyFailsTests(ServedCase):
    """No address of one family, and no answer about the other: nobody knows."""

    def silent_about(self, kind: int) -> "Deferred[None]":
        """A name that has no record of the other family."""

        def twist(query: dns.message.Message, wire: bytes) -> list[bytes]:
            return self.lose() if query.question[0].rdtype == kind else [wire]

        async def scenario() -> None:
            self.udp.twist = twist
            with self.assertRaises(Unavailable):
                await self.resolver().query("null.test", HostAddress)

        return ensureDeferred(scenario())

    def test_ipv4(self) -> "Deferred[None]":
        """AAAA is empty, A is not answered: it may have one, so no host is given up."""
        return self.silent_about(dns.rdatatype.A)

    def test_ipv6(self) -> "Deferred[None]":
        """The other way around."""
        return self.silent_about(dns.rdatatype.AAAA)


class ParsingTests(SynchronousTestCase):
    """What comes from files and from the network."""

    def test_resolv_conf(self) -> None:
        """resolv.conf(5), with all that people write into it."""
        path = Path(self.mktemp())
        path.write_text(
            "# x\nsearch a.test\nnameserver 192.0.2.1\nnameserver  2001:db8::1 \n"
            "nameserver nonsense\nnameserver\noptions edns0\n"
        )
        self.assertEqual(read_resolv_conf(str(path)), (("192.0.2.1", 53), ("2001:db8::1", 53)))
        self.assertEqual(read_resolv_conf(self.mktemp()), (("127.0.0.1", 53),))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=80))
    def test_any_octets(self, octets: bytes) -> None:
        """Nothing that arrives raises."""
        query = dns.message.make_query("example.test", "MX")
        start = query.to_wire()[:12]
        self.assertIsNone(matching(query, octets))
        matching(query, start + octets)


class LateTableTests(SynchronousTestCase):
    """The fake that takes its time."""

    def test_late(self) -> None:
        """Answers come one by one, as the table is then; a question may be given up."""
        resolver = TableResolver({("a.test", "TXT"): ("old",)})
        resolver.is_late = True
        asked = [Deferred.fromCoroutine(resolver.query("a.test", TXT)) for _ in range(3)]
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        resolver.answer_next()
        self.assertEqual(self.successResultOf(asked[1]).records, ("old",))
        self.assertNoResult(asked[2])
        resolver.table["a.test", "TXT"] = ("new",)
        resolver.answer_next()
        self.assertEqual(self.successResultOf(asked[2]).records, ("new",))
