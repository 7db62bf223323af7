"""
Messages that were made to do harm: none may raise, and none may cost more than its size.
"""

import encodings
import pkgutil
from collections.abc import Callable
from encodings.aliases import aliases

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.addresses import (
    MAX_AUTHOR_OCTETS,
    MAX_FIELD_OCTETS,
    parse_mailboxes,
    sole_author,
)
from fe_mail.message.charsets import decode_octets
from fe_mail.message.digest import digest
from fe_mail.message.headers import header_fields
from fe_mail.message.html import html_to_text
from fe_mail.message.parameters import parse_parameterized
from fe_mail.message.words import decode_words
from fe_mail.model.errors import Invalid
from tests.growth import assert_linear

Reader = Callable[[bytes], object]

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"

ADDRESS_FLOODS = (
    b"a@", b"a@b@", b"@a", b"@a:", b'""@', b"<@", b"<@a,@b:", b"a<a@b>", b"a@b,", b"a,",
    b"(", b"()", b'"', b"\\", b'"\\', b"[", b":", b";", b"a:;",
    b"a ", b"a@b ", b"a. ", b" . ", b"a>", b"<a ", b"=?a?q?", b"=?a?q?x,?= ", b"a@b <",
)  # fmt: skip
WORD_FLOODS = (
    b"=?",
    b"=?a?q?",
    b"=?a*b?",
    b"=?a?q?a?= ",
    b"=?utf-8?b?YQ==?=",
    b"=?x?q?=",
    b"?",
    b"=?a?q?==?",
    b"?x",
)
PARAMETER_FLOODS = (
    b";",
    b"; a=b",
    b";a*0=b",
    b'; a="',
    b"; a=b c d",
    b" ",
    b";a ",
    b"(",
    b'\\"',
    b"(;",
    b'";',
    b'\\";',
    b"(a)",
    b"a (x)",
    b"a =",
    b"=",
    b",",
    b'"a',
    b"\\(",
    b"a=b ",
)
HTML_FLOODS = (b"<", b"<!--", b"<a ", b"<a b='", b"&", b"&#", b"<![CDATA[", b"</", b"<script>")
HEADER_FLOODS = (b"a:\n", b"a\n", b" \n", b"\n ", b":\n", b"a:b\n b\n")


def parts(count: int) -> bytes:
    """A multipart with that many parts."""
    return MIXED + b"--b\r\n\r\nx\r\n" * count


def nesting(count: int) -> bytes:
    """Multiparts inside each other."""
    one = "Content-Type: multipart/mixed; boundary=b{0}\r\n\r\n--b{0}\r\n"
    return "".join(one.format(number) for number in range(count)).encode()


def cycle(count: int) -> bytes:
    """Every multipart has the boundary of the one around it."""
    return (MIXED + b"--b\r\n") * count


def shared(count: int) -> bytes:
    """Multiparts inside each other with two boundaries in turn, parts between, none closed."""
    other = MIXED.replace(b"boundary=b", b"boundary=c") + b"--c\r\n"
    return (MIXED + b"--b\r\n" + other + b"\r\nx\r\n--c\r\n") * count


