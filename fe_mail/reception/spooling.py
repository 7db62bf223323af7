"""
What both receptions share: the header of a message that streams by, and routes that become
deliveries.

One body serves all recipients; targets are deduplicated, so an address that is reached twice
gets one copy.
"""

from collections.abc import Callable, Iterable

from fe_mail.message.headers import (
    MAX_FIELDS,
    HeaderField,
    field_values,
    first_value,
    header_fields,
)
from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Recipient
from fe_mail.model.queue import DeliveryState, QueuedDelivery, Target
from fe_mail.model.route import Route
from fe_mail.policy.inbound import MessageFacts
from fe_mail.policy.limits import MAX_HEADER_OCTETS

__all__ = [
    "HeaderTap",
    "Hold",
    "deliveries_for",
    "message_facts",
    "message_id_of",
]

MAX_MESSAGE_ID_OCTETS = 998

# Why a copy for an address must wait at this target, empty if it need not.
Hold = Callable[[Address, Target], str]


class HeaderTap:
    """Keeps the header of a message that streams by, up to a little over its limit."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end = -1

    def feed(self, data: bytes) -> None:
        """Look at more octets of the message."""
        if self._end >= 0 or len(self._kept) > MAX_HEADER_OCTETS:
            return
        start = max(0, len(self._kept) - 3)
        self._kept += data
        if self._kept.startswith(b"\r\n"):
            self._end = 2
            return
        found = self._kept.find(b"\r\n\r\n", start)
        if found >= 0:
            self._end = found + 4
        elif len(self._kept) > MAX_HEADER_OCTETS:
            del self._kept[MAX_HEADER_OCTETS + 1 :]

    @property
    def header(self) -> bytes:
        """The header with its empty line, as far as it was seen."""
        return bytes(self._kept[: self._end] if self._end >= 0 else self._kept)

    @property
    def is_complete(self) -> bool:
        """False when it is longer than the limit; a message may lack the empty line."""
        return len(self.header) <= MAX_HEADER_OCTETS


def message_facts(
    envelope: Envelope, tap: HeaderTap
) -> tuple[MessageFacts, tuple[HeaderField, ...]]:
    """What the rules look at, and the fields."""
    fields = header_fields(tap.header)
    facts = MessageFacts(
        envelope=envelope,
        received_count=len(field_values(fields, b"received")),
        header_octets=len(tap.header),
        # What stands behind so many fields would be seen by readers and not by the rules.
        has_header_end=tap.is_complete and len(fields) < MAX_FIELDS,
    )
    return facts, fields


def message_id_of(fields: tuple[HeaderField, ...]) -> str:
    """The Message-ID field for the owner's list, empty if none."""
    value = first_value(fields, b"message-id") or b""
    return value[:MAX_MESSAGE_ID_OCTETS].decode("utf-8", "replace")


def deliveries_for(
    message_id: str, routed: Iterable[tuple[Recipient, Route]], now: float, hold: Hold | None = None
) -> tuple[QueuedDelivery, ...]:
    """
    One delivery for each distinct target; what leaves this server may be held.

    A program behind a URL gets the message once for each recipient: it is told which.
    """
    found: dict[tuple[str, str, str, str], QueuedDelivery] = {}
    for recipient, route in routed:
        for target in route.targets:
            is_hook = target.courier == "webhook"
            reached_as = str(recipient.address) if is_hook else ""
            key = (target.courier, _fold(target), target.alias_id, reached_as)
            if key in found:
                continue
            leaves = target.courier != "local" and not (
                target.courier == "remote" and route.is_hosted
            )
            reason = hold(recipient.address, target) if hold and leaves else ""
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
            )
    return tuple(found.values())


def _fold(target: Target) -> str:
    return target.address if target.courier == "webhook" else target.address.lower()
