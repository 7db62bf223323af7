"""
Framing of what a POP3 client sends: lines, and the octets that mail needs on its way back.

``Framer`` takes pieces of any size and gives lines when asked; what waits is bounded by the
caller through ``is_full``. A line ends with CRLF; one with a bare LF is refused with all that is
in it, because whoever wrote it and we would not agree on where the next command begins.
``Stuffer`` turns a stored message into the multi-line form of RFC 1939 §3: CRLF line ends, a
second dot before a leading one, a line end at the end.

RFC 1939 §3; RFC 2449 §4 (line length); RFC 5034 §4 (longer lines during AUTH).
"""

import re

__all__ = [
    "MAX_AUTH_OCTETS",
    "MAX_LINE_OCTETS",
    "BareLineFeed",
    "Framer",
    "LineTooLong",
    "Stuffer",
    "line_octets",
    "top",
]

# RFC 2449 §4 asks for 255 octets; passwords may be longer. The CR counts.
MAX_LINE_OCTETS = 1_024
MAX_AUTH_OCTETS = 12_288
# Octets of pipelined commands that may wait before we stop reading.
MAX_WAITING_OCTETS = 65_536

_BARE_LF = re.compile(rb"(?<!\r)\n")


class LineTooLong(Exception):
    """The client does not speak POP3, or means harm."""


class BareLineFeed(Exception):
    """A line ends with LF alone: all of it is skipped up to the next CRLF."""


class Framer:
    """Cuts the stream into lines."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        self._is_skipping = False
        self.max_line_octets = MAX_LINE_OCTETS

    @property
    def waiting_octets(self) -> int:
        """Octets received and not taken as a line."""
        return len(self._buffer) - self._start

    @property
    def is_full(self) -> bool:
        """More waits than is good: stop reading from the network."""
        return self.waiting_octets > MAX_WAITING_OCTETS

    def feed(self, octets: bytes) -> None:
        """Add what the network brought."""
        waiting = self.waiting_octets
        self._buffer = self._buffer[self._start :] + octets if waiting else octets
        self._start = 0

    def next(self) -> bytes | None:
        """
        The next line without its end, None if none is complete. ``LineTooLong``, ``BareLineFeed``.
        """
        end = self._buffer.find(b"\r\n" if self._is_skipping else b"\n", self._start)
        length = (len(self._buffer) if end < 0 else end) - self._start
        if length > self._limit():
            raise LineTooLong
        if end < 0:
            return None
        if self._is_skipping:
            self._start, self._is_skipping = end + 2, False
            return self.next()
        line = self._buffer[self._start : end]
        self._start = end + 1
        if not line.endswith(b"\r"):
            self._is_skipping = True
            raise BareLineFeed
        return line[:-1]

    def _limit(self) -> int:
        # AUTH may carry an initial response on its command line (RFC 5034 §4).
        is_auth = self._buffer[self._start : self._start + 5].upper() == b"AUTH "
        return MAX_AUTH_OCTETS if is_auth else self.max_line_octets


class Stuffer:
    """Makes a message ready for the wire, piece by piece."""

    def __init__(self) -> None:
        self._before = b"\r\n"  # the line end, or half of it, that the next piece follows

    def feed(self, octets: bytes) -> bytes:
        """A piece of the message as it is sent."""
        if not octets:
            return b""
        joined = self._before + octets
        if joined.count(b"\n") != joined.count(b"\r\n"):
            joined = _BARE_LF.sub(b"\r\n", joined)
        stuffed = joined.replace(b"\n.", b"\n..")[len(self._before) :]
        last = octets[-1:]
        self._before = b"\r\n" if last == b"\n" else b"\r" if last == b"\r" else b""
        return stuffed

    def finish(self) -> bytes:
        """The line end that is missing, and the final dot."""
        missing = {b"\r\n": b"", b"\r": b"\n"}.get(self._before, b"\r\n")
        return missing + b".\r\n"


def line_octets(message: bytes) -> int:
    """
    What ``Stuffer`` sends of a message, without the dots that it adds: the size that a client is
    told (RFC 1939 §11). Every line end is CRLF, and there is one at the end.
    """
    bare = message.count(b"\n") - message.count(b"\r\n")
    if not message or message.endswith(b"\n"):
        return len(message) + bare
    return len(message) + bare + (1 if message.endswith(b"\r") else 2)


def top(octets: bytes, body_start: int, lines: int) -> bytes:
    """The header and that many lines of the body (RFC 1939 §7)."""
    position = body_start
    for _ in range(lines):
        position = octets.find(b"\n", position) + 1
        if not position:
            return octets
    return octets[:position]
