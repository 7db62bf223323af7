"""
One POP3 conversation: a line is taken and answered, and only then the next is looked at.

Commands live in modules that each register a dictionary per state: AUTHORIZATION before login,
TRANSACTION after it (RFC 1939 §3). They see this object.

RFC 1939 §3 (autologout after 10 minutes); RFC 2595 §4.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final

import attrs

from fe_mail.accounts.login import Login
from fe_mail.connection import conversation
from fe_mail.connection.conversation import Farewell, Link
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.connection.registry import Reason
from fe_mail.mailboxes.damage import BrokenOff
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import MailError
from fe_mail.pop3.framing import MAX_LINE_OCTETS, BareLineFeed, Framer, LineTooLong
from fe_mail.pop3.replies import error_reply, fail, ok
from fe_mail.pop3.session import Session
from fe_mail.ports import MailboxStore

__all__ = ["Command", "Commands", "POP3Conversation", "Services"]

IDLE_TIMEOUT_SECONDS: Final = 600
LOGIN_TIMEOUT_SECONDS: Final = 120
# Wrong commands after which we hang up.
MAX_MISTAKES: Final = 10


@attrs.frozen(kw_only=True)
class Services:
    """What all conversations of a listener share."""

    login: Login
    mailboxes: MailboxStore
    hostname: str
    allow_plaintext_auth: bool = False
    broken_off: BrokenOff = attrs.field(factory=BrokenOff)


@attrs.frozen
class Command:
    """A line: the name in upper case, and the rest as it was sent."""

    name: bytes
    text: bytes

    @property
    def arguments(self) -> list[bytes]:
        """The rest, cut at spaces."""
        return self.text.split()


Perform = Callable[["POP3Conversation", Command], Awaitable[None]]
Commands = Mapping[bytes, Perform]


class POP3Conversation(conversation.Conversation):
    """One client."""

    protocol = "POP3"
    last_words: ClassVar[Mapping[Reason, bytes]] = {
        Reason.STOPPING: fail(b"[SYS/TEMP] The server is shutting down."),
        Reason.FULL: fail(b"[SYS/TEMP] Too many connections."),
        Reason.ADDRESS: fail(b"[SYS/TEMP] Too many connections from your address."),
        Reason.ALIAS: fail(b"[SYS/TEMP] Too many connections of this mailbox."),
        Reason.REVOKED: fail(b"[AUTH] The password was changed."),
        Reason.TIMEOUT: fail(b"[SYS/TEMP] Timeout."),
        Reason.STRANGER: fail(b"Too many commands before login."),
        Reason.CLEAR_TEXT: fail(b"Nothing may follow STLS before the handshake."),
        Reason.DEFECT: fail(b"[SYS/TEMP] Internal error."),
    }

    framer: Framer

    def __init__(
        self, services: Services, link: Link, before_login: Commands, after_login: Commands
    ) -> None:
        super().__init__(link, Framer())
        self.services = services
        self.session = Session()
        self._before_login = before_login
        self._after_login = after_login

    @property
    def idle_seconds(self) -> float:
        """More for those who are signed in."""
        return LOGIN_TIMEOUT_SECONDS if self.is_anonymous else IDLE_TIMEOUT_SECONDS

    @property
    def is_anonymous(self) -> bool:
        """The AUTHORIZATION state."""
        return self.session.drop is None

    @property
    def peer(self) -> Peer:
        """The client as it is known now."""
        peer = self.link.peer
        return attrs.evolve(peer, protocol="POP3S") if peer.tls else peer

    @property
    def may_sign_in(self) -> bool:
        """Can nobody read along, or does the operator not mind?"""
        return self.link.is_secure or self.services.allow_plaintext_auth

    async def greet(self) -> None:
        """Who we are."""
        hostname = self.services.hostname.encode("ascii", "replace")
        self.write(ok(hostname + b" POP3 server ready."))

    async def step(self) -> None:
        """One command."""
        try:
            name, _, text = (await self.line()).partition(b" ")
            await self._perform(Command(name.upper(), text))
        except BareLineFeed:  # maybe in the middle of AUTH
            self.mistake(b"A line ends with CR and LF.")

    async def _perform(self, command: Command) -> None:
        commands = self._before_login if self.is_anonymous else self._after_login
        perform = commands.get(command.name)
        if perform is None:
            self._refuse(command.name)
            return
        try:
            await perform(self, command)
        except MailError as error:
            self.write(error_reply(error))
        except (ConnectionEnded, Farewell, BareLineFeed):
            raise
        except Exception:
            self.log_defect()
            self.write(self.last_words[Reason.DEFECT])

    async def let_go(self) -> None:
        """Give the mailbox back."""
        if self.session.drop is not None:
            self.session.drop.close()

    def secured(self) -> None:
        """STLS: nothing said in the clear counts any more (RFC 2595 §4)."""
        self.session = Session(failed_logins=self.session.failed_logins)
        self.framer = Framer()

    def _refuse(self, name: bytes) -> None:
        known = name in self._before_login or name in self._after_login
        if known and self.is_anonymous:
            self.mistake(b"Sign in first.")
        else:
            self.mistake(b"Not possible now." if known else b"Unknown command.")

    def mistake(self, text: bytes) -> None:
        """Refuse a wrong command; too many end the conversation."""
        self.session.mistakes += 1
        if self.session.mistakes >= MAX_MISTAKES:
            raise Farewell(fail(b"Too many mistakes."))
        self.write(fail(text))

    async def line(self, max_octets: int = MAX_LINE_OCTETS) -> bytes:
        """The next line. ``ConnectionEnded``, ``Farewell``, ``BareLineFeed``."""
        self.framer.max_line_octets = max_octets
        try:
            return await self.next(self.framer.next)
        except LineTooLong:
            raise Farewell(fail(b"The line is too long.")) from None

    async def write_much(self, octets: bytes) -> None:
        """Write, and wait for a slow reader when much is gathered."""
        self.write(octets)
        if self.is_full():
            await self.drain()
