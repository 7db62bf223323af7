"""Tests of fe_mail.delivery.remote and forward: which host, and what its answer means."""

import email
import email.policy
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.exchange import MemoryExchange
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.forward import ForwardCourier
from fe_mail.delivery.remote import RemoteCourier
from fe_mail.model.address import parse_address
from fe_mail.model.network import is_public
from fe_mail.model.outbound import RemoteReply, Stage, TLSWish, Transmission
from fe_mail.model.queue import Claim, Outcome, OutcomeKind, Target
from tests.queue.base import MESSAGE, PostOfficeTestCase

ONE, TWO, THREE = "198.41.0.4", "199.9.14.201", "192.33.4.12"  # public addresses
SIX = "2001:500:2::c"

TABLE = {
    ("far.test", "MX"): ("10 a.far.test.", "20 b.far.test.", "20 c.far.test."),
    ("a.far.test", "A"): (ONE,),
    ("b.far.test", "A"): (TWO,),
    ("c.far.test", "A"): (THREE,),
    ("plain.test", "A"): (ONE,),
    ("plain.test", "AAAA"): (SIX,),
    ("null.test", "MX"): ("0 .",),
    ("empty.test", "TXT"): ("x",),
    ("inside.test", "MX"): ("10 inside.test.",),
    ("inside.test", "A"): ("127.0.0.1", "10.0.0.1", "169.254.169.254"),
    ("mixed.test", "A"): ("10.0.0.1", ONE),
    ("ours.test", "MX"): ("5 backup.ours.test.", "10 mx.example.net.", "20 a.far.test."),
    ("backup.ours.test", "A"): (TWO,),
    ("loop.test", "MX"): ("10 MX.example.net.",),
    ("byip.test", "A"): ("192.31.80.30",),
}


def reply(code: int, enhanced: str, stage: Stage = Stage.RECIPIENT) -> RemoteReply:
    """An answer."""
    return RemoteReply(code=code, enhanced=enhanced, text="text of the host", stage=stage)


class RemoteTestCase(PostOfficeTestCase):
    """A resolver, hosts, a courier."""

    def setUp(self) -> None:
        """All hosts answer."""
        super().setUp()
        self.resolver = TableResolver(TABLE)
        self.exchange = MemoryExchange({ONE, TWO, THREE, SIX, "127.0.0.1"})
        self.courier = self.make()

    def make(self, **more: Any) -> RemoteCourier:
        """A courier that never shuffles."""
        options: dict[str, Any] = {
            "own_hosts": ["mx.example.net"],
            "own_addresses": ["192.31.80.30"],
            "shuffle": lambda records: None,
            **more,
        }
        return RemoteCourier(self.resolver, self.exchange, self.queue, self.clock, **options)

    def claim_for(self, address: str, **more: Any) -> Claim:
        """A claim on a message to an address."""
        target = Target(courier="remote", address=address)
        return self.claim_on(self.message(**more), target, notify=("NEVER",))

    def send(self, address: str, **more: Any) -> Outcome:
        """Deliver."""
        (outcome,) = self.now(self.courier.deliver(self.claim_for(address, **more)))
        return outcome

    def status(self, address: str) -> tuple[str, int, str]:
        """Kind, code, enhanced status."""
        outcome = self.send(address)
        return outcome.kind.value, outcome.code, outcome.enhanced

    def hosts_tried(self) -> list[str]:
        """In order."""
        return [host for host, _ in self.exchange.tried]


