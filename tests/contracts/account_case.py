"""What the suites of the accounts share: a store of all five ports, and rows to put into it."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from fe_mail.model.account import Alias, Credential, Domain, Member, User
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page
from fe_mail.ports import AliasStore, DomainStore, SessionStore, SettingStore, UserStore

__all__ = ["AccountCase", "AccountStores", "alias", "credential", "domain", "user"]

T = TypeVar("T")


class AccountStores(UserStore, DomainStore, AliasStore, SessionStore, SettingStore, Protocol):
    """One store of everything: rows refer to rows of the other ports."""

    async def stop(self) -> None:
        """Finish and close."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""


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


class AccountCase:
    """Base of the suites; ``store`` is the hook."""

    def store(self) -> AccountStores:
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
