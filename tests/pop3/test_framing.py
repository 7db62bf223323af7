"""Tests of fe_mail.pop3.framing."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.pop3.framing import (
    MAX_LINE_OCTETS,
    BareLineFeed,
    Framer,
    LineTooLong,
    Stuffer,
    line_octets,
    top,
)

PIECES = st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"..", b" "]), max_size=30)


def lines_of(framer: Framer) -> list[bytes | None]:
    """All that are complete; None for each that is refused."""
    found: list[bytes | None] = []
    while True:
        try:
            line = framer.next()
        except BareLineFeed:
            found.append(None)
        else:
            if line is None:
                return found
            found.append(line)


class FramerTests(SynchronousTestCase):
    """Lines out of octets."""

    @settings(max_examples=100, deadline=None)
    @given(PIECES)
    def test_any_split(self, pieces: list[bytes]) -> None:
        """The same octets give the same lines however they arrive."""
        whole, parts = Framer(), Framer()
        whole.feed(b"".join(pieces))
        expected = lines_of(whole)
        found = []
        for piece in pieces:
            parts.feed(piece)
            found += lines_of(parts)
        self.assertEqual(found, expected)

    @settings(max_examples=100, deadline=None)
    @given(PIECES)
    def test_line_ends(self, pieces: list[bytes]) -> None:
        """What ends with CRLF is a line, unless there is an LF in it: that is refused, once."""
        framer = Framer()
        framer.feed(b"".join(pieces) + b"\r\n")
        ended = (b"".join(pieces) + b"\r\n").split(b"\r\n")[:-1]
        self.assertEqual(lines_of(framer), [None if b"\n" in line else line for line in ended])
        self.assertEqual(framer.waiting_octets, 0)

    def test_long_line(self) -> None:
        """A line over the limit is refused, complete or not."""
        for line in (b"x" * (MAX_LINE_OCTETS + 1), b"x" * 5000 + b"\r\n"):
            framer = Framer()
            framer.feed(line)
            self.assertRaises(LineTooLong, framer.next)

    def test_long_auth(self) -> None:
        """AUTH may bring a long initial response."""
        framer = Framer()
        framer.feed(b"auth PLAIN " + b"x" * 8000)
        self.assertIsNone(framer.next())
        framer.feed(b"x" * 8000)
        self.assertRaises(LineTooLong, framer.next)


class StufferTests(SynchronousTestCase):
    """Messages on the wire."""

    @settings(max_examples=200, deadline=None)
    @given(PIECES)
    def test_round_trip(self, pieces: list[bytes]) -> None:
        """Unstuffing gives the message with CRLF line ends; no split changes a byte."""
        stuffer, whole = Stuffer(), Stuffer()
        sent = b"".join(map(stuffer.feed, pieces)) + stuffer.finish()
        raw = b"".join(pieces)
        self.assertEqual(sent, whole.feed(raw) + whole.finish())
        self.assertTrue(("\r\n" + sent.decode()).endswith("\r\n.\r\n"))
        content = sent[:-3]
        self.assertNotIn(b"\r\n.\r\n", b"\r\n" + content)
        self.assertEqual(content.count(b"\n"), content.count(b"\r\n"))
        plain = re.sub(rb"(?m)^\.", b"", content)
        expected = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
        if expected and not expected.endswith(b"\r\n"):
            expected += b"\n" if expected.endswith(b"\r") else b"\r\n"
        self.assertEqual(plain, expected)

    @settings(max_examples=200, deadline=None)
    @given(PIECES)
    def test_size(self, pieces: list[bytes]) -> None:
        """The size that is told is that of what is sent, without the dots that are added."""
        stuffer = Stuffer()
        sent = b"".join(map(stuffer.feed, pieces)) + stuffer.finish()
        self.assertTrue(sent.endswith(b".\r\n"))
        plain = (b"\n" + sent[:-3]).replace(b"\n..", b"\n.")[1:]
        self.assertEqual(line_octets(b"".join(pieces)), len(plain))

    def test_top(self) -> None:
        """As many lines as there are, no more than asked."""
        raw = b"A: b\r\n\r\none\r\ntwo"
        self.assertEqual(top(raw, 8, 0), raw[:8])
        self.assertEqual(top(raw, 8, 1), raw[:13])
        self.assertEqual(top(raw, 8, 9), raw)
