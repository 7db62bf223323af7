"""
Framing: octets become requests, one at a time and only when asked for.

A request is the line of a command with its literals: ``pieces`` is (text, literal, text ...),
texts without line ends. A line ends with CRLF and nothing else (RFC 9051 §9): what a bare LF
would hide in a command is never executed as another one. The caller pulls: ``next()`` gives the
next ``Frame``, or None when more octets are needed, so a client that pipelines waits in the
buffer until its turn, and a ``+`` for a literal is only sent when everything before it is
answered. The same octets give the same frames however they are split.

RFC 9051 §2.2.1, §4.3; RFC 7888 (LITERAL+); RFC 7889 (APPENDLIMIT).

Nothing here believes a client: lines, literals, their sum and what is thrown away are limited.
After a refused literal the rest of its command is skipped, so the session stays in step.
"""

import io
import re
from typing import Final

import attrs

__all__ = [
    "APPEND_LIMIT_OCTETS",
    "MAX_ANONYMOUS_OCTETS",
    "MAX_COMMAND_OCTETS",
    "MAX_SKIPPED_OCTETS",
    "MAX_WAITING_OCTETS",
    "BareLineFeed",
    "Frame",
    "Framer",
    "GoAhead",
    "Refused",
    "Request",
]

APPEND_LIMIT_OCTETS: Final = 50 * 1024 * 1024  # a message of APPEND (RFC 7889)
MAX_COMMAND_OCTETS: Final = 1024 * 1024  # a command without its message, after login
MAX_ANONYMOUS_OCTETS: Final = 64 * 1024  # a whole command, before login
MAX_WAITING_OCTETS: Final = 256 * 1024  # of input, while a command runs
MAX_ANONYMOUS_WAITING_OCTETS: Final = 64 * 1024
MAX_SKIPPED_OCTETS: Final = 128 * 1024 * 1024  # of a refused command, then we hang up
MAX_LITERALS: Final = 1000  # of one command
SKIPPED_LINE_OCTETS: Final = 256  # what a line that is skipped counts for at least

LITERAL = re.compile(rb"~?\{([0-9]{1,20})(\+?)\}\Z")
APPEND = re.compile(rb"[^ ]{1,255} APPEND ", re.IGNORECASE)
TAG = re.compile(rb"[^ \x00-\x1f\x7f-\xff(){%*\"\\+]{1,255}(?= |\Z)")


@attrs.frozen
class Request:
    """A complete command: text, literal, text, ... always ending with a text."""

    pieces: tuple[bytes, ...]


@attrs.frozen
class GoAhead:
    """The client waits for ``+`` before it sends its literal."""


@attrs.frozen
class Refused:
    """A command over a limit; what it sends will be skipped. ``fatal``: hang up."""

    tag: bytes
    limit_octets: int
    is_message: bool = False
    fatal: bool = False


@attrs.frozen
class BareLineFeed:
    """A line ends with LF alone: all of it is skipped up to the next CRLF."""

    tag: bytes


Frame = Request | GoAhead | Refused | BareLineFeed


