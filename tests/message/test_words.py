"""Tests of fe_mail.message.words and fe_mail.message.parameters."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.charsets import decode_octets
from fe_mail.message.parameters import MAX_PARAMETERS, decoded_parameter, parse_parameterized
from fe_mail.message.words import (
    decode_words,
    encode_phrase,
    encode_unstructured,
)


class DecodeTests(SynchronousTestCase):
    """Reading."""

    def test_words(self) -> None:
        """RFC 2047 §8 and what programs really send."""
        for value, expected in (
            (b"plain", "plain"),
            (b"=?ISO-8859-1?Q?a?=", "a"),
            (b"=?ISO-8859-1?Q?a?= b", "a b"),
            (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            (b"=?ISO-8859-1?Q?a_b?=", "a b"),
            (b"=?utf-8?B?w7g=?=", "\u00f8"),
            (b"=?utf-8?B?w7g?=", "\u00f8"),
            (b"=?utf-8?B?ww==?= =?utf-8?B?uA==?=", "\u00f8"),  # a character cut in two
            (b"=?utf-8*en?q?x?=", "x"),
            (b"=?x-none?q?x=F8?=", "x\u00f8"),
            (b"caf\xc3\xa9", "caf\u00e9"),
            (b"caf\xe9", "caf\u00e9"),
            (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
            (b"x =?utf-8?q?a?= y =?utf-8?q?b?= z", "x a y b z"),
            (b"=?utf-8?q?a=0Ab=00c?=", "a b c"),
        ):
            self.assertEqual(decode_words(value), expected, value)

    def test_no_lone_surrogates(self) -> None:
        """UTF-7 can spell half a character; what comes out can always be stored and sent."""
        self.assertEqual(decode_octets(b"+2AA- x", "utf-7"), "\ufffd x")
        self.assertEqual(decode_octets(b"+2D3eAA-", "utf-7"), "\U0001f600")
        long = decode_octets(b"+2AA- " * 20_000, "utf-7")
        self.assertEqual(long, "\ufffd " * 20_000)
        params = ((b"filename*", b"utf-7''%2B2AA-"),)
        self.assertEqual(decoded_parameter(params, b"filename"), "\ufffd")

    def test_charsets(self) -> None:
        """Names that mean something else, or nothing, or harm."""
        self.assertEqual(decode_octets(b"\x93x\x94", "iso-8859-1"), "\u201cx\u201d")
        self.assertEqual(decode_octets("\u4e2d".encode("gb18030"), "GB2312"), "\u4e2d")
        for name in ("punycode", "idna", "unicode_escape", "hex", "rot13", "zlib", "\0", "\u00e9"):
            self.assertEqual(decode_octets(b"abc-", name), "abc-")

    @settings(max_examples=200, deadline=None)
    @given(
        st.binary(max_size=60)
        | st.lists(
            st.sampled_from([b"=?", b"?=", b"utf-8", b"?q?", b"?b?", b"=F", b"zz", b" "]),
            max_size=12,
        ).map(b"".join)
    )
    def test_anything(self, value: bytes) -> None:
        """No exception, no control characters, whatever comes."""
        text = decode_words(value)
        self.assertFalse(any(character < " " for character in text))


class EncodeTests(SynchronousTestCase):
    """Writing."""

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=200))
    @example("\ufeff")
    def test_round_trip(self, text: str) -> None:
        """Any text comes back, on short lines of ASCII that cannot end the field."""
        for encode in (encode_unstructured, encode_phrase):
            encoded = encode(text)
            self.assertTrue(encoded.isascii())
            for number, line in enumerate(encoded.split("\r\n")):
                self.assertFalse(set(line) & {"\r", "\n", "\0"})
                self.assertTrue(number == 0 or (line.startswith(" ") and line.strip()))
                self.assertLess(len(line), 990)
        unfolded = encode_unstructured(text).replace("\r\n", "")
        expected = decode_words(text.encode("utf-8", "replace")).strip()
        if "=?" not in text:
            self.assertEqual(decode_words(unfolded.encode()).strip(), expected)

    def test_phrases(self) -> None:
        """Atoms as they are, specials quoted, the rest encoded."""
        self.assertEqual(encode_phrase("Bob Z"), "Bob Z")
        self.assertEqual(encode_phrase('Z, "Bob"'), '"Z, \\"Bob\\""')
        self.assertEqual(encode_phrase("J\u00f8rgen"), "=?utf-8?B?SsO4cmdlbg==?=")


class ParameterTests(SynchronousTestCase):
    """Content-Type and Content-Disposition."""

    def test_plain(self) -> None:
        """Tokens, quoted strings, comments, odd spaces."""
        self.assertEqual(
            parse_parameterized(b'Text/Plain; Charset="utf-8" ; x = y; name="a;\\"b.txt" (c)'),
            (b"text/plain", ((b"charset", b"utf-8"), (b"x", b"y"), (b"name", b'a;"b.txt'))),
        )

    def test_spaces_without_quotes(self) -> None:
        """File names with spaces come without quotes, too."""
        _, params = parse_parameterized(b"attachment; filename=my long file.pdf; size=3")
        self.assertEqual(decoded_parameter(params, b"filename"), "my long file.pdf")

    def test_continuations(self) -> None:
        """RFC 2231 §3, §4.1: joined in order, decoded by the charset of the first."""
        value = (
            b"x/y; title*2=\"isn't it!\"; title*0*=us-ascii'en'This%20is%20even%20more%20; "
            b"title*1*=%2A%2A%2Afun%2A%2A%2A%20"
        )
        _, params = parse_parameterized(value)
        self.assertEqual(
            decoded_parameter(params, b"title"), "This is even more ***fun*** isn't it!"
        )
        _, params = parse_parameterized(b'x/y; url*0="ftp://"; url*1="example.org/"')
        self.assertEqual(params, ((b"url", b"ftp://example.org/"),))

    def test_encodings(self) -> None:
        """RFC 2231, encoded words against the rules, raw octets, nothing."""
        for value, expected in (
            (b"a; f*=utf-8''%C3%B8", "\u00f8"),
            (b"a; f*=%C3%B8", "\u00f8"),
            (b'a; f="=?utf-8?Q?=C3=B8?="', "\u00f8"),
            (b"a; f=\xc3\xb8", "\u00f8"),
            (b"a; f*=iso-8859-1'da'%F8; f=o", "\u00f8"),
            (b"a", None),
        ):
            _, params = parse_parameterized(value)
            self.assertEqual(decoded_parameter(params, b"f"), expected, value)

    def test_bombs(self) -> None:
        """Ten thousand parameters or pieces are cut, in little time."""
        _, params = parse_parameterized(b"a/b" + b"".join(b"; p%d=x" % n for n in range(10_000)))
        self.assertLessEqual(len(params), MAX_PARAMETERS)
        parse_parameterized(b"a/b" + b"".join(b"; p*%d*=x" % n for n in range(10_000)))

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [
                    b";",
                    b"a",
                    b"=",
                    b'"',
                    b"*0",
                    b"*1*",
                    b"\\",
                    b" ",
                    b"%",
                    b"'",
                    b"(",
                    b")",
                    b"\xff",
                ]
            ),
            max_size=25,
        ).map(b"".join)
    )
    def test_anything(self, value: bytes) -> None:
        """No exception, whatever comes."""
        _, params = parse_parameterized(value)
        for name in (b"a", b"aa"):
            decoded_parameter(params, name)
