"""What every open mailbox must find (RFC 9051 §6.4.4): substrings, without case, decoded."""

import datetime
import math
from typing import Any

from fe_mail.model import search
from fe_mail.model.errors import NotFound
from fe_mail.model.mailbox import FlagAction
from tests.contracts.mailbox_case import MailboxCase, letter, new
from tests.mailboxes.test_view import Counted

__all__ = ["MailboxSearchContract"]

DAY = 86_400.0


def day(text: str) -> int:
    """A day as an ordinal."""
    return datetime.date.fromisoformat(text).toordinal()


LETTERS = (
    new(
        letter("Invoice 2024-17", "Please pay 100 EUR.\r\n", "X-Empty:\r\n"),
        "\\Seen",
        "$Work",
        received_at=20 * DAY,
    ),
    new(
        letter("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Bis bald, J\u00fcrgen\r\n"),
        "\\Flagged",
        received_at=21 * DAY + 10,
    ),
    new(
        letter("Re: hi", "ok\r\n", "Date: Mon, 1 Jan 2024 23:30:00 -0800\r\nX-Tag: a\r\n b\r\n"),
        received_at=22 * DAY - 1,
    ),
    new(
        letter(
            "encoded",
            "VGhlIHNlY3JldCBpcyBoaWRkZW4=\r\n",
            "Content-Transfer-Encoding: base64\r\n",
        ),
        received_at=23 * DAY,
    ),
)


