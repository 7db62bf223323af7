"""
The checks of where hosts are: those of the server, and those that an MX record names. And of who
answers there at port 25.

RFC 2181 §10.3 (an MX leads to no alias); RFC 5321 §3.1 (the greeting).
"""

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
from fe_mail.model.dns import CNAME, HostAddress
from fe_mail.model.errors import Unavailable
from fe_mail.model.network import is_public, plain_address
from fe_mail.model.sentence import Sentence
from fe_mail.model.vantage import Whose, versions
from fe_mail.waiting import together

__all__ = ["Place", "host", "judge_place", "look_up", "reach"]

MAX_TRIED = 4  # addresses, at port 25


@attrs.frozen
class Place:
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


async def look_up(question: Question, name: str) -> Place:
    """The addresses of a host, and whose they are."""
    aliases = (await question.resolver.query(name, CNAME)).records
    answer = await question.resolver.query(name, HostAddress)
    addresses = tuple(map(plain_address, answer.records))
    whose = dict.fromkeys(addresses, Whose.UNKNOWN)
    if not is_made_up(answer):
        whose = {address: question.whose(address) for address in addresses}
    foreign = tuple(each for each, owner in whose.items() if owner is Whose.FOREIGN)
    families = versions(foreign)
    return Place(
        name,
        addresses,
        foreign,
        tuple(each for each, owner in whose.items() if owner is Whose.UNKNOWN),
        tuple(each for each in question.own.known if versions([each]) <= families),
        aliases[0] if aliases else "",
        is_made_up(answer),
    )


def judge_place(place: Place) -> Finding:
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


def _judge_addresses(place: Place, elsewhere: Verdict) -> Finding:
    names = {"host": place.name}
    if not place.addresses:
        return Verdict.MISSING, Sentence(
            "%(host)s has no address in the DNS. Publish an A or AAAA record for it.", **names
        )
    inner = [address for address in place.foreign if not is_public(address)]
    if inner:
        return Verdict.WRONG, Sentence(
            "%(host)s leads to %(addresses)s, which nobody on the Internet reaches. Replace that "
            "record; or, if the DNS says so only inside your network, let DNS_SERVERS name one "
            "outside.",
            addresses=shown(inner),
            **names,
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


async def host(question: Question) -> Finding:
    """
    The addresses of one of the server's host names.

    Mail must come here itself; a web site may well be behind somebody else's proxy.
    """
    place = await look_up(question, question.name)
    services = {
        service
        for each in question.site.hosts
        if each.name == question.name
        for service in each.services
    }
    if question.record.required:
        return judge_place(place)
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
    """None for one of ours. Any mail host may be too busy to say who it is."""
    code, name = line[:3], line[4:].partition(" ")[0].lower().rstrip(".")
    names = {"address": address, "host": question.name, "line": cut(line)}
    if code == "220" and name in (question.site.hostname, *question.site.exchange_domains):
        return None
    if code[:1] in ("4", "5"):
        return Verdict.UNKNOWN, Sentence(
            "At %(address)s, where %(host)s leads, no mail is taken now: “%(line)s”.", **names
        )
    return Verdict.WRONG, Sentence(
        "At %(address)s, where %(host)s leads, another server answers: “%(line)s”.", **names
    )
