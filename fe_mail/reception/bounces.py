"""
Reports to senders: a message that failed, and one that is late.

A report is a message of the queue like any other: source ``bounce``, null reverse-path, so it
is never reported itself. It is made here and becomes durable with the outcome that it tells of, so
that no process that is killed in between sends it twice. NOTIFY is honored. It comes from the
server's own domain, which signs it; where that is not hosted here, from the host.

The address behind an alias is not told: the text shows the address that the sender wrote, and of
what was answered there only the codes, for host names and links say where it is.

The reverse-path of mail from outside may be forged, and a report to it would be mail that a
stranger makes us send to a third person (backscatter). So nobody outside is told of such mail
unless its sender is proven, and then with the header only; senders hosted here are told, and whom
a genuine SRS address of ours stands for: it proves that we forwarded for him. Who runs the domain
reads in its log that nobody was told. Notices of delay go only to those who signed in to send.

RFC 3464 (format); RFC 3461 §4.1 (NOTIFY), §4.3 (RET), §6.2; RFC 5321 §4.5.5 and §6.1.
"""

from collections.abc import Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.message.compose import new_message_id
from fe_mail.message.dsn import (
    MAX_RETURNED_OCTETS,
    Action,
    RecipientReport,
    Report,
    compose_report,
)
from fe_mail.message.headers import header_bounds
from fe_mail.message.seven_bit import seven_bit
from fe_mail.model.address import Address, parse_address
from fe_mail.model.envelope import Recipient
from fe_mail.model.errors import Corrupt, Invalid, Malformed, NotFound
from fe_mail.model.ids import new_id
from fe_mail.model.queue import Claim, Outcome, QueuedDelivery, QueuedMessage, Target
from fe_mail.model.route import Route
from fe_mail.policy.limits import MAX_HEADER_OCTETS
from fe_mail.ports import Acceptance, Queue
from fe_mail.queue.conclusions import Untold
from fe_mail.queue.intake import Intake
from fe_mail.queue.schedule import LIFETIME_SECONDS
from fe_mail.reception.inbound import Routing
from fe_mail.reception.signing import OwnDomain
from fe_mail.reception.spooling import deliveries_for

__all__ = ["UNPROVEN", "Bounces", "wants_report"]

log = Logger()

Reported = tuple[QueuedDelivery, Outcome]

UNPROVEN = Untold("The sender was not told, for its address may be forged.")
_HIDDEN = "(at the mail host that the address leads to)"
_GONE = b"Subject: (the message is no longer stored)\r\n\r\n"


