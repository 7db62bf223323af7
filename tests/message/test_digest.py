"""Tests of fe_mail.message.digest, dates, html and transfer."""

import datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.dates import format_date, parse_date
from fe_mail.message.digest import (
    MAX_TEXT_OCTETS,
    MIN_ATTACHMENT_OCTETS,
    attachment_name,
    digest,
)
from fe_mail.message.html import html_to_text
from fe_mail.message.transfer import decode_body

MESSAGE = b"""\
From: =?utf-8?q?J=C3=B8rgen?= <j@example.dk>\r
To: a@b.example\r
Subject: =?utf-8?B?SGVq?=\r
 =?utf-8?Q?_der?=\r
Date: Mon, 23 Nov 2026 01:20:00 +0200\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
bl=E5b=E6r=\r
gr=F8d\r
--b\r
Content-Type: text/html; charset=utf-8\r
Content-Transfer-Encoding: base64\r
\r
PHA+SGkgJmFtcDsgPGI+YjwvYj55ZTwvcD48c3R5bGU+eDwvc3R5bGU+\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: =?utf-8?q?inner=21?=\r
\r
inner text\r
--b\r
Content-Type: application/pdf; name=a.pdf\r
Content-Disposition: attachment; filename*=utf-8''%C3%A5.pdf\r
\r
%s\r
--b--\r
""".replace(b"%s", b"x" * MIN_ATTACHMENT_OCTETS)


class DigestTests(SynchronousTestCase):
    """Everything that is computed at arrival."""

    def test_header(self) -> None:
        """Fields decoded, one a line; the subject; the envelope raw."""
        found = digest(MESSAGE)
        self.assertIn("Subject: Hej der\n", found.header)
        self.assertIn("From: J\u00f8rgen <j@example.dk>\n", found.header)
        self.assertEqual(found.subject, "Hej der")
        self.assertEqual(found.envelope.subject, b"=?utf-8?B?SGVq?= =?utf-8?Q?_der?=")
        self.assertEqual(found.envelope.sender, found.envelope.from_)
        self.assertEqual(found.envelope.reply_to, found.envelope.from_)

    def test_text(self) -> None:
        """All text parts and the headers of embedded messages, decoded."""
        text = digest(MESSAGE).text
        for piece in ("bl\u00e5b\u00e6rgr\u00f8d", "Hi & bye", "inner!", "inner text"):
            self.assertIn(piece, text)
        self.assertNotIn("xxx", text)

    def test_reports(self) -> None:
        """What reports say for programs, and the header that they return, is text too."""
        for kind, field in (
            (b"message/delivery-status", b"Final-Recipient: rfc822; =?utf-8?q?J=C3=B8?="),
            (b"message/global-delivery-status", b"Diagnostic-Code: smtp; J\xc3\xb8"),
            (b"message/disposition-notification", b"Disposition: J\xc3\xb8"),
            (b"message/feedback-report", b"Feedback-Type: J\xc3\xb8"),
            (b"text/rfc822-headers", b"Subject: =?utf-8?q?J=C3?=\r\n =?utf-8?q?=B8?="),
            (b"text/rfc822-headers; charset=iso-8859-1", b"Subject: J\xf8"),
            (b"message/partial; id=x", b"Subject: =?utf-8?q?J=C3=B8?="),
        ):
            raw = b"Content-Type: " + kind + b"\r\n\r\nA: b\r\n\r\n" + field + b"\r\n"
            text = digest(raw).text
            self.assertIn("A: b\n", text, kind)
            self.assertIn("J\u00f8", text, kind)

    def test_mime(self) -> None:
        """The header fields of the parts and the names of files, decoded; not of the message."""
        raw = (
            b"Subject: no\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
            b"Content-Type: application/pdf; name*0*=utf-8''bl%C3%A5; name*1=b.pdf\r\n"
            b"Content-Description: =?utf-8?q?J=C3=B8?=\r\n"
            b'Content-Disposition: attachment; filename="=?utf-8?q?r=C3=B8d?=.pdf"\r\n\r\n'
            b"x\r\n--b\r\nContent-Type: multipart/mixed; boundary=c; x=nested\r\n\r\n--c--\r\n--b--"
        )
        mime = digest(raw).mime
        for piece in ("bl\u00e5b.pdf\n", "r\u00f8d.pdf\n", "Description: J\u00f8\n", "nested"):
            self.assertIn(piece, mime)
        self.assertNotIn("Subject", mime)
        alone = b"Content-Type: image/png; name*=utf-8''%C3%A5\r\n\r\nx"
        self.assertEqual(digest(alone).mime, "\u00e5\n")

    def test_all_of_a_long_field(self) -> None:
        """Thousands of recipients are all there."""
        raw = b"To: " + b"a@b.test,\r\n " * 20_000 + b"last@b.test\r\n\r\n"
        self.assertIn("last@b.test", digest(raw).header)

    def test_attachments(self) -> None:
        """Bodies worth storing once, by offsets; names decoded."""
        found = digest(MESSAGE)
        self.assertTrue(found.has_attachment)
        ((start, end),) = found.attachments
        self.assertEqual(MESSAGE[start:end], b"x" * MIN_ATTACHMENT_OCTETS)
        self.assertEqual(attachment_name(found.structure.parts[-1]), "\u00e5.pdf")

    def test_no_attachment(self) -> None:
        """An inline picture of an HTML message and a signature are none."""
        inline = (
            b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html"
            b"\r\n\r\nx\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <a@b>\r\n"
            b"Content-Disposition: inline\r\n\r\nx\r\n--b\r\n"
            b"Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--"
        )
        self.assertFalse(digest(inline).has_attachment)

    def test_dates(self) -> None:
        """Seconds in UTC, and the day as written in the zone of the sender."""
        found = digest(MESSAGE)
        moment = datetime.datetime.fromtimestamp(found.sent_at, datetime.UTC)
        self.assertEqual(moment.isoformat(), "2026-11-22T23:20:00+00:00")
        self.assertEqual(found.sent_day, datetime.date(2026, 11, 23).toordinal())

    def test_text_limit(self) -> None:
        """Text beyond the limit is not decoded; the message is whole all the same."""
        raw = b"Subject: x\r\n\r\n" + b"word " * (MAX_TEXT_OCTETS // 4)
        found = digest(raw)
        self.assertEqual(len(found.text), MAX_TEXT_OCTETS)
        self.assertEqual(found.structure.body_end, len(raw))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300))
    def test_anything(self, octets: bytes) -> None:
        """Any octets at all, alone and as a body in every encoding."""
        digest(octets)
        for encoding in (b"base64", b"quoted-printable", b"x-uue"):
            head = b"Content-Type: text/html\r\nContent-Transfer-Encoding: " + encoding
            digest(head + b"\r\n\r\n" + octets)


