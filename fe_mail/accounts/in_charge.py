"""
Who is in charge of a domain, and whom mail for ``postmaster`` and ``abuse`` finds in the end.

A domain's admins come first, then the server's; people who are banned are nobody. Nobody becomes an
admin of a server after its first account, so they are few, however many users there are.

RFC 5321 §4.5.1; RFC 2142 §4.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from fe_mail.accounts.glance import Records
from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.errors import NotFound
from fe_mail.model.page import Page, Query

__all__ = ["ROLES", "domain_admins", "is_admin", "mailboxes_of", "server_admins"]

ROLES = frozenset({"postmaster", "abuse"})
MAX_PEOPLE = 20  # admins of one domain, and of the server
MAX_DOMAINS = 20  # in which a mailbox of one of them is looked for
MAX_MAILBOXES = 20  # of one of them, in one domain


def is_admin(user: User, domain: Domain) -> bool:
    """May the user change the domain? Its admins, and the server's."""
    return user.group == "admin" or any(
        member.user_id == user.id and member.group == "admin" for member in domain.members
    )


class People(Protocol):
    """Where users are listed."""

    async def users(self, query: Query) -> Page[User]:
        """All of them."""


async def server_admins(accounts: People) -> tuple[User, ...]:
    """Who runs the server, the oldest first. Sorted by group, admins stand before users."""
    page = await accounts.users(Query(sort="group", limit=MAX_PEOPLE))
    return tuple(user for user in page.items if user.group == "admin" and not user.is_banned)


async def domain_admins(accounts: Records, domain: Domain) -> tuple[User, ...]:
    """Who runs the domain."""
    found = []
    for member in [each for each in domain.members if each.group == "admin"][:MAX_PEOPLE]:
        try:
            user = await accounts.user(member.user_id)
        except NotFound:
            continue
        if not user.is_banned:
            found.append(user)
    return tuple(found)


async def mailboxes_of(
    accounts: Records, user: User, within: Domain | None = None
) -> AsyncIterator[Alias]:
    """The user's own mailboxes that can take mail now, in one domain or in all."""
    domains: tuple[Domain, ...] = (within,) if within else ()
    if within is None:
        domains = (await accounts.domains(user.id, Query(limit=MAX_DOMAINS))).items
    for domain in domains:
        query = Query(sort="-has_imap", limit=MAX_MAILBOXES)
        for alias in (await accounts.aliases(domain.id, query, user.id)).items:
            if alias.has_imap and alias.is_enabled and alias.sealing_key:
                yield alias
