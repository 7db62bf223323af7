"""``fe-mail route``, and what the other commands say of mail that leads nowhere."""

from collections.abc import AsyncIterator, Iterable
from functools import partial

from fe_mail.accounts.explaining import explain, may_see_all
from fe_mail.app.cli.command import DONE, REFUSED, Command, Options, argument
from fe_mail.app.cli.terminal import say
from fe_mail.app.wiring import Inside
from fe_mail.model.address import display_address, display_domain, parse_address
from fe_mail.model.page import every
from fe_mail.model.route import Route
from fe_mail.model.sentence import Sentence

__all__ = ["COMMANDS", "print_warnings", "unheard"]


def print_warnings(sentences: Iterable[Sentence]) -> None:
    """What a command has left behind that leads nowhere."""
    for sentence in sentences:
        say(f"Note: {sentence}")


async def _route(services: Inside, options: Options) -> int:
    """Where it goes; without an address, everything that leads nowhere."""
    if options.address is None:
        return await _everything(services)
    address = parse_address(options.address)
    found = await services.router.route(address)
    if not found.is_hosted:
        claims = await services.stores.accounts.domains_named(address.domain)
        if not claims:
            say(f"{options.address} is not at a domain of this server.")
            return REFUSED
        print_warnings((await services.prospects.of_domain(None, claims[0]))[:1])
        say("Once it is proven:")
        found = await services.router.route(address, claim=claims[0].id)
    _print_route(found)
    return REFUSED if found.refusal else DONE


def _print_route(found: Route) -> None:
    for step in found.trail:
        say(f"by way of  {display_address(step)}")
    for target in found.targets:
        say(f"{target.courier:<9}  {display_address(target.address)}")
    if found.refusal:
        say(f"refused    {found.refusal.code} {found.refusal.enhanced} {found.refusal.text}")
    elif not found.targets:
        say("dropped    accepted and thrown away (the alias is disabled)")
    for end in found.dead_ends:
        say(f"note       {explain(found, end, may_see_all)}")


async def _everything(services: Inside) -> int:
    """0 when every address that is there leads somewhere."""
    count = 0
    async for text in _dead_ends(services):
        say(text)
        count += 1
    say(f"{count} of them." if count else "Every address leads somewhere.")
    return REFUSED if count else DONE


async def unheard(services: Inside) -> AsyncIterator[str]:
    """The domains whose mail is not taken, and those where nobody hears of trouble."""
    async for domain in every(partial(services.stores.accounts.domains, None)):
        for sentence in await services.prospects.of_domain(None, domain):
            yield f"{display_domain(domain.name)}: {sentence}"


async def _dead_ends(services: Inside) -> AsyncIterator[str]:
    """One line for each domain, alias and account whose mail leads nowhere, or not everywhere."""
    accounts = services.stores.accounts
    async for text in unheard(services):
        yield text
    async for domain in every(partial(accounts.domains, None)):
        glance = services.prospects.at_a_glance()
        async for alias in every(partial(accounts.aliases, domain.id)):
            for sentence in await glance.ways_of(None, domain, alias):
                yield f"{display_address(alias.address)}: {sentence}"
    async for user in every(accounts.users):
        for sentence in (await services.prospects.of_account(user))[:1]:
            yield f"account {display_address(user.email)}: {sentence}"


COMMANDS = (
    Command(
        words="route",
        text="where does it go? Without one: what leads nowhere?",
        run=_route,
        arguments=(argument("address", metavar="ADDRESS", nargs="?", help="whose way to tell"),),
    ),
)
