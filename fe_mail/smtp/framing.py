"""
Framing of what an SMTP client sends: lines, the content of DATA, the octets of BDAT.

Bytes in, frames out; which kind of frame comes next is the session's decision, so nothing is
looked at before the command in front of it was answered. A line ends with CRLF. One that holds a
bare CR, a bare LF or a NUL is a fault that ends the session: whatever wrote it does not mean what
we would understand (RFC 5321 §2.3.8). A line that is too long is skipped to its end and never
becomes a command in parts.

RFC 5321 §4.5.3.1.4 (command lines), §4.1.1.4 (DATA); RFC 3030 §2 (BDAT); RFC 4954 §4 (AUTH).
"""

from enum import Enum, auto

import attrs

from fe_mail.smtp.wire import ContentDecoder, ContentFault, DotDecoder

__all__ = ["Framer", "Line", "LineFault", "Portion"]

# 512 octets, and what the extensions add to MAIL and RCPT: SIZE 26, BODY 17, SMTPUTF8 10,
# AUTH 500, RET and ENVID 115, NOTIFY and ORCPT 528 (RFC 1870, 6152, 6531, 4954, 3461).
MAX_COMMAND_OCTETS = 2048
MAX_AUTH_OCTETS = 12_288  # RFC 4954 §4: AUTH, and every line of its exchange
MAX_SKIPPED_OCTETS = 262_144  # of one line that is too long; more ends the session
MAX_WAITING_LINE_OCTETS = 65_536  # of commands that wait for their turn
MAX_WAITING_CONTENT_OCTETS = 262_144  # of content that waits to be written


class LineFault(Enum):
    """What can be wrong with a line as such."""

    LONG = auto()
    BARE = auto()
    FLOOD = auto()


@attrs.frozen
class Line:
    """One line without its CRLF; it may be a password, so it is never shown."""

    octets: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Portion:
    """Some content; with ``is_end`` the last of DATA or of one BDAT chunk."""

    octets: bytes
    is_end: bool = False
    fault: ContentFault | None = None


class _Mode(Enum):
    LINE = auto()
    DATA = auto()
    CHUNK = auto()


class Framer:
    """Cuts the stream. ``next`` gives None when more octets are needed."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0  # of what was not consumed
        self._mode = _Mode.LINE
        self._skipped = 0  # octets of a line that is too long
        self._dots = DotDecoder()
        self._chunks: ContentDecoder | None = None
        self._chunk_octets = 0  # still to come
        self._chunk_is_last = False
        self.max_line_octets = MAX_COMMAND_OCTETS

    @property
    def waiting_octets(self) -> int:
        """Octets received and not consumed."""
        return len(self._buffer) - self._start

    @property
    def is_full(self) -> bool:
        """More waits than is good: stop reading from the network."""
        if self._mode is _Mode.LINE:
            return self.waiting_octets > MAX_WAITING_LINE_OCTETS
        return self.waiting_octets > MAX_WAITING_CONTENT_OCTETS

    @property
    def is_between_lines(self) -> bool:
        """Is the next thing a command, and nothing of it here yet?"""
        return self._mode is _Mode.LINE and not self.waiting_octets and not self._skipped

    def feed(self, octets: bytes) -> None:
        """Add what the network brought."""
        if self._start == len(self._buffer):
            self._buffer = octets
        else:
            self._buffer = self._buffer[self._start :] + octets
        self._start = 0

    def begin_data(self) -> None:
        """Content of DATA follows."""
        self._mode, self._dots = _Mode.DATA, DotDecoder()

    def begin_chunk(self, size_octets: int, is_last: bool, decoder: ContentDecoder | None) -> None:
        """A BDAT chunk follows; without a decoder it is thrown away."""
        self._mode, self._chunk_octets = _Mode.CHUNK, size_octets
        self._chunk_is_last, self._chunks = is_last, decoder

    def next(self) -> Line | LineFault | Portion | None:
        """The next frame that is complete."""
        if self._mode is _Mode.LINE:
            return self._next_line()
        if self._mode is _Mode.DATA:
            return self._next_data()
        return self._next_chunk()

    def _next_line(self) -> Line | LineFault | None:
        end = self._buffer.find(b"\n", self._start)
        if end < 0:
            self._skip_if_long()
            return LineFault.FLOOD if self._skipped > MAX_SKIPPED_OCTETS else None
        line = self._buffer[self._start : end]
        self._start = end + 1
        length, self._skipped = self._skipped + len(line) + 1, 0
        if length > MAX_SKIPPED_OCTETS:
            return LineFault.FLOOD
        if length > self._limit(line):
            return LineFault.LONG
        if line[-1:] != b"\r" or line.count(b"\r") != 1 or b"\0" in line:
            return LineFault.BARE
        return Line(line[:-1])

    def _skip_if_long(self) -> None:
        waiting = self.waiting_octets
        if self._skipped or waiting >= MAX_AUTH_OCTETS:
            self._skipped += waiting
            self._buffer, self._start = b"", 0

    def _limit(self, line: bytes) -> int:
        is_auth = line[:5].upper() == b"AUTH "
        return MAX_AUTH_OCTETS if is_auth else self.max_line_octets

    def _next_data(self) -> Portion | None:
        octets, self._buffer, self._start = self._buffer[self._start :], b"", 0
        content, is_end = self._dots.feed(octets)
        if is_end:
            self._mode = _Mode.LINE
            self._buffer = self._dots.rest
        elif not content:
            return None
        return Portion(octets=content, is_end=is_end, fault=self._dots.fault)

    def _next_chunk(self) -> Portion | None:
        taken = self._buffer[self._start : self._start + self._chunk_octets]
        if not taken and self._chunk_octets:
            return None
        self._start += len(taken)
        self._chunk_octets -= len(taken)
        is_end = not self._chunk_octets
        if is_end:
            self._mode = _Mode.LINE
        if self._chunks is None:
            return Portion(octets=b"", is_end=is_end)
        content = self._chunks.feed(taken)
        if is_end and self._chunk_is_last:
            content += self._chunks.finish()
        return Portion(octets=content, is_end=is_end, fault=self._chunks.fault)
