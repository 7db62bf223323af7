"""
The MIME structure of a message with octet offsets, from one look at its bytes.

Invariants: never raises, whatever the bytes; every offset lies inside the message, and parts
lie inside their parent, in order. A multipart always has parts and a message always has
exactly one: what claims to be one and is not becomes a leaf (text/plain when its boundary is
missing, application/octet-stream when a limit says stop), so nothing is ever lost to a reader.
A delimiter belongs to the innermost multipart that has its boundary, so that multiparts which share
one nest as their writer meant it. What claims to be a multipart or message and is encoded is none.
The time is linear: each level of nesting looks for its own delimiter once with ``bytes.find``, and
never beyond what ends the levels around it.

RFC 2045 §5.2 (defaults), §6; RFC 2046 §5.1.1 (delimiters), §5.1.2 (nesting, truncation), §5.1.5
(digest), §5.2.1.
"""

import re
from collections.abc import Iterable, Mapping

import attrs

from fe_mail.message.envelope import parse_envelope
from fe_mail.message.headers import HeaderField, header_bounds, header_fields
from fe_mail.message.parameters import Params, parse_list, parse_parameterized
from fe_mail.message.transfer import canonical_encoding
from fe_mail.model.structure import MessageEnvelope, Part

__all__ = ["MAX_DEPTH", "MAX_PARTS", "Headers", "scan", "scan_message"]

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
_TOKEN = rb"([!#$%&'*+\-.0-9^_`a-z{|}~]+)"  # RFC 2045 §5.1, in lower case
_WORD = re.compile(_TOKEN)
_TYPE = re.compile(rb"[^/\w]*" + _TOKEN + rb"/[^\w]*" + _TOKEN)
_SLASH = re.compile(rb"\s*/\s*")
_CONTENT_ID = re.compile(rb"<[^<>]*>")
_ENCODED = frozenset({b"base64", b"quoted-printable", b"x-uuencode"})


@attrs.frozen
class _Kind:
    """What a part is: the Content-Type, or what stands in for it."""

    type: bytes
    subtype: bytes
    params: Params = ()


# The fields of each part, by ``Part.header_start``; those of the message itself by 0.
Headers = Mapping[int, tuple[HeaderField, ...]]

_OPAQUE = _Kind(b"application", b"octet-stream")
_PLAIN = _Kind(b"text", b"plain", ((b"charset", b"us-ascii"),))
_MESSAGE = _Kind(b"message", b"rfc822")


def scan(raw: bytes) -> Part:
    """The structure of a whole message."""
    return scan_message(raw)[0]


def scan_message(raw: bytes) -> tuple[Part, Headers]:
    """The structure of a whole message, and all headers in it, which had to be read."""
    scanning = _Scan(raw)
    return scanning.entity(0, 0, _PLAIN), scanning.headers


@attrs.frozen
class _End:
    """Where a part ends, and why: a delimiter line, or nothing but the end of the message."""

    at: int  # the line
    body_end: int  # before the line end in front of it
    following: int = -1  # where the next part begins; -1: there is none
    epilogue: int = 0  # behind the line


@attrs.define
class _Boundary:
    """The lines of one boundary; ``end`` is the next of them if it is known."""

    dashes: bytes
    end: _End | None = None
    sought: int = 0  # no line begins before this one


