"""
The checks of what lets this server send for a domain: SPF, the return path, DMARC, and the names
of its own addresses. What they compare is what a record means, not how it is written.

RFC 7208 §2.3, §4.5 (SPF, also of the HELO name); RFC 7489 §6.3, §6.6.3 (DMARC); RFC 1912 §2.1 and
RFC 8601 §2.7.3 (PTR with forward confirmation).
"""

from collections.abc import Mapping

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
from fe_mail.accounts.sender_policy import Admission, admits, find_policy
from fe_mail.accounts.tag_list import TagList, read_tags
from fe_mail.model.dns import CNAME, PTR
from fe_mail.model.network import parse_ip
from fe_mail.model.sentence import Sentence
from fe_mail.model.vantage import Whose

__all__ = ["dmarc", "helo", "ptr", "return_path", "spf"]

MAX_ALIASES = 8
MAX_PARENTS = 4  # domains above, asked for a DMARC record
MAX_NAMES = 10  # of an address, confirmed
WHOLE_PERCENT = 100


# SPF ---------------------------------------------------------------------------------------------


async def spf(question: Question) -> Finding:
    """May this server's addresses send for the domain?"""
    return await _policy(question, question.domain_name, question.record.value)


async def helo(question: Question) -> Finding:
    """And under its own name? Reports have no other sender (RFC 7208 §2.4)."""
    return await _policy(question, question.name, question.record.value)


async def _policy(question: Question, domain: str, wanted: str) -> Finding:
    policies = find_policy(await question.texts(domain))
    if not policies:
        return Verdict.MISSING, Sentence(
            "%(domain)s has no SPF record. Publish the TXT record “%(wanted)s”.",
            domain=domain,
            wanted=wanted,
        )
    if len(policies) > 1:
        return Verdict.WRONG, Sentence(
            "%(domain)s has %(count)s SPF records, so none of them counts. Join them into one.",
            domain=domain,
            count=len(policies),
        )
    return await _judge_policy(question, policies[0], domain)


async def _judge_policy(question: Question, policy: str, domain: str) -> Finding:
    names: Mapping[str, object] = {"policy": cut(policy), "domain": domain}
    unsure = ""
    for address in question.own.known:
        found = await admits(
            question.resolver, policy, domain, address, helo=question.site.hostname
        )
        if found is Admission.BROKEN:
            return Verdict.WRONG, Sentence(
                "Receivers cannot read the SPF record “%(policy)s” of %(domain)s: something in it "
                "is misspelled, leads nowhere, or asks too many questions.",
                **names,
            )
        if found is Admission.REFUSED:
            return Verdict.WRONG, Sentence(
                "The SPF record “%(policy)s” does not let %(address)s, this server, send mail of "
                "%(domain)s. Add “%(mechanism)s” to it.",
                address=address,
                mechanism=f"ip6:{address}" if ":" in address else f"ip4:{address}",
                **names,
            )
        unsure = unsure or (address if found is Admission.UNKNOWN else "")
    if unsure:
        return Verdict.UNKNOWN, Sentence(
            "Whether the SPF record “%(policy)s” lets %(address)s, this server, send cannot be "
            "told: it depends on the sender of each message, or on a name that was not asked of "
            "the DNS.",
            address=unsure,
            **names,
        )
    if not question.own.known or question.own.hidden:
        return Verdict.UNKNOWN, Sentence(
            "Whether the SPF record “%(policy)s” lets this server send cannot be told. %(why)s",
            why=unknown_addresses(),
            **names,
        )
    return Verdict.RIGHT, Sentence("This server may send mail of %(domain)s.", domain=domain)


# The name of an address --------------------------------------------------------------------------


async def ptr(question: Question) -> Finding:
    """Has the address a name that leads back to it?"""
    address, wanted = question.record.name, question.record.value
    if parse_ip(address) is None:
        return Verdict.UNKNOWN, Sentence(
            "Whether the address of this server has a name cannot be told. %(why)s",
            why=unknown_addresses(),
        )
    names: Mapping[str, object] = {"address": address, "wanted": wanted}
    answer = await question.resolver.query(address, PTR)
    found = answer.records[:MAX_NAMES]
    if is_made_up(answer):
        return Verdict.UNKNOWN, Sentence(
            "Whether the address of this server has a name cannot be told. %(why)s",
            why=not_from_dns(),
        )
    if not found:
        return Verdict.MISSING, Sentence(
            "%(address)s has no name (PTR record), so many servers refuse mail from it. Whoever "
            "gave you the address can name it %(wanted)s.",
            **names,
        )
    confirmed = [name for name in found if address in await question.addresses(name)]
    if not confirmed:
        return Verdict.WRONG, Sentence(
            "The name of %(address)s is %(hosts)s, but that does not lead back to it. Let whoever "
            "gave you the address name it %(wanted)s.",
            hosts=shown(found),
            **names,
        )
    if wanted not in confirmed:
        return Verdict.DOUBTFUL, Sentence(
            "The name of %(address)s is %(hosts)s, which leads back to it. That is enough for most "
            "servers; %(wanted)s would be better.",
            hosts=shown(confirmed),
            **names,
        )
    return Verdict.RIGHT, Sentence("The name of %(address)s is %(wanted)s.", **names)


