"""
Leaving: an account goes, with everything that nobody else looks after.

Domains without another admin go with their aliases and mailboxes; aliases in other domains pass to
an admin there. A server keeps at least one admin: nobody who registers later becomes one, so
without any it could not be run any more.
"""

from typing import Protocol

from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.users import Users
from fe_mail.model.account import User
from fe_mail.model.errors import Conflict, PermissionDenied
from fe_mail.model.page import Query
from fe_mail.ports import AliasStore, Bus, MailboxStore, UserStore

__all__ = ["Departure"]


class DepartureRecords(AliasStore, UserStore, Protocol):
    """What the end of an account asks."""


class Departure:
    """The end of accounts."""

    def __init__(
        self, accounts: DepartureRecords, users: Users, mailboxes: MailboxStore, bus: Bus
    ) -> None:
        self._accounts = accounts
        self._users = users
        self._aftermath = Aftermath(accounts, mailboxes, bus)

    async def refuse_last_admin(self, user: User) -> None:
        """``PermissionDenied`` for whom ``leave`` would refuse: better before the question."""
        if user.group != "admin":
            return
        first = await self._accounts.users(Query(sort="group", limit=2))  # admins before users
        if not any(other.group == "admin" and other.id != user.id for other in first.items):
            raise _last_admin()

    async def leave(self, user: User, password: str) -> None:
        """Delete the account. ``AuthenticationFailed``, ``RateLimited``, ``PermissionDenied``."""
        await self._users.confirm(user, password)
        await self.remove(user)

    async def remove(self, user: User) -> None:
        """The same on the operator's word. ``PermissionDenied`` for the last admin."""
        try:
            gone = await self._accounts.delete_user(user.id, keeps_an_admin=True)
        except Conflict:
            raise _last_admin() from None
        await self._aftermath.follow(gone)


def _last_admin() -> PermissionDenied:
    return PermissionDenied(
        "You are the only administrator of this server, so your account has to stay."
    )
