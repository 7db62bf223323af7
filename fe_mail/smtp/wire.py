"""
The octets of SMTP that client and server share: content, dots, replies, xtext.

Everything here is fed bytes in any portions and gives the same answer however they are cut.
Only CRLF ends a line and only CRLF "." CRLF ends a message; a bare CR, a bare LF or a NUL never
does, so that nothing can be smuggled (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2). Work is done on whole
chunks with the searches of ``bytes``, never line by line.

RFC 5321 §4.2 (replies), §4.5.2 (transparency); RFC 2034 and RFC 3463 (enhanced codes);
RFC 3030 (BDAT); RFC 3461 §4 (xtext).
"""

import re
from collections.abc import Sequence
from enum import Enum

import attrs

from fe_mail.model.errors import Invalid, TooBig
from fe_mail.model.status import Status

__all__ = [
    "Answer",
    "ContentDecoder",
    "ContentFault",
    "DotDecoder",
    "DotEncoder",
    "LineCheck",
    "ReplyParser",
    "ServerReply",
    "canonical_lines",
    "decode_xtext",
    "encode_xtext",
    "format_reply",
]

# RFC 5321 §4.5.3.1.6 allows 1,000 octets; real mail has longer lines, and they do no harm here.
MAX_CONTENT_LINE_OCTETS = 65_536
MAX_REPLY_LINE_OCTETS = 4096  # RFC 5321 §4.5.3.1.5 says 512; some servers talk more
MAX_REPLY_LINES = 200
REPLY_LINE_OCTETS = 510  # what we send ourselves, CRLF not counted
CONTINUE = 334

_END = b"\r\n.\r\n"
_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*\Z")
_XTEXT_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]")


class ContentFault(Enum):
    """Why a message must be refused although it was read to its end."""

    BARE_LINE_END = "a CR or LF that is not part of a CRLF"
    NUL = "a NUL octet"
    LONG_LINE = "a line that is too long"


class LineCheck:
    """
    Watches content go by and remembers its faults.

    A portion must not end between CR and LF; both decoders below see to that.
    """

    def __init__(self) -> None:
        self._faults: set[ContentFault] = set()
        self._open_octets = 0  # of the line that has not ended yet

    @property
    def fault(self) -> ContentFault | None:
        """The gravest fault so far, in the order of ``ContentFault``."""
        return next((fault for fault in ContentFault if fault in self._faults), None)

    def look(self, portion: bytes) -> None:
        """Check the next portion."""
        pairs = portion.count(b"\r\n")
        if portion.count(b"\n") != pairs or portion.count(b"\r") != pairs:
            self._faults.add(ContentFault.BARE_LINE_END)
        if b"\0" in portion:
            self._faults.add(ContentFault.NUL)
        self._measure(portion)

    def _measure(self, portion: bytes) -> None:
        start, room = 0, MAX_CONTENT_LINE_OCTETS - self._open_octets
        while len(portion) - start > room:
            end = portion.rfind(b"\n", start, start + room)
            if end < 0:
                self._faults.add(ContentFault.LONG_LINE)
                self._open_octets = 0
                return
            start, room = end + 1, MAX_CONTENT_LINE_OCTETS
        end = portion.rfind(b"\n", start)
        if end < 0 and start == 0:
            self._open_octets += len(portion)
        else:
            self._open_octets = len(portion) - max(end + 1, start)


class DotDecoder:
    """
    The content of DATA: finds its end and takes the stuffed dots away.

    The stream is read as if a CRLF stood before it, which makes "." on the first line no special
    case. What could be the beginning of the end is held back until more is known.
    """

    def __init__(self) -> None:
        self._check = LineCheck()
        self._held = b"\r\n"
        self._skip = 2  # octets of our own CRLF that are still to be dropped
        self.rest = b""  # what followed the end

    @property
    def fault(self) -> ContentFault | None:
        """The gravest fault so far."""
        return self._check.fault

    def feed(self, octets: bytes) -> tuple[bytes, bool]:
        """Content that is certain now, and whether it ended; ``rest`` is then what followed."""
        stream = self._held + octets
        end = stream.find(_END)
        if end >= 0:
            self.rest = stream[end + len(_END) :]
            return self._release(stream[: end + 2]), True
        held = _held_back(stream)
        self._held = stream[len(stream) - held :]
        return self._release(stream[: len(stream) - held]), False

    def _release(self, stuffed: bytes) -> bytes:
        content = stuffed.replace(b"\r\n.", b"\r\n")
        if self._skip and content:
            content, self._skip = content[self._skip :], 0
        self._check.look(content)
        return content


def _held_back(stream: bytes) -> int:
    """How many octets at the end may be the beginning of CRLF "." CRLF."""
    for length in range(len(_END) - 1, 0, -1):
        if stream.endswith(_END[:length]):
            return length
    return 0


class ContentDecoder:
    """
    The content of BDAT chunks (RFC 3030): no dots, but the same rules for lines.

    BINARYMIME is not offered, so that a chunk is text like any other (RFC 3030 §3).
    """

    def __init__(self) -> None:
        self._check = LineCheck()
        self._held = b""
        self._tail = b""

    @property
    def fault(self) -> ContentFault | None:
        """The gravest fault so far."""
        return self._check.fault

    def feed(self, octets: bytes) -> bytes:
        """Content that is certain now: a CR waits for what follows it."""
        stream = self._held + octets
        self._held = b"\r" if stream.endswith(b"\r") else b""
        return self._release(stream[: len(stream) - len(self._held)])

    def finish(self) -> bytes:
        """The end of the last chunk; completes a last line that has no CRLF."""
        held, self._held = self._held, b""
        content = self._release(held)
        return content + b"\r\n" if self._tail not in (b"", b"\n") else content

    def _release(self, content: bytes) -> bytes:
        if content:
            self._check.look(content)
            self._tail = content[-1:]
        return content


