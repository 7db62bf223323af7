"""Tests of fe_mail.message.sorting."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.digest import digest
from fe_mail.message.sorting import MAX_MESSAGE_IDS, base_subject, message_ids
from fe_mail.model.structure import SortValues

__all__ = ["SortingTests"]


class SortingTests(SynchronousTestCase):
    """RFC 5256 §2.1, §3; RFC 5957."""

    def test_base_subject(self) -> None:
        """Leaders, trailers and blobs go, as long as something stays."""
        for subject, base in (
            ("Re: [x] Fwd: hello (fwd) (FWD) ", "hello"),
            ("[fwd: Re: a]", "a"),
            ("[fwd: [Fwd: x]]", "x"),
            ("[list]", "[list]"),
            ("[a] [b] c", "c"),
            ("re : x", "x"),
            ("Re[2]: y", "y"),
            ("FW: [l]\tz  z", "z z"),
            ("Re: RE:", ""),
            ("Regarding: it", "Regarding: it"),
            ("", ""),
        ):
            self.assertEqual(base_subject(subject), base, subject)

    @settings(max_examples=100, deadline=None)
    @given(st.text(st.sampled_from("re:fwd[]() x"), max_size=40))
    def test_base_of_base(self, subject: str) -> None:
        """It ends, and is its own base."""
        self.assertEqual(base_subject(base_subject(subject)), base_subject(subject))

    def test_message_ids(self) -> None:
        """Without brackets, in order; the newest ones if there are too many."""
        self.assertEqual(message_ids(b"<a@x> junk <b@y>\t<> <c d>"), ("a@x", "b@y"))
        many = b" ".join(b"<%d@x>" % number for number in range(MAX_MESSAGE_IDS + 5))
        self.assertEqual(len(message_ids(many)), MAX_MESSAGE_IDS)
        self.assertEqual(message_ids(many)[-1], f"{MAX_MESSAGE_IDS + 4}@x")

    def test_values(self) -> None:
        """Of the first address of each list: a name, else the address, else the group."""
        raw = (
            b"From: =?utf-8?q?J=C3=B8rgen?= <j@example.org>, b@example.org\r\n"
            b"To: plain@example.net\r\nCc: friends: a@example.com, b@example.com;\r\n"
            b"Subject: Re: hi\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\n"
            b"References: <a@x>\r\n <0@x>\r\n\r\n  Hello\r\n\r\n world\r\n"
        )
        made = digest(raw)
        self.assertEqual(
            made.sort,
            SortValues(
                base_subject="hi",
                from_mailbox="j",
                to_mailbox="plain",
                cc_mailbox="friends",
                from_display="J\u00f8rgen",
                to_display="plain@example.net",
                message_id="1@x",
                in_reply_to=("0@x",),
                references=("a@x", "0@x"),
            ),
        )
        self.assertEqual(made.preview, "Hello world")
        self.assertEqual(digest(b"\r\n").sort, SortValues())
