"""
What a client says: the SMTP dialogue of one transaction, as one coroutine.

It speaks over a small protocol of its own (``Wire``), so that it knows neither transports nor
timers. MAIL, RCPT and DATA go out together where the host offers PIPELINING (RFC 2920). A 421 ends
the session wherever it comes (RFC 5321 §3.8); what the host said in it counts for all that was not
answered before. So does an answer that came before the connection broke.
"""

import codecs
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import attrs

from fe_mail.model.outbound import Attempt, OutboundRecipient, RemoteReply, Stage, TLSWish
from fe_mail.ports import BlobReader
from fe_mail.smtp.wire import DotEncoder, ServerReply

__all__ = ["Dialogue", "Lost", "TLSFailed", "Wire"]

# RFC 5321 §4.5.3.2
GREETING_SECONDS = 300.0
HURRIED_GREETING_SECONDS = 30.0  # while other mail waits for the connection
HELLO_SECONDS = 300.0
TLS_SECONDS = 60.0
MAIL_SECONDS = 300.0
RECIPIENT_SECONDS = 300.0
DATA_SECONDS = 120.0
BLOCK_SECONDS = 180.0
FINAL_SECONDS = 600.0

CLOSING = 421
CHUNK_OCTETS = 64 * 1024
MAX_COMMAND_OCTETS = 2048

_KEYWORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*))?\Z")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Lost(Exception):
    """The connection broke, or the host keeps silent."""


class TLSFailed(Exception):
    """STARTTLS was agreed on, but no TLS came of it."""


class Wire(Protocol):
    """The connection as the dialogue needs it."""

    @property
    def has_reply(self) -> bool:
        """Is there a reply that nobody took yet?"""

    @property
    def is_quiet(self) -> bool:
        """Nothing came in that was not asked for."""

    def send(self, octets: bytes) -> None:
        """Write."""

    async def writable(self, seconds: float) -> None:
        """Wait until more can be written. ``Lost``."""

    async def reply(self, seconds: float) -> ServerReply:
        """The next reply. ``Lost``."""

    def start_tls(self) -> None:
        """Go over to TLS."""


@attrs.frozen
class _Refused(Exception):
    """The host's answer is no for all recipients; it ends the transaction."""

    reply: RemoteReply


