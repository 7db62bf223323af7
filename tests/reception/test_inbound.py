"""Tests of fe_mail.reception.inbound: what is answered 250 is in the queue, all else is not."""

import re
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from fe_mail.adapters.memory.exchange import MemoryExchange
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.local import LocalCourier
from fe_mail.delivery.remote import RemoteCourier
from fe_mail.mailauth.dkim import Result, verify
from fe_mail.mailauth.signing import SigningKey, generate_key, sign
from fe_mail.model.address import parse_address
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.envelope import Recipient
from fe_mail.model.errors import Unavailable
from fe_mail.model.queue import DeliveryState, OutcomeKind, Target
from fe_mail.model.route import Cause, DeadEnd, Route, Step
from fe_mail.model.status import TEMPORARY
from fe_mail.policy.inbound import MessageFacts
from fe_mail.policy.limits import MAX_HEADER_OCTETS, MAX_RECEIVED_FIELDS, UNKNOWN_MAX
from fe_mail.policy.rules import Accept, Action, Discard, File, Hold, Rule, Tag
from fe_mail.reception.faults import MAX_REMEMBERED, Faults
from tests.queue.base import KEY, MESSAGE, PEER, PostOfficeTestCase


class RecipientTests(PostOfficeTestCase):
    """RCPT TO."""

    def answer(self, address: str, sender: str = "carol@elsewhere.test") -> tuple[int, str] | None:
        """Code and enhanced status of a refusal."""
        reverse_path = parse_address(sender) if sender else None
        work = self.reception.recipient(PEER, None, reverse_path, parse_address(address))
        waiting = Deferred.fromCoroutine(work)
        self.clock.pump([1.0] * 10)
        refusal = self.successResultOf(waiting)
        return (refusal.code, refusal.enhanced) if refusal else None

    def test_known(self) -> None:
        """A hosted address is taken, with a tag as well."""
        self.assertIsNone(self.answer("Alice@example.org"))
        self.assertIsNone(self.answer("alice+news@example.org"))

    def test_unknown(self) -> None:
        """An address that does not exist is refused now, not after the data."""
        self.assertEqual(self.answer("nobody@example.org"), (550, "5.1.1"))
        self.assertEqual(self.counted, ["inbound.recipient.refused"])

    def test_no_relay(self) -> None:
        """A domain that is not ours is refused: no open relay."""
        self.assertEqual(self.answer("a@elsewhere.test"), (550, "5.7.1"))
        self.assertEqual(self.counted, ["inbound.recipient.relay"])

    def test_tarpit(self) -> None:
        """Guessing gets slower after some tries."""
        guess = parse_address("guess@example.org")
        for _ in range(3):
            self.now(self.reception.recipient(PEER, None, None, guess))
        slow = Deferred.fromCoroutine(self.reception.recipient(PEER, None, None, guess))
        self.assertNoResult(slow)
        self.clock.advance(1.0)
        refusal = self.successResultOf(slow)
        assert refusal is not None
        self.assertEqual(refusal.code, 550)

    def test_harvesting(self) -> None:
        """After too many guesses the address is not talked to; others are."""
        for _ in range(UNKNOWN_MAX):
            self.answer("guess@example.org")
        refusal = self.now(self.reception.connected(PEER))
        assert refusal is not None
        self.assertEqual((refusal.code, refusal.enhanced), (421, "4.7.1"))
        self.assertIsNone(self.now(self.reception.connected(self.evolve(PEER, ip="192.0.2.8"))))
        for address in ("guess@example.org", "alice@example.org"):
            self.assertEqual(self.answer(address), (450, "4.7.1"), address)

    def test_harvesting_by_a_crowd(self) -> None:
        """Questions that were asked before the limit was reached are answered like all after it."""
        self.now(self.reception.connected(PEER))
        self.now(self.counters.take(Claim(Counter("unknown:192.0.2.7", Window.HOUR), UNKNOWN_MAX)))
        self.assertEqual(self.answer("guess@example.org"), (450, "4.7.1"))

    def listen(self) -> None:
        """Keep what the operator reads from now on."""
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def faults(self) -> list[tuple[str, str]]:
        """Address and cause of each fault that was logged."""
        return [
            (event["address"], event["outcome"])
            for event in self.events
            if event.get("metric") == "route"
        ]

    def test_circle(self) -> None:
        """Two saves at once made a circle: mail comes back later, and the operator is told once."""
        a = self.add_alias(self.domain, "a", "x@t.test")
        b = self.add_alias(self.domain, "b", "y@t.test")
        self.change_alias(a, recipients=("b@example.org",))
        self.change_alias(b, recipients=("a@example.org",))
        self.listen()
        for _ in range(3):
            self.assertEqual(self.answer("a@example.org"), (451, "4.4.6"))
        self.assertEqual(self.faults(), [("a@example.org", "loop")])
        self.clock.advance(3600)
        self.answer("a@example.org")
        self.assertEqual(len(self.faults()), 2)

    def test_one_branch(self) -> None:
        """Only one branch is a circle: the other is delivered, and nobody is troubled."""
        self.add_alias(self.domain, "a", "a@example.org", "alice@example.org")
        self.listen()
        self.assertIsNone(self.answer("a@example.org"))
        self.hand_in(self.envelope("a@example.org"))
        (entry,) = self.entries()
        self.assertEqual([each.target.address for each in entry.deliveries], ["alice@example.org"])
        self.assertEqual(self.faults(), [])

    def test_nobody_in_charge(self) -> None:
        """Mail for postmaster that reaches nobody is deferred, with a clear word in the log."""
        for user in (self.user, self.admin):
            self.change_user(user, is_banned=True)
        self.listen()
        self.assertEqual(self.answer("postmaster@example.org"), (451, "4.3.5"))
        self.assertEqual(self.faults(), [("postmaster@example.org", "nobody")])

    def test_strangers_and_faults(self) -> None:
        """Guessing addresses is no fault of ours; and what is remembered has a bound."""
        self.listen()
        self.answer("nobody@example.org")
        self.assertEqual(self.faults(), [])
        faults = Faults()
        for number in range(MAX_REMEMBERED + 5):
            name = f"n{number}@example.org"
            end = DeadEnd(cause=Cause.LOOP, address=name, step=0, status=None)
            faults.tell(
                Route(
                    address=name,
                    is_hosted=True,
                    refusal=TEMPORARY,
                    steps=(Step(address=name),),
                    dead_ends=(end,),
                ),
                0.0,
            )
        self.assertEqual(len(faults._told), MAX_REMEMBERED)

    def test_srs_report(self) -> None:
        """A report to an address that our forwarding made goes back to the sender."""
        ours = self.srs.forward(parse_address("carol@elsewhere.test"), self.clock.seconds())
        self.assertIsNone(self.answer(str(ours), sender=""))
        route = self.now(self.reception.route(ours, None))
        self.assertEqual(route.targets, (Target(courier="remote", address="carol@elsewhere.test"),))

    def test_long_srs(self) -> None:
        """An SRS address may be longer than a local part of RFC 5321, and must still be taken."""
        sender = parse_address(f"{'c' * 60}@{'e' * 60}.test")
        ours = self.srs.forward(sender, self.clock.seconds())
        self.assertGreater(len(ours.local), 64)
        self.assertIsNone(self.answer(str(ours), sender=""))

    def test_srs_is_no_relay(self) -> None:
        """With a sender it is refused, and a forged one always."""
        ours = self.srs.forward(parse_address("carol@elsewhere.test"), self.clock.seconds())
        self.assertEqual(self.answer(str(ours)), (550, "5.7.1"))
        forged = "SRS0=AAAAAA=AA=elsewhere.test=carol@mail.example.net"
        self.assertEqual(self.answer(forged, sender=""), (550, "5.1.1"))