class Framer:
    """Collects octets and gives frames. Set ``is_authenticated`` after login."""

    def __init__(self) -> None:
        self.is_authenticated = False
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer without a line end
        self._pieces: list[bytes] = []
        self._size = 0  # octets of the command that count against its limit
        self._literal: io.BytesIO | None = None
        self._missing = 0  # octets of the literal still to come
        self._skipping = False  # the command was refused: drop it up to its end
        self._skip_literal = 0
        self._skipped = 0

    def feed(self, octets: bytes) -> None:
        """More from the client."""
        self._buffer += octets

    @property
    def waiting_octets(self) -> int:
        """Octets received and not yet part of a frame."""
        return len(self._buffer)

    @property
    def is_full(self) -> bool:
        """More waits than is good: stop reading from the network while a command runs."""
        most = MAX_WAITING_OCTETS if self.is_authenticated else MAX_ANONYMOUS_WAITING_OCTETS
        return len(self._buffer) > most

    @property
    def held_octets(self) -> int:
        """Octets of a command that is not complete; a message of APPEND is nearly all of it."""
        literal = self._literal.tell() if self._literal is not None else 0
        return literal + sum(map(len, self._pieces))

    @property
    def limit_octets(self) -> int:
        """How long a command may be now, not counting the message of APPEND."""
        return MAX_COMMAND_OCTETS if self.is_authenticated else MAX_ANONYMOUS_OCTETS

    def next(self) -> Frame | None:
        """The next frame, None when more octets are needed."""
        while True:
            if self._skipping:
                done, frame = self._skip()
            elif self._literal is not None:
                done, frame = self._collect(self._literal), None
            else:
                done, frame = self._take_line()
            if frame is not None or not done:
                return frame

    def line(self) -> bytes | None:
        """The next line as it is, for what follows ``+``; None when it is not complete."""
        return self._cut_line(b"\r\n")

    def line_is_too_long(self) -> bool:
        """The line that ``line()`` waits for is over the limit."""
        return len(self._buffer) > self.limit_octets and self._buffer.find(b"\r\n") < 0

    def _cut_line(self, line_end: bytes) -> bytes | None:
        """What is before this line end, which goes with it."""
        end = self._buffer.find(line_end, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(line_end) + 1)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(line_end)]
        self._searched = 0
        return line

    def _take_line(self) -> tuple[bool, Frame | None]:
        line = self._cut_line(b"\n")
        if line is not None and not line.endswith(b"\r"):
            return True, self._refuse_bare(line)
        line = None if line is None else line[:-1]
        if line is None:
            # One more for the CR that belongs to the line end.
            if self._size + len(self._buffer) > self.limit_octets + 1:
                return True, self._refuse(bytes(self._buffer[:256]))
            return False, None
        self._size += len(line)
        literal = LITERAL.search(line, max(0, len(line) - 24)) if line[-1:] == b"}" else None
        if self._size > self.limit_octets:
            return True, self._refuse_literal(line, literal)
        if literal is None:
            return True, self._complete(line)
        return True, self._begin_literal(line, literal)

    def _complete(self, line: bytes) -> Request:
        request = Request((*self._pieces, line))
        self._pieces = []
        self._size = 0
        return request

    def _begin_literal(self, line: bytes, literal: re.Match[bytes]) -> Frame | None:
        size, waits = int(literal[1]), not literal[2]
        first = self._pieces[0] if self._pieces else line
        is_message = self.is_authenticated and APPEND.match(first) is not None
        limit = APPEND_LIMIT_OCTETS if is_message else self.limit_octets - self._size
        if size > limit or len(self._pieces) >= 2 * MAX_LITERALS:
            return self._refuse_literal(line, literal, is_message)
        if not is_message:
            self._size += size
        self._pieces.append(line)
        self._literal = io.BytesIO()
        self._missing = size
        return GoAhead() if waits else None

    def _refuse_literal(
        self, line: bytes, literal: re.Match[bytes] | None, is_message: bool = False
    ) -> Refused:
        """Refuse at the end of a line; a literal that does not wait for us is skipped too."""
        comes = literal is not None and bool(literal[2])
        self._skip_literal = int(literal[1]) if literal is not None and comes else 0
        return self._refuse(line, ended=not comes, is_message=is_message)

    def _refuse_bare(self, line: bytes) -> BareLineFeed:
        return BareLineFeed(self._refuse(line).tag)

    def _collect(self, literal: io.BytesIO) -> bool:
        count = min(self._missing, len(self._buffer))
        if count:
            with memoryview(self._buffer) as view, view[:count] as part:
                literal.write(part)
            del self._buffer[:count]
            self._missing -= count
        if self._missing:
            return False
        self._pieces.append(literal.getvalue())
        self._literal = None
        return True

    def _refuse(self, line: bytes, ended: bool = False, is_message: bool = False) -> Refused:
        found = TAG.match(self._pieces[0] if self._pieces else line)
        limit = APPEND_LIMIT_OCTETS if is_message else self.limit_octets
        fatal = self._skip_literal > (MAX_SKIPPED_OCTETS if self.is_authenticated else limit)
        self._pieces = []
        self._size = 0
        self._skipping = not ended
        self._skipped = 0
        return Refused(found[0] if found else b"*", limit, is_message, fatal)

    def _skip(self) -> tuple[bool, Frame | None]:
        """Drop the rest of a refused command: literals that do not wait, lines, to its end."""
        if self._skip_literal:
            count = min(self._skip_literal, len(self._buffer))
            del self._buffer[:count]
            self._skip_literal -= count
            return self._skipped_more(count, more=not self._skip_literal)
        line = self._cut_line(b"\r\n")
        if line is None:
            # Keep a tail, so that a literal at the end of the line is recognized.
            count = max(0, len(self._buffer) - 32)
            del self._buffer[:count]
            self._searched = max(0, len(self._buffer) - 1)
            return self._skipped_more(count, more=False)
        literal = LITERAL.search(line[-24:])
        self._skipping = literal is not None and bool(literal[2])
        if literal is not None and self._skipping:
            self._skip_literal = int(literal[1])
        return self._skipped_more(max(len(line), SKIPPED_LINE_OCTETS), more=True)

    def _skipped_more(self, count: int, more: bool) -> tuple[bool, Frame | None]:
        self._skipped += count
        limit = MAX_SKIPPED_OCTETS if self.is_authenticated else 4 * MAX_ANONYMOUS_OCTETS
        if self._skipped + self._skip_literal > limit:
            return True, Refused(b"*", limit, fatal=True)
        return more, None