class Dialogue:
    """One transaction over ``wire``."""

    def __init__(self, wire: Wire, attempt: Attempt, *, hostname: str, wish: TLSWish) -> None:
        self._wire = wire
        self._attempt = attempt
        self._hostname = hostname
        self._wish = wish
        self._offers: Mapping[str, str] = {}

    async def run(self, content: Callable[[], Awaitable[BlobReader]]) -> tuple[RemoteReply, ...]:
        """The answers to the recipients, in their order."""
        try:
            await self._greeting()
            await self._hello()
            await self._encrypt()
            reader = await content()
            try:
                return await self._transaction(reader)
            finally:
                await reader.close()
        except _Refused as refused:
            return tuple(refused.reply for _ in self._attempt.recipients)

    # -- opening --------------------------------------------------------------------------------

    async def _greeting(self) -> None:
        is_hurried = self._attempt.is_hurried
        reply = await self._wire.reply(HURRIED_GREETING_SECONDS if is_hurried else GREETING_SECONDS)
        if reply.code != 220:
            raise _Refused(_remote(reply, Stage.GREETING))

    async def _hello(self) -> None:
        """EHLO; a host of the last century gets HELO (RFC 5321 §3.2)."""
        self._command(f"EHLO {self._hostname}")
        reply = await self._wire.reply(HELLO_SECONDS)
        if reply.code == 250:
            self._offers = _offers(reply)
            return
        if not reply.is_permanent:
            raise _Refused(_remote(reply, Stage.HELLO))
        self._command(f"HELO {self._hostname}")
        reply = await self._wire.reply(HELLO_SECONDS)
        if reply.code != 250:
            raise _Refused(_remote(reply, Stage.HELLO))
        self._offers = {}

    async def _encrypt(self) -> None:
        if self._wish is TLSWish.NONE:
            return
        if "STARTTLS" in self._offers:
            self._command("STARTTLS")
            reply = await self._wire.reply(TLS_SECONDS)
            if reply.code == 220:
                await self._upgrade()
                return
            if reply.code == CLOSING:
                raise _Refused(_remote(reply, Stage.TLS))
        if self._wish is TLSWish.REQUIRED:
            text = "The mail host offers no encryption, which this message needs."
            raise _Refused(_own(450, "4.7.10", text, Stage.TLS))

    async def _upgrade(self) -> None:
        if not self._wire.is_quiet:
            # Somebody put replies in clear behind the one to STARTTLS: believe nothing of it.
            raise Lost("The host sent more than its answer before TLS.")
        self._wire.start_tls()
        self._offers = {}
        self._command(f"EHLO {self._hostname}")
        try:
            reply = await self._wire.reply(TLS_SECONDS)
        except Lost:
            raise TLSFailed from None
        if reply.code != 250:
            raise _Refused(_remote(reply, Stage.HELLO))
        self._offers = _offers(reply)

    # -- the transaction ------------------------------------------------------------------------

    async def _transaction(self, reader: BlobReader) -> tuple[RemoteReply, ...]:
        first = await reader.read(CHUNK_OCTETS)
        commands = [self._mail(first), *(self._rcpt(one) for one in self._attempt.recipients)]
        _check(commands)
        mail, answers, data = await self._envelope([*commands, "DATA"])
        if not mail.is_positive:
            if data is not None and data.code == 354:
                await self._send_nothing()
            raise _Refused(_remote(mail, Stage.MAIL))
        accepted = any(answer.is_positive for answer in answers)
        if data is None or data.code != 354:
            return tuple(_after_data(answer, data) for answer in answers)
        if not accepted:
            await self._send_nothing()
            return tuple(_remote(answer, Stage.RECIPIENT) for answer in answers)
        final = await self._content(first, reader)
        return tuple(
            final if answer.is_positive else _remote(answer, Stage.RECIPIENT) for answer in answers
        )

    async def _envelope(
        self, commands: list[str]
    ) -> tuple[ServerReply, list[ServerReply], ServerReply | None]:
        """The replies to MAIL, to each RCPT and to DATA (None: it was not worth saying)."""
        is_pipelined = "PIPELINING" in self._offers
        if is_pipelined:
            self._command(*commands)
        replies: list[ServerReply] = []
        for number, command in enumerate(commands):
            is_data = number == len(commands) - 1
            if not is_pipelined:
                hopeless = bool(replies) and not replies[0].is_positive
                if hopeless or (is_data and not any(one.is_positive for one in replies[1:])):
                    continue
                self._command(command)
            reply = await self._wire.reply(_patience(number, is_data))
            replies.append(reply)
            if reply.code == CLOSING:
                replies += [reply] * (len(commands) - len(replies))
                break
        expected = len(commands)
        data = replies[-1] if len(replies) == expected else None
        return replies[0], replies[1 : expected - 1], data

    async def _send_nothing(self) -> None:
        """A host that took DATA without a recipient gets an empty message, which it refuses."""
        self._wire.send(b".\r\n")
        with suppress(Lost):  # everybody was answered before
            await self._wire.reply(FINAL_SECONDS)

    async def _content(self, first: bytes, reader: BlobReader) -> RemoteReply:
        encoder = DotEncoder()
        chunk = self._attempt.prefix + first
        while chunk:
            self._wire.send(encoder.feed(chunk))
            try:
                await self._wire.writable(BLOCK_SECONDS)
            except Lost:
                if not self._wire.has_reply:
                    raise
            if self._wire.has_reply:  # it has heard enough; nothing that follows can be a message
                return _early(await self._wire.reply(BLOCK_SECONDS))
            chunk = await reader.read(CHUNK_OCTETS)
        self._wire.send(encoder.finish())
        try:
            return _remote(await self._wire.reply(FINAL_SECONDS), Stage.CONTENT)
        except Lost:
            text = "The connection was lost before the host answered to the message."
            return _own(451, "4.4.2", text, Stage.CONTENT)

    # -- commands -------------------------------------------------------------------------------

    def _mail(self, start: bytes) -> str:
        attempt, offers = self._attempt, self._offers
        command = [f"MAIL FROM:<{attempt.reverse_path}>"]
        size = attempt.size_octets + len(attempt.prefix)
        if "SIZE" in offers:
            limit = offers["SIZE"]
            if limit.isdigit() and 0 < int(limit) < size:
                text = f"The message is bigger than the {limit} octets that the host takes."
                raise _Refused(_own(552, "5.3.4", text, Stage.MAIL))
            command.append(f"SIZE={size}")
        command += self._about_octets(attempt.prefix + start)
        if "DSN" in offers:
            command += [f"RET={attempt.dsn_return}"] if attempt.dsn_return else []
            command += [f"ENVID={attempt.envelope_id}"] if attempt.envelope_id else []
        return " ".join(command)

    def _about_octets(self, start: bytes) -> list[str]:
        """
        What a host is asked to carry beyond ASCII, if it offers that; nothing goes to one that
        does not (RFC 6152 §3, RFC 6531 §3.5), and nothing is asked for without need.

        SMTPUTF8 is also said of a header that nobody declared, if the host knows what it means.
        """
        attempt, offers = self._attempt, self._offers
        header = start.partition(b"\r\n\r\n")[0]
        has_utf8_header = not header.isascii() and _is_utf8(header)
        needs_utf8 = attempt.needs_utf8_envelope or (attempt.is_utf8 and has_utf8_header)
        if needs_utf8 and "SMTPUTF8" not in offers:
            text = "The mail host does not take addresses or headers beyond ASCII."
            raise _Refused(_own(553, "5.6.7", text, Stage.MAIL))
        says_utf8 = needs_utf8 or ("SMTPUTF8" in offers and has_utf8_header)
        is_8bit = attempt.is_8bit or not start.isascii()
        if is_8bit and "8BITMIME" not in offers and not says_utf8:
            text = "The mail host takes no 8-bit content, and this message has some."
            raise _Refused(_own(554, "5.6.3", text, Stage.MAIL))
        body = ["BODY=8BITMIME"] if is_8bit and "8BITMIME" in offers else []
        return [*body, "SMTPUTF8"] if says_utf8 else body

    def _rcpt(self, recipient: OutboundRecipient) -> str:
        command = [f"RCPT TO:<{recipient.address}>"]
        if "DSN" in self._offers:
            command += [f"NOTIFY={','.join(recipient.notify)}"] if recipient.notify else []
            command += [f"ORCPT={recipient.original}"] if recipient.original else []
        return " ".join(command)

    def _command(self, *lines: str) -> None:
        self._wire.send("".join(f"{line}\r\n" for line in lines).encode("utf-8"))