class DateTests(SynchronousTestCase):
    """Date fields."""

    def test_forms(self) -> None:
        """RFC 5322, obsolete zones and years, asctime, comments."""
        expected = datetime.datetime(1994, 2, 8, 5, 52, 25, tzinfo=datetime.UTC).timestamp()
        for value in (
            b"Mon, 7 Feb 1994 21:52:25 -0800",
            b"7 Feb 1994 21:52:25 -0800 (PST)",
            b"Mon,  7 Feb 94 21:52:25 PST",
            b"Tue, 8 Feb 1994 05:52:25 GMT",
            b"Tue Feb  8 05:52:25 1994",
            b"Tue, 08-Feb-1994 05:52:25",
        ):
            found = parse_date(value)
            assert found is not None, value
            self.assertEqual(found.seconds, expected, value)

    def test_nonsense(self) -> None:
        """What is no date is None."""
        for value in (
            b"",
            b"yesterday",
            b"32 Feb 2020 10:00:00 +0000",
            b"1 Foo 2020 10:00:00 +0000",
            b"1 Feb 2020 25:00:00 +0000",
            b"1 Feb 0000 10:00:00 +0000",
            b"\xff" * 300,
        ):
            self.assertIsNone(parse_date(value), value)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 4_000_000_000))
    def test_round_trip(self, seconds: int) -> None:
        """What we write we read."""
        found = parse_date(format_date(seconds).encode())
        assert found is not None
        self.assertEqual(found.seconds, seconds)


class ReadingTests(SynchronousTestCase):
    """HTML and transfer encodings."""

    def test_html(self) -> None:
        """Tags go, blocks end lines, entities are decoded, scripts are dropped."""
        for source, expected in (
            ("a<b>b</b>c", "abc"),
            ("<p>a<p>b", "a\nb"),
            ("a<br>b", "a\nb"),
            ("<td>a</td><td>b</td>", "a b"),
            ("&lt;x&gt; &eacute;&#248;", "<x> \u00e9\u00f8"),
            ("a<script>if (1<2) x()</script>b", "a b"),
            ("a<SCRIPT src=x/>b", "ab"),
            ("a<!-- <b> -->b", "ab"),
            ("a<!doctype html>b", "ab"),
            ("1 < 2", "1 < 2"),
            ("a<style>never closed", "a"),
            ("a<!-- never closed", "a"),
            ("a<b never closed", "a"),
        ):
            self.assertEqual(html_to_text(source), expected, source)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(["<", ">", "a", "!--", "-->", "script", "/", '"', "&", ";"])))
    def test_any_html(self, pieces: list[str]) -> None:
        """No exception."""
        html_to_text("".join(pieces))

    def test_base64(self) -> None:
        """Junk, missing padding and a stray character are survived."""
        for body, expected in (
            (b"aGk=", b"hi"),
            (b"aG\r\nk", b"hi"),
            (b"a!G*k=", b"hi"),
            (b"aGkx\r\nA", b"hi1"),
            (b"", b""),
        ):
            self.assertEqual(decode_body(body, b"base64", 0, len(body), 100), expected, body)

    def test_bound(self) -> None:
        """No more is decoded than was allowed."""
        self.assertEqual(decode_body(b"x" * 100, b"7bit", 10, 90, 5), b"x" * 5)
