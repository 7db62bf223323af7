"""
The checks of what brings mail here: MX, ownership, the addresses of hosts, and port 25.

An MX record is right when it leads to this server, not when it names it: each of its hosts is
looked up, and its addresses compared with our own.

RFC 5321 §5.1 (MX, implicit MX); RFC 2181 §10.3 (an MX leads to no alias); RFC 7505 (null MX).
"""

from collections.abc import Collection, Mapping

import attrs

from fe_mail.accounts.dns_findings import (
    Finding,
    Question,
    Verdict,
    cut,
    is_made_up,
    not_from_dns,
    shown,
    unknown_addresses,
)
from fe_mail.accounts.site import Site
from fe_mail.model.dns import CNAME, MX, HostAddress
from fe_mail.model.errors import Unavailable
from fe_mail.model.network import plain_address
from fe_mail.model.sentence import Sentence
from fe_mail.model.vantage import Whose, versions
from fe_mail.waiting import together

__all__ = ["host", "mx", "reach", "verification"]

MAX_HOSTS = 10  # of an MX, looked up
MAX_TRIED = 4  # addresses, at port 25


@attrs.frozen
class _Place:
    """Where a host is."""

    name: str
    addresses: tuple[str, ...]
    foreign: tuple[str, ...]  # of these
    unknown: tuple[str, ...]
    own: tuple[str, ...]  # of this server, of the families that are foreign
    alias_of: str = ""
    is_made_up: bool = False

    @property
    def why(self) -> Sentence:
        """Why nobody knows."""
        return not_from_dns() if self.is_made_up else unknown_addresses()

    @property
    def is_elsewhere(self) -> bool:
        """Nothing of it leads here, for all that is known."""
        return bool(self.foreign) and len(self.foreign) == len(self.addresses)


async def _place(question: Question, name: str) -> _Place:
    aliases = (await question.resolver.query(name, CNAME)).records
    answer = await question.resolver.query(name, HostAddress)
    addresses = tuple(map(plain_address, answer.records))
    whose = dict.fromkeys(addresses, Whose.UNKNOWN)
    if not is_made_up(answer):
        whose = {address: question.whose(address) for address in addresses}
    foreign = tuple(each for each, owner in whose.items() if owner is Whose.FOREIGN)
    families = versions(foreign)
    return _Place(
        name,
        addresses,
        foreign,
        tuple(each for each, owner in whose.items() if owner is Whose.UNKNOWN),
        tuple(each for each in question.own.known if versions([each]) <= families),
        aliases[0] if aliases else "",
        is_made_up(answer),
    )


# MX ----------------------------------------------------------------------------------------------


async def mx(question: Question) -> Finding:
    """The MX records of the domain, and where their hosts are."""
    expected = question.site.exchange_domains
    names = {"domain": question.domain_name, "wanted": ", ".join(expected)}
    if question.domain is not None and question.domain.ignore_mx_check:
        return Verdict.DOUBTFUL, Sentence("The MX check is switched off for this domain.")
    answer = await question.resolver.query(question.domain_name, MX)
    if not answer.exists:
        return Verdict.MISSING, Sentence(
            "%(domain)s does not exist in the DNS yet. Register it, then publish an MX record "
            "with the value %(wanted)s.",
            **names,
        )
    if not answer.records:
        return await _implicit(question, names)
    if not any(record.host for record in answer.records):
        return Verdict.WRONG, Sentence(
            "The MX record of %(domain)s says that it takes no mail. Replace it by %(wanted)s.",
            **names,
        )
    preferences: dict[str, int] = {}
    for record in answer.records[:MAX_HOSTS]:
        preferences.setdefault(record.host, record.preference)
    places = [await _place(question, name) for name in preferences if name]
    foreign = _foreign(places, await _expected_addresses(question), expected)
    if "" in preferences:
        foreign.append("")
    return _judge_exchanges(places, foreign, preferences, names, question.site)


async def _implicit(question: Question, names: Mapping[str, str]) -> Finding:
    """Without MX records, mail goes to the address of the domain itself."""
    place = await _place(question, question.domain_name)
    if place.addresses and not place.foreign and not place.unknown:
        return Verdict.DOUBTFUL, Sentence(
            "%(domain)s has no MX record. Mail comes here all the same, because the domain itself "
            "has the address of this server. Better publish one with the value %(wanted)s.",
            **names,
        )
    return Verdict.MISSING, Sentence(
        "%(domain)s has no MX record. Publish one with the value %(wanted)s.", **names
    )