class HostTests(RemoteTestCase):
    """Finding the host."""

    def test_best_first(self) -> None:
        """The lowest preference, with the envelope and the content as they are."""
        outcome = self.send("b@far.test", envelope_id="E", dsn_return="HDRS", is_8bit=True)
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        self.assertEqual(outcome.remote, "a.far.test")
        (handed,) = self.exchange.handed
        self.assertEqual((handed.ip, handed.port, handed.content), (ONE, 25, MESSAGE))
        self.assertEqual(handed.attempt.recipients[0].notify, ("NEVER",))
        self.assertEqual((handed.attempt.envelope_id, handed.attempt.dsn_return), ("E", "HDRS"))
        self.assertIs(handed.attempt.tls, TLSWish.OPPORTUNISTIC)

    def test_next_host(self) -> None:
        """Hosts that do not answer are passed over, in order of preference."""
        self.exchange.addresses = {THREE}
        self.assertEqual(self.send("b@far.test").remote, "c.far.test")
        self.assertEqual(self.hosts_tried(), ["a.far.test", "b.far.test", "c.far.test"])

    def test_shuffled(self) -> None:
        """Equal preferences are shuffled, different ones never."""
        self.courier = self.make(shuffle=lambda records: records.reverse())
        self.exchange.addresses = set()
        self.send("b@far.test")
        self.assertEqual(self.hosts_tried(), ["a.far.test", "c.far.test", "b.far.test"])

    def test_nobody_answers(self) -> None:
        """Temporary."""
        self.exchange.addresses = set()
        self.assertEqual(self.status("b@far.test"), ("deferred", 451, "4.4.1"))

    def test_no_mx(self) -> None:
        """A domain without MX is its own host (RFC 5321 §5.1), both families."""
        self.send("b@plain.test")
        self.assertEqual(self.exchange.tried, [("plain.test", (SIX, ONE))])

    def test_no_domain(self) -> None:
        """NXDOMAIN, no host at all, null MX: permanent, each with its own status."""
        self.assertEqual(self.status("b@nowhere.test"), ("failed", 550, "5.1.2"))
        self.assertEqual(self.status("b@empty.test"), ("failed", 550, "5.1.2"))
        self.assertEqual(self.status("b@null.test"), ("failed", 556, "5.1.10"))

    def test_dns_fails(self) -> None:
        """SERVFAIL proves nothing."""
        both = {("plain.test", "A"), ("plain.test", "AAAA")}  # of half an answer, half is used
        self.resolver.failing = {"far.test", ("a.far.test", "A"), *both}
        self.assertEqual(self.status("b@far.test"), ("deferred", 451, "4.4.3"))
        self.assertEqual(self.status("b@plain.test"), ("deferred", 451, "4.4.3"))

    def test_dns_fails_for_one_host(self) -> None:
        """Another host may still take it."""
        self.resolver.failing = {("a.far.test", "A")}
        self.assertEqual(self.send("b@far.test").remote, "b.far.test")

    def test_loop(self) -> None:
        """We are the best host: a loop. We are the second best: only the better ones are tried."""
        self.assertEqual(self.status("b@loop.test"), ("failed", 554, "5.4.6"))
        self.assertEqual(self.status("b@byip.test"), ("failed", 554, "5.4.6"))
        self.exchange.addresses = set()
        self.assertEqual(self.status("b@ours.test"), ("deferred", 451, "4.4.1"))
        self.assertEqual(self.hosts_tried(), ["backup.ours.test"])

    def test_private(self) -> None:
        """Addresses inside are never connected to, unless that is allowed."""
        self.assertEqual(self.status("b@inside.test"), ("failed", 550, "5.4.4"))
        self.assertEqual(self.status("b@[127.0.0.1]"), ("failed", 550, "5.4.4"))
        self.assertEqual(self.exchange.tried, [])
        self.send("b@mixed.test")
        self.assertEqual(self.exchange.tried, [("mixed.test", (ONE,))])
        self.courier = self.make(allow_private=True, port=2525)
        self.assertIs(self.send("b@inside.test").kind, OutcomeKind.DELIVERED)
        self.assertEqual(self.exchange.handed[-1].port, 2525)

    def test_literals(self) -> None:
        """Addresses in brackets need no DNS."""
        self.send(f"b@[{ONE}]")
        self.send(f"b@[IPv6:{SIX}]")
        self.assertEqual([ips for _, ips in self.exchange.tried], [(ONE,), (SIX,)])
        self.assertEqual(self.resolver.asked, [])

    def test_bad_address(self) -> None:
        """What is no address is permanent."""
        self.assertEqual(self.status("nonsense"), ("failed", 553, "5.1.3"))

    def test_requires_tls(self) -> None:
        """REQUIRETLS is handed on."""
        self.send("b@far.test", requires_tls=True)
        self.assertIs(self.exchange.handed[0].attempt.tls, TLSWish.REQUIRED)


