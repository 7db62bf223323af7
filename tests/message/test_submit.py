"""Tests of fe_mail.message.submit, form, resent and header_lines: what a submission becomes."""

import contextlib
import email
import email.policy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.form import header_fault
from fe_mail.message.header_lines import has_long_line, plain_lines
from fe_mail.message.headers import MAX_HEADER_OCTETS, header_fields
from fe_mail.message.resent import latest_resent, resenders
from fe_mail.message.results import MAX_RESULTS
from fe_mail.message.submit import Completion, complete_header, complete_message
from fe_mail.model.errors import Invalid, Malformed, TooBig
from tests.growth import assert_linear

NEW_DATE = b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
NEW_ID = b"Message-ID: <new@example.org>\r\n"
DATE = b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
ID = b"Message-ID: <y@z>\r\n"


class SubmitTests(SynchronousTestCase):
    """Completing a submission."""

    def complete(self, raw: bytes, **more: Any) -> bytes:
        """With a fixed time and id."""
        completion = Completion(now=0.0, message_id="<new@example.org>", **more)
        return complete_message(raw, completion).raw

    def header(self, *fields: bytes, **more: Any) -> bytes:
        """A header, completed, without its empty line."""
        return self.complete(b"".join(fields) + b"\r\n", **more).removesuffix(b"\r\n")

    def test_added(self) -> None:
        """What is missing is added behind the fields; the rest keeps every octet."""
        self.assertEqual(
            self.complete(b"From: a\r\nX:  odd \r\n\r\nbody\r\n\r\n"),
            b"From: a\r\nX:  odd \r\n" + NEW_DATE + NEW_ID + b"\r\nbody\r\n\r\n",
        )

    def test_kept(self) -> None:
        """What is there and good stays."""
        raw = DATE + b"message-id: <y@z>\r\nFrom: a\r\n\r\nbody"
        self.assertEqual(self.complete(raw), raw)

    def test_good_message_ids(self) -> None:
        """What programs really write, comments and odd characters included."""
        for value in (
            b"<y@z>",
            b"<y@[192.0.2.1]>",
            b"<!&!AAAA==@x.test>",
            b"<$1..a.@b.test>",
            b"(c) <y@z> (added by d)",
            b"\r\n <y@z>",
            b"<%s@z>" % (b"y" * 800),
        ):
            field = b"Message-ID:" + value + b"\r\n"
            self.assertEqual(self.header(field, DATE), field + DATE, value)

    def test_bad_message_ids(self) -> None:
        """Empty ones, and those that readers disagree about, give way to a new one."""
        for value in (
            *(b"", b" ", b"\r\n ", b"y@z", b"<y>", b"<>", b"<@z>", b"<y@>", b"<y@z", b"<a b@z>"),
            *(b"<y@z> <x@z>", b"<y@z>,<x@z>", b"<<y@z>>", b"<y@z@z>", b"<\xc3\xbc@z>", b"id"),
            b"<%s@z>" % (b"y" * 990),
        ):
            field = b"Message-ID:" + value + b"\r\n"
            self.assertEqual(self.header(field, DATE), DATE + NEW_ID, value)

    def test_good_dates(self) -> None:
        """RFC 5322 §3.3, and the obsolete forms of §4.3 that everybody reads."""
        for value in (
            b"Mon, 1 Jan 2024 00:00:00 +0000",
            b"1 Jan 2024 00:00 +0000",
            b"Mon, 01 Jan 2024 00:00:00 -0000 (UTC)",
            b"Mon,  1 Jan 2024 00:00:00 GMT",
            b"mon, 1 jan 24 00:00:00 EST",
            b"Mon, 1 Jan 2024 00:00:00 Z",
            b"Mon, 1 Jan 2024\r\n 00:00:00 +0000",
        ):
            field = b"Date: " + value + b"\r\n"
            self.assertEqual(self.header(field, ID), field + ID, value)

    def test_bad_dates(self) -> None:
        """What is no date is now; what some can read is written so that all can."""
        for value in (b"", b" ", b"x", b"Mon", b"32 Jan 2024 00:00:00 +0000", b"=?utf-8?q?x?="):
            self.assertEqual(self.header(b"Date:" + value + b"\r\n", ID), ID + NEW_DATE, value)
        year_one = b"Date: Mon, 1 Jan 0001 00:00:00 +0000\r\n"
        self.assertEqual(self.header(year_one, ID), ID + NEW_DATE)
        for value in (
            b"Mon Jan  1 00:00:00 2024",
            b"Mon, 1 Jan 2024 00:00:00",
            b"Mon, 01-Jan-2024 00:00:00 GMT",
            b"Monday, 1 January 2024 00:00:00 +0000",
            b"Mon, 1 Jan 2024 00.00.00 +0000",
            b"Mon, 1 Jan 2024 02:00:00 +0200 CEST",
            b"Mon, 1 Jan 2024 0:00:00 +0000",
        ):
            expected = b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
            self.assertEqual(self.header(b"Date: " + value + b"\r\n", ID), ID + expected, value)

    def test_bcc(self) -> None:
        """Bcc goes in any spelling, with its folding, and nothing else does."""
        raw = (
            DATE + b"BCC: a@b,\r\n c@d\r\n\t\r\n" + ID + b"bcc : e@f\r\n"
            b"Return-Path: <x@y>\r\nX-Bcc: stays\r\nSubject: a\r\n bcc: stays\r\n\r\nBcc: body\r\n"
        )
        expected = DATE + ID + b"X-Bcc: stays\r\nSubject: a\r\n bcc: stays\r\n\r\nBcc: body\r\n"
        self.assertEqual(self.complete(raw), expected)

    def test_sender(self) -> None:
        """One that is nobody's goes; what is left says who sent it (RFC 5322 §3.6.2)."""
        field = b"Sender: a@b.test\r\n"
        self.assertEqual(self.header(field, DATE, ID), field + DATE + ID)
        self.assertEqual(self.header(field, DATE, ID, keeps_sender=False), DATE + ID)

    def test_empty(self) -> None:
        """Fields that may not be empty go when they are; a Subject may be."""
        empty = b"To:\r\nCc: \r\nReply-To:\r\n \r\nreferences:\t\r\nIn-Reply-To: \r\n"
        kept = b"Subject:\r\nX-Cc:\r\nTo:\r\n a@b.test\r\n"
        self.assertEqual(self.header(empty, kept, DATE, ID), kept + DATE + ID)

    def test_top(self) -> None:
        """The separator of an mbox file and results in our name go (RFC 8601 §5)."""
        mbox = b"From alice@example.org Mon Jan  1 00:00:00 2024\r\n"
        self.assertEqual(self.header(mbox, DATE, ID), DATE + ID)
        self.assertEqual(self.header(b">" + mbox, DATE, ID), DATE + ID)
        ours, other = (
            b"Authentication-Results: %b; none\r\n" % name for name in (b"mx.test", b"b.test")
        )
        self.assertEqual(self.header(DATE, ours, other, ID, names={"mx.test"}), DATE + other + ID)

    def test_many_results(self) -> None:
        """Of other servers a few dozen stay; no way of a message is longer."""
        other = b"Authentication-Results: b.test; none\r\n"
        kept = other * MAX_RESULTS
        self.assertEqual(
            self.header(DATE, ID, kept, other, other, names={"mx.test"}), DATE + ID + kept
        )

    def test_edges(self) -> None:
        """No empty line, no fields at all, a Bcc at the end without line end."""
        added = NEW_DATE + NEW_ID + b"\r\n"
        self.assertEqual(self.complete(b""), added)
        self.assertEqual(self.complete(b"\r\nbody"), added + b"body")
        self.assertEqual(self.complete(b"A: b"), b"A: b\r\n" + added)
        self.assertEqual(self.complete(b"A: b\r\nBcc: c"), b"A: b\r\n" + added)

    def test_endless_header(self) -> None:
        """A header whose end is not found cannot hide a Bcc."""
        raw = b"A: b\r\n" * MAX_HEADER_OCTETS + b"Bcc: c@d\r\n\r\n"
        self.assertRaises(TooBig, self.complete, raw)

    def test_bad_id(self) -> None:
        """Our own id must be one."""
        completion = Completion(now=0.0, message_id="x")
        self.assertRaises(Invalid, complete_header, b"", completion)


