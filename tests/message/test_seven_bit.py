"""Tests of fe_mail.message.seven_bit: what every transport carries, and readers find unchanged."""

import contextlib
import email
import email.policy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.header_lines import has_long_line
from fe_mail.message.headers import MAX_HEADER_OCTETS
from fe_mail.message.scanner import scan
from fe_mail.message.seven_bit import seven_bit
from fe_mail.model.errors import Malformed
from fe_mail.model.structure import Part

HEAD = b"From: a@b.test\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
LONG = b"x" * 3000


def leaves(raw: bytes) -> list[tuple[str, bytes]]:
    """The type and the decoded content of each part, as Python's parser has it."""
    found: list[tuple[str, bytes]] = []
    for part in email.message_from_bytes(raw).walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            found.append((part.get_content_type(), payload if isinstance(payload, bytes) else b""))
    return found


# What messages are made of, and what goes wrong in them.
LINES = (
    *(b"--a", b"--a--", b"--b", b"--b--", b"Content-Type: multipart/mixed; boundary=a", b"", b""),
    *(b"Content-Type: multipart/x; boundary=b", b"Content-Type: message/rfc822", b"\xe6", b"x"),
    *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: 8bit", b"Subject: \xe6"),
    *(b"Content-Transfer-Encoding: quoted-printable", b"YQ==", b"y" * 1100, b" x: y", b"=E6="),
)
Shape = tuple[bytes, bytes, tuple[Any, ...]]


def shape(part: Part) -> Shape:
    """What is in what."""
    return part.type, part.subtype, tuple(map(shape, part.parts))


