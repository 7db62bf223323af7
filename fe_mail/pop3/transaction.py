"""
The TRANSACTION state: STAT, LIST, UIDL, RETR, TOP, DELE, NOOP, RSET, CAPA, QUIT.

Deletions happen at QUIT and only there: a session that breaks removes nothing. Flags that IMAP
shows are left alone. RFC 1939 §5, §6, §7.
"""

import re
from collections.abc import AsyncIterator, Callable

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.model.errors import Invalid, MailError, NotFound
from fe_mail.pop3.authorization import say_capabilities
from fe_mail.pop3.conversation import Command, Commands, POP3Conversation
from fe_mail.pop3.framing import Stuffer
from fe_mail.pop3.maildrop import Maildrop
from fe_mail.pop3.replies import error_reply, fail, ok

__all__ = ["COMMANDS"]

# Lines of a listing that are written together.
LISTED_TOGETHER = 500
_NUMBER = re.compile(rb"[0-9]{1,9}\Z")


def _drop(talk: POP3Conversation) -> Maildrop:
    assert talk.session.drop is not None
    return talk.session.drop


def _number(text: bytes) -> int:
    if not _NUMBER.match(text):
        raise Invalid("The argument is not a number.")
    return int(text)


def _existing(talk: POP3Conversation, command: Command, arguments: int = 1) -> int:
    """The message that a command names. ``Invalid``, ``NotFound``."""
    if len(command.arguments) != arguments:
        raise Invalid("Wrong number of arguments.")
    number = _number(command.arguments[0])
    if not _drop(talk).has(number):
        raise NotFound("No such message.")
    return number


async def _stat(talk: POP3Conversation, _command: Command) -> None:
    drop = _drop(talk)
    talk.write(ok(b"%d %d" % (len(drop.numbers), drop.size_octets)))


async def _list(talk: POP3Conversation, command: Command) -> None:
    drop = _drop(talk)
    await _listing(talk, command, lambda number: b"%d %d" % (number, drop.size(number)))


async def _uidl(talk: POP3Conversation, command: Command) -> None:
    drop = _drop(talk)
    await _listing(talk, command, lambda number: b"%d %b" % (number, drop.unique_id(number)))


async def _listing(talk: POP3Conversation, command: Command, line: Callable[[int], bytes]) -> None:
    if command.arguments:
        talk.write(ok(line(_existing(talk, command))))
        return
    numbers = _drop(talk).numbers
    talk.write(ok(b"%d messages." % len(numbers)))
    for start in range(0, len(numbers), LISTED_TOGETHER):
        chunk = b"\r\n".join(map(line, numbers[start : start + LISTED_TOGETHER]))
        await talk.write_much(chunk + b"\r\n")
    talk.write(b".\r\n")


async def _retr(talk: POP3Conversation, command: Command) -> None:
    drop = _drop(talk)
    number = _existing(talk, command)
    raw = await drop.body(number)
    head = ok(b"%d octets." % drop.size(number))
    if raw is None:
        await _stream(talk, head, drop.pieces(number))
    else:
        stuffer = Stuffer()
        await talk.write_much(head + stuffer.feed(raw) + stuffer.finish())


async def _top(talk: POP3Conversation, command: Command) -> None:
    number = _existing(talk, command, 2)
    pieces = _drop(talk).top(number, _number(command.arguments[1]))
    await _stream(talk, ok(), pieces)


async def _stream(talk: POP3Conversation, head: bytes, pieces: AsyncIterator[bytes]) -> None:
    """A message in pieces; one that is gone before the first of them is an error like others."""
    stuffer = Stuffer()
    has_begun = False
    try:
        async for piece in pieces:
            await talk.write_much(stuffer.feed(piece) if has_begun else head + stuffer.feed(piece))
            has_begun = True
    except MailError:
        if not has_begun:
            raise
        # Half a message must not look like a whole one.
        talk.log.info("POP3 session {session_id} lost its message", session_id=talk.peer.session_id)
        talk.link.close()
        raise ConnectionEnded from None
    except ConnectionEnded:
        raise
    except Exception:
        if has_begun:  # nor may an error look like a part of it
            talk.link.close()
        raise
    talk.write(stuffer.finish() if has_begun else head + stuffer.finish())


async def _dele(talk: POP3Conversation, command: Command) -> None:
    _drop(talk).delete(_existing(talk, command))
    talk.write(ok(b"Marked as deleted."))


async def _noop(talk: POP3Conversation, _command: Command) -> None:
    talk.write(ok())


async def _rset(talk: POP3Conversation, _command: Command) -> None:
    _drop(talk).reset()
    talk.write(ok())


async def _quit(talk: POP3Conversation, _command: Command) -> None:
    """UPDATE (RFC 1939 §6)."""
    try:
        await _drop(talk).commit()
    except MailError as error:
        talk.end(error_reply(error))
    except Exception:
        talk.log.failure(
            "POP3 session {session_id} could not delete", session_id=talk.peer.session_id
        )
        talk.end(fail(b"[SYS/TEMP] Some deleted messages were not removed."))
    else:
        talk.end(ok(b"Bye."))
    raise ConnectionEnded


COMMANDS: Commands = {
    b"STAT": _stat,
    b"LIST": _list,
    b"UIDL": _uidl,
    b"RETR": _retr,
    b"TOP": _top,
    b"DELE": _dele,
    b"NOOP": _noop,
    b"RSET": _rset,
    b"CAPA": say_capabilities,
    b"QUIT": _quit,
}