class ResentTests(SynchronousTestCase):
    """A message of somebody else on its way again (RFC 5322 §3.6.6)."""

    AUTHORS = (
        b"Subject: gr\xc3\xbc\xc3\x9fe\r\nSender: s@b.test\r\nMessage-ID: odd\r\n\r\n"
        + b"\xe4" * 2000
    )

    def complete(self, raw: bytes) -> bytes:
        """With a fixed time and id."""
        completion = Completion(now=0.0, message_id="<new@example.org>", is_resent=True)
        return complete_message(raw, completion).raw

    def test_block(self) -> None:
        """The first one, and nothing of those below."""
        fields = header_fields(
            b"Received: x\r\nResent-From: a@b\r\nResent-To: c@d\r\nReceived: y\r\n"
            b"Resent-Sender: old@d\r\n"
        )
        self.assertEqual(
            [each.key for each in latest_resent(fields)], [b"resent-from", b"resent-to"]
        )
        fields = header_fields(b"Resent-To: c@d\r\nResent-From: a@b\r\nResent-From: old@d\r\n")
        self.assertEqual([str(one) for one in resenders(fields)], ["a@b"])

    def test_resenders(self) -> None:
        """From and sender of the block; one address each."""
        fields = header_fields(b"Resent-Sender: a@b.test\r\nResent-From: A <c@d.test>\r\n")
        self.assertEqual([str(one) for one in resenders(fields)], ["c@d.test", "a@b.test"])
        self.assertEqual(resenders(header_fields(b"From: a@b.test\r\n")), ())
        for header in (
            b"Resent-To: a@b.test\r\n",
            b"Resent-From: a@b.test, c@d.test\r\n",
            b"Resent-From: x\r\n",
            b"Resent-From: a@b.test\r\nResent-Sender: \r\n",
        ):
            self.assertRaises(Invalid, resenders, header_fields(header))

    def test_completed(self) -> None:
        """Its own fields are completed, all that is the author's stays, 8-bit and long lines."""
        added = b"Resent-" + NEW_DATE + b"Resent-" + NEW_ID
        block = b"Resent-From: a@b.test\r\n"
        above = b"X: Resent-From: a@b.test\r\n"
        self.assertEqual(
            self.complete(above + block + b"Resent-Bcc: x@y.test\r\n" + self.AUTHORS),
            above + added + block + self.AUTHORS,
        )

    def test_complete_already(self) -> None:
        """Nothing is added twice."""
        block = b"Resent-Date: x\r\nResent-Message-ID: <1@b>\r\nResent-From: a@b.test\r\n"
        self.assertEqual(self.complete(block + self.AUTHORS), block + self.AUTHORS)