async def _expected_addresses(question: Question) -> set[str]:
    found: set[str] = set()
    for name in question.site.exchange_domains:
        found.update(await question.addresses(name))
    return found


def _foreign(places: list[_Place], near: set[str], expected: Collection[str]) -> list[str]:
    """
    Hosts that lead away from this server, or nowhere under a name that is not ours.

    Where our own addresses are unknown, a host with another name must lead where ours lead.
    """
    return [
        place.name
        for place in places
        if place.is_elsewhere
        or not near.issuperset(place.unknown)
        or not (place.addresses or place.name in expected)
    ]


def _judge_exchanges(
    places: list[_Place],
    foreign: list[str],
    preferences: Mapping[str, int],
    names: Mapping[str, str],
    site: Site,
) -> Finding:
    """``foreign`` are the names of those that lead away; one of our own names says why."""
    for place in places:
        if place.name in site.exchange_domains and place.foreign:
            return _judge_place(place)
    ours = [place for place in places if place.name not in foreign]
    if not ours:
        return Verdict.WRONG, Sentence(
            "The MX records of %(domain)s lead to %(hosts)s. Replace them by %(wanted)s.",
            hosts=shown(foreign),
            **names,
        )
    for place in ours:
        verdict, sentence = _judge_place(place)
        if verdict in (Verdict.WRONG, Verdict.MISSING):
            return verdict, sentence
    if foreign:
        return Verdict.WRONG, _beside(ours, foreign, preferences, names)
    if any(place.unknown for place in ours):
        return Verdict.UNKNOWN, Sentence(
            "Whether mail for %(domain)s comes here cannot be told: %(host)s leads to "
            "%(addresses)s. %(why)s",
            domain=names["domain"],
            host=ours[0].name,
            addresses=shown(ours[0].addresses),
            why=next(place for place in ours if place.unknown).why,
        )
    return Verdict.RIGHT, Sentence(
        "Mail for %(domain)s comes to %(hosts)s.",
        domain=names["domain"],
        hosts=shown(place.name for place in ours),
    )


def _beside(
    ours: list[_Place],
    foreign: list[str],
    preferences: Mapping[str, int],
    names: Mapping[str, str],
) -> Sentence:
    best = min(preferences[place.name] for place in ours)
    if min(preferences[name] for name in foreign) <= best:
        return Sentence(
            "Mail for %(domain)s goes to %(hosts)s first, because those MX records have the better "
            "priority. Remove them.",
            hosts=shown(foreign),
            **names,
        )
    return Sentence(
        "Besides %(wanted)s, %(domain)s has MX records that lead to %(hosts)s. Remove them, "
        "or part of the mail goes there.",
        hosts=shown(foreign),
        **names,
    )


def _judge_place(place: _Place) -> Finding:
    """A host that mail comes to."""
    names = {"host": place.name}
    if place.alias_of:
        return Verdict.WRONG, Sentence(
            "%(host)s is an alias (CNAME) of %(target)s, and an MX record must not lead to one. "
            "Give %(host)s A and AAAA records of its own.",
            target=cut(place.alias_of),
            **names,
        )
    return _judge_addresses(place, Verdict.WRONG)


def _judge_addresses(place: _Place, elsewhere: Verdict) -> Finding:
    names = {"host": place.name}
    if not place.addresses:
        return Verdict.MISSING, Sentence(
            "%(host)s has no address in the DNS. Publish an A or AAAA record for it.", **names
        )
    if place.foreign and place.own:
        return elsewhere, Sentence(
            "%(host)s leads to %(addresses)s, which is no address of this server. Let it lead to "
            "%(own)s instead.",
            addresses=shown(place.foreign),
            own=shown(place.own),
            **names,
        )
    if place.foreign:
        return elsewhere, Sentence(
            "%(host)s leads to %(addresses)s, which is no address of this server. Remove that "
            "record.",
            addresses=shown(place.foreign),
            **names,
        )
    if place.unknown:
        return Verdict.UNKNOWN, Sentence(
            "Whether %(addresses)s, where %(host)s leads, is this server cannot be told. %(why)s",
            addresses=shown(place.unknown),
            why=place.why,
            **names,
        )
    return Verdict.RIGHT, Sentence("%(host)s leads to this server.", **names)


# The server's own hosts --------------------------------------------------------------------------