class SevenBitTests(SynchronousTestCase):
    """One message each."""

    def encoded(self, raw: bytes) -> bytes:
        """With what must be true of each answer."""
        encoded = seven_bit(raw)
        self.assertTrue(encoded.isascii())
        self.assertFalse(has_long_line(encoded))
        self.assertNotRegex(encoded, rb"\r(?!\n)|(?<!\r)\n")
        self.assertEqual(seven_bit(encoded), encoded)
        return encoded

    def test_untouched(self) -> None:
        """What every host takes; 998 octets are no long line."""
        for raw in (
            b"",
            b"\r\n",
            b"A: b",
            HEAD + TEXT + b"Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n",
            HEAD + b"\r\n" + b"x" * 998 + b"\r\n",
            HEAD + b"\r\n" + b"x" * 998,
        ):
            self.assertIs(seven_bit(raw), raw)

    def test_text(self) -> None:
        """Text stays readable."""
        for body in (
            "Grüße\r\n".encode(),
            "Grüße".encode(),
            LONG + b"\r\nx",
            LONG,
            b"a \r\n.\r\nFrom b\t\r\n\r\n" + "ü".encode() * 5000 + b"\r\n \r\n",
            "ü=20=\r\n".encode(),
        ):
            for encoding in (
                b"",
                b"Content-Transfer-Encoding: 8bit\r\n",
                b"content-transfer-encoding: 7bit\r\n",
            ):
                raw = HEAD + TEXT + encoding + b"\r\n" + body
                encoded = self.encoded(raw)
                self.assertEqual(leaves(encoded), [("text/plain", body)])
                self.assertEqual(encoded.lower().count(b"content-transfer-encoding"), 1)
                self.assertLess(max(map(len, encoded.split(b"\r\n"))), 77)

    def test_other_content(self) -> None:
        """All else as base64, octet by octet."""
        body = b'{"\xc3\xbc": 1}\r\n \r\n' * 5000
        raw = HEAD + b"Content-Type: application/json\r\n\r\n" + body
        encoded = self.encoded(raw)
        self.assertEqual(leaves(encoded), [("application/json", body)])
        self.assertTrue(encoded.endswith(b"\r\n"))

    def test_no_mime(self) -> None:
        """A message that says nothing of its content gets to say what it is (RFC 2045 §5.2)."""
        for body, charset in (
            ("Grüße\r\n".encode(), "utf-8"),
            ("Grüße\r\n".encode("latin-1"), "unknown-8bit"),
            (LONG + b"\r\n", None),
        ):
            encoded = self.encoded(b"From: a@b.test\r\nSubject: x\r\n\r\n" + body)
            message = email.message_from_bytes(encoded)
            self.assertEqual(leaves(encoded), [("text/plain", body)])
            self.assertEqual(
                (message["MIME-Version"], message.get_param("charset")), ("1.0", charset)
            )

    def test_encoded_already(self) -> None:
        """One endless line of base64; quoted-printable that is none."""
        line = b"aGVsbG8g" * 1000
        raw = HEAD + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + line
        self.assertEqual(leaves(self.encoded(raw)), [("image/png", b"hello " * 1000)])
        raw = HEAD + TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        encoded = self.encoded(raw + "ü =C3=BC=\r\nx=0D=0Ay=0Dz\r\n".encode())
        self.assertEqual(leaves(encoded), [("text/plain", "ü üx\r\ny\r\nz\r\n".encode())])

    def multipart(
        self, *parts: bytes, subtype: bytes = b"mixed", encoding: bytes = b"8bit"
    ) -> bytes:
        """A multipart of parts with their headers."""
        head = b"Content-Type: multipart/" + subtype + b'; boundary="=_b"\r\n'
        head += b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n"
        return head + b"".join(b"--=_b\r\n" + part + b"\r\n" for part in parts) + b"--=_b--\r\n"

    def test_parts(self) -> None:
        """Only those that need it; the multipart says what is true now."""
        image = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8="
        text = TEXT + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + "Grüße\r\n\r\nü".encode()
        bare = b"\r\n" + "Grüße".encode()
        octets = b"Content-Type: application/x\r\n\r\n" + b"\xff" * 200
        encoded = self.encoded(HEAD + self.multipart(text, image, bare, octets))
        self.assertEqual(
            leaves(encoded),
            [
                ("text/plain", "Grüße\r\n\r\nü".encode()),
                ("image/png", b"hello"),
                ("text/plain", "Grüße".encode()),
                ("application/x", b"\xff" * 200),
            ],
        )
        self.assertIn(b"\r\n--=_b\r\n" + image + b"\r\n--=_b\r\n", encoded)
        head = encoded.partition(b"\r\n\r\n")[0]
        self.assertIn(b"Content-Transfer-Encoding: 7bit", head)

    def test_header_of_a_part(self) -> None:
        """File names as they are sent by programs that know no better."""
        part = 'Content-Type: image/png; name="Grüße.png"\r\n\r\nx'.encode()
        encoded = self.encoded(HEAD + self.multipart(part))
        (child,) = email.message_from_bytes(encoded, policy=email.policy.default).iter_parts()
        self.assertEqual(child.get_filename(), "Grüße.png")

    def test_between_parts(self) -> None:
        """What nobody reads goes if it must (RFC 2046 §5.1.1)."""
        head, _, rest = self.multipart(b"\r\nx").partition(b"\r\n\r\n")
        raw = (
            HEAD
            + head
            + "\r\n\r\nMehrteiliges: ü\r\nok\r\n".encode()
            + rest
            + LONG
            + b"\r\nend\r\n"
        )
        encoded = self.encoded(raw)
        self.assertIn(b"\r\n\r\nok\r\n--=_b\r\n\r\nx\r\n--=_b--\r\nend\r\n", encoded)

    def test_messages_inside(self) -> None:
        """A message may not be encoded as a whole, so its parts are (RFC 2046 §5.2.1)."""
        inner = "Subject: ü\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße".encode()
        part = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner
        encoded = self.encoded(HEAD + self.multipart(part))
        self.assertEqual(leaves(encoded), [("text/plain", "Grüße".encode())])
        self.assertNotIn(b"8bit", encoded)

    def test_header_without_end(self) -> None:
        """A part whose header goes over into a delimiter keeps it."""
        start = b"Content-Type: multipart/mixed; boundary=a\r\n"
        for field in (b"Subject: gr\xc3\xbc\xc3\x9f\r\n", b"\xe6\r\n"):
            raw = (
                HEAD
                + start
                + b"\r\n--a\r\n"
                + field
                + start
                + b"--a\r\n\r\nx\r\n--a--\r\n--a--\r\n"
            )
            encoded = self.encoded(raw)
            self.assertIn(b"boundary=a\r\n--a\r\n", encoded)
            self.assertEqual(shape(scan(encoded)), shape(scan(raw)))

    def test_huge_header_of_a_part(self) -> None:
        """What is behind the limit of a header is no body that could be encoded."""
        header = b"X: y\r\n" * (MAX_HEADER_OCTETS // 6 + 1)
        part = header + b"Subject: x\r\n\r\n\xe6\r\n"
        start = HEAD + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
        self.assertIn(part, seven_bit(start + part + b"--a--\r\n"))

    def test_signed(self) -> None:
        """What is signed inside stays, octet by octet, and so does what it says of itself."""
        signed = self.multipart(
            b"\r\n\xc3\xbc", b"Content-Type: application/x\r\n\r\nx", subtype=b"signed"
        )
        for raw in (HEAD + signed, HEAD + self.multipart(signed.replace(b"=_b", b"=_c"))):
            self.assertEqual(seven_bit(raw), raw)
        signed = self.multipart(b"\r\n" + LONG, subtype=b"signed")
        self.assertRaises(Malformed, seven_bit, HEAD + signed)

    def test_what_we_do_not_know(self) -> None:
        """Encodings, types without parts, reports: left as they are."""
        for fields in (
            b"Content-Transfer-Encoding: x-uuencode\r\n",
            b"Content-Type: multipart/mixed\r\n",
            b"Content-Type: multipart/mixed; boundary=none\r\n",
            b"Content-Type: message/delivery-status\r\n",
        ):
            raw = HEAD + fields + "\r\nü\r\n".encode()
            self.assertEqual(seven_bit(raw), raw)

    def test_many_parts(self) -> None:
        """Where the scanner stopped looking nothing is changed."""
        raw = HEAD + self.multipart(*[b"\r\n\xc3\xbc"] * 2100)
        self.assertEqual(seven_bit(raw), raw)

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.sampled_from(LINES), max_size=25))
    def test_any_structure(self, lines: list[bytes]) -> None:
        """Whatever is in what stays there, and a second time changes nothing."""
        raw = b"".join(line + b"\r\n" for line in lines)
        with contextlib.suppress(Malformed):
            encoded = seven_bit(raw)
            self.assertEqual(shape(scan(encoded)), shape(scan(raw)))
            self.assertEqual(seven_bit(encoded), encoded)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [b"\r\n", b"x", b" ", b"=", "ü".encode(), b"\xff", b".", b"y" * 1100, b"z" * 70_000]
            ),
            max_size=30,
        ),
        st.sampled_from([b"", TEXT, b"Content-Type: application/x\r\n"]),
        st.booleans(),
    )
    def test_any_content(self, pieces: list[bytes], fields: bytes, is_part: bool) -> None:
        """Whatever the octets, readers find them again."""
        body = b"".join(pieces)
        part = fields + b"\r\n" + body
        raw = HEAD + (self.multipart(part) if is_part else part)
        encoded = self.encoded(raw)
        (found,) = leaves(encoded)
        self.assertEqual(found[1], body)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=400))
    def test_any_octets(self, octets: bytes) -> None:
        """Never more than our own error."""
        octets = octets.replace(b"\r", b"").replace(b"\n", b"\r\n")
        with contextlib.suppress(Malformed):
            seven_bit(octets + "ü\r\n".encode())