class MessageTests(PostOfficeTestCase):
    """From DATA to 250."""

    def test_queued(self) -> None:
        """The body is the message behind our Received field, byte for byte."""
        reply = self.hand_in(self.envelope("alice@example.org"))
        (entry,) = self.entries()
        self.assertEqual((reply.code, reply.enhanced), (250, "2.0.0"))
        self.assertEqual(reply.text, f"Queued as {entry.message.id}")
        raw = self.stored()
        self.assertTrue(raw.startswith(b"Received: from client.test ([192.0.2.7])\r\n"))
        self.assertTrue(raw.endswith(b"\r\n" + MESSAGE))
        self.assertEqual(entry.message.size_octets, len(raw))
        self.assertEqual(entry.message.message_id, "<1@elsewhere.test>")
        self.assertEqual(entry.message.source, "mx")

    def test_one_body(self) -> None:
        """All recipients share one body, and a target that is reached twice gets one copy."""
        self.add_alias(self.domain, "team", "alice@example.org", "fan@elsewhere.test")
        self.hand_in(self.envelope("alice@example.org", "ALICE@example.org", "team@example.org"))
        (entry,) = self.entries()
        targets = [(d.target.courier, d.target.address) for d in entry.deliveries]
        self.assertEqual(
            targets, [("local", "alice@example.org"), ("forward", "fan@elsewhere.test")]
        )
        self.assertEqual([d.number for d in entry.deliveries], [1, 2])
        self.assertEqual(entry.deliveries[1].recipient, "team@example.org")

    def test_dropped(self) -> None:
        """A disabled alias with code 250 takes the mail, and nothing is kept."""
        self.change_alias(self.alice, is_enabled=False, error_code_if_disabled=250)
        self.assertEqual(self.hand_in(self.envelope("alice@example.org")).code, 250)
        self.assertEqual(self.entries(), ())

    def test_gone_meanwhile(self) -> None:
        """An alias that went between RCPT and the end of data: the sender hears it now."""
        envelope = self.envelope("alice@example.org")
        self.now(self.accounts.delete_alias(self.alice.id))
        self.assertEqual(self.hand_in(envelope).code, 550)
        self.assertEqual(self.entries(), ())

    def test_some_gone(self) -> None:
        """One of two takes it no more: both again, so that nobody's mail is lost in silence."""
        envelope = self.envelope("alice@example.org", "fan@example.org")
        self.now(self.accounts.delete_alias(self.alice.id))
        self.assertEqual(self.hand_in(envelope).code, 451)
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.hand_in(self.envelope("fan@example.org")).code, 250)

    def test_loop(self) -> None:
        """More Received fields than any path has: 554 5.4.6, nothing stored."""
        hops = b"Received: by a.test; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * MAX_RECEIVED_FIELDS
        self.assertEqual(self.hand_in(self.envelope("alice@example.org"), hops + MESSAGE).code, 250)
        looping = b"received: by b.test; x\r\n" + hops + MESSAGE
        reply = self.hand_in(self.envelope("alice@example.org"), looping)
        self.assertEqual((reply.code, reply.enhanced), (554, "5.4.6"))
        self.assertEqual(len(self.entries()), 1)

    def test_hops_of_the_standard(self) -> None:
        """RFC 5321 §6.3: a hundred hops are no loop."""
        hops = b"Received: by a.test; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 100
        self.assertEqual(self.hand_in(self.envelope("alice@example.org"), hops + MESSAGE).code, 250)

    def passed(self, message: bytes) -> bytes:
        """What stands below our own Received field."""
        for entry in self.entries():
            self.now(self.queue.drop(entry.message.id))
        self.assertEqual(self.hand_in(self.envelope("alice@example.org"), message).code, 250)
        trace = re.match(rb"Received: from[^\r]*\r\n(?:\t[^\r]*\r\n)*", self.stored())
        assert trace is not None
        self.assertTrue(trace[0].endswith(b" +0000\r\n"), trace[0])
        return self.stored()[trace.end() :]

    def test_first_line_that_is_no_field(self) -> None:
        """White space at the top would continue our own field; it gets a name, and stays."""
        for line in (b" From: forged@x.test\r\n", b"\t; by mx.example.net\r\n", b" \r\n"):
            self.assertEqual(self.passed(line + MESSAGE), b"X-Malformed-Line:" + line + MESSAGE)
        self.assertEqual(self.passed(b" \r\n\r\nx\r\n"), b"X-Malformed-Line: \r\n\r\nx\r\n")
        for message in (b"no field\r\n" + MESSAGE, b"\r\nx\r\n", b""):
            self.assertEqual(self.passed(message), message)

    def test_mbox_line(self) -> None:
        """The separator of an mbox file is no part of a message (RFC 4155)."""
        for line in (b"From carol Thu Jan  1 00:00:00 2026\r\n", b">From x\r\n", b"From  a:b\r\n"):
            self.assertEqual(self.passed(line + MESSAGE), MESSAGE)
            self.assertEqual(self.passed(line * 2 + MESSAGE), MESSAGE)
            self.assertEqual(self.passed(line + b" " + MESSAGE), b"X-Malformed-Line: " + MESSAGE)
            self.assertEqual(self.passed(MESSAGE + line), MESSAGE + line)
        for header in (b"From : a@b.test\r\n\r\n", b"From:a@b.test\r\n\r\n", b"Fromage: x\r\n\r\n"):
            self.assertEqual(self.passed(header), header)

    def test_results_in_our_name(self) -> None:
        """Whoever reads them trusts us, so none of them comes from outside (RFC 8601 §5)."""
        body = b"Authentication-Results: mx.example.net; dkim=pass\r\n"
        for claim in (
            b"mx.example.net; dkim=pass header.d=bank.test",
            b"MX.Example.NET;dkim=pass",
            b"mx.example.net 1; none",
            b"mx.example.net/1; none",
            b"mx.example.net.; none",
            b"mx.example.net",
            b"(by (us)) mx.example.net (really); dmarc=pass",
            b"\r\n\tmx.example.net;\r\n\tspf=pass\r\n smtp.mailfrom=x",
            b"(a\r\n b)\r\n mx.example.net; none",
            b'"mx.example.net"; none',
            b'"mx\\.example.net" ; none',
            b"(never ends mx.example.net; none",
            b'"mx.example.net; none',
        ):
            for name in (b"Authentication-Results:", b"authentication-RESULTS \t: "):
                for before, behind in ((b"", MESSAGE), (b"X: y\r\n", MESSAGE), (b"X: y\r\n", b"")):
                    message = before + name + claim + b"\r\n" + behind + body
                    if not behind:
                        message = before + name + claim + b"\r\n\r\n" + body
                        behind = b"\r\n"
                    self.assertEqual(self.passed(message), before + behind + body, claim)

    def test_results_of_others(self) -> None:
        """What other servers found stays, as do the fields of a chain of trust (RFC 8617)."""
        for field in (
            b"Authentication-Results: mx.other.test; dkim=pass\r\n",
            b"Authentication-Results: notmx.example.net; dkim=pass\r\n",
            b"Authentication-Results: mx.other.test; x=y reason=mx.example.net\r\n",
            b"Authentication-Results: (mx.example.net) mx.other.test; none\r\n",
            b"Authentication-Results:\r\n",
            b"Authentication-Results: ; none\r\n",
            b"ARC-Authentication-Results: i=1; mx.example.net; none\r\n",
            b"X: y\r\n Authentication-Results: mx.example.net; none\r\n",
        ):
            self.assertEqual(self.passed(field + MESSAGE), field + MESSAGE)

    def test_signature_below_what_is_named(self) -> None:
        """Nothing that is signed is touched."""
        pem = generate_key(0)
        key = SigningKey.from_pem(pem)
        resolver = TableResolver(
            {("s._domainkey.b.test", "TXT"): (f"v=DKIM1; k=ed25519; p={key.public_base64}",)}
        )
        field = sign(MESSAGE, key, domain="b.test", selector="s", now=self.clock.seconds())
        for top in (b" x\r\n", b"From x\r\n", b"Authentication-Results: mx.example.net; none\r\n"):
            self.passed(top + field + MESSAGE)
            (verdict,) = self.now(verify(self.stored(), resolver, self.clock.seconds()))
            self.assertIs(verdict.result, Result.PASS, verdict)

    def test_alias_beyond_ascii(self) -> None:
        """What leads from it to an ASCII address is not made 8-bit by our own trace."""
        self.add_alias(self.domain, "\u00fcber", "x@elsewhere.test")
        envelope = self.envelope("\u00fcber@example.org", is_utf8=True)
        self.assertEqual(self.hand_in(envelope).code, 250)
        self.assertTrue(self.stored().isascii())
        self.assertFalse(self.entries()[0].message.is_8bit)

    def test_8bit_is_what_is_seen(self) -> None:
        """Not what was said of it: the next host has to be told the truth (RFC 6152 §3)."""
        for content, declared in ((b"gr\xc3\xbc\xc3\x9fe\r\n", False), (b"hello\r\n", True)):
            for entry in self.entries():
                self.now(self.queue.drop(entry.message.id))
            self.hand_in(self.envelope("alice@example.org", is_8bit=declared), MESSAGE + content)
            self.assertEqual(self.entries()[0].message.is_8bit, not declared)

    def test_received_in_body(self) -> None:
        """Only the header counts hops."""
        body = MESSAGE + b"Received: by a.test\r\n" * 100
        self.assertEqual(self.hand_in(self.envelope("alice@example.org"), body).code, 250)

    def test_huge_header(self) -> None:
        """A header beyond the limit is refused; a body as long is not."""
        huge = b"X: " + b"x" * MAX_HEADER_OCTETS + b"\r\n"
        spooling = self.reception.begin(self.envelope("alice@example.org"), None)
        self.now(spooling.write(huge + MESSAGE))
        self.assertEqual(self.now(spooling.finish()).code, 554)
        spooling = self.reception.begin(self.envelope("alice@example.org"), None)
        self.now(spooling.write(MESSAGE + huge))
        self.assertEqual(self.now(spooling.finish()).code, 250)

    def test_null_sender(self) -> None:
        """A report has one recipient (RFC 5321 §4.5.5)."""
        one = self.envelope("alice@example.org", sender="")
        self.assertEqual(self.hand_in(one).code, 250)
        two = self.envelope("alice@example.org", "fan@example.org", sender="")
        self.assertEqual(self.hand_in(two).code, 550)

    def test_odd_messages(self) -> None:
        """A message without header, without body, or empty is still somebody's mail."""
        for message in (b"", b"\r\n", b"\r\nbody\r\n", b"Subject: x\r\n", b"no header at all"):
            self.assertEqual(self.hand_in(self.envelope("alice@example.org"), message).code, 250)

    def test_dsn_parameters(self) -> None:
        """NOTIFY, ORCPT, ENVID and RET travel along."""
        recipient = Recipient(
            address=parse_address("alice@example.org"),
            notify=("NEVER",),
            original="rfc822;a@b.test",
        )
        envelope = self.evolve(
            self.envelope(envelope_id="E1", dsn_return="HDRS"), recipients=(recipient,)
        )
        self.hand_in(envelope)
        (entry,) = self.entries()
        self.assertEqual((entry.message.envelope_id, entry.message.dsn_return), ("E1", "HDRS"))
        self.assertEqual(entry.deliveries[0].notify, ("NEVER",))
        self.assertEqual(entry.deliveries[0].original_recipient, "rfc822;a@b.test")

    def test_hint(self) -> None:
        """The runner gets a hint."""
        hints: list[object] = []
        self.bus.subscribe("queue", hints.append)
        self.hand_in(self.envelope("alice@example.org"))
        self.clock.advance(0)
        self.assertEqual(len(hints), 1)

    def test_abort(self) -> None:
        """A connection that breaks leaves nothing, however much it sent."""
        for content in (MESSAGE, MESSAGE + b"x" * SMALL_OCTETS):
            spooling = self.reception.begin(self.envelope("alice@example.org"), None)
            self.now(spooling.write(content))
            self.now(spooling.abort())
            self.assertEqual((self.entries(), self.now(self.blobs.list())), ((), ()))

    def test_refused_large(self) -> None:
        """Of a large message that is refused at its end nothing stays."""
        envelope = self.envelope("alice@example.org")
        self.now(self.accounts.delete_alias(self.alice.id))
        self.assertEqual(self.hand_in(envelope, MESSAGE + b"x" * SMALL_OCTETS).code, 550)
        self.assertEqual((self.entries(), self.now(self.blobs.list())), ((), ()))


