"""
The checks of what brings mail here: MX and ownership.

An MX record is right when it leads to this server, not when it names it: each of its hosts is
looked up, and its addresses compared with our own.

RFC 5321 §5.1 (MX, implicit MX); RFC 7505 (null MX).
"""

from collections.abc import Collection, Mapping

from fe_mail.accounts.dns_findings import Finding, Question, Verdict, cut, shown
from fe_mail.accounts.dns_hosts import Place, judge_place, look_up
from fe_mail.accounts.site import Site
from fe_mail.model.dns import MX
from fe_mail.model.sentence import Sentence
from fe_mail.waiting import together

__all__ = ["mx", "verification"]

MAX_HOSTS = 10  # of an MX, looked up


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
    places = await together(look_up(question, name) for name in preferences if name)
    foreign = _foreign(places, await _expected_addresses(question), expected)
    if "" in preferences:
        foreign.append("")
    return _judge_exchanges(places, foreign, preferences, names, question.site)


async def _implicit(question: Question, names: Mapping[str, str]) -> Finding:
    """Without MX records, mail goes to the address of the domain itself."""
    place = await look_up(question, question.domain_name)
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


def _foreign(places: list[Place], near: set[str], expected: Collection[str]) -> list[str]:
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
    places: list[Place],
    foreign: list[str],
    preferences: Mapping[str, int],
    names: Mapping[str, str],
    site: Site,
) -> Finding:
    """``foreign`` are the names of those that lead away; one of our own names says why."""
    for place in places:
        if place.name in site.exchange_domains and place.foreign:
            return judge_place(place)
    ours = [place for place in places if place.name not in foreign]
    if not ours:
        return Verdict.WRONG, Sentence(
            "The MX records of %(domain)s lead to %(hosts)s. Replace them by %(wanted)s.",
            hosts=shown(foreign),
            **names,
        )
    for place in ours:
        verdict, sentence = judge_place(place)
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
    ours: list[Place],
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
