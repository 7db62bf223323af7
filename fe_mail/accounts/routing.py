"""
Where an address goes: the one resolver that RCPT, the queue, the API, the CLI and the web UI ask.

Within a domain the named alias decides; if there is none, every regex alias that matches; if
there is none, the catch-all. Recipients at hosted domains are resolved in turn (``walk``), so an
alias may lead to an alias or a mailbox; circles end, and what leaves them is delivered. A tag
(``user+tag``, RFC 5233) plays no part in the look-up and is put on every e-mail address that mail
is forwarded to.

``postmaster`` and ``abuse`` reach somebody whatever the aliases say (RFC 5321 §4.5.1, RFC 2142 §4):
an admin of the domain, or of the server; at the server's own host names, where nobody else lives,
the server's. What looks like SRS at the domain of our SRS belongs to no alias: it is a report to
whom we forwarded for, or it is refused.

When nothing is left to deliver to, the mildest of the refusals on the way is the answer: mail
comes back later rather than never. What was set up wrong is such a refusal too, for it can be
mended. Enhanced status codes: RFC 3463 §3.2 to §3.5.
"""

import copy
import secrets
from collections.abc import Iterable

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.glance import Glance, Records
from fe_mail.accounts.in_charge import ROLES
from fe_mail.accounts.patterns import is_wildcard
from fe_mail.accounts.walk import MAX_DEPTH, MAX_LOOKUPS, NOWHERE, Walk, without_needless_tags
from fe_mail.mailauth.srs import SRS
from fe_mail.model.account import Alias, Domain
from fe_mail.model.address import Address
from fe_mail.model.errors import Invalid
from fe_mail.model.ids import DomainId
from fe_mail.model.queue import Target
from fe_mail.model.route import Cause, Route, Step
from fe_mail.model.status import Status

__all__ = ["MAX_DEPTH", "MAX_FORWARDED", "MAX_LOOKUPS", "MAX_MAILBOXES", "Router"]

MAX_FORWARDED = 10  # forward and webhook targets of one address
MAX_MAILBOXES = 25  # local targets of one address

NO_REPORT = Status(550, "5.7.1", "Only reports are taken at this address.")
NOT_GENUINE = Status(550, "5.1.1", "No such address here.")


class Router:
    """
    ``max_forwarded`` is the server's limit where a domain has none of its own; ``own_hosts`` are
    the names of the server itself. ``srs`` reads what our forwarding made, by the time of
    ``clock``.
    """

    def __init__(
        self,
        accounts: Records,
        *,
        max_forwarded: int = MAX_FORWARDED,
        own_hosts: Iterable[str] = (),
        srs: SRS | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        self._accounts = accounts
        self._max_forwarded = max_forwarded
        self._own_hosts = frozenset(own_hosts)
        self._srs = srs
        self._clock = clock

    def at_a_glance(self) -> "Router":
        """For many questions at one moment: what one of them has read the others know."""
        router = copy.copy(self)
        router._accounts = Glance(self._accounts)
        return router

    async def route(
        self, address: Address, *, is_report: bool = False, claim: DomainId | None = None
    ) -> Route:
        """
        All targets of an address, or why there are none.

        ``is_report``: the mail has the null reverse-path. ``claim`` is the domain of an account,
        which counts here as if it were verified: where mail would go once it is.
        """
        if self._srs is not None and self._clock is not None and self._srs.is_for_us(address):
            return await self._route_report(self._srs, self._clock, address, is_report)
        walk = self._walk(claim)
        if await walk.begin(address):
            route = self._conclude(walk, address)
            if not route.targets and walk.targets and address.base in ROLES:
                walk = self._walk(claim)
                await walk.begin_with_people(address)
                route = self._conclude(walk, address)
            return route
        return Route(address=str(address), is_hosted=False, steps=tuple(walk.steps))

    async def _route_report(
        self, srs: SRS, clock: IReactorTime, address: Address, is_report: bool
    ) -> Route:
        """
        Only reports may come back through SRS: that is all it is for, and whoever learned such an
        address can do no more with it.
        """
        step = Step(address=str(address))
        try:
            original = srs.reverse(address, clock.seconds())
        except Invalid:
            return _refused(step, NOT_GENUINE)
        if not is_report:
            return _refused(step, NO_REPORT)
        onward = await self.route(original, is_report=True)
        if onward.is_hosted:
            return onward
        target = Target(courier="remote", address=str(original))
        return Route(
            address=str(address),
            is_hosted=True,
            targets=(target,),
            steps=(step, Step(address=str(original), parent=0)),
            places=(1,),
        )

    async def prospect(self, alias: Alias, domain: Domain) -> Route:
        """Where mail for an alias of the domain would go if the alias were stored as it is here."""
        walk = self._walk(domain.id, alias)
        if not is_wildcard(alias.name):
            address = Address(alias.name, domain.name)
            await walk.begin_with(domain, alias, address)
            return self._conclude(walk, address)
        address = Address(f"x{secrets.token_hex(8)}", domain.name)  # a name that nobody has
        await walk.begin_behind(domain, alias, address)
        # What a host knows of the names that mail will come for cannot be told.
        walk.dead_ends = [
            end
            for end in walk.dead_ends
            if end.cause is not Cause.UNKNOWN or not end.address.startswith(f"{address.local}@")
        ]
        return _renamed(self._conclude(walk, address), address.local, alias.name)

    def _walk(self, claim: DomainId | None, candidate: Alias | None = None) -> Walk:
        return Walk(
            accounts=self._accounts,
            own_hosts=self._own_hosts,
            claim_id=claim or "",
            candidate=candidate,
        )

    def _conclude(self, walk: Walk, address: Address) -> Route:
        places = without_needless_tags(walk.targets.items())
        local = sum(target.courier == "local" for target in places)
        refusal: Status | None = None
        if local > MAX_MAILBOXES or len(places) - local > (
            walk.max_forwarded or self._max_forwarded
        ):
            refusal, places = walk.overflow(), {}
        elif not places:
            refusal = _mildest([end.status for end in walk.dead_ends])
        return Route(
            address=str(address),
            is_hosted=True,
            targets=tuple(places),
            refusal=refusal,
            steps=tuple(walk.steps),
            places=tuple(places.values()),
            dead_ends=tuple(walk.dead_ends),
        )


def _renamed(route: Route, local: str, name: str) -> Route:
    """A route that began with a made-up name, with the name of the alias in its place."""

    def renamed(address: str) -> str:
        return f"{name}{address.removeprefix(local)}" if address.startswith(local) else address

    return attrs.evolve(
        route,
        address=renamed(route.address),
        steps=tuple(attrs.evolve(each, address=renamed(each.address)) for each in route.steps),
        dead_ends=tuple(
            attrs.evolve(each, address=renamed(each.address)) for each in route.dead_ends
        ),
    )


def _refused(step: Step, refusal: Status) -> Route:
    return Route(address=step.address, is_hosted=True, refusal=refusal, steps=(step,))


def _mildest(found: list[Status | None]) -> Status | None:
    """A temporary refusal, else the silent drop, else the first permanent refusal."""
    refusals = [status for status in found if status is not None]
    temporary = [status for status in refusals if status.code < 500]
    if temporary:
        return temporary[0]
    if not found:
        return NOWHERE
    return refusals[0] if len(refusals) == len(found) else None
