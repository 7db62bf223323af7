"""
One IMAP conversation: requests are taken one after the other, and each is answered completely.

``dispatch`` answers them; what commands see is the ``Session``, whose ``Wire`` this is. A command
is never interrupted by our own end of a session: password changes, draining and timeouts are
noticed between commands and while waiting.

RFC 9051 §5.4 (autologout), §5.5 (one command at a time).
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from fe_mail.connection import conversation
from fe_mail.connection.conversation import Link
from fe_mail.connection.registry import Reason
from fe_mail.imap.command import State
from fe_mail.imap.dispatch import count_bad, perform
from fe_mail.imap.framing import BareLineFeed, Frame, Framer, GoAhead, Refused, Request
from fe_mail.imap.reply import no
from fe_mail.imap.session import Bye, Services, Session

__all__ = ["IMAPConversation"]

LOGIN_SECONDS: Final = 60  # from the connection to a successful login
AUTOLOGOUT_SECONDS: Final = 30 * 60  # RFC 9051 §5.4 wants at least that
IDLE_LOOK_SECONDS: Final = 60  # a hint may be lost
MAX_MESSAGE_OCTETS_IN_HAND: Final = 256 * 1024 * 1024  # of all APPENDs of a listener
SMALL_OCTETS: Final = 1024 * 1024  # what is smaller is not counted
REFUSED_WEIGHT: Final = 20  # one that is far too long counts for so many


class _Hint:
    """A bus hint came, or a minute passed."""


_HINT: Final = _Hint()


class IMAPConversation(conversation.Conversation):
    """One client."""

    protocol = "IMAP"
    last_words: ClassVar[Mapping[Reason, bytes]] = {
        Reason.STOPPING: Bye("The server is about to restart.", b"UNAVAILABLE").octets,
        Reason.FULL: Bye("Too many connections.", b"LIMIT").octets,
        Reason.ADDRESS: Bye("Too many connections from your address.", b"LIMIT").octets,
        Reason.ALIAS: Bye("Too many connections of this mailbox.", b"LIMIT").octets,
        Reason.REVOKED: Bye("The password was changed.", b"AUTHENTICATIONFAILED").octets,
        Reason.TIMEOUT: Bye("Autologout; idle for too long.").octets,
        Reason.STRANGER: Bye("Too many commands before login.", b"LIMIT").octets,
        Reason.CLEAR_TEXT: Bye("Nothing may follow STARTTLS before TLS has begun.").octets,
        Reason.DEFECT: Bye("Internal error.", b"SERVERBUG").octets,
    }

    framer: Framer

    def __init__(self, services: Services, link: Link, *, allow_plaintext_auth: bool) -> None:
        super().__init__(link, Framer())
        self.session = Session(services, self)
        self._services = services
        self._allow_plaintext_auth = allow_plaintext_auth
        self._has_hint = False
        self._login_until = link.seconds() + LOGIN_SECONDS
        self._octets_in_hand = 0

    @property
    def idle_seconds(self) -> float:
        """What is left for the login; much more afterwards."""
        if self.is_anonymous:
            return max(1.0, self._login_until - self.link.seconds())
        return AUTOLOGOUT_SECONDS

    @property
    def octets_buy_time(self) -> bool:
        """A message may take long to come."""
        return not self.is_anonymous

    @property
    def is_anonymous(self) -> bool:
        """Not authenticated yet."""
        return not self.framer.is_authenticated

    async def greet(self) -> None:
        """OK, with what we can do."""
        hostname = self._services.hostname.encode("ascii", "replace")
        capabilities = self.session.capabilities()
        self.session.tell(b"OK [CAPABILITY %s] %s is ready." % (capabilities, hostname))

    async def step(self) -> None:
        """One frame."""
        frame: Frame = await self.next(self.framer.next)
        if isinstance(frame, Request):
            try:
                await perform(self.session, frame)
            finally:
                self._empty_hand()
            await self.drain()
        elif isinstance(frame, GoAhead):
            self.write(b"+ Go ahead.\r\n")
        elif isinstance(frame, BareLineFeed):
            self._empty_hand()
            self.write(b"%s BAD A line ends with CR and LF.\r\n" % frame.tag)
            count_bad(self.session)
        else:
            self._refuse(frame)
        if self.session.state is State.LOGOUT:
            self.end()

    async def let_go(self) -> None:
        """Close the mailbox."""
        self._empty_hand()
        self.session.close()

    def secured(self) -> None:
        """Nothing was said that could count."""
        self.framer = Framer()

    def woken(self) -> None:
        """What all connections hold together is limited; it counts until it was stored."""
        super().woken()
        held = self.framer.held_octets
        if held < max(SMALL_OCTETS, self._octets_in_hand):
            return
        registry = self.link.registry
        registry.octets_in_hand += held - self._octets_in_hand
        self._octets_in_hand = held
        if registry.octets_in_hand > MAX_MESSAGE_OCTETS_IN_HAND:
            self.say_farewell(Bye("Too much mail at once. Try later.", b"UNAVAILABLE"))

    def _empty_hand(self) -> None:
        self.link.registry.octets_in_hand -= self._octets_in_hand
        self._octets_in_hand = 0

    def _refuse(self, frame: Refused) -> None:
        self._empty_hand()  # the framer forgot what came of the command
        if frame.fatal:
            raise Bye("Too much for one command.", b"TOOBIG")
        if frame.is_message:
            text = f"A message may have {frame.limit_octets} octets."
            self.write(no(text, b"TOOBIG").line(frame.tag))
        else:
            text = f"A command may have {frame.limit_octets} octets."
            self.write(b"%s BAD [TOOBIG] %s\r\n" % (frame.tag, text.encode("ascii")))
            count_bad(self.session)
        if self.is_anonymous:
            self.count_anonymous(REFUSED_WEIGHT)

    # What the session asks of its ``Wire``

    async def line(self) -> bytes:
        """The client's next line, for what follows ``+``."""
        return await self.next(self._line)

    async def line_or_hint(self) -> bytes | None:
        """The client's next line; None when a hint came first, or none for a while."""
        look = self._services.clock.callLater(IDLE_LOOK_SECONDS, self.wake)
        try:
            found: bytes | _Hint = await self.next(self._line_or_hint)
        finally:
            if look.active():
                look.cancel()
        return None if isinstance(found, _Hint) else found

    def _line(self) -> bytes | None:
        line = self.framer.line()
        if line is None and self.framer.line_is_too_long():
            raise Bye("A line is too long.", b"TOOBIG")
        return line

    def _line_or_hint(self) -> bytes | _Hint | None:
        if self._has_hint:
            self._has_hint = False
            return _HINT
        return self._line()

    def wake(self) -> None:
        """A hint came; it matters to who waits for one."""
        self._has_hint = True
        self.link.wake()

    @property
    def may_sign_in(self) -> bool:
        """Can nobody read along, or does the operator not mind?"""
        return self._allow_plaintext_auth or self.link.is_secure

    @property
    def can_start_tls(self) -> bool:
        """STARTTLS is possible now."""
        return self.link.can_start_tls

    def authenticated(self, alias_id: str) -> None:
        """From now on the limits and timeouts of a known user hold. ``Farewell``."""
        self.framer.is_authenticated = True
        self.signed_in(alias_id)

    def abort(self) -> None:
        """Close at once: the output cannot be continued in step."""
        self.link.cut()
