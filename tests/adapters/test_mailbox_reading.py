"""What is kept of messages that an older program read, and of messages that are damaged."""

from typing import Any

import attrs
from twisted.logger import LogEvent, globalLogPublisher

from fe_mail.adapters.sqlite.mailbox import contents, digests
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.message.digest import READING
from fe_mail.model import search
from fe_mail.model.mailbox import FetchedMessage, Want
from fe_mail.ports import OpenMailbox
from tests.adapters.test_mailbox_files import FilesCase
from tests.contracts.mailbox_case import ALICE, letter, new
from tests.contracts.mailbox_messages import ODD_MESSAGES, with_attachment

__all__ = ["DamageTests", "ReadingTests"]

EVERYTHING = (
    Want.IDS | Want.ENVELOPE | Want.STRUCTURE | Want.OUTLINE | Want.FIELDS | Want.HEADER | Want.BODY
)
THAI = (
    b"Message-ID: <1@x.test>\r\nReferences: <2@x.test>\r\n"
    b"From: Dr. john@x.test\r\nSubject: =?windows-874?q?=A1?=\r\n"
    b"Content-Type: text/plain (x); charset=windows-874\r\n\r\n\xa1\xa1\xa1\r\n"
)
# What a program that read messages in another way may have kept of them.
STALE = (
    "UPDATE digest SET envelope = x'00', from_mailbox = 'drjohn'",
    "UPDATE structure SET body = x'00', bodystructure = x'00', fields = NULL, preview = 'old'",
    "UPDATE content SET subject = 'old', sent_day = 7, has_attachment = 1",
    "UPDATE content_text SET text = (SELECT text FROM content_text LIMIT 1)",
    "PRAGMA user_version = 1",
)
TABLES = ("digest", "structure", "content", "content_text", "thread_link")


class MailboxCase(FilesCase):
    """An INBOX with messages of every kind."""

    def setUp(self) -> None:
        """And a quiet moment."""
        super().setUp()
        self.mailbox: OpenMailbox = self.unlock()
        raws = (*ODD_MESSAGES, THAI, letter("Re: one"), letter("one"), with_attachment("a", 9000))
        self.count, self.thai = len(raws), raws.index(THAI) + 1
        self.now(self.mailbox.append("INBOX", [new(raw) for raw in raws]))
        self.inbox = self.now(self.mailbox.select("INBOX")).folder.id
        self.clock.advance(2)

    def rows(self, *tables: str) -> dict[str, Any]:
        """All rows of these tables, seen beside the store."""
        file = self.file()
        return {
            table: file.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in tables
        }

    def fetched(self, want: Want = EVERYTHING) -> dict[int, FetchedMessage]:
        """What is told of INBOX, by UID."""
        rows = self.now(self.mailbox.fetch(self.inbox, range(1, self.count + 1), want))
        return {row.uid: row for row in rows}

    def found(self, key: search.Key) -> tuple[int, ...]:
        """The UIDs that match."""
        return tuple(uid for uid, _ in self.now(self.mailbox.search(self.inbox, key)))


class ReadingTests(MailboxCase):
    """Raising READING has everything read again."""

    def make_stale(self) -> None:
        """As if an older program had filled the file."""
        file = self.file()
        tx = Transaction(file.cursor())
        made = contents.summarized(tx, self.thai)
        sort = attrs.evolve(made.sort, base_subject="\u00a1")
        digests.remove(tx, self.thai)
        links = digests._links(sort)
        digests.store(tx, self.thai, attrs.evolve(made, sort=sort, links=links))
        for statement in STALE:
            file.execute(statement)

    def test_again(self) -> None:
        """In the background all becomes as a new program writes it; numbers and threads stay."""
        before, kept = self.fetched(), self.rows(*TABLES)
        self.assertEqual(self.found(search.BodyContains("\u0e01\u0e01\u0e01")), (self.thai,))
        self.make_stale()
        self.lock(self.mailbox)
        self.mailbox = self.unlock()
        self.assertEqual(
            self.fetched(Want.ENVELOPE)[self.thai].envelope, b"\0"
        )  # at once, as it was
        self.assertEqual(self.now(self.mailbox.check()), ())
        self.clock.advance(2)
        self.assertEqual(self.fetched(), before)
        self.assertEqual(self.rows(*TABLES), kept)
        self.assertEqual(self.found(search.BodyContains("\u0e01\u0e01\u0e01")), (self.thai,))
        self.assertEqual(self.file().execute("PRAGMA user_version").fetchall(), [(READING,)])
        self.assertEqual(self.now(self.mailbox.check()), ())

    def test_in_batches(self) -> None:
        """A few at a time, until there is nothing left."""
        self.patch(contents, "DIGEST_BATCH", 3)
        kept = self.rows(*TABLES)
        self.make_stale()
        self.lock(self.mailbox)
        self.mailbox = self.unlock()
        self.clock.advance(2)
        self.assertEqual(self.rows(*TABLES), kept)

    def test_new_files(self) -> None:
        """Have nothing to be read again, and nothing is written for it."""
        self.assertEqual(self.file().execute("PRAGMA user_version").fetchall(), [(READING,)])
        changes = self.file().execute("PRAGMA data_version").fetchall()
        self.lock(self.mailbox)
        self.mailbox = self.unlock()
        self.clock.advance(2)
        self.assertEqual(self.file().execute("PRAGMA data_version").fetchall(), changes)


