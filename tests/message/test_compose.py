"""Tests of fe_mail.message.compose, dsn and received."""

import email
import email.policy
from email.message import EmailMessage

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.compose import (
    Correspondent,
    SystemMail,
    compose,
    id_field,
    new_message_id,
    text_field,
)
from fe_mail.message.digest import digest
from fe_mail.message.dsn import (
    MAX_RETURNED_OCTETS,
    Action,
    RecipientReport,
    Report,
    compose_report,
)
from fe_mail.message.headers import field_values, header_fields
from fe_mail.message.received import received_field
from fe_mail.model.address import Address
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import Invalid

ALICE = Address("alice", "example.org")
NAMES = [b"date", b"from", b"to", b"subject", b"message-id", b"auto-submitted"]
MIME_NAMES = [b"mime-version", b"content-type", b"content-transfer-encoding"]


def parse(raw: bytes) -> EmailMessage:
    """The message as Python's parser reads it."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def mail(**more: object) -> SystemMail:
    """A message to compose."""
    values: dict[str, object] = {
        "author": Correspondent(Address("postmaster", "example.org"), "Mail"),
        "to": (Correspondent(ALICE, "Alice"),),
        "subject": "Welcome",
        "text": "Hello.\n",
        "date": 1_800_000_000.0,
        "message_id": new_message_id("example.org", 1_800_000_000.0),
    }
    return SystemMail(**{**values, **more})  # type: ignore[arg-type]  # checked by attrs users


class ComposeTests(SynchronousTestCase):
    """Messages of our own."""

    def test_plain(self) -> None:
        """All fields, readable by others."""
        raw = compose(mail())
        message = parse(raw)
        self.assertEqual(message["Subject"], "Welcome")
        self.assertEqual(message["To"], "Alice <alice@example.org>")
        self.assertEqual(message["Auto-Submitted"], "auto-generated")
        self.assertEqual(message.get_content(), "Hello.\r\n")
        self.assertNotIn(b"\n", raw.replace(b"\r\n", b""))

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=200))
    def test_no_injection(self, subject: str, name: str, text: str) -> None:
        """No text from outside ever adds a field, or a line longer than allowed."""
        raw = compose(mail(subject=subject, to=(Correspondent(ALICE, name),), text=text))
        found = digest(raw)
        header = raw[: found.structure.body_start]
        self.assertEqual([field.key for field in header_fields(header)], NAMES + MIME_NAMES)
        self.assertTrue(header.isascii())
        self.assertLess(max(map(len, raw.split(b"\r\n"))), 999)
        self.assertNotIn(b"\n", raw.replace(b"\r\n", b""))
        self.assertEqual(found.envelope.to[0].mailbox, b"alice")
        self.assertEqual(len(found.envelope.to), 1)

    def test_injection_by_name_of_field(self) -> None:
        """A field name is checked."""
        for name in ("X\r\nBcc", "X:", "", "X Y", "\u00e9"):
            self.assertRaises(Invalid, text_field, name, "x")

    def test_message_ids(self) -> None:
        """What is no message id is left out."""
        self.assertEqual(id_field("References", ["x", "<a\r\n@b>", "<a b@c>"]), b"")
        self.assertEqual(
            id_field("References", ["<a@b>", "<c@d>"]), b"References: <a@b>\r\n <c@d>\r\n"
        )

    def test_long_lines(self) -> None:
        """Lines no transport takes are encoded."""
        text = "x" * 2_000 + "\n\u00f8\n"
        raw = compose(mail(text=text))
        self.assertLess(max(map(len, raw.split(b"\r\n"))), 80)
        self.assertEqual(parse(raw).get_content().replace("\r\n", "\n"), text)


ORIGINAL = b"From: a@example.org\r\nMessage-ID: <o@example.org>\r\nSubject: x\r\n\r\nbody\r\n"


def report(**more: object) -> Report:
    """A failure."""
    values: dict[str, object] = {
        "to": ALICE,
        "reporting_mta": "mx.example.org",
        "date": 1_800_000_000.0,
        "message_id": "<d@example.org>",
        "arrived_at": 1_799_999_000.0,
        "recipients": (
            RecipientReport(
                recipient="bob@example.net",
                action=Action.FAILED,
                status="5.1.1",
                said="550 5.1.1 No such user\r\nX-Evil: yes",
                remote="mx.example.net",
                original_recipient="rfc822;bob@example.net",
            ),
        ),
        "envelope_id": "env1",
    }
    return Report(**{**values, **more})  # type: ignore[arg-type]  # checked by attrs users


class ReportTests(SynchronousTestCase):
    """Delivery status notifications."""

    def test_failure(self) -> None:
        """The three parts, and the fields of RFC 3464."""
        message = parse(compose_report(report(), ORIGINAL))
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        self.assertEqual(message["Subject"], "Delivery Status Notification (Failure)")
        self.assertEqual(message["In-Reply-To"], "<o@example.org>")
        self.assertEqual(message["X-Failed-Recipients"], "bob@example.net")
        notice, status, original = message.iter_parts()
        self.assertIn("No such user", notice.get_content())
        self.assertEqual(original.get_content_type(), "message/rfc822")
        about_message, about_bob = status.get_payload()  # type: ignore[misc]  # two header blocks
        self.assertEqual(about_message["Reporting-MTA"], "dns; mx.example.org")
        self.assertEqual(about_message["Original-Envelope-Id"], "env1")
        self.assertEqual(about_bob["Final-Recipient"], "rfc822; bob@example.net")
        self.assertEqual(about_bob["Action"], "failed")
        self.assertEqual(about_bob["Status"], "5.1.1")
        self.assertEqual(about_bob["Diagnostic-Code"], "smtp; 550 5.1.1 No such user X-Evil: yes")
        self.assertIsNone(about_bob["X-Evil"])

    def test_who_said_so(self) -> None:
        """What no host said is ours, in words and in the type (RFC 3464 §2.3.5, §2.3.6)."""
        (entry,) = report().recipients
        for said, diagnostic, types in (
            ("550 no", "", ["smtp; 550 no"]),
            ("421 busy", "450 4.4.2 The mail host refuses to talk to us.", ["smtp; 421 busy"]),
            ("", "451 4.4.3 No DNS", ["X-fe-mail; 451 4.4.3 No DNS"]),
            ("", "", []),
        ):
            about = attrs.evolve(entry, said=said, diagnostic=diagnostic)
            message = parse(compose_report(report(recipients=(about,)), ORIGINAL))
            notice, status, _ = message.iter_parts()
            _, fields = status.get_payload()  # type: ignore[misc]  # two header blocks
            self.assertEqual(fields.get_all("Diagnostic-Code", []), types)
            self.assertIs("Remote-MTA" in fields, bool(said))
            text = notice.get_content()
            self.assertIs("mx.example.net said: " + said in text, bool(said))
            self.assertIn(diagnostic, text)

    def test_author(self) -> None:
        """The domain that signs, else the host."""
        for domain, author in (
            ("", "mailer-daemon@mx.example.org"),
            ("a.test", "mailer-daemon@a.test"),
        ):
            message = parse(compose_report(report(author_domain=domain), ORIGINAL))
            self.assertIn(f"<{author}>", message["From"])

    def test_many(self) -> None:
        """However many recipients: one report, and no line that a host refuses."""
        (entry,) = report().recipients
        names = [f"a-rather-long-local-part-{number}@example.net" for number in range(1000)]
        many = tuple(attrs.evolve(entry, recipient=name) for name in names)
        raw = compose_report(report(recipients=many), ORIGINAL)
        self.assertLessEqual(max(map(len, raw.split(b"\r\n"))), 998)
        _, status, _ = parse(raw).iter_parts()
        found = [part["Final-Recipient"] for part in status.get_payload()[1:]]  # type: ignore[union-attr,index]
        self.assertEqual(found, [f"rfc822; {name}" for name in names])

    def test_original_is_untouched(self) -> None:
        """What is returned is byte-exact."""
        raw = compose_report(report(), ORIGINAL)
        part = digest(raw).structure.parts[2]
        self.assertEqual(raw[part.body_start : part.body_end], ORIGINAL.removesuffix(b""))

    def test_headers_only(self) -> None:
        """RET=HDRS, and an original that is too big."""
        for made in (
            compose_report(report(return_full=False), ORIGINAL),
            compose_report(report(), ORIGINAL + b"x" * MAX_RETURNED_OCTETS),
        ):
            part = digest(made).structure.parts[2]
            self.assertEqual((part.type, part.subtype), (b"text", b"rfc822-headers"))
            self.assertNotIn(b"body\r\n", made[part.body_start : part.body_end])

    def test_delay_and_success(self) -> None:
        """Other actions have other words and dates."""
        (entry,) = report().recipients
        late = RecipientReport(
            recipient=entry.recipient,
            action=Action.DELAYED,
            status="4.4.1",
            last_attempt_at=1_800_000_000.0,
            will_retry_until=1_800_400_000.0,
        )
        message = parse(compose_report(report(recipients=(late,)), ORIGINAL))
        self.assertEqual(message["Subject"], "Delivery Status Notification (Delayed)")
        self.assertIsNotNone(message["Will-Retry-Until"])
        good = RecipientReport(recipient="b@c.example", action=Action.DELIVERED, status="2.0.0")
        message = parse(compose_report(report(recipients=(good,)), ORIGINAL))
        self.assertEqual(message["X-Successful-Recipients"], "b@c.example")

    def test_long_lines(self) -> None:
        """What a remote server says at length makes no line that another one refuses."""
        for letter in ("x", "\u00e4", "\U0001f600"):
            recipient = RecipientReport(
                recipient="bob@example.org",
                action=Action.FAILED,
                status="5.0.0",
                diagnostic=letter * 3_000,
                original_recipient="rfc822;" + letter * 3_000,
            )
            raw = compose_report(report(recipients=(recipient,)), b"Subject: x\r\n\r\n")
            self.assertLessEqual(max(map(len, raw.split(b"\r\n"))), 998)

    def test_international(self) -> None:
        """Addresses and originals beyond ASCII are labeled as such (RFC 6533)."""
        entry = RecipientReport(
            recipient="b\u00f8b@x.example", action=Action.FAILED, status="5.1.1"
        )
        raw = compose_report(report(recipients=(entry,)), "Subject: \u00f8\r\n\r\n".encode())
        _, status, original = digest(raw).structure.parts
        self.assertEqual(status.subtype, b"global-delivery-status")
        self.assertEqual(original.subtype, b"global")
        self.assertIn("Final-Recipient: utf-8; b\u00f8b@x.example".encode(), raw)


class ReceivedTests(SynchronousTestCase):
    """Trace fields."""

    def test_field(self) -> None:
        """From, by, with, id, for, date (RFC 5321 §4.4)."""
        peer = Peer(
            ip="2001:db8::1",
            helo="client.example",
            host="host.example",
            protocol="ESMTPS",
            tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        )
        raw = received_field(peer, by="mx.example.org", queue_id="q1", now=0.0, recipient=ALICE)
        self.assertEqual(
            raw,
            b"Received: from client.example (host.example [IPv6:2001:db8::1])\r\n"
            b"\tby mx.example.org with ESMTPS id q1\r\n"
            b"\t(TLS: TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
            b"\tfor <alice@example.org>;\r\n"
            b"\tThu, 01 Jan 1970 00:00:00 +0000\r\n",
        )
        self.assertEqual(len(field_values(header_fields(raw * 3), b"received")), 3)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=40), st.text(max_size=40))
    def test_no_injection(self, helo: str, tls: str) -> None:
        """Nothing a client says of itself ends the line or the comment."""
        peer = Peer(ip="192.0.2.1", helo=helo, tls=tls)
        raw = received_field(peer, by="x", queue_id="q", now=0.0)
        (field,) = header_fields(raw)
        self.assertEqual(field.raw, raw)
        self.assertEqual(raw.count(b"("), raw.count(b")"))
