"""What goes for good with an alias, a domain or an account: in numbers, before anybody says yes."""

from collections.abc import AsyncIterator
from functools import partial

import attrs

from fe_mail.app.cli.terminal import counted
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.page import every

__all__ = ["Loss", "domains_that_go", "loss_of_alias", "loss_of_domain", "loss_of_user"]


@attrs.frozen(kw_only=True)
class Loss:
    """``sign_ins`` are the passwords with which mail programs sign in."""

    domains: int = 0
    aliases: int = 0
    mailboxes: int = 0
    octets: int = 0
    sign_ins: int = 0

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(
            domains=self.domains + other.domains,
            aliases=self.aliases + other.aliases,
            mailboxes=self.mailboxes + other.mailboxes,
            octets=self.octets + other.octets,
            sign_ins=self.sign_ins + other.sign_ins,
        )

    @property
    def text(self) -> str:
        """Without what there is none of; messages are encrypted, so nobody can count them."""
        parts = [
            counted(self.domains, "domain") if self.domains else "",
            counted(self.aliases, "alias", "aliases") if self.aliases else "",
            self.text_of_mailboxes if self.mailboxes else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing else"

    @property
    def text_of_mailboxes(self) -> str:
        """Only what is in them, and who comes in."""
        mailboxes = counted(self.mailboxes, "mailbox", "mailboxes")
        octets, sign_ins = counted(self.octets, "octet"), counted(self.sign_ins, "sign-in")
        return f"{mailboxes} with {octets} of mail, {sign_ins} of mail programs"


async def loss_of_alias(services: Inside, alias: Alias) -> Loss:
    """It, its mailbox, and its passwords."""
    if not alias.sealing_key:
        return Loss(aliases=1)
    credentials = await services.stores.accounts.credentials(alias.id)
    return Loss(
        aliases=1,
        mailboxes=1,
        octets=await services.stores.mailboxes.used_octets(alias.id),
        sign_ins=sum(each.kind == "password" for each in credentials),
    )


async def loss_of_domain(services: Inside, domain: Domain) -> Loss:
    """It, and everything at it."""
    loss = Loss(domains=1)
    async for alias in every(partial(services.stores.accounts.aliases, domain.id)):
        loss += await loss_of_alias(services, alias)
    return loss


async def domains_that_go(services: Inside, user: User) -> AsyncIterator[Domain]:
    """Those that nobody else looks after."""
    async for domain in every(partial(services.stores.accounts.domains, user.id)):
        others = (each for each in domain.members if each.user_id != user.id)
        if not any(each.group == "admin" for each in others):
            yield domain


async def loss_of_user(services: Inside, user: User) -> Loss:
    """The domains that go with the account; its aliases in others pass to their admins."""
    loss = Loss()
    async for domain in domains_that_go(services, user):
        loss += await loss_of_domain(services, domain)
    return loss
