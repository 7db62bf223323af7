"""
What every ``AccountStore`` does, whatever it is made of.

A test class mixes ``AccountsContract`` in and returns a fresh, started store from ``store()``.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from fe_mail.model.account import (
    Alias,
    Credential,
    Domain,
    LogEntry,
    MailboxKeys,
    Member,
    User,
    VacationResponder,
    WebSession,
)
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query
from fe_mail.ports import AccountStore
from fe_mail.ports.accounts import EPOCH_OF_THE_GONE, UNSETTLED_AT_ONCE
from tests.fakes import give_keys

__all__ = ["AccountsContract"]

T = TypeVar("T")


def user(user_id: str = "u1", **changes: Any) -> User:
    """A user whose e-mail address begins with its id."""
    values = {"id": UserId(user_id), "email": f"{user_id}@mail.test", "password_hash": "$argon2id$"}
    return User(**{**values, **changes})


def domain(domain_id: str = "d1", admin: str = "u1", **changes: Any) -> Domain:
    """A domain of one admin, named after its id."""
    members = (Member(user_id=UserId(admin), group="admin"),)
    values = {"id": DomainId(domain_id), "name": f"{domain_id}.test", "members": members}
    return Domain(**{**values, **changes})


def alias(name: str = "alice", **changes: Any) -> Alias:
    """An alias of d1 and u1."""
    values = {"id": AliasId(f"id-{name}"), "domain_id": DomainId("d1"), "user_id": UserId("u1")}
    return Alias(**{**values, "name": name, **changes})


def credential(name: str = "c1", **changes: Any) -> Credential:
    """A credential of alice."""
    values = {
        "id": name,
        "alias_id": AliasId("id-alice"),
        "salt": b"salt\0",
        "iterations": 4096,
        "stored_key": b"s" * 32,
        "server_key": b"v" * 32,
        "wrapped_key": b"\xff\x00w",
    }
    return Credential(**{**values, **changes})


class AccountsContract:
    """The tests; ``store`` is the hook."""

    def store(self) -> AccountStore:
        """A fresh, started store."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def setUp(self) -> None:
        self.accounts = self.store()

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, object], *errors: type[Exception]) -> Exception:
        """The error of what fails at once."""
        return self.failureResultOf(Deferred.fromCoroutine(work), *errors).value

    def fill(self) -> None:
        """Two users, one domain with the first as admin and the second as user, one alias."""
        self.get(self.accounts.add_user(user("u1")))
        self.get(self.accounts.add_user(user("u2")))
        members = (
            Member(user_id=UserId("u1"), group="admin"),
            Member(user_id=UserId("u2"), group="user"),
        )
        self.get(self.accounts.add_domain(domain(members=members)))
        self.get(self.accounts.add_alias(alias()))

    def ids(self, page: Page[Any]) -> list[str]:
        """The ids of a page, in order."""
        return [item.id for item in page.items]

    # Users

    def test_user_comes_back(self) -> None:
        """Every attribute survives, and every way to look a user up finds it."""
        self.get(self.accounts.add_user(user("first")))
        full = user(
            email="Jürgen@Mail.test",
            plan="free",
            api_token_hash="ab" * 32,
            api_token_sealed=b"\0\xff",
            has_verified_email=False,
            is_banned=True,
            given_name="Jürgen",
            family_name="Ö'Neil",
            locale="da",
            timezone="Europe/Copenhagen",
            max_quota_per_alias=10**13,
            created_at=12.5,
            updated_at=13.5,
        )
        self.assertEqual(self.get(self.accounts.add_user(full)), full)
        self.assertEqual(self.get(self.accounts.user(full.id)), full)
        self.assertEqual(self.get(self.accounts.user_by_email("JÜRGEN@mail.TEST")), full)
        self.assertEqual(self.get(self.accounts.user_by_token("ab" * 32)), full)

    def test_first_user_is_admin(self) -> None:
        """The first user runs the server, later ones do not."""
        self.assertEqual(self.get(self.accounts.add_user(user("u1"))).group, "admin")
        self.assertEqual(self.get(self.accounts.add_user(user("u2"))).group, "user")
        self.assertEqual(self.get(self.accounts.user(UserId("u1"))).group, "admin")

    def test_nobody_comes_first_again(self) -> None:
        """When all who came are gone, the next one does not own the server."""
        self.get(self.accounts.add_user(user("u1")))
        self.get(self.accounts.delete_user(UserId("u1")))
        self.assertEqual(self.get(self.accounts.add_user(user("u2"))).group, "user")

    def test_user_is_unique(self) -> None:
        """Neither id, address (without case) nor token can be taken twice."""
        self.get(self.accounts.add_user(user("u1", api_token_hash="t")))
        self.fails(self.accounts.add_user(user("u1", email="x@y")), AlreadyExists)
        self.fails(self.accounts.add_user(user("u2", email="U1@MAIL.test")), AlreadyExists)
        self.fails(self.accounts.add_user(user("u2", api_token_hash="t")), AlreadyExists)
        self.get(self.accounts.add_user(user("u2")))
        work = self.accounts.update_user(UserId("u2"), 1.0, email="U1@mail.test")
        self.fails(work, AlreadyExists)
        self.assertEqual(self.get(self.accounts.user(UserId("u2"))).email, "u2@mail.test")

    def test_unknown_user(self) -> None:
        """Who is not there is not found; an empty token is nobody's."""
        self.get(self.accounts.add_user(user()))
        for work in (
            self.accounts.user(UserId("u9")),
            self.accounts.user_by_email("u9@mail.test"),
            self.accounts.user_by_token(""),
            self.accounts.user_by_token("u9"),
            self.accounts.update_user(UserId("u9"), 1.0, locale="da"),
            self.accounts.delete_user(UserId("u9")),
        ):
            self.fails(work, NotFound)

    def test_update_user(self) -> None:
        """The changes, ``updated_at`` and nothing else; the new address is found, not the old."""
        before = self.get(self.accounts.add_user(user()))
        after = self.get(self.accounts.update_user(before.id, 9.0, email="New@x.test", plan="p"))
        expected = attrs.evolve(before, email="New@x.test", plan="p", updated_at=9.0)
        self.assertEqual(after, expected)
        self.assertEqual(self.get(self.accounts.user_by_email("new@X.test")), expected)
        self.fails(self.accounts.user_by_email("u1@mail.test"), NotFound)

    def test_update_mistakes(self) -> None:
        """What is no attribute, or not the caller's to change, is a mistake in the program."""
        self.fill()
        for changes in ({"nonsense": 1}, {"id": "x"}, {"updated_at": 1.0}):
            self.fails(self.accounts.update_user(UserId("u1"), 1.0, **changes), TypeError)
            self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, **changes), TypeError)
            self.fails(self.accounts.update_alias(AliasId("id-alice"), 1.0, **changes), TypeError)
        self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, members=()), TypeError)
        self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, alias_count=3), TypeError)
        work = self.accounts.update_alias(AliasId("id-alice"), 1.0, domain_name="x")
        self.fails(work, TypeError)

    def test_delete_user(self) -> None:
        """What only the user had goes, what others share stays, and mail is not lost."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2", "u2")))
        self.get(self.accounts.add_alias(alias("own", domain_id="d2", user_id="u2")))
        self.get(self.accounts.add_alias(alias("bob", user_id="u2")))
        session = WebSession(id="s", user_id=UserId("u2"), created_at=1.0, expires_at=9.0)
        self.get(self.accounts.add_session(session))
        self.get(give_keys(self.accounts, AliasId("id-own"), [], b"k"))
        self.assertEqual(self.get(self.accounts.delete_user(UserId("u2"))), ("id-own",))
        self.fails(self.accounts.user(UserId("u2")), NotFound)
        self.fails(self.accounts.domain(DomainId("d2")), NotFound)
        self.fails(self.accounts.session("s", 2.0), NotFound)
        members = self.get(self.accounts.domain(DomainId("d1"))).members
        self.assertEqual([member.user_id for member in members], ["u1"])
        self.assertEqual(self.get(self.accounts.alias(AliasId("id-bob"))).user_id, "u1")
        self.assertEqual(self.get(self.accounts.check()), ())

    # Domains

    def test_domain_comes_back(self) -> None:
        """Every attribute survives."""
        self.fill()
        flags = {field.name for field in attrs.fields(Domain) if field.type is bool}
        chosen = {name: not getattr(domain(), name) for name in flags} | {
            "has_catchall": False,
            "has_regex": False,
        }
        full = domain(
            "d2",
            **chosen,
            plan="free",
            verification_record="abc",
            dkim_selector="fe",
            dkim_private_key=b"\0sealed",
            dkim_public_key="MII",
            max_recipients_per_alias=5,
            max_quota_per_alias=6,
            smtp_port=2525,
            retention_days=7,
            bounce_webhook="https://x.test/",
            allowlist=("a.test", "ä"),
            denylist=('"quoted"',),
            restricted_alias_names=("root",),
            last_checked_at=1.5,
            smtp_verified_at=2.5,
            created_at=3.5,
            updated_at=4.5,
        )
        added = self.get(self.accounts.add_domain(full))
        members = (Member(user_id=UserId("u1"), group="admin", email="u1@mail.test"),)
        self.assertEqual(added, attrs.evolve(full, members=members))
        self.assertEqual(self.get(self.accounts.domain(full.id)), added)

    def test_counts(self) -> None:
        """What a list of domains shows is computed from the aliases."""
        self.fill()
        bare = self.get(self.accounts.domain(DomainId("d1")))
        self.assertEqual((bare.alias_count, bare.has_catchall, bare.has_regex), (1, False, False))
        self.get(self.accounts.add_alias(alias("*", storage_used=30)))
        self.get(self.accounts.add_alias(alias("/^a/i")))
        self.get(self.accounts.update_alias(AliasId("id-alice"), 1.0, storage_used=4))
        (full,) = self.get(self.accounts.domains(None, Query())).items
        self.assertEqual((full.alias_count, full.has_catchall, full.has_regex), (3, True, True))
        self.assertEqual(full.storage_used, 34)

    def test_claims(self) -> None:
        """Several accounts may claim a name, one account only once."""
        self.fill()
        self.get(self.accounts.add_user(user("u3")))
        self.fails(self.accounts.add_domain(domain("dx", "u2", name="d1.test")), AlreadyExists)
        self.fails(self.accounts.domain(DomainId("dx")), NotFound)
        rival = domain("d3", "u3", name="d1.test", created_at=-1.0)
        self.get(self.accounts.add_domain(rival))
        claims = self.get(self.accounts.domains_named("d1.test"))
        self.assertEqual([claim.id for claim in claims], ["d3", "d1"])
        member = Member(user_id=UserId("u2"))
        self.fails(self.accounts.set_member(rival.id, member), AlreadyExists)
        self.get(self.accounts.add_domain(domain("d4", "u3")))
        work = self.accounts.update_domain(DomainId("d4"), 1.0, name="d1.test")
        self.fails(work, AlreadyExists)
        self.assertEqual(self.get(self.accounts.domain(DomainId("d4"))).name, "d4.test")

    def test_domain_mistakes(self) -> None:
        """Taken ids, strangers and double members are refused, and nothing of them stays."""
        self.fill()
        twice = (Member(user_id=UserId("u1")), Member(user_id=UserId("u1")))
        self.fails(self.accounts.add_domain(domain("d1", name="other.test")), AlreadyExists)
        self.fails(self.accounts.add_domain(domain("d2", "u9")), NotFound)
        self.fails(self.accounts.add_domain(domain("d2", members=twice)), AlreadyExists)
        stranger = Member(user_id=UserId("u9"))
        self.fails(self.accounts.set_member(DomainId("d1"), stranger), NotFound)
        for work in (
            self.accounts.domain(DomainId("d2")),
            self.accounts.update_domain(DomainId("d2"), 1.0, plan="x"),
            self.accounts.set_member(DomainId("d2"), Member(user_id=UserId("u1"))),
            self.accounts.delete_domain(DomainId("d2")),
        ):
            self.fails(work, NotFound)
        self.assertEqual(self.get(self.accounts.domains(None, Query())).total, 1)

    def test_update_domain(self) -> None:
        """The changes, ``updated_at`` and nothing else."""
        self.fill()
        before = self.get(self.accounts.domain(DomainId("d1")))
        changes = {"has_mx_record": True, "allowlist": ("x.test",), "dkim_private_key": b"k"}
        after = self.get(self.accounts.update_domain(before.id, 9.0, **changes))
        self.assertEqual(after, attrs.evolve(before, updated_at=9.0, **changes))
        self.assertEqual(self.get(self.accounts.domain(before.id)), after)

    def test_set_member(self) -> None:
        """A new member comes last; one that is there keeps its place."""
        self.fill()
        self.get(self.accounts.add_user(user("u3")))
        self.get(self.accounts.set_member(DomainId("d1"), Member(user_id=UserId("u3"))))
        changed = Member(user_id=UserId("u2"), group="admin")
        after = self.get(self.accounts.set_member(DomainId("d1"), changed))
        groups = [(member.user_id, member.group, member.email) for member in after.members]
        self.assertEqual(
            groups,
            [
                ("u1", "admin", "u1@mail.test"),
                ("u2", "admin", "u2@mail.test"),
                ("u3", "user", "u3@mail.test"),
            ],
        )

    def test_delete_domain(self) -> None:
        """Its aliases and their credentials go with it; the caller learns which are unsettled."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential()], b"key"))
        gone = self.get(self.accounts.delete_domain(DomainId("d1")))
        self.assertEqual(gone, ("id-alice",))
        self.fails(self.accounts.alias(alice), NotFound)
        self.assertEqual(self.get(self.accounts.credentials(alice)), ())
        self.fill_domain_again()

    def fill_domain_again(self) -> None:
        """Nothing of a deleted domain is in the way of a new one."""
        self.get(self.accounts.add_domain(domain()))
        self.get(self.accounts.add_alias(alias()))
        self.assertEqual(self.get(self.accounts.check()), ())

    def test_domains_of_a_user(self) -> None:
        """A user sees the domains of which it is a member, in any group."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2")))

        def seen(by: str | None) -> list[str]:
            return self.ids(self.get(self.accounts.domains(by and UserId(by), Query())))

        self.assertEqual(seen("u1"), ["d1", "d2"])
        self.assertEqual(seen("u2"), ["d1"])
        self.assertEqual(seen("u9"), [])
        self.assertEqual(seen(None), ["d1", "d2"])

    # Aliases

    def test_alias_comes_back(self) -> None:
        """Every attribute survives, and the store fills in domain and user."""
        self.fill()
        full = alias(
            "bob",
            description="Jürgen's",
            labels=("work", "ä,ö"),
            is_enabled=False,
            error_code_if_disabled=550,
            recipients=("a@x.test", "https://x.test/hook"),
            verified_recipients=("a@x.test",),
            pending_recipients=("b@x.test",),
            has_recipient_verification=True,
            has_imap=True,
            has_pgp=True,
            public_key="-----BEGIN",
            max_quota=10**12,
            retention=3,
            storage_used=5,
            vacation_responder=VacationResponder(is_enabled=True, subject="Væk", message="x\ny"),
            settings={"theme": "dark", "nested": {"list": [1, 2.5, None, True]}},
            sealing_key=b"\0key",
            created_at=1.5,
            updated_at=2.5,
        )
        expected = attrs.evolve(full, domain_name="d1.test", user_email="u1@mail.test")
        self.assertEqual(self.get(self.accounts.add_alias(full)), expected)
        self.assertEqual(self.get(self.accounts.alias(full.id)), expected)
        self.assertEqual(self.get(self.accounts.alias_named(DomainId("d1"), "bob")), expected)
        self.assertEqual(expected.address, "bob@d1.test")

    def test_alias_mistakes(self) -> None:
        """Taken names and strangers are refused; what is not there is not found."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        self.fails(self.accounts.add_alias(alias("carol", id="id-bob")), AlreadyExists)
        self.fails(self.accounts.add_alias(alias("bob", id="other")), AlreadyExists)
        self.fails(self.accounts.add_alias(alias("carol", domain_id="d9")), NotFound)
        self.fails(self.accounts.add_alias(alias("carol", user_id="u9")), NotFound)
        work = self.accounts.update_alias(AliasId("id-bob"), 1.0, name="alice")
        self.fails(work, AlreadyExists)
        for work in (
            self.accounts.alias(AliasId("x")),
            self.accounts.alias_named(DomainId("d1"), "carol"),
            self.accounts.alias_named(DomainId("d9"), "bob"),
            self.accounts.update_alias(AliasId("x"), 1.0, retention=1),
            self.accounts.delete_alias(AliasId("x")),
        ):
            self.fails(work, NotFound)

    def test_update_alias(self) -> None:
        """The changes, ``updated_at`` and nothing else."""
        self.fill()
        before = self.get(self.accounts.alias(AliasId("id-alice")))
        changes = {
            "recipients": ("x@y.test",),
            "has_imap": True,
            "settings": {"a": 1},
            "vacation_responder": VacationResponder(is_enabled=True),
        }
        after = self.get(self.accounts.update_alias(before.id, 9.0, **changes))
        self.assertEqual(after, attrs.evolve(before, updated_at=9.0, **changes))
        self.assertEqual(self.get(self.accounts.alias(before.id)), after)

    def test_delete_alias(self) -> None:
        """The caller gets what it was; the name is free again."""
        self.fill()
        alice = self.get(self.accounts.alias(AliasId("id-alice")))
        keys = self.get(give_keys(self.accounts, alice.id, [credential()], b"k"))
        gone = self.get(self.accounts.delete_alias(alice.id))
        self.assertEqual(gone, attrs.evolve(alice, sealing_key=b"k", epoch=keys.epoch))
        self.assertEqual(self.get(self.accounts.credentials(alice.id)), ())
        self.get(self.accounts.add_alias(alias()))

    def test_aliases_of_a_user(self) -> None:
        """A list is of one domain, and perhaps of one user."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2")))
        self.get(self.accounts.add_alias(alias("other", domain_id="d2")))
        self.get(self.accounts.add_alias(alias("bob", user_id="u2")))
        listed = self.get(self.accounts.aliases(DomainId("d1"), Query()))
        self.assertEqual(self.ids(listed), ["id-alice", "id-bob"])
        mine = self.get(self.accounts.aliases(DomainId("d1"), Query(), UserId("u2")))
        self.assertEqual(self.ids(mine), ["id-bob"])

    # Lists

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

    # Routing and login

    def test_route_rows(self) -> None:
        """A claim comes with what may match: the name, all patterns, the catch-all."""
        self.fill()
        for name in ("/^x/", "*", "/^y/"):
            self.get(self.accounts.add_alias(alias(name, is_enabled=False)))
        (rows,) = self.get(self.accounts.route_rows("alice", "d1.test"))
        self.assertEqual(rows.domain, self.get(self.accounts.domain(DomainId("d1"))))
        self.assertEqual(rows.named, self.get(self.accounts.alias(AliasId("id-alice"))))
        self.assertEqual([row.name for row in rows.patterns], ["/^x/", "/^y/"])
        self.assertEqual(rows.catchall and rows.catchall.name, "*")
        self.assertTrue(rows.owner_is_admin)
        for local in ("nobody", "*", "/^x/", "Alice"):
            (rows,) = self.get(self.accounts.route_rows(local, "d1.test"))
            self.assertIsNone(rows.named)
        self.assertEqual(self.get(self.accounts.route_rows("alice", "d2.test")), ())

    def test_route_rows_without_aliases(self) -> None:
        """A domain without aliases is still ours."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2", "u2")))
        (rows,) = self.get(self.accounts.route_rows("x", "d2.test"))
        self.assertEqual((rows.named, rows.patterns, rows.catchall), (None, (), None))
        self.assertFalse(rows.owner_is_admin)

    def test_order_of_claims(self) -> None:
        """Verified first, then those of server admins, then by age."""
        self.fill()
        for index, group in enumerate(("user", "admin", "user", "user"), start=3):
            self.get(self.accounts.add_user(user(f"u{index}", group=group)))
        for name, admin, has_txt_record, created_at in (
            ("old", "u2", False, 1.0),
            ("new", "u3", False, 2.0),
            ("admins", "u4", False, 3.0),
            ("verified", "u5", True, 4.0),
        ):
            claim = domain(name, admin, name="x.test", has_txt_record=has_txt_record)
            self.get(self.accounts.add_domain(attrs.evolve(claim, created_at=created_at)))
            self.get(self.accounts.add_alias(alias("a", id=f"a-{name}", domain_id=name)))
        order = ["verified", "admins", "old", "new"]
        rows = self.get(self.accounts.route_rows("a", "x.test"))
        self.assertEqual([row.domain.id for row in rows], order)
        pairs = self.get(self.accounts.aliases_at("a", "x.test"))
        self.assertEqual([claim.id for _, claim in pairs], order)
        self.assertEqual([found.id for found, _ in pairs], [f"a-{name}" for name in order])
        self.assertEqual(self.get(self.accounts.aliases_at("b", "x.test")), ())

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
            self.get(self.accounts.log(LogEntry(id=f"l{number}", created_at=1.0, kind="k")))
        lists: dict[str, Any] = {
            "u": self.accounts.users,
            "d": partial(self.accounts.domains, None),
            "l": partial(self.accounts.logs, ""),
        }
        for letter, ask in lists.items():
            names = [f"{letter}{number}" for number in range(5)]
            expected = list(reversed(names)) if letter == "l" else names
            self.assertEqual(self.walked(ask), expected)
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

    # Credentials

    def test_keys(self) -> None:
        """Every attribute survives, oldest first; they are replaced in one step."""
        self.fill()
        alice = AliasId("id-alice")
        self.assertEqual(self.get(self.accounts.keys(alice)), MailboxKeys(alias_id=alice, epoch=0))
        first = credential("c1", description="Phone", created_at=2.0, last_used_at=3.0)
        second = credential("c2", kind="recovery", created_at=1.0)
        wanted = MailboxKeys(
            alias_id=alice, epoch=0, sealing_key=b"public", credentials=(first, second)
        )
        keys = self.get(self.accounts.set_keys(wanted, 5.0, 5.0))
        self.assertEqual(keys, attrs.evolve(wanted, epoch=1, credentials=(second, first)))
        self.assertEqual(self.get(self.accounts.keys(alice)), keys)
        self.assertEqual(self.get(self.accounts.credentials(alice)), (second, first))
        row = self.get(self.accounts.alias(alice))
        self.assertEqual((row.sealing_key, row.epoch, row.updated_at), (b"public", 1, 5.0))
        third = credential("c3")
        wanted = attrs.evolve(keys, credentials=(second, third), sealing_key=b"other")
        keys = self.get(self.accounts.set_keys(wanted, 6.0, 6.0))
        self.assertEqual(self.get(self.accounts.credentials(alice)), (third, second))
        self.assertEqual((keys.epoch, keys.sealing_key), (2, b"other"))

    def test_keys_are_compared(self) -> None:
        """Who read other keys than there are changes nothing, whatever the difference is."""
        self.fill()
        alice = AliasId("id-alice")
        read = self.get(self.accounts.keys(alice))
        mine = attrs.evolve(read, credentials=(credential("mine"),), sealing_key=b"mine")
        theirs = attrs.evolve(read, credentials=(credential("theirs"),), sealing_key=b"theirs")
        won = self.get(self.accounts.set_keys(mine, 1.0, 1.0))
        self.fails(self.accounts.set_keys(theirs, 2.0, 2.0), Conflict)
        self.assertEqual(self.get(self.accounts.keys(alice)), won)
        fenced = self.get(self.accounts.fence(alice))
        self.assertEqual(fenced, attrs.evolve(won, epoch=won.epoch + 1))
        self.fails(self.accounts.set_keys(won, 3.0, 3.0), Conflict)
        self.get(self.accounts.set_keys(fenced, 4.0, 4.0))

    def test_used_meanwhile(self) -> None:
        """A slot that stays keeps when it was used, whatever the caller knew of that."""
        self.fill()
        alice = AliasId("id-alice")
        keys = self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        self.get(self.accounts.touch_credential("c1", 77.0))
        wanted = attrs.evolve(keys, credentials=(*keys.credentials, credential("c2")))
        made = self.get(self.accounts.set_keys(wanted, 1.0, 1.0))
        self.assertEqual([row.last_used_at for row in made.credentials], [77.0, 0.0])

    def test_key_mistakes(self) -> None:
        """All or nothing; other aliases' credentials are out of reach."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        alice, bob = AliasId("id-alice"), AliasId("id-bob")
        self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        same = credential("c1", alias_id=bob)
        self.fails(give_keys(self.accounts, bob, [same], b"k"), AlreadyExists)
        self.fails(give_keys(self.accounts, bob, [credential("c2")], b"k"), NotFound)
        self.assertEqual(self.get(self.accounts.keys(bob)), MailboxKeys(alias_id=bob, epoch=0))
        self.assertEqual(len(self.get(self.accounts.credentials(alice))), 1)
        nobody = AliasId("x")
        self.fails(self.accounts.keys(nobody), NotFound)
        self.fails(self.accounts.fence(nobody), NotFound)
        self.fails(
            self.accounts.set_keys(MailboxKeys(alias_id=nobody, epoch=0), 1.0, 1.0), NotFound
        )

    def test_outbox(self) -> None:
        """Whatever changes keys or ends an alias leaves a note, until it is settled."""
        self.fill()
        for name in ("bob", "carol", "dan"):
            self.get(self.accounts.add_alias(alias(name)))
        alice, bob, carol = AliasId("id-alice"), AliasId("id-bob"), AliasId("id-carol")
        unsettled = lambda now, after="": self.get(self.accounts.unsettled(now, after))  # noqa: E731
        self.assertEqual(unsettled(9.0), ())
        for alias_id in (alice, bob, carol):
            keys = self.get(self.accounts.keys(alias_id))
            self.get(self.accounts.set_keys(attrs.evolve(keys, sealing_key=b"k"), 5.0, 7.0))
        self.assertEqual(unsettled(6.9), ())
        self.assertEqual(unsettled(7.0), (alice, bob, carol))
        self.assertEqual(unsettled(7.0, alice), (bob, carol))
        self.get(self.accounts.settled(alice, 0))
        self.get(self.accounts.settled(bob, 1))
        self.assertEqual(unsettled(7.0), (alice, carol))
        self.get(self.accounts.settled(alice, 1))
        self.get(self.accounts.delete_alias(carol))
        self.get(self.accounts.delete_domain(DomainId("d1")))
        self.assertEqual(unsettled(0.0), (alice, bob, carol))
        self.get(self.accounts.settled(carol, 5))
        self.get(self.accounts.settled(bob, EPOCH_OF_THE_GONE))
        self.assertEqual(unsettled(0.0), (alice, carol))

    def test_outbox_pages(self) -> None:
        """However many there are, asking from the last one on finds all."""
        self.fill()
        names = [f"n{number:03}" for number in range(UNSETTLED_AT_ONCE + 1)]
        for name in names:
            row = self.get(self.accounts.add_alias(alias(name)))
            self.get(self.accounts.set_keys(MailboxKeys(alias_id=row.id, epoch=0), 0.0, 0.0))
        first = self.get(self.accounts.unsettled(0.0))
        self.assertEqual(len(first), UNSETTLED_AT_ONCE)
        second = self.get(self.accounts.unsettled(0.0, first[-1]))
        self.assertEqual((*first, *second), tuple(f"id-{name}" for name in names))

    def test_compared_updates(self) -> None:
        """A change that says what it read fails when that is not so any more."""
        self.fill()
        owner, name = UserId("u1"), DomainId("d1")
        work = self.accounts.update_user(owner, 5.0, {"locale": "da"}, given_name="X")
        self.fails(work, Conflict)
        self.assertEqual(self.get(self.accounts.user(owner)).given_name, "")
        self.get(self.accounts.update_user(owner, 5.0, {"locale": "en"}, given_name="Y"))
        self.assertEqual(self.get(self.accounts.user(owner)).given_name, "Y")
        for key in (b"first", b"second"):
            work = self.accounts.update_domain(name, 5.0, {"webhook_key": b""}, webhook_key=key)
            if key == b"first":
                self.get(work)
            else:
                self.fails(work, Conflict)
        self.assertEqual(self.get(self.accounts.domain(name)).webhook_key, b"first")
        self.fails(self.accounts.update_domain(DomainId("x"), 5.0, {"plan": "x"}), NotFound)
        alice, settings = AliasId("id-alice"), {"mail": {"sent_folder": "é"}}
        self.get(self.accounts.update_alias(alice, 5.0, {"settings": {}}, settings=settings))
        work = self.accounts.update_alias(alice, 6.0, {"settings": {}}, settings={})
        self.fails(work, Conflict)
        self.get(self.accounts.update_alias(alice, 7.0, {"settings": settings}, retention=7))
        self.assertEqual(self.get(self.accounts.alias(alice)).settings, settings)

    def test_touch_credential(self) -> None:
        """The time of use is kept; a credential that just went is no error."""
        self.fill()
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        self.get(self.accounts.touch_credential("c1", 77.0))
        self.get(self.accounts.touch_credential("gone", 77.0))
        (row,) = self.get(self.accounts.credentials(alice))
        self.assertEqual(row, credential("c1", last_used_at=77.0))

    # Sessions, settings, log

    def test_sessions(self) -> None:
        """A session is good until it expires or is deleted."""
        self.fill()
        session = WebSession(
            id="s", user_id=UserId("u1"), created_at=1.0, expires_at=9.0, remote="192.0.2.1"
        )
        self.get(self.accounts.add_session(session))
        owner = self.get(self.accounts.user(UserId("u1")))
        self.assertEqual(self.get(self.accounts.session("s", 8.9)), (session, owner))
        self.fails(self.accounts.session("s", 9.0), NotFound)
        self.fails(self.accounts.session("t", 1.0), NotFound)
        self.fails(self.accounts.add_session(session), AlreadyExists)
        stranger = attrs.evolve(session, id="t", user_id=UserId("u9"))
        self.fails(self.accounts.add_session(stranger), NotFound)
        self.get(self.accounts.delete_session("s"))
        self.get(self.accounts.delete_session("s"))
        self.fails(self.accounts.session("s", 2.0), NotFound)

    def test_delete_sessions(self) -> None:
        """Every session of one user ends, nobody else's."""
        self.fill()
        for name, owner in (("a", "u1"), ("b", "u1"), ("c", "u2")):
            self.get(
                self.accounts.add_session(
                    WebSession(id=name, user_id=UserId(owner), created_at=1.0, expires_at=9.0)
                )
            )
        self.get(self.accounts.delete_sessions(UserId("u1")))
        self.get(self.accounts.delete_sessions(UserId("u9")))
        for gone in "ab":
            self.fails(self.accounts.session(gone, 2.0), NotFound)
        self.assertEqual(self.get(self.accounts.session("c", 2.0))[1].id, "u2")

    def test_settings(self) -> None:
        """Unset is empty; the last value stays."""
        self.assertEqual(self.get(self.accounts.setting("x")), "")
        self.get(self.accounts.set_setting("x", "1"))
        self.get(self.accounts.set_setting("x", "æ"))
        self.assertEqual(self.get(self.accounts.setting("x")), "æ")
        self.assertEqual(self.get(self.accounts.setting("y")), "")

    def test_log(self) -> None:
        """Newest first, by domain, alias and kind; an entry is written once."""
        entries = [
            LogEntry(id="1", created_at=1.0, kind="delivered", domain_id="d1", alias_id="a1"),
            LogEntry(id="2", created_at=3.0, kind="failed", domain_id="d1", remote="192.0.2.9"),
            LogEntry(id="3", created_at=2.0, kind="failed", domain_id="d2", user_id="u1"),
            LogEntry(id="4", created_at=2.0, kind="failed", detail={"to": "Bob@x", "n": "[1]"}),
        ]
        for entry in (*entries, attrs.evolve(entries[0], kind="other")):
            self.get(self.accounts.log(entry))

        def listed(domain_id: str = "", alias_id: str = "", kind: str = "", **query: Any) -> str:
            page = self.get(self.accounts.logs(domain_id, Query(**query), alias_id, kind))
            return "".join(self.ids(page))

        self.assertEqual(listed(), "2431")
        self.assertEqual(listed("d1"), "21")
        self.assertEqual(listed("d1", kind="delivered"), "1")
        self.assertEqual(listed(alias_id="a1"), "1")
        self.assertEqual(listed(kind="failed"), "243")
        self.assertEqual(listed(q="bob"), "4")
        self.assertEqual(listed(q="[1"), "4")
        self.assertEqual(listed(q="to"), "")
        self.assertEqual(listed(q="192.0.2"), "2")
        self.assertEqual(listed(sort="created_at"), "1432")
        self.assertEqual(listed(limit=2, page=2), "31")
        page = self.get(self.accounts.logs("", Query(q="bob")))
        self.assertEqual(page.items, (entries[3],))

    def test_purge(self) -> None:
        """What is over goes, what is not stays."""
        self.fill()
        for name, expires_at in (("old", 50.0), ("new", 101.0)):
            session = WebSession(
                id=name, user_id=UserId("u1"), created_at=1.0, expires_at=expires_at
            )
            self.get(self.accounts.add_session(session))
            self.get(self.accounts.log(LogEntry(id=name, created_at=expires_at, kind="k")))
        self.get(self.accounts.purge(100.0, 40.0))
        self.fails(self.accounts.session("old", 1.0), NotFound)
        self.get(self.accounts.session("new", 100.0))
        self.assertEqual(self.ids(self.get(self.accounts.logs("", Query()))), ["new"])

    def test_check(self) -> None:
        """A store in order says nothing; broken invariants are named."""
        self.fill()
        self.assertEqual(self.get(self.accounts.check()), ())
        self.get(self.accounts.add_domain(domain("d2", members=())))
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential()], b""))
        self.assertEqual(
            self.get(self.accounts.check()),
            ("Domain d2 has no admin.", "Alias id-alice has credentials but no mailbox."),
        )
