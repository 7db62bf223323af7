"""
What would be lost: the numbers that stand on a page before something is destroyed.

Mail is counted in octets: how many messages a locked mailbox holds, only its password tells.
"""

from typing import Protocol

import attrs

from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.page import every
from fe_mail.ports import AliasStore, DomainStore, MailboxStore

__all__ = ["Stake", "Stakes"]


@attrs.frozen(kw_only=True)
class Stake:
    """``passwords`` open ``mailboxes``, which hold ``octets`` of mail."""

    domains: int = 0
    aliases: int = 0
    mailboxes: int = 0
    passwords: int = 0
    octets: int = 0

    def __add__(self, other: "Stake") -> "Stake":
        mine, others = attrs.astuple(self), attrs.astuple(other)
        names = attrs.fields_dict(Stake)
        return Stake(**{n: a + b for n, a, b in zip(names, mine, others, strict=True)})


class StakeRecords(AliasStore, DomainStore, Protocol):
    """What is asked."""


class Stakes:
    """Counts, and changes nothing."""

    def __init__(self, accounts: StakeRecords, mailboxes: MailboxStore) -> None:
        self._accounts = accounts
        self._mailboxes = mailboxes

    async def of_alias(self, alias: Alias) -> Stake:
        """An alias with its mailbox, if there is one."""
        return Stake(aliases=1) + await self.of_mailbox(alias)

    async def of_mailbox(self, alias: Alias) -> Stake:
        """The mailbox alone."""
        if not alias.sealing_key:
            return Stake()
        credentials = await self._accounts.credentials(alias.id)
        return Stake(
            mailboxes=1,
            passwords=sum(each.kind == "password" for each in credentials),
            octets=await self._mailboxes.used_octets(alias.id),
        )

    async def of_domain(self, domain: Domain) -> Stake:
        """A domain with all its aliases; sizes as the last look at each mailbox found them."""
        stake = Stake(domains=1)
        async for alias in every(lambda query: self._accounts.aliases(domain.id, query)):
            has_mailbox = int(bool(alias.sealing_key))
            stake += Stake(aliases=1, mailboxes=has_mailbox, octets=alias.storage_used)
        return stake

    async def of_user(self, user: User) -> Stake:
        """An account with the domains that nobody else administers."""
        stake = Stake()
        async for domain in every(lambda query: self._accounts.domains(user.id, query)):
            admins = {member.user_id for member in domain.members if member.group == "admin"}
            if not admins - {user.id}:
                stake += await self.of_domain(domain)
        return stake
