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
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.delivery.conversion import Octets, asks_for_conversion, converted
from fe_mail.delivery.courier import LATER
from fe_mail.model.address import Address, parse_address
from fe_mail.model.dns import MX, HostAddress
from fe_mail.model.errors import Invalid, MailError, Unavailable
from fe_mail.model.network import is_public
from fe_mail.model.outbound import (
    Attempt,
    OutboundRecipient,
    RemoteReply,
    Stage,
    TLSWish,
    Transmission,
)
from fe_mail.model.queue import Claim, Outcome, OutcomeKind, QueuedDelivery
from fe_mail.ports import BlobReader, Exchange, Offload, Queue, Resolver

__all__ = ["MAX_ADDRESSES", "MAX_HOSTS", "SMTP_PORT", "RemoteCourier"]

log = Logger()

SMTP_PORT = 25
MAX_HOSTS = 5  # exchangers tried in one attempt
MAX_ADDRESSES = 4  # addresses of one exchanger
# No further host is tried when the silent ones took as long as this.
PATIENT_SECONDS = 600.0
MAX_TEXT = 500  # characters of what a host says that are kept
HURRIED_SECONDS = 60.0  # while other mail waits for a place

_NO_DNS = Outcome.deferred(451, "4.4.3", "The domain name system does not answer.")
_NO_DOMAIN = Outcome.failed(550, "5.1.2", "The domain of the recipient does not exist.")
_NO_HOST = Outcome.failed(550, "5.1.2", "The domain of the recipient has no mail host.")
_NULL_MX = Outcome.failed(556, "5.1.10", "The domain of the recipient does not take mail.")
_LOOP = Outcome.failed(554, "5.4.6", "The mail host of the recipient is this server: a loop.")
_NOT_PUBLIC = Outcome.failed(550, "5.4.4", "The mail host of the recipient has no public address.")
_NO_ADDRESS = Outcome.failed(553, "5.1.3", "The recipient's address is not valid.")


@attrs.frozen(kw_only=True)
class _Hosts:
    """The exchangers to try, or the outcome if there is nothing to try."""

    names: tuple[str, ...] = ()
    outcome: Outcome | None = None


