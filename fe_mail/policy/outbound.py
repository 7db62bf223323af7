"""
The tables of submission: who may send, as whom, and how much.

RFC 6409 §6.1 (enforced submission rights), §8 (completed headers); RFC 3463.
"""

import attrs

from fe_mail.model.address import Address
from fe_mail.model.identity import Identity
from fe_mail.model.route import Route
from fe_mail.policy.allowance import Allowance
from fe_mail.policy.inbound import MessageFacts, huge_header, looping
from fe_mail.policy.limits import MAX_RECIPIENTS
from fe_mail.policy.rules import Action, AtTheDoor, Refuse, Rule, refuse

__all__ = [
    "RECIPIENT",
    "SENDER",
    "Rights",
    "SubmissionFacts",
    "SubmittedRecipient",
    "SubmittedSender",
    "allowance_table",
    "is_own_address",
    "message_table",
]


@attrs.frozen(kw_only=True)
class Rights:
    """The state of an alias as the store has it now, not as it was at login."""

    alias_is_enabled: bool
    domain_may_send: bool
    is_unlimited: bool


@attrs.frozen(kw_only=True)
class SubmittedSender:
    """MAIL FROM of somebody who signed in (or not: ``identity`` None)."""

    identity: Identity | None
    reverse_path: Address | None
    rights: Rights | None


@attrs.frozen(kw_only=True)
class SubmittedRecipient:
    """RCPT TO; ``route`` says whether we host it."""

    recipient: Address
    route: Route


@attrs.frozen(kw_only=True)
class SubmissionFacts:
    """
    A whole message. ``author`` is the address of its one From field, None if it has no such;
    ``resenders`` are those who resend it (RFC 5322 §3.6.6), nobody if it is not resent, None if
    it is not clear who. ``author_is_proven``: a signature of ours says that it is the author's.
    ``fault`` says what is wrong with the form of the header.
    """

    message: MessageFacts
    identity: Identity
    rights: Rights
    author: Address | None
    author_is_hosted: bool = False
    author_is_proven: bool = False
    resenders: tuple[Address, ...] | None = ()
    fault: str = ""


def is_own_address(address: Address, identity: Identity) -> bool:
    """The address of the alias, or the same with a ``+tag``."""
    return (
        address.base == identity.alias.name.lower() and address.domain == identity.domain.name
    ) or (address.key == f"{identity.alias.name.lower()}@{identity.domain.name}")


async def _signed_in(facts: SubmittedSender) -> Refuse | None:
    if facts.identity is not None:
        return None
    return refuse(530, "5.7.0", "Authentication required.")


async def _enabled(facts: SubmittedSender) -> Refuse | None:
    if facts.rights is not None and facts.rights.alias_is_enabled:
        return None
    return refuse(535, "5.7.8", "This address may no longer sign in.")


async def _own_reverse_path(facts: SubmittedSender) -> Refuse | None:
    if facts.identity is None or facts.reverse_path is None:
        return None
    if is_own_address(facts.reverse_path, facts.identity):
        return None
    return refuse(553, "5.7.1", "You may send only as the address that you signed in with.")


async def _domain_may_send(facts: SubmittedSender) -> Refuse | None:
    if facts.rights is not None and facts.rights.domain_may_send:
        return None
    return refuse(
        550,
        "5.7.1",
        "This domain may not send yet. Verify its DNS records on the website.",
    )


SENDER: tuple[Rule[SubmittedSender, AtTheDoor], ...] = (
    Rule("outbound.sender.signed-in", "Nobody sends without signing in.", _signed_in),
    Rule("outbound.sender.enabled", "The alias still exists and is enabled.", _enabled),
    Rule("outbound.sender.identity", "The reverse-path is the alias's own.", _own_reverse_path),
    Rule("outbound.sender.domain", "The domain was approved to send.", _domain_may_send),
)


async def _known_here(facts: SubmittedRecipient) -> Refuse | None:
    if facts.route.refusal is None or not facts.route.is_hosted:
        return None
    return Refuse(facts.route.refusal)


RECIPIENT: tuple[Rule[SubmittedRecipient, AtTheDoor], ...] = (
    Rule("outbound.recipient.refused", "A hosted address that does not exist.", _known_here),
)


async def _looping(facts: SubmissionFacts) -> Refuse | None:
    return await looping(facts.message)


async def _huge_header(facts: SubmissionFacts) -> Refuse | None:
    return await huge_header(facts.message)


async def _one_author(facts: SubmissionFacts) -> Refuse | None:
    if facts.author is not None:
        return None
    return refuse(550, "5.6.0", "The message needs one From field with one address.")


async def _well_formed(facts: SubmissionFacts) -> Refuse | None:
    return refuse(550, "5.6.0", facts.fault) if facts.fault else None


async def _own_resender(facts: SubmissionFacts) -> Refuse | None:
    resenders = facts.resenders
    if resenders is not None and all(is_own_address(one, facts.identity) for one in resenders):
        return None
    return refuse(
        550,
        "5.7.1",
        "Resent-From and Resent-Sender must show the address that you signed in with.",
    )


async def _own_author(facts: SubmissionFacts) -> Refuse | None:
    """
    Or that of a message which is resent; one in the name of a neighbor must be the neighbor's.
    """
    author, domain = facts.author, facts.identity.domain.name
    if author is None or is_own_address(author, facts.identity):
        return None
    if not facts.resenders:
        text = "The From field must show the address that you signed in with."
        return refuse(550, "5.7.1", text)
    # Our signature and SPF would prove such a From field to be genuine (RFC 7489 §3.1).
    is_ours = facts.author_is_hosted or _is_related(author.domain, domain)
    if is_ours and not facts.author_is_proven:
        text = "A message of this author can be resent from here only as it was signed here."
        return refuse(550, "5.7.1", text)
    return None


def _is_related(one: str, other: str) -> bool:
    """The same domain, or one is part of the other."""
    return f".{one}".endswith(f".{other}") or f".{other}".endswith(f".{one}")


def message_table(
    max_recipients: int = MAX_RECIPIENTS,
) -> tuple[Rule[SubmissionFacts, Action], ...]:
    """The rules of a submitted message."""

    async def too_many_recipients(facts: SubmissionFacts) -> Refuse | None:
        if len(facts.message.envelope.recipients) <= max_recipients:
            return None
        return refuse(554, "5.5.3", "The message has too many recipients.")

    return (
        Rule("outbound.message.loop", "More Received fields than any real path has.", _looping),
        Rule("outbound.message.header", "A header bigger than any real one.", _huge_header),
        Rule("outbound.message.recipients", "More recipients than allowed.", too_many_recipients),
        Rule("outbound.message.form", "A header that programs read differently.", _well_formed),
        Rule("outbound.message.one-author", "Exactly one From with one address.", _one_author),
        Rule("outbound.message.resender", "Resent-From is the alias's own.", _own_resender),
        Rule("outbound.message.author", "From is the alias's own address.", _own_author),
    )


def allowance_table(allowance: Allowance) -> tuple[Rule[SubmissionFacts, AtTheDoor], ...]:
    """Asked when all others agreed, so that only good mail takes of it."""

    async def daily(facts: SubmissionFacts) -> Refuse | None:
        if facts.rights.is_unlimited or await allowance.take(facts.identity.alias):
            return None
        text = f"The daily limit of {allowance.daily_messages} messages is used up."
        return refuse(550, "5.7.1", text)

    return (Rule("outbound.message.daily", "The allowance of a domain and of a user.", daily),)
