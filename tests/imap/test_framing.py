"""Tests of fe_mail.imap.framing: the same octets give the same frames however they are split."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.imap.framing import (
    APPEND_LIMIT_OCTETS,
    MAX_ANONYMOUS_OCTETS,
    MAX_COMMAND_OCTETS,
    BareLineFeed,
    Frame,
    Framer,
    GoAhead,
    Refused,
    Request,
)

__all__ = ["FramerTests"]

COMMANDS = st.lists(
    st.sampled_from(
        [
            b"a NOOP\r\n",
            b"b LOGIN {3+}\r\nfoo {3}\r\nbar\r\n",
            b"c APPEND INBOX {10+}\r\n0123\r\n6789\r\n",
            b"d X {0+}\r\n\r\n",
            b"e bare\n",
            b"e1 bare {3+}\nxyz NOOP\nz {2+}\r\n\r\n NOOP\n\n\r\n",
            b"\r\n",
            b"f APPEND INBOX {99999999999+}\r\n",
            b"g LOGIN {70000+}\r\n" + b"x" * 70000 + b" y\r\n",
            b'h "{5}" {1+}\r\n\r a\r\n',
            b"{}\r\n",
            b"i " + b"z" * 66000 + b"\r\n",
        ]
    ),
    max_size=6,
)


def frames(chunks: list[bytes], is_authenticated: bool) -> list[Frame]:
    """Everything the chunks give, up to a fatal refusal."""
    framer = Framer()
    framer.is_authenticated = is_authenticated
    found: list[Frame] = []
    for chunk in chunks:
        framer.feed(chunk)
        while (frame := framer.next()) is not None:
            found.append(frame)
            if isinstance(frame, Refused) and frame.fatal:
                return found
    return found


class FramerTests(SynchronousTestCase):
    """Lines, literals, limits."""

    @settings(max_examples=100, deadline=None)
    @given(COMMANDS, st.lists(st.integers(0, 400), max_size=20), st.booleans())
    def test_any_split(self, commands: list[bytes], cuts: list[int], known: bool) -> None:
        """Frames do not depend on how the octets arrive."""
        octets = b"".join(commands)
        places = sorted({cut * max(1, len(octets) // 400) for cut in cuts})
        chunks = [
            octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True) if a <= b
        ]
        assert b"".join(chunks)[: len(octets)] == octets[: len(b"".join(chunks))]
        self.assertEqual(frames([octets], known), frames(chunks, known))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300))
    def test_octet_by_octet(self, octets: bytes) -> None:
        """Not even for nonsense."""
        single = [octets[at : at + 1] for at in range(len(octets))]
        self.assertEqual(frames([octets], False), frames(single, False))

    def test_pieces(self) -> None:
        """A request holds texts and literals in turn."""
        self.assertEqual(
            frames([b"a LOGIN {3}\r\nfoo {3+}\r\nb\r\n\r\n"], True),
            [GoAhead(), Request((b"a LOGIN {3}", b"foo", b" {3+}", b"b\r\n", b""))],
        )

    def test_bare_line_feed(self) -> None:
        """It is told at once; nothing up to the next CRLF is a command of its own."""
        found = frames(
            [b"a NOOP\nb NOOP\nc X {8+}\r\nd NOOP\r\n\r\ne {1+}\r\nx\nf\r\ng NOOP\r\n"], True
        )
        self.assertEqual(found, [BareLineFeed(b"a"), BareLineFeed(b"e"), Request((b"g NOOP",))])

    def test_large_literal_that_waits(self) -> None:
        """It is refused, not sent, and the next line is a command."""
        found = frames([b"a APPEND x {%d}\r\nb NOOP\r\n" % (APPEND_LIMIT_OCTETS + 1)], True)
        self.assertEqual(
            found, [Refused(b"a", APPEND_LIMIT_OCTETS, is_message=True), Request((b"b NOOP",))]
        )

    def test_large_literal_that_comes(self) -> None:
        """It is read and dropped with the rest of its command."""
        size = MAX_COMMAND_OCTETS + 1
        octets = b"a X {%d+}\r\n" % size + b"\n" * size + b" {4+}\r\nx\r\ny tail\r\nb NOOP\r\n"
        found = frames([octets], True)
        self.assertEqual(found, [Refused(b"a", MAX_COMMAND_OCTETS), Request((b"b NOOP",))])

    def test_nobody_may_send_much(self) -> None:
        """Before login the sum of lines and literals is small; more is fatal."""
        self.assertEqual(
            frames([b"a X {1000000000+}\r\n"], False),
            [Refused(b"a", MAX_ANONYMOUS_OCTETS, fatal=True)],
        )
        many = b"a X" + b" {30000+}\r\n" + b"x" * 30000
        found = frames([many, b" {30000+}\r\n" + b"x" * 30000, b" {30000+}\r\n"], False)
        self.assertEqual(found, [Refused(b"a", MAX_ANONYMOUS_OCTETS)])

    def test_endless_line(self) -> None:
        """A line without an end is refused once, dropped, and at last fatal."""
        framer = Framer()
        found: list[Frame] = []
        for _ in range(100):
            framer.feed(b"x" * 4096)
            frame = framer.next()
            if frame is not None:
                found.append(frame)
            self.assertLessEqual(framer.waiting_octets, MAX_ANONYMOUS_OCTETS + 4096)
        self.assertEqual(found[0], Refused(b"*", MAX_ANONYMOUS_OCTETS))
        self.assertTrue(isinstance(found[-1], Refused) and found[-1].fatal)

    def test_message_in_memory_once(self) -> None:
        """Only the announced octets are collected, and nothing before they come."""
        framer = Framer()
        framer.is_authenticated = True
        framer.feed(b"a APPEND x {5000000+}\r\n")
        for _ in range(50):
            framer.feed(b"m" * 100_000)
            framer.next()
            self.assertEqual(framer.waiting_octets, 0)
        framer.feed(b"\r\n")
        frame = framer.next()
        assert isinstance(frame, Request)
        self.assertEqual(len(frame.pieces[1]), 5_000_000)
