"""
Are a domain's DNS records right? Looks each up and says in one sentence what was found.

Every failing check tells what stands in the DNS now and what should stand there instead. When
the DNS does not answer, a check is ``undecided``: nobody may conclude anything from it.

RFC 5321 §5.1 (MX), RFC 6376 §3.6.1 (DKIM), RFC 7489 §6.6.3 (DMARC), RFC 7208 §4.5 (SPF).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import attrs

from fe_mail.accounts.dns_records import DNSRecord, full_name
from fe_mail.accounts.sender_policy import admits, find_policy
from fe_mail.accounts.site import Site
from fe_mail.model.account import Domain
from fe_mail.model.dns import CNAME, MX, TXT, HostAddress
from fe_mail.model.errors import Invalid, Unavailable
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Resolver

__all__ = ["RecordCheck", "check_records"]

MAX_SHOWN = 3  # records that a sentence lists
MAX_SHOWN_LENGTH = 120
MAX_PARENTS = 4  # domains above, asked for a DMARC record

_Finding = tuple[bool, Sentence]


@attrs.frozen(kw_only=True)
class RecordCheck:
    """How one record stands. ``is_undecided``: the DNS gave no answer."""

    record: DNSRecord
    passed: bool
    sentence: Sentence
    is_undecided: bool = False

    @property
    def message(self) -> str:
        """What was found, in English."""
        return str(self.sentence)

    @property
    def purpose(self) -> str:
        """Of the record."""
        return self.record.purpose


@attrs.frozen
class _Question:
    """What a check needs to know."""

    resolver: Resolver
    domain: Domain
    site: Site
    record: DNSRecord

    @property
    def name(self) -> str:
        """The full name of the record."""
        return full_name(self.record, self.domain)


async def check_records(
    resolver: Resolver, domain: Domain, site: Site, records: Iterable[DNSRecord]
) -> tuple[RecordCheck, ...]:
    """One result for each purpose, in the order of ``records``."""
    first_of_each = {record.purpose: record for record in reversed(list(records))}
    ordered = reversed(first_of_each.values())
    return tuple([await _check(_Question(resolver, domain, site, each)) for each in ordered])


async def _check(question: _Question) -> RecordCheck:
    record = question.record
    try:
        passed, sentence = await _CHECKS[record.purpose](question)
    except Unavailable:
        sentence = Sentence(
            "The DNS did not answer when %(name)s was looked up. Nothing was changed; try again "
            "in a few minutes.",
            name=question.name,
        )
        return RecordCheck(record=record, passed=False, sentence=sentence, is_undecided=True)
    except Invalid:
        passed = False
        sentence = Sentence("%(name)s cannot be looked up in the DNS.", name=question.name)
    return RecordCheck(record=record, passed=passed, sentence=sentence)


async def _mx(question: _Question) -> _Finding:
    expected = question.site.exchange_domains
    names = {"domain": question.domain.name, "wanted": ", ".join(expected)}
    answer = await question.resolver.query(question.domain.name, MX)
    hosts = [record.host for record in answer.records]
    if question.domain.ignore_mx_check:
        return True, Sentence("The MX check is switched off for this domain.")
    if not answer.exists:
        return False, Sentence(
            "%(domain)s does not exist in the DNS yet. Register it, then publish an MX record "
            "with the value %(wanted)s.",
            **names,
        )
    if not hosts:
        return False, Sentence(
            "%(domain)s has no MX record. Publish one with the value %(wanted)s.", **names
        )
    if not any(hosts):
        return False, Sentence(
            "The MX record of %(domain)s says that it takes no mail. Replace it by %(wanted)s.",
            **names,
        )
    return _judge_hosts(hosts, [host for host in hosts if host not in expected], names)


def _judge_hosts(hosts: list[str], foreign: list[str], names: Mapping[str, str]) -> _Finding:
    if len(foreign) == len(hosts):
        return False, Sentence(
            "The MX records of %(domain)s lead to %(hosts)s. Replace them by %(wanted)s.",
            hosts=_shown(hosts),
            **names,
        )
    if foreign:
        return False, Sentence(
            "Besides %(wanted)s, %(domain)s has MX records that lead to %(hosts)s. Remove them, "
            "or part of the mail goes there.",
            hosts=_shown(foreign),
            **names,
        )
    return True, Sentence("Mail for %(domain)s comes to %(hosts)s.", hosts=_shown(hosts), **names)


async def _verification(question: _Question) -> _Finding:
    wanted = question.record.value
    marker = wanted.partition("=")[0] + "="
    records = (await question.resolver.query(question.name, TXT)).records
    found = [record.strip() for record in records if record.strip().startswith(marker)]
    names = {"name": question.name, "wanted": wanted}
    if not found:
        return False, Sentence("%(name)s has no TXT record “%(wanted)s”. Publish it.", **names)
    if len(found) > 1:
        return False, Sentence(
            "%(name)s has %(count)s TXT records that begin with “%(marker)s”. Keep only "
            "“%(wanted)s”.",
            count=len(found),
            marker=marker,
            **names,
        )
    if found[0] != wanted:
        return False, Sentence(
            "The TXT record of %(name)s is “%(found)s”, which belongs to another account. "
            "Replace it by “%(wanted)s”.",
            found=_cut(found[0]),
            **names,
        )
    return True, Sentence("%(name)s belongs to this account.", **names)


async def _dkim(question: _Question) -> _Finding:
    name = question.name
    records = (await question.resolver.query(name, TXT)).records
    if not records:
        return False, Sentence(
            "There is no TXT record at %(name)s. Publish the key shown here.", name=name
        )
    if len(records) > 1:
        return False, Sentence(
            "There are %(count)s TXT records at %(name)s. Keep only the key shown here.",
            count=len(records),
            name=name,
        )
    if _tags(records[0]) != _tags(question.record.value):
        return False, Sentence(
            "The key at %(name)s is another one, or part of it is missing. Replace the record by "
            "the one shown here.",
            name=name,
        )
    return True, Sentence("The DKIM key is published.")


def _tags(text: str) -> dict[str, str]:
    """DKIM tags without any white space, defaults filled in (RFC 6376 §3.6.1)."""
    pairs = (item.partition("=") for item in "".join(text.split()).split(";") if item)
    return {"v": "DKIM1", "k": "rsa", **{name: value for name, _, value in pairs}}


async def _return_path(question: _Question) -> _Finding:
    names = {"name": question.name, "wanted": question.record.value}
    records = (await question.resolver.query(question.name, CNAME)).records
    if not records:
        return False, Sentence(
            "There is no CNAME record at %(name)s. Publish one that leads to %(wanted)s.", **names
        )
    if question.record.value.lower().rstrip(".") not in records:
        return False, Sentence(
            "The CNAME record at %(name)s leads to %(hosts)s. Let it lead to %(wanted)s.",
            hosts=_shown(records),
            **names,
        )
    return True, Sentence("Bounces come back to this server.")


async def _dmarc(question: _Question) -> _Finding:
    for name in _with_parents(question.domain.name):
        records = (await question.resolver.query(f"_dmarc.{name}", TXT)).records
        policies = [each for each in records if "".join(each.split()).startswith("v=DMARC1")]
        if len(policies) > 1:
            return False, Sentence(
                "There are %(count)s DMARC records at %(name)s. Keep one.",
                count=len(policies),
                name=f"_dmarc.{name}",
            )
        if policies:
            return _judge_dmarc(f"_dmarc.{name}", policies[0])
    return False, Sentence(
        "There is no DMARC record at %(name)s. Publish “%(wanted)s”.",
        name=question.name,
        wanted=question.record.value,
    )


def _with_parents(name: str) -> tuple[str, ...]:
    """The domain and those above it that have two labels or more."""
    labels = name.split(".")
    count = min(len(labels) - 1, MAX_PARENTS + 1)
    return tuple(".".join(labels[start:]) for start in range(max(1, count)))


def _judge_dmarc(name: str, policy: str) -> _Finding:
    tags = _tags(policy)
    if tags.get("p", "").lower() not in ("none", "quarantine", "reject"):
        return False, Sentence(
            "The DMARC record at %(name)s has no policy. Add “p=reject”.", name=name
        )
    if tags.get("pct", "100") != "100":
        return False, Sentence(
            "The DMARC record at %(name)s covers only %(percent)s percent. Use “pct=100”, or "
            "leave it out.",
            name=name,
            percent=_cut(tags["pct"]),
        )
    return True, Sentence("The DMARC policy is published.")


async def _spf(question: _Question) -> _Finding:
    domain, wanted = question.domain.name, question.record.value
    policies = find_policy((await question.resolver.query(domain, TXT)).records)
    if not policies:
        return False, Sentence(
            "%(domain)s has no SPF record. Publish the TXT record “%(wanted)s”.",
            domain=domain,
            wanted=wanted,
        )
    if len(policies) > 1:
        return False, Sentence(
            "%(domain)s has %(count)s SPF records, so none of them counts. Join them into one.",
            domain=domain,
            count=len(policies),
        )
    ours = question.site.addresses or await _own_addresses(question)
    if not ours:
        return False, Sentence(
            "Whether the SPF record “%(policy)s” lets this server send cannot be told, because "
            "%(host)s has no address in the DNS. Publish an A or AAAA record for it.",
            policy=_cut(policies[0]),
            host=question.site.hostname,
        )
    return await _judge_spf(question, policies[0], ours)


async def _judge_spf(question: _Question, policy: str, ours: Iterable[str]) -> _Finding:
    domain = question.domain.name
    for address in ours:
        if not await admits(question.resolver, policy, domain, address):
            return False, Sentence(
                "The SPF record “%(policy)s” does not let %(address)s, this server, send mail of "
                "%(domain)s. Add “%(mechanism)s” to it.",
                policy=_cut(policy),
                address=address,
                domain=domain,
                mechanism=f"ip6:{address}" if ":" in address else f"ip4:{address}",
            )
    return True, Sentence("This server may send mail of %(domain)s.", domain=domain)


async def _own_addresses(question: _Question) -> tuple[str, ...]:
    """
    What the names of this server resolve to, when its addresses were not configured.

    A server that takes mail under its MX names sends from the same addresses, as a rule.
    """
    site = question.site
    found: list[str] = []
    for name in dict.fromkeys((site.hostname, *site.exchange_domains)):
        found.extend((await question.resolver.query(name, HostAddress)).records)
    return tuple(dict.fromkeys(found))


def _shown(values: Iterable[str]) -> Sentence | str:
    """Some names; an empty one is the root, to which a null MX leads (RFC 7505)."""
    found = list(values)
    text = ", ".join(_cut(value) or "." for value in found[:MAX_SHOWN])
    return Sentence("%(names)s and others", names=text) if len(found) > MAX_SHOWN else text


def _cut(text: str) -> str:
    """Foreign text in a sentence of ours: printable and short."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= MAX_SHOWN_LENGTH else clean[:MAX_SHOWN_LENGTH] + "…"


_CHECKS: dict[str, Callable[[_Question], Awaitable[_Finding]]] = {
    "mx": _mx,
    "verification": _verification,
    "spf": _spf,
    "dkim": _dkim,
    "return_path": _return_path,
    "dmarc": _dmarc,
}
