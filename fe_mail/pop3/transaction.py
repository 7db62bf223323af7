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
from fe_mail.pop3.framing import Stuffer
from fe_mail.pop3.maildrop import Maildrop
from fe_mail.pop3.replies import error_reply, fail, ok
from fe_mail.pop3.session import Command, Commands, Session

__all__ = ["COMMANDS"]

# Lines of a listing that are written together.
LISTED_TOGETHER = 500
_NUMBER = re.compile(rb"[0-9]{1,9}\Z")


def _drop(session: Session) -> Maildrop:
    assert session.drop is not None
    return session.drop


def _number(text: bytes) -> int:
    if not _NUMBER.match(text):
        raise Invalid("The argument is not a number.")
    return int(text)


def _existing(session: Session, command: Command, arguments: int = 1) -> int:
    """The message that a command names. ``Invalid``, ``NotFound``."""
    if len(command.arguments) != arguments:
        raise Invalid("Wrong number of arguments.")
    number = _number(command.arguments[0])
    if not _drop(session).has(number):
        raise NotFound("No such message.")
    return number


async def _stat(session: Session, _command: Command) -> None:
    drop = _drop(session)
    session.say(ok(b"%d %d" % (len(drop.numbers), drop.size_octets)))


async def _list(session: Session, command: Command) -> None:
    drop = _drop(session)
    await _listing(session, command, lambda number: b"%d %d" % (number, drop.size(number)))


async def _uidl(session: Session, command: Command) -> None:
    drop = _drop(session)
    await _listing(session, command, lambda number: b"%d %b" % (number, drop.unique_id(number)))


async def _listing(session: Session, command: Command, line: Callable[[int], bytes]) -> None:
    if command.arguments:
        session.say(ok(line(_existing(session, command))))
        return
    numbers = _drop(session).numbers
    session.say(ok(b"%d messages." % len(numbers)))
    for start in range(0, len(numbers), LISTED_TOGETHER):
        chunk = b"\r\n".join(map(line, numbers[start : start + LISTED_TOGETHER]))
        await session.say_much(chunk + b"\r\n")
    session.say(b".\r\n")


async def _retr(session: Session, command: Command) -> None:
    drop = _drop(session)
    number = _existing(session, command)
    raw = await drop.body(number)
    head = ok(b"%d octets." % drop.size(number))
    if raw is None:
        await _stream(session, head, drop.pieces(number))
    else:
        stuffer = Stuffer()
        await session.say_much(head + stuffer.feed(raw) + stuffer.finish())


async def _top(session: Session, command: Command) -> None:
    number = _existing(session, command, 2)
    pieces = _drop(session).top(number, _number(command.arguments[1]))
    await _stream(session, ok(), pieces)


async def _stream(session: Session, head: bytes, pieces: AsyncIterator[bytes]) -> None:
    """A message in pieces; one that is gone before the first of them is an error like others."""
    stuffer = Stuffer()
    has_begun = False
    try:
        async for piece in pieces:
            await session.say_much(stuffer.feed(piece) if has_begun else head + stuffer.feed(piece))
            has_begun = True
    except MailError:
        if not has_begun:
            raise
        # Half a message must not look like a whole one.
        session.log.info(
            "POP3 session {session_id} lost its message", session_id=session.link.peer.session_id
        )
        session.link.close()
        raise ConnectionEnded from None
    session.say(stuffer.finish() if has_begun else head + stuffer.finish())


async def _dele(session: Session, command: Command) -> None:
    _drop(session).delete(_existing(session, command))
    session.say(ok(b"Marked as deleted."))


async def _noop(session: Session, _command: Command) -> None:
    session.say(ok())


async def _rset(session: Session, _command: Command) -> None:
    _drop(session).reset()
    session.say(ok())


async def _quit(session: Session, _command: Command) -> None:
    """UPDATE (RFC 1939 §6)."""
    try:
        await _drop(session).commit()
    except MailError as error:
        session.end(error_reply(error))
    except Exception:
        session.log.failure(
            "POP3 session {session_id} could not delete", session_id=session.link.peer.session_id
        )
        session.end(fail(b"[SYS/TEMP] Some deleted messages were not removed."))
    else:
        session.end(ok(b"Bye."))
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
