"""
What every adapter of ``Queue`` must agree on: what may be put, and what an outcome changes.

A delivery is open while it is waiting or held. A hold does not break a running lease: what the
courier achieved is still recorded, and only a deferral leaves the delivery held.
"""

from collections.abc import Sequence

import attrs

from fe_mail.model.errors import Invalid
from fe_mail.model.queue import (
    DeliveryState,
    Outcome,
    OutcomeKind,
    QueuedDelivery,
    QueuedMessage,
)

__all__ = ["OPEN", "check_put", "settled"]

OPEN = frozenset({DeliveryState.WAITING, DeliveryState.HELD})


def check_put(message: QueuedMessage, deliveries: Sequence[QueuedDelivery]) -> None:
    """``Invalid`` for a message that could never be settled."""
    if any(delivery.message_id != message.id for delivery in deliveries):
        raise Invalid("A delivery belongs to another message.")
    if len({delivery.number for delivery in deliveries}) != len(deliveries):
        raise Invalid("Two deliveries of a message have the same number.")
    if not any(delivery.state in OPEN for delivery in deliveries):
        raise Invalid("A message needs a delivery that is waiting or held.")


def settled(
    delivery: QueuedDelivery,
    outcome: Outcome,
    now: float,
    next_attempt_at: float,
    delayed_notice_at: float,
) -> QueuedDelivery:
    """The delivery after an attempt; a ``delayed_notice_at`` of 0.0 keeps what it was."""
    changed = attrs.evolve(
        delivery,
        attempts=delivery.attempts + 1,
        last_status=outcome.line,
        last_attempt_at=now,
        delayed_notice_at=delayed_notice_at or delivery.delayed_notice_at,
    )
    if outcome.kind is OutcomeKind.DEFERRED:
        return attrs.evolve(changed, next_attempt_at=next_attempt_at)
    is_delivered = outcome.kind is OutcomeKind.DELIVERED
    state = DeliveryState.DELIVERED if is_delivered else DeliveryState.FAILED
    return attrs.evolve(changed, state=state, hold_reason="")
