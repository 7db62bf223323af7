"""Tests of fe_mail.message.headers."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.headers import (
    MAX_FIELDS,
    MAX_HEADER_OCTETS,
    field_values,
    first_value,
    header_bounds,
    header_fields,
)

LINES = st.lists(
    st.sampled_from(
        [b"A: b\r\n", b" folded\r\n", b"\r\n", b"\n", b"B:\n", b"no colon\r\n", b" \r\n", b"\r"]
    ),
    max_size=12,
).map(b"".join)


class BoundsTests(SynchronousTestCase):
    """Where the header ends."""

    def test_ends(self) -> None:
        """CRLF, bare LF, mixed, at the very start, and none at all."""
        for raw, expected in (
            (b"A: b\r\n\r\nbody", 8),
            (b"A: b\n\nbody", 6),
            (b"A: b\n\r\nbody", 7),
            (b"A: b\r\n\nbody", 7),
            (b"\r\nbody", 2),
            (b"\nbody", 1),
            (b"A: b\r\n", 6),
            (b"", 0),
            (b"A: b\n\nx\r\n\r\ny", 6),
        ):
            self.assertEqual(header_bounds(raw), (expected, True), raw)

    def test_limit(self) -> None:
        """A header that never ends is cut at a line, and says so."""
        raw = b"A: b\r\n" * (MAX_HEADER_OCTETS // 3)
        end, is_whole = header_bounds(raw)
        self.assertFalse(is_whole)
        self.assertLessEqual(end, MAX_HEADER_OCTETS)
        self.assertTrue(raw[:end].endswith(b"\n"))

    @settings(max_examples=100, deadline=None)
    @given(LINES, st.integers(0, 20), st.integers(0, 20))
    def test_inside(self, raw: bytes, start: int, length: int) -> None:
        """The end lies inside what was asked, whatever the bytes."""
        start = min(start, len(raw))
        end = min(len(raw), start + length)
        found, _ = header_bounds(raw, start, end)
        self.assertTrue(start <= found <= max(end, start), (found, start, end))


class FieldTests(SynchronousTestCase):
    """The fields."""

    def test_raw_and_value(self) -> None:
        """Raw keeps every octet, the value is unfolded."""
        (one, two) = header_fields(b"Subject : a\r\n\t b \r\nX:\r\n\r\nbody: no\r\n")
        self.assertEqual(one.name, b"Subject")
        self.assertEqual(one.raw, b"Subject : a\r\n\t b \r\n")
        self.assertEqual(one.value, b"a\t b")
        self.assertEqual((two.key, two.value, two.raw), (b"x", b"", b"X:\r\n"))

    def test_odd_lines(self) -> None:
        """What is no field is skipped with its continuation; the others stay."""
        raw = b"From bob Mon\r\n x\r\nA: 1\r\nbad line: x\r\n: y\r\nB: 2"
        fields = header_fields(raw)
        self.assertEqual([field.raw for field in fields], [b"A: 1\r\n", b"B: 2"])

    def test_lookups(self) -> None:
        """First and all values, by name without case."""
        fields = header_fields(b"a: 1\r\nA: 2\r\n\r\n")
        self.assertEqual(first_value(fields, b"a"), b"1")
        self.assertEqual(field_values(fields, b"a"), [b"1", b"2"])
        self.assertIsNone(first_value(fields, b"b"))

    def test_field_limit(self) -> None:
        """Fields beyond the limit are not looked at."""
        self.assertEqual(len(header_fields(b"A: b\r\n" * (MAX_FIELDS + 10))), MAX_FIELDS)

    @settings(max_examples=200, deadline=None)
    @given(LINES)
    def test_raw_is_in_order(self, raw: bytes) -> None:
        """Raw octets of the fields are pieces of the header in order; no value has line ends."""
        position = 0
        for field in header_fields(raw):
            position = raw.index(field.raw, position) + len(field.raw)
            self.assertNotIn(b"\n", field.value)
            self.assertNotIn(b"\r", field.value)