# The return path ---------------------------------------------------------------------------------


async def return_path(question: Question) -> Finding:
    """An alias of ours, however many steps away, or a name with the addresses of ours."""
    wanted = question.record.value.lower().rstrip(".")
    names = {"name": question.name, "wanted": wanted}
    name, seen = question.name, [question.name]
    for _ in range(MAX_ALIASES):
        aliases = (await question.resolver.query(name, CNAME)).records
        if not aliases or aliases[0] in seen:
            break
        name = aliases[0]
        seen.append(name)
        if name == wanted:
            return Verdict.RIGHT, Sentence("Bounces come back to this server.")
    addresses = await question.addresses(question.name)
    if addresses:
        targets = set(await question.addresses(wanted))
        if all(each in targets or question.whose(each) is Whose.OURS for each in addresses):
            return Verdict.RIGHT, Sentence("Bounces come back to this server.")
    if len(seen) > 1 or addresses:
        return Verdict.WRONG, Sentence(
            "The CNAME record at %(name)s leads to %(hosts)s. Let it lead to %(wanted)s.",
            hosts=shown(seen[1:] or addresses),
            **names,
        )
    return Verdict.MISSING, Sentence(
        "There is no CNAME record at %(name)s. Publish one that leads to %(wanted)s.", **names
    )


# DMARC -------------------------------------------------------------------------------------------


async def dmarc(question: Question) -> Finding:
    """The policy of the domain, or the one that it inherits."""
    for name in _with_parents(question.domain_name):
        place = f"_dmarc.{name}"
        records = await question.texts(place)
        policies = [tags for tags in map(read_tags, records) if tags.begins_with("v", "DMARC1")]
        is_own = name == question.domain_name
        if len(policies) > 1:
            return Verdict.WRONG, Sentence(
                "There are %(count)s DMARC records at %(name)s, so none of them counts. Keep one.",
                count=len(policies),
                name=place,
            )
        if policies and (is_own or policies[0].get("psd") != "y"):
            return _judge_dmarc(place, policies[0], is_own)
        if is_own and any("dmarc1" in record.lower() for record in records):
            return Verdict.WRONG, Sentence(
                "The DMARC record at %(name)s cannot be read: it must begin with “v=DMARC1;”, "
                "without quotation marks or backslashes.",
                name=place,
            )
    return await question.text_beside() or (
        Verdict.MISSING,
        Sentence(
            "There is no DMARC record at %(name)s. Publish “%(wanted)s”.",
            name=question.name,
            wanted=question.record.value,
        ),
    )


def _with_parents(name: str) -> tuple[str, ...]:
    """The domain and those above it that have two labels or more."""
    labels = name.split(".")
    count = min(len(labels) - 1, MAX_PARENTS + 1)
    return tuple(".".join(labels[start:]) for start in range(max(1, count)))


def _judge_dmarc(name: str, tags: TagList, is_own: bool) -> Finding:
    """For a domain below, the policy for subdomains counts (RFC 7489 §6.3)."""
    policy = tags.get("p", "").lower()
    if not is_own and policy:
        policy = tags.get("sp", policy).lower()
    if not tags.is_valid or policy not in ("none", "quarantine", "reject"):
        return Verdict.WRONG, Sentence(
            "The DMARC record at %(name)s has no policy. Add “p=none”.", name=name
        )
    percent = tags.get("pct", str(WHOLE_PERCENT))
    if percent.isdecimal() and int(percent) < WHOLE_PERCENT:
        return Verdict.WRONG, Sentence(
            "The DMARC record at %(name)s covers only %(percent)s percent. Use “pct=100”, or "
            "leave it out.",
            name=name,
            percent=cut(percent),
        )
    if policy != "none":
        return Verdict.RIGHT, Sentence("The DMARC policy is published.")
    if not tags.get("rua"):
        return Verdict.DOUBTFUL, Sentence(
            "The DMARC policy is published, but it asks for nothing: neither to refuse forged mail "
            "nor, with “rua=mailto:…”, for reports."
        )
    return Verdict.RIGHT, Sentence(
        "The DMARC policy is published. When the reports show that your own mail passes, change "
        "“p=none” to “p=quarantine”, and later to “p=reject”."
    )
