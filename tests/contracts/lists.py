"""What every list of accounts does: search, order, pages, walks."""

from functools import partial
from typing import Any

from fe_mail.model.account import (
    Alias,
)
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query
from tests.contracts.account_case import AccountCase, alias, domain, user

__all__ = ["ListsContract"]


class ListsContract(AccountCase):
    """Lists of users, domains, aliases."""

    def listed(self, **query: Any) -> list[str]:
        """The names of the aliases that a query gives."""
        page = self.get(self.accounts.aliases(DomainId("d1"), Query(**query)))
        return [item.name for item in page.items]

    def test_search(self) -> None:
        """Substrings without case, in the fields that a condition names; nothing is a pattern."""
        self.fill()
        for row in (
            alias("bob", description="The Builder", labels=("Work",)),
            alias("100%_x", recipients=("Émile@x.test", "b\\c@x.test")),
            alias("z", labels=("ab", "cd"), recipients=('"q"@x.test',)),
        ):
            self.get(self.accounts.add_alias(row))
        self.assertEqual(self.listed(q="BUILD"), ["bob"])
        self.assertEqual(self.listed(q="work"), ["bob"])
        self.assertEqual(self.listed(q="ÉMILE"), ["100%_x"])
        self.assertEqual(self.listed(q="%"), ["100%_x"])
        self.assertEqual(self.listed(q="_"), ["100%_x"])
        self.assertEqual(self.listed(q="\\c"), ["100%_x"])
        self.assertEqual(self.listed(q='"q"'), ["z"])
        self.assertEqual(self.listed(q='b", "c'), [])
        self.assertEqual(self.listed(q="["), [])
        self.assertEqual(self.listed(q="1_0"), [])
        self.assertEqual(self.listed(name="B"), ["bob"])
        self.assertEqual(self.listed(name="build"), [])
        self.assertEqual(self.listed(recipient="x.TEST"), ["100%_x", "z"])
        self.assertEqual(self.listed(recipient="x.test", name="z"), ["z"])
        self.assertEqual(self.listed(recipient="bob"), [])

    def test_search_other_lists(self) -> None:
        """Users and domains are searched by their own fields; they have no recipients."""
        self.fill()
        self.get(self.accounts.update_user(UserId("u2"), 1.0, family_name="O'Neil"))
        self.assertEqual(self.ids(self.get(self.accounts.users(Query(q="o'n")))), ["u2"])
        self.assertEqual(self.ids(self.get(self.accounts.users(Query(name="U1@")))), ["u1"])
        self.assertEqual(self.get(self.accounts.users(Query(q="argon"))).total, 0)
        found = self.get(self.accounts.domains(None, Query(q="D1", recipient="x")))
        self.assertEqual(self.ids(found), ["d1"])
        self.assertEqual(self.get(self.accounts.domains(None, Query(name="d2"))).total, 0)

    def test_sort(self) -> None:
        """By any plain attribute, ties oldest first; everything else is oldest first."""
        self.fill()
        for row in (
            alias("Carl", retention=10, created_at=3.0),
            alias("bob", retention=9, created_at=2.0),
            alias("dora", retention=9, created_at=1.0, is_enabled=False),
        ):
            self.get(self.accounts.add_alias(row))
        oldest_first = ["alice", "dora", "bob", "Carl"]
        self.assertEqual(self.listed(), oldest_first)
        self.assertEqual(self.listed(sort="name"), ["alice", "bob", "Carl", "dora"])
        self.assertEqual(self.listed(sort="-name"), ["dora", "Carl", "bob", "alice"])
        self.assertEqual(self.listed(sort="retention"), ["alice", "dora", "bob", "Carl"])
        self.assertEqual(self.listed(sort="-retention"), ["Carl", "dora", "bob", "alice"])
        self.assertEqual(self.listed(sort="is_enabled"), ["dora", "alice", "bob", "Carl"])
        self.assertEqual(self.listed(sort="-created_at"), ["Carl", "bob", "dora", "alice"])
        for nonsense in ("x", "--name", "recipients", "serial", "name; DROP TABLE aliases", "-"):
            self.assertEqual(self.listed(sort=nonsense), oldest_first)

    def test_sort_by_what_is_filled_in(self) -> None:
        """Counts sort as well; secrets do not."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2")))
        by_count = self.get(self.accounts.domains(None, Query(sort="alias_count")))
        self.assertEqual(self.ids(by_count), ["d2", "d1"])
        self.get(self.accounts.update_user(UserId("u2"), 1.0, password_hash="!"))
        by_hash = self.get(self.accounts.users(Query(sort="password_hash")))
        self.assertEqual(self.ids(by_hash), ["u1", "u2"])

    def test_pages(self) -> None:
        """Pages cut the list; the total is of all matches; nonsense is the first page."""
        self.fill()
        for name in ("b", "c", "d", "e"):
            self.get(self.accounts.add_alias(alias(name)))

        def page(number: int, limit: int = 2) -> Page[Alias]:
            query = Query(page=number, limit=limit)
            return self.get(self.accounts.aliases(DomainId("d1"), query))

        self.assertEqual(self.ids(page(1)), ["id-alice", "id-b"])
        self.assertEqual(self.ids(page(3)), ["id-e"])
        self.assertEqual(self.ids(page(4)), [])
        self.assertEqual((page(4).total, page(4).page_count, page(4).page), (5, 3, 4))
        self.assertEqual(self.ids(page(0)), ["id-alice", "id-b"])
        self.assertEqual(page(-3).page, 1)
        self.assertEqual(len(page(1, limit=0).items), 1)

    def test_walk(self) -> None:
        """Steps see every row that stays, once, whatever comes and goes between them."""
        self.fill()
        kept = []
        for number in range(7):
            # Two of each time, so that the order of insertion counts too.
            row = alias(f"n{number}", created_at=float(number // 2))
            kept.append(self.get(self.accounts.add_alias(row)).id)
        seen: list[str] = []
        after, step = "", 0
        while True:
            query = Query(after=after, limit=2)
            page = self.get(self.accounts.aliases(DomainId("d1"), query))
            seen.extend(item.id for item in page.items)
            if not page.next:
                break
            after, step = page.next, step + 1
            self.get(self.accounts.add_alias(alias(f"late{step}", created_at=0.0)))
            gone = AliasId(seen[0])
            if step == 1:
                self.get(self.accounts.delete_alias(gone))
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual(set(kept), set(seen))

    def test_walk_of_every_list(self) -> None:
        """Each list can be walked in its own order, with its conditions."""
        for number in range(5):
            self.get(self.accounts.add_user(user(f"u{number}", created_at=1.0)))
            self.get(self.accounts.add_domain(domain(f"d{number}", f"u{number % 2}")))
        lists: dict[str, Any] = {
            "u": self.accounts.users,
            "d": partial(self.accounts.domains, None),
        }
        for letter, ask in lists.items():
            names = [f"{letter}{number}" for number in range(5)]
            self.assertEqual(self.walked(ask), names)
        mine = partial(self.accounts.domains, UserId("u0"))
        self.assertEqual(self.walked(mine), ["d0", "d2", "d4"])
        self.assertEqual(self.walked(mine, q="2"), ["d2"])

    def walked(self, ask: Any, **query: Any) -> list[str]:
        """The ids of a list, two at a time."""
        ids, after = [], ""
        while True:
            page = self.get(ask(Query(after=after, limit=2, **query)))
            ids.extend(self.ids(page))
            if not page.next:
                return ids
            after = page.next
