"""
The connection: a subclass of Twisted's ``IMAP4Server`` that keeps its native seams (timeouts,
transport upgrade, the factory) and replaces everything else.

Octets go to the ``Framer``; one coroutine, ``_converse``, takes requests from it one after the
other and lets ``dispatch`` answer each completely before it looks at the next. So commands are
strictly serial and pipelining works. While a command runs and much waits already, reading from
the transport is paused. A command is never interrupted by our own end of a session: password
changes, draining and timeouts are noticed between commands and while waiting.

RFC 9051 §5.4 (autologout), §5.5 (one command at a time), §6.2.1 (STARTTLS).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.mail.imap4 import IMAP4Server
from twisted.python.failure import Failure

from fe_mail.connection.encryption import TLS, describe_tls
from fe_mail.connection.pacing import Wait
from fe_mail.connection.registry import Connections, Reason
from fe_mail.connection.turns import BURST
from fe_mail.imap.command import State
from fe_mail.imap.dispatch import perform
from fe_mail.imap.framing import Frame, Framer, GoAhead, Refused, Request
from fe_mail.imap.outlet import Disconnected, Outlet
from fe_mail.imap.reply import no
from fe_mail.imap.session import Farewell, Services, Session
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.model.network import plain_address

__all__ = ["IMAPServer"]

LOGIN_SECONDS: Final = 60  # from the connection to a successful login
AUTOLOGOUT_SECONDS: Final = 30 * 60  # RFC 9051 §5.4 wants at least that
LINGER_SECONDS: Final = 30  # for a client that does not read our last words
IDLE_LOOK_SECONDS: Final = 60  # a hint may be lost
MAX_WAITING_OCTETS: Final = 256 * 1024  # of input, while a command runs
MAX_ANONYMOUS_WAITING_OCTETS: Final = 64 * 1024
MAX_ANONYMOUS_COMMANDS: Final = 100  # before login; clients need a handful
MAX_MESSAGE_OCTETS_IN_HAND: Final = 256 * 1024 * 1024  # of all APPENDs of a listener
SMALL_OCTETS: Final = 1024 * 1024  # what is smaller is not counted
REFUSED_WEIGHT: Final = 20  # one that is far too long counts for so many

_LAST_WORDS: Final = {
    Reason.STOPPING: ("The server is about to restart.", b"UNAVAILABLE"),
    Reason.FULL: ("Too many connections.", b"LIMIT"),
    Reason.ADDRESS: ("Too many connections from your address.", b"LIMIT"),
    Reason.ALIAS: ("Too many connections of this mailbox.", b"LIMIT"),
    Reason.REVOKED: ("The password was changed.", b"AUTHENTICATIONFAILED"),
}


class IMAPServer(IMAP4Server):
    """One client. One that the registry refuses gets a BYE and nothing else."""

    log = Logger()
    timeOut = LOGIN_SECONDS
    transport: Any

    if TYPE_CHECKING:  # the base is untyped

        def setTimeout(self, period: float | None) -> float | None: ...
        def resetTimeout(self) -> None: ...

    def __init__(
        self,
        services: Services,
        *,
        registry: Connections,
        tls: TLS | None = None,
        allow_plaintext_auth: bool = False,
    ) -> None:
        super().__init__(contextFactory=tls)  # type: ignore[no-untyped-call]  # untyped base
        self._clock: IReactorTime = services.clock
        self._allow_plaintext_auth = allow_plaintext_auth
        self._registry = registry
        self._services = services
        self._framer = Framer()
        self._farewell: Farewell | None = None
        self._input = Wait()
        self._has_hint = False
        self._is_reading_paused = False
        self._is_lost = False
        self._is_finished = False
        self._anonymous_commands = 0
        self._burst = 0  # commands since the last wait
        self._octets_in_hand = 0
        self._session_id = new_id(services.clock.seconds())

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Greet, and begin the conversation."""
        self._outlet = Outlet(self.transport)
        self.session = Session(self._services, self)
        self.canStartTLS = self.ctx is not None and ITLSTransport.providedBy(self.transport)
        set_keep_alive = getattr(self.transport, "setTcpKeepAlive", None)
        if set_keep_alive is not None:
            set_keep_alive(True)
        self.setTimeout(LOGIN_SECONDS)
        refusal = self._registry.admit(self, self.peer().ip)
        if refusal is not None:
            self.finish(refusal)
        conversation = Deferred.fromCoroutine(self._converse())
        conversation.addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        """Octets from the client."""
        if self.session.state is not State.NOT_AUTHENTICATED:
            self.resetTimeout()
        self._framer.feed(data)
        is_busy = not self._input.wake()
        self._count_octets()
        if is_busy and self._framer.waiting_octets > self._max_waiting():
            self._pause_reading()

    def _count_octets(self) -> None:
        """What all connections hold together is limited; it counts until it was stored."""
        held = self._framer.held_octets
        if held < max(SMALL_OCTETS, self._octets_in_hand):
            return
        self._registry.octets_in_hand += held - self._octets_in_hand
        self._octets_in_hand = held
        if self._registry.octets_in_hand > MAX_MESSAGE_OCTETS_IN_HAND:
            self.say_farewell(Farewell("Too much mail at once. Try later.", b"UNAVAILABLE"))

    def _let_go(self) -> None:
        self._registry.octets_in_hand -= self._octets_in_hand
        self._octets_in_hand = 0

    def _pause_reading(self) -> None:
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pauseProducing()

    def _max_waiting(self) -> int:
        return MAX_WAITING_OCTETS if self._framer.is_authenticated else MAX_ANONYMOUS_WAITING_OCTETS

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # untyped base
        """The client is gone: end the conversation wherever it waits."""
        self.setTimeout(None)
        self._is_lost = True
        self._let_go()
        self._outlet.lost()
        self._input.wake()
        self._registry.leave(self)

    def timeoutConnection(self) -> None:
        """Too slow to log in, idle for too long, or not reading what it asked for."""
        if self._input and not self._is_finished:
            self.say_farewell(Farewell("Autologout; idle for too long."))
        else:
            self.abort()

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """The timeouts run on our clock."""
        return self._clock.callLater(period, func)

    # The conversation.

    async def _converse(self) -> None:
        try:
            if self._farewell is None:
                text = b"OK [CAPABILITY %s] %s is ready."
                hostname = self._services.hostname.encode("ascii", "replace")
                self.session.tell(text % (self.session.capabilities(), hostname))
            while self.session.state is not State.LOGOUT:
                self._check_end()
                frame = self._framer.next()
                if frame is None:
                    await self._more()
                else:
                    await self._answer(frame)
                    await self._count_command()
        except Farewell as farewell:
            code = b"[%s] " % farewell.code if farewell.code else b""
            self.session.tell(b"BYE %s%s" % (code, farewell.text.encode("ascii", "replace")))
        except Disconnected:
            pass
        self._finish()

    async def _count_command(self) -> None:
        """Who sent much at once lets others have their turn; strangers may not say much."""
        if not self._framer.is_authenticated:
            self._anonymous_commands += 1
            if self._anonymous_commands > MAX_ANONYMOUS_COMMANDS:
                raise Farewell("Too many commands before login.", b"LIMIT")
        self._burst += 1
        if self._burst >= BURST and self.has_input():
            self._burst = 0
            await self.drain()
            await self._registry.turns.take()

    async def _answer(self, frame: Frame) -> None:
        if isinstance(frame, Request):
            try:
                await perform(self.session, frame)
            finally:
                self._let_go()
            await self.drain()
        elif isinstance(frame, GoAhead):
            self.write(b"+ Go ahead.\r\n")
        else:
            self._refuse(frame)

    def _refuse(self, frame: Refused) -> None:
        self._anonymous_commands += REFUSED_WEIGHT
        if frame.fatal:
            raise Farewell("Too much for one command.", b"TOOBIG")
        if frame.is_message:
            text = f"A message may have {frame.limit_octets} octets."
            self.write(no(text, b"TOOBIG").line(frame.tag))
        else:
            text = f"A command may have {frame.limit_octets} octets."
            self.write(b"%s BAD [TOOBIG] %s\r\n" % (frame.tag, text.encode("ascii")))

    def _check_end(self) -> None:
        if self._is_lost:
            raise Disconnected
        if self._farewell is not None:
            raise self._farewell

    async def _more(self) -> None:
        """Write out, then wait for octets or a hint. ``Disconnected``, ``Farewell``."""
        await self.drain()
        self._check_end()
        if self._is_reading_paused:
            self._is_reading_paused = False
            self.transport.resumeProducing()
        self._burst = 0
        await self._input.sleep()
        self._check_end()

    def _finish(self) -> None:
        self._is_finished = True
        self.session.close()
        if not self._is_lost:
            self._outlet.close()
            self.setTimeout(LINGER_SECONDS)
            self.transport.loseConnection()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("An IMAP session failed", failure, session_id=self._session_id)
        self.session.close()
        self.abort()

    # What the session asks of its connection (``Wire``).

    def write(self, octets: bytes) -> None:
        """Add to the output."""
        self._outlet.write(octets)

    def is_full(self) -> bool:
        """Enough is collected to be worth a ``drain``."""
        return self._outlet.is_full()

    async def drain(self) -> None:
        """Write out and wait while the client reads too slowly."""
        await self._outlet.drain()
        if self.session.state is not State.NOT_AUTHENTICATED:
            self.resetTimeout()

    async def breathe(self) -> None:
        """Let other connections have their turn."""
        await self.drain()
        await deferLater(self._clock, 0)
        self._check_end()

    async def line(self) -> bytes:
        """The client's next line, for what follows ``+``."""
        while True:
            line = self._framer.line()
            if line is not None:
                return line
            self._check_line()
            await self._more()

    async def line_or_hint(self) -> bytes | None:
        """The client's next line; None when a hint came first, or none for a while."""
        look = self._clock.callLater(IDLE_LOOK_SECONDS, self.wake)
        try:
            while not self._has_hint:
                line = self._framer.line()
                if line is not None:
                    return line
                self._check_line()
                await self._more()
            self._has_hint = False
            return None
        finally:
            if look.active():
                look.cancel()

    def _check_line(self) -> None:
        if self._framer.line_is_too_long():
            raise Farewell("A line is too long.", b"TOOBIG")

    def wake(self) -> None:
        """A hint came; it matters to who waits for one."""
        self._has_hint = True
        self._input.wake()

    def peer(self) -> Peer:
        """Who is at the other end."""
        address = self.transport.getPeer()
        return Peer(
            ip=plain_address(str(getattr(address, "host", ""))),
            port=getattr(address, "port", 0),
            protocol="IMAP",
            tls=describe_tls(self.transport),
            session_id=self._session_id,
        )

    def is_secure(self) -> bool:
        """Nobody can read along, or the operator does not mind."""
        return self._allow_plaintext_auth or ISSLTransport.providedBy(self.transport)

    def can_start_tls(self) -> bool:
        """STARTTLS is possible now."""
        return self.canStartTLS and not ISSLTransport.providedBy(self.transport)

    def has_input(self) -> bool:
        """The client sent more already."""
        return self._framer.waiting_octets > 0

    def start_tls(self) -> None:
        """What was said so far goes out in clear."""
        self._outlet.flush()
        self.transport.startTLS(self.ctx)
        self.startedTLS = True

    def authenticated(self) -> None:
        """From now on the limits and timeouts of a known user hold."""
        self._framer.is_authenticated = True
        self.setTimeout(AUTOLOGOUT_SECONDS)
        assert self.session.identity is not None
        refusal = self._registry.signed_in(self, self.session.identity.alias.id)
        if refusal is not None:
            self.finish(refusal)

    def say_farewell(self, farewell: Farewell) -> None:
        """End the session as soon as no command is running."""
        if self._farewell is None:
            self._farewell = farewell
        self._input.wake()

    def abort(self) -> None:
        """Close at once."""
        self._outlet.lost()
        self._is_lost = True
        self.transport.abortConnection()
        self._input.wake()

    # The registry's side.

    def finish(self, why: Reason) -> bool:
        """End the session as soon as no command is running, and say why."""
        is_waiting = bool(self._input)
        self.say_farewell(Farewell(*_LAST_WORDS[why]))
        return is_waiting

    def cut(self) -> None:
        """Close whatever is running."""
        self.abort()
