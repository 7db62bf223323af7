"""
DKIM canonicalization and hashes, streaming for bodies.

``BodyHash`` takes a body in pieces of any size and keeps only its white space at the end, so a
message of any size costs constant memory, and no call keeps other threads waiting for long.
Linear for every input: runs of blanks are halved by ``bytes.replace``, never by a pattern.

RFC 6376 §3.4, §3.7.
"""

import hashlib
import re
from collections.abc import Sequence

from fe_mail.message.headers import HeaderField

__all__ = ["BodyHash", "header_hash"]

_CHUNK_OCTETS = 1 << 16
_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def _relaxed(raw: bytes) -> bytes:
    """A field in relaxed form, with CRLF (RFC 6376 §3.4.2)."""
    name, _, body = raw.partition(b":")
    value = _squeeze(body.replace(b"\r\n", b"")).strip(b" \r\n")
    return name.strip(b" \t").lower() + b":" + value + b"\r\n"


def _simple(raw: bytes) -> bytes:
    """A field as it is, ending in CRLF."""
    return raw if raw.endswith(b"\r\n") else raw.rstrip(b"\r\n") + b"\r\n"


def _squeeze(octets: bytes) -> bytes:
    """Every run of spaces and tabs as one space."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets


def header_hash(
    fields: Sequence[HeaderField], names: Sequence[bytes], relaxed: bool, signature_field: bytes
) -> bytes:
    """SHA-256 over the named fields, bottom up, and the signature itself (RFC 6376 §3.7)."""
    by_name: dict[bytes, list[bytes]] = {}
    for field in fields:
        by_name.setdefault(field.key, []).append(field.raw)
    digest = hashlib.sha256()
    for name in names:
        if instances := by_name.get(name):
            raw = instances.pop()
            digest.update(_relaxed(raw) if relaxed else _simple(raw))
    own = _relaxed(signature_field) if relaxed else _simple(signature_field)
    digest.update(own.removesuffix(b"\r\n"))
    return digest.digest()


class BodyHash:
    """
    SHA-256 over the canonical form of a body; ``limit`` is DKIM's ``l=``.

    ``total_octets`` is the size of the whole canonical body, after ``digest``.
    """

    def __init__(self, *, relaxed: bool = True, limit: int | None = None) -> None:
        self._relaxed = relaxed
        self._hash = hashlib.sha256()
        self._left = limit
        self._tail = b""  # behind the last CRLF
        self._empty_lines = 0  # CRLFs that count only if something follows
        self.total_octets = 0

    def update(self, octets: bytes | memoryview) -> None:
        """More of the body."""
        view = memoryview(octets)
        for start in range(0, len(octets), _CHUNK_OCTETS):
            self._update(bytes(view[start : start + _CHUNK_OCTETS]))

    def _update(self, octets: bytes) -> None:
        octets = self._tail + octets
        lines, crlf, self._tail = octets.rpartition(b"\r\n")
        if crlf:
            self._take_lines(lines + crlf)
        if len(self._tail) > _CHUNK_OCTETS:
            self._spill()

    def _take_lines(self, lines: bytes) -> None:
        """Whole lines: all but the empty ones at their end is certain."""
        if self._relaxed:
            lines = _squeeze(lines).replace(b" \r\n", b"\r\n")
        start = len(lines.rstrip(b"\r\n"))
        for stray in _STRAY.finditer(lines, start):  # a bare CR or LF is content
            start = stray.end()
        if start:
            self._emit_lines()
            self._emit(lines[:start])
        self._empty_lines += (len(lines) - start) // 2

    def _spill(self) -> None:
        """Of a very long line, keep only what may still belong to its end."""
        tail = _squeeze(self._tail) if self._relaxed else self._tail
        kept = len(tail) - (1 if tail.endswith(b"\r") else 0)
        if self._relaxed and tail.endswith(b" ", 0, kept):
            kept -= 1
        if kept:
            self._emit_lines()
            self._emit(tail[:kept])
        self._tail = tail[kept:]

    def _emit_lines(self) -> None:
        if self._empty_lines:
            self._emit(b"\r\n" * self._empty_lines)
            self._empty_lines = 0

    def _emit(self, octets: bytes) -> None:
        self.total_octets += len(octets)
        if self._left is not None:
            octets = octets[: self._left]
            self._left -= len(octets)
        self._hash.update(octets)

    def digest(self) -> bytes:
        """The hash; the body has ended."""
        rest = _squeeze(self._tail).rstrip(b" ") if self._relaxed else self._tail
        if rest:
            self._emit_lines()
            self._emit(rest)
        if self.total_octets or not self._relaxed:
            self._emit(b"\r\n")
        return self._hash.digest()
