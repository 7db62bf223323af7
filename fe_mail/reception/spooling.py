"""
What was received as the queue keeps it: an envelope becomes a message, routes become deliveries.

One body serves all recipients; how it is written and made durable is ``queue/intake.py``'s.
"""

from collections.abc import Callable, Iterable

from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Recipient
from fe_mail.model.queue import DeliveryState, QueuedDelivery, QueuedMessage, Target
from fe_mail.model.route import Route
from fe_mail.policy.rules import Hold, Judgment

__all__ = ["HoldReason", "deliveries_for", "message_of"]

# Why a copy for an address must wait at this target, empty if it need not.
HoldReason = Callable[[Address, Target], str]


def message_of(
    envelope: Envelope, message_id: str, size_octets: int, now: float, source: str
) -> QueuedMessage:
    """What the queue keeps of an envelope."""
    return QueuedMessage(
        id=message_id,
        size_octets=size_octets,
        reverse_path=str(envelope.reverse_path or ""),
        created_at=now,
        source=source,
        envelope_id=envelope.envelope_id,
        dsn_return=envelope.dsn_return,
        is_8bit=envelope.is_8bit,
        is_utf8=envelope.is_utf8,
        requires_tls=envelope.requires_tls,
        peer=envelope.peer,
    )


def deliveries_for(
    message_id: str,
    routed: Iterable[tuple[Recipient, Route]],
    now: float,
    hold: HoldReason | None = None,
    judgment: Judgment = Judgment(),  # noqa: B008  # frozen
) -> tuple[QueuedDelivery, ...]:
    """
    Targets are deduplicated, so an address that is reached twice gets one copy.

    ``hold`` may keep what leaves this server. A program behind a URL gets the message once for
    each recipient: it is told which.
    """
    found: dict[tuple[str, str, str, str], QueuedDelivery] = {}
    for recipient, route in routed:
        for target in route.targets:
            is_hook = target.courier == "webhook"
            reached_as = str(recipient.address) if is_hook else ""
            key = (target.courier, _fold(target), target.alias_id, reached_as)
            if key in found:
                continue
            reason = _hold_reason(judgment, recipient, route, target, hold)
            found[key] = QueuedDelivery(
                message_id=message_id,
                number=len(found) + 1,
                recipient=str(recipient.address),
                target=target,
                state=DeliveryState.HELD if reason else DeliveryState.WAITING,
                hold_reason=reason,
                next_attempt_at=now,
                notify=recipient.notify,
                original_recipient=recipient.original,
                handling=judgment.handling,
            )
    return tuple(found.values())


def _hold_reason(
    judgment: Judgment,
    recipient: Recipient,
    route: Route,
    target: Target,
    hold: HoldReason | None,
) -> str:
    if isinstance(judgment.action, Hold):
        return judgment.action.reason
    stays = target.courier == "local" or (target.courier == "remote" and route.is_hosted)
    return "" if stays or hold is None else hold(recipient.address, target)


def _fold(target: Target) -> str:
    return target.address if target.courier == "webhook" else target.address.lower()
