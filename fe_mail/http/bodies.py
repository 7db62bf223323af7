"""
Request bodies as nested values: JSON, URL-encoded forms and multipart forms with text fields.

A form's keys unfold: ``a[]=x``, ``a[0]=x``, ``a[b]=x`` and a repeated ``a=x`` all make
structures, as the clients of the reference send them. Everything wrong raises ``Invalid``.
Pure: octets in, values out. RFC 8259 (JSON), RFC 7578 (multipart/form-data).
"""

import json
import re
from collections.abc import Iterable, Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import HTTP
from urllib.parse import parse_qsl

from fe_mail.model.errors import Invalid

__all__ = [
    "MAX_FIELDS",
    "MAX_INDEX",
    "MAX_KEY_DEPTH",
    "Fields",
    "as_boolean",
    "parse_body",
    "parse_query",
    "unfold",
]

MAX_FIELDS = 1000
MAX_INDEX = 1000
MAX_KEY_DEPTH = 8

Fields = Mapping[str, object]

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_STEP = re.compile(r"\[([^\[\]]*)\]")
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})


def as_boolean(value: object) -> bool:
    """A boolean as lenient as form clients need it: whatever is not clearly true is false."""
    if isinstance(value, str):
        return value.strip().lower() in _TRUE
    return value is True or (isinstance(value, int) and value == 1)


def parse_query(query: bytes) -> dict[str, str]:
    """The parameters of a query string; of a repeated one the last counts."""
    return dict(_pairs(query))


def parse_body(content_type: str, body: bytes) -> Fields:
    """
    The fields of a body. Nothing sent, or a type that we do not know: no fields.

    A body without any Content-Type is read as JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if kind in ("", "application/json") or kind.endswith("+json"):
        return _parse_json(body)
    if kind == "application/x-www-form-urlencoded":
        return unfold(_pairs(body))
    if kind == "multipart/form-data":
        return unfold(_multipart(content_type, body))
    return {}


def _parse_json(body: bytes) -> Fields:
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
        # Escaped lone surrogates make strings that no store can encode.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.", code="INVALID_JSON") from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {}
    raise Invalid("The body must be a JSON object.", code="INVALID_JSON")


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise Invalid("The form is not valid, or has too many fields.") from None


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = b"Content-Type: " + content_type.encode("utf-8", "replace") + b"\r\n\r\n"
    try:
        message = message_from_bytes(head + body, policy=HTTP)
    except (ValueError, LookupError, RecursionError):
        raise Invalid("The multipart form is not valid.") from None
    if not isinstance(message, EmailMessage) or not message.is_multipart():
        raise Invalid("The multipart form is not valid.")
    parts = list(message.iter_parts())
    if len(parts) > MAX_FIELDS:
        raise Invalid("The form has too many fields.")
    return [_text_field(part) for part in parts if isinstance(part, EmailMessage)]


def _text_field(part: EmailMessage) -> tuple[str, str]:
    disposition = part["Content-Disposition"]
    params = disposition.params if disposition is not None else {}
    if "filename" in params:
        raise Invalid("Files are not accepted here.")
    if "name" not in params or part.is_multipart():
        raise Invalid("The multipart form is not valid.")
    payload = part.get_payload(decode=True)
    try:
        return str(params["name"]), bytes(payload or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The form is not valid UTF-8.") from None


def unfold(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Bracketed and repeated keys as dictionaries and lists."""
    root: dict[str, object] = {}
    for key, value in pairs:
        node = root
        *parents, last = _steps(key)
        for step in parents:
            child = node.setdefault(step or str(len(node)), {})
            if not isinstance(child, dict):
                raise Invalid("The form's field names contradict each other.")
            node = child
        _put(node, last or str(len(node)), value)
    return {key: _settle(value) for key, value in root.items()}


def _steps(key: str) -> list[str]:
    match = _KEY.match(key)
    if match is None:
        return [key or "_"]
    steps = [match[1], *_STEP.findall(match[2])]
    if len(steps) > MAX_KEY_DEPTH:
        raise Invalid("The form's field names are nested too deep.")
    return steps


def _put(node: dict[str, object], key: str, value: str) -> None:
    if key not in node:
        node[key] = value
        return
    before = node[key]
    if isinstance(before, dict):
        before[str(len(before))] = value
    elif isinstance(before, list):
        before.append(value)
    else:
        node[key] = [before, value]


def _settle(value: object) -> object:
    if not isinstance(value, dict):
        return value
    settled = {key: _settle(child) for key, child in value.items()}
    if not all(key.isdecimal() and len(key) <= 4 and int(key) <= MAX_INDEX for key in settled):
        return settled
    return [settled[key] for key in sorted(settled, key=int)]
