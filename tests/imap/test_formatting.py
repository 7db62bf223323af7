"""Tests of fe_mail.imap.formatting, utf7, sections and folder_pattern."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.imap import formatting
from fe_mail.imap.folder_pattern import matches
from fe_mail.imap.framing import Framer, Request
from fe_mail.imap.header_index import (
    MAX_INDEXED_OCTETS,
    are_common,
    index_fields,
    pick_indexed,
)
from fe_mail.imap.scanner import Scanner
from fe_mail.imap.sections import pick_fields
from fe_mail.imap.utf7 import decode_name, encode_name
from fe_mail.model.structure import Mailbox, MessageEnvelope, Part
from tests.growth import assert_linear

__all__ = ["FormattingTests", "PatternTests", "SectionTests", "UTF7Tests"]

LINES = (
    b"From: a\r\n|TO : b\r\n|\tfolded\r\n|nonsense\r\n| x\n|x: y\n|Subject:\r\n|"
    b"Subject: \xff\0\r|to|:|\r\n|Date: d|\n"
).split(b"|")
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)


class FormattingTests(SynchronousTestCase):
    """What goes out can be read back."""

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60))
    def test_string_round_trip(self, octets: bytes) -> None:
        """Any string comes back through our own scanner."""
        octets = octets.replace(b"\0", b"")
        framer = Framer()
        framer.feed(formatting.string(octets).replace(b"}\r\n", b"+}\r\n", 1) + b"\r\n")
        frame = framer.next()
        assert isinstance(frame, Request)
        self.assertEqual(Scanner(frame.pieces).string(), octets)

    def test_string_cannot_break_out(self) -> None:
        """A line end in a subject makes a literal."""
        self.assertEqual(formatting.string(b'a"b\\c'), b'"a\\"b\\\\c"')
        self.assertEqual(formatting.string(b"a\r\n* BYE"), b"{8}\r\na\r\n* BYE")
        self.assertEqual(formatting.string(b"\xc3\xa6"), b"{2}\r\n\xc3\xa6")
        self.assertEqual(formatting.string(b"x" * 2000)[:8], b"{2000}\r\n")
        self.assertEqual(formatting.astring(b"NIL"), b'"NIL"')

    def test_internal_date(self) -> None:
        """In UTC, with the day padded by a space."""
        self.assertEqual(formatting.internal_date(800_000_000), b'" 9-May-1995 06:13:20 +0000"')
        self.assertEqual(formatting.internal_date(-5), b'"31-Dec-1969 23:59:55 +0000"')
        self.assertEqual(formatting.internal_date(-(10**11)), b'" 1-Jan-0001 14:13:20 +0000"')
        self.assertEqual(formatting.internal_date(951_868_799), b'"29-Feb-2000 23:59:59 +0000"')

    def test_sequence_set(self) -> None:
        """Only ascending neighbors join; order is kept."""
        self.assertEqual(formatting.sequence_set([1, 2, 3, 7, 9, 8]), b"1:3,7,9,8")
        self.assertEqual(formatting.sequence_set([]), b"")

    def test_flags(self) -> None:
        """System flags first, \\Recent last."""
        flags = frozenset({"$B", "$A", "\\Seen", "\\Answered"})
        self.assertEqual(formatting.flag_list(flags, True), b"(\\Answered \\Seen $A $B \\Recent)")

    def test_envelope_groups(self) -> None:
        """Sender and Reply-To default to From; a group begins and ends with NIL hosts."""
        envelope = MessageEnvelope(
            from_=(Mailbox(b"A", b"a", b"x"),),
            to=(Mailbox(None, b"friends", None), Mailbox(None, None, None)),
        )
        one = b'(("A" NIL "a" "x"))'
        self.assertEqual(
            formatting.envelope(envelope),
            b"(NIL NIL "
            + one
            + b" "
            + one
            + b" "
            + one
            + b' ((NIL NIL "friends" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)',
        )

    def test_multipart_without_parts(self) -> None:
        """A broken multipart is told like a single part, which every client can read."""
        part = Part(type=b"multipart", subtype=b"mixed", body_end=5)
        self.assertEqual(
            formatting.body(part, False), b'("MULTIPART" "MIXED" NIL NIL NIL "7BIT" 5)'
        )


class UTF7Tests(SynchronousTestCase):
    """RFC 3501 §5.1.3."""

    @settings(max_examples=100, deadline=None)
    @given(TEXT)
    def test_round_trip(self, name: str) -> None:
        """Every name survives, and what goes out is printable ASCII."""
        octets = encode_name(name)
        self.assertTrue(octets.isascii() and b"\r" not in octets)
        self.assertEqual(decode_name(octets), name)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=30))
    def test_one_spelling(self, octets: bytes) -> None:
        """Whatever is accepted is the only spelling of its name."""
        name = decode_name(b"&" + octets)
        if name is not None:
            self.assertEqual(encode_name(name), b"&" + octets)

    def test_refused(self) -> None:
        """ASCII in a shift, lone surrogates, open shifts, NUL, raw UTF-8."""
        for octets in (b"&AGE-", b"&2AA-", b"&AOY", b"&AAA-", b"\xc3\xa6", b"a\x01", b"&*-"):
            self.assertIsNone(decode_name(octets), octets)


class SectionTests(SynchronousTestCase):
    """Cutting header fields."""

    def test_pick_fields(self) -> None:
        """Order, case, folding, and garbage between."""
        header = b"A: 1\r\ngarbage b: no\r\nB : 2\r\n\tfolded\r\na: 3\r\n\r\n"
        self.assertEqual(pick_fields(header, (b"a",), False), b"A: 1\r\na: 3\r\n\r\n")
        self.assertEqual(pick_fields(header, (b"a",), True), b"B : 2\r\n\tfolded\r\n\r\n")
        self.assertEqual(pick_fields(b"A: 1", (b"a",), False), b"A: 1\r\n\r\n")

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(LINES),
            max_size=12,
        ),
        st.sets(st.sampled_from([b"from", b"to", b"subject", b"date"]), min_size=1),
    )
    def test_indexed_like_picked(self, lines: list[bytes], names: set[bytes]) -> None:
        """What the index gives is octet by octet what the header would."""
        header = b"".join(lines)
        blob = index_fields(header)
        assert blob is not None
        asked = tuple(names)
        self.assertTrue(are_common(asked))
        self.assertEqual(pick_indexed(blob, asked), pick_fields(header, asked, False))

    def test_too_much_to_index(self) -> None:
        """Fields without end are not kept twice; other fields are not there."""
        self.assertIsNone(index_fields(b"To: x\r\n" * MAX_INDEXED_OCTETS))
        self.assertFalse(are_common((b"to", b"x-other")))

    def test_linear_time(self) -> None:
        """A megabyte of nonsense costs no more than its length."""
        assert_linear(
            self,
            lambda n: pick_fields(b"x" * n + b"\n" + b"a: b\n " * (n // 6), (b"a",), False),
            500_000,
        )


class PatternTests(SynchronousTestCase):
    """RFC 9051 §6.3.9.1."""

    def test_matches(self) -> None:
        """Stars cross the separator, percents do not."""
        for pattern, name, expected in (
            ("*", "a/b", True),
            ("%", "a/b", False),
            ("%", "a", True),
            ("a/%", "a/b", True),
            ("a*c", "a/b/c", True),
            ("a%c", "abc", True),
            ("INBOX", "INBOX", True),
            ("", "a", False),
            ("%/%", "a/b", True),
            ("*%", "", True),
            ("a", "ab", False),
            ("Entwu\u0308r*", "Entw\u00fcrfe", True),
            ("%u\u0308rfe", "Entw\u00fcrfe", True),
            ("Entwu*", "Entw\u00fcrfe", False),
        ):
            self.assertIs(matches(pattern, name), expected, (pattern, name))

    def test_many_wildcards(self) -> None:
        """A pattern that kills backtracking matchers."""
        self.assertFalse(matches("*a" * 200 + "b", "a" * 200))  # others need an eternity for it
        assert_linear(self, lambda n: self.assertTrue(matches("*%" * n, "a" * 10)), 20_000)
