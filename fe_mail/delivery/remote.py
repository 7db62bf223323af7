"""
The courier to other hosts: finds the mail exchangers of a domain and tries them in order.

Exchangers are tried by preference, shuffled within one; a domain without MX is its own
exchanger; a null MX refuses mail. Hosts that are ourselves, and all behind them, are left out,
so that mail cannot go round; addresses that are not public are refused unless allowed, and the
connection goes to the very addresses that were checked. What a host answers about a recipient
decides; a host that does not want to talk, or does not answer, only sends us to the next one.
Everything is temporary unless proven permanent.

RFC 5321 §5.1 (locating the host), §4.1.3 (literals); RFC 7505 (null MX); RFC 3463.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Sequence

import attrs
from twisted.logger import Logger

from fe_mail.delivery.courier import LATER
from fe_mail.model.address import Address, parse_address
from fe_mail.model.dns import MX
from fe_mail.model.errors import Invalid, MailError, Unavailable
from fe_mail.model.network import is_public
from fe_mail.model.outbound import Attempt, OutboundRecipient, RemoteReply, TLSWish, Transmission
from fe_mail.model.queue import Claim, Outcome
from fe_mail.ports import BlobReader, Blobs, Exchange, Resolver

__all__ = ["MAX_ADDRESSES", "MAX_HOSTS", "SMTP_PORT", "RemoteCourier"]

log = Logger()

SMTP_PORT = 25
MAX_HOSTS = 5  # exchangers tried in one attempt
MAX_ADDRESSES = 4  # addresses of one exchanger

_NO_DNS = Outcome.deferred(451, "4.4.3", "The domain name system does not answer.")
_NO_DOMAIN = Outcome.failed(550, "5.1.2", "The domain of the recipient does not exist.")
_NO_HOST = Outcome.failed(550, "5.1.2", "The domain of the recipient has no mail host.")
_NULL_MX = Outcome.failed(556, "5.1.10", "The domain of the recipient does not take mail.")
_LOOP = Outcome.failed(554, "5.4.6", "The mail host of the recipient is this server: a loop.")
_NOT_PUBLIC = Outcome.failed(550, "5.4.4", "The mail host of the recipient has no public address.")
_NO_ANSWER = Outcome.deferred(451, "4.4.1", "No mail host of the recipient answers.")


@attrs.frozen(kw_only=True)
class _Hosts:
    """The exchangers to try, or the outcome if there is nothing to try."""

    names: tuple[str, ...] = ()
    outcome: Outcome | None = None


class RemoteCourier:
    """
    Sends one copy over SMTP. ``own_hosts`` are the names by which exchangers mean us;
    ``allow_private`` is for the demo and for private networks.
    """

    def __init__(
        self,
        resolver: Resolver,
        exchange: Exchange,
        blobs: Blobs,
        *,
        own_hosts: Collection[str] = (),
        own_addresses: Collection[str] = (),
        port: int = SMTP_PORT,
        allow_private: bool = False,
        tls: TLSWish = TLSWish.OPPORTUNISTIC,
        shuffle: Callable[[list[MX]], None] = random.shuffle,
    ) -> None:
        self._resolver = resolver
        self._exchange = exchange
        self._blobs = blobs
        self._own_hosts = frozenset(name.lower().rstrip(".") for name in own_hosts)
        self._own_addresses = frozenset(own_addresses)
        self._port = port
        self._allow_private = allow_private
        self._tls = tls
        self._shuffle = shuffle

    async def deliver(self, claim: Claim) -> Outcome:
        """Try the exchangers of the target's domain."""
        try:
            recipient = parse_address(claim.delivery.target.address)
        except Invalid:
            return Outcome.failed(553, "5.1.3", "The recipient's address is not valid.")
        hosts = await self._hosts(recipient)
        if hosts.outcome is not None:
            return hosts.outcome
        return await self._try_hosts(claim, hosts.names)

    # -- which hosts ----------------------------------------------------------------------------

    async def _hosts(self, recipient: Address) -> _Hosts:
        domain = recipient.domain
        if domain.startswith("["):
            return _Hosts(names=(domain,))
        try:
            answer = await self._resolver.mx(domain)
        except Unavailable:
            return _Hosts(outcome=_NO_DNS)
        if not answer.exists:
            return _Hosts(outcome=_NO_DOMAIN)
        if not answer.records:
            return _Hosts(names=(domain,))
        if all(not record.host for record in answer.records):
            return _Hosts(outcome=_NULL_MX)
        return self._in_order(answer.records)

    def _in_order(self, records: Sequence[MX]) -> _Hosts:
        """By preference, shuffled within one, without ourselves and those behind us."""
        real = [record for record in records if record.host]
        ours = [record.preference for record in real if record.host in self._own_hosts]
        usable = [record for record in real if not ours or record.preference < min(ours)]
        if not usable:
            return _Hosts(outcome=_LOOP)
        self._shuffle(usable)
        usable.sort(key=lambda record: record.preference)
        return _Hosts(names=tuple(record.host for record in usable[:MAX_HOSTS]))

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if host.startswith("["):
            return (host[1:-1].removeprefix("IPv6:"),)
        answer = await self._resolver.addresses(host)
        return answer.records

    # -- talking to them ------------------------------------------------------------------------

    async def _try_hosts(self, claim: Claim, hosts: Sequence[str]) -> Outcome:
        worst = _NO_HOST
        for host in hosts:
            outcome, is_final = await self._try_host(claim, host)
            if is_final:
                return outcome
            worst = _more_hopeful(worst, outcome)
        return worst

    async def _try_host(self, claim: Claim, host: str) -> tuple[Outcome, bool]:
        """The outcome of one host, and whether it ends the attempt."""
        try:
            addresses = await self._addresses(host)
        except Unavailable:
            return _NO_DNS, False
        if not addresses:
            return _NO_HOST, False
        if self._own_addresses.intersection(addresses):
            return _LOOP, True
        allowed = [ip for ip in addresses if self._allow_private or is_public(ip)]
        if not allowed:
            return _NOT_PUBLIC, False
        try:
            transmission = await self._exchange.transmit(
                host,
                allowed[:MAX_ADDRESSES],
                self._port,
                self._attempt(claim),
                self._content(claim),
            )
        except Unavailable:
            return attrs.evolve(_NO_ANSWER, remote=host), False
        except MailError:
            log.failure("sending {message_id} failed", message_id=claim.message.id)
            return LATER, True
        return _outcome(transmission), not transmission.is_session_refused

    def _attempt(self, claim: Claim) -> Attempt:
        message, delivery = claim.message, claim.delivery
        recipient = OutboundRecipient(
            address=delivery.target.address,
            notify=delivery.notify,
            original=delivery.original_recipient,
        )
        return Attempt(
            reverse_path=message.reverse_path,
            recipients=(recipient,),
            size_octets=message.size_octets,
            prefix=delivery.handling.header,
            is_8bit=message.is_8bit,
            is_utf8=message.is_utf8,
            envelope_id=message.envelope_id,
            dsn_return=message.dsn_return,
            tls=TLSWish.REQUIRED if message.requires_tls else self._tls,
            session_id=message.peer.session_id,
        )

    def _content(self, claim: Claim) -> Callable[[], Awaitable[BlobReader]]:
        return lambda: self._blobs.open(claim.message.blob)


def _outcome(transmission: Transmission) -> Outcome:
    """What the host said about our one recipient."""
    reply = transmission.replies[0]
    if reply.is_positive:
        return Outcome.delivered(_line(reply), transmission.host, transmission.tls)
    if reply.is_permanent and not transmission.is_session_refused:
        outcome = Outcome.failed(reply.code, reply.enhanced, _line(reply), transmission.host)
    elif reply.is_permanent:
        # A host that refuses to talk to us at all says nothing about the recipient.
        text = f"The mail host refuses to talk: {reply.code} {_line(reply)}"
        outcome = Outcome.deferred(450, "4.4.2", text, transmission.host)
    else:
        outcome = Outcome.deferred(reply.code, reply.enhanced, _line(reply), transmission.host)
    return attrs.evolve(outcome, tls=transmission.tls)


def _line(reply: RemoteReply) -> str:
    return reply.text[:500]


def _more_hopeful(one: Outcome, other: Outcome) -> Outcome:
    """The later of two, but a temporary failure before a permanent one."""
    if one.code < 500 <= other.code:
        return one
    return other