class FormTests(SynchronousTestCase):
    """What is refused, and why."""

    def test_good(self) -> None:
        """What may stand in a header."""
        for header in (
            b"",
            b"\r\n",
            b"From: a\r\nTo:b\r\nX-1_!: \r\nSubject: a\r\n b\r\n\tc: d\r\n \r\n\r\n",
            b"Received: a\r\nReceived: b\r\nX: 1\r\nx: 2\r\nDKIM-Signature: a\r\nComments: 1\r\n"
            b"Comments: 2\r\nKeywords: 1\r\nKeywords: 2\r\nResent-To: 1\r\nResent-To: 2\r\n",
            b"A: b\r\n\r\nno field\r\n body\r\nTo: a\r\nTo: b\r\n",
            b"Bcc: a\r\nBcc: b\r\n",
        ):
            self.assertEqual(header_fault(header), "", header)

    def test_bad(self) -> None:
        """Each with a reason that shows where."""
        for header, reason in (
            (b" From: a\r\n", "begins with white space"),
            (b"\tA: b\r\n", "begins with white space"),
            (b" \r\nFrom: a\r\n", "begins with white space"),
            (b"A: b\r\nno field\r\n", "no colon: no field"),
            (b"no field\r\nA: b\r\n", "no colon: no field"),
            (b"A: b\r\nFrom x\r\nC: d\r\n", "no colon: From x"),
            (b"Subject : a\r\n", "white space: Subject"),
            (b"Subject\t: a\r\n", "white space: Subject"),
            (b"Sub ject: a\r\n", "name of a field: Sub ject: a"),
            (b": a\r\n", "name of a field: : a"),
            (b"S\xc3\xbcb: a\r\n", "name of a field: S??b: a"),
            (b"S\x07b: a\r\n", "name of a field: S?b: a"),
        ):
            self.assertIn(reason, header_fault(header), header)
        for name in (
            *("From", "To", "Cc", "Date", "Message-ID", "Sender", "Reply-To", "Subject"),
            *("References", "In-Reply-To", "MIME-Version", "Content-Type"),
        ):
            header = f"{name}: a\r\nX: y\r\n{name.lower()}: b\r\n".encode()
            self.assertIn(f"more than one field of this name: {name.lower()}", header_fault(header))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_octets(self, header: bytes) -> None:
        """A printable sentence, whatever the octets."""
        fault = header_fault(header)
        self.assertTrue(fault.isprintable() and fault.isascii() and len(fault) < 200)


