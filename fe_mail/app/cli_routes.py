"""``fe-mail route``, and what the other commands say of mail that leads nowhere."""

import argparse
from collections.abc import AsyncIterator, Iterable
from functools import partial

from fe_mail.accounts.explaining import explain, may_see_all
from fe_mail.app.wiring import Inside
from fe_mail.model.address import display_address, display_domain, parse_address
from fe_mail.model.page import every
from fe_mail.model.route import Route
from fe_mail.model.sentence import Sentence

__all__ = ["dead_ends", "print_warnings", "route", "unheard"]


def print_warnings(sentences: Iterable[Sentence]) -> None:
    """What a command has left behind that leads nowhere."""
    for sentence in sentences:
        print(f"Note: {sentence}")


async def route(services: Inside, options: argparse.Namespace) -> int:
    """``fe-mail route [ADDRESS]``: where it goes; without one, everything that leads nowhere."""
    if options.address is None:
        return await _everything(services)
    address = parse_address(options.address)
    found = await services.router.route(address)
    if not found.is_hosted:
        claims = await services.stores.accounts.domains_named(address.domain)
        if not claims:
            print(f"{options.address} is not at a domain of this server.")
            return 1
        print_warnings((await services.prospects.of_domain(None, claims[0]))[:1])
        print("Once it is proven:")
        found = await services.router.route(address, claim=claims[0].id)
    _print_route(found)
    return 0


def _print_route(found: Route) -> None:
    for step in found.trail:
        print(f"by way of  {display_address(step)}")
    for target in found.targets:
        print(f"{target.courier:<9}  {display_address(target.address)}")
    if found.refusal:
        print(f"refused    {found.refusal.code} {found.refusal.enhanced} {found.refusal.text}")
    elif not found.targets:
        print("dropped    accepted and thrown away (the alias is disabled)")
    for end in found.dead_ends:
        print(f"note       {explain(found, end, may_see_all)}")


async def _everything(services: Inside) -> int:
    """0 when every address that is there leads somewhere."""
    found = [text async for text in dead_ends(services)]
    for text in found:
        print(text)
    print(f"{len(found)} of them." if found else "Every address leads somewhere.")
    return 1 if found else 0


async def unheard(services: Inside) -> AsyncIterator[str]:
    """The domains whose mail is not taken, and those where nobody hears of trouble."""
    async for domain in every(partial(services.stores.accounts.domains, None)):
        for sentence in await services.prospects.of_domain(None, domain):
            yield f"{display_domain(domain.name)}: {sentence}"


async def dead_ends(services: Inside) -> AsyncIterator[str]:
    """One line for each domain, alias and account whose mail leads nowhere, or not everywhere."""
    accounts = services.stores.accounts
    async for text in unheard(services):
        yield text
    async for domain in every(partial(accounts.domains, None)):
        async for alias in every(partial(accounts.aliases, domain.id)):
            for sentence in await services.prospects.ways_of(None, domain, alias):
                yield f"{display_address(alias.address)}: {sentence}"
    async for user in every(accounts.users):
        for sentence in (await services.prospects.of_account(user))[:1]:
            yield f"account {display_address(user.email)}: {sentence}"
