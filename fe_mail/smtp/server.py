"""
The protocol class: Twisted's ESMTP with our own framing, state and commands.

It owns the transport and nothing else: it feeds the session, wakes the conversation at the pace
of ``PacedConnection``, and tells the registry who comes and goes. Nothing of the base's line
parsing or command dispatch is used (its faults are known: commands that overlap, bodies executed
as commands, clear text carried into TLS).

RFC 5321 §4.5.3.2 (timeouts); RFC 3207.
"""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport, ITLSTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.mail.smtp import ESMTP
from twisted.python.failure import Failure

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS, describe_tls
from fe_mail.connection.pacing import PacedConnection
from fe_mail.connection.registry import Connections, Reason
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.model.network import plain_address
from fe_mail.reception.interface import Reception
from fe_mail.smtp import authentication, introduction, transaction
from fe_mail.smtp.conversation import Conversation
from fe_mail.smtp.session import Rules, Session
from fe_mail.smtp.wire import Answer

__all__ = ["SMTPServer"]

IDLE_TIMEOUT_SECONDS = 300  # RFC 5321 §4.5.3.2.7

COMMANDS = {**introduction.COMMANDS, **transaction.COMMANDS, **authentication.COMMANDS}

_TIMED_OUT = Answer(421, "4.4.2", "Timeout, closing the connection")
_LAST_WORDS = {
    Reason.STOPPING: Answer(421, "4.3.2", "The server is shutting down, try again later"),
    Reason.FULL: Answer(421, "4.7.0", "Too many connections, try again later"),
    Reason.ADDRESS: Answer(421, "4.7.0", "Too many connections from your address"),
    Reason.ALIAS: Answer(421, "4.7.0", "Too many connections of this address"),
    Reason.REVOKED: Answer(421, "4.7.0", "The password was changed, log in again"),
}


class SMTPServer(PacedConnection, ESMTP):
    """One connection of an SMTP client."""

    log = Logger()
    noisy = False

    def __init__(
        self,
        *,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        clock: IReactorTime,
        tls: TLS | None,
        registry: Connections,
    ) -> None:
        ESMTP.__init__(self, contextFactory=tls)
        PacedConnection.__init__(self, clock)
        self.host = rules.hostname
        self._reception = reception
        self._login = login
        self._registry = registry
        self._tls_name = ""
        self.session = Session(rules)
        self.conversation: Conversation | None = None

    # Twisted's side

    def connectionMade(self) -> None:
        """Greet, or turn away."""
        self.setTimeout(IDLE_TIMEOUT_SECONDS)
        self.session.is_secure = ISSLTransport.providedBy(self.transport)
        self.canStartTLS = ITLSTransport.providedBy(self.transport) and self.ctx is not None
        self.transport.registerProducer(self, True)
        source = self.transport.getPeer()
        address = plain_address(str(getattr(source, "host", "")))
        refusal = self._registry.admit(self, address)
        outcome = "admitted" if refusal is None else "refused"
        self.log.debug(
            "SMTP connection from {ip} {outcome}",
            ip=address,
            metric="smtp-connection",
            outcome=outcome,
        )
        if refusal is not None:
            self.write(_LAST_WORDS[refusal].to_wire())
            self.close()
            return
        peer = Peer(
            ip=address,
            port=int(getattr(source, "port", 0)),
            session_id=new_id(self._clock.seconds()),
        )
        self._converse(peer)

    def _converse(self, peer: Peer) -> None:
        self.conversation = Conversation(
            self.session, self._reception, self._login, self, peer, COMMANDS
        )
        running = Deferred.fromCoroutine(self.conversation.run())
        running.addErrback(self._failed, peer.session_id)

    def _failed(self, failure: Failure, session_id: str) -> None:
        self.log.failure("SMTP session {session_id} broke", failure, session_id=session_id)
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._registry.leave(self)
        super().connectionLost(reason)

    # For the pace

    @property
    def is_input_full(self) -> bool:
        """More commands or content wait than is good."""
        return self.session.is_full

    @property
    def idle_seconds(self) -> float:
        """The same in every state."""
        return IDLE_TIMEOUT_SECONDS

    def take(self, data: bytes) -> None:
        """To the session."""
        self.session.receive(data)

    def woken(self) -> None:
        """The conversation waits for something slow: say what is known."""
        if self.conversation is not None:
            self.conversation.flush()

    async def turn(self) -> None:
        """Let other connections have their turn."""
        await self._registry.turns.take()

    def say_timeout(self) -> None:
        """RFC 5321 §3.8: 421 before closing."""
        if self.conversation is not None:
            self.conversation.interrupt(_TIMED_OUT)

    # The conversation's side

    def seconds(self) -> float:
        """The time."""
        return self._clock.seconds()

    def start_tls(self) -> None:
        """Begin the handshake."""
        self.startedTLS = True
        self.transport.startTLS(self.ctx)

    def tls_name(self) -> str:
        """Version and cipher suite, once the handshake is done."""
        if not self._tls_name:
            self._tls_name = describe_tls(self.transport)
        return self._tls_name

    def signed_in(self, alias_id: str) -> Answer | None:
        """The session belongs to this alias from now on; an answer ends it."""
        why = self._registry.signed_in(self, alias_id)
        return None if why is None else _LAST_WORDS[why]

    # The registry's side

    def finish(self, why: Reason) -> bool:
        """Take no new transaction; close now if none is running."""
        self.session.farewell = _LAST_WORDS[why]
        is_silent = bool(self._input) and self.session.is_idle
        if is_silent and self.conversation is not None:
            self.conversation.interrupt(_LAST_WORDS[why])
        return is_silent
