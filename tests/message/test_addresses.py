"""Tests of fe_mail.message.addresses."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.addresses import (
    MAX_ADDRESSES,
    MAX_FIELD_OCTETS,
    parse_mailboxes,
    sole_author,
)
from fe_mail.message.headers import header_fields
from fe_mail.model.errors import Invalid
from fe_mail.model.structure import Mailbox

PIECES = [b"a", b"@", b"<", b">", b",", b";", b":", b'"', b"(", b")", b"\\", b" ", b"[", b"]", b"."]


# No quotes and comments, whose text may be anything, and no routes.
WRITTEN = [b"a", b"b.c", b"x", b"@", b"@", b"<", b">", b",", b";", b":", b" ", b"  ", b"."]
# Of what most programs write, and of what makes it unusual.
USUAL = [
    *(b"a@b.c", b"<d.e@f>", b", ", b",", b" ", b"Bob ", b"J. ", b'"Z, Bob" ', b'""', b"\xc3\xa6"),
    *(b"=?utf-8?q?a=2Cb?= ", b"=?utf-8?b?YQ==?=", b".", b"?", b"(x)", b"\t"),
    *(b"<", b">", b"@", b";"),
]
_AROUND_DOT = re.compile(rb" \. ")
_AROUND_AT = re.compile(rb" ?@ ?")


def plain(local: bytes, host: bytes, name: bytes | None = None) -> Mailbox:
    """An ordinary entry."""
    return Mailbox(name, local, host)


class ParseTests(SynchronousTestCase):
    """What IMAP shows."""

    def check(self, value: bytes, *expected: Mailbox) -> None:
        """The value gives exactly these entries."""
        self.assertEqual(parse_mailboxes(value), expected, value)

    def test_ordinary(self) -> None:
        """Bare, named, quoted, commented, encoded."""
        self.check(b"a@b.c", plain(b"a", b"b.c"))
        self.check(b"Bob Z <b@z>, c@d", plain(b"b", b"z", b"Bob Z"), plain(b"c", b"d"))
        self.check(b'"Z, Bob \\"B\\"" <b@z>', plain(b"b", b"z", b'Z, Bob "B"'))
        self.check(b"b@z (Bob (the) Z)", plain(b"b", b"z", b"Bob (the) Z"))
        self.check(b"=?utf-8?q?J=C3=B8rgen?= <j@k>", plain(b"j", b"k", b"=?utf-8?q?J=C3=B8rgen?="))
        self.check(b'"john doe"@x.y', plain(b"john doe", b"x.y"))
        self.check(b"a@[192.0.2.1]", plain(b"a", b"[192.0.2.1]"))
        self.check(b"joe . blow @ example . com", plain(b"joe.blow", b"example.com"))

    def test_groups(self) -> None:
        """A group has a start with its name and an end (RFC 9051 §7.5.2)."""
        end = Mailbox(None, None, None)
        self.check(b"undisclosed-recipients:;", plain(b"undisclosed-recipients", None), end)
        self.check(
            b"A Team: a@b, c@d; , e@f",
            *(Mailbox(None, b"A Team", None), plain(b"a", b"b"), plain(b"c", b"d"), end),
            plain(b"e", b"f"),
        )
        self.check(b"open: a@b", Mailbox(None, b"open", None), plain(b"a", b"b"), end)

    def test_route(self) -> None:
        """Obsolete routes are kept apart (RFC 5322 §4.4)."""
        self.check(b"<@r1,@r2:u@h>", Mailbox(None, b"u", b"h", b"@r1,@r2"))

    def test_broken(self) -> None:
        """Broken entries stay visible and never look like group marks."""
        self.check(b"<>", plain(b"", b""))
        self.check(b"foo", plain(b"foo", b"MISSING_DOMAIN"))
        self.check(b"foo bar", plain(b"MISSING_MAILBOX", b"MISSING_DOMAIN", b"foo bar"))
        self.check(b"<a@b", plain(b"a", b"b"))
        self.check(b'"open <a@b>', plain(b"open <a@b>", b"MISSING_DOMAIN"))
        self.check(b"a@b c@d <e@f>", plain(b"e", b"f", b"a@b c@d"))

    def test_stands_there(self) -> None:
        """What is written apart never grows together to an address that nobody wrote."""
        for value, *expected in (
            (b"John Smith john@x.y", plain(b"john", b"x.y", b"John Smith")),
            (b"Dr. john@x.y", plain(b"john", b"x.y", b"Dr.")),
            (b"john@x.y Smith", plain(b"john", b"x.y")),
            (b"john@x.y. Call me", plain(b"john", b"x.y.")),
            (b"John <a@b Jane", plain(b"a", b"b", b"John")),
            (b"Bob <a@b Jane <c@d>", plain(b"a", b"b", b"Bob"), plain(b"c", b"d")),
            (b"a@b c@d", plain(b"a", b"b"), plain(b"c", b"d")),
            (b"a@b:c@d", plain(b"a", b"b"), plain(b"c", b"d")),
            (b"a@b;c@d", plain(b"a", b"b"), plain(b"c", b"d")),
            (b"<mailto:a@b>", plain(b"a", b"b")),
            (b'"a"b@c', plain(b"b", b"c", b"a")),
            (b"a@[192.0.2.1]b", plain(b"a", b"[192.0.2.1]")),
            (b"a@b(c)d", plain(b"a", b"b", b"c")),
            (b"a@b\0c", plain(b"a", b"b\0c")),
            (b"<a b@c>", plain(b"a b", b"c")),
            (b"a@b@c", plain(b"a@b", b"c")),
            (
                b"alice@example.org(<bob@example.org>",
                plain(b"alice", b"example.org", b"<bob@example.org>"),
            ),
            (
                b"alice@example.org@<bob@example.org>",
                plain(b"bob", b"example.org", b"alice@example.org@"),
            ),
            (b"=?utf-8?q?a=40b.test?=", plain(b"=?utf-8?q?a=40b.test?=", b"MISSING_DOMAIN")),
            (b"=?utf-8?q?Z, Bob?= <b@z>", plain(b"b", b"z", b"=?utf-8?q?Z, Bob?=")),
            (b"=?utf-8?q?a@b,?= <b@z>", plain(b"b", b"z", b"=?utf-8?q?a@b,?=")),
            (b"john.(x)doe@y", plain(b"john.doe", b"y", b"x")),
        ):
            self.check(value, *expected)

    def test_controls(self) -> None:
        """NUL and line ends that fold nothing part words in the field."""
        for stray in (b"\0", b"\r", b"\0\0"):
            (field,) = header_fields(b"From: a@b" + stray + b"c.test\r\n")
            self.assertEqual(parse_mailboxes(field.value), (plain(b"a", b"b"),), stray)

    def test_cut(self) -> None:
        """The address that the limit cuts is left out: half of one is another one."""
        value = b" " * (MAX_FIELD_OCTETS - 7) + b"a@b.test.example"
        self.assertEqual(parse_mailboxes(value), ())

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.sampled_from(WRITTEN), max_size=14).map(b"".join))
    def test_never_made_up(self, value: bytes) -> None:
        """Whatever is broken, both halves stand there as they are, with nothing between but @."""
        written = _AROUND_AT.sub(b"@", _AROUND_DOT.sub(b".", b" ".join(value.split())))
        for entry in parse_mailboxes(value):
            if entry.host is None or entry.host == b"MISSING_DOMAIN":
                continue
            if entry.mailbox and entry.mailbox != b"MISSING_MAILBOX":
                self.assertIn(entry.mailbox + b"@" + entry.host, written)

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.sampled_from(USUAL), min_size=1, max_size=8).map(b"".join))
    def test_usual(self, value: bytes) -> None:
        """The short way gives what the long way does, which a space in front asks for."""
        self.assertEqual(parse_mailboxes(value), parse_mailboxes(b" " + value))

    def test_many(self) -> None:
        """A field of a hundred thousand addresses is cut."""
        for between in (b",", b" ", b";", b":"):
            found = parse_mailboxes(b"a@b%s" % between * 60_000)
            self.assertEqual(len(found), MAX_ADDRESSES, between)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))
    def test_anything(self, value: bytes) -> None:
        """Whatever the octets: no exception, and groups are balanced."""
        depth = 0
        for entry in parse_mailboxes(value):
            if entry.host is None:
                depth += 1 if entry.mailbox is not None else -1
            self.assertIn(depth, (0, 1))
        self.assertEqual(depth, 0)


class SoleAuthorTests(SynchronousTestCase):
    """The address that policy and people must agree on."""

    def author(self, header: bytes) -> str:
        """The author of a header."""
        return str(sole_author(header_fields(header)))

    def test_accepted(self) -> None:
        """The forms that everybody reads alike."""
        for value in (
            b"a@b.example",
            b"Bob <a@b.example>",
            b'"c@d.example" <a@b.example>',
            b"a@b.example <A@b.example>",
            b"a@b.example (Bob)",
            b"=?utf-8?q?Bob_(work)?= <a@b.example>",
            b"Bob\r\n <a@b.example>",
        ):
            self.assertEqual(self.author(b"From: " + value + b"\r\n").lower(), "a@b.example")

    def test_quoted_local_part(self) -> None:
        """A local part that needs quotes gets them back."""
        self.assertEqual(self.author(b'From: "a b"@c.example\r\n'), '"a b"@c.example')

    def test_refused(self) -> None:
        """None, several, groups, and whatever two programs might read differently."""
        for header in (
            b"To: a@b.example\r\n",
            b"From: a@b.example\r\nFrom: a@b.example\r\n",
            b"From: a@b.example, c@d.example\r\n",
            b"From: x:a@b.example;\r\n",
            b"From: <a@b.example> <c@d.example>\r\n",
            b"From: <a@b.example> c@d.example\r\n",
            b"From: a@b.example <c@d.example>\r\n",
            b"From: <a@b.example\r\n",
            b"From: a@b@c.example\r\n",
            b"From: <@r.example:a@b.example>\r\n",
            b"From: a b@c.example\r\n",
            b"From: =?utf-8?q?a?=@b.example\r\n",
            b"From: a\0@b.example\r\n",
            b"From: a@b.example\r.evil.example\r\n",
            b"From: \r\n",
            b"From: a@\xff.example\r\n",
            b"From: Dr. a@b.example\r\n",
            b"From: a@b.example:c@d.example\r\n",
            b"From: a@b.example> <c@d.example>\r\n",
            b"From: a@b .example\r\n",
            b"From: =?utf-8?q?<a@b.example>,?= <c@d.example>\r\n",
            b"From: =?utf-8?q?Z, Bob?= <c@d.example>\r\n",
            b"From: <mailto:a@b.example>\r\n",
            b"From: MISSING_MAILBOX@b.example\r\n",
            b"From: @b.example\r\n",
        ):
            self.assertRaises(Invalid, self.author, header)
