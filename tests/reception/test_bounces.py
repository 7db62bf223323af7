"""Tests of fe_mail.reception.bounces: who is told what, once."""

from email import message_from_bytes
from email.message import Message
from email.policy import SMTP
from typing import Any

from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.message.dsn import MAX_RETURNED_OCTETS
from fe_mail.model.address import parse_address
from fe_mail.model.queue import Claim, Outcome, QueueFilter, Target
from fe_mail.ports import Acceptance
from fe_mail.queue.conclusions import Untold
from fe_mail.reception.bounces import UNPROVEN, Bounces
from tests.queue.base import MESSAGE, PostOfficeTestCase

FAILED = Outcome.failed(550, "5.1.1", "No mailbox hidden@far.test here", "mx.far.test")
LATE = Outcome.deferred(451, "4.4.1", "No answer")


class BouncesTests(PostOfficeTestCase):
    """One report each."""

    def setUp(self) -> None:
        """The reporter."""
        super().setUp()
        self.bounces = Bounces(
            self.router, self.queue, self.intake, self.clock, hostname="mx.example.net"
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
        fields = status.as_string()
        for line in (
            "Original-Envelope-Id: E1",
            "Original-Recipient: rfc822;orig@x.test",
            "Final-Recipient: rfc822; shown@example.org",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; mx.far.test",
        ):
            self.assertIn(line, fields)
        self.assertEqual(original.get_content_type(), "message/rfc822")
        self.assertNotIn("hidden@far.test", report.as_string())

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