def canonical_lines(octets: bytes) -> bytes:
    """The same text with CRLF at the end of every line, whatever ended it before."""
    pairs = octets.count(b"\r\n")
    if octets.count(b"\n") == pairs and octets.count(b"\r") == pairs:
        return octets
    return _ANY_LINE_END.sub(b"\r\n", octets)


class DotEncoder:
    """
    Content as DATA carries it: dots stuffed, every line end CRLF.

    A bare CR or LF becomes CRLF, so that no server can be made to see an end of data that is
    none (the outbound half of SMTP smuggling).
    """

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        """The next portion, encoded."""
        stream = self._held + octets
        self._held = b"\r" if stream.endswith(b"\r") else b""
        return self._encode(stream[: len(stream) - len(self._held)])

    def finish(self) -> bytes:
        """What remains, and the end of data."""
        held, self._held = self._held, b""
        last = self._encode(held)
        return last + (b".\r\n" if self._at_line_start else b"\r\n.\r\n")

    def _encode(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        text = canonical_lines(octets)
        stuffed = text.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and text.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = text.endswith(b"\n")
        return stuffed


def format_reply(code: int, enhanced: str, lines: Sequence[str] | str) -> bytes:
    """
    A reply of one or more lines, each with the enhanced code if there is one (RFC 2034 §4).

    Only printable ASCII is sent (RFC 6531 §3.7.4): control characters become spaces, others are
    escaped. Long text is cut, but for 334, whose text is base64 (RFC 4954 §4).
    """
    texts = (lines,) if isinstance(lines, str) else tuple(lines) or ("",)
    prefix = f"{enhanced} " if enhanced else ""
    last = len(texts) - 1
    wire = b""
    for number, text in enumerate(texts):
        line = f"{code}{' ' if number == last else '-'}{prefix}{text}"
        if not (line.isascii() and line.isprintable()):
            line = _CONTROL.sub(" ", line)
        octets = line.encode("ascii", "backslashreplace")
        wire += (octets if code == CONTINUE else octets[:REPLY_LINE_OCTETS]) + b"\r\n"
    return wire


@attrs.frozen
class Answer(Status):
    """
    A status that we say, with the lines that follow its text.

    421 always closes the connection (RFC 5321 §3.8).
    """

    more: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    closes: bool = attrs.field(
        default=attrs.Factory(lambda self: self.code == 421, takes_self=True), kw_only=True
    )

    @classmethod
    def of(cls, status: Status) -> "Answer":
        """To say what was decided elsewhere."""
        return cls(status.code, status.enhanced, status.text)

    def to_wire(self) -> bytes:
        """As octets, with every CRLF."""
        return format_reply(self.code, self.enhanced, (self.text, *self.more))


@attrs.frozen(kw_only=True)
class ServerReply(Status):
    """A status as a client hears it: ``lines`` without codes, ``text`` all of them as one."""

    lines: tuple[str, ...] = ()
    text: str = attrs.field(default=attrs.Factory(lambda self: _one_line(self.lines), True))


class ReplyParser:
    """
    Replies of a server, in the order they come.

    ``pending`` is True while octets wait that are no whole reply: a client must not go over to
    TLS then, nor when a reply came that it had not asked for (response injection).
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[str] = []
        self._code = 0

    @property
    def pending(self) -> bool:
        """Does anything wait that is not a whole reply yet?"""
        return bool(self._buffer or self._lines)

    def feed(self, octets: bytes) -> list[ServerReply]:
        """Every reply that is complete now. ``Invalid``, ``TooBig`` when it is no SMTP."""
        replies: list[ServerReply] = []
        *lines, self._buffer = (self._buffer + octets).split(b"\n")
        if any(len(line) > MAX_REPLY_LINE_OCTETS for line in (*lines, self._buffer)):
            raise TooBig("The server sent a reply line that is too long.")
        for line in lines:
            reply = self._take(line.removesuffix(b"\r"))
            if reply is not None:
                replies.append(reply)
        return replies

    def _take(self, line: bytes) -> ServerReply | None:
        match = _REPLY_LINE.match(line)
        if match is None or (self._lines and int(match[1]) != self._code):
            raise Invalid("The server did not answer with an SMTP reply.")
        if len(self._lines) >= MAX_REPLY_LINES:
            raise TooBig("The server sent a reply with too many lines.")
        self._code = int(match[1])
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        return None if match[2] == b"-" else self._complete()

    def _complete(self) -> ServerReply:
        lines, self._lines = self._lines, []
        code = self._code
        found = _ENHANCED.match(lines[0])
        enhanced = found[1] if found and found[1][0] == str(code)[0] else ""
        if enhanced:
            lines = [_without(enhanced, line) for line in lines]
        return ServerReply(code=code, enhanced=enhanced, lines=tuple(lines))


def _one_line(lines: Sequence[str]) -> str:
    return " ".join(line for line in lines if line)


def _without(enhanced: str, line: str) -> str:
    return line[len(enhanced) :].lstrip() if line.startswith(enhanced) else line


def encode_xtext(text: str) -> str:
    """RFC 3461 §4; ``text`` is ASCII."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """The printable ASCII text that xtext stands for. ``Invalid`` if it is none."""
    if not _XTEXT.match(text):
        raise Invalid("The value is not valid xtext.")
    decoded = _XTEXT_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise Invalid("The value has characters that are not allowed.")
    return decoded