class MailboxSearchContract(MailboxCase):
    """Every key, alone and combined, before and after indexing."""

    def setUp(self: Any) -> None:
        """Four letters in INBOX."""
        super().setUp()
        self.append(*LETTERS)

    def test_single_uids_cost_little(self: Any) -> None:
        """A search among thousands of single UIDs bisects them (a set is no list to walk)."""
        count = 600
        self.append(*[new() for _ in range(count)])
        ranges = tuple((Counted(uid), Counted(uid)) for uid in range(1, count, 2))
        key = search.And((search.InUIDs(ranges), search.Larger(1)))
        Counted.comparisons = 0
        found = self.now(self.mailbox.search(self.inbox, key))
        self.assertEqual([uid for uid, _ in found], list(range(1, count, 2)))
        self.assertLess(Counted.comparisons, 2 * count * math.log2(count))

    def found(self: Any, key: search.Key) -> tuple[int, ...]:
        """The UIDs that match, the same before and after the mailbox was quiet for a while."""
        first = self.now(self.mailbox.search(self.inbox, key))
        self.clock.advance(10)
        self.assertEqual(self.now(self.mailbox.search(self.inbox, key)), first)
        return tuple(uid for uid, _ in first)

    def test_text(self: Any) -> None:
        """Any substring of any length, without case, in decoded header or body."""
        text, body = search.TextContains, search.BodyContains
        for key, expected in (
            (text("invoice 2024"), (1,)),
            (text("NVOICE"), (1,)),
            (text("gr\u00fcsse"), (2,)),
            (text("GR\u00dcSSE"), (2,)),
            (text("Gru\u0308\u00dfe"), (2,)),
            (body("j\u00fcrgen"), (2,)),
            (body("J\u00dcRG"), (2,)),
            (body("ok"), (3,)),
            (body("k"), (3,)),
            (body("secret is hidden"), (4,)),
            (body("VGhl"), ()),
            (body("invoice"), ()),
            (text("alice@example"), (1, 2, 3, 4)),
            (text(""), (1, 2, 3, 4)),
            (body('"quote" AND'), ()),
            (text("100 EUR."), (1,)),
            (text("no such words"), ()),
            (text("\u00fc"), (2,)),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_alike(self: Any) -> None:
        """What people see alike is alike: spaces, line ends, what is invisible, other forms."""
        body = search.BodyContains
        self.append(
            new(letter("a\u00a0b", "one\u00a0two\u2003three\r\nfour  \tfive\u3000six\r\n")),
            new(
                letter("c", "co\u00adop\u200berate \ufb01ne \uff21\uff22\uff23 x\u00b2 \u212b\r\n")
            ),
            new(
                letter("html", "<p>seven&nbsp;eight<br>ni&shy;ne</p>").replace(b"plain", b"html"),
            ),
        )
        for key, expected in (
            (search.HeaderContains("subject", "a b"), (5,)),
            (search.HeaderContains("subject", "a\u00a0b"), (5,)),
            (body("one two three four five six"), (5,)),
            (body("two\u00a0three"), (5,)),
            (body("three\nfour"), (5,)),
            (body("three  four"), (5,)),
            (body("onetwo"), ()),
            (body("cooperate fine abc x2 \u00e5"), (6,)),
            (body("a\u030a"), (6,)),
            (body("COOPER\u00adATE"), (6,)),
            (body("seven eight nine"), (7,)),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_parts(self: Any) -> None:
        """TEXT sees the fields of parts and names of files; BODY and HEADER do not."""
        raw = (
            b"Subject: parts\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
            b"Content-Type: message/delivery-status\r\n\r\n"
            b"Diagnostic-Code: smtp; 550 no such\r\n user\r\n\r\n"
            b"--b\r\nContent-Type: application/pdf; name*0*=utf-8''bl%C3%A5; name*1=b.pdf\r\n"
            b'Content-Disposition: attachment; filename="=?utf-8?b?csO4ZA==?=.pdf"\r\n'
            b"X-Odd: z\xc3\xb8\r\n\r\nx\r\n--b\r\n"
            b"Content-Type: text/rfc822-headers\r\n\r\nSubject: =?utf-8?q?gr=C3=B8n?=\r\n--b--"
        )
        self.append(new(raw))
        text, body, header = search.TextContains, search.BodyContains, search.HeaderContains
        for key, expected in (
            (text("550 no such user"), (5,)),
            (body("550 no such user"), (5,)),
            (body("Subject: gr\u00f8n"), (5,)),
            (text("bl\u00e5b.pdf"), (5,)),
            (text("r\u00f8d.pdf"), (5,)),
            (text("x-odd: z\u00f8"), (5,)),
            (body("r\u00f8d.pdf"), ()),
            (header("X-Odd", ""), ()),
            (header("Content-Type", "pdf"), ()),
            (header("Content-Type", "report"), (5,)),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_header(self: Any) -> None:
        """A field by its name without case, its value unfolded and decoded; empty: present."""
        header = search.HeaderContains
        for key, expected in (
            (header("SUBJECT", "re:"), (3,)),
            (header("subject", "Gr\u00fc\u00dfe"), (2,)),
            (header("X-Tag", "a b"), (3,)),
            (header("X-Empty", ""), (1,)),
            (header("X-Empty", "a"), ()),
            (header("From", "ALICE"), (1, 2, 3, 4)),
            (header("Bcc", ""), ()),
            (header("Subj", "re"), ()),
            (header("From", "Re: hi"), ()),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_dates(self: Any) -> None:
        """Days of arrival and of the Date field, the latter as its writer saw it."""
        for key, expected in (
            (search.Before(day("1970-01-22")), (1,)),
            (search.On(day("1970-01-22")), (2, 3)),
            (search.Since(day("1970-01-22")), (2, 3, 4)),
            (search.SentOn(day("2024-01-01")), (3,)),
            (search.SentBefore(day("2024-01-01")), ()),
            (search.SentBefore(day("2024-01-02")), (3,)),
            (search.SentSince(day("2024-01-01")), (3,)),
            (search.SentSince(day("2024-01-02")), ()),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_columns(self: Any) -> None:
        """Flags, sizes, UIDs, ModSeqs."""
        size = len(LETTERS[1].raw)
        self.now(self.mailbox.store_flags(self.inbox, [4], FlagAction.ADD, frozenset({"\\Draft"})))
        modseq = self.now(self.mailbox.select("INBOX")).highest_modseq
        sizes = [len(message.raw) for message in LETTERS]
        for key, expected in (
            (search.All(), (1, 2, 3, 4)),
            (search.Flagged("\\seen"), (1,)),
            (search.Flagged("$WORK"), (1,)),
            (search.Flagged("$none"), ()),
            (search.InUIDs(((1, 1), (3, 9))), (1, 3, 4)),
            (search.InUIDs(()), ()),
            (search.Larger(size), tuple(n for n, s in enumerate(sizes, 1) if s > size)),
            (search.Smaller(size), tuple(n for n, s in enumerate(sizes, 1) if s < size)),
            (search.ModSeqSince(modseq), (4,)),
            (search.ModSeqSince(0), (1, 2, 3, 4)),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_combined(self: Any) -> None:
        """And, Or, Not, nested, with columns and text."""
        both, either, no = search.And, search.Or, search.Not
        seen, text = search.Flagged("\\Seen"), search.TextContains("alice")
        for key, expected in (
            (both((text, seen)), (1,)),
            (both(()), (1, 2, 3, 4)),
            (either(seen, search.BodyContains("ok")), (1, 3)),
            (no(search.BodyContains("ok")), (1, 2, 4)),
            (no(both((text, no(seen)))), (1,)),
            (both((no(seen), either(search.BodyContains("hidden"), search.SentOn(1)))), (4,)),
        ):
            self.assertEqual(self.found(key), expected, key)

    def test_gone(self: Any) -> None:
        """What is removed is not found, also after indexing; a deleted folder is not searched."""
        self.clock.advance(10)
        self.now(self.mailbox.remove(self.inbox, [1]))
        self.assertEqual(self.found(search.TextContains("invoice")), ())
        self.append(new(letter("Another invoice")))
        self.assertEqual(self.found(search.TextContains("invoice")), (5,))
        self.is_sound()
        folder = self.now(self.mailbox.create_folder("x"))
        self.now(self.mailbox.delete_folder("x"))
        self.fails(NotFound, self.mailbox.search(folder.id, search.All()))

    def test_result(self: Any) -> None:
        """Each match comes with its ModSeq, in UID order."""
        view = self.now(self.mailbox.select("INBOX"))
        expected = tuple(zip(view.uids, view.modseqs, strict=True))
        self.assertEqual(self.now(self.mailbox.search(self.inbox, search.All())), expected)