class AnswerTests(RemoteTestCase):
    """What answers mean."""

    def answer(self, given: RemoteReply) -> tuple[str, int, str]:
        """The status for a recipient with this answer."""
        self.exchange.answers["b@far.test"] = given
        return self.status("b@far.test")

    def test_mapping(self) -> None:
        """5xx about a recipient or the content is permanent, 4xx temporary; no other host."""
        self.assertEqual(self.answer(reply(550, "5.1.1")), ("failed", 550, "5.1.1"))
        self.assertEqual(self.answer(reply(554, "5.7.1", Stage.CONTENT)), ("failed", 554, "5.7.1"))
        self.assertEqual(self.answer(reply(450, "4.2.0")), ("deferred", 450, "4.2.0"))
        self.assertEqual(set(self.hosts_tried()), {"a.far.test"})

    def test_session_refused(self) -> None:
        """A host that refuses to talk sends us to the next; if all do, it is temporary."""
        self.exchange.answers["a.far.test"] = reply(554, "5.7.1", Stage.GREETING)
        self.assertEqual(self.send("b@far.test").remote, "b.far.test")
        for host in ("b.far.test", "c.far.test"):
            self.exchange.answers[host] = reply(421, "4.3.2", Stage.GREETING)
        self.assertEqual(self.status("b@far.test")[0], "deferred")

    def test_closing(self) -> None:
        """421 in the transaction: the next host; if none does better, its words are kept."""
        said = attrs.evolve(reply(421, "4.7.0", Stage.MAIL), said="421 4.7.0 text of the host")
        self.exchange.answers["a.far.test"] = said
        self.assertEqual(self.send("b@far.test").remote, "b.far.test")
        self.exchange.addresses = {ONE}
        outcome = self.send("b@far.test")
        self.assertEqual((outcome.code, outcome.said), (421, said.said))
        self.assertEqual(outcome.remote, "a.far.test")

    def test_unclear(self) -> None:
        """552 to RCPT without a code that says what it means is no failure (§4.5.3.1.10)."""
        self.assertEqual(self.answer(reply(552, "5.0.0")), ("deferred", 452, "4.5.3"))
        self.assertEqual(self.answer(reply(552, "5.2.2")), ("failed", 552, "5.2.2"))
        self.assertEqual(self.answer(reply(552, "5.0.0", Stage.CONTENT))[0], "failed")

    def test_own_words(self) -> None:
        """Nobody is said to have said what we found out."""
        refused = attrs.evolve(reply(554, "5.7.1", Stage.GREETING), said="554 5.7.1 go away")
        for host in ("a.far.test", "b.far.test", "c.far.test"):
            self.exchange.answers[host] = refused
        outcome = self.send("b@far.test")
        self.assertEqual(outcome.said, "554 5.7.1 go away")
        self.assertEqual((outcome.is_quote, outcome.enhanced), (False, "4.4.2"))
        self.exchange.addresses = set()
        outcome = self.send("b@far.test")
        self.assertEqual((outcome.said, outcome.remote), ("", "c.far.test"))

    def test_text_is_kept(self) -> None:
        """The host's words reach the sender, with its name."""
        self.exchange.answers["b@far.test"] = reply(550, "5.1.1")
        outcome = self.send("b@far.test")
        self.assertEqual((outcome.text, outcome.remote), ("text of the host", "a.far.test"))


class AsciiHost(MemoryExchange):
    """A host without 8BITMIME: it says so, or we do for it."""

    async def transmit(self, *arguments: Any) -> Transmission:
        """Nothing beyond ASCII."""
        attempt = arguments[3]
        if attempt.is_8bit or attempt.is_utf8:
            self.tried.append((arguments[0], arguments[1]))
            replies = tuple(reply(554, "5.6.3", Stage.MAIL) for _ in attempt.recipients)
            return Transmission(replies=replies, host=arguments[0], ip=ONE)
        return await super().transmit(*arguments)


