"""Tests of fe_mail.reception.bounces: who is told what, once."""

from email import message_from_bytes
from email.message import Message
from email.policy import SMTP
from typing import Any

import attrs

from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.mailauth.dkim import Result, SigningKey, generate_key, verify
from fe_mail.message.dsn import MAX_RETURNED_OCTETS
from fe_mail.model.address import parse_address
from fe_mail.model.queue import Claim, Outcome, QueueFilter, Target
from fe_mail.ports import Acceptance
from fe_mail.queue.conclusions import Untold
from fe_mail.reception.bounces import UNPROVEN, Bounces
from tests.queue.base import MESSAGE, PostOfficeTestCase

SAID = "550 5.1.1 No mailbox hidden@far.test here: https://help.far.test"
FAILED = attrs.evolve(
    Outcome.failed(550, "5.1.1", SAID.removeprefix("550 5.1.1 "), "mx.far.test"), said=SAID
)
LATE = Outcome.deferred(451, "4.4.1", "No answer")


class BouncesTests(PostOfficeTestCase):
    """One report each."""

    def setUp(self) -> None:
        """The reporter."""
        super().setUp()
        self.bounces = Bounces(
            self.router,
            self.queue,
            self.intake,
            self.own_domain,
            self.clock,
            hostname="mx.example.net",
        )

    def claim_of(self, **more: Any) -> Claim:
        """A claim, with attributes of message or delivery."""
        delivery = {
            name: more.pop(name) for name in ("notify", "original_recipient") if name in more
        }
        raw = more.pop("content", MESSAGE)
        target = Target(courier="forward", address="hidden@far.test")
        message = self.message(**more)
        return self.claim_on(message, target, raw=raw, recipient="shown@example.org", **delivery)

    def failed(self, **more: Any) -> Acceptance | Untold | None:
        """The report of a failure."""
        claim = self.claim_of(**more)
        return self.now(self.bounces.failed(claim, [(claim.delivery, FAILED)]))

    def delayed(self, **more: Any) -> Acceptance | None:
        """The report of a delay."""
        claim = self.claim_of(**more)
        return self.now(self.bounces.delayed(claim, [(claim.delivery, LATE)]))

    def parsed(self, acceptance: Acceptance | Untold | None) -> Message:
        """The report as the queue stores it."""
        assert isinstance(acceptance, Acceptance)
        message = acceptance.message
        self.assertEqual((message.source, message.reverse_path), ("bounce", ""))
        self.now(self.queue.accept(acceptance))
        (entry,) = self.now(self.queue.find(QueueFilter(message_id=message.id)))
        raw = self.now(self.queue.read_body(entry.message))
        self.assertEqual(len(raw), message.size_octets)
        return message_from_bytes(raw, policy=SMTP)

    def test_report(self) -> None:
        """RFC 3464, to the sender, with the message; the hidden target is not told."""
        report = self.parsed(self.failed(envelope_id="E1", original_recipient="rfc822;orig@x.test"))
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report["To"], "alice@example.org")
        _, status, original = report.get_payload()
        fields = status.as_string().replace("\r\n ", " ")
        for line in (
            "Original-Envelope-Id: E1",
            "Original-Recipient: rfc822;orig@x.test",
            "Final-Recipient: rfc822; shown@example.org",
            "Action: failed",
            "Status: 5.1.1",
            "Diagnostic-Code: X-fe-mail; 550 5.1.1 (at the mail host that the address leads to)",
        ):
            self.assertIn(line, fields)
        self.assertEqual(original.get_content_type(), "message/rfc822")
        self.assertNotIn("far.test", report.as_string())

    def test_hidden(self) -> None:
        """Whatever comes of it, nothing names the place behind an alias, its host included."""
        for outcome in (
            FAILED,
            attrs.evolve(FAILED, said=""),
            attrs.evolve(FAILED, text="The mail host refuses to talk to us."),
            Outcome.deferred(451, "4.4.1", "mx.far.test does not answer", "mx.far.test"),
        ):
            for tell in (self.bounces.failed, self.bounces.delayed):
                claim = self.claim_of()
                report = self.parsed(self.now(tell(claim, [(claim.delivery, outcome)])))
                self.assertNotIn("far.test", report.as_string())
                self.assertIn(f"Status: {outcome.enhanced}", report.as_string())

    def test_own_words(self) -> None:
        """What we found out ourselves is told of an alias too: it names nothing."""
        claim = self.claim_of()
        outcome = Outcome.failed(550, "5.1.2", "The domain of the recipient does not exist.")
        report = self.parsed(self.now(self.bounces.failed(claim, [(claim.delivery, outcome)])))
        self.assertIn("The domain of the recipient does not exist.", report.as_string())

    def test_shown(self) -> None:
        """The host of an address that the sender wrote himself is named, with its words."""
        claim = self.claim_on(self.message(), Target(courier="remote", address="b@far.test"))
        report = self.parsed(self.now(self.bounces.failed(claim, [(claim.delivery, FAILED)])))
        self.assertIn(f"mx.far.test said: {SAID}", report.as_string())
        self.assertIn("Remote-MTA: dns; mx.far.test", report.as_string())

    def test_signed(self) -> None:
        """By the server's own domain, so that its DMARC policy refuses no report of ours."""
        self.assertIn("mailer-daemon@mx.example.net", self.parsed(self.failed())["From"])
        pem = generate_key(0)
        self.own_key(self.keyring.protect(pem, "dkim"))
        record = f"v=DKIM1; k=ed25519; p={SigningKey.from_pem(pem).public_base64}"
        resolver = TableResolver({("s1._domainkey.example.net", "TXT"): (record,)})
        for made in (self.failed(), self.delayed(), self.failed(dsn_return="HDRS")):
            assert isinstance(made, Acceptance)
            report = self.parsed(made)
            self.assertIn("<mailer-daemon@example.net>", report["From"])
            raw = self.now(self.queue.read_body(made.message))
            (verdict,) = self.now(verify(raw, resolver, self.clock.seconds()))
            self.assertEqual((verdict.result, verdict.domain), (Result.PASS, "example.net"))

    def test_any_host(self) -> None:
        """What leaves this server is ASCII: a host may take no other, and it is signed."""
        text = "Content-Type: text/plain; charset=utf-8\r\n\r\nbl\u00e5b\u00e6r\r\n"
        for sender, is_ascii in (("fan@example.org", True), ("alice@example.org", False)):
            made = self.failed(reverse_path=sender, content=text.encode())
            report = self.parsed(made)
            assert isinstance(made, Acceptance)
            raw = self.now(self.queue.read_body(made.message))
            self.assertEqual((raw.isascii(), made.message.is_8bit), (is_ascii, not is_ascii))
            _, _, original = report.get_payload()
            (inner,) = original.get_payload()
            self.assertIn("bl\u00e5b\u00e6r", inner.get_content())

    def own_key(self, protected: bytes) -> None:
        """The server's own domain is hosted, with this key."""
        domain = self.add_domain("example.net")
        changes = {"dkim_selector": "s1", "dkim_private_key": protected}
        self.now(self.accounts.update_domain(domain.id, self.clock.seconds(), **changes))

    def test_key_that_cannot_be_read(self) -> None:
        """Costs the signature, not the report."""
        self.own_key(b"damaged")
        report = self.parsed(self.failed())
        self.assertIsNone(report["DKIM-Signature"])

    def test_nothing_is_sent_here(self) -> None:
        """It is made here; it becomes durable with the outcome that it tells of."""
        self.assertIsNotNone(self.failed())
        self.assertEqual([entry.message.source for entry in self.entries()], ["submission"])

    def test_several(self) -> None:
        """Recipients of one connection that failed share a report, others are not in it."""
        targets = [Target(courier="remote", address=f"{name}@far.test") for name in "abc"]
        claim = self.claim_on(self.message(), *targets)
        a, _, c = claim.deliveries
        report = self.parsed(self.now(self.bounces.failed(claim, [(a, FAILED), (c, FAILED)])))
        fields = report.get_payload()[1].as_string()
        self.assertEqual(fields.count("Action: failed"), 2)
        self.assertIn("Final-Recipient: rfc822; c@far.test", fields)
        self.assertNotIn("b@far.test", fields)

    def test_many_for_somebody_outside(self) -> None:
        """The proven sender of a message to very many is told of all in one report."""
        targets = [Target(courier="forward", address=f"hidden@h{n}.test") for n in range(200)]
        message = self.message(
            reverse_path="carol@elsewhere.test", source="mx", is_sender_proven=True
        )
        claim = self.claim_on(message, *targets[:1], recipient="r@example.org")
        many = [
            (attrs.evolve(claim.delivery, recipient=f"r{n}@example.org", target=target), FAILED)
            for n, target in enumerate(targets)
        ]
        made = self.now(self.bounces.failed(claim, many))
        report = self.parsed(made)
        assert isinstance(made, Acceptance)
        self.assertEqual([one.target.address for one in made.deliveries], ["carol@elsewhere.test"])
        text = report.as_string()
        self.assertEqual(text.count("Final-Recipient: rfc822; r"), 200)
        self.assertNotIn("hidden", text)
        raw = self.now(self.queue.read_body(made.message))
        self.assertLessEqual(max(map(len, raw.split(b"\r\n"))), 998)

    def test_target(self) -> None:
        """A hosted sender gets it here, others by their hosts."""
        report = self.failed()
        assert isinstance(report, Acceptance)
        self.assertEqual([one.target.courier for one in report.deliveries], ["local"])

    def test_stranger(self) -> None:
        """A forged sender gets nothing, whatever was asked for in his name; the journal says so."""
        for wish in ({}, {"dsn_return": "FULL"}, {"notify": ("FAILURE",)}):
            told = self.failed(reverse_path="carol@elsewhere.test", source="mx", **wish)
            self.assertIs(told, UNPROVEN)

    def test_forwarded_by_us(self) -> None:
        """Mail that we forwarded comes back and fails: our SRS proves who wrote it; a forged one
        proves nothing."""
        carol = parse_address("carol@elsewhere.test")
        ours = self.srs.forward(carol, self.clock.seconds())
        report = self.failed(reverse_path=str(ours), source="mx")
        assert isinstance(report, Acceptance)
        (delivery,) = report.deliveries
        self.assertEqual(delivery.target, Target(courier="remote", address=str(carol)))
        forged = str(ours).replace("carol", "mallory")
        self.assertIsNone(self.failed(reverse_path=forged, source="mx"))

    def test_stranger_who_wants_none(self) -> None:
        """Nobody is missing a report that was not wished."""
        self.assertIsNone(
            self.failed(reverse_path="carol@elsewhere.test", source="mx", notify=("NEVER",))
        )

    def test_hosted_sender(self) -> None:
        """An address of ours is told, with the header only: it may be forged all the same."""
        for sender, courier in (("alice@example.org", "local"), ("fan@example.org", "forward")):
            report = self.failed(reverse_path=sender, source="mx", dsn_return="FULL")
            assert isinstance(report, Acceptance)
            self.assertEqual([one.target.courier for one in report.deliveries], [courier])
            text = self.parsed(report).as_string()
            self.assertNotIn("Hello Alice", text)
            self.assertIn("Subject: hello", text)

    def test_proven_sender(self) -> None:
        """The proven sender of mail from outside is told, with the header only."""
        report = self.failed(
            reverse_path="carol@elsewhere.test",
            source="mx",
            dsn_return="FULL",
            is_sender_proven=True,
        )
        assert isinstance(report, Acceptance)
        (delivery,) = report.deliveries
        target = delivery.target
        self.assertEqual((target.courier, target.address), ("remote", "carol@elsewhere.test"))
        text = self.parsed(report).as_string()
        self.assertNotIn("Hello Alice", text)
        self.assertIn("Subject: hello", text)

    def test_null_sender(self) -> None:
        """A report is never reported."""
        self.assertIsNone(self.failed(reverse_path=""))

    def test_notify(self) -> None:
        """NOTIFY decides (RFC 3461 §4.1)."""
        for notify, is_made in (
            (("NEVER",), False),
            (("SUCCESS", "DELAY"), False),
            (("FAILURE",), True),
        ):
            self.assertIs(self.failed(notify=notify) is not None, is_made, notify)

    def test_delayed(self) -> None:
        """A notice says how long we try; strangers get none."""
        self.assertIsNone(self.delayed(source="mx"))
        self.assertIsNone(self.delayed(notify=("FAILURE",)))
        report = self.parsed(self.delayed())
        self.assertIn("Delayed", report["Subject"])
        self.assertIsNotNone(report["Will-Retry-Until"])
        self.assertNotIn("Hello Alice", report.as_string())

    def test_return_header(self) -> None:
        """RET=HDRS returns the header only."""
        report = self.parsed(self.failed(dsn_return="HDRS"))
        self.assertNotIn("Hello Alice", report.as_string())

    def test_large(self) -> None:
        """A large message comes back whole, but not a huge one; its header always does."""
        for octets, is_whole in ((SMALL_OCTETS, True), (MAX_RETURNED_OCTETS, False)):
            raw = MESSAGE + b"x" * octets
            text = self.parsed(self.failed(content=raw, size_octets=len(raw))).as_string()
            self.assertIn("Subject: hello", text)
            self.assertIs("Hello Alice" in text, is_whole, octets)

    def test_body_gone(self) -> None:
        """A report can be made without the message."""
        claim = self.claim_of(content=MESSAGE + b"x" * SMALL_OCTETS)
        assert claim.message.blob is not None
        self.now(self.blobs.delete(claim.message.blob))
        report = self.now(self.bounces.failed(claim, [(claim.delivery, FAILED)]))
        self.assertIn("no longer stored", self.parsed(report).as_string())

    def test_sender_refuses(self) -> None:
        """A sender that is gone, or is no address, gets nothing."""
        self.assertIsNone(self.failed(reverse_path="nobody@example.org"))
        self.assertIsNone(self.failed(reverse_path="nonsense"))
