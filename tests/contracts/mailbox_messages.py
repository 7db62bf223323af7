"""What every open mailbox must do with messages (RFC 9051 §6.4; RFC 7162; RFC 6851)."""

from typing import Any

from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import Conflict, Corrupt, Invalid, NotFound
from fe_mail.model.mailbox import INLINE_BODY_OCTETS, FlagAction, Want
from tests.contracts.mailbox_case import ALICE, NOW, MailboxCase, letter, new

__all__ = ["MailboxMessagesContract"]

SEEN = frozenset({"\\Seen"})
DELETED = frozenset({"\\Deleted"})
WANT_ALL = Want.ENVELOPE | Want.STRUCTURE | Want.OUTLINE | Want.HEADER | Want.BODY

ODD_MESSAGES = (
    b"",
    b"\r\n",
    b"no header at all",
    b"Subject: no body",
    b"Subject: bare\n\nlines\rand\0octets \xff\xfe\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nunclosed",
    bytes(range(256)) * 40,
)


def with_attachment(name: str, octets: int, seed: int = 1) -> bytes:
    """A message with a base64 attachment of about this size."""
    line = bytes(65 + (seed * 7 + index) % 26 for index in range(76)) + b"\r\n"
    return (
        b"Subject: " + name.encode() + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
        b"preamble\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nSee attachment.\r\n"
        b"--=_b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=a.pdf\r\n\r\n"
        + line * (octets // 78)
        + b"\r\n--=_b--\r\nepilogue\r\n"
    )


class MailboxMessagesContract(MailboxCase):
    """Append, fetch, read, flags, copy, move, expunge, changes."""

    def damage(self: Any, number: int, piece: int = 0) -> None:
        """Lose octets of the n-th message that was appended."""
        raise AssertionError("the test case says how")

    def test_append(self: Any) -> None:
        """UIDs grow by one, dates and flags are kept, the mailbox says that it changed."""
        hints = self.hints(f"mailbox:{ALICE}")
        done = self.now(self.mailbox.append("inbox", [new(None, "\\seen", received_at=5.5), new()]))
        self.assertEqual((done.uids, done.folder.name), ((1, 2), "INBOX"))
        (first, _) = self.now(self.mailbox.fetch(self.inbox, [2, 1, 1, 9], Want.NOTHING))
        self.assertEqual((first.uid, first.flags, first.received_at), (1, SEEN, 5.5))
        self.assertEqual((first.modseq, first.size_octets), (done.modseq, len(letter())))
        self.assertEqual(first[5:], (None,) * len(first[5:]))
        self.clock.advance(0)
        self.assertEqual(self.told(hints), [(ChangeKind.FOLDER, self.inbox)])
        self.assertEqual(hints[0]["modseq"], str(done.modseq))

    def test_append_refuses(self: Any) -> None:
        """A missing folder or a flag that nobody may set: then nothing was appended."""
        self.fails(NotFound, self.mailbox.append("Nowhere", [new()]))
        self.fails(Invalid, self.mailbox.append("INBOX", [new(), new(None, "\\Nonsense")]))
        self.fails(Invalid, self.mailbox.append("INBOX", [new(None, "two words")]))
        self.assertEqual(self.uids(), ())
        self.assertEqual(self.append(new(None, "\\Recent")), (1,))
        self.assertEqual(self.flags(1), frozenset())

    def test_append_nothing(self: Any) -> None:
        """No messages, no change."""
        before = self.now(self.mailbox.select("INBOX")).highest_modseq
        self.assertEqual(self.now(self.mailbox.append("INBOX", [])).modseq, before)

    def test_byte_exact(self: Any) -> None:
        """Whatever a message is, it comes back as it was, whole and in parts."""
        for raw in (*ODD_MESSAGES, letter(), with_attachment("a", 20_000)):
            (uid,) = self.append(new(raw))
            self.assertEqual(self.raw(uid), raw)
            (fetched,) = self.now(self.mailbox.fetch(self.inbox, [uid], WANT_ALL))
            self.assertEqual(fetched.raw, raw)
            self.assertEqual(fetched.header, raw[: fetched.outline.body_start])
        self.is_sound()

    def test_line_octets(self: Any) -> None:
        """The size with CRLF after every line, also of what is stored once for two folders."""
        raws = (b"a: b\n\nc", b"a: b\r\n\r\nc\r\n", b"a: b\r\n\r\nc\r", b"a\rb\n\r\n")
        self.append(*[new(raw) for raw in raws])
        self.now(self.mailbox.copy(self.inbox, [1], "INBOX"))
        found = self.now(self.mailbox.fetch(self.inbox, range(1, 9), Want.LINES))
        self.assertEqual([row.line_octets for row in found], [11, 11, 11, 7, 11])
        self.assertEqual([row.size_octets for row in found], [7, 11, 10, 6, 7])

    def test_read(self: Any) -> None:
        """Octets by offsets, clipped to the message."""
        raw = with_attachment("big", 700_000)
        self.append(new(raw))
        size = len(raw)
        for start, end in (
            (0, 10),
            (200, 300),
            (262_100, 262_200),
            (262_144, 524_288),
            (300_000, 600_000),
            (size - 20, size + 100),
            (size, size + 1),
            (5, 5),
            (9, 3),
            (-5, 4),
        ):
            octets = self.now(self.mailbox.read(self.inbox, 1, start, end))
            self.assertEqual(octets, raw[max(0, start) : max(0, end)])
        self.fails(NotFound, self.mailbox.read(self.inbox, 2, 0, 1))
        self.fails(NotFound, self.mailbox.read(9999, 1, 0, 1))

    def test_big_body(self: Any) -> None:
        """A big message does not come with a fetch; its header and structure do."""
        raw = with_attachment("big", INLINE_BODY_OCTETS + 1000)
        self.append(new(raw))
        (fetched,) = self.now(self.mailbox.fetch(self.inbox, [1], WANT_ALL))
        self.assertIsNone(fetched.raw)
        self.assertTrue(fetched.envelope.startswith(b'(NIL "big" NIL'))
        self.assertEqual(len(fetched.outline.parts), 2)
        self.assertTrue(fetched.header.endswith(b"\r\n\r\n"))

    def test_attachments_are_shared(self: Any) -> None:
        """Messages with the same attachment stay whole when some of them go."""
        letters = [with_attachment(f"copy {number}", 30_000) for number in range(3)]
        self.append(*(new(raw) for raw in letters))
        self.now(self.mailbox.remove(self.inbox, [1]))
        self.is_sound()
        self.assertEqual(self.raw(2), letters[1])
        self.now(self.mailbox.remove(self.inbox, [2]))
        self.assertEqual(self.raw(3), letters[2])
        self.now(self.mailbox.remove(self.inbox, [3]))
        self.is_sound()

    def test_flags(self: Any) -> None:
        """Add, remove, replace; system flags in our spelling, keywords in the first one."""
        self.append(new(None, "$Work"))
        store = self.mailbox.store_flags
        added = frozenset({"\\SEEN", "$WORK", "$New"})
        result = self.now(store(self.inbox, [1, 7], FlagAction.ADD, added))
        expected = frozenset({"\\Seen", "$Work", "$New"})
        self.assertEqual(result.changed, ((1, expected, result.modseq),))
        self.now(store(self.inbox, [1], FlagAction.REMOVE, frozenset({"$work"})))
        self.assertEqual(self.flags(1), frozenset({"\\Seen", "$New"}))
        self.now(store(self.inbox, [1], FlagAction.REPLACE, DELETED))
        self.assertEqual(self.flags(1), DELETED)
        self.fails(Invalid, store(self.inbox, [1], FlagAction.ADD, frozenset({"\\Odd"})))
        self.is_sound()

    def test_flags_as_wished(self: Any) -> None:
        """Who has the flags already keeps the ModSeq, and nobody is told anything."""
        self.append(new(None, "\\Seen"), new())
        before = self.now(self.mailbox.select("INBOX"))
        self.clock.advance(0)
        hints = self.hints(f"mailbox:{ALICE}")
        result = self.now(self.mailbox.store_flags(self.inbox, [1], FlagAction.ADD, SEEN))
        self.assertEqual(result.changed, ((1, SEEN, before.modseqs[0]),))
        self.assertEqual(result.modseq, before.highest_modseq)
        self.clock.advance(0)
        self.assertEqual(hints, [])

    def test_unchanged_since(self: Any) -> None:
        """Messages that changed meanwhile are refused, the others are not (RFC 7162 §3.1.3)."""
        self.append(new(), new())
        since = self.now(self.mailbox.select("INBOX")).highest_modseq
        self.now(self.mailbox.store_flags(self.inbox, [1], FlagAction.ADD, SEEN))
        result = self.now(
            self.mailbox.store_flags(self.inbox, [1, 2], FlagAction.ADD, DELETED, since)
        )
        self.assertEqual(result.modified, (1,))
        self.assertEqual([uid for uid, _, _ in result.changed], [2])
        self.assertEqual(self.flags(1), SEEN)

    def test_copy(self: Any) -> None:
        """Copies have the octets, flags and date, and the next UIDs of their folder."""
        self.append(new(letter("one"), "\\Seen", received_at=7.0), new(letter("two")))
        self.append(new(), to="Archive")
        result = self.now(self.mailbox.copy(self.inbox, [2, 1, 5], "Archive"))
        self.assertEqual((result.source, result.target), ((1, 2), (2, 3)))
        self.assertEqual(result.folder.name, "Archive")
        self.assertEqual(self.raw(3, "Archive"), letter("two"))
        (copied,) = self.now(self.mailbox.fetch(result.folder.id, [2], Want.NOTHING))
        self.assertEqual((copied.flags, copied.received_at), (SEEN, 7.0))
        self.now(self.mailbox.remove(self.inbox, [1, 2]))
        self.assertEqual(self.raw(2, "Archive"), letter("one"))
        self.is_sound()

    def test_copy_into_itself(self: Any) -> None:
        """A folder may be its own target."""
        self.append(new(), new())
        result = self.now(self.mailbox.copy(self.inbox, [1, 2], "INBOX"))
        self.assertEqual(result.target, (3, 4))
        self.assertEqual(self.uids(), (1, 2, 3, 4))
        self.is_sound()

    def test_copy_nothing(self: Any) -> None:
        """UIDs that are gone copy nothing; a missing target is an error all the same."""
        result = self.now(self.mailbox.copy(self.inbox, [1], "Archive"))
        self.assertEqual((result.source, result.target), ((), ()))
        self.fails(NotFound, self.mailbox.copy(self.inbox, [1], "Nowhere"))
        self.fails(NotFound, self.mailbox.move(self.inbox, [1], "Nowhere"))

    def test_all_or_nothing(self: Any) -> None:
        """Who names messages that must be there copies or moves nothing when one is gone."""
        self.append(new(), new())
        self.now(self.mailbox.remove(self.inbox, [1]))
        for act in (self.mailbox.copy, self.mailbox.move):
            self.fails(Conflict, act(self.inbox, [1, 2], "Archive", all_there=True))
        self.assertEqual((self.uids(), self.uids("Archive")), ((2,), ()))
        result = self.now(self.mailbox.move(self.inbox, [2, 2], "Archive", all_there=True))
        self.assertEqual((result.source, self.uids("Archive")), ((2,), (1,)))
        self.is_sound()

    def test_move(self: Any) -> None:
        """Moved messages are gone here and there with one ModSeq, on which both folders agree."""
        self.append(new(letter("one"), "\\Flagged"), new(letter("two")))
        result = self.now(self.mailbox.move(self.inbox, [1], "Trash"))
        self.assertEqual((result.source, result.target), ((1,), (1,)))
        self.assertEqual(self.uids(), (2,))
        self.assertEqual(self.raw(1, "Trash"), letter("one"))
        changes = self.now(self.mailbox.changes(self.inbox, result.modseq - 1))
        self.assertEqual((changes.vanished, changes.modseq), ((1,), result.modseq))
        self.assertEqual(self.append(new()), (3,))
        self.is_sound()

    def test_expunge(self: Any) -> None:
        """Only messages with \\Deleted go; with UIDs only those among them."""
        self.append(*(new(None, "\\Deleted") for _ in range(3)), new())
        result = self.now(self.mailbox.expunge(self.inbox, [2, 4]))
        self.assertEqual(result.uids, (2,))
        result = self.now(self.mailbox.expunge(self.inbox))
        self.assertEqual((result.uids, self.uids()), ((1, 3), (4,)))
        again = self.now(self.mailbox.expunge(self.inbox))
        self.assertEqual((again.uids, again.modseq), ((), result.modseq))
        self.is_sound()

    def test_remove(self: Any) -> None:
        """Messages go whatever their flags, and their octets with them."""
        self.append(new(), new())
        self.assertEqual(self.now(self.mailbox.remove(self.inbox, [1, 8])).uids, (1,))
        self.assertEqual(self.now(self.mailbox.quota()).used_octets, len(letter()))

    def test_damaged(self: Any) -> None:
        """What cannot be read is left out where its octets are wanted, and is otherwise there."""
        big = letter("big", "x" * 3 * INLINE_BODY_OCTETS)
        self.append(new(), new(letter("lost")), new(big), new(letter("last")))
        self.damage(2)
        self.damage(3, piece=1)
        everything = self.now(self.mailbox.fetch(self.inbox, [1, 2, 3, 4], Want.BODY))
        self.assertEqual([message.uid for message in everything], [1, 3, 4])
        there = self.now(self.mailbox.fetch(self.inbox, [2], Want.NOTHING | Want.ENVELOPE))
        self.assertEqual([message.uid for message in there], [2])
        self.fails(Corrupt, self.mailbox.read(self.inbox, 2, 0, 10))
        self.assertEqual(self.now(self.mailbox.read(self.inbox, 3, 0, 10)), big[:10])
        self.fails(Corrupt, self.mailbox.read(self.inbox, 3, 0, len(big)))
        result = self.now(self.mailbox.store_flags(self.inbox, [2, 3], FlagAction.ADD, DELETED))
        self.assertEqual([uid for uid, *_ in result.changed], [2, 3])
        copied = self.now(self.mailbox.copy(self.inbox, [2], "Archive", all_there=True))
        self.assertEqual(copied.source, (2,))
        moved = self.now(self.mailbox.move(self.inbox, [2], "Archive", all_there=True))
        self.assertEqual((moved.source, self.uids("Archive")), ((2,), (1, 2)))
        self.assertEqual(self.now(self.mailbox.expunge(self.inbox)).uids, (3,))
        self.assertEqual(self.uids(), (1, 4))

    def test_changes(self: Any) -> None:
        """The change log tells what is new, changed and gone since a ModSeq, and no more."""
        self.append(new(), new(), new())
        since = self.now(self.mailbox.select("INBOX")).highest_modseq
        nothing = self.now(self.mailbox.changes(self.inbox, since))
        self.assertEqual((nothing.messages, nothing.vanished, nothing.gone), ((), (), False))
        self.now(self.mailbox.store_flags(self.inbox, [2], FlagAction.ADD, SEEN))
        self.now(self.mailbox.remove(self.inbox, [1]))
        self.append(new())
        changes = self.now(self.mailbox.changes(self.inbox, since))
        self.assertEqual(
            [(uid, flags) for uid, flags, _ in changes.messages], [(2, SEEN), (4, frozenset())]
        )
        self.assertEqual((changes.vanished, changes.uidnext), ((1,), 5))
        self.assertEqual(self.now(self.mailbox.changes(self.inbox, changes.modseq)).messages, ())
        everything = self.now(self.mailbox.changes(self.inbox, 0))
        self.assertEqual([uid for uid, _, _ in everything.messages], [2, 3, 4])

    def test_two_sessions(self: Any) -> None:
        """What one session does, the other sees, each with ModSeqs that only grow."""
        other = self.unlocked()
        self.append(new())
        seen = self.now(other.store_flags(self.inbox, [1], FlagAction.ADD, SEEN))
        self.assertEqual(self.flags(1), SEEN)
        gone = self.now(self.mailbox.remove(self.inbox, [1]))
        self.assertGreater(gone.modseq, seen.modseq)
        self.assertEqual(self.now(other.changes(self.inbox, seen.modseq)).vanished, (1,))
        self.assertEqual(self.now(other.fetch(self.inbox, [1], Want.BODY)), ())

    def test_since(self: Any) -> None:
        """Every change of ours says what the folder's ModSeq was before, whoever made that."""
        other = self.unlocked()
        known = self.now(self.mailbox.append("INBOX", [new(), new(), new()])).modseq
        self.append(new(), to="Junk")
        first = self.now(self.mailbox.store_flags(self.inbox, [1], FlagAction.ADD, DELETED))
        self.assertEqual(first.since, known)
        foreign = self.now(other.store_flags(self.inbox, [2], FlagAction.ADD, SEEN))
        self.assertEqual(foreign.since, first.modseq)
        gone = self.now(self.mailbox.expunge(self.inbox))
        self.assertEqual(gone.since, foreign.modseq)
        moved = self.now(self.mailbox.move(self.inbox, [2], "Archive"))
        self.assertEqual(moved.since, gone.modseq)
        nothing = self.now(self.mailbox.remove(self.inbox, [99]))
        self.assertEqual((nothing.since, nothing.modseq), (moved.modseq, moved.modseq))

    def ids(self: Any, folder_id: int) -> list[tuple[str, str]]:
        """E-mail and thread of every message in a folder."""
        rows = self.now(self.mailbox.fetch(folder_id, range(1, 99), Want.IDS))
        return [(row.email_id, row.thread_id) for row in rows]

    def test_ids(self: Any) -> None:
        """Copies are one e-mail, wherever they go; an equal message that arrives is another."""
        self.append(new(), new())
        before = self.ids(self.inbox)
        self.assertEqual(len({email for email, _ in before}), 2)
        copied = self.now(self.mailbox.copy(self.inbox, [1], "Archive")).folder.id
        moved = self.now(self.mailbox.move(self.inbox, [2], "Junk")).folder.id
        self.assertEqual(self.ids(copied) + self.ids(moved), before)
        self.now(self.mailbox.remove(self.inbox, [1]))
        self.now(self.mailbox.remove(copied, [1]))
        self.lock()
        self.mailbox = self.unlocked()
        self.append(new())
        self.assertEqual(self.ids(moved), before[1:])
        self.assertNotIn(self.ids(self.inbox)[0], before)

    def test_threads(self: Any) -> None:
        """By message ids under one base subject, in whatever order the letters arrive."""
        mails = (
            ("Plan", "Message-ID: <1@x>\r\n"),
            ("Re: Plan", "Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\n"),
            ("[list] RE: plan", "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n"),
            ("Other", "Message-ID: <4@x>\r\nIn-Reply-To: <1@x>\r\n"),
            ("Plan", ""),
            ("Re: Late", "Message-ID: <6@x>\r\nReferences: <5@x>\r\n"),
            ("Late", "Message-ID: <5@x>\r\n"),
        )
        self.append(*(new(letter(subject, more=more)) for subject, more in mails))
        threads = [thread for _, thread in self.ids(self.inbox)]
        self.assertEqual([threads.index(thread) for thread in threads], [0, 0, 0, 3, 4, 5, 5])
        self.is_sound()

    def test_modseq_grows_over_folders(self: Any) -> None:
        """ModSeqs are of the whole mailbox, so that one number orders everything in it."""
        first = self.now(self.mailbox.append("INBOX", [new(received_at=NOW)]))
        second = self.now(self.mailbox.append("Junk", [new()]))
        third = self.now(self.mailbox.store_flags(self.inbox, [1], FlagAction.ADD, SEEN))
        self.assertTrue(first.modseq < second.modseq < third.modseq)
