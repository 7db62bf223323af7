"""
The MIME structure of a message with octet offsets, from one look at its bytes.

Invariants: never raises, whatever the bytes; every offset lies inside the message, and parts
lie inside their parent, in order. A multipart always has parts and a message always has
exactly one: what claims to be one and is not becomes a leaf (text/plain when its boundary is
missing, application/octet-stream when a limit says stop), so nothing is ever lost to a reader.
The time is linear: each level of nesting looks for its own delimiter once with ``bytes.find``.

RFC 2045 §5.2 (defaults), §6; RFC 2046 §5.1.1 (delimiters), §5.1.5 (digest), §5.2.1.
"""

from collections.abc import Iterable

import attrs

from fe_mail.message.envelope import parse_envelope
from fe_mail.message.headers import HeaderField, header_bounds, header_fields
from fe_mail.message.parameters import Params, parse_parameterized
from fe_mail.model.structure import MessageEnvelope, Part

__all__ = ["MAX_DEPTH", "MAX_PARTS", "scan", "scan_message"]

# Multiparts and messages inside each other; what is deeper stays one opaque part.
MAX_DEPTH = 32
# Parts of a whole message; the last one keeps all that follows.
MAX_PARTS = 2_000
# RFC 2046 §5.1.1 allows 70. Longer boundaries exist; anything longer than this is no boundary.
MAX_BOUNDARY_OCTETS = 256

# Lines that begin like a delimiter and are none; after this many, no more delimiters are sought.
MAX_NEAR_DELIMITERS = 10_000

_BLOCK = 1 << 16
_STRIDE = 2 << 20
_PADDING = b" \t\r"


@attrs.frozen
class _Kind:
    """What a part is: the Content-Type, or what stands in for it."""

    type: bytes
    subtype: bytes
    params: Params = ()


_OPAQUE = _Kind(b"application", b"octet-stream")
_PLAIN = _Kind(b"text", b"plain", ((b"charset", b"us-ascii"),))
_MESSAGE = _Kind(b"message", b"rfc822")


def scan(raw: bytes) -> Part:
    """The structure of a whole message."""
    return scan_message(raw)[0]


def scan_message(raw: bytes) -> tuple[Part, tuple[HeaderField, ...]]:
    """The structure of a whole message, and the fields of its own header, which had to be read."""
    scanning = _Scan(raw)
    return scanning.entity(0, len(raw), 0, _PLAIN), scanning.fields