class ConversionTests(RemoteTestCase):
    """RFC 6152 §3: convert it or send it back."""

    BODY = "From: a@b.test\r\nSubject: Grüße\r\n\r\nGrüße\r\n".encode()

    def setUp(self) -> None:
        """Hosts of the last century."""
        super().setUp()
        self.exchange = AsciiHost({ONE})
        self.courier = self.make(run=InlineThreads().run)

    def deliver(self, raw: bytes, *addresses: str, **more: Any) -> list[tuple[str, int, str]]:
        """What came of it."""
        targets = [Target(courier="remote", address=one) for one in addresses or ("b@far.test",)]
        message = self.message(size_octets=len(raw), is_8bit=True, source="mx", **more)
        claim = self.claim_on(message, *targets, raw=raw)
        outcomes = self.now(self.courier.deliver(claim))
        return [(outcome.kind.value, outcome.code, outcome.enhanced) for outcome in outcomes]

    def test_converted(self) -> None:
        """What carries no signature arrives, in ASCII, for all recipients."""
        outcomes = self.deliver(self.BODY, "a@far.test", "b@far.test", is_utf8=True)
        self.assertEqual([kind for kind, _, _ in outcomes], ["delivered"] * 2)
        (handed,) = self.exchange.handed
        message = email.message_from_bytes(handed.content, policy=email.policy.default)
        self.assertTrue(handed.content.isascii())
        self.assertEqual(message["Subject"], "Grüße")
        self.assertEqual(message.get_content(), "Grüße\r\n")
        self.assertEqual(handed.attempt.size_octets, len(handed.content))

    def test_signed(self) -> None:
        """What carries one is not touched: it fails with the reason."""
        signed = b"DKIM-Signature: v=1; d=b.test\r\n" + self.BODY
        self.assertEqual(self.deliver(signed), [("failed", 554, "5.6.3")])
        self.assertEqual(self.exchange.handed, [])

    def test_impossible(self) -> None:
        """An address in the header that ASCII cannot say; content that is signed inside."""
        for header in ("To: ü@x.test\r\n", "Content-Type: multipart/signed; boundary=b\r\n"):
            raw = header.encode() + b"\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n"
            self.assertEqual(self.deliver(raw), [("failed", 554, "5.6.3")])
        self.assertEqual(self.deliver(self.BODY, "ü@far.test"), [("failed", 554, "5.6.3")])
        self.assertEqual(self.exchange.handed, [])

    def test_for_others(self) -> None:
        """A host that takes it as it is gets it as it is."""
        self.exchange = MemoryExchange({ONE})
        self.courier = self.make(run=InlineThreads().run)
        self.assertEqual(self.deliver(self.BODY), [("delivered", 250, "2.0.0")])
        self.assertEqual(self.exchange.handed[0].content, self.BODY)


class PatienceTests(RemoteTestCase):
    """How long a claim may hold its place."""

    def tried(self, *, is_hurried: bool) -> list[str]:
        """The hosts that were tried, when each is silent for a while."""
        transmit = self.exchange.transmit

        async def silent(*arguments: Any) -> Any:
            self.assertIs(arguments[3].is_hurried, is_hurried)
            self.clock.advance(250.0)
            return await transmit(*arguments)

        self.patch(self.exchange, "transmit", silent)
        self.exchange.addresses = set()
        claim = attrs.evolve(self.claim_for("b@far.test"), is_hurried=is_hurried)
        (outcome,) = self.now(self.courier.deliver(claim))
        self.assertEqual(outcome.enhanced, "4.4.1")
        return self.hosts_tried()

    def test_patient(self) -> None:
        """All hosts of a domain have their time, up to a limit."""
        self.assertEqual(self.tried(is_hurried=False), ["a.far.test", "b.far.test", "c.far.test"])

    def test_hurried(self) -> None:
        """While other mail waits, one silent host is enough for an attempt."""
        self.assertEqual(self.tried(is_hurried=True), ["a.far.test"])


