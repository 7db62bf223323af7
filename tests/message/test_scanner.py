"""Tests of fe_mail.message.scanner."""

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.digest import digest
from fe_mail.message.scanner import MAX_DEPTH, MAX_NEAR_DELIMITERS, MAX_PARTS, scan
from fe_mail.model.structure import Part

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def body(raw: bytes, part: Part) -> bytes:
    """The octets of a part's body."""
    return raw[part.body_start : part.body_end]


def kinds(part: Part) -> Any:
    """The tree as nested tuples of type/subtype."""
    name = (part.type + b"/" + part.subtype).decode("ascii", "replace")
    return (name, *map(kinds, part.parts)) if part.parts else name


class StructureTests(SynchronousTestCase):
    """Well-formed messages, and those that nearly are."""

    def test_plain(self) -> None:
        """No MIME at all is text/plain; us-ascii."""
        raw = b"Subject: x\r\n\r\none\r\ntwo"
        part = scan(raw)
        self.assertEqual(kinds(part), "text/plain")
        self.assertEqual(part.params, ((b"charset", b"us-ascii"),))
        self.assertEqual((body(raw, part), part.lines, part.encoding), (b"one\r\ntwo", 2, b"7bit"))

    def test_multipart(self) -> None:
        """The CRLF before a delimiter belongs to it; preamble and epilogue to nobody."""
        raw = MIXED + (
            b"preamble\r\n--b\r\n\r\none\r\n\r\n--b \t\r\nContent-Type: TEXT/Html; a=B\r\n\r\n"
            b"two\r\n--b--\r\nepilogue\r\n--b\r\n\r\nno part"
        )
        part = scan(raw)
        self.assertEqual(kinds(part), ("multipart/mixed", "text/plain", "text/html"))
        self.assertEqual([body(raw, one) for one in part.parts], [b"one\r\n", b"two"])
        self.assertEqual(part.parts[1].params, ((b"a", b"B"),))
        self.assertEqual(part.body_end, len(raw))

    def test_bare_line_ends(self) -> None:
        """LF alone works everywhere."""
        raw = MIXED.replace(b"\r", b"") + b"--b\n\none\n--b\n\ntwo\n--b--\n"
        self.assertEqual([body(raw, one) for one in scan(raw).parts], [b"one", b"two"])

    def test_prefix_is_no_delimiter(self) -> None:
        """A boundary that begins another one is not mistaken for it."""
        raw = MIXED + (
            b"--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\nx\r\n"
            b"--bb--\r\n--b\r\n\r\ny\r\n--b--\r\n"
        )
        expected = ("multipart/mixed", ("multipart/alternative", "text/plain"), "text/plain")
        self.assertEqual(kinds(scan(raw)), expected)

    def test_unclosed_inner(self) -> None:
        """An outer delimiter ends every part inside (RFC 2046 §5.1.2)."""
        raw = MIXED + (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b\r\n\r\ny"
        )
        tree = scan(raw)
        self.assertEqual(
            kinds(tree), ("multipart/mixed", ("multipart/mixed", "text/plain"), "text/plain")
        )
        self.assertEqual(body(raw, tree.parts[0].parts[0]), b"x")
        self.assertEqual(body(raw, tree.parts[1]), b"y")

    def test_empty_parts(self) -> None:
        """Delimiters that follow each other make empty parts."""
        raw = MIXED + b"--b\r\n--b\r\n\r\n--b--"
        self.assertEqual([body(raw, one) for one in scan(raw).parts], [b"", b""])

    def test_message(self) -> None:
        """An embedded message has its envelope and its own offsets."""
        raw = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhi\r\n"
        part = scan(raw)
        self.assertEqual(kinds(part), ("message/rfc822", "text/plain"))
        assert part.envelope is not None
        self.assertEqual(part.envelope.subject, b"in")
        self.assertEqual(body(raw, part.parts[0]), b"hi\r\n")
        self.assertEqual(part.lines, 3)

    def test_digest(self) -> None:
        """In multipart/digest the default is a message (RFC 2046 §5.1.5)."""
        raw = MIXED.replace(b"mixed", b"digest") + b"--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--"
        self.assertEqual(kinds(scan(raw)), ("multipart/digest", ("message/rfc822", "text/plain")))

    def test_fields(self) -> None:
        """Everything BODYSTRUCTURE shows."""
        part = scan(
            b"Content-Type: image/PNG; name=x\r\nContent-ID: <a@b>\r\nContent-MD5: q\r\n"
            b"Content-Transfer-Encoding: BASE64\r\nContent-Description: d\r\n"
            b'Content-Disposition: ATTACHMENT; filename="f"\r\n'
            b"Content-Language: da, en\r\nContent-Location: /l\r\n\r\nAA==\r\n"
        )
        self.assertEqual((part.type, part.subtype, part.encoding), (b"image", b"png", b"base64"))
        self.assertEqual(part.disposition, (b"attachment", ((b"filename", b"f"),)))
        self.assertEqual((part.content_id, part.md5, part.description), (b"<a@b>", b"q", b"d"))
        self.assertEqual((part.language, part.location), ((b"da", b"en"), b"/l"))

    def test_not_what_it_says(self) -> None:
        """A multipart without boundary or parts, and nonsense, is text that people can read."""
        for header in (
            b"Content-Type: multipart/mixed\r\n\r\n--b\r\n",
            MIXED + b"no delimiter",
            b'Content-Type: multipart/mixed; boundary=""\r\n\r\n',
            b"Content-Type: nonsense\r\n\r\n",
            b"Content-Type: a b/c\r\n\r\n",
            b"Content-Type:\r\n\r\n",
            b"Content-Type: text\r\n\r\n",
        ):
            self.assertEqual(kinds(scan(header)), "text/plain", header)


