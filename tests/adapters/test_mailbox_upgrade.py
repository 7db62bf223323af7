"""Mailboxes of version 1 become those of today: every message stays and is told alike."""

from pathlib import Path

import apsw

from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY, migrate, open_connection
from fe_mail.model.mailbox import FetchedMessage, Want
from fe_mail.ports import OpenMailbox
from tests.adapters.test_mailbox_files import FilesCase
from tests.contracts.mailbox_case import ALICE, KEY, delivery, letter, new
from tests.contracts.mailbox_messages import ODD_MESSAGES, with_attachment

__all__ = ["UpgradeTests"]

EVERYTHING = Want.ENVELOPE | Want.STRUCTURE | Want.OUTLINE | Want.FIELDS | Want.BODY | Want.LINES
CONTENT = "size_octets, header_octets, sent_at, sent_day, is_indexed, has_attachment, subject"
UNCHANGED = ("keyword", "piece", "attachment", "attachment_piece", "content_text", "vanished")


def columns(connection: apsw.Connection) -> dict[str, list[tuple[object, ...]]]:
    """The tables with their columns, and what else there is."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [str(row[0]) for row in connection.execute(sql).fetchall()]
    info = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
    found = {name: connection.execute(info, (name,)).fetchall() for name in tables}
    more = "SELECT name, sql FROM sqlite_master WHERE type <> 'table' AND sql <> '' ORDER BY name"
    keys = "SELECT t.name, k.* FROM sqlite_master t, pragma_foreign_key_list(t.name) k"
    found["more"] = connection.execute(more).fetchall()
    found["keys"] = sorted(connection.execute(keys).fetchall(), key=str)
    return found


class UpgradeTests(FilesCase):
    """A file as the first version wrote it."""

    def setUp(self) -> None:
        """Messages of every kind, in the schema of version 1."""
        super().setUp()
        mailbox = self.unlock()
        raws = (*ODD_MESSAGES, letter("Re: one"), letter("one"), with_attachment("a", 9000))
        self.now(mailbox.append("INBOX", [new(raw, "\\Seen", "$Work") for raw in raws]))
        inbox = self.now(mailbox.select("INBOX")).folder.id
        self.now(mailbox.copy(inbox, [8], "Archive"))
        self.now(mailbox.remove(inbox, [1]))
        self.deliver("d1")
        self.clock.advance(2)
        self.raws = [*raws[1:], letter()]
        self.before = self.fetched(mailbox)
        self.lock(mailbox)
        self.path = self.directory / f"{ALICE}.sqlite"
        self.go_back()

    def fetched(self, mailbox: OpenMailbox) -> tuple[FetchedMessage, ...]:
        """Everything of INBOX."""
        view = self.now(mailbox.select("INBOX"))
        return self.now(mailbox.fetch(view.folder.id, view.uids, EVERYTHING))

    def go_back(self) -> None:
        """Write the file again as version 1."""
        old = self.path.with_name("old")
        connection = open_connection(old, KEY)
        connection.execute((SCHEMA_DIRECTORY / "mailbox-v1.sql").read_text("utf-8"))
        for name in ("message_added", "message_removed", "message_flagged"):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("ATTACH ? AS new KEY ?", (str(self.path), f"raw:{KEY.hex()}"))
        connection.execute(
            "PRAGMA foreign_keys=OFF;"
            "INSERT INTO mailbox SELECT id, modseq, last_uidvalidity, used_octets, sealing_public,"
            " sealing_private FROM new.mailbox;"
            "INSERT INTO folder SELECT id, name, uidvalidity, special_use, subscribed, selectable,"
            " uidnext, recent_from, highest_modseq, messages, unseen, deleted, size_octets"
            " FROM new.folder;"
            "INSERT INTO flagset SELECT * FROM new.flagset;"
            f"INSERT INTO content (id, refs, {CONTENT}, layout, envelope, structure)"
            f" SELECT id, refs, {CONTENT}, layout, '[]', '[]' FROM new.content;"
            "INSERT INTO message SELECT * FROM new.message;"
            "INSERT INTO delivery SELECT * FROM new.delivery;"
            "INSERT INTO trigram (rowid, text)"
            " SELECT content_id, '' FROM new.content_text;"
            "CREATE TABLE version (version INTEGER NOT NULL); INSERT INTO version VALUES (1);"
        )
        for name in UNCHANGED:
            connection.execute(f"INSERT INTO {name} SELECT * FROM new.{name}")
        v1 = (SCHEMA_DIRECTORY / "mailbox-v1.sql").read_text("utf-8")
        connection.execute(v1[v1.index("CREATE TRIGGER") :])
        connection.execute("DETACH new")
        connection.close()
        old.rename(self.path)

    def assert_as_before(self, mailbox: OpenMailbox) -> None:
        """All is as it was; instead of the indexed fields there is the header."""
        found = self.fetched(mailbox)
        self.assertNotIn(None, [row.header for row in found])
        for row, before in zip(found, self.before, strict=True):
            self.assertEqual(row._replace(header=None, fields=before.fields), before)

    def test_nothing_is_lost(self) -> None:
        """Every message is there with its octets, flags and dates, and the old file beside."""
        mailbox = self.unlock()
        self.assertEqual([row.raw for row in self.fetched(mailbox)], self.raws)
        self.assert_as_before(mailbox)
        self.assertEqual(self.now(mailbox.check()), ())
        self.assertTrue(self.path.with_name(f"{ALICE}.before-v3.sqlite").exists())
        self.now(self.store.deliver(ALICE, self.sealing_key, delivery("d1")))
        self.assertEqual(len(self.fetched(mailbox)), len(self.raws))

    def test_digests_come_later(self) -> None:
        """Envelopes are right before they are kept, and kept after a while, with threads."""
        mailbox = self.unlock()
        waiting = "SELECT count(*) FROM content WHERE is_digested = 0 AND line_octets IS NULL"
        self.assertEqual(self.file().execute(waiting).fetchall(), [(len(self.raws),)])
        self.assert_as_before(mailbox)
        self.clock.advance(2)
        self.assertEqual(self.file().execute(waiting).fetchall(), [(0,)])
        self.assertEqual(self.fetched(mailbox), self.before)
        inbox = self.now(mailbox.select("INBOX")).folder.id
        rows = self.now(mailbox.fetch(inbox, range(1, 99), Want.IDS))
        self.assertEqual(len({row.email_id for row in rows}), len(rows))
        self.assertNotIn(None, [row.thread_id for row in rows])
        self.assertEqual(self.now(mailbox.check()), ())

    def test_schema(self) -> None:
        """An old file that was brought up to date is like a new one."""
        self.lock(self.unlock())
        path = Path(self.mktemp())
        fresh = open_connection(path, KEY)
        self.addCleanup(fresh.close)
        migrate(fresh, path, "mailbox", key=KEY)
        self.assertEqual(columns(self.file()), columns(fresh))
