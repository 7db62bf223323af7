"""What a mailbox file forgets, in bounded transactions, and that nobody is told wrong for it."""

from typing import Any

from fe_mail.adapters.sqlite.mailbox import contents, upkeep
from fe_mail.adapters.sqlite.mailbox import file as file_module
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import NoSpace
from fe_mail.model.mailbox import FlagAction
from fe_mail.model.records import NewItem, Removal
from fe_mail.ports import OpenMailbox
from tests.adapters.test_mailbox_files import FilesCase
from tests.contracts.mailbox_case import new

__all__ = ["UpkeepTests"]


class UpkeepTests(FilesCase):
    """One open mailbox, never locked, as an IMAP client keeps it."""

    def setUp(self) -> None:
        """An INBOX of twenty."""
        super().setUp()
        self.mailbox: OpenMailbox = self.unlock()
        self.now(self.mailbox.append("INBOX", [new() for _ in range(20)]))
        self.inbox = self.now(self.mailbox.select("INBOX")).folder.id

    def value(self, sql: str) -> Any:
        """The first value, seen beside the store."""
        return self.file().execute(sql).fetchall()[0][0]

    def select(self) -> SelectedFolder:
        """INBOX as a session sees it."""
        return SelectedFolder(self.now(self.mailbox.select("INBOX")))

    def refresh(self, view: SelectedFolder) -> list[int]:
        """What the view has after a look."""
        view.apply(self.now(self.mailbox.changes(self.inbox, view.modseq)))
        view.take_vanished()
        return list(view.uids)

    def test_damage(self) -> None:
        """A content that cannot be digested any more keeps no other chore from being done."""
        self.clock.advance(2)
        file = self.file()
        file.execute("DELETE FROM digest WHERE content_id = 1")
        file.execute("DELETE FROM structure WHERE content_id = 1")
        file.execute("UPDATE content SET is_digested = 0 WHERE id = 1")
        file.execute("DELETE FROM piece WHERE id >> 20 = 1")
        self.now(self.mailbox.append("INBOX", [new()]))
        self.assertEqual(self.value("SELECT count(*) FROM content WHERE is_indexed = 0"), 1)
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT count(*) FROM content WHERE is_indexed = 0"), 0)
        self.assertEqual(self.value("SELECT count(*) FROM content WHERE is_digested = 0"), 0)

    def test_full_disk(self) -> None:
        """What cannot be written now is done another time, and is no defect."""

        def full(tx: Transaction) -> int:
            raise NoSpace

        chore = upkeep.Chore(lambda tx: True, full)
        self.patch(file_module, "CHORES", (chore,))
        self.now(self.mailbox.append("INBOX", [new()]))
        self.clock.advance(2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_vanished(self) -> None:
        """Only the latest are kept; who looked long before is right all the same."""
        self.patch(upkeep, "VANISHED_KEPT", 4)
        self.patch(upkeep, "VANISHED_SLACK", 2)
        self.patch(upkeep, "VANISHED_BATCH", 3)
        old = self.select()
        for uid in range(1, 10):
            self.now(self.mailbox.remove(self.inbox, [uid]))
        middle = self.select()
        for uid in range(10, 15):
            self.now(self.mailbox.remove(self.inbox, [uid]))
        lately = self.select()
        self.now(self.mailbox.remove(self.inbox, [20]))
        self.assertEqual(self.value("SELECT count(*) FROM vanished"), 15)
        self.clock.advance(2)
        self.assertLessEqual(self.value("SELECT count(*) FROM vanished"), 6)
        self.assertIsNotNone(self.now(self.mailbox.changes(self.inbox, old.modseq)).present)
        told = self.now(self.mailbox.changes(self.inbox, lately.modseq))
        self.assertEqual((told.present, told.vanished), (None, (20,)))
        for view in (old, middle, lately):
            self.assertEqual(self.refresh(view), list(range(15, 20)))
        self.assertEqual(self.now(self.mailbox.check()), ())

    def test_vanished_in_batches(self) -> None:
        """A single EXPUNGE of many is forgotten a few at a time."""
        self.patch(upkeep, "VANISHED_KEPT", 2)
        self.patch(upkeep, "VANISHED_SLACK", 0)
        self.patch(upkeep, "VANISHED_BATCH", 3)
        old = self.select()
        self.now(self.mailbox.remove(self.inbox, range(1, 18)))
        connection = self.file()
        connection.execute("BEGIN")
        done = upkeep._VANISHED.forget(Transaction(connection.cursor()))
        connection.execute("COMMIT")
        self.assertEqual(done, 3)
        self.assertEqual(self.refresh(old), [18, 19, 20])
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT count(*) FROM vanished"), 2)

    def test_deliveries(self) -> None:
        """Old ids go though the mailbox is never locked, some in each transaction."""
        self.patch(upkeep, "DELIVERIES_BATCH", 3)
        for number in range(10):
            self.deliver(f"old {number}")
        self.clock.advance(2)
        self.clock.advance(upkeep.DELIVERIES_REMEMBERED_SECONDS + 1)
        connection = self.file()
        connection.execute("BEGIN")
        tx = Transaction(connection.cursor(), self.clock.seconds())
        self.assertEqual(upkeep._forget_deliveries(tx), 3)
        connection.execute("ROLLBACK")
        self.deliver("new")
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT group_concat(id) FROM delivery"), "new")

    def test_flag_sets(self) -> None:
        """Combinations that no message has go, and their numbers are never used again."""
        self.patch(upkeep, "FLAG_SETS_KEPT", 5)
        store = self.mailbox.store_flags
        view = self.select()
        for number in range(12):
            flags = frozenset({f"$k{number}"})
            self.now(store(self.inbox, [1 + number % 3], FlagAction.REPLACE, flags))
            if number == 3:  # no more than may be kept: none goes
                self.clock.advance(2)
                self.assertEqual(self.value("SELECT count(*) FROM flagset"), 5)
        highest = self.value("SELECT max(id) FROM flagset")
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT count(*) FROM flagset"), 4)
        self.refresh(view)
        fresh = self.select()
        for index in range(20):
            self.assertEqual(view.flags_of(index), fresh.flags_of(index))
        self.assertEqual(fresh.flags_of(0), frozenset({"$k9"}))
        self.now(store(self.inbox, [1], FlagAction.REPLACE, frozenset({"$new"})))
        self.assertGreater(self.value("SELECT max(id) FROM flagset"), highest)
        self.assertEqual(self.select().flags_of(0), frozenset({"$new"}))
        self.assertEqual(self.now(self.mailbox.check()), ())

    def test_gone(self) -> None:
        """Of records that went only the latest are kept, and who cannot know is told so."""
        self.patch(upkeep, "VANISHED_KEPT", 2)
        self.patch(upkeep, "VANISHED_SLACK", 0)
        self.patch(upkeep, "VANISHED_BATCH", 3)
        records = self.mailbox.records
        book = self.now(records.create("addressbook", "b")).id
        items = [NewItem(name=f"n{number}", octets=b"") for number in range(12)]
        since = [self.now(records.update(book, items)).modseq]
        for number in range(12):
            removal = Removal(name=f"n{number}")
            since.append(self.now(records.update(book, remove=[removal])).modseq)
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT count(*) FROM gone"), 2)
        self.assertFalse(self.now(records.changes(book, since[0])).is_complete)
        lately = self.now(records.changes(book, since[10]))
        self.assertEqual((lately.gone, lately.is_complete), (("n10", "n11"), True))
        self.assertEqual(self.now(self.mailbox.check()), ())

    def test_contents(self) -> None:
        """What many removed messages leave goes a few at a time; it counts for nobody."""
        self.patch(contents, "REMOVE_BATCH", 4)
        self.now(self.mailbox.remove(self.inbox, range(1, 19)))
        self.assertEqual(self.value("SELECT count(*) FROM content WHERE refs = 0"), 14)
        self.assertEqual(self.now(self.mailbox.check()), ())
        self.clock.advance(2)
        self.assertEqual(self.value("SELECT count(*) FROM content"), 2)
        self.assertEqual(self.value("SELECT count(*) FROM thread_link"), 0)
        self.assertEqual(self.value("SELECT count(*) FROM digest"), 2)
        self.assertEqual(self.now(self.mailbox.check()), ())

    def test_stop_in_the_middle(self) -> None:
        """A mailbox with much to do closes all the same."""
        self.patch(contents, "REMOVE_BATCH", 1)
        self.now(self.mailbox.remove(self.inbox, range(1, 19)))
        self.now(self.store.stop())
        self.now(self.store.start())
        self.assertEqual(self.value("SELECT count(*) FROM content WHERE refs = 0"), 17)
