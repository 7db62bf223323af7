"""What goes for good, in numbers, before anybody says yes: as of now, however long it takes."""

from collections.abc import AsyncIterator
from functools import partial

from fe_mail.accounts.stakes import Stake
from fe_mail.app.cli.terminal import counted
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Domain, User
from fe_mail.model.page import every

__all__ = ["domains_that_go", "stake_of_domain", "stake_of_user", "text_of"]


def text_of(stake: Stake) -> str:
    """Without what there is none of, but an empty mailbox is said to be empty."""
    parts = [
        counted(stake.domains, "domain") if stake.domains else "",
        counted(stake.aliases, "alias", "aliases") if stake.aliases else "",
        _mailboxes(stake) if stake.mailboxes else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing else"


def _mailboxes(stake: Stake) -> str:
    mailboxes = counted(stake.mailboxes, "mailbox", "mailboxes")
    mail = f"{counted(stake.octets, 'octet')} of mail"
    return f"{mailboxes} with {mail}, {counted(stake.passwords, 'sign-in')} of mail programs"


async def stake_of_domain(services: Inside, domain: Domain) -> Stake:
    """It, and everything at it."""
    stake = Stake(domains=1)
    async for alias in every(partial(services.stores.accounts.aliases, domain.id)):
        stake += await services.stakes.of_alias(alias)
    return stake


async def domains_that_go(services: Inside, user: User) -> AsyncIterator[Domain]:
    """Those that nobody else looks after."""
    async for domain in every(partial(services.stores.accounts.domains, user.id)):
        others = (each for each in domain.members if each.user_id != user.id)
        if not any(each.group == "admin" for each in others):
            yield domain


async def stake_of_user(services: Inside, user: User) -> Stake:
    """The domains that go with the account; its aliases in others pass to their admins."""
    stake = Stake()
    async for domain in domains_that_go(services, user):
        stake += await stake_of_domain(services, domain)
    return stake
