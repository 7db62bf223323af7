"""
JSON of any size, in pieces.

Python's own encoder makes one text of a whole document in one call, during which no other thread
runs; ours never looks at more than ``PIECE_CHARACTERS`` at a time. Besides what JSON has, a
document may contain ``Raw``, octets that are written as text, and ``Buffer``, octets that are
written as Node.js writes a Buffer: ``{"type":"Buffer","data":[0,255]}``.

RFC 8259.
"""

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

__all__ = ["PIECE_CHARACTERS", "Buffer", "JSONValue", "Raw", "json_pieces"]

PIECE_CHARACTERS = 1 << 14
_PIECE_OCTETS = 1 << 16
_NUMBERS = tuple(str(octet) for octet in range(256))


@attrs.frozen
class Raw:
    """Octets as text: UTF-8, with U+FFFD for what is not."""

    octets: bytes = attrs.field(repr=False)


@attrs.frozen
class Buffer:
    """Octets as a list of numbers; ``pieces`` yields them when they are needed."""

    pieces: Callable[[], Iterable[bytes]] = attrs.field(repr=False)


JSONValue = (
    None | bool | int | str | Raw | Buffer | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
)


def json_pieces(value: JSONValue) -> Iterator[bytes]:
    """A document as UTF-8, in pieces of about 64 KiB."""
    collected = bytearray()
    for text in _texts(value):
        # A lone surrogate, which some odd character set may yield, is no text.
        collected += text.encode("utf-8", "replace")
        if len(collected) >= _PIECE_OCTETS:
            yield bytes(collected)
            collected.clear()
    if collected:
        yield bytes(collected)


def _texts(value: JSONValue) -> Iterator[str]:
    if isinstance(value, str):
        yield from _string((value,))
    elif isinstance(value, Raw):
        yield from _string(_decoded(value.octets))
    elif isinstance(value, Buffer):
        yield from _buffer(value.pieces())
    elif isinstance(value, Mapping):
        yield from _object(value)
    elif isinstance(value, Sequence):
        yield from _array(value)
    else:
        yield json.dumps(value)


def _string(texts: Iterable[str]) -> Iterator[str]:
    yield '"'
    for text in texts:
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            yield json.dumps(piece, ensure_ascii=False)[1:-1]
    yield '"'


def _decoded(octets: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(octets), PIECE_CHARACTERS):
        yield decoder.decode(octets[start : start + PIECE_CHARACTERS])
    yield decoder.decode(b"", True)


def _buffer(pieces: Iterable[bytes]) -> Iterator[str]:
    yield '{"type":"Buffer","data":['
    comma = ""
    for piece in pieces:
        for start in range(0, len(piece), PIECE_CHARACTERS):
            octets = piece[start : start + PIECE_CHARACTERS]
            yield comma + ",".join([_NUMBERS[octet] for octet in octets])
            comma = ","
    yield "]}"


def _object(mapping: Mapping[str, JSONValue]) -> Iterator[str]:
    comma = "{"
    for name, value in mapping.items():
        yield comma
        yield from _string((name,))
        yield ":"
        yield from _texts(value)
        comma = ","
    yield "}" if mapping else "{}"


def _array(sequence: Sequence[JSONValue]) -> Iterator[str]:
    comma = "["
    for value in sequence:
        yield comma
        yield from _texts(value)
        comma = ","
    yield "]" if sequence else "[]"