async def host(question: Question) -> Finding:
    """
    The addresses of one of the server's host names.

    Mail must come here itself; a web site may well be behind somebody else's proxy.
    """
    place = await _place(question, question.name)
    services = {
        service
        for each in question.site.hosts
        if each.name == question.name
        for service in each.services
    }
    if question.record.required:
        return _judge_place(place)
    is_web_only = question.name != question.site.hostname and services <= {"web", "api"}
    verdict, sentence = _judge_addresses(place, Verdict.DOUBTFUL if is_web_only else Verdict.WRONG)
    if verdict is Verdict.DOUBTFUL:
        sentence = Sentence(
            "%(host)s leads to %(addresses)s, which is no address of this server. That is right "
            "only if a proxy stands there.",
            host=place.name,
            addresses=shown(place.foreign),
        )
    return verdict, sentence


async def reach(question: Question) -> Finding:
    """
    Who answers at port 25 of an MX host?

    A connection from here says nothing of firewalls further out, so nobody is promised more.
    """
    names: dict[str, object] = {"host": question.name}
    addresses = await question.addresses(question.name)
    tried = [each for each in addresses if question.whose(each) is not Whose.FOREIGN][:MAX_TRIED]
    if not tried:
        return Verdict.UNKNOWN, Sentence(
            "%(host)s has no address of this server, so there is nothing to connect to.", **names
        )
    greetings = await together(_greeting(question, address) for address in tried)
    silent = [address for address, line in zip(tried, greetings, strict=True) if line is None]
    for address, line in zip(tried, greetings, strict=True):
        finding = None if line is None else _judge_greeting(line, address, question)
        if finding is not None:
            return finding
    if silent:
        return Verdict.UNKNOWN, Sentence(
            "From here, nobody answers at port 25 of %(addresses)s. Behind a router that is often "
            "so; otherwise see that port 25 is open. Whether others get through, only a message "
            "from outside tells.",
            addresses=shown(silent),
        )
    if any(question.whose(address) is Whose.UNKNOWN for address in tried):
        return Verdict.UNKNOWN, Sentence(
            "A server with our name answers at %(host)s; whether it is this one cannot be told. "
            "%(why)s",
            why=unknown_addresses(),
            **names,
        )
    return Verdict.RIGHT, Sentence(
        "This server answers at port 25 of %(host)s. A firewall further out would not be seen from "
        "here.",
        **names,
    )


async def _greeting(question: Question, address: str) -> str | None:
    """None if nobody answers."""
    try:
        return await question.vantage.greeting(address)
    except Unavailable:
        return None


def _judge_greeting(line: str, address: str, question: Question) -> Finding | None:
    """None for our own. Any mail host may be too busy to say who it is."""
    code, name = line[:3], line[4:].partition(" ")[0]
    names = {"address": address, "host": question.name, "line": cut(line)}
    if code == "220" and name.lower().rstrip(".") == question.site.hostname:
        return None
    if code[:1] in ("4", "5"):
        return Verdict.UNKNOWN, Sentence(
            "At %(address)s, where %(host)s leads, no mail is taken now: “%(line)s”.", **names
        )
    return Verdict.WRONG, Sentence(
        "At %(address)s, where %(host)s leads, another server answers: “%(line)s”.", **names
    )


# Ownership ---------------------------------------------------------------------------------------


async def verification(question: Question) -> Finding:
    """The text that proves that the domain is the account's."""
    wanted = question.record.value
    marker = wanted.partition("=")[0] + "="
    records = [record.strip().strip('"') for record in await question.texts(question.name)]
    found = list(dict.fromkeys(record for record in records if record.startswith(marker)))
    names = {"name": question.name, "wanted": wanted}
    if not found:
        return Verdict.MISSING, Sentence(
            "%(name)s has no TXT record “%(wanted)s”. Publish it.", **names
        )
    if len(found) > 1:
        return Verdict.WRONG, Sentence(
            "%(name)s has %(count)s TXT records that begin with “%(marker)s”. Keep only "
            "“%(wanted)s”.",
            count=len(found),
            marker=marker,
            **names,
        )
    if found[0] != wanted:
        return Verdict.WRONG, Sentence(
            "The TXT record of %(name)s is “%(found)s”, which belongs to another account. "
            "Replace it by “%(wanted)s”.",
            found=cut(found[0]),
            **names,
        )
    return Verdict.RIGHT, Sentence("%(name)s belongs to this account.", **names)