def never_used(count: int) -> bytes:
    """Multiparts in a row whose own boundary stands nowhere."""
    one = b"--b\r\nContent-Type: multipart/mixed; boundary=n%d\r\n\r\n"
    return MIXED + b"".join(one % number for number in range(count // 10)) + b"x\r\n" * count


def forwarded(count: int) -> bytes:
    """Messages inside each other."""
    return b"Content-Type: message/rfc822\r\n\r\n" * count


def near_delimiters(count: int) -> bytes:
    """Lines that nearly are delimiters."""
    return MIXED + b"--bx\r\n" * count


def one_field(count: int) -> bytes:
    """One huge field."""
    return b"Subject: " + b"x" * (10 * count) + b"\r\n\r\n"


def recipients(count: int) -> bytes:
    """One To field with that many addresses."""
    return b"To: " + b"a@b.test,\r\n " * count + b"\r\n\r\n"


def continuations(count: int) -> bytes:
    """A file name in that many pieces (RFC 2231 §3)."""
    pieces = "".join(f";\r\n name*{number}*=%41" for number in range(count))
    return f"Content-Type: text/plain{pieces}\r\n\r\nx".encode()


BOMBS: tuple[Callable[[int], bytes], ...] = (
    parts, nesting, cycle, shared, never_used, forwarded, near_delimiters, one_field, recipients,
    continuations,
)  # fmt: skip


class LinearTests(SynchronousTestCase):
    """The cost of hostile input grows with its size."""

    def assert_linear(self, read: Reader, flood: bytes, size_octets: int) -> None:
        """As long as the octets are many."""
        assert_linear(self, lambda count: read(flood * count), size_octets // len(flood), flood)

    def test_addresses(self) -> None:
        """Half-written addresses: 256 KiB of ``a@b@`` once took half a minute."""
        for flood in ADDRESS_FLOODS:
            self.assert_linear(parse_mailboxes, flood, MAX_FIELD_OCTETS // 2)

    def test_words(self) -> None:
        """Encoded words that never end."""
        for flood in WORD_FLOODS:
            self.assert_linear(decode_words, flood, 256 * 1024)

    def test_parameters(self) -> None:
        """Quotes, comments and names that lead nowhere."""
        for flood in PARAMETER_FLOODS:
            self.assert_linear(
                lambda octets: parse_parameterized(b"text/plain; a=" + octets), flood, 64 * 1024
            )

    def test_html(self) -> None:
        """Tags, comments and entities that are never closed."""
        for flood in HTML_FLOODS:
            self.assert_linear(lambda octets: html_to_text(octets.decode()), flood, 256 * 1024)

    def test_headers(self) -> None:
        """Empty names, empty lines, only folding."""
        for flood in HEADER_FLOODS:
            self.assert_linear(header_fields, flood, 256 * 1024)

    def test_bombs(self) -> None:
        """Many parts, deep nesting, boundaries in circles, floods of fields."""
        for bomb in BOMBS:
            assert_linear(
                self,
                lambda count, make=bomb: digest(make(count)),  # type: ignore[misc]
                25_000,
                bomb.__name__,
            )


class CharsetTests(SynchronousTestCase):
    """Every name that Python knows, on text of every length."""

    def test_no_codec_raises_or_inflates(self) -> None:
        """Codecs that are none of text (zlib, base64) are no character sets, whatever the size."""
        modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
        names = sorted(modules | set(aliases) | set(aliases.values()))
        samples = (
            bytes(range(256)) * 4,
            bytes(range(256)) * 400,
            b"+" * 70_000,
            b"\x1b$)C" * 20_000,
        )
        for name in names:
            for sample in samples:
                text = decode_octets(sample, name)
                self.assertLessEqual(len(text), len(sample), name)

    def test_digest_of_odd_charsets(self) -> None:
        """A long body in ``charset=base64`` once failed to be stored."""
        for charset in (b"base64", b"zlib", b"bz2", b"rot13", b"uu", b"hex", b"quopri", b"\xff"):
            raw = b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n" + b"x" * 100_000
            self.assertIn("xxx", digest(raw).text)


class AuthorTests(SynchronousTestCase):
    """From fields that different programs read differently never have an author."""

    def test_ambiguous(self) -> None:
        """None or several fields, several addresses, groups, controls, encoded addresses."""
        for header in (
            b"",
            b"From: a@b.test\r\nFrom: c@d.test\r\n",
            b"From: a@b.test\r\nfrom : c@d.test\r\n",
            b"From: a@b.test, c@d.test\r\n",
            b"From: a@b.test <c@d.test>\r\n",
            b"From: <a@b.test> <c@d.test>\r\n",
            b"From: <a@b.test>c@d.test\r\n",
            b"From: group: a@b.test;\r\n",
            b"From: group: a@b.test;, c@d.test\r\n",
            b"From: a@b.test\0@c.test\r\n",
            b"From: a@b.test\rFrom: c@d.test\r\n",
            b"From: =?utf-8?q?a=40b.test?=\r\n",
            b"From: =?utf-8?q?a?=@b.test\r\n",
            b"From: <@c.test:a@b.test>\r\n",
            b"From: a@b.test@c.test\r\n",
            b"From: a@b .test\r\n",
            b"From: a\xff@b.test\r\n",
            b"From: " + b"(" * MAX_AUTHOR_OCTETS + b" a@b.test\r\n",
        ):
            self.assertRaises(Invalid, sole_author, header_fields(header))

    def test_quoted_confusion(self) -> None:
        """An address inside quotes or a comment is a name, not the author."""
        for value in (b'"a@b.test" <c@d.test>', b"(a@b.test) c@d.test", b"c@d.test (a@b.test)"):
            try:
                author = str(sole_author(header_fields(b"From: " + value + b"\r\n")))
            except Invalid:
                continue
            self.assertEqual(author, "c@d.test")