class SeveralTests(RemoteTestCase):
    """Recipients of one claim."""

    def deliver(self, *addresses: str) -> list[tuple[str, int]]:
        """Kind and code for each."""
        targets = [Target(courier="remote", address=address) for address in addresses]
        claim = self.claim_on(self.message(), *targets)
        outcomes = self.now(self.courier.deliver(claim))
        return [(outcome.kind.value, outcome.code) for outcome in outcomes]

    def test_each_its_own(self) -> None:
        """In their order."""
        self.exchange.answers["gone@far.test"] = reply(550, "5.1.1")
        self.exchange.answers["late@far.test"] = reply(450, "4.2.0")
        self.assertEqual(
            self.deliver("a@far.test", "gone@far.test", "late@far.test", "b@far.test"),
            [("delivered", 250), ("failed", 550), ("deferred", 450), ("delivered", 250)],
        )
        self.assertEqual(len(self.exchange.handed), 1)

    def test_no_host(self) -> None:
        """What is true of the domain is true of all."""
        self.assertEqual(self.deliver("a@null.test", "b@null.test"), [("failed", 556)] * 2)

    def test_bad_address(self) -> None:
        """One that is no address stops no other."""
        claim = self.claim_on(
            self.message(), *(Target(courier="remote", address=f"{n}@far.test") for n in "abc")
        )
        first, second, third = claim.deliveries
        bad = attrs.evolve(second, target=Target(courier="remote", address="non sense@far.test"))
        claim = attrs.evolve(claim, deliveries=(first, bad, third))
        outcomes = self.now(self.courier.deliver(claim))
        self.assertEqual([outcome.code for outcome in outcomes], [250, 553, 250])


class ForwardTests(RemoteTestCase):
    """Forwarding is remote delivery with a reverse-path of ours."""

    def forward(self, reverse_path: str) -> str:
        """The reverse-path that the host saw."""
        courier = ForwardCourier(self.courier, self.srs, self.clock)
        claim = self.claim_for("b@far.test", reverse_path=reverse_path)
        (outcome,) = self.now(courier.deliver(claim))
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        return self.exchange.handed[-1].attempt.reverse_path

    def test_srs(self) -> None:
        """Rewritten so that it can be reversed."""
        sent = self.forward("carol@elsewhere.test")
        self.assertTrue(sent.endswith("@mail.example.net"))
        original = self.srs.reverse(parse_address(sent), self.clock.seconds())
        self.assertEqual(str(original), "carol@elsewhere.test")

    def test_null(self) -> None:
        """The null reverse-path stays null."""
        self.assertEqual(self.forward(""), "")

    def test_too_long(self) -> None:
        """A sender that SRS cannot carry is told so."""
        courier = ForwardCourier(self.courier, self.srs, self.clock)
        sender = f"{'x' * 64}@{'y' * 60}.{'z' * 60}.{'w' * 50}.test"
        claim = self.claim_for("b@far.test", reverse_path=sender)
        (outcome,) = self.now(courier.deliver(claim))
        self.assertEqual(outcome.enhanced, "5.1.7")


class OneAtATime(MemoryExchange):
    """Hosts that take ``takes`` recipients in a transaction, and say ``full`` to the others."""

    takes = 1
    full = reply(452, "4.5.3")

    async def transmit(self, *arguments: Any) -> Transmission:
        """The first ones as usual."""
        given = await super().transmit(*arguments)
        if all(one.stage is Stage.GREETING for one in given.replies):
            return given
        rest = len(given.replies) - self.takes
        replies = given.replies[: self.takes] + (self.full,) * max(0, rest)
        return attrs.evolve(given, replies=replies)


