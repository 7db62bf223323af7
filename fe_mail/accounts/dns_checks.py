"""
Are a domain's DNS records right? Looks each up and says in one sentence what was found.

Every failing check tells what stands in the DNS now and what should stand there instead. When
the DNS does not answer, a check is ``undecided``: nobody may conclude anything from it.

RFC 5321 §5.1 (MX), RFC 6376 §3.6.1 (DKIM), RFC 7489 §6.6.3 (DMARC), RFC 7208 §4.5 (SPF).
"""

from collections.abc import Awaitable, Callable, Iterable

import attrs

from fe_mail.accounts.dns_records import DNSRecord, full_name
from fe_mail.accounts.sender_policy import admits, find_policy
from fe_mail.accounts.site import Site
from fe_mail.model.account import Domain
from fe_mail.model.errors import Invalid, Unavailable
from fe_mail.ports import Resolver

__all__ = ["RecordCheck", "check_records"]

MAX_SHOWN = 3  # records that a sentence lists
MAX_SHOWN_LENGTH = 120
MAX_PARENTS = 4  # domains above, asked for a DMARC record

_Finding = tuple[bool, str]


@attrs.frozen(kw_only=True)
class RecordCheck:
    """How one record stands. ``is_undecided``: the DNS gave no answer."""

    record: DNSRecord
    passed: bool
    message: str
    is_undecided: bool = False

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
    try:
        passed, message = await _CHECKS[question.record.purpose](question)
    except Unavailable:
        message = (
            f"The DNS servers of {question.domain.name} did not answer. "
            "Nothing was changed; try again in a few minutes."
        )
        return RecordCheck(record=question.record, passed=False, message=message, is_undecided=True)
    except Invalid:
        passed, message = False, f"{question.name} cannot be looked up in the DNS."
    return RecordCheck(record=question.record, passed=passed, message=message)


async def _mx(question: _Question) -> _Finding:
    name, expected = question.domain.name, question.site.exchange_domains
    answer = await question.resolver.mx(name)
    hosts = [record.host for record in answer.records]
    foreign = [host for host in hosts if host not in expected]
    wanted = " and ".join(expected)
    if question.domain.ignore_mx_check:
        return True, "The MX check is switched off for this domain."
    if not answer.exists:
        return (
            False,
            f"{name} does not exist in the DNS yet. Register it, then publish an MX "
            f"record with the value {wanted}.",
        )
    if not hosts:
        return False, f"{name} has no MX record. Publish one with the value {wanted}."
    if len(foreign) == len(hosts):
        return False, f"The MX records of {name} lead to {_shown(hosts)}. Replace them by {wanted}."
    if foreign:
        return (
            False,
            f"Besides {wanted}, {name} has MX records that lead to {_shown(foreign)}. "
            "Remove them, or part of the mail goes there.",
        )
    return True, f"Mail for {name} comes to {_shown(hosts)}."


async def _verification(question: _Question) -> _Finding:
    wanted = question.record.value
    marker = wanted.partition("=")[0] + "="
    records = (await question.resolver.txt(question.name)).records
    found = [record.strip() for record in records if record.strip().startswith(marker)]
    if not found:
        return False, f"{question.name} has no TXT record “{wanted}”. Publish it."
    if len(found) > 1:
        return (
            False,
            f"{question.name} has {len(found)} TXT records that begin with “{marker}”. "
            f"Keep only “{wanted}”.",
        )
    if found[0] != wanted:
        return (
            False,
            f"The TXT record of {question.name} is “{_cut(found[0])}”, which belongs to "
            f"another account. Replace it by “{wanted}”.",
        )
    return True, f"{question.name} belongs to this account."


async def _dkim(question: _Question) -> _Finding:
    records = (await question.resolver.txt(question.name)).records
    if not records:
        return False, f"There is no TXT record at {question.name}. Publish the key shown here."
    if len(records) > 1:
        return (
            False,
            f"There are {len(records)} TXT records at {question.name}. Keep only the key "
            "shown here.",
        )
    if _tags(records[0]) != _tags(question.record.value):
        return (
            False,
            f"The key at {question.name} is another one, or part of it is missing. "
            "Replace the record by the one shown here.",
        )
    return True, "The DKIM key is published."


def _tags(text: str) -> dict[str, str]:
    """DKIM tags without any white space, defaults filled in (RFC 6376 §3.6.1)."""
    pairs = (item.partition("=") for item in "".join(text.split()).split(";") if item)
    return {"v": "DKIM1", "k": "rsa", **{name: value for name, _, value in pairs}}


async def _return_path(question: _Question) -> _Finding:
    wanted = question.record.value
    records = (await question.resolver.cname(question.name)).records
    if not records:
        return (
            False,
            f"There is no CNAME record at {question.name}. Publish one that leads to {wanted}.",
        )
    if wanted.lower().rstrip(".") not in records:
        return (
            False,
            f"The CNAME record at {question.name} leads to {_shown(records)}. Let it lead "
            f"to {wanted}.",
        )
    return True, "Bounces come back to this server."


async def _dmarc(question: _Question) -> _Finding:
    for name in _with_parents(question.domain.name):
        records = (await question.resolver.txt(f"_dmarc.{name}")).records
        policies = [each for each in records if "".join(each.split()).startswith("v=DMARC1")]
        if len(policies) > 1:
            return False, f"There are {len(policies)} DMARC records at _dmarc.{name}. Keep one."
        if policies:
            return _judge_dmarc(name, policies[0])
    return False, f"There is no DMARC record at {question.name}. Publish “{question.record.value}”."


def _with_parents(name: str) -> tuple[str, ...]:
    """The domain and those above it that have two labels or more."""
    labels = name.split(".")
    count = min(len(labels) - 1, MAX_PARENTS + 1)
    return tuple(".".join(labels[start:]) for start in range(max(1, count)))


def _judge_dmarc(name: str, policy: str) -> _Finding:
    tags = _tags(policy)
    if tags.get("p", "").lower() not in ("none", "quarantine", "reject"):
        return False, f"The DMARC record at _dmarc.{name} has no policy. Add “p=reject”."
    if tags.get("pct", "100") != "100":
        return (
            False,
            f"The DMARC record at _dmarc.{name} covers only {_cut(tags['pct'])} percent. "
            "Use “pct=100”, or leave it out.",
        )
    return True, "The DMARC policy is published."


async def _spf(question: _Question) -> _Finding:
    name, wanted = question.domain.name, question.record.value
    policies = find_policy((await question.resolver.txt(name)).records)
    if not policies:
        return False, f"{name} has no SPF record. Publish the TXT record “{wanted}”."
    if len(policies) > 1:
        return (
            False,
            f"{name} has {len(policies)} SPF records, so none of them counts. Join them into one.",
        )
    ours = question.site.addresses or await _own_addresses(question)
    for address in ours:
        if not await admits(question.resolver, policies[0], name, address):
            mechanism = f"ip6:{address}" if ":" in address else f"ip4:{address}"
            return (
                False,
                f"The SPF record “{_cut(policies[0])}” does not let {address}, this "
                f"server, send mail of {name}. Add “{mechanism}” to it.",
            )
    return True, f"This server may send mail of {name}."


async def _own_addresses(question: _Question) -> tuple[str, ...]:
    """What the names of this server resolve to, when its addresses were not configured."""
    answer = await question.resolver.addresses(question.site.hostname)
    return answer.records


def _shown(values: Iterable[str]) -> str:
    found = list(values)
    text = ", ".join(_cut(value) or "nowhere" for value in found[:MAX_SHOWN])
    return f"{text} and others" if len(found) > MAX_SHOWN else text


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
