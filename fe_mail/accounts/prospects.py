"""
What would become of mail: asked whenever an account, a domain or an alias is saved or removed.

The answer is the resolver's own (``routing``). What can never arrive, a circle, is refused before
it is stored. What may be meant, or come true later (an address that is added next, a mailbox
that waits for its password), is stored, and told.
"""

from collections.abc import AsyncIterator
from functools import partial

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.explaining import MaySee, explain, explain_alias, may_see_all, sees
from fe_mail.accounts.glance import Glance, Records
from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.patterns import is_pattern, is_wildcard
from fe_mail.accounts.routing import Router
from fe_mail.accounts.walk import key_of
from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.address import Address, display_address, display_domain, parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.page import Query, every
from fe_mail.model.route import Cause, DeadEnd, Route
from fe_mail.model.sentence import Sentence

__all__ = ["Prospects"]

MAX_RELYING = 50  # aliases that lead to one address and are told of
MAX_LOOKED_AT = 500  # aliases of one domain that lead to the same domain
MAX_DOMAINS = 50  # of one user in which they are looked for
MAX_WARNINGS = 20
# What of an alias says where its mail goes: those that lead to it rely on that.
_WAYS = ("name", "is_enabled", "has_imap", "recipients", "has_recipient_verification")


class Prospects:
    """
    Warnings about where mail goes. Each is for ``reader``, None: the operator, who may see all.
    """

    def __init__(self, accounts: Records, router: Router) -> None:
        self._accounts = accounts
        self._router = router

    def at_a_glance(self) -> "Prospects":
        """For many questions at one moment, such as those of a page."""
        return Prospects(Glance(self._accounts), self._router.at_a_glance())

    async def refuse_hopeless(
        self, user: User, domain: Domain, alias: Alias, before: Alias | None = None
    ) -> None:
        """
        ``Invalid`` when nothing could ever arrive with an alias that is about to be stored. Where
        its mail goes as it did ``before``, other changes need not wait until that is mended.
        """
        if not alias.is_enabled or (before is not None and not _differ(before, alias)):
            return
        route = await self._router.prospect(alias, domain)
        ends = [end for end in route.dead_ends if _is_hopeless(route, end, alias)]
        if route.targets or not ends or len(ends) != len(route.dead_ends):
            return
        raise Invalid(explain(route, ends[0], sees(user)), "recipients", "ALIAS_LEADS_NOWHERE")

    async def of_alias(self, reader: User | None, domain: Domain, alias: Alias) -> list[Sentence]:
        """What is wrong with an alias as it is stored."""
        found = [*await self._claim(domain), *await self.ways_of(reader, domain, alias)]
        if alias.sealing_key and not alias.has_imap:
            found.append(
                Sentence(
                    "%(address)s has a mailbox that takes no new mail and that nobody can sign "
                    "in to; what is in it is kept.",
                    address=_name(alias),
                )
            )
        return found[:MAX_WARNINGS]

    async def ways_of(self, reader: User | None, domain: Domain, alias: Alias) -> list[Sentence]:
        """Which of its ways lead nowhere, whether or not mail for its domain is taken."""
        if not alias.is_enabled:
            return []
        if domain.is_catchall_regex_disabled and is_wildcard(alias.name):
            return [
                Sentence(
                    "%(alias)s takes nothing: catch-all and regular expressions are switched off.",
                    alias=_name(alias),
                )
            ]
        route = await self._router.prospect(alias, domain)
        return list(explain_alias(route, alias, _view(reader)))

    async def of_domain(self, reader: User | None, domain: Domain) -> list[Sentence]:
        """What is wrong with a domain as a whole: whether it counts, and who hears of trouble."""
        found = await self._claim(domain)
        for role in ("postmaster", "abuse"):
            route = await self._router.route(Address(role, domain.name), claim=domain.id)
            if not route.targets:
                found += [explain(route, end, _view(reader)) for end in route.dead_ends[:1]]
        return found

    async def of_new_domain(self, reader: User, domain: Domain) -> list[Sentence]:
        """
        A domain that was just added, with its catch-all.

        If the owner's own mailbox at it waits for a password, that explains all of it.
        """
        mailbox = await self.own_mailbox(domain, reader.email)
        if mailbox is None:
            return await self.of_changed_domain(reader, domain)
        ways = await self.ways_of(reader, domain, mailbox)
        return [*await self._claim(domain), *ways]

    async def of_changed_domain(self, reader: User | None, domain: Domain) -> list[Sentence]:
        """A domain with other settings: they may have cut off some of its aliases."""
        glance = self.at_a_glance()
        found = await glance.of_domain(reader, domain)
        page = await self._accounts.aliases(domain.id, Query(limit=MAX_LOOKED_AT))
        for alias in page.items:
            if alias.recipients and _may_see_alias(reader, domain, alias):
                found += await glance.ways_of(reader, domain, alias)
            if len(found) >= MAX_WARNINGS:
                break
        return found[:MAX_WARNINGS]

    async def of_account(self, user: User, email: str = "") -> list[Sentence]:
        """What becomes of mail to the account's own address, or the next one, if it is hosted."""
        email = email or user.email
        try:
            route = await self._router.route(parse_address(email))
        except Invalid:
            return []
        if not route.is_hosted or route.targets:
            return []
        what = [explain(route, end, sees(user)) for end in route.dead_ends[:1]]
        told = Sentence(
            "Mail to %(email)s, the address of the account, reaches nobody yet.",
            email=display_address(email),
        )
        return [told, *what]

    async def of_change(
        self, reader: User | None, domain: Domain, before: Alias, after: Alias
    ) -> list[Sentence]:
        """What is wrong with it now, and with those that relied on what it was."""
        found = await self.of_alias(reader, domain, after)
        if _differ(before, after):
            found += await self.of_loss(reader, before.address)
        return list({str(sentence): sentence for sentence in found}.values())

    async def of_loss(self, reader: User | None, address: str) -> list[Sentence]:
        """What leads nowhere of all that relies on an alias which is gone, disabled or changed."""
        glance = self.at_a_glance()
        found: dict[str, Sentence] = {}
        name, _, domain_name = address.rpartition("@")
        named = domain_name if is_wildcard(name) else address
        async for domain, alias in self.relying_on(reader, named):
            found.update((str(each), each) for each in await glance.ways_of(reader, domain, alias))
        return list(found.values())[:MAX_WARNINGS]

    async def of_lost_domain(self, reader: User | None, name: str) -> list[Sentence]:
        """The aliases of other domains that led into one that is removed."""
        found = []
        async for _, alias in self.relying_on(reader, name):
            found.append(
                Sentence(
                    "%(alias)s leads to %(domain)s, which is not hosted here any more.",
                    alias=_name(alias),
                    domain=display_domain(name),
                )
            )
        return found[:MAX_WARNINGS]

    async def own_mailbox(self, domain: Domain, email: str) -> Alias | None:
        """The mailbox that the address of an account has at its own domain, before its password."""
        address = parse_address(email)
        rows = await self._accounts.route_rows(address.base, address.domain)
        named = next((row.named for row in rows if row.domain.id == domain.id), None)
        return named if named and named.has_imap and not named.sealing_key else None

    async def relying_told(self, reader: User, alias: Alias) -> list[Sentence]:
        """The aliases that lead to one that may be removed."""
        return [
            Sentence("%(alias)s leads to it.", alias=_name(other))
            async for _, other in self.relying_on(reader, alias.address)
            if other.id != alias.id
        ][:MAX_WARNINGS]

    async def relying_on(
        self, reader: User | None, address: str
    ) -> AsyncIterator[tuple[Domain, Alias]]:
        """The aliases, of those that the reader may see, that name an address or a domain."""
        count = 0
        wanted = Query(recipient=address.rpartition("@")[2], limit=MAX_LOOKED_AT)
        async for domain in self._domains(reader):
            page = await self._accounts.aliases(domain.id, wanted)
            for alias in page.items:
                if _names(alias, address) and _may_see_alias(reader, domain, alias):
                    count += 1
                    yield domain, alias
            if count >= MAX_RELYING:
                return

    async def _domains(self, reader: User | None) -> AsyncIterator[Domain]:
        if reader is None:
            async for domain in every(partial(self._accounts.domains, None)):
                yield domain
            return
        page = await self._accounts.domains(reader.id, Query(limit=MAX_DOMAINS))
        for domain in page.items:
            yield domain

    async def _claim(self, domain: Domain) -> list[Sentence]:
        """Does the claim of the account on the domain count?"""
        rows = await self._accounts.route_rows("postmaster", domain.name)
        chosen = chosen_claim(rows)
        if chosen is not None and chosen.domain.id == domain.id:
            return []
        template = Sentence(
            "It is not proven yet that %(domain)s is yours, so no mail for it is taken."
            if chosen is None
            else "The mail of %(domain)s goes to another account of this server."
        ).template
        return [Sentence(template, domain=display_domain(domain.name))]


