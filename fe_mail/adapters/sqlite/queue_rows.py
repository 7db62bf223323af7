"""
Messages and deliveries of the queue as rows of its tables, and back.

Columns have the names of the attributes; a target is spread over three of them, peer, notify and
handling are JSON.
"""

import json
from typing import Any

import attrs

from fe_mail.adapters.sqlite.database import Row, Value
from fe_mail.model.envelope import Peer
from fe_mail.model.queue import DeliveryState, Handling, QueuedDelivery, QueuedMessage, Target

__all__ = [
    "DELIVERY_COLUMNS",
    "MESSAGE_COLUMNS",
    "delivery_row",
    "delivery_value",
    "message_row",
    "message_value",
]

MESSAGE_COLUMNS = tuple(field.name for field in attrs.fields(QueuedMessage))
DELIVERY_COLUMNS = (
    "number",
    "recipient",
    "courier",
    "address",
    "target_alias_id",
    "state",
    "hold_reason",
    "attempts",
    "next_attempt_at",
    "notify",
    "original_recipient",
    "last_status",
    "last_attempt_at",
    "delayed_notice_at",
    "handling",
)
_FLAGS = frozenset({"is_8bit", "is_utf8", "requires_tls", "is_sender_proven"})


def message_row(message: QueuedMessage) -> tuple[Value, ...]:
    """The values of ``MESSAGE_COLUMNS``."""
    values = {name: getattr(message, name) for name in MESSAGE_COLUMNS}
    values["peer"] = json.dumps(attrs.asdict(message.peer))
    return tuple(values.values())


def message_value(row: Row) -> QueuedMessage:
    """The message of a row of ``MESSAGE_COLUMNS``."""
    values = dict(zip(MESSAGE_COLUMNS, row, strict=True))
    values.update({name: bool(values[name]) for name in _FLAGS})
    values["peer"] = Peer(**json.loads(values["peer"]))
    return QueuedMessage(**values)


def delivery_row(delivery: QueuedDelivery) -> tuple[Value, ...]:
    """The values of ``DELIVERY_COLUMNS``."""
    values = attrs.asdict(delivery, recurse=False)
    values.update(
        courier=delivery.target.courier,
        address=delivery.target.address,
        target_alias_id=delivery.target.alias_id,
        state=delivery.state.value,
        notify=json.dumps(delivery.notify),
        handling=json.dumps(attrs.asdict(delivery.handling)),
    )
    return tuple(values[name] for name in DELIVERY_COLUMNS)


def delivery_value(message_id: str, row: Row) -> QueuedDelivery:
    """The delivery of a row of ``DELIVERY_COLUMNS``."""
    values = dict(zip(DELIVERY_COLUMNS, row, strict=True))
    target = Target(
        courier=values.pop("courier"),
        address=values.pop("address"),
        alias_id=values.pop("target_alias_id"),
    )
    values["state"] = DeliveryState(values["state"])
    values["notify"] = tuple(json.loads(values["notify"]))
    values["handling"] = _handling(json.loads(values["handling"]))
    return QueuedDelivery(message_id=message_id, target=target, **values)


def _handling(stored: dict[str, Any]) -> Handling:
    lists = {name: tuple(stored[name]) for name in ("keywords", "fields") if name in stored}
    return Handling(folder=stored.get("folder", ""), **lists)