def _check(commands: Sequence[str]) -> None:
    """No line of the envelope may end early and begin another one."""
    for line in commands:
        if _CONTROLS.search(line) or len(line) > MAX_COMMAND_OCTETS:
            text = "The envelope has characters that no host takes."
            raise _Refused(_own(553, "5.1.3", text, Stage.MAIL))


def _is_utf8(octets: bytes) -> bool:
    """What was cut in the middle of a character counts."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(octets)
    except UnicodeDecodeError:
        return False
    return True


def _patience(number: int, is_data: bool) -> float:
    if is_data:
        return DATA_SECONDS
    return MAIL_SECONDS if number == 0 else RECIPIENT_SECONDS


def _offers(reply: ServerReply) -> dict[str, str]:
    """Keywords of EHLO, upper case, with their parameters; the first line is a greeting."""
    found = {}
    for line in reply.lines[1:]:
        match = _KEYWORD.match(line.strip())
        if match:
            found[match[1].upper()] = (match[2] or "").strip()
    return found


def _remote(reply: ServerReply, stage: Stage) -> RemoteReply:
    """As a value; a reply that makes no sense here is a temporary failure."""
    code = reply.code
    if 300 <= code < 400:
        return _own(451, "4.5.0", "The host answered out of turn.", stage)
    enhanced = reply.enhanced or f"{code // 100}.0.0"
    said = _printable(reply.line)
    text = _printable(reply.text)
    return RemoteReply(code=code, enhanced=enhanced, text=text, stage=stage, said=said)


def _own(code: int, enhanced: str, text: str, stage: Stage) -> RemoteReply:
    return RemoteReply(code=code, enhanced=enhanced, text=text, stage=stage)


def _after_data(answer: ServerReply, data: ServerReply | None) -> RemoteReply:
    """The answer to a recipient when DATA was refused, or not even said."""
    if not answer.is_positive or data is None:
        return _remote(answer, Stage.RECIPIENT)
    if data.code < 400:
        return _own(451, "4.5.0", "The host answered out of turn.", Stage.CONTENT)
    return _remote(data, Stage.CONTENT)


def _early(reply: ServerReply) -> RemoteReply:
    """A reply in the middle of the content: a yes to half a message is none."""
    if reply.code < 400:
        return _own(451, "4.5.0", "The host answered out of turn.", Stage.CONTENT)
    return _remote(reply, Stage.CONTENT)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
