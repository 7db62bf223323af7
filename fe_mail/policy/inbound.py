"""
The tables of the MX: who may connect, which recipients exist, which messages loop.

Foundation rules only; authentication, lists and greylisting add lines to these tables.
RFC 5321 §6.3 (loops), §4.5.5 (null reverse-path), §4.5.3.1.9 (452), §7.8 (resistance to attacks);
RFC 3463 (enhanced status codes).
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence

import attrs

from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer
from fe_mail.model.network import is_public, network_of, parse_ip
from fe_mail.model.route import Route
from fe_mail.model.status import Status
from fe_mail.model.verdicts import Verdicts
from fe_mail.policy.limits import (
    ACQUAINTANCE_SECONDS,
    GREETING_SECONDS,
    MAX_HEADER_OCTETS,
    MAX_RECEIVED_FIELDS,
)
from fe_mail.policy.rules import Action, AtTheDoor, Refuse, Rule, refuse
from fe_mail.ports import Cache

__all__ = [
    "FULL",
    "HARVESTED",
    "MESSAGE",
    "Acquaintance",
    "ConnectFacts",
    "MessageFacts",
    "RecipientFacts",
    "connect_table",
    "huge_header",
    "looping",
    "recipient_table",
    "sender_table",
]


@attrs.frozen(kw_only=True)
class ConnectFacts:
    """A connection, and at MAIL FROM its sender."""

    peer: Peer
    reverse_path: Address | None = None


@attrs.frozen(kw_only=True)
class RecipientFacts:
    """RCPT TO with what routing says about it."""

    peer: Peer
    reverse_path: Address | None
    recipient: Address
    route: Route
    is_full: bool = False  # no mailbox that it leads to has room


@attrs.frozen(kw_only=True)
class MessageFacts:
    """A whole message: its envelope, what its header shows, and what the checks found."""

    envelope: Envelope
    received_count: int
    header_octets: int
    has_header_end: bool
    verdicts: Verdicts = Verdicts()


IsHarvester = Callable[[str], Awaitable[bool]]

_HARVESTER = Status(421, "4.7.1", "Too many unknown recipients. Try later.")
FULL = Status(452, "4.2.2", "The mailbox is full. Try again later.")
HARVESTED = attrs.evolve(_HARVESTER, code=450)  # 421 would end the connection


def connect_table(is_harvester: IsHarvester) -> tuple[Rule[ConnectFacts, AtTheDoor], ...]:
    """The rules of a new connection; ``is_harvester`` judges an address."""

    async def harvester(facts: ConnectFacts) -> Refuse | None:
        return Refuse(_HARVESTER) if await is_harvester(facts.peer.ip) else None

    return (
        Rule(
            "inbound.connect.harvesting",
            "The address asked for too many unknown recipients in the last hour.",
            harvester,
        ),
    )


def sender_table(is_harvester: IsHarvester) -> tuple[Rule[ConnectFacts, AtTheDoor], ...]:
    """The rules of MAIL FROM: a long connection meets the same limit as a new one."""
    return connect_table(is_harvester)


async def _not_hosted(facts: RecipientFacts) -> Refuse | None:
    if facts.route.is_hosted:
        return None
    return refuse(550, "5.7.1", "Relaying is not allowed here.")


async def _refused_route(facts: RecipientFacts) -> Refuse | None:
    return Refuse(facts.route.refusal) if facts.route.refusal else None


async def _full_mailbox(facts: RecipientFacts) -> Refuse | None:
    return Refuse(FULL) if facts.is_full else None


def recipient_table(is_harvester: IsHarvester) -> tuple[Rule[RecipientFacts, AtTheDoor], ...]:
    """The rules of RCPT TO; whoever asked for too many hears of none whether it exists."""

    async def harvester(facts: RecipientFacts) -> Refuse | None:
        return Refuse(HARVESTED) if await is_harvester(facts.peer.ip) else None

    first = Rule("inbound.recipient.harvesting", "As for connections.", harvester)
    return (first, *_RECIPIENT)


_RECIPIENT: tuple[Rule[RecipientFacts, AtTheDoor], ...] = (
    Rule("inbound.recipient.relay", "Only hosted domains receive here.", _not_hosted),
    Rule(
        "inbound.recipient.refused",
        "The address does not exist, or its owner disabled it.",
        _refused_route,
    ),
    Rule("inbound.recipient.full", "The mailbox has no room for the message.", _full_mailbox),
)


async def looping(facts: MessageFacts) -> Refuse | None:
    """A message that went from host to host too often."""
    if facts.received_count <= MAX_RECEIVED_FIELDS:
        return None
    return refuse(554, "5.4.6", "The message is going round in a loop.")


async def huge_header(facts: MessageFacts) -> Refuse | None:
    """A header that does not end, or is too long to be read at every hop."""
    if facts.has_header_end and facts.header_octets <= MAX_HEADER_OCTETS:
        return None
    return refuse(554, "5.6.0", "The header of the message is too long.")


async def _bounce_to_many(facts: MessageFacts) -> Refuse | None:
    if facts.envelope.reverse_path is not None or len(facts.envelope.recipients) <= 1:
        return None
    return refuse(550, "5.5.3", "A report has exactly one recipient (RFC 5321 4.5.5).")


MESSAGE: tuple[Rule[MessageFacts, Action], ...] = (
    Rule("inbound.message.loop", "More Received fields than any real path has.", looping),
    Rule("inbound.message.header", "A header bigger than any real one.", huge_header),
    Rule(
        "inbound.message.bounce-to-many",
        "Mail with the null reverse-path is a report to one sender.",
        _bounce_to_many,
    ),
)


class Acquaintance:
    """
    Who is known to wait for the greeting, by networks. ``trusted`` ones need not: health checks of
    a proxy come from them.
    """

    def __init__(self, cache: Cache, trusted: Sequence[str] = ()) -> None:
        self._cache = cache
        self._trusted = [ipaddress.ip_network(network) for network in trusted]

    async def patience(self, peer: Peer) -> float | None:
        """For how long to hold the greeting back; None: who speaks first may do so."""
        ip = parse_ip(peer.ip)
        if ip is not None and any(ip in network for network in self._trusted):
            return None
        if not is_public(peer.ip):
            return 0.0
        is_known = await self._cache.get(_acquaintance_key(peer.ip)) is not None
        return 0.0 if is_known else GREETING_SECONDS

    async def met(self, peer: Peer) -> None:
        """A peer that waited, and has mail."""
        if is_public(peer.ip):
            await self._cache.set(_acquaintance_key(peer.ip), b"1", ACQUAINTANCE_SECONDS)


def _acquaintance_key(ip: str) -> str:
    return f"acquaintance:{network_of(ip)}"
