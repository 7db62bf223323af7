"""What every ``Journal`` does."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from fe_mail.model.account import LogEntry
from fe_mail.model.ids import new_id
from fe_mail.model.page import Page, Query
from fe_mail.ports import Journal

__all__ = ["JournalContract"]

T = TypeVar("T")


def entry(entry_id: str, **more: Any) -> LogEntry:
    """An entry whose id begins with the second in which it was made."""
    values = {"id": entry_id, "created_at": float(int(entry_id[:8], 16)), "kind": "failed"}
    return LogEntry(**{**values, **more})


class JournalContract:
    """The tests; ``journal`` is the hook."""

    def journal(self: Any) -> Journal:
        """A fresh one."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def setUp(self: Any) -> None:
        self.log: Journal = self.journal()

    def get(self: Any, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def names(self: Any, page: Page[LogEntry]) -> str:
        """The ends of the ids, in order."""
        return "".join(each.id[-1] for each in page.items)

    def test_log(self: Any) -> None:
        """Newest first, by domain, alias and kind; an entry is written once."""
        entries = [
            LogEntry(
                id="00000001a", created_at=1.0, kind="delivered", domain_id="d1", alias_id="a1"
            ),
            LogEntry(
                id="00000003b", created_at=3.0, kind="failed", domain_id="d1", remote="192.0.2.9"
            ),
            LogEntry(id="00000002c", created_at=2.0, kind="failed", domain_id="d2", user_id="u1"),
            entry("00000002d", detail={"to": "Bob@x", "n": "[1]"}),
        ]
        for each in (*entries, attrs.evolve(entries[0], kind="other")):
            self.get(self.log.log(each))

        def listed(domain_id: str = "", alias_id: str = "", kind: str = "", **query: Any) -> str:
            page = self.get(self.log.logs(domain_id, Query(**query), alias_id, kind))
            return str(self.names(page))

        self.assertEqual(listed(), "bdca")
        self.assertEqual(listed("d1"), "ba")
        self.assertEqual(listed("d1", kind="delivered"), "a")
        self.assertEqual(listed(alias_id="a1"), "a")
        self.assertEqual(listed(kind="failed"), "bdc")
        self.assertEqual(listed(q="bob"), "d")
        self.assertEqual(listed(q="[1"), "d")
        self.assertEqual(listed(q="to"), "")
        self.assertEqual(listed(q="192.0.2"), "b")
        self.assertEqual(listed(sort="created_at"), "adcb")
        self.assertEqual(listed(limit=2, page=2), "ca")
        page = self.get(self.log.logs("", Query(q="bob")))
        self.assertEqual(page.items, (entries[3],))

    def test_account(self: Any) -> None:
        """What concerns an account stands apart from what concerns its domains."""
        for each in (
            entry("00000001a", user_id="u1"),
            entry("00000002b", user_id="u2"),
            entry("00000003c", user_id="u1", domain_id="d1"),
            entry("00000004d", user_id="u1", kind="other"),
        ):
            self.get(self.log.log(each))
        self.assertEqual(self.names(self.get(self.log.account_logs("u1", Query()))), "da")
        found = self.get(self.log.account_logs("u1", Query(limit=1), "failed"))
        self.assertEqual((self.names(found), found.total), ("a", 1))

    def test_walk(self: Any) -> None:
        """All entries, newest first, some at a time, though others are written meanwhile."""
        for number in range(5):
            self.get(self.log.log(entry(f"0000000{number}x")))
        seen: list[float] = []
        after = ""
        while True:
            page = self.get(self.log.logs("", Query(after=after, limit=2)))
            seen += [each.created_at for each in page.items]
            if not page.next:
                break
            after = page.next
            self.get(self.log.log(entry(new_id(99.0))))
        self.assertEqual(seen, [4.0, 3.0, 2.0, 1.0, 0.0])

    def test_purge(self: Any) -> None:
        """What is older goes, what is not stays."""
        for created_at in (50.0, 101.0):
            self.get(self.log.log(entry(new_id(created_at))))
        self.get(self.log.purge_log(60.0))
        page = self.get(self.log.logs("", Query()))
        self.assertEqual([each.created_at for each in page.items], [101.0])
        self.get(self.log.purge_log(-5.0))
        self.assertEqual(self.get(self.log.logs("", Query())).total, 1)
