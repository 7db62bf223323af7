"""
From a request to its tagged reply.

Every module of commands has a dictionary ``COMMANDS``; here they become one. Whatever goes
wrong, the client gets exactly one tagged reply and never the text of an exception.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from typing import Any, Final, cast

from twisted.logger import Logger

from fe_mail.connection.conversation import Farewell
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.imap import (
    append,
    authentication,
    basics,
    copy,
    fetch,
    folders,
    search,
    selection,
    store,
)
from fe_mail.imap.command import (
    Close,
    Command,
    Examine,
    Fetch,
    Logout,
    Search,
    Select,
    State,
    Store,
    Unselect,
)
from fe_mail.imap.framing import Request
from fe_mail.imap.parser import parse, parse_tag
from fe_mail.imap.reply import Reply, bad, no, reply_to_error
from fe_mail.imap.scanner import Malformed
from fe_mail.imap.session import Bye, Session
from fe_mail.model.errors import MailboxGone, MailError

__all__ = ["COMMANDS", "count_bad", "perform"]

log = Logger()

MAX_BAD_COMMANDS: Final = 50  # in a row
MAX_BAD_BEFORE_LOGIN: Final = 20  # altogether: no mail client needs one

# A client that sent one of these counts anew already: no number of the old folder after it.
LEAVES_FOLDER: Final = (Select, Examine, Close, Unselect, Logout)

Perform = Callable[[Session, Command], Awaitable[Reply]]

MODULES: Final = (
    basics,
    authentication,
    folders,
    selection,
    append,
    search,
    fetch,
    store,
    copy,
)
COMMANDS: Final[Mapping[type[Command], Perform]] = dict(
    chain.from_iterable(cast("Mapping[Any, Any]", module.COMMANDS).items() for module in MODULES)
)


async def perform(session: Session, request: Request) -> None:
    """Run one command and write its reply. ``ConnectionEnded`` and ``Farewell`` pass through."""
    try:
        tag, command = parse(request)
    except Malformed as error:
        tag, reply = parse_tag(request), reply_to_error(error)
    else:
        reply = await _answered(session, command)
    session.wire.write(reply.line(tag))
    if reply.after is not None:
        reply.after()
    if reply.status == b"BAD":
        count_bad(session)
    elif session.state is not State.NOT_AUTHENTICATED:
        session.bad_commands = 0


async def _answered(session: Session, command: Command) -> Reply:
    if session.state not in command.states:
        return bad("This command is not allowed now.")
    return await _guarded(session, command)


def count_bad(session: Session) -> None:
    """One more was answered BAD. ``Bye`` when there were too many."""
    session.bad_commands += 1
    is_stranger = session.state is State.NOT_AUTHENTICATED
    if session.bad_commands >= (MAX_BAD_BEFORE_LOGIN if is_stranger else MAX_BAD_COMMANDS):
        raise Bye("Too many bad commands.")


async def _guarded(session: Session, command: Command) -> Reply:
    try:
        if not isinstance(command, Fetch):
            await session.settle(tell=not isinstance(command, LEAVES_FOLDER))
        reply = await COMMANDS[type(command)](session, command)
        await session.refresh(expunge=_allows_expunge(command))
    except (ConnectionEnded, Farewell):
        raise
    except MailboxGone:
        raise Bye("The mailbox was removed.") from None
    except MailError as error:
        return reply_to_error(error, command)
    except Exception:
        log.failure(
            "{command} failed",
            command=type(command).__name__,
            session_id=session.wire.peer.session_id,
        )
        return no("Internal error.", b"SERVERBUG")
    return reply


def _allows_expunge(command: Command) -> bool:
    """Never while sequence numbers are in use (RFC 9051 §7.5.1)."""
    return not (isinstance(command, Fetch | Store | Search) and not command.uid)
