"""Tests of fe_mail.message.transfer."""

import base64
import binascii

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.digest import digest
from fe_mail.message.parsed import parsed_message
from fe_mail.message.transfer import decode_base64, decode_body, decoded_pieces
from fe_mail.message.words import decode_words


def pieces(body: bytes, encoding: bytes) -> bytes:
    """The body decoded little by little."""
    return b"".join(decoded_pieces(body, encoding, 0, len(body)))


class Base64Tests(SynchronousTestCase):
    """Run by run (RFC 2045 §6.8)."""

    def test_runs(self) -> None:
        """Padding ends a run, whether it is right, too short, too long or alone."""
        for text, expected in (
            (b"SQ==QU0=", b"IAM"),
            (b"SQ==\r\nQU0=\r\n", b"IAM"),
            (b"SQ=QU0", b"IAM"),
            (b"SQ====QU0==", b"IAM"),
            (b"===SQ", b"I"),
            (b"S=Q=", b""),
            (b"YWJj=ZGVm", b"abcdef"),
            (b"Y!W J\0j\xff", b"abc"),
            (b"", b""),
            (b"=", b""),
        ):
            self.assertEqual(decode_base64(text), expected, text)
            self.assertEqual(decode_body(text, b"base64", 0, len(text), 99), expected, text)
            self.assertEqual(pieces(text, b"base64"), expected, text)
            word = text.replace(b"\r\n", b"")
            if b"\0" not in word and b"\xff" not in word:
                self.assertEqual(decode_words(b"=?utf-8?b?" + word + b"?="), expected.decode())

    def test_in_messages(self) -> None:
        """A letter and an attachment to which a footer was added."""
        field = b"Content-Transfer-Encoding: base64\r\n\r\n"
        body = b"SGVq\r\nIQ==\r\nRm9vdGVy\r\n"
        self.assertEqual(digest(field + body).text, "Hej!Footer")
        parsed = parsed_message(b"Content-Type: application/x\r\n" + field + body)
        (attachment,) = parsed["attachments"]  # type: ignore[misc, union-attr]
        self.assertEqual(attachment["size"], 10)  # type: ignore[index, call-overload]

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(max_size=30), max_size=6), st.sampled_from([b"", b"\r\n", b" \t!"]))
    def test_any_runs(self, runs: list[bytes], between: bytes) -> None:
        """What was encoded one by one comes out together."""
        text = between.join(base64.b64encode(run) + b"=" for run in runs)
        self.assertEqual(decode_base64(text), b"".join(runs))

    def test_long_runs(self) -> None:
        """Also where a piece ends inside of them."""
        octets = bytes(range(256)) * 700
        for length in (49_151, 49_152, 49_153, 100_001):
            body = base64.encodebytes(octets[:length]) + base64.encodebytes(octets[length:])
            self.assertEqual(pieces(body, b"base64"), octets, length)
            self.assertEqual(decode_base64(body), octets, length)


class QuotedPrintableTests(SynchronousTestCase):
    """Lenient where it can be."""

    def test_lines(self) -> None:
        """Soft line breaks with white space behind, escapes that are none."""
        for body, expected in (
            (b"a=\r\nb", b"ab"),
            (b"a= \t\r\nb\r\nc= x\r\n", b"ab\r\nc= x\r\n"),
            (b"a=\t\nb", b"ab"),
            (b"=e6=C3=A6=zz=", b"\xe6\xc3\xa6=zz"),
            (b"a b \r\n", b"a b \r\n"),
        ):
            found = decode_body(body, b"quoted-printable", 0, len(body), 99)
            self.assertEqual(found, expected, body)
            self.assertEqual(pieces(body, b"quoted-printable"), expected, body)


class UUEncodeTests(SynchronousTestCase):
    """uuencode, which is older than MIME."""

    def encoded(self, octets: bytes) -> bytes:
        """As the program wrote it."""
        lines = [binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45)]
        return b"begin 644 some file.bin\n" + b"".join(lines) + b"`\nend\n"

    def test_round_trip(self) -> None:
        """Small and large, any line ends."""
        for octets in (b"", b"x", b"abc" * 15, bytes(range(256)) * 700):
            for line_end in (b"\n", b"\r\n"):
                body = self.encoded(octets).replace(b"\n", line_end)
                found = decode_body(body, b"x-uuencode", 0, len(body), len(body))
                self.assertEqual(found, octets)
                self.assertEqual(pieces(body, b"x-uuencode"), octets)

    def test_spaces_are_lost(self) -> None:
        """At the ends of lines."""
        self.assertEqual(decode_body(b"#\n", b"x-uuencode", 0, 2, 2), b"\0\0\0")

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=100))
    def test_anything(self, body: bytes) -> None:
        """No exception."""
        pieces(body, b"x-uuencode")