class DamageTests(MailboxCase):
    """One message that is damaged spoils no other."""

    def setUp(self) -> None:
        """The log, and three messages damaged each in another way."""
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        file = self.file()
        file.execute("DELETE FROM piece WHERE id >> 20 = 2")
        file.execute("UPDATE piece SET codec = 1, octets = x'789c00' WHERE id >> 20 = 3")
        file.execute("DELETE FROM structure WHERE content_id IN (2, 3)")
        file.execute("DELETE FROM digest WHERE content_id IN (2, 3)")
        file.execute("UPDATE content SET is_digested = 0, line_octets = NULL")
        file.execute("UPDATE content_text SET text = x'00' WHERE content_id = 4")
        self.lock(self.mailbox)
        self.mailbox = self.unlock()

    def told(self) -> list[Any]:
        """The damaged contents that the log names."""
        return [event["contents"] for event in self.events if "contents" in event]

    def test_fetch(self) -> None:
        """The others are answered, whatever is asked; the log names the damage once."""
        others = set(range(1, self.count + 1)) - {2, 3}
        for want in (Want.ENVELOPE, Want.STRUCTURE, Want.HEADER, Want.LINES, EVERYTHING):
            self.assertEqual(set(self.fetched(want)), others, want)
        self.assertEqual(len(self.fetched(Want.NOTHING)), self.count)
        self.assertEqual(self.told(), [[2, 3]])
        (event,) = [event for event in self.events if "contents" in event]
        self.assertEqual(event["alias_id"], ALICE)
        self.assertIn("fe-mail verify", event["log_format"])

    def test_verify(self) -> None:
        """Whoever has no key knows of it until the file is restored, whatever is written to it."""
        path = self.directory / f"{ALICE}.sqlite"
        self.assertEqual(self.now(self.store.faults()), ())
        self.fetched(Want.HEADER)
        for _ in range(2):
            (fault,) = self.now(self.store.faults())
            self.assertIn(f"{path}: it is damaged (some of its messages cannot be read)", fault)
            self.now(self.mailbox.append("INBOX", [new()]))
            self.lock(self.mailbox)
            self.assertEqual(len(self.now(self.store.faults())), 1)
            self.mailbox = self.unlock()
        self.lock(self.mailbox)
        path.write_bytes(path.read_bytes())  # as whoever restores it
        self.assertEqual(self.now(self.store.faults()), ())
        self.unlock()
        self.assertEqual(list(self.directory.glob("*.damaged")), [])

    def test_background(self) -> None:
        """Those behind it are digested; what cannot be read is not tried again and again."""
        self.clock.advance(2)
        states = self.file().execute("SELECT id, is_digested FROM content ORDER BY id").fetchall()
        self.assertEqual({row[0] for row in states if row[1] != 1}, {2, 3})
        self.assertNotIn(0, [row[1] for row in states])
        waiting = self.file().execute("SELECT count(*) FROM content WHERE line_octets IS NULL")
        self.assertEqual(waiting.fetchall(), [(0,)])
        self.assertEqual(self.told(), [[2, 3]])
        sentences = self.now(self.mailbox.check())
        self.assertEqual(len([each for each in sentences if "octets" in each]), 2, sentences)

    def test_search(self) -> None:
        """A text that is damaged is found by nothing, the others are found."""
        self.file().execute("UPDATE content SET is_indexed = 0, is_digested = 1")
        self.file().execute("DELETE FROM trigram")
        everything = self.found(search.TextContains(""))
        self.assertEqual(set(everything), set(range(1, self.count + 1)) - {4})
        self.assertEqual(self.told(), [[4]])
        self.clock.advance(2)
        waiting = self.file().execute("SELECT count(*) FROM content WHERE is_indexed = 0")
        self.assertEqual(waiting.fetchall(), [(0,)])
