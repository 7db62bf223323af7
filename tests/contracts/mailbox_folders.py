"""What every open mailbox must do with folders (RFC 9051 §6.3)."""

from typing import Any

from fe_mail.adapters import mailbox_rules
from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import AlreadyExists, Invalid, NotFound, TooBig
from fe_mail.model.mailbox import FlagAction, Want
from tests.contracts.mailbox_case import ALICE, MailboxCase, letter, new

__all__ = ["MailboxFoldersContract"]


class MailboxFoldersContract(MailboxCase):
    """Create, delete, rename, subscribe, status, select."""

    def test_create(self: Any) -> None:
        """A folder comes with its parents, keeps its special use, and says so."""
        hints = self.hints(f"mailbox:{ALICE}")
        folder = self.now(self.mailbox.create_folder("Work/2024/Bills/"))
        self.assertEqual((folder.name, folder.has_children), ("Work/2024/Bills", False))
        parent = next(f for f in self.now(self.mailbox.folders()) if f.name == "Work/2024")
        self.assertTrue(parent.has_children and parent.selectable)
        everything = self.now(self.mailbox.create_folder("All", "\\all"))
        self.assertEqual(everything.special_use, "\\All")
        self.clock.advance(0)
        self.assertIn((ChangeKind.FOLDER, folder.id), self.told(hints))
        self.is_sound()

    def test_create_refuses(self: Any) -> None:
        """Taken names, names that no client could use, unknown or taken special uses."""
        for taken in ("INBOX", "inbox", "Trash", "Trash/"):
            self.fails(AlreadyExists, self.mailbox.create_folder(taken))
        for bad in ("", "/", "/a", "a//b", "a/b//", "a\r\nb", "a\0", "a*", "50%", " ", "a\ud800"):
            self.fails(Invalid, self.mailbox.create_folder(bad))
        for long in ("x" * 2000, "/".join("x" * 60)):
            self.fails(TooBig, self.mailbox.create_folder(long))
        self.fails(Invalid, self.mailbox.create_folder("New", "\\Unknown"))
        self.fails(AlreadyExists, self.mailbox.create_folder("New", "\\Trash"))
        self.assertNotIn("New", self.names())

    def test_names(self: Any) -> None:
        """INBOX is compared without case, everything else with; composed and not are the same."""
        self.now(self.mailbox.create_folder("inbox/Lists"))
        self.assertIn("INBOX/Lists", self.names())
        self.now(self.mailbox.create_folder("trash"))
        self.now(self.mailbox.create_folder("Bu\u0308cher"))
        self.assertIn("B\u00fccher", self.names())
        self.now(self.mailbox.select("Bu\u0308cher"))
        self.fails(NotFound, self.mailbox.select("INBOX/lists"))

    def test_count_limit(self: Any) -> None:
        """There are not more folders than the limit, parents included."""
        self.patch(mailbox_rules, "FOLDERS_MAX", 8)
        for module in self.modules_with_limits():
            self.patch(module, "FOLDERS_MAX", 8)
        self.fails(TooBig, self.mailbox.create_folder("a/b/c"))
        self.now(self.mailbox.create_folder("a/b"))
        self.fails(TooBig, self.mailbox.rename_folder("INBOX", "c"))
        self.fails(TooBig, self.mailbox.rename_folder("Junk", "x/Junk"))
        self.assertEqual(len(self.names()), 8)

    def modules_with_limits(self: Any) -> tuple[Any, ...]:
        """Modules of the adapter that imported ``FOLDERS_MAX``."""
        raise AssertionError("the test case says which modules")

    def test_delete(self: Any) -> None:
        """Messages go with their folder, and their octets."""
        self.append(new(), to="Junk")
        folder = self.now(self.mailbox.select("Junk")).folder
        self.now(self.mailbox.delete_folder("Junk"))
        self.assertNotIn("Junk", self.names())
        self.assertEqual(self.now(self.mailbox.quota()).used_octets, 0)
        self.assertTrue(self.now(self.mailbox.changes(folder.id, 0)).gone)
        self.is_sound()

    def test_deleted_folder_in_use(self: Any) -> None:
        """A session in a folder that is deleted hears NotFound, and fetches nothing."""
        self.append(new(), to="Junk")
        folder = self.now(self.mailbox.select("Junk")).folder
        self.now(self.mailbox.delete_folder("Junk"))
        mailbox, everything = self.mailbox, frozenset[str]()
        self.assertEqual(self.now(mailbox.fetch(folder.id, [1], Want.NOTHING)), ())
        self.fails(NotFound, mailbox.read(folder.id, 1, 0, 10))
        self.fails(NotFound, mailbox.store_flags(folder.id, [1], FlagAction.ADD, everything))
        self.fails(NotFound, mailbox.copy(folder.id, [1], "INBOX"))
        self.fails(NotFound, mailbox.move(folder.id, [1], "INBOX"))
        self.fails(NotFound, mailbox.expunge(folder.id))
        self.fails(NotFound, mailbox.remove(folder.id, [1]))

    def test_delete_refuses(self: Any) -> None:
        """Not INBOX, not what is not there, not what is only there for its children."""
        self.fails(Invalid, self.mailbox.delete_folder("inbox"))
        self.fails(NotFound, self.mailbox.delete_folder("Nowhere"))
        self.fails(NotFound, self.mailbox.delete_folder("a//b"))
        self.now(self.mailbox.create_folder("a/b"))
        self.now(self.mailbox.delete_folder("a"))
        self.fails(Invalid, self.mailbox.delete_folder("a"))

    def test_delete_parent(self: Any) -> None:
        """A folder with children stays as \\Noselect, and goes with its last child."""
        self.now(self.mailbox.create_folder("a/b"))
        old = self.append_and_select("a")
        self.now(self.mailbox.delete_folder("a"))
        left = next(f for f in self.now(self.mailbox.folders()) if f.name == "a")
        self.assertFalse(left.selectable)
        self.assertTrue(self.now(self.mailbox.changes(old.id, 0)).gone)
        self.fails(NotFound, self.mailbox.select("a"))
        self.fails(NotFound, self.mailbox.append("a", [new()]))
        self.assertEqual(self.now(self.mailbox.status(["a"])), ())
        self.now(self.mailbox.delete_folder("a/b"))
        self.assertNotIn("a", self.names())
        self.is_sound()

    def append_and_select(self: Any, name: str) -> Any:
        """A folder with one message."""
        self.append(new(), to=name)
        return self.now(self.mailbox.select(name)).folder

    def test_create_again(self: Any) -> None:
        """A name that is used again has a greater UIDVALIDITY and another id."""
        self.now(self.mailbox.create_folder("a/b"))
        old = self.append_and_select("a")
        self.now(self.mailbox.delete_folder("a"))
        again = self.now(self.mailbox.create_folder("a"))
        self.assertGreater(again.uidvalidity, old.uidvalidity)
        self.assertNotEqual(again.id, old.id)
        self.assertTrue(again.selectable and again.has_children)
        self.assertEqual(self.uids("a"), ())
        self.is_sound()

    def test_rename(self: Any) -> None:
        """Children come along, messages keep their UIDs, missing parents are made."""
        self.now(self.mailbox.create_folder("a/b/c"))
        folder = self.append_and_select("a/b")
        self.now(self.mailbox.rename_folder("a/b", "x/y"))
        self.assertIn("x/y/c", self.names())
        self.assertNotIn("a/b", self.names())
        moved = self.now(self.mailbox.select("x/y"))
        self.assertEqual((moved.folder.id, tuple(moved.uids)), (folder.id, (1,)))
        self.assertEqual(moved.folder.uidvalidity, folder.uidvalidity)
        self.is_sound()

    def test_rename_out_of_noselect(self: Any) -> None:
        """A parent that was only there for its child goes when the child leaves."""
        self.now(self.mailbox.create_folder("a/b"))
        self.now(self.mailbox.delete_folder("a"))
        self.now(self.mailbox.rename_folder("a/b", "b"))
        self.assertNotIn("a", self.names())

    def test_rename_refuses(self: Any) -> None:
        """Taken, missing, senseless and circular names; nothing has changed then."""
        self.now(self.mailbox.create_folder("a/b"))
        before = self.names()
        self.fails(NotFound, self.mailbox.rename_folder("Nowhere", "x"))
        self.fails(AlreadyExists, self.mailbox.rename_folder("a", "Junk"))
        self.fails(AlreadyExists, self.mailbox.rename_folder("a", "a"))
        self.fails(AlreadyExists, self.mailbox.rename_folder("INBOX", "Junk"))
        self.fails(Invalid, self.mailbox.rename_folder("a", "a/b/c"))
        self.fails(Invalid, self.mailbox.rename_folder("a", "x\r\n"))
        self.fails(TooBig, self.mailbox.rename_folder("a", "x" * 999))
        self.assertEqual(self.names(), before)

    def test_rename_inbox(self: Any) -> None:
        """INBOX gives its messages away and stays; folders below it stay too."""
        self.now(self.mailbox.create_folder("INBOX/Lists"))
        self.append(new(letter("one"), "\\Seen"), new(letter("two")))
        self.now(self.mailbox.rename_folder("inbox", "Old/Mail"))
        self.assertEqual(self.uids(), ())
        self.assertEqual(self.raw(1, "Old/Mail"), letter("one"))
        self.assertEqual(self.uids("Old/Mail"), (1, 2))
        self.assertIn("INBOX/Lists", self.names())
        self.assertEqual(self.append(new()), (3,))
        self.is_sound()

    def test_subscribe(self: Any) -> None:
        """A subscription is kept; a missing folder cannot have one."""
        self.now(self.mailbox.subscribe_folder("Junk", False))
        junk = next(f for f in self.now(self.mailbox.folders()) if f.name == "Junk")
        self.assertFalse(junk.subscribed)
        self.assertNotIn("Junk", self.now(self.mailbox.subscriptions()))
        self.fails(NotFound, self.mailbox.subscribe_folder("Nowhere", True))
        self.now(self.mailbox.subscribe_folder("Nowhere", False))
        self.now(self.mailbox.subscribe_folder("no//name", False))

    def test_subscription_of_a_folder_that_goes(self: Any) -> None:
        """It stays when somebody asked for it, and belongs to the next folder of the name."""
        for name in ("a/b", "asked", "asked/child", "new"):
            self.now(self.mailbox.create_folder(name))
        for name in ("a/b", "a", "asked"):
            self.now(self.mailbox.subscribe_folder(name, True))
        for name in ("a/b", "a", "new"):
            self.now(self.mailbox.delete_folder(name))
        self.now(self.mailbox.rename_folder("asked", "other"))
        names = self.now(self.mailbox.subscriptions())
        self.assertEqual(names[0], "INBOX")
        self.assertLess({"a", "a/b", "asked", "other", "other/child"}, set(names))
        self.assertTrue({"new", "asked/child"}.isdisjoint(names))
        self.assertTrue({"a", "a/b", "asked"}.isdisjoint(self.names()))
        self.fails(NotFound, self.mailbox.select("a"))
        self.assertEqual(self.now(self.mailbox.status(["a", "asked"])), ())
        self.is_sound()
        self.now(self.mailbox.subscribe_folder("a", False))
        self.now(self.mailbox.create_folder("a/b"))
        self.now(self.mailbox.rename_folder("other", "asked"))
        self.is_sound()
        self.assertLess({"a", "a/b", "asked", "asked/child"}, set(self.names()))
        self.now(self.mailbox.delete_folder("a/b"))
        self.now(self.mailbox.delete_folder("asked/child"))
        self.now(self.mailbox.delete_folder("asked"))
        names = self.now(self.mailbox.subscriptions())
        self.assertLess({"a/b", "asked"}, set(names))
        self.assertNotIn("asked/child", names)
        self.assertEqual([name for name in self.names() if name.startswith("a")], ["a"])
        self.is_sound()

    def test_subscription_below_a_folder_that_goes(self: Any) -> None:
        """It is no child: its parent can go and come, and it stays where it is."""
        self.now(self.mailbox.create_folder("p/q"))
        self.now(self.mailbox.subscribe_folder("p/q", True))
        self.now(self.mailbox.delete_folder("p/q"))
        (parent,) = (folder for folder in self.now(self.mailbox.folders()) if folder.name == "p")
        self.assertFalse(parent.has_children)
        self.now(self.mailbox.rename_folder("p", "r"))
        self.assertNotIn("r/q", self.now(self.mailbox.subscriptions()))
        self.now(self.mailbox.delete_folder("r"))
        self.assertIn("p/q", self.now(self.mailbox.subscriptions()))
        self.now(self.mailbox.create_folder("p/q/s"))
        self.assertLess({"p", "p/q", "p/q/s"}, set(self.names()))
        self.now(self.mailbox.rename_folder("INBOX", "r"))
        self.is_sound()

    def test_status(self: Any) -> None:
        """Counts follow every change; what does not exist is left out."""
        self.append(new(None, "\\Seen"), new(None, "\\Deleted"), new())
        (status,) = self.now(self.mailbox.status(["inbox", "Nowhere", "x//y"]))
        counts = (status.messages, status.unseen, status.deleted, status.recent, status.uidnext)
        self.assertEqual(counts, (3, 2, 1, 3, 4))
        self.assertEqual(status.size_octets, 3 * len(letter()))
        self.now(self.mailbox.expunge(self.inbox))
        seen = frozenset({"\\Seen"})
        self.now(self.mailbox.store_flags(self.inbox, [3], FlagAction.ADD, seen))
        (after,) = self.now(self.mailbox.status(["INBOX"]))
        self.assertEqual((after.messages, after.unseen, after.deleted), (2, 0, 0))
        self.assertGreater(after.highest_modseq, status.highest_modseq)

    def test_select(self: Any) -> None:
        """Three parallel columns in UID order; equal flags are one object."""
        self.append(new(None, "\\Seen"), new(None, "\\Seen"), new(None, "$Work", "\\Flagged"))
        view = self.now(self.mailbox.select("INBOX"))
        self.assertEqual((tuple(view.uids), view.uidnext), ((1, 2, 3), 4))
        self.assertEqual(view.flags_of(0), frozenset({"\\Seen"}))
        self.assertEqual(view.flags_of(2), frozenset({"$Work", "\\Flagged"}))
        self.assertEqual(max(view.modseqs), view.highest_modseq)
        self.fails(NotFound, self.mailbox.select("Nowhere"))

    def test_recent(self: Any) -> None:
        """The first session that claims messages sees them as \\Recent, nobody after it."""
        self.append(new(), new())
        looked = self.now(self.mailbox.select("INBOX", claim_recent=False))
        self.assertEqual(tuple(looked.recent), (1, 2))
        self.assertEqual(tuple(self.now(self.mailbox.select("INBOX")).recent), (1, 2))
        self.append(new())
        self.assertEqual(tuple(self.now(self.unlocked().select("INBOX")).recent), (3,))
        self.assertEqual(tuple(self.now(self.mailbox.select("INBOX")).recent), ())

    def test_recent_later(self: Any) -> None:
        """What arrives while sessions look is claimed once, too, and by none that only looks."""
        modseq = self.now(self.mailbox.select("INBOX")).highest_modseq
        self.append(new(), new())
        other = self.unlocked()
        looked = self.now(other.changes(self.inbox, modseq))
        self.assertEqual((looked.recent_from, looked.uidnext), (1, 3))
        told = self.now(self.mailbox.changes(self.inbox, modseq, claim_recent=True))
        self.assertEqual((told.recent_from, told.uidnext), (1, 3))
        later = self.now(other.changes(self.inbox, modseq, claim_recent=True))
        self.assertGreaterEqual(later.recent_from, later.uidnext)
        self.assertEqual(tuple(self.now(other.select("INBOX")).recent), ())
        (status,) = self.now(other.status(["INBOX"]))
        self.assertEqual(status.recent, 0)
