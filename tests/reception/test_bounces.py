"""Tests of fe_mail.reception.bounces: who is told what, once."""

from email import message_from_bytes
from email.message import Message
from email.policy import SMTP
from typing import Any

from fe_mail.model.queue import Claim, Outcome, QueuedDelivery, QueuedMessage, Target
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
            self.router, self.spool, self.blobs, self.clock, hostname="mx.example.net"
        )

    def claim_of(self, **more: Any) -> Claim:
        """A claim, with attributes of message or delivery."""
        delivery = {
            name: more.pop(name) for name in ("notify", "original_recipient") if name in more
        }
        writer = self.blobs.create(self.clock.seconds())
        self.now(writer.write(more.pop("content", MESSAGE)))
        blob = self.now(writer.commit())
        message = QueuedMessage(
            **{
                "id": "0123456789abcdef01234567",
                "blob": blob,
                "size_octets": len(MESSAGE),
                "reverse_path": "alice@example.org",
                "created_at": self.clock.seconds(),
                "source": "submission",
                **more,
            }
        )
        queued = QueuedDelivery(
            message_id=message.id,
            number=1,
            recipient="shown@example.org",
            target=Target(courier="forward", address="hidden@far.test"),
            **delivery,
        )
        return Claim(message=message, delivery=queued, token="t", lease_until=0.0)

    def failed(self, **more: Any) -> None:
        """Report a failure."""
        self.now(self.bounces.failed(self.claim_of(**more), FAILED))

    def report(self) -> Message:
        """The one report in the queue."""
        (entry,) = self.entries()
        self.assertEqual((entry.message.source, entry.message.reverse_path), ("bounce", ""))
        return message_from_bytes(self.now(self.blobs.read(entry.message.blob)), policy=SMTP)

    def test_report(self) -> None:
        """RFC 3464, to the sender, with the message; the hidden target is not told."""
        self.failed(envelope_id="E1", original_recipient="rfc822;orig@x.test")
        report = self.report()
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

    def test_target(self) -> None:
        """A hosted sender gets it here, others by their hosts."""
        self.failed()
        self.assertEqual(self.entries()[0].deliveries[0].target.courier, "local")

    def test_stranger(self) -> None:
        """A forged sender gets nothing, whatever was asked for in his name; the journal says so."""
        for wish in ({}, {"dsn_return": "FULL"}, {"notify": ("FAILURE",)}):
            claim = self.claim_of(reverse_path="carol@elsewhere.test", source="mx", **wish)
            self.assertEqual(self.now(self.bounces.failed(claim, FAILED)), UNPROVEN)
        self.assertEqual(self.entries(), ())
        kept = [blob for blob, _ in self.now(self.blobs.list())]
        self.assertEqual(len(kept), 3, "the originals, no report")

    def test_stranger_who_wants_none(self) -> None:
        """Nobody is missing a report that was not wished."""
        claim = self.claim_of(reverse_path="carol@elsewhere.test", source="mx", notify=("NEVER",))
        self.assertEqual(self.now(self.bounces.failed(claim, FAILED)), "")

    def test_hosted_sender(self) -> None:
        """An address of ours is told, with the header only: it may be forged all the same."""
        for sender, courier in (("alice@example.org", "local"), ("fan@example.org", "forward")):
            claim = self.claim_of(
                reverse_path=sender, source="mx", dsn_return="FULL", id=f"{courier:0>24.24}"
            )
            self.assertEqual(self.now(self.bounces.failed(claim, FAILED)), "")
            *_, entry = self.entries()
            self.assertEqual(entry.deliveries[0].target.courier, courier)
            raw = self.now(self.blobs.read(entry.message.blob))
            self.assertNotIn(b"Hello Alice", raw)
            self.assertIn(b"Subject: hello", raw)

    def test_proven_sender(self) -> None:
        """The proven sender of mail from outside is told, with the header only."""
        self.failed(
            reverse_path="carol@elsewhere.test",
            source="mx",
            dsn_return="FULL",
            is_sender_proven=True,
        )
        target = self.entries()[0].deliveries[0].target
        self.assertEqual((target.courier, target.address), ("remote", "carol@elsewhere.test"))
        self.assertNotIn("Hello Alice", self.report().as_string())
        self.assertIn("Subject: hello", self.report().as_string())

    def test_null_sender(self) -> None:
        """A report is never reported."""
        self.failed(reverse_path="")
        self.assertEqual(self.entries(), ())

    def test_notify(self) -> None:
        """NOTIFY decides (RFC 3461 §4.1)."""
        for notify, expected in (
            (("NEVER",), 0),
            (("SUCCESS", "DELAY"), 0),
            (("FAILURE",), 1),
        ):
            self.failed(notify=notify, id=f"{expected:024x}")
            self.assertEqual(len(self.entries()), expected)
        self.assertIn("Hello Alice", self.report().as_string())

    def test_once(self) -> None:
        """A process that is killed and repeats its work makes no second report."""
        self.failed()
        self.failed()
        self.assertEqual(len(self.entries()), 1)
        kept = [blob for blob, _ in self.now(self.blobs.list())]
        self.assertEqual(len(kept), 3, "two originals, one report")

    def test_delayed(self) -> None:
        """A notice says how long we try; strangers get none."""
        self.now(self.bounces.delayed(self.claim_of(source="mx"), LATE))
        self.assertEqual(self.entries(), ())
        self.now(self.bounces.delayed(self.claim_of(notify=("FAILURE",)), LATE))
        self.assertEqual(self.entries(), ())
        self.now(self.bounces.delayed(self.claim_of(), LATE))
        report = self.report()
        self.assertIn("Delayed", report["Subject"])
        self.assertIsNotNone(report["Will-Retry-Until"])
        self.assertNotIn("Hello Alice", report.as_string())

    def test_failed_after_delayed(self) -> None:
        """The two are different reports."""
        self.now(self.bounces.delayed(self.claim_of(), LATE))
        self.failed()
        self.assertEqual(len(self.entries()), 2)

    def test_return_header(self) -> None:
        """RET=HDRS returns the header only."""
        self.failed(dsn_return="HDRS")
        self.assertNotIn("Hello Alice", self.report().as_string())

    def test_spool_gone(self) -> None:
        """A report can be made without the message."""
        claim = self.claim_of()
        self.now(self.blobs.delete(claim.message.blob))
        self.now(self.bounces.failed(claim, FAILED))
        self.assertIn("no longer stored", self.report().as_string())

    def test_sender_refuses(self) -> None:
        """A sender that is gone, or is no address, gets nothing; nothing stays."""
        self.failed(reverse_path="nobody@example.org")
        self.failed(reverse_path="nonsense")
        self.assertEqual(self.entries(), ())