class FullTransactionTests(RemoteTestCase):
    """RFC 5321 §4.5.3.1.10: a host that takes fewer recipients than there are."""

    def setUp(self) -> None:
        """Three recipients of one message."""
        super().setUp()
        self.exchange = OneAtATime({ONE})
        self.courier = self.make()

    def deliver(self) -> list[tuple[int, str]]:
        """The codes for the three."""
        targets = [Target(courier="remote", address=f"{name}@far.test") for name in "abc"]
        claim = self.claim_on(self.message(), *targets, notify=("NEVER",))
        outcomes = self.now(self.courier.deliver(claim))
        return [(outcome.code, outcome.enhanced) for outcome in outcomes]

    def recipients(self) -> list[str]:
        """Of each transaction with content."""
        handed = self.exchange.handed
        return ["".join(one.address[0] for one in each.attempt.recipients) for each in handed]

    def test_one_at_a_time(self) -> None:
        """All get it in one attempt, each once."""
        self.assertEqual(self.deliver(), [(250, "2.0.0")] * 3)
        self.assertEqual(self.recipients(), ["abc", "bc", "c"])

    def test_nobody(self) -> None:
        """A host that takes none is not asked again and again."""
        self.exchange.takes = 0
        self.assertEqual(self.deliver(), [(452, "4.5.3")] * 3)
        self.assertEqual(len(self.exchange.tried), 1)

    def test_patience(self) -> None:
        """A host that takes one at a time, slowly, does not hold the place for ever."""
        transmit = self.exchange.transmit

        async def slow(*arguments: Any) -> Transmission:
            self.clock.advance(350.0)
            return await transmit(*arguments)

        self.exchange.transmit = slow  # type: ignore[method-assign]
        self.assertEqual(self.deliver(), [(250, "2.0.0"), (250, "2.0.0"), (452, "4.5.3")])

    def test_many(self) -> None:
        """A hundred recipients, one at a time, are no deep recursion."""
        targets = [Target(courier="remote", address=f"a{number}@far.test") for number in range(100)]
        claim = self.claim_on(self.message(), *targets, notify=("NEVER",))
        outcomes = self.now(self.courier.deliver(claim))
        self.assertEqual({outcome.code for outcome in outcomes}, {250})

    def test_full_mailbox(self) -> None:
        """A full mailbox is not a full transaction."""
        self.exchange.full = reply(452, "4.2.2")
        self.assertEqual(self.deliver(), [(250, "2.0.0"), (452, "4.2.2"), (452, "4.2.2")])
        self.assertEqual(len(self.exchange.tried), 1)

    def test_refused_for_good(self) -> None:
        """Who is refused in the next transaction is told so; the others have theirs."""
        self.exchange.answers["b@far.test"] = reply(550, "5.1.1")
        self.exchange.takes = 2
        self.assertEqual(self.deliver(), [(250, "2.0.0"), (550, "5.1.1"), (250, "2.0.0")])

    def test_gone_meanwhile(self) -> None:
        """The host does not answer the second time: those that have it have it."""
        original = self.exchange.transmit

        async def once(*arguments: Any) -> Transmission:
            given = await original(*arguments)
            self.exchange.addresses = set()
            return given

        self.exchange.transmit = once  # type: ignore[method-assign]
        self.assertEqual(self.deliver(), [(250, "2.0.0"), (452, "4.5.3"), (452, "4.5.3")])

    def test_gone_meanwhile_of_old(self) -> None:
        """Where a full transaction is called permanent, those who wait get no report either."""
        self.exchange.full = reply(552, "5.5.3")
        self.test_gone_meanwhile()


class PublicAddressTests(SynchronousTestCase):
    """SSRF: which addresses are the Internet's."""

    def test_private(self) -> None:
        """Everything inside, in every disguise."""
        for ip in (
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
            *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1"),
            *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "nonsense", ""),
        ):
            self.assertFalse(is_public(ip), ip)

    def test_public(self) -> None:
        """And what is not."""
        for ip in (ONE, SIX, "::ffff:198.41.0.4", "64:ff9b::c629:4"):
            self.assertTrue(is_public(ip), ip)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """Never raises."""
        is_public(text)