class ActionTests(PostOfficeTestCase):
    """What rules do with a message, from the end of its data to the mailbox."""

    def receive(self, *actions: Action, to: str = "alice@example.org") -> None:
        """A message that one rule after the other acts on."""

        def rule(number: int, action: Action) -> Rule[MessageFacts, Action]:
            async def check(facts: MessageFacts) -> Action:
                return action

            return Rule(f"inbound.message.test-{number}", "A test.", check)

        self.reception.message_table = tuple(map(rule, range(len(actions)), actions))
        self.assertEqual(self.hand_in(self.envelope(to)).code, 250)

    def delivered(self, folder: str) -> list[tuple[bytes, frozenset[str]]]:
        """Deliver what is due; the messages of a folder and their flags."""
        courier = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)
        (outcome,) = self.now(courier.deliver(self.claim()))
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        mailbox = self.now(self.mailboxes.unlock(self.alice.id, KEY))
        view = self.now(mailbox.select(folder))
        return [
            (self.now(mailbox.read(view.folder.id, uid, 0, 10_000)), view.flags_of(index))
            for index, uid in enumerate(view.uids)
        ]

    def test_hold(self) -> None:
        """Taken, and held in the queue with the reason until somebody releases it."""
        self.receive(Hold("looks odd"))
        (entry,) = self.entries()
        (delivery,) = entry.deliveries
        self.assertEqual((delivery.state, delivery.hold_reason), (DeliveryState.HELD, "looks odd"))
        self.assertEqual(self.claims(), ())
        self.now(self.queue.release(entry.message.id, self.clock.seconds()))
        self.assertEqual(len(self.delivered("INBOX")), 1)

    def test_tag(self) -> None:
        """Header fields above the message, keywords on it."""
        self.receive(Tag(field="X-Spam: yes", keyword="$Junk"), Tag(field="X-Why: words"))
        ((raw, flags),) = self.delivered("INBOX")
        self.assertIn(b"X-Spam: yes\r\nX-Why: words\r\nReceived:", raw)
        self.assertTrue(raw.endswith(MESSAGE))
        self.assertEqual(flags, frozenset({"$Junk"}))

    def test_folder(self) -> None:
        """Into the folder, with the rest of what the rules wish."""
        self.receive(Tag(keyword="$Junk"), File("Junk"))
        self.assertEqual([flags for _, flags in self.delivered("Junk")], [frozenset({"$Junk"})])

    def test_nonsense(self) -> None:
        """A folder that does not exist, or a keyword that none can be, loses no mail."""
        self.receive(File("No such folder"), Tag(keyword="not an atom"))
        self.assertEqual(len(self.delivered("INBOX")), 1)

    def test_discard(self) -> None:
        """250, and nothing is kept."""
        self.receive(Tag(keyword="$Junk"), Discard())
        self.assertEqual((self.entries(), self.now(self.blobs.list())), ((), ()))
        self.assertEqual(self.counted, ["inbound.message.test-0", "inbound.message.test-1"])

    def test_accept(self) -> None:
        """The rules behind are not asked."""
        self.receive(Accept(), Discard())
        self.assertEqual(len(self.entries()), 1)

    def test_forwarded(self) -> None:
        """Fields go with a message wherever it goes."""
        self.receive(Tag(field="X-Spam: yes"), File("Junk"), to="fan@example.org")
        exchange = MemoryExchange({"192.88.99.1"})
        table = {("elsewhere.test", "A"): ["192.88.99.1"]}
        remote = RemoteCourier(
            TableResolver(table), exchange, self.queue, self.clock, allow_private=True
        )
        (outcome,) = self.now(remote.deliver(self.claim()))
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        self.assertEqual(exchange.handed[0].attempt.prefix, b"X-Spam: yes\r\n")


