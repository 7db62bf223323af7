"""
One POP3 session: a coroutine that takes a line, answers it, and only then looks at the next.

So pipelined commands never overlap (RFC 2449 §6.6), and replies are gathered and written
together. Commands live in modules that each register a dictionary per state: AUTHORIZATION
before login, TRANSACTION after it (RFC 1939 §3). The session knows no transport: it speaks to a
``Link``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs
from twisted.logger import Logger

from fe_mail.accounts.login import Login
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.connection.turns import BURST
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import MailError
from fe_mail.pop3.framing import MAX_LINE_OCTETS, Framer, LineTooLong
from fe_mail.pop3.maildrop import Maildrop
from fe_mail.pop3.replies import error_reply, fail, ok
from fe_mail.ports import MailboxStore

__all__ = ["Command", "Commands", "Link", "Services", "Session"]

# Replies gathered before they are written.
MAX_GATHERED_OCTETS = 65_536
# Wrong commands and failed logins after which we hang up.
MAX_MISTAKES = 10
MAX_ANONYMOUS_COMMANDS = 100  # before login; clients need a handful
MAX_FAILED_LOGINS = 3


class Link(Protocol):
    """What a session needs of its connection."""

    @property
    def is_secure(self) -> bool:
        """Is it under TLS?"""

    @property
    def can_start_tls(self) -> bool:
        """Would STLS work now?"""

    @property
    def peer(self) -> Peer:
        """Who is at the other end, and how."""

    def write(self, octets: bytes) -> None:
        """Send."""

    async def more(self) -> None:
        """Wait for input. ``ConnectionEnded``."""

    async def writable(self) -> None:
        """Wait until the client reads what it was sent. ``ConnectionEnded``."""

    def consumed(self) -> None:
        """A line was taken; reading may go on."""

    async def turn(self) -> None:
        """Let other connections have their turn."""

    def close(self) -> None:
        """Close when everything is written."""

    def start_tls(self) -> None:
        """Begin the handshake."""

    def signed_in(self, alias_id: str) -> bool:
        """The session belongs to this alias from now on; False if that ended it."""


@attrs.frozen(kw_only=True)
class Services:
    """What all sessions of a listener share."""

    login: Login
    mailboxes: MailboxStore
    hostname: str
    allow_plaintext_auth: bool = False


@attrs.frozen
class Command:
    """A line: the name in upper case, and the rest as it was sent."""

    name: bytes
    text: bytes

    @property
    def arguments(self) -> list[bytes]:
        """The rest, cut at spaces."""
        return self.text.split()


Perform = Callable[["Session", Command], Awaitable[None]]
Commands = Mapping[bytes, Perform]


class Session:
    """One client. ``drop`` is set after login."""

    log = Logger()

    def __init__(
        self, services: Services, link: Link, before_login: Commands, after_login: Commands
    ) -> None:
        self.services = services
        self.link = link
        self.framer = Framer()
        self.user: bytes | None = None
        self.drop: Maildrop | None = None
        self.failed_logins = 0
        self.farewell: bytes | None = None  # set: nothing new begins, this is said instead
        self._before_login = before_login
        self._after_login = after_login
        self._mistakes = 0
        self._anonymous_commands = 0
        self._burst = 0  # commands since the last wait
        self._gathered: list[bytes] = []
        self._gathered_octets = 0
        self._is_over = False

    async def run(self) -> None:
        """Greet, converse, give the mailbox back."""
        try:
            self.say(ok(self.services.hostname.encode("ascii", "replace") + b" POP3 server ready."))
            while not self._is_over:
                await self._step()
        except ConnectionEnded:
            pass
        except LineTooLong:
            self.end(fail(b"The line is too long."))
        finally:
            if self.drop is not None:
                self.drop.close()

    async def _step(self) -> None:
        line = await self.line()
        await self._pace()
        name, _, text = line.partition(b" ")
        command = Command(name.upper(), text)
        commands = self._before_login if self.drop is None else self._after_login
        perform = commands.get(command.name)
        if perform is None:
            self._refuse(command.name)
            return
        try:
            await perform(self, command)
        except MailError as error:
            self.say(error_reply(error))
        except (ConnectionEnded, LineTooLong):
            raise
        except Exception:
            self.log.failure(
                "POP3 command {command} of session {session_id} failed",
                command=command.name.decode("ascii", "replace"),
                session_id=self.link.peer.session_id,
            )
            self.say(fail(b"[SYS/TEMP] Internal error."))

    async def _pace(self) -> None:
        """Who sent much at once reads the answers, and lets others have their turn."""
        if self.drop is None:
            self._anonymous_commands += 1
            if self._anonymous_commands > MAX_ANONYMOUS_COMMANDS:
                self.end(fail(b"Too many commands before login."))
                raise ConnectionEnded
        self._burst += 1
        if self._burst > BURST:
            self._burst = 1
            self.flush()
            await self.link.writable()
            await self.link.turn()
            await self.link.writable()  # or it ended meanwhile

    def _refuse(self, name: bytes) -> None:
        known = name in self._before_login or name in self._after_login
        if known and self.drop is None:
            self.mistake(b"Sign in first.")
        else:
            self.mistake(b"Not possible now." if known else b"Unknown command.")

    def mistake(self, text: bytes) -> None:
        """Refuse a wrong command; too many end the session."""
        self._mistakes += 1
        if self._mistakes >= MAX_MISTAKES:
            self.end(fail(b"Too many mistakes."))
        else:
            self.say(fail(text))

    async def line(self, max_octets: int = MAX_LINE_OCTETS) -> bytes:
        """The next line. ``ConnectionEnded``, ``LineTooLong``."""
        self.framer.max_line_octets = max_octets
        while self.farewell is not None or (line := self.framer.next()) is None:
            if self.farewell is not None:
                self.end(self.farewell)
            self.flush()
            self._burst = 0
            await self.link.more()
        self.link.consumed()
        return line

    def say(self, octets: bytes) -> None:
        """Gather a reply."""
        if self._is_over:
            return
        self._gathered.append(octets)
        self._gathered_octets += len(octets)

    async def say_much(self, octets: bytes) -> None:
        """Gather, and wait for a slow reader when much is gathered."""
        self.say(octets)
        if self._gathered_octets > MAX_GATHERED_OCTETS:
            self.flush()
            await self.link.writable()

    def flush(self) -> None:
        """Write what is gathered."""
        if self._gathered:
            self.link.write(b"".join(self._gathered))
            self._gathered, self._gathered_octets = [], 0

    def end(self, octets: bytes) -> None:
        """Say the last word and hang up."""
        self.say(octets)
        self.flush()
        self._is_over = True
        self.link.close()

    def forget(self) -> None:
        """STLS: nothing said in the clear counts any more (RFC 2595 §4)."""
        self.user = None
        self._mistakes = 0