class RemoteCourier:
    """
    Sends over SMTP. ``own_hosts`` are the names by which exchangers mean us; ``run`` converts
    messages for hosts that take ASCII only; ``allow_private`` is for the demo and for private
    networks.
    """

    def __init__(
        self,
        resolver: Resolver,
        exchange: Exchange,
        queue: Queue,
        clock: IReactorTime,
        *,
        own_hosts: Collection[str] = (),
        own_addresses: Collection[str] = (),
        port: int = SMTP_PORT,
        run: Offload | None = None,
        allow_private: bool = False,
        tls: TLSWish = TLSWish.OPPORTUNISTIC,
        shuffle: Callable[[list[MX]], None] = random.shuffle,
    ) -> None:
        self._resolver = resolver
        self._exchange = exchange
        self._queue = queue
        self._clock = clock
        self._own_hosts = frozenset(name.lower().rstrip(".") for name in own_hosts)
        self._own_addresses = frozenset(own_addresses)
        self._port = port
        self._run = run
        self._allow_private = allow_private
        self._tls = tls
        self._shuffle = shuffle

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Try the exchangers of the targets' domain; recipients share the connection."""
        wrong = {delivery.number for delivery in claim.deliveries if not _address_of(delivery)}
        valid = tuple(one for one in claim.deliveries if one.number not in wrong)
        outcomes = iter(await self._send(attrs.evolve(claim, deliveries=valid)) if valid else ())
        return tuple(
            _NO_ADDRESS if delivery.number in wrong else next(outcomes)
            for delivery in claim.deliveries
        )

    async def _send(self, claim: Claim) -> tuple[Outcome, ...]:
        recipient = parse_address(claim.delivery.target.address)
        hosts = await self._hosts(recipient)
        if hosts.outcome is not None:
            return (hosts.outcome,) * len(claim.deliveries)
        return await self._try_hosts(claim, hosts.names)

    # -- which hosts ----------------------------------------------------------------------------

    async def _hosts(self, recipient: Address) -> _Hosts:
        domain = recipient.domain
        if domain.startswith("["):
            return _Hosts(names=(domain,))
        try:
            answer = await self._resolver.query(domain, MX)
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
        answer = await self._resolver.query(host, HostAddress)
        return answer.records

    # -- talking to them ------------------------------------------------------------------------

    async def _try_hosts(self, claim: Claim, hosts: Sequence[str]) -> tuple[Outcome, ...]:
        worst = _NO_HOST
        end = self._clock.seconds() + (HURRIED_SECONDS if claim.is_hurried else PATIENT_SECONDS)
        for host in hosts:
            found, outcomes = await self._try_host(claim, host)
            if outcomes:
                return await self._rest_of(claim, host, outcomes, end)
            worst = _more_hopeful(worst, found)
            if self._clock.seconds() > end:
                break  # other mail waits for the place; the next attempt begins elsewhere
        return (worst,) * len(claim.deliveries)

    async def _try_host(self, claim: Claim, host: str) -> tuple[Outcome, tuple[Outcome, ...]]:
        """
        What one host means for all deliveries, if another one may do better; else the outcome of
        each.
        """
        count = len(claim.deliveries)
        try:
            addresses = await self._addresses(host)
        except Unavailable:
            return _NO_DNS, ()
        if not addresses:
            return _NO_HOST, ()
        if self._own_addresses.intersection(addresses):
            return _LOOP, (_LOOP,) * count
        allowed = [ip for ip in addresses if self._allow_private or is_public(ip)]
        if not allowed:
            return _NOT_PUBLIC, ()
        try:
            transmission = await self._transmit(claim, host, allowed[:MAX_ADDRESSES])
        except Unavailable as error:
            return Outcome.deferred(451, "4.4.1", error.message, host), ()
        except MailError:
            log.failure("sending {message_id} failed", message_id=claim.message.id)
            return LATER, (LATER,) * count
        outcomes = tuple(_outcome(transmission, reply) for reply in transmission.replies)
        return outcomes[0], () if transmission.is_session_refused else outcomes

    async def _transmit(self, claim: Claim, host: str, addresses: Sequence[str]) -> Transmission:
        """Once more in ASCII, if that is what the host wants and the message allows it."""
        attempt = self._attempt(claim)
        transmission = await self._exchange.transmit(
            host, addresses, self._port, attempt, self._content(claim)
        )
        if self._run is None or not asks_for_conversion(attempt, transmission):
            return transmission
        raw = await converted(await self._queue.read_body(claim.message), self._run)
        if raw is None:
            return transmission
        attempt = attrs.evolve(attempt, is_8bit=False, is_utf8=False, size_octets=len(raw))

        async def content() -> BlobReader:
            return Octets(raw)

        return await self._exchange.transmit(host, addresses, self._port, attempt, content)

    async def _rest_of(
        self, claim: Claim, host: str, outcomes: tuple[Outcome, ...], end: float
    ) -> tuple[Outcome, ...]:
        """
        Those for whom the transaction was full get the next one, as long as each takes somebody
        (RFC 5321 §4.5.3.1.10): a host may take one at a time, and five days are not for ever. But
        nobody holds a place for longer than silent hosts may.
        """
        final = {one.number: each for one, each in zip(claim.deliveries, outcomes, strict=True)}
        latest = outcomes
        while any(one.kind is OutcomeKind.DELIVERED for one in latest):
            left = tuple(one for one in claim.deliveries if _is_full(final[one.number]))
            if not left or self._clock.seconds() > end:
                break
            _, latest = await self._try_host(attrs.evolve(claim, deliveries=left), host)
            final.update(zip((one.number for one in left), latest, strict=False))
        return tuple(final.values())

    def _attempt(self, claim: Claim) -> Attempt:
        message = claim.message
        recipients = tuple(
            OutboundRecipient(
                address=delivery.target.address,
                notify=delivery.notify,
                original=delivery.original_recipient,
            )
            for delivery in claim.deliveries
        )
        return Attempt(
            reverse_path=message.reverse_path,
            recipients=recipients,
            size_octets=message.size_octets,
            prefix=claim.delivery.handling.header,  # rules judge a message: all have the same
            is_8bit=message.is_8bit,
            is_utf8=message.is_utf8,
            envelope_id=message.envelope_id,
            dsn_return=message.dsn_return,
            tls=TLSWish.REQUIRED if message.requires_tls else self._tls,
            session_id=message.peer.session_id,
            is_hurried=claim.is_hurried,
        )

    def _content(self, claim: Claim) -> Callable[[], Awaitable[BlobReader]]:
        return lambda: self._queue.open_body(claim.message)


def _address_of(delivery: QueuedDelivery) -> Address | None:
    try:
        return parse_address(delivery.target.address)
    except Invalid:
        return None


def _is_full(outcome: Outcome) -> bool:
    """Is it the transaction that has no room, when others were taken in it?"""
    return outcome.code == 452 and not outcome.enhanced.endswith(".2.2")


def _is_too_many_of_old(reply: RemoteReply) -> bool:
    """552 to RCPT is taken for 452 (RFC 5321 §4.5.3.1.10), unless it says what else it means."""
    is_unclear = reply.enhanced in ("", "5.0.0") and reply.code == 552
    return reply.stage is Stage.RECIPIENT and (is_unclear or reply.enhanced == "5.5.3")


def _outcome(transmission: Transmission, reply: RemoteReply) -> Outcome:
    """What the host said about one recipient, and what that means."""
    code, enhanced, text = reply.code, reply.enhanced, reply.text[:MAX_TEXT]
    host = transmission.host
    if reply.is_positive:
        outcome = Outcome.delivered(text, host)
    elif _is_too_many_of_old(reply):
        outcome = Outcome.deferred(452, "4.5.3", text, host)
    elif reply.is_permanent and transmission.is_session_refused:
        # A host that refuses to talk to us at all says nothing about the recipient.
        outcome = Outcome.deferred(450, "4.4.2", "The mail host refuses to talk to us.", host)
    elif reply.is_permanent:
        outcome = Outcome.failed(code, enhanced, text, host)
    else:
        outcome = Outcome.deferred(code, enhanced, text, host)
    return attrs.evolve(outcome, said=reply.said[: MAX_TEXT + 20], tls=transmission.tls)


def _more_hopeful(one: Outcome, other: Outcome) -> Outcome:
    """The later of two, but a temporary failure before a permanent one, and words before none."""
    if (one.code < 500) is not (other.code < 500):
        return one if one.code < 500 else other
    return one if one.said and not other.said else other
