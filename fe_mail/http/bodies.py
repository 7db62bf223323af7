"""
Request bodies as nested values: JSON, URL-encoded forms and multipart forms with text fields.

A form's keys unfold: ``a[]=x``, ``a[0]=x``, ``a[b]=x`` and a repeated ``a=x`` all make
structures, as the clients of the reference send them. Everything wrong raises ``Invalid``.
Pure: octets in, values out. RFC 8259 (JSON), RFC 7578 (multipart/form-data).
"""

import json
import re
from collections.abc import Iterable, Mapping
from email.message import Message
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
MAX_PART_HEADER_OCTETS = 2048

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
        if b"\\u" in body:
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
    """RFC 7578 §4; split at once, so that a million empty parts cost nothing."""
    boundary = _headers({"Content-Type": content_type}).get_boundary()
    if not boundary:
        raise Invalid("The multipart form is not valid.")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, MAX_FIELDS + 1)
    if len(parts) > MAX_FIELDS + 1 or (parts and delimiter in parts[-1]):
        raise Invalid("The form has too many fields.")
    if not parts or not parts[-1].startswith(b"--"):
        raise Invalid("The multipart form is not valid.")
    return [_text_field(part) for part in parts[:-1]]


def _headers(fields: Mapping[str, str]) -> Message:
    message = Message()
    for name, value in fields.items():
        message[name] = value
    return message


def _text_field(part: bytes) -> tuple[str, str]:
    padding, _, rest = part.partition(b"\r\n")
    head, blank, value = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if padding.strip() or not blank or len(head) > MAX_PART_HEADER_OCTETS:
        raise Invalid("The multipart form is not valid.")
    try:
        disposition = _disposition(head.decode("utf-8"))
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The form is not valid UTF-8.") from None
    name = disposition.get_param("name", header="Content-Disposition")
    if disposition.get_filename() is not None:
        raise Invalid("Files are not accepted here.")
    if not isinstance(name, str):
        raise Invalid("The multipart form is not valid.")
    return name, text


def _disposition(head: str) -> Message:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return _headers({"Content-Disposition": value.strip()})
    raise Invalid("The multipart form is not valid.")


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
