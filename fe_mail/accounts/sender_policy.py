"""
Does a domain's SPF record let this server send? A check for the owner, not for incoming mail.

Walks the record like a receiver would (RFC 7208 §4.6, §5) for one address. What a receiver refuses
to read admits nobody: a term that does not exist, an ``include`` that leads to no record, more than
ten questions to the DNS or two to names that are not there (RFC 7208 §4.6.4). Where a mechanism
depends on the single message, both ways are walked, and if they end differently it cannot be told.
``Unavailable`` when the DNS is silent, because then nothing is known.
"""

import enum
import ipaddress
from collections.abc import Iterable
from typing import TypeVar

import attrs

from fe_mail.accounts.dns_findings import is_made_up
from fe_mail.accounts.spf_terms import Broken, Policy, Term, Unknowable, expand, read_policy
from fe_mail.model.dns import AAAA, MX, PTR, TXT, A, HostAddress, Record
from fe_mail.model.errors import Invalid
from fe_mail.model.network import IPAddress, parse_ip
from fe_mail.ports import Resolver

__all__ = ["MAX_LOOKUPS", "MAX_MX_HOSTS", "Admission", "admits", "find_policy"]

MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
MAX_MX_HOSTS = 10
MAX_PTR_NAMES = 10

R = TypeVar("R", bound=Record)

_BROKEN = "broken"
_NEUTRAL = "?"


class Admission(enum.Enum):
    """What a record says of an address."""

    ADMITTED = "admitted"
    REFUSED = "refused"  # also softly, or not mentioned
    BROKEN = "broken"  # no receiver reads it
    UNKNOWN = "unknown"  # it depends on the message


def find_policy(records: Iterable[str]) -> tuple[str, ...]:
    """The SPF records among TXT records; exactly one is right (RFC 7208 §4.5)."""
    return tuple(record for record in records if record.lower().split(" ", 1)[0] == "v=spf1")


async def admits(
    resolver: Resolver, policy: str, domain: str, address: str, helo: str = ""
) -> Admission:
    """Would mail of ``domain`` from ``address`` pass under ``policy``? ``Unavailable``."""
    ip = parse_ip(address)
    if ip is None:
        return Admission.REFUSED
    walk = _Walk(resolver, ip, domain, helo)
    ends = await walk.ends(policy, domain)
    if ends == {"+"}:
        return Admission.ADMITTED
    if ends == {_BROKEN}:
        return Admission.BROKEN
    return Admission.UNKNOWN if "+" in ends else Admission.REFUSED


@attrs.define
class _Walk:
    """
    One evaluation. ``ends`` are the qualifiers that it may end with, whatever the message is;
    ``_BROKEN`` among them if a receiver would give up.
    """

    _resolver: Resolver
    _ip: IPAddress
    _sender_domain: str
    _helo: str
    _lookups: int = 0
    _voids: int = 0

    async def ends(self, record: str, domain: str) -> set[str]:
        """Those of a whole record."""
        try:
            return await self._ends_of(read_policy(record), domain)
        except Broken:
            return {_BROKEN}

    async def _ends_of(self, policy: Policy, domain: str) -> set[str]:
        possible: set[str] = set()
        for term in policy.terms:
            try:
                matches = await self._matches(term, domain)
            except Unknowable:
                possible.add(term.qualifier)
                continue
            except Broken:
                return {*possible, _BROKEN}
            if matches is None:
                possible.add(term.qualifier)
            elif matches:
                return {*possible, term.qualifier}
        if not policy.redirect:
            return {*possible, _NEUTRAL}
        return possible | await self._redirected(policy.redirect, domain)

    async def _redirected(self, target: str, domain: str) -> set[str]:
        try:
            self._spend()
            return await self._included(self._expanded(target, domain))
        except Unknowable:
            return {"+", _NEUTRAL}
        except Broken:
            return {_BROKEN}

    async def _matches(self, term: Term, domain: str) -> bool | None:
        """None: perhaps. ``Broken``, ``Unknowable``."""
        if term.name == "all":
            return True
        if term.name in ("ip4", "ip6"):
            return self._ip in ipaddress.ip_network(term.argument)
        self._spend()
        target = self._expanded(term.argument, domain) if term.argument else domain
        if term.name == "include":
            return await self._includes(target)
        if term.name == "exists":
            return bool(self._counted(await self._records(target, A)))
        if term.name == "ptr":
            return await self._is_named(target)
        hosts = [target] if term.name == "a" else await self._exchanges(target)
        family = A if self._ip.version == 4 else AAAA
        for host in hosts:
            addresses = self._counted(await self._records(host, family))
            if any(self._covers(address, term) for address in addresses):
                return True
        return False

    async def _includes(self, target: str) -> bool | None:
        ends = await self._included(target)
        if _BROKEN in ends:
            raise Broken
        if "+" not in ends:
            return False
        return True if len(ends) == 1 else None

    async def _included(self, name: str) -> set[str]:
        policies = find_policy(self._counted(await self._records(name, TXT)))
        return await self.ends(policies[0], name) if len(policies) == 1 else {_BROKEN}

    async def _exchanges(self, name: str) -> list[str]:
        records = self._counted(await self._records(name, MX))
        if len(records) > MAX_MX_HOSTS:
            raise Broken
        return [record.host for record in records if record.host]

    async def _is_named(self, domain: str) -> bool:
        """Does a name of the address, which leads back to it, lie below ``domain``?"""
        names = (await self._records(str(self._ip), PTR))[:MAX_PTR_NAMES]
        for name in names:
            if f".{name}".endswith(f".{domain.lower()}"):
                addresses = await self._records(name, HostAddress)
                if any(parse_ip(address) == self._ip for address in addresses):
                    return True
        return False

    async def _records(self, name: str, kind: type[R]) -> tuple[R, ...]:
        try:
            answer = await self._resolver.query(name, kind)
        except Invalid:
            return ()
        if is_made_up(answer):
            raise Unknowable
        return answer.records

    def _counted(self, records: tuple[R, ...]) -> tuple[R, ...]:
        """A name without records is one of the few that a record may ask for."""
        self._voids += not records
        if self._voids > MAX_VOID_LOOKUPS:
            raise Broken
        return records

    def _spend(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise Broken

    def _expanded(self, text: str, domain: str) -> str:
        return expand(text, self._ip, domain, self._sender_domain, self._helo)

    def _covers(self, address: str, term: Term) -> bool:
        length = term.length4 if self._ip.version == 4 else term.length6
        found = parse_ip(address)
        if found is None or found.version != self._ip.version:
            return False
        return self._ip in ipaddress.ip_network((found, length), strict=False)
