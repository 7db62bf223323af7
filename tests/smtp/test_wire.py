"""Tests of the octets: dots, line ends, replies, xtext."""

import contextlib
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.errors import Invalid, TooBig
from fe_mail.smtp import wire
from fe_mail.smtp.wire import (
    Answer,
    ContentDecoder,
    ContentFault,
    DotDecoder,
    DotEncoder,
    ReplyParser,
    ServerReply,
    decode_xtext,
    encode_xtext,
    format_reply,
)

# Octets that matter, in any order.
OCTETS = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"a", b"\r\n.\r\n"]), max_size=30
).map(b"".join)
QUICK = settings(max_examples=100, deadline=None)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    """The octets, cut at the given places."""
    places = sorted({min(cut, len(octets)) for cut in cuts})
    return [octets[a:b] for a, b in itertools.pairwise([0, *places, len(octets)])]


def decode(parts: list[bytes]) -> tuple[bytes, bool, bytes, ContentFault | None]:
    """Content, whether it ended, what followed, and the fault."""
    decoder, content, rest, ended = DotDecoder(), b"", b"", False
    for part in parts:
        if ended:
            rest += part
            continue
        some, ended = decoder.feed(part)
        content += some
        rest = decoder.rest
    return content, ended, rest, decoder.fault


class DotDecoderTests(SynchronousTestCase):
    """DATA: its end, its dots, its faults."""

    def test_end_and_rest(self) -> None:
        """Only CRLF "." CRLF ends, and what follows is left for the next command."""
        self.assertEqual(decode([b"a\r\n.\r\nQUIT\r\n"]), (b"a\r\n", True, b"QUIT\r\n", None))

    def test_empty_message(self) -> None:
        """A dot on the first line is the end."""
        self.assertEqual(decode([b".\r\nX"]), (b"", True, b"X", None))

    def test_unstuffs(self) -> None:
        """One leading dot goes, on the first line and on any other."""
        content, ended, _, fault = decode([b"..a\r\n.b\r\n...\r\n.\r\n"])
        self.assertEqual((content, ended, fault), (b".a\r\nb\r\n..\r\n", True, None))

    def test_smuggling_table(self) -> None:
        """No permutation of CR, LF, NUL and CRLF around a dot ends data but the true one."""
        ends = (b"", b"\r", b"\n", b"\0", b"\r\n", b"\n\r", b"\r\0\n", b"\r\r\n", b"\n\n")
        for before, after in itertools.product(ends, ends):
            # Letters on both sides, so that no neighbor completes a CRLF.
            stream = b"x" + before + b"." + after + b"MAIL FROM:<evil@x.test>\r\n"
            with self.subTest(before=before, after=after):
                content, ended, rest, fault = decode([stream, b"\r\n.\r\n"])
                self.assertTrue(ended)
                is_true_end = before.endswith(b"\r\n") and after.startswith(b"\r\n")
                self.assertEqual(b"MAIL" in rest, is_true_end)
                if not is_true_end:
                    odd = any(end.replace(b"\r\n", b"") for end in (before, after))
                    self.assertEqual(fault is not None, odd, (content, fault))

    def test_smuggling_table_at_every_byte(self) -> None:
        """Where the network cuts the stream changes nothing."""
        ends = (b"\r", b"\n", b"\0", b"\r\n")
        for before, after in itertools.product(ends, ends):
            stream = b"x" + before + b"." + after + b"y\r\n.\r\nQUIT\r\n"
            whole = decode([stream])
            for cut in range(len(stream) + 1):
                self.assertEqual(decode([stream[:cut], stream[cut:]]), whole, (stream, cut))
            self.assertEqual(decode([bytes([octet]) for octet in stream]), whole)

    @given(OCTETS, st.lists(st.integers(0, 60), max_size=6))
    @QUICK
    def test_any_split(self, octets: bytes, cuts: list[int]) -> None:
        """Any octets, cut anywhere, decode alike, once they end."""
        stream = octets + b"\r\n.\r\n"
        self.assertEqual(decode(pieces(stream, cuts)), decode([stream]))

    @given(OCTETS)
    @QUICK
    def test_faults_agree_with_a_naive_reader(self, octets: bytes) -> None:
        """A fault is reported exactly when the content has a bare CR or LF, or a NUL."""
        content, _, _, fault = decode([octets + b"\r\n.\r\n"])
        bare = content.replace(b"\r\n", b"")
        self.assertEqual(fault is not None, any(bad in bare for bad in (b"\r", b"\n", b"\0")))

    def test_long_lines(self) -> None:
        """A line up to the limit passes, a longer one is a fault, however it arrives."""
        limit = wire.MAX_CONTENT_LINE_OCTETS
        for length, fault in ((limit - 2, None), (limit, ContentFault.LONG_LINE)):
            stream = b"ok\r\n" + b"a" * length + b"\r\nok\r\n.\r\n"
            self.assertEqual(decode([stream])[3], fault)
            for size in (1000, 65_536):
                parts = [stream[i : i + size] for i in range(0, len(stream), size)]
                self.assertEqual(decode(parts)[3], fault, (length, size))


class ContentDecoderTests(SynchronousTestCase):
    """BDAT content."""

    @given(OCTETS, st.lists(st.integers(0, 60), max_size=6))
    @QUICK
    def test_any_split(self, octets: bytes, cuts: list[int]) -> None:
        """Chunk boundaries change neither the content nor the verdict."""
        results = []
        for parts in ([octets], pieces(octets, cuts)):
            decoder = ContentDecoder()
            content = b"".join([decoder.feed(part) for part in parts]) + decoder.finish()
            results.append((content, decoder.fault))
        self.assertEqual(results[0], results[1])

    def test_completes_the_last_line(self) -> None:
        """A message always ends with CRLF; dots mean nothing."""
        decoder = ContentDecoder()
        self.assertEqual(decoder.feed(b"..a\r\n.") + decoder.finish(), b"..a\r\n.\r\n")
        self.assertIsNone(decoder.fault)

    def test_empty(self) -> None:
        """Nothing stays nothing."""
        self.assertEqual(ContentDecoder().finish(), b"")