class Bounces:
    """Makes reports. ``hostname`` is the reporting MTA."""

    def __init__(
        self,
        router: Routing,
        queue: Queue,
        intake: Intake,
        own: OwnDomain,
        clock: IReactorTime,
        *,
        hostname: str,
    ) -> None:
        self._router = router
        self._queue = queue
        self._intake = intake
        self._own = own
        self._clock = clock
        self._hostname = hostname

    async def failed(
        self, claim: Claim, failures: Sequence[Reported]
    ) -> Acceptance | Untold | None:
        """Tells the sender that it will not be delivered."""
        wished = [one for one in failures if wants_report(claim, one[0], "FAILURE")]
        return await self._made(claim, wished, Action.FAILED) if wished else None

    async def delayed(self, claim: Claim, delays: Sequence[Reported]) -> Acceptance | None:
        """Tells the sender that it is late."""
        if claim.message.source != "submission":
            return None
        wished = [one for one in delays if wants_report(claim, one[0], "DELAY")]
        notice = await self._made(claim, wished, Action.DELAYED) if wished else None
        return notice if isinstance(notice, Acceptance) else None

    async def _made(
        self, claim: Claim, told: Sequence[Reported], action: Action
    ) -> Acceptance | Untold | None:
        now = self._clock.seconds()
        try:
            sender = parse_address(claim.message.reverse_path)
        except Invalid:
            log.info("{message_id} has no sender to report to", message_id=claim.message.id)
            return None
        route = await self._router.route(sender, is_report=True)
        if _may_be_forged(claim, route):
            log.info(
                "{message_id}: no report to <{sender}>, which may be forged",
                message_id=claim.message.id,
                sender=claim.message.reverse_path,
                metric="report",
                outcome="unproven",
            )
            return UNPROVEN
        if not route.is_hosted:
            target = Target(courier="remote", address=str(sender))
            route = Route(address=str(sender), is_hosted=False, targets=(target,))
        report_id = new_id(now)
        deliveries = deliveries_for(report_id, [(Recipient(address=sender), route)], now)
        if not deliveries:
            log.info("the sender of {message_id} takes no report", message_id=claim.message.id)
            return None
        original = await self._original(claim, action)
        signing = await self._own.signing()
        domain = signing.name if signing else self._hostname
        report = self._report(claim, told, action, sender)
        composed = compose_report(attrs.evolve(report, author_domain=domain), original)
        if any(delivery.target.courier != "local" for delivery in deliveries):
            composed = _for_any_host(composed)
        raw = await self._own.signed(composed)
        message = QueuedMessage(
            id=report_id,
            size_octets=len(raw),
            reverse_path="",
            created_at=now,
            source="bounce",
            is_8bit=not raw.isascii(),
            is_utf8=not raw[: header_bounds(raw)[0]].isascii(),
        )
        body = await self._intake.written(raw, now=now)
        return Acceptance(message=message, deliveries=deliveries, body=body)

    def _report(
        self, claim: Claim, told: Sequence[Reported], action: Action, sender: Address
    ) -> Report:
        message = claim.message
        now = self._clock.seconds()
        is_late = action is Action.DELAYED
        entries = [
            attrs.evolve(
                _told(delivery, outcome),
                action=action,
                original_recipient=delivery.original_recipient,
                last_attempt_at=now,
                will_retry_until=message.created_at + LIFETIME_SECONDS if is_late else 0.0,
            )
            for delivery, outcome in told
        ]
        return Report(
            to=sender,
            reporting_mta=self._hostname,
            date=now,
            message_id=new_message_id(self._hostname, now),
            arrived_at=message.created_at,
            recipients=tuple(entries),
            envelope_id=message.envelope_id,
            return_full=_returns_full(claim, action),
        )

    async def _original(self, claim: Claim, action: Action) -> bytes:
        """The message, or at least its header, whatever is returned of it."""
        message = claim.message
        try:
            if _returns_full(claim, action) and message.size_octets <= MAX_RETURNED_OCTETS:
                return await self._queue.read_body(message)
            reader = await self._queue.open_body(message)
            try:
                start = await reader.read(MAX_HEADER_OCTETS)
            finally:
                await reader.close()
        except (NotFound, Corrupt):
            log.warn("the body of {message_id} cannot be read", message_id=message.id)
            return _GONE
        return start[: header_bounds(start)[0]]


def _for_any_host(raw: bytes) -> bytes:
    """In ASCII, since nobody may convert what is signed (RFC 6152 §3)."""
    try:
        return seven_bit(raw)
    except Malformed:
        return raw


def wants_report(claim: Claim, delivery: QueuedDelivery, kind: str) -> bool:
    """``FAILURE`` or ``DELAY``: what the sender asked for, both by default (RFC 3461 §4.1)."""
    if not claim.message.reverse_path:
        return False
    notify = delivery.notify
    return kind in notify if notify else True


def _may_be_forged(claim: Claim, route: Route) -> bool:
    """Mail from outside, in the name of somebody else who is outside."""
    message = claim.message
    return message.source == "mx" and not (route.is_hosted or message.is_sender_proven)


def _returns_full(claim: Claim, action: Action) -> bool:
    """Only to who signed in: what a stranger sent, he may have sent to reach somebody else."""
    is_ours = claim.message.source == "submission"
    return is_ours and action is Action.FAILED and claim.message.dsn_return != "HDRS"


def _told(delivery: QueuedDelivery, outcome: Outcome) -> RecipientReport:
    """What the sender may know of an outcome."""
    said, diagnostic = outcome.said, "" if outcome.is_quote else outcome.line
    if _is_hidden(delivery) and (outcome.remote or said):
        said, diagnostic = "", f"{outcome.code} {outcome.enhanced} {_HIDDEN}"
    return RecipientReport(
        recipient=delivery.recipient,
        action=Action.FAILED,
        status=outcome.enhanced,
        diagnostic=diagnostic,
        remote=outcome.remote if said else "",
        said=said,
    )


def _is_hidden(delivery: QueuedDelivery) -> bool:
    """Does the sender not know where it goes?"""
    target = delivery.target
    return target.courier != "remote" or target.address.lower() != delivery.recipient.lower()