def value(raw: bytes, name: str) -> str:
    """A field as Python's parser reads it."""
    message = email.message_from_bytes(raw + b"\r\n", policy=email.policy.default)
    return str(message[name])


class LinesTests(SynchronousTestCase):
    """Lines for every transport."""

    def plain(self, fields: bytes) -> bytes:
        """With what must be true of each answer."""
        plain = plain_lines(fields)
        self.assertFalse(has_long_line(plain))
        self.assertNotRegex(plain, rb"(?m)^[ \t]+\r?$")
        self.assertEqual(plain_lines(plain), plain)
        return plain

    def test_untouched(self) -> None:
        """What is good already, odd or not."""
        fields = b"Subject:  a  b \r\n\tc\r\nX: =?utf-8?q?x?=\r\nY: " + b"y" * 990 + b"\r\n"
        self.assertEqual(self.plain(fields), fields)

    def test_long_lines(self) -> None:
        """Folded at blanks, so that unfolding gives the same."""
        ids = b" ".join(b"<%d.%b@example.org>" % (n, b"x" * 50) for n in range(40))
        for name in (b"References", b"Subject", b"To"):
            field = name + b": " + ids + b"\r\n"
            plain = self.plain(field)
            self.assertEqual(plain.replace(b"\r\n", b""), field.replace(b"\r\n", b""))
        self.assertLess(max(map(len, plain.split(b"\r\n"))), 80)
        self.plain(b"Subject: a" + b" " * 3000 + b"b" + b" " * 3000 + b"\r\n")
        self.plain(b"Subject:" + b"\t" * 3000 + b"b\r\n c\r\n")

    def test_no_blank(self) -> None:
        """Text is encoded; an identifier cannot be, and is refused."""
        plain = self.plain(b"Subject: " + b"x" * 3000 + b"\r\n")
        self.assertEqual(value(plain, "Subject"), "x" * 3000)
        long = b"<" + b"x" * 3000 + b"@y>"
        for name in (b"References", b"In-Reply-To", b"To", b"Content-Type"):
            error = self.assertRaises(Malformed, plain_lines, name + b": " + long + b"\r\n")
            self.assertIn(name.decode(), error.message)

    def test_no_blank_where_one_may_be(self) -> None:
        """Lists that are written without any."""
        people = [f"r{number}@example.org" for number in range(200)]
        plain = self.plain(f"To: {','.join(people)}\r\n".encode())
        self.assertEqual(value(plain, "To"), ", ".join(people))
        ids = [f"<{number}@example.org>" for number in range(200)]
        plain = self.plain(f"References: {''.join(ids)}\r\n".encode())
        self.assertEqual(plain.split()[1:], [each.encode() for each in ids])

    def test_blank_lines(self) -> None:
        """A line of white space ends a header for some readers."""
        self.assertEqual(
            self.plain(b"A: b\r\n \r\n\t \r\n c\r\nD: e\r\n \r\n"), b"A: b\r\n c\r\nD: e\r\n"
        )

    def test_text(self) -> None:
        """Text beyond ASCII, in UTF-8 or not, mixed with encoded words or not."""
        for octets, text in (
            ("Grüße 日本".encode(), "Grüße 日本"),
            ("Grüße".encode("latin-1"), "Grüße"),
            ("ä =?utf-8?q?=C3=BC?= ö".encode(), "ä ü ö"),
            ("ü".encode() * 500, "ü" * 500),
        ):
            for name in (b"Subject", b"X-Odd", b"Comments"):
                plain = self.plain(name + b": " + octets + b"\r\n")
                self.assertTrue(plain.isascii())
                self.assertEqual(value(plain, name.decode()), text)

    def test_names(self) -> None:
        """Names beyond ASCII; domains as A-labels; the addresses are the same."""
        field = 'To: Jürgen Groß <j@x.test>, "Müller, Ä." <m@x.test>,\r\n b@bücher.test\r\n'
        plain = self.plain(field.encode())
        self.assertTrue(plain.isascii())
        self.assertEqual(
            value(plain, "To"),
            'Jürgen Groß <j@x.test>, "Müller, Ä." <m@x.test>, b@xn--bcher-kva.test',
        )

    def test_addresses_that_need_smtputf8(self) -> None:
        """They cannot be written otherwise, so nothing is changed (RFC 6532)."""
        for field in ("To: Jü <jü@x.test>, a@x.test\r\n", "To: g: ü@b.test;\r\n", "To: ü\r\n"):
            self.assertEqual(self.plain(field.encode()), field.encode())

    def test_groups(self) -> None:
        """The names of groups, such as that of nobody in a language of the program's."""
        for field, text in (
            ("To: Empfänger:;", "Empfänger: ;"),
            (
                "To: Ä: a@b.test, C Ü <c@d.test>;, e@f.test",
                "Ä: a@b.test, C Ü <c@d.test>;, e@f.test",
            ),
        ):
            plain = self.plain(f"{field}\r\n".encode())
            self.assertTrue(plain.isascii())
            self.assertEqual(value(plain, "To").replace(":;", ": ;"), text)

    def test_identifiers(self) -> None:
        """Those of other people's programs, which some hosts cannot take."""
        field = "References: <1@a.test> <ü@b.test>\r\n <2@a.test>\r\n".encode()
        self.assertEqual(self.plain(field), b"References: <1@a.test>\r\n <2@a.test>\r\n")
        self.assertEqual(self.plain(b"In-Reply-To: \xfc\r\nA: b\r\n"), b"A: b\r\n")

    def test_parameters(self) -> None:
        """File names, quoted or not, short or long (RFC 2231)."""
        for name in ("Grüße.txt", "ü" * 100 + ".pdf", 'a"ü.txt', "Ä b.txt"):
            quoted = name.replace('"', '\\"')
            field = f'Content-Disposition: attachment; filename="{quoted}"; size=3\r\n'
            plain = self.plain(field.encode())
            self.assertTrue(plain.isascii())
            message = email.message_from_bytes(plain + b"\r\n", policy=email.policy.default)
            self.assertEqual(message.get_filename(), name)
            self.assertIn(b"size=3", plain)
        plain = self.plain("Content-Type: image/png; name=Grüße Bild.png\r\n".encode())
        message = email.message_from_bytes(plain + b"\r\n", policy=email.policy.default)
        self.assertEqual(message.get_filename(), "Grüße Bild.png")

    def test_costs(self) -> None:
        """Fields that are made to cost the square of their size."""
        umlaut = "ü".encode()
        for start, flood, end in (
            (b"A:", b" ", b""),
            (b"A:", b" ", b"x"),
            (b"A: b", b"\r\n ", b""),
            (b"A: ", b"b ", b""),
            (b"Content-Type: a;", b" ", umlaut),
            (b'Content-Type: a; b="', b"\\a", umlaut),
            (b"Content-Type: a", b';b="', umlaut),
            (b"Content-Type: a", b";b=" + umlaut, b""),
            (b"To: ", b"a@b.test,", umlaut),
            (b"To: ", b"<", umlaut),
            (b"References: ", b"<a@b>", umlaut),
            (b"Date: Mon", b" ", b""),
            (b"Message-ID: <", b"(", b""),
            (b"Authentication-Results: ", b"()", b""),
        ):

            def work(size: int, parts: tuple[bytes, ...] = (start, flood, end)) -> None:
                first, middle, last = parts
                header = first + middle * (size // len(middle)) + last + b"\r\n"
                completion = Completion(now=0.0, message_id="<a@b>", names={"x"})
                with contextlib.suppress(Malformed):
                    complete_message(header + b"\r\n", completion)
                header_fault(header)

            assert_linear(self, work, 200_000, start + flood)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from([b"To", b"Subject", b"Content-Type", b"Date"]), st.binary(max_size=300))
    def test_any_octets(self, name: bytes, octets: bytes) -> None:
        """No field ever becomes two."""
        octets = octets.replace(b"\r", b"").replace(b"\n", b"\r\n ").replace(b"\0", b"")
        before = header_fields(name + b": " + octets + b"\r\n")
        after = header_fields(plain_lines(name + b": " + octets + b"\r\n"))
        self.assertEqual([each.key for each in before], [each.key for each in after])
