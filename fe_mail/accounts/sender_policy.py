"""
Does a domain's SPF record let this server send? A check for the owner, not for incoming mail.

Walks the record like a receiver would (RFC 7208 §4.6, §5) for one address, but knows only what
matters here: macros, ``exists`` and ``ptr`` never match. A record that receivers refuse to read
admits nobody: one with a term that does not exist, with an ``include`` that leads to no record, or
that asks the DNS more than ten times (RFC 7208 §4.6.4). ``Unavailable`` when the DNS is silent,
because then nothing is known.
"""

import ipaddress
import re
from collections.abc import Iterable

import attrs

from fe_mail.model.dns import MX, TXT, HostAddress
from fe_mail.model.errors import Invalid
from fe_mail.ports import Resolver

__all__ = ["MAX_LOOKUPS", "MAX_MX_HOSTS", "admits", "find_policy"]

MAX_LOOKUPS = 10
MAX_MX_HOSTS = 10
MAX_TERMS = 100

_QUALIFIERS = "+-~?"
_MODIFIER = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@attrs.define
class _Budget:
    lookups: int = MAX_LOOKUPS

    def spend(self) -> None:
        self.lookups -= 1
        if self.lookups < 0:
            raise _Broken


class _Broken(Exception):
    """The record asks too much of the DNS or makes no sense: a permerror."""


def find_policy(records: Iterable[str]) -> tuple[str, ...]:
    """The SPF records among TXT records; exactly one is right (RFC 7208 §4.5)."""
    return tuple(record for record in records if record.lower().split(" ", 1)[0] == "v=spf1")


async def admits(resolver: Resolver, policy: str, domain: str, address: str) -> bool:
    """Would mail of ``domain`` from ``address`` pass under ``policy``? ``Unavailable``."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    try:
        return await _evaluate(resolver, policy, domain, ip, _Budget()) == "+"
    except _Broken:
        return False


async def _evaluate(resolver: Resolver, policy: str, domain: str, ip: _IP, budget: _Budget) -> str:
    """The qualifier of the first mechanism that matches, ``?`` if none does."""
    redirect = ""
    terms = policy.lower().split()[1:MAX_TERMS]
    if not all(_is_known(term) for term in terms):
        raise _Broken
    for term in terms:
        name, equals, value = term.partition("=")
        if equals and _MODIFIER.match(name):
            redirect = value if name == "redirect" else redirect
            continue
        qualifier, mechanism = (term[0], term[1:]) if term[0] in _QUALIFIERS else ("+", term)
        if await _matches(resolver, mechanism, domain, ip, budget):
            return qualifier
    if redirect:
        budget.spend()
        return await _included(resolver, redirect, ip, budget)
    return "?"


def _is_known(term: str) -> bool:
    """One of the mechanisms, or any modifier (RFC 7208 §4.6.1)."""
    if _MODIFIER.match(term.partition("=")[0]) and "=" in term:
        return True
    name = term.lstrip(_QUALIFIERS).partition(":")[0].partition("/")[0]
    return name in ("all", "a", "mx", "include", "exists", "ptr", "ip4", "ip6")


async def _matches(
    resolver: Resolver, mechanism: str, domain: str, ip: _IP, budget: _Budget
) -> bool:
    head, slash, prefix = mechanism.partition("/")
    name, _, argument = head.partition(":")
    if name == "all":
        return True
    if name in ("ip4", "ip6"):
        return _in_network(ip, mechanism.partition(":")[2])
    budget.spend()
    if name not in ("a", "mx", "include"):
        return False
    target = argument or domain
    if name == "include":
        return await _included(resolver, target, ip, budget) == "+"
    hosts = (target,) if name == "a" else await _exchanges(resolver, target)
    lengths = prefix if slash else ""
    for host in hosts:
        if any(_covers(address, lengths, ip) for address in await _addresses(resolver, host)):
            return True
    return False


async def _included(resolver: Resolver, name: str, ip: _IP, budget: _Budget) -> str:
    try:
        policies = find_policy((await resolver.query(name, TXT)).records)
    except Invalid:
        raise _Broken from None
    if len(policies) != 1:
        raise _Broken
    return await _evaluate(resolver, policies[0], name, ip, budget)


async def _exchanges(resolver: Resolver, name: str) -> tuple[str, ...]:
    try:
        answer = await resolver.query(name, MX)
    except Invalid:
        return ()
    return tuple(record.host for record in answer.records if record.host)[:MAX_MX_HOSTS]


async def _addresses(resolver: Resolver, name: str) -> tuple[str, ...]:
    try:
        return (await resolver.query(name, HostAddress)).records
    except Invalid:
        return ()


def _covers(address: str, lengths: str, ip: _IP) -> bool:
    """``lengths`` is what follows the first slash: ``24``, ``/64`` or ``24//64``."""
    four, _, six = lengths.partition("//") if "//" in lengths else (lengths, "", "")
    if lengths.startswith("/"):
        four, six = "", lengths.lstrip("/")
    length = four if ip.version == 4 else six
    return _in_network(ip, f"{address}/{length}" if length else address)


def _in_network(ip: _IP, text: str) -> bool:
    try:
        return ip in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