class _Scan:
    """One message being scanned: its bytes, and how much was found in them so far."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts = 0
        self.headers: dict[int, tuple[HeaderField, ...]] = {}
        self._open: list[_Boundary] = []  # of the multiparts around, the innermost last
        self._end = _End(len(raw), len(raw))
        self._level = 0  # of the multipart that the end belongs to; 0: the end of the message
        self._near_delimiters = 0
        self._newlines: list[int] = []  # before each block, counted when first needed

    def entity(self, start: int, depth: int, default: _Kind) -> Part:
        """The part that begins there. Afterwards ``_end`` is where it ends, and why."""
        self._parts += 1
        self._seek(start)
        body_start, is_whole = header_bounds(self._raw, start, max(start, self._end.body_end))
        fields = header_fields(self._raw[start:body_start])
        self.headers[start] = fields
        values = _content_values(fields)
        encoding = _encoding(values.get(b"content-transfer-encoding"))
        kind = _content_type(values.get(b"content-type"), default) if is_whole else _OPAQUE
        children: tuple[Part, ...] = ()
        if kind.type == b"multipart":
            if self._is_shared(kind):  # then the line end in front of its first line is not its own
                body_start, _ = header_bounds(self._raw, start, max(start, self._end.at))
            kind, children = self._multipart(kind, body_start, depth)
        elif _is_message(kind):
            kind, children = self._message(kind, encoding, body_start, depth)
        body_end = max(body_start, self._end.body_end)
        return Part(
            type=kind.type,
            subtype=kind.subtype,
            params=kind.params,
            header_start=start,
            body_start=body_start,
            body_end=body_end,
            lines=self._lines(body_start, body_end),
            parts=children,
            envelope=self._envelope(children[0]) if _is_message(kind) and children else None,
            content_id=_content_id(values.get(b"content-id")),
            description=values.get(b"content-description"),
            encoding=encoding,
            md5=values.get(b"content-md5"),
            disposition=_disposition(values.get(b"content-disposition")),
            language=parse_list(values.get(b"content-language", b"")),
            location=values.get(b"content-location"),
        )

    def _is_full(self, depth: int) -> bool:
        return depth >= MAX_DEPTH or self._parts >= MAX_PARTS

    def _message(
        self, kind: _Kind, encoding: bytes, start: int, depth: int
    ) -> tuple[_Kind, tuple[Part, ...]]:
        """Its one child. One that is encoded is a file: no offset points into what is in it."""
        if self._is_full(depth) or encoding in _ENCODED:
            return _OPAQUE, ()
        return kind, (self.entity(start, depth + 1, _PLAIN),)

    def _envelope(self, child: Part) -> MessageEnvelope:
        return parse_envelope(self.headers[child.header_start])

    def _multipart(self, kind: _Kind, start: int, depth: int) -> tuple[_Kind, tuple[Part, ...]]:
        """The children, or what to take the part for when there can be none."""
        if self._is_full(depth):
            return _OPAQUE, ()
        boundary = _boundary(kind)
        if not 0 < len(boundary) <= MAX_BOUNDARY_OCTETS:
            return _PLAIN, ()
        default = _MESSAGE if kind.subtype == b"digest" else _PLAIN
        children: list[Part] = []
        self._begin(b"--" + boundary)
        level = len(self._open)
        self._seek(start)
        while self._level == level and self._end.following >= 0:
            children.append(self.entity(self._end.following, depth + 1, default))
        self._open.pop()
        if self._level == level:
            self._seek(self._end.epilogue)
        return (kind, tuple(children)) if children else (_PLAIN, ())

    def _is_shared(self, kind: _Kind) -> bool:
        dashes = b"--" + _boundary(kind)
        return any(each.dashes == dashes for each in self._open)

    def _begin(self, dashes: bytes) -> None:
        """A multipart; one around it may have the same boundary."""
        shared = (each for each in self._open if each.dashes == dashes)
        self._open.append(next(shared, None) or _Boundary(dashes))

    def _seek(self, start: int) -> None:
        """Find what ends a part that begins there: the next line of any multipart around it."""
        size = len(self._raw)
        self._end, self._level = _End(size, size), 0
        if self._parts >= MAX_PARTS:
            return
        for level, boundary in enumerate(self._open, 1):
            end = self._line(boundary, start, self._end.at)
            if end is not None:
                self._end, self._level = end, level

    def _line(self, boundary: _Boundary, start: int, last: int) -> _End | None:
        """The next line of a boundary, if it begins between these two positions inclusive."""
        if boundary.end is None or boundary.end.at < start:
            boundary.end = self._find_line(boundary, max(start, boundary.sought), last)
            boundary.sought = boundary.end.at if boundary.end else last + 1
        end = boundary.end
        return end if end is not None and end.at <= last else None

    def _find_line(self, boundary: _Boundary, start: int, last: int) -> _End | None:
        raw, dashes = self._raw, boundary.dashes
        limit = min(len(raw), last + len(dashes))
        at = 0 if start == 0 and raw.startswith(dashes) else -1
        if at < 0:
            at = _find(raw, b"\n" + dashes, max(start - 1, 0), limit) + 1 or -1
        while at >= 0 and self._near_delimiters < MAX_NEAR_DELIMITERS:
            end = self._delimiter(at, at + len(dashes))
            if end is not None:
                return end
            self._near_delimiters += 1
            at = _find(raw, b"\n" + dashes, at, limit) + 1 or -1
        return None

    def _delimiter(self, at: int, tail: int) -> _End | None:
        """What a line that begins like a delimiter says, None if it goes on in another way."""
        raw, size = self._raw, len(self._raw)
        line_end = raw.find(b"\n", tail)
        stop = size if line_end < 0 else line_end
        rest = raw[tail : min(stop, tail + _BLOCK)]
        closing = rest.startswith(b"--")
        if rest[2 if closing else 0 :].strip(_PADDING):
            return None
        behind = min(stop + 1, size)
        ends = closing or line_end < 0
        return _End(at, _before_line_end(raw, at), -1 if ends else behind, behind)

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


def _boundary(kind: _Kind) -> bytes:
    """White space at its end is no part of it (RFC 2046 §5.1.1)."""
    return dict(kind.params).get(b"boundary", b"").rstrip(b" \t")


def _is_message(kind: _Kind) -> bool:
    return kind.type == b"message" and kind.subtype in (b"rfc822", b"global")


def _content_type(value: bytes | None, default: _Kind) -> _Kind:
    """The default for an absent or malformed value (RFC 2045 §5.2), with the parameters it has."""
    if value is None:
        return default
    main, params = parse_parameterized(value)
    words = _SLASH.sub(b"/", main).split()
    names = _TYPE.match(words[0].strip(b"'")) if words else None
    if names:
        return _Kind(names[1], names[2], params)
    if main == b"text":
        return _Kind(b"text", b"plain", params)
    return attrs.evolve(default, params=params or default.params)


def _encoding(value: bytes | None) -> bytes:
    """Its usual name if it has one, else its first word; without any it is 7bit (RFC 2045 §6.1)."""
    known = canonical_encoding(value or b"")
    if known:
        return known
    main, _ = parse_parameterized(value or b"")
    words = _WORD.findall(main)
    known = canonical_encoding(main) or canonical_encoding(words[0] if words else b"")
    return known or (words[0] if words else b"7bit")


def _disposition(value: bytes | None) -> tuple[bytes, Params] | None:
    """A name for a file without a word for it means an attachment (RFC 2183 §2.8)."""
    if value is None:
        return None
    main, params = parse_parameterized(value)
    word = _WORD.search(main)
    if word is None and not params:
        return None
    return (word[0] if word else b"attachment"), params


def _content_id(value: bytes | None) -> bytes | None:
    """Without comments, if there is an id (RFC 2045 §7)."""
    found = _CONTENT_ID.search(value or b"")
    return found[0] if found else value