class TroubleTests(PostOfficeTestCase):
    """Our own troubles are temporary for the sender."""

    def answer(self, error: Exception) -> tuple[int, str]:
        """What the sender hears."""

        async def accept(*arguments: object) -> NoReturn:
            raise error

        self.patch(self.queue, "accept", accept)
        reply = self.hand_in(self.envelope("alice@example.org"))
        return reply.code, reply.text

    def test_unavailable(self) -> None:
        """No 250 without a durable queue row."""
        self.assertEqual(self.answer(Unavailable("disk sdb1 is full"))[0], 451)

    def test_spool(self) -> None:
        """A body that cannot be written is told at the end, and logged for the operator."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        spooling = self.reception.begin(self.envelope("alice@example.org"), None)

        async def write(data: bytes) -> NoReturn:
            raise Unavailable("disk sdb1 is full")

        self.patch(spooling._body, "write", write)
        self.now(spooling.write(MESSAGE))
        self.now(spooling.write(MESSAGE))
        reply = self.now(spooling.finish())
        self.assertEqual(reply.code, 451)
        self.assertNotIn("sdb1", reply.text)
        reasons = [event["reason"] for event in events if "reason" in event]
        self.assertEqual(reasons, ["disk sdb1 is full"])

    def test_bug(self) -> None:
        """An unexpected exception is logged; its text is not told."""
        code, text = self.answer(ZeroDivisionError("secret detail"))
        self.assertEqual(code, 451)
        self.assertNotIn("secret", text)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