def _differ(before: Alias, after: Alias) -> bool:
    """May mail go another way than before?"""
    return any(getattr(before, name) != getattr(after, name) for name in _WAYS)


def _is_hopeless(route: Route, end: DeadEnd, alias: Alias) -> bool:
    """Does the alias itself keep its mail from arriving? What others did wrong they may mend."""
    if end.cause is Cause.LOOP:
        return _closes(route, end, alias)
    return end.cause in (Cause.TOO_DEEP, Cause.TOO_MANY) or (
        end.cause is Cause.EMPTY and end.is_asked
    )


def _closes(route: Route, end: DeadEnd, alias: Alias) -> bool:
    """Is the alias part of the circle, rather than on the way into it?"""
    place = end.step
    while place > 0:
        step = route.steps[place]
        is_own = step.domain is not None and step.domain.id == alias.domain_id
        if is_own and alias.name in step.taken_by:
            return True
        if step.address == end.address:
            return False
        place = step.parent
    return True


def _view(reader: User | None) -> MaySee:
    return may_see_all if reader is None else sees(reader)


def _name(alias: Alias) -> str:
    return alias.address if is_pattern(alias.name) else display_address(alias.address)


def _names(alias: Alias, address: str) -> bool:
    """Does a recipient stand for the address, or for any at the domain?"""
    for recipient in alias.recipients:
        if "://" in recipient or "@" not in recipient:
            found = recipient
        else:
            try:
                parsed = parse_address(recipient)
            except Invalid:
                continue
            found = key_of(parsed) if "@" in address else parsed.domain
        if found == address:
            return True
    return False


def _may_see_alias(reader: User | None, domain: Domain, alias: Alias) -> bool:
    return reader is None or alias.user_id == reader.id or is_admin(reader, domain)