class LimitTests(SynchronousTestCase):
    """Bombs."""

    def depth(self, part: Part) -> int:
        """How deep the tree is."""
        return 1 + max(map(self.depth, part.parts), default=0)

    def count(self, part: Part) -> int:
        """How many parts it has."""
        return 1 + sum(map(self.count, part.parts))

    def test_deep(self) -> None:
        """Beyond the depth one opaque part holds the rest."""
        multiparts = b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
            for n in range(1_000)
        )
        for raw in (multiparts, b"Content-Type: message/rfc822\r\n\r\n" * 1_000):
            part = scan(raw)
            self.assertEqual(self.depth(part), MAX_DEPTH + 1)
            while part.parts:
                part = part.parts[-1]
            self.assertEqual(kinds(part), "application/octet-stream")
            self.assertEqual(part.body_end, len(raw))

    def test_many(self) -> None:
        """Beyond the count the last part keeps the rest."""
        raw = MIXED + b"--b\r\n\r\nx\r\n" * (MAX_PARTS * 3)
        part = scan(raw)
        self.assertEqual(self.count(part), MAX_PARTS)
        self.assertEqual(part.parts[-1].body_end, len(raw))

    def test_near_delimiters(self) -> None:
        """Lines that only begin like a delimiter stop being looked at."""
        raw = MIXED + b"--b\r\n\r\n" + b"--bx\r\n" * (MAX_NEAR_DELIMITERS * 2) + b"--b--\r\n"
        self.assertEqual(len(scan(raw).parts), 1)

    def test_linear(self) -> None:
        """Twice the input is at most 2.3 times the work, in calls of functions."""
        generators: list[Callable[[int], bytes]] = [
            lambda n: b"x" * 60 * n,
            lambda n: b"A: b\r\n" * n,
            lambda n: MIXED + b"--bx\n" * n,
            lambda n: MIXED + b"--b\n\n" * n,
            lambda n: MIXED + b"--b\nA: b\n" * n,
            lambda n: b"".join(
                b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (i, i) for i in range(n)
            ),
            lambda n: b"Content-Type: message/rfc822\n\n" * n,
            lambda n: b"To: " + b"a@b," * n + b"\n\n",
            lambda n: b"To: " + b"(" * n + b"\n\n",
            lambda n: b"To: " + b'"\\' * n + b"\n\n",
            lambda n: b"Subject: " + b"=?a?q?" * n + b"\n\n",
            lambda n: b"Content-Type: a/b" + b"; a*1*=x" * n + b"\n\n",
            lambda n: b"Content-Type: text/html\n\n" + b'<a "<!-- <script ' * n,
            lambda n: b"Content-Type: text/html\n\n" + b"<b>&#;" * n,
        ]
        for number, generate in enumerate(generators):
            work = [calls(digest, generate(size)) for size in (1_500, 3_000)]
            self.assertLessEqual(work[1], 2.3 * work[0] + 50, f"generator {number}: {work}")


