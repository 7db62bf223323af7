"""
Request bodies as nested values: JSON, URL-encoded forms and multipart forms with text fields.

A form's keys unfold: ``a[]=x``, ``a[0]=x``, ``a[b]=x`` and a repeated ``a=x`` all make
structures, as the clients of the reference send them. Everything wrong raises ``Invalid``; what we
cannot read for its type, its character set or its compression, with a code of its own.
Pure: octets in, values out. RFC 8259 (JSON), RFC 7578 (multipart/form-data), RFC 9110 §15.5.16.
"""

import json
import re
from collections.abc import Iterable, Mapping
from email.message import Message
from urllib.parse import parse_qsl

from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Sentence

__all__ = [
    "MAX_FIELDS",
    "MAX_INDEX",
    "MAX_KEY_DEPTH",
    "Fields",
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
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_JSON = frozenset({"", "application/json", "text/json"})  # nothing said: the reference's Go client
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def parse_query(query: bytes) -> dict[str, str]:
    """The parameters of a query string; of a repeated one the last counts."""
    return dict(_pairs(query))


def parse_body(content_type: str, body: bytes, encoding: str = "") -> Fields:
    """
    The fields of a body; none if nothing was sent. ``encoding`` is its Content-Encoding.

    A body without any Content-Type is read as JSON.
    """
    if not body.strip():
        return {}
    if encoding.strip().lower() not in ("", "identity"):
        raise _unsupported(Sentence("A compressed body is not accepted."))
    head = _headers({"Content-Type": content_type})
    if str(head.get_param("charset", "")).strip().lower() not in _CHARSETS:
        raise _unsupported(Sentence("The body must be UTF-8."))
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _JSON or kind.endswith("+json"):
        return _parse_json(body)
    if kind == _FORM:
        return unfold(_form(body))
    if kind == _MULTIPART:
        return unfold(_multipart(head, body))
    raise _unsupported(Sentence("Send JSON or a form: this type of body is not known."))


def _unsupported(sentence: Sentence) -> Invalid:
    return Invalid(sentence, code="UNSUPPORTED_MEDIA_TYPE")


def _parse_json(body: bytes) -> Fields:
    try:
        value = json.loads(
            body.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
        if b"\\u" in body:
            # Escaped lone surrogates make strings that no store can encode.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.", code="INVALID_JSON") from None
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.", code="INVALID_JSON")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two values for one name: nobody can tell which is meant (RFC 8259 §4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Invalid("The body says the same name twice.", code="INVALID_JSON")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _form(body: bytes) -> list[tuple[str, str]]:
    """As browsers write it, or with UTF-8 as it is, as people do in scripts."""
    if body.lstrip().startswith(b"{"):
        # curl --data says that everything is a form.
        raise Invalid("The body is JSON, but its Content-Type says that it is a form.")
    return _pairs(body)


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise Invalid("The form is not valid, or has too many fields.") from None


def _multipart(head: Message, body: bytes) -> list[tuple[str, str]]:
    """RFC 7578 §4; split at once, so that a million empty parts cost nothing."""
    boundary = head.get_boundary()
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
