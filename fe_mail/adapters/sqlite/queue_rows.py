"""
Messages and deliveries of the queue as rows of its tables, and back.

Columns have the names of the attributes; a target is spread over four of them; peer, notify
and handling are JSON. Kind, owner and lane follow from the rest (``fe_mail/model/lane.py``).
"""

import json
from functools import lru_cache

import attrs

from fe_mail.adapters.sqlite.database import Row, Value
from fe_mail.model.account import LogEntry
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import BlobId
from fe_mail.model.lane import kind_of, lane_of, owner_of
from fe_mail.model.queue import DeliveryState, Handling, QueuedDelivery, QueuedMessage, Target

__all__ = [
    "INSERT_DELIVERY",
    "INSERT_ENTRY",
    "INSERT_MESSAGE",
    "SELECT_DELIVERIES",
    "SELECT_MESSAGE",
    "delivery_row",
    "delivery_value",
    "entry_row",
    "message_row",
    "message_value",
]

_MESSAGE_COLUMNS = tuple(field.name for field in attrs.fields(QueuedMessage))
_DELIVERY_COLUMNS = (
    "number",
    "recipient",
    "courier",
    "address",
    "target_alias_id",
    "target_domain_id",
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
_LINE_COLUMNS = ("kind", "owner", "lane", "token", "lease_until")

INSERT_MESSAGE = (
    f"INSERT INTO messages ({', '.join(_MESSAGE_COLUMNS)}, body) "  # noqa: S608  # constants
    f"VALUES ({', '.join('?' * len(_MESSAGE_COLUMNS))}, ?) "
    "ON CONFLICT (id) DO NOTHING RETURNING serial"
)
INSERT_DELIVERY = (
    f"INSERT INTO deliveries (message, {', '.join(_DELIVERY_COLUMNS + _LINE_COLUMNS)}) "  # noqa: S608
    f"VALUES (?, {', '.join('?' * len(_DELIVERY_COLUMNS + _LINE_COLUMNS))})"
)
SELECT_MESSAGE = f"SELECT {', '.join(_MESSAGE_COLUMNS)} FROM messages"  # noqa: S608
SELECT_DELIVERIES = f"SELECT {', '.join(_DELIVERY_COLUMNS)} FROM deliveries"  # noqa: S608
INSERT_ENTRY = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

_BOOLEANS = frozenset({"is_8bit", "is_utf8", "requires_tls", "is_sender_proven"})
_PEER_FIELDS = tuple(field.name for field in attrs.fields(Peer))


def message_row(message: QueuedMessage) -> list[Value]:
    """The values for ``INSERT_MESSAGE``, but for the body."""
    values: list[Value] = [getattr(message, name) for name in _MESSAGE_COLUMNS[:-2]]
    peer = {name: getattr(message.peer, name) for name in _PEER_FIELDS}
    return [*values, json.dumps(peer), message.blob or ""]


def message_value(row: Row) -> QueuedMessage:
    """The message of a row of ``SELECT_MESSAGE``."""
    values = dict(zip(_MESSAGE_COLUMNS, row, strict=True))
    for name in _BOOLEANS:
        values[name] = bool(values[name])
    values["peer"] = Peer(**json.loads(values["peer"]))
    values["blob"] = BlobId(values["blob"]) if values["blob"] else None
    return QueuedMessage(**values)


def delivery_row(
    serial: int, message: QueuedMessage, delivery: QueuedDelivery, token: str, lease_until: float
) -> tuple[Value, ...]:
    """The values for ``INSERT_DELIVERY``."""
    target = delivery.target
    return (
        serial,
        delivery.number,
        delivery.recipient,
        target.courier,
        target.address,
        target.alias_id,
        target.domain_id,
        delivery.state.value,
        delivery.hold_reason,
        delivery.attempts,
        delivery.next_attempt_at,
        _json_list(delivery.notify),
        delivery.original_recipient,
        delivery.last_status,
        delivery.last_attempt_at,
        delivery.delayed_notice_at,
        _json_handling(delivery.handling),
        kind_of(target),
        owner_of(message, delivery),
        lane_of(target),
        token,
        lease_until,
    )


@lru_cache(maxsize=64)
def _json_list(words: tuple[str, ...]) -> str:
    return json.dumps(words)


_NO_HANDLING = Handling()


def _json_handling(handling: Handling) -> str:
    return "" if handling == _NO_HANDLING else json.dumps(attrs.asdict(handling))


def _handling(stored: str) -> Handling:
    if not stored:
        return _NO_HANDLING
    values = json.loads(stored)
    lists = {name: tuple(values[name]) for name in ("keywords", "fields")}
    return Handling(folder=values["folder"], **lists)


def delivery_value(message_id: str, row: Row) -> QueuedDelivery:
    """The delivery of a row of ``SELECT_DELIVERIES``."""
    values = dict(zip(_DELIVERY_COLUMNS, row, strict=True))
    target = Target(
        courier=values.pop("courier"),
        address=values.pop("address"),
        alias_id=values.pop("target_alias_id"),
        domain_id=values.pop("target_domain_id"),
    )
    values["state"] = DeliveryState(values["state"])
    values["notify"] = tuple(json.loads(values["notify"]))
    values["handling"] = _handling(values["handling"])
    return QueuedDelivery(message_id=message_id, target=target, **values)


def entry_row(entry: LogEntry) -> tuple[Value, ...]:
    """The values for ``INSERT_ENTRY``."""
    return (
        entry.id,
        entry.created_at,
        entry.kind,
        entry.domain_id,
        entry.alias_id,
        entry.user_id,
        entry.remote,
        json.dumps(dict(entry.detail)),
    )
