"""Tests of fe_mail.message.parameters and of what the scanner makes of MIME fields."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.digest import digest
from fe_mail.message.parameters import decoded_parameter, parse_list, parse_parameterized
from fe_mail.message.scanner import scan
from fe_mail.model.structure import Part


def kinds(part: Part) -> Any:
    """The tree as nested tuples of type/subtype."""
    name = (part.type + b"/" + part.subtype).decode("ascii", "replace")
    return (name, *map(kinds, part.parts)) if part.parts else name


def with_field(name: bytes, value: bytes) -> Part:
    """A part with this field."""
    return scan(name + b": " + value + b"\r\n\r\n")


class ParameterTests(SynchronousTestCase):
    """One lenient reading of a value and its parameters."""

    def test_comments(self) -> None:
        """Nested, quoted, anywhere: no part of what is said (RFC 2045 §5.1)."""
        for value in (
            b"multipart/mixed (x); boundary=b",
            b"(x)multipart/mixed;boundary=b",
            b"multipart (x) / (y) mixed; boundary=b",
            b"multipart/mixed; (x) boundary (y) = (z) b (w)",
            b"multipart/mixed; boundary=b(x)",
            b"multipart/mixed; boundary=(x)b",
            b'multipart/mixed; boundary="b" (x; boundary=c)',
            b"multipart/mixed (a (b (c)) \\) ;); boundary=b",
            b'multipart/mixed ("); boundary=b',
            b"multipart/mixed (never closed; boundary=b",
            b"multipart/mixed; boundary=b (never closed",
        ):
            part = scan(b"Content-Type: " + value + b"\r\n\r\n--b\r\n\r\nx\r\n--b--")
            self.assertEqual(kinds(part), ("multipart/mixed", "text/plain"), value)
            self.assertEqual(part.params, ((b"boundary", b"b"),), value)

    def test_no_comment(self) -> None:
        """In the middle of a bare value, and in quotes, parentheses are text."""
        for value, expected in (
            (b"a; name=report (1).pdf; size=3", b"report (1).pdf"),
            (b"a; name=a(1)b.pdf", b"a(1)b.pdf"),
            (b"a; name=report (1.pdf", b"report (1.pdf"),
            (b'a; name="a (b) c"', b"a (b) c"),
            (b'a; name="a (b"; size=3', b"a (b"),
        ):
            self.assertIn((b"name", expected), parse_parameterized(value)[1], value)

    def test_quotes(self) -> None:
        """Never closed, in each other, around anything: none is left in a value."""
        for value, expected in (
            (b'a; b="c', b"c"),
            (b'a; b="c; d=e', b"c"),
            (b'a; b=c"; d=e', b"c"),
            (b'a; b="c "d" e"', b"c d e"),
            (b'a; b="c" junk; d=e', b"c"),
            (b'a; b="c\\"d"', b'c"d'),
            (b'a; b=""', b""),
            (b"a; b=", b""),
        ):
            self.assertEqual(parse_parameterized(value)[1][0], (b"b", expected), value)

    def test_separators(self) -> None:
        """None, too many, or commas where semicolons should stand."""
        for value in (
            b"a b=c d=e",
            b"a;b=c;d=e",
            b"a;;b=c;;d=e;",
            b"a, b=c, d=e",
            b"a b=c; d=e",
            b"a; b = c ; d = e",
            b'a; b="c" d="e"',
            b"a; b=c (x) d=e",
        ):
            main, params = parse_parameterized(value)
            self.assertEqual(
                (main.strip(b","), params), (b"a", ((b"b", b"c"), (b"d", b"e"))), value
            )

    def test_first_of_a_name(self) -> None:
        """A name that comes twice means the first; pieces mean more than a short form beside."""
        _, params = parse_parameterized(b"a; b=c; B=d; f=short; f*0=lo; f*1=ng")
        self.assertEqual(dict(params), {b"b": b"c", b"f": b"long"})

    def test_odd_continuations(self) -> None:
        """Out of order, from 1, with a gap, with half of a prefix (RFC 2231)."""
        for value, expected in (
            (b"a; f*1=y; f*0=x", "xy"),
            (b"a; f*1=x; f*2=y", "xy"),
            (b"a; f*0=x; f*2=y", "x"),
            (b"a; f*0*=utf-8''%C3; f*1*=%B8", "\u00f8"),
            (b"a; f*0*=utf-8''x%20; f*1=%41", "x %41"),
            (b"a; f*=utf-8'%C3%B8", "\u00f8"),
            (b"a; f*=koi8-r''%C1", "\u0430"),
            (b"a; f*=it's", "it's"),
            (b"a; f*=utf-8''; f=short", "short"),
            (b"a; f*=nonsense''%E5", "\u00e5"),
            (b"a; f*=\"utf-8''%C3%B8\"", "\u00f8"),
        ):
            _, params = parse_parameterized(value)
            self.assertEqual(decoded_parameter(params, b"f"), expected, value)

    def test_list(self) -> None:
        """Languages (RFC 3282 §2)."""
        for value, expected in (
            (b"da, en", (b"da", b"en")),
            (b"da (Danish), (x) en (", (b"da", b"en")),
            (b'"da";en,,', (b"da", b"en")),
            (b"", ()),
        ):
            self.assertEqual(parse_list(value), expected, value)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [*(bytes((octet,)) for octet in b';,"()\\= /a\xff\0'), b"*0", b"*1*", b"name", b"'"]
            ),
            max_size=25,
        ).map(b"".join)
    )
    def test_anything(self, value: bytes) -> None:
        """No exception, and types, names and encodings are always tokens."""
        part = scan(
            b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\nContent-Disposition: %s\r\n"
            b"Content-Language: %s\r\nContent-ID: %s\r\n\r\nx" % ((value,) * 5)
        )
        tokens = [part.type, part.subtype, part.encoding, *dict(part.params)]
        tokens += [part.disposition[0]] if part.disposition else []
        for token in tokens:
            self.assertFalse(set(token) & set(b'"()<>@,;:\\/[]?= \t\r\n\0\xff'), (value, token))
        digest(b"Content-Type: " + value + b"\r\nContent-Disposition: " + value + b"\r\n\r\nx")


class FieldTests(SynchronousTestCase):
    """What the scanner makes of odd fields."""

    def test_types(self) -> None:
        """Quotes, slashes, spaces; what is no type is the default, with its parameters."""
        for value, expected in (
            (b'"text/html"', b"text/html"),
            (b"'text/html'", b"text/html"),
            (b'"text"/"html"', b"text/html"),
            (b"<text/html>", b"text/html"),
            (b"Text / HTML", b"text/html"),
            (b"text//html", b"text/html"),
            (b"text/html/x", b"text/html"),
            (b"text/html x", b"text/html"),
            (b"text/html, text/plain", b"text/html"),
            (b"image/svg+xml", b"image/svg+xml"),
            (b"text/plain/x", b"text/plain"),
            (b"text", b"text/plain"),
            (b"/html", b"text/plain"),
            (b"text/", b"text/plain"),
            (b"t\xffxt/html", b"text/plain"),
        ):
            part = with_field(b"Content-Type", value)
            self.assertEqual(part.type + b"/" + part.subtype, expected, value)
        for value in (b"nonsense; charset=koi8-r", b"charset=koi8-r", b"; charset=koi8-r"):
            part = with_field(b"Content-Type", value)
            self.assertEqual(part.params, ((b"charset", b"koi8-r"),), value)

    def test_encodings(self) -> None:
        """By their usual names, however they are spelled (RFC 2045 §6.1)."""
        for value, expected in (
            (b'"base64"', b"base64"),
            (b"BASE64 (x)", b"base64"),
            (b"(x) base64", b"base64"),
            (b"base-64", b"base64"),
            (b"base64, base64", b"base64"),
            (b"base64; x=y", b"base64"),
            (b"quoted-printable;", b"quoted-printable"),
            (b"quoted printable", b"quoted-printable"),
            (b"8 bit", b"8bit"),
            (b"8-bit", b"8bit"),
            (b"7bit (x", b"7bit"),
            (b"x-uue", b"x-uuencode"),
            (b"uuencode", b"x-uuencode"),
            (b"x-unheard-of", b"x-unheard-of"),
            (b"", b"7bit"),
            (b"()", b"7bit"),
        ):
            part = with_field(b"Content-Transfer-Encoding", value)
            self.assertEqual(part.encoding, expected, value)

    def test_dispositions(self) -> None:
        """Without a semicolon, or without a word at all (RFC 2183)."""
        name = ((b"filename", b"x"),)
        for value, expected in (
            (b"attachment filename=x", (b"attachment", name)),
            (b'"Attachment"; filename=x', (b"attachment", name)),
            (b"inline (x); filename=x", (b"inline", name)),
            (b"filename=x", (b"attachment", name)),
            (b"; filename=x", (b"attachment", name)),
            (b"attachment", (b"attachment", ())),
            (b"", None),
            (b"(x)", None),
        ):
            part = with_field(b"Content-Disposition", value)
            self.assertEqual(part.disposition, expected, value)

    def test_content_id(self) -> None:
        """The id alone (RFC 2045 §7)."""
        for value in (b"<a@b>", b"(x) <a@b>", b"<a@b> (x)"):
            self.assertEqual(with_field(b"Content-ID", value).content_id, b"<a@b>", value)

    def test_encoded_message(self) -> None:
        """A message in base64 is a file; its octets have no structure to point into."""
        raw = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYTpiCg=="
        self.assertEqual(kinds(scan(raw)), "application/octet-stream")


def multipart(boundary: bytes, *parts: bytes, kind: bytes = b"mixed", end: bytes = b"--") -> bytes:
    """A multipart with this boundary."""
    head = b"Content-Type: multipart/" + kind + b"; boundary=" + boundary + b"\r\n\r\n"
    lines = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return head + lines + b"--" + boundary + end


def leaf(kind: bytes, text: bytes = b"x") -> bytes:
    """A part without parts."""
    return b"Content-Type: " + kind + b"\r\n\r\n" + text


class BoundaryTests(SynchronousTestCase):
    """Whose a delimiter is (RFC 2046 §5.1)."""

    def test_shared(self) -> None:
        """Multiparts that share a boundary: it is the innermost's until that one is closed."""
        inner = multipart(b"b", leaf(b"text/plain"), leaf(b"text/html"), kind=b"alternative")
        raw = multipart(b"b", inner, leaf(b"image/png", b"picture"))
        whole = scan(raw)
        expected = ("multipart/mixed", ("multipart/alternative", "text/plain", "text/html"))
        self.assertEqual(kinds(whole), (*expected, "image/png"))
        alternative, picture = whole.parts
        self.assertEqual(raw[picture.body_start : picture.body_end], b"picture")
        self.assertEqual(raw[alternative.header_start : alternative.body_end], inner)
        self.assertTrue(raw[: alternative.body_start].endswith(b"\r\n\r\n"))

    def test_shared_with_the_outermost(self) -> None:
        """Also with another one between, and below a message."""
        related = multipart(b"b", leaf(b"text/html"), leaf(b"image/gif"), kind=b"related")
        between = multipart(
            b"c", leaf(b"text/plain"), related, leaf(b"text/x"), kind=b"alternative"
        )
        expected = (
            "multipart/alternative",
            "text/plain",
            ("multipart/related", "text/html", "image/gif"),
            "text/x",
        )
        raw = multipart(b"b", between, leaf(b"image/png"))
        self.assertEqual(kinds(scan(raw)), ("multipart/mixed", expected, "image/png"))
        raw = multipart(b"b", b"Content-Type: message/rfc822\r\n\r\n" + related, leaf(b"image/png"))
        message = ("message/rfc822", expected[2])
        self.assertEqual(kinds(scan(raw)), ("multipart/mixed", message, "image/png"))

    def test_shared_and_not_closed(self) -> None:
        """What follows is taken for the inner one's, and nothing is lost."""
        inner = multipart(b"b", leaf(b"text/plain"), leaf(b"text/html"), end=b"")
        raw = multipart(b"b", inner + b"\r\n" + leaf(b"image/png"))
        found = kinds(scan(raw))
        self.assertEqual(found, ("multipart/mixed", ("multipart/mixed", *found[1][1:])))
        self.assertEqual(found[1][1:4], ("text/plain", "text/html", "image/png"))

    def test_alike(self) -> None:
        """One boundary begins like another, or is another with dashes."""
        for inner, outer in ((b"b", b"bc"), (b"bc", b"b"), (b"--b", b"b"), (b"b", b"--b")):
            nested = multipart(inner, leaf(b"text/plain"), leaf(b"text/html"))
            raw = multipart(outer, nested, leaf(b"image/png"))
            expected = ("multipart/mixed", "text/plain", "text/html")
            self.assertEqual(kinds(scan(raw)), ("multipart/mixed", expected, "image/png"), inner)

    def test_truncated(self) -> None:
        """Missing closing lines (RFC 2046 §5.1.2): the outer one's line ends the inner one."""
        inner = multipart(b"c", leaf(b"text/plain"), leaf(b"text/html"))
        inner = inner.removesuffix(b"\r\n--c--")
        raw = multipart(b"b", inner, leaf(b"image/png")).removesuffix(b"--b--")
        expected = ("multipart/mixed", ("multipart/mixed", "text/plain", "text/html"), "image/png")
        self.assertEqual(kinds(scan(raw)), expected)

    def test_white_space(self) -> None:
        """At the end of a boundary or of its lines it is no part of it."""
        head = b'Content-Type: multipart/mixed; boundary="b \t"\r\n\r\n'
        raw = head + b"--b\r\n\r\nx\r\n--b \t\r\n\r\ny\r\n--b-- \r\n"
        self.assertEqual(kinds(scan(raw)), ("multipart/mixed", "text/plain", "text/plain"))