def calls(function: Callable[[bytes], object], raw: bytes) -> int:
    """How many calls, of C functions too, the function needs for this input."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        function(raw)
    finally:
        sys.setprofile(previous)
    return counted


FRAGMENTS = st.sampled_from(
    [
        MIXED,
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: text/html; charset=x\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"--c\n",
        b"--c--",
        b"--bc\r\n",
        b"\r\n",
        b"\n",
        b"Subject: =?utf-8?q?x?=\r\n",
        b"text",
        b"\x00\xff",
        b"\r",
        b"<p>",
    ]
)


LEAVES = st.lists(
    st.sampled_from([b"text", b"\r\n", b"--", b"--1x", b"\r\n--1x", b"-", b"\r\n\r\n"]), max_size=6
).map(b"".join)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12)


def build(tree: Any, boundary: bytes = b"1") -> bytes:
    """A message of a tree: a list is a multipart, octets are a leaf."""
    if isinstance(tree, bytes):
        return b"X-Leaf: y\r\n\r\n" + tree
    pieces = [
        b"\r\n--" + boundary + b"\r\n" + build(one, boundary + b"-%d" % number)
        for number, one in enumerate(tree)
    ]
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + b"".join(pieces) + b"\r\n--" + boundary + b"--\r\n"


def rebuilt(raw: bytes, part: Part) -> Any:
    """The tree that was scanned."""
    if part.is_multipart:
        return [rebuilt(raw, child) for child in part.parts]
    return body(raw, part)


class AnythingTests(SynchronousTestCase):
    """Whatever the bytes."""

    @settings(max_examples=300, deadline=None)
    @given(st.lists(FRAGMENTS, max_size=25).map(b"".join))
    def test_invariants(self, raw: bytes) -> None:
        """No exception; parts lie in order inside their parent; names keep their promises."""
        whole = digest(raw).structure
        self.assertEqual((whole.header_start, whole.body_end), (0, len(raw)))
        self.check(raw, whole)

    @settings(max_examples=200, deadline=None)
    @given(TREES)
    def test_round_trip(self, tree: Any) -> None:
        """Well-formed messages come apart as they were put together, to the octet."""
        raw = build(tree)
        self.assertEqual(rebuilt(raw, scan(raw)), tree)

    def check(self, raw: bytes, part: Part) -> None:
        """One part and those below it."""
        self.assertTrue(0 <= part.header_start <= part.body_start <= part.body_end <= len(raw))
        self.assertEqual(part.is_multipart, bool(part.parts) and not part.is_message)
        self.assertEqual(part.is_message, part.envelope is not None)
        self.assertEqual(
            part.lines,
            len(body(raw, part).split(b"\n"))
            - (body(raw, part).endswith(b"\n") or not body(raw, part)),
        )
        position = part.body_start
        for child in part.parts:
            self.assertTrue(position <= child.header_start and child.body_end <= part.body_end)
            position = child.body_end
            self.check(raw, child)
