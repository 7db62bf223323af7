"""The contract of ``Journal`` on its adapter, and what came from the file of the accounts."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite import journal
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.journal import SQLiteJournal, bring_in_journal
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.page import Query
from fe_mail.ports import Journal
from tests.contracts.journal import JournalContract
from tests.fakes import MemoryJournal


class MemoryJournalTests(JournalContract, SynchronousTestCase):
    """SQLite without a file, as other tests have it."""

    def journal(self) -> Journal:
        return MemoryJournal()


class SQLiteJournalTests(JournalContract, SynchronousTestCase):
    """In the file of the queue, encrypted as that is."""

    def journal(self) -> Journal:
        self.path = Path(self.mktemp()) / "queue.sqlite"
        self.database = Database(self.path, "queue", InlineThreads(), key=b"k" * 32)
        self.get(self.database.open())
        self.addCleanup(lambda: self.get(self.database.close()))
        return SQLiteJournal(self.database)

    def test_lists_use_indexes(self) -> None:
        """However long the journal is, a page of a domain or an alias does not read all of it."""
        connection = open_connection(self.path, b"k" * 32)
        self.addCleanup(connection.close)
        for condition in ("domain_id = 'x'", "alias_id = 'x' AND alias_id <> ''", "id < 'x'"):
            statement = f"SELECT * FROM log WHERE {condition} ORDER BY id DESC LIMIT 9"
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            steps = [row[3] for row in plan]
            self.assertTrue(all(step.startswith("SEARCH") for step in steps), steps)

    def test_brought_in(self) -> None:
        """What version 1 had in the accounts is here, once, however often it is begun."""
        self.patch(journal, "_OLDEST", journal._OLDEST.replace("500", "2"))
        accounts = Database(Path(self.mktemp()) / "accounts.sqlite", "accounts", InlineThreads())
        self.get(accounts.open())
        self.addCleanup(lambda: self.get(accounts.close()))
        add = (
            "INSERT INTO log (id, created_at, kind, domain_id, alias_id, user_id, remote, detail)"
            " VALUES (?, ?, 'failed', 'd', 'a', '', '', '{\"n\": \"1\"}')"
        )
        for number in range(5):
            self.get(accounts.execute(add, (f"{number:08x}x", float(number))))
        forget = self.patch(accounts, "write", lambda _: Deferred())
        begun = Deferred.fromCoroutine(bring_in_journal(accounts, self.database))
        self.assertNoResult(begun)  # killed before it forgets the first
        forget.restore()
        self.get(bring_in_journal(accounts, self.database))
        entries = self.get(self.log.logs("d", Query())).items
        self.assertEqual([entry.created_at for entry in entries], [4.0, 3.0, 2.0, 1.0, 0.0])
        self.assertEqual(entries[0].detail, {"n": "1"})
        self.assertEqual(
            self.get(accounts.read(lambda c: c.execute("SELECT * FROM log").fetchall())), []
        )
        begun.addErrback(lambda _: None)
