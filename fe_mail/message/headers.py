"""
The header of a message or part: where it ends, and its fields with their raw octets.

Nothing here raises, whatever the bytes: lines that are no field are skipped, bare LF ends a
line like CRLF does. Values come out in two shapes: ``raw`` (byte-exact, with folding and line
end, for signing and for IMAP) and ``value`` (unfolded and trimmed, for parsing).

RFC 5322 §2.1, §2.2, §2.2.3 (folding), §3.6; RFC 6532 §3.2 (UTF-8).
"""

import re
from collections.abc import Iterable, Sequence

import attrs

__all__ = [
    "MAX_FIELDS",
    "MAX_HEADER_OCTETS",
    "HeaderField",
    "field_values",
    "first_value",
    "header_bounds",
    "header_fields",
    "is_field_name",
    "unfold",
]

# A header without an empty line in this many octets is cut here, at a line end if there is one.
MAX_HEADER_OCTETS = 1 << 20
# Fields beyond this many are not looked at (they stay in the message).
MAX_FIELDS = 5_000

_FOLDING = re.compile(rb"\r*\n(?=[ \t])")
_STRAY = re.compile(rb"[\r\n\x00]+")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}\Z")


@attrs.frozen
class HeaderField:
    """One field: ``name`` as written, ``raw`` from the name to the line end inclusive."""

    name: bytes
    raw: bytes = attrs.field(repr=False)

    @property
    def key(self) -> bytes:
        """The name to compare by, lower case."""
        return self.name.lower()

    @property
    def body(self) -> bytes:
        """Everything behind the colon, folding and line end included."""
        return self.raw.partition(b":")[2]

    @property
    def value(self) -> bytes:
        """The body unfolded, without white space at its ends."""
        return unfold(self.body)


def unfold(body: bytes) -> bytes:
    """
    Remove folding (RFC 5322 §2.2.3) and trim.

    Line ends that fold nothing, and NUL, become a space: what they part does not grow together.
    """
    value = body.strip(b" \t\r\n")
    if b"\n" not in value and b"\r" not in value and b"\0" not in value:
        return value
    return _STRAY.sub(b" ", _FOLDING.sub(b"", value)).strip(b" \t")


def is_field_name(name: str) -> bool:
    """May this be the name of a field (RFC 5322 §3.6.8), short enough for one line?"""
    return _FIELD_NAME.match(name) is not None


def header_bounds(raw: bytes, start: int = 0, end: int | None = None) -> tuple[int, bool]:
    """
    Where the body starts, behind the empty line, and whether the header kept its limit.

    Without an empty line everything is header and the body is empty.
    """
    end = len(raw) if end is None else end
    if raw.startswith(b"\r\n", start, end):
        return start + 2, True
    if raw.startswith(b"\n", start, end):
        return start + 1, True
    limit = min(end, start + MAX_HEADER_OCTETS)
    crlf = raw.find(b"\n\r\n", start, limit)
    lf = raw.find(b"\n\n", start, limit if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 2, True
    if crlf >= 0:
        return crlf + 3, True
    if limit == end:
        return end, True
    cut = raw.rfind(b"\n", start, limit)
    return (limit if cut < 0 else cut + 1), False


def header_fields(raw_header: bytes) -> tuple[HeaderField, ...]:
    """The fields of a header in order; stops at an empty line, skips what is no field."""
    fields: list[HeaderField] = []
    lines: list[bytes] = []
    for line in raw_header.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            lines.append(line)
            continue
        _add_field(fields, lines)
        if line in (b"", b"\r") or len(fields) >= MAX_FIELDS:
            return tuple(fields)
        lines.append(line)
    _add_field(fields, lines, at_end=True)
    return tuple(fields)


def _add_field(fields: list[HeaderField], lines: list[bytes], at_end: bool = False) -> None:
    if not lines:
        return
    name, colon, _ = lines[0].partition(b":")
    name = name.rstrip(b" \t")
    if colon and name and b" " not in name and b"\t" not in name and b"\r" not in name:
        raw = b"\n".join(lines)
        fields.append(HeaderField(name, raw if at_end else raw + b"\n"))
    lines.clear()


def field_values(fields: Iterable[HeaderField], name: bytes) -> list[bytes]:
    """The unfolded values of every field of a (lower-case) name."""
    return [field.value for field in fields if field.key == name]


def first_value(fields: Sequence[HeaderField], name: bytes) -> bytes | None:
    """The unfolded value of the first field of a (lower-case) name."""
    return next((field.value for field in fields if field.key == name), None)
