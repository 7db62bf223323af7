"""What the records of every open mailbox must do."""

from typing import Any

from fe_mail.adapters import record_rules
from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    Locked,
    NotFound,
    OverQuota,
    TooBig,
)
from fe_mail.model.records import NewItem, Range, Removal
from fe_mail.ports import Records
from tests.contracts.mailbox_case import ALICE, MailboxCase, new

__all__ = ["MailboxRecordsContract"]


def item(name: str, octets: bytes = b"x", *values: tuple[str, str], **more: Any) -> NewItem:
    """Short for tests."""
    return NewItem(name=name, octets=octets, values=values, **more)


class MailboxRecordsContract(MailboxCase):
    """Collections, items, preconditions, changes, queries, quota."""

    def setUp(self: Any) -> None:
        """One collection."""
        super().setUp()
        self.records: Records = self.mailbox.records
        self.book = self.now(self.records.create("addressbook", "Friends", {"color": "red"})).id

    def put(self: Any, *items: NewItem) -> Any:
        """Put; returns what was stored."""
        return self.now(self.records.update(self.book, items))

    def remove(self: Any, *names: str) -> int:
        """Remove; returns the ModSeq."""
        removals = [Removal(name=name) for name in names]
        return self.now(self.records.update(self.book, remove=removals)).modseq

    def names(self: Any) -> list[str]:
        """The names of all items."""
        return [each.name for each in self.now(self.records.list(self.book))]

    def test_collections(self: Any) -> None:
        """Create, list by kind, rename, change properties, delete; each says so."""
        hints = self.hints(f"mailbox:{ALICE}")
        calendar = self.now(self.records.create("calendar", "Friends"))
        renamed = self.now(self.records.change(calendar.id, name="Work"))
        colored = self.now(self.records.change(calendar.id, properties={"color": "bl\u00fce"}))
        self.assertEqual((colored.name, colored.properties), ("Work", {"color": "bl\u00fce"}))
        self.assertTrue(calendar.modseq < renamed.modseq < colored.modseq)
        everything = self.now(self.records.collections())
        self.assertEqual([(c.kind, c.name) for c in everything][1], ("calendar", "Work"))
        (book,) = self.now(self.records.collections("addressbook"))
        self.assertEqual((book.id, book.properties, book.items), (self.book, {"color": "red"}, 0))
        self.now(self.records.delete(calendar.id))
        self.fails(NotFound, self.records.list(calendar.id))
        again = self.now(self.records.create("calendar", "Work"))
        self.assertNotEqual(again.id, calendar.id)
        self.clock.advance(0)
        told = self.told(hints)
        self.assertEqual(told, [(ChangeKind.COLLECTION, calendar.id)] * 4 + told[4:])
        self.is_sound()

    def test_collections_refuse(self: Any) -> None:
        """Taken and impossible names, too many, too much."""
        self.fails(AlreadyExists, self.records.create("addressbook", "Friends"))
        other = self.now(self.records.create("addressbook", "Others"))
        self.fails(AlreadyExists, self.records.change(other.id, name="Friends"))
        for name in ("", "a\nb", "\ud800"):
            self.fails(Invalid, self.records.create("calendar", name))
        self.fails(TooBig, self.records.create("calendar", "x" * 1000))
        self.fails(TooBig, self.records.create("calendar", "x", {"a": "b" * 70_000}))
        self.fails(Invalid, self.records.create("calendar", "x", {"a": "\0"}))
        self.fails(NotFound, self.records.change(9999, name="x"))
        self.fails(NotFound, self.records.delete(9999))
        same = self.now(self.records.change(other.id, name="Others", properties={}))
        self.assertEqual(same.modseq, other.modseq)

    def test_put_and_get(self: Any) -> None:
        """Octets come back as they were, with an ETag that says when they are others."""
        first = self.put(item("a", b"\0\xff"), item("b", b"")).items
        self.assertEqual([(each.name, each.size_octets) for each in first], [("a", 2), ("b", 0)])
        found = self.now(self.records.get(self.book, ["b", "a", "none"]))
        self.assertEqual([each.octets for each in found], [b"\0\xff", b""])
        self.assertEqual([each.etag for each in found], [each.etag for each in first])
        (changed,) = self.put(item("a", b"2")).items
        self.assertNotEqual(changed.etag, first[0].etag)
        self.assertGreater(changed.modseq, first[0].modseq)
        (same,) = self.put(item("a", b"2")).items
        self.assertEqual(same, changed)
        (bare,) = self.now(self.records.get(self.book, ["a"], octets=False))
        self.assertEqual(bare, changed)
        self.is_sound()

    def test_survives(self: Any) -> None:
        """Records are there after the next unlock, and a handle that was given back has none."""
        self.put(item("a", b"1"))
        self.lock()
        self.fails(Locked, self.records.collections())
        self.records = self.unlocked().records
        (found,) = self.now(self.records.get(self.book, ["a"]))
        self.assertEqual(found.octets, b"1")

    def test_preconditions(self: Any) -> None:
        """Who relies on an old state is refused, and nothing of the update is done."""
        (stored,) = self.put(item("a", b"1", if_absent=True)).items
        self.fails(Conflict, self.records.update(self.book, [item("a", b"2", if_absent=True)]))
        self.fails(
            Conflict,
            self.records.update(self.book, [item("new"), item("a", b"2", if_match="other")]),
        )
        self.fails(Conflict, self.records.update(self.book, [item("none", if_match=stored.etag)]))
        self.fails(
            Conflict, self.records.update(self.book, remove=[Removal(name="a", if_match="other")])
        )
        self.fails(NotFound, self.records.update(self.book, [item("new")], [Removal(name="none")]))
        self.assertEqual(self.names(), ["a"])
        self.put(item("a", b"2", if_match=stored.etag))
        removal = Removal(name="a", if_match=stored.etag)
        self.fails(Conflict, self.records.update(self.book, remove=[removal]))
        self.remove("a")
        self.assertEqual(self.names(), [])
        self.is_sound()

    def test_put_and_remove_at_once(self: Any) -> None:
        """An item gets another name in one step, under one ModSeq."""
        self.put(item("a", b"1"))
        done = self.now(self.records.update(self.book, [item("b", b"1")], [Removal(name="a")]))
        changes = self.now(self.records.changes(self.book, done.modseq - 1))
        self.assertEqual([each.name for each in changes.changed], ["b"])
        self.assertEqual((changes.gone, changes.modseq), (("a",), done.modseq))

    def test_changes(self: Any) -> None:
        """What is new, changed and gone since a ModSeq, and no more."""
        since = self.put(item("a"), item("b"), item("c")).modseq
        nothing = self.now(self.records.changes(self.book, since))
        self.assertEqual((nothing.changed, nothing.gone, nothing.modseq), ((), (), since))
        self.remove("a")
        self.put(item("b", b"2"), item("d"))
        self.remove("c")
        self.put(item("c", b"again"))
        changes = self.now(self.records.changes(self.book, since))
        self.assertEqual([each.name for each in changes.changed], ["b", "c", "d"])
        self.assertEqual((changes.gone, changes.is_complete), (("a",), True))
        everything = self.now(self.records.changes(self.book, 0))
        self.assertEqual([each.name for each in everything.changed], ["b", "c", "d"])
        self.fails(NotFound, self.records.changes(9999, 0))
        self.is_sound()

    def test_one_counter(self: Any) -> None:
        """Mail and records take their ModSeqs from one counter."""
        first = self.put(item("a")).modseq
        second = self.now(self.mailbox.append("INBOX", [new()])).modseq
        third = self.remove("a")
        self.assertTrue(first < second < third)

    def test_list(self: Any) -> None:
        """Pages by name, each beginning after the last one, whatever comes in between."""
        self.put(*(item(f"n{number}") for number in range(5)))
        first = self.now(self.records.list(self.book, limit=2))
        self.remove("n0")
        rest = self.now(self.records.list(self.book, after=first[-1].name))
        self.assertEqual([each.name for each in (*first, *rest)], [f"n{n}" for n in range(5)])
        self.fails(Invalid, self.records.list(self.book, limit=0))

    def test_query(self: Any) -> None:
        """Items that have a value in every range; a key may have several values."""
        self.put(
            item("a", b"1", ("email", "a@x"), ("email", "b@x"), ("from", "0100")),
            item("b", b"2", ("email", "b@x"), ("from", "0200")),
            item("c", b"3", ("from", "0300"), ("from", "0300")),
        )

        def found(*ranges: Range) -> list[str]:
            return [each.name for each in self.now(self.records.query(self.book, ranges))]

        equal = Range(key="email", low="b@x", high="b@x")
        self.assertEqual(found(equal), ["a", "b"])
        self.assertEqual(found(equal, Range(key="from", low="0150")), ["b"])
        self.assertEqual(found(Range(key="from", high="0200")), ["a", "b"])
        self.assertEqual(found(Range(key="email")), ["a", "b"])
        self.assertEqual(found(Range(key="none")), [])
        self.assertEqual(found(), ["a", "b", "c"])
        self.put(item("a", b"1", ("email", "c@x")), item("b", b"new"))
        self.assertEqual(found(equal), [])
        self.assertEqual(found(Range(key="email", low="c")), ["a"])
        self.remove("a")
        self.assertEqual(found(Range(key="email")), [])
        self.fails(TooBig, self.records.query(self.book, [equal] * 100))
        self.is_sound()

    def test_quota(self: Any) -> None:
        """Records count like mail, and give back what they took."""
        self.now(self.store.set_quota(ALICE, 100))
        self.put(item("a", b"x" * 60))
        self.fails(OverQuota, self.records.update(self.book, [item("b", b"x" * 50)]))
        self.fails(OverQuota, self.mailbox.append("INBOX", [new()]))
        self.put(item("a", b"y" * 100))
        self.assertEqual(self.now(self.mailbox.quota()).used_octets, 100)
        self.put(item("a", b"z"))
        self.assertEqual(self.now(self.store.used_octets(ALICE)), 1)
        self.now(self.records.delete(self.book))
        self.assertEqual(self.now(self.store.used_octets(ALICE)), 0)
        self.is_sound()

    def test_limits(self: Any) -> None:
        """Nobody stores items without end, or asks for more than fits."""
        for items in (
            [item("x" * 1000)],
            [item("x", b"", ("k", "v" * 2000))],
            [item("x", b"", *((f"k{number}", "v") for number in range(501)))],
            [item(f"n{number}") for number in range(1001)],
        ):
            self.fails(TooBig, self.records.update(self.book, items))
        for items in ([item("")], [item("a"), item("a")], [item("x", b"", ("k", "\ud800"))]):
            self.fails(Invalid, self.records.update(self.book, items))
        self.assertEqual(self.names(), [])
        for module in self.modules_with_record_limits():
            self.patch(module, "ITEMS_MAX", 2)
            self.patch(module, "READ_OCTETS_MAX", 10)
        self.put(item("a", b"1" * 9), item("b", b"2"))
        self.fails(TooBig, self.records.update(self.book, [item("c")]))
        self.put(item("b", b"22"))
        found = self.now(self.records.get(self.book, ["a", "b"]))
        self.assertEqual([each.octets for each in found], [b"1" * 9, None])
        (rest,) = self.now(self.records.get(self.book, ["b"]))
        self.assertEqual(rest.octets, b"22")

    def modules_with_record_limits(self: Any) -> tuple[Any, ...]:
        """Where the limits are looked at."""
        return (record_rules,)