class DotEncoderTests(SynchronousTestCase):
    """What a client sends."""

    @given(OCTETS, st.lists(st.integers(0, 60), max_size=6))
    @QUICK
    def test_round_trip(self, octets: bytes, cuts: list[int]) -> None:
        """Encoded content comes back with canonical lines, and never has a bare CR or LF."""
        encoder = DotEncoder()
        parts = pieces(octets, cuts)
        stream = b"".join([encoder.feed(part) for part in parts]) + encoder.finish()
        bare = stream.replace(b"\r\n", b"")
        self.assertFalse(b"\r" in bare or b"\n" in bare)
        content, ended, rest, _ = decode([stream])
        self.assertTrue(ended)
        self.assertEqual(rest, b"")
        expected = wire.canonical_lines(octets)
        if expected and not expected.endswith(b"\r\n"):
            expected += b"\r\n"
        self.assertIn(content, (expected, expected or b"\r\n"))

    def test_never_smuggles(self) -> None:
        """A stored end of data that is none never ends data on the wire."""
        for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r\n"):
            encoder = DotEncoder()
            stream = encoder.feed(b"a" + end + b"MAIL FROM:<x@y.test>\r\n") + encoder.finish()
            self.assertEqual(stream.count(b"\r\n.\r\n"), 1, end)
            self.assertTrue(stream.endswith(b"\r\n.\r\n"))


class ReplyTests(SynchronousTestCase):
    """Replies, made and read."""

    def test_formats(self) -> None:
        """One line or many, with and without an enhanced code."""
        self.assertEqual(format_reply(250, "2.1.0", "OK"), b"250 2.1.0 OK\r\n")
        self.assertEqual(format_reply(250, "", ("a", "b")), b"250-a\r\n250 b\r\n")
        self.assertEqual(format_reply(334, "", ""), b"334 \r\n")

    def test_text_cannot_break_a_reply(self) -> None:
        """Line ends and controls become spaces, other scripts are escaped, length is limited."""
        self.assertEqual(
            format_reply(550, "5.1.1", "a\r\n250 b\0\u00e9"), b"550 5.1.1 a  250 b \\xe9\r\n"
        )
        self.assertEqual(len(format_reply(550, "", "x" * 2000)), 512)

    def test_421_closes(self) -> None:
        """Nobody forgets to close after 421."""
        self.assertTrue(Answer(421, "4.3.2", "Bye").closes)
        self.assertFalse(Answer(250, "2.0.0", "OK").closes)

    @given(st.lists(st.integers(0, 80), max_size=6))
    @QUICK
    def test_parses_any_split(self, cuts: list[int]) -> None:
        """Replies are the same however they arrive."""
        stream = (
            b"220 hi\r\n250-mx.test\r\n250-SIZE 10\r\n250 DSN\r\n550 5.1.1 No such user\r\n354\r\n"
        )
        parser = ReplyParser()
        replies = [reply for part in pieces(stream, cuts) for reply in parser.feed(part)]
        self.assertEqual(
            replies,
            [
                ServerReply(code=220, lines=("hi",)),
                ServerReply(code=250, lines=("mx.test", "SIZE 10", "DSN")),
                ServerReply(code=550, enhanced="5.1.1", lines=("No such user",)),
                ServerReply(code=354, lines=("",)),
            ],
        )
        self.assertFalse(parser.pending)

    def test_pending(self) -> None:
        """Half a reply is pending, also between the lines of one."""
        parser = ReplyParser()
        self.assertEqual(parser.feed(b"250-a\r\n"), [])
        self.assertTrue(parser.pending)
        self.assertEqual(len(parser.feed(b"250 b\r\n2")), 1)
        self.assertTrue(parser.pending)

    def test_enhanced_code_must_agree(self) -> None:
        """A code of another class is text."""
        (reply,) = ReplyParser().feed(b"250 5.1.1 odd\r\n")
        self.assertEqual((reply.enhanced, reply.text), ("", "5.1.1 odd"))

    def test_refuses_nonsense(self) -> None:
        """What is no SMTP raises our errors and nothing else."""
        for stream in (b"hello\r\n", b"99 x\r\n", b"250-a\r\n251 b\r\n", b"250_a\r\n", b"\r\n"):
            self.assertRaises(Invalid, ReplyParser().feed, stream)
        self.assertRaises(TooBig, ReplyParser().feed, b"2" * 5000)
        self.assertRaises(TooBig, ReplyParser().feed, b"250-a\r\n" * 201)

    @given(st.binary(max_size=200))
    @QUICK
    def test_only_our_errors(self, octets: bytes) -> None:
        """Any octets give replies, Invalid or TooBig."""
        with contextlib.suppress(Invalid, TooBig):
            ReplyParser().feed(octets)


class XtextTests(SynchronousTestCase):
    """RFC 3461 §4."""

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50))
    @QUICK
    def test_round_trip(self, text: str) -> None:
        """Printable ASCII survives."""
        self.assertEqual(decode_xtext(encode_xtext(text)), text)

    def test_refuses(self) -> None:
        """Malformed escapes, and escapes that would break a header."""
        for text in ("+", "+4", "+zz", "a=b", "a b", "+0D+0A", "+7F", "\u00e9"):
            self.assertRaises(Invalid, decode_xtext, text)
