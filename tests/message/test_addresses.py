"""Tests of fe_mail.message.addresses."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.addresses import MAX_ADDRESSES, parse_mailboxes, sole_author
from fe_mail.message.headers import header_fields
from fe_mail.model.errors import Invalid
from fe_mail.model.structure import Mailbox

PIECES = [b"a", b"@", b"<", b">", b",", b";", b":", b'"', b"(", b")", b"\\", b" ", b"[", b"]", b"."]


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
        self.check(b"a@b c@d <e@f>", plain(b"e", b"f", b"a @ b c@d"))

    def test_many(self) -> None:
        """A field of a hundred thousand addresses is cut."""
        self.assertEqual(len(parse_mailboxes(b"a@b," * 100_000)), MAX_ADDRESSES)

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
        ):
            self.assertRaises(Invalid, self.author, header)