class _Scan:
    """One message being scanned: its bytes, and how much was found in them so far."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts = 0
        self.fields: tuple[HeaderField, ...] = ()  # of the first header
        self._near_delimiters = 0
        self._newlines: list[int] = []  # before each block, counted when first needed

    def entity(self, start: int, end: int, depth: int, default: _Kind) -> Part:
        """The part whose header and body are ``start:end``."""
        self._parts += 1
        body_start, is_whole = header_bounds(self._raw, start, end)
        fields = header_fields(self._raw[start:body_start])
        if self._parts == 1:
            self.fields = fields
        values = _content_values(fields)
        kind = _content_type(values.get(b"content-type"), default) if is_whole else _OPAQUE
        children: tuple[Part, ...] = ()
        if kind.type == b"multipart":
            kind, children = self._multipart(kind, body_start, end, depth)
        elif kind.type == b"message" and kind.subtype in (b"rfc822", b"global"):
            kind, children = self._message(kind, body_start, end, depth)
        return Part(
            type=kind.type,
            subtype=kind.subtype,
            params=kind.params,
            header_start=start,
            body_start=body_start,
            body_end=end,
            lines=self._lines(body_start, end),
            parts=children,
            envelope=self._envelope(children[0]) if kind.type == b"message" and children else None,
            content_id=values.get(b"content-id"),
            description=values.get(b"content-description"),
            encoding=_encoding(values.get(b"content-transfer-encoding")),
            md5=values.get(b"content-md5"),
            disposition=_disposition(values.get(b"content-disposition")),
            language=_language(values.get(b"content-language", b"")),
            location=values.get(b"content-location"),
        )

    def _is_full(self, depth: int) -> bool:
        return depth >= MAX_DEPTH or self._parts >= MAX_PARTS

    def _message(
        self, kind: _Kind, start: int, end: int, depth: int
    ) -> tuple[_Kind, tuple[Part, ...]]:
        if self._is_full(depth):
            return _OPAQUE, ()
        return kind, (self.entity(start, end, depth + 1, _PLAIN),)

    def _envelope(self, child: Part) -> MessageEnvelope:
        return parse_envelope(header_fields(self._raw[child.header_start : child.body_start]))

    def _multipart(
        self, kind: _Kind, start: int, end: int, depth: int
    ) -> tuple[_Kind, tuple[Part, ...]]:
        """The children, or what to take the part for when there can be none."""
        if self._is_full(depth):
            return _OPAQUE, ()
        boundary = dict(kind.params).get(b"boundary", b"").rstrip(b" \t")
        if not 0 < len(boundary) <= MAX_BOUNDARY_OCTETS:
            return _PLAIN, ()
        default = _MESSAGE if kind.subtype == b"digest" else _PLAIN
        children: list[Part] = []
        position = self._delimiter(b"--" + boundary, start, end)[1]
        while position >= 0:
            part_end, following = end, -1
            if self._parts < MAX_PARTS - 1:
                part_end, following = self._delimiter(b"--" + boundary, position, end)
            children.append(self.entity(position, part_end, depth + 1, default))
            position = following if self._parts < MAX_PARTS else -1
        return (kind, tuple(children)) if children else (_PLAIN, ())

    def _delimiter(self, dashes: bytes, start: int, end: int) -> tuple[int, int]:
        """
        The next delimiter line: where the body before it ends, and where the next part starts.

        -1 for the latter when it is the closing one, or when there is none.
        """
        raw = self._raw
        at = start
        if not raw.startswith(dashes, start, end):
            at = _find(raw, b"\n" + dashes, start, end) + 1
        while at > 0 and self._near_delimiters < MAX_NEAR_DELIMITERS:
            tail = at + len(dashes)
            line_end = raw.find(b"\n", tail, end)
            rest = raw[tail : min(end if line_end < 0 else line_end, tail + _BLOCK)]
            closing = rest.startswith(b"--")
            if not rest[2 if closing else 0 :].strip(_PADDING):
                ends = closing or line_end < 0
                return max(start, _before_line_end(raw, at)), -1 if ends else line_end + 1
            self._near_delimiters += 1
            at = _find(raw, b"\n" + dashes, at, end) + 1
        return end, -1

    def _lines(self, start: int, end: int) -> int:
        """Lines in ``start:end``; a last one without line end counts."""
        if start >= end:
            return 0
        unfinished = 0 if self._raw.endswith(b"\n", start, end) else 1
        first, last = -(-start // _BLOCK), end // _BLOCK
        if last <= first:
            return self._raw.count(b"\n", start, end) + unfinished
        if not self._newlines:
            self._count_blocks()
        count = self._newlines[last] - self._newlines[first]
        count += self._raw.count(b"\n", start, first * _BLOCK)
        return count + self._raw.count(b"\n", last * _BLOCK, end) + unfinished

    def _count_blocks(self) -> None:
        total = 0
        for block in range(0, len(self._raw) + 1, _BLOCK):
            self._newlines.append(total)
            total += self._raw.count(b"\n", block, block + _BLOCK)


def _find(raw: bytes, needle: bytes, start: int, end: int) -> int:
    """``bytes.find`` in steps, so that no single call keeps other threads waiting for long."""
    while start < end:
        stop = min(end, start + _STRIDE)
        at = raw.find(needle, start, min(end, stop + len(needle) - 1))
        if at >= 0:
            return at
        start = stop
    return -1


def _before_line_end(raw: bytes, line_start: int) -> int:
    """The end of the line before, without its line end, which belongs to the delimiter."""
    end = line_start - 1
    return end - 1 if end > 0 and raw[end - 1] == 0x0D else end


def _content_values(fields: Iterable[HeaderField]) -> dict[bytes, bytes]:
    """The first value of each Content-* field."""
    values: dict[bytes, bytes] = {}
    for field in fields:
        if (key := field.key).startswith(b"content-"):
            values.setdefault(key, field.value)
    return values


def _content_type(value: bytes | None, default: _Kind) -> _Kind:
    """The default for an absent or malformed value (RFC 2045 §5.2)."""
    if value is None:
        return default
    main, params = parse_parameterized(value)
    type_, _, subtype = (half.strip() for half in main.partition(b"/"))
    if main == b"text":
        subtype = b"plain"
    if not type_ or not subtype or b" " in type_ or b" " in subtype:
        return default
    return _Kind(type_, subtype, params)


def _encoding(value: bytes | None) -> bytes:
    return (value or b"").partition(b";")[0].strip().lower() or b"7bit"


def _disposition(value: bytes | None) -> tuple[bytes, Params] | None:
    if value is None:
        return None
    main, params = parse_parameterized(value)
    return (main, params) if main else None


def _language(value: bytes) -> tuple[bytes, ...]:
    return tuple(tag for part in value[:1024].split(b",") if (tag := part.strip()))
