"""
The accounts at one moment: each thing is asked of the store once, however often it is wanted.

Where the mail of a whole page of aliases would go rests on few rows: the same owner, the same
domains outside. A glance serves one request and is thrown away with it, so nothing in it grows old.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol, TypeVar, cast

from fe_mail.model.account import Alias, Domain, RouteRows, User
from fe_mail.model.ids import DomainId, UserId
from fe_mail.model.page import Page, Query

__all__ = ["Glance", "Records"]

T = TypeVar("T")


class Records(Protocol):
    """What the resolver asks of the accounts, as their ports have it."""

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """Every claim on the domain with what routing ``local`` needs."""

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """The aliases of a domain; with ``user_id`` only that user's."""

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""

    async def user(self, user_id: UserId) -> User:
        """By id."""

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""


class Glance:
    """``Records`` that answer a question again as they did before."""

    def __init__(self, accounts: Records) -> None:
        self._accounts = accounts
        self._seen: dict[Hashable, object] = {}
        self._outside: set[str] = set()  # domains that nobody claims

    async def _once(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        if question not in self._seen:
            self._seen[question] = await ask()
        return cast(T, self._seen[question])

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """None for any name of a domain of which there were none."""
        if domain_name in self._outside:
            return ()
        ask = self._accounts.route_rows
        rows = await self._once((local, domain_name), lambda: ask(local, domain_name))
        if not rows:
            self._outside.add(domain_name)
        return rows

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """As they were."""
        question = ("aliases", domain_id, query, user_id)
        return await self._once(question, lambda: self._accounts.aliases(*question[1:]))

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """As they were."""
        question = ("domains", user_id, query)
        return await self._once(question, lambda: self._accounts.domains(*question[1:]))

    async def user(self, user_id: UserId) -> User:
        """As it was."""
        return await self._once(("user", user_id), lambda: self._accounts.user(user_id))

    async def users(self, query: Query) -> Page[User]:
        """As they were."""
        return await self._once(("users", query), lambda: self._accounts.users(query))
