"""
The protocol class: Twisted's ESMTP with our own framing, state and commands.

It owns the transport and nothing else: it feeds the session, wakes the conversation, pauses the
client when too much waits in either direction, and keeps the time. Nothing of the base's line
parsing or command dispatch is used (its faults are known: commands that overlap, bodies executed
as commands, clear text carried into TLS).

RFC 5321 §4.5.3.2 (timeouts); RFC 3207.
"""

import ipaddress
from collections.abc import Callable
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLContextFactory,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.mail.smtp import ESMTP
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from fe_mail.accounts.login import Login
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.queue.reception import Reception
from fe_mail.smtp import authentication, introduction, transaction
from fe_mail.smtp.conversation import ConnectionEnded, Conversation
from fe_mail.smtp.session import SHUTTING_DOWN, Rules, Session
from fe_mail.smtp.wire import Answer

__all__ = ["TLS", "Registry", "SMTPServer", "plain_address"]

IDLE_TIMEOUT_SECONDS = 300  # RFC 5321 §4.5.3.2.7
CLOSE_TIMEOUT_SECONDS = 30  # for the client to read our last words

COMMANDS = {**introduction.COMMANDS, **transaction.COMMANDS, **authentication.COMMANDS}

TLS = IOpenSSLServerConnectionCreator | IOpenSSLContextFactory
_TIMED_OUT = Answer(421, "4.4.2", "Timeout, closing the connection")


def plain_address(host: str) -> str:
    """An IP address without its scope; IPv4 as such when it comes through an IPv6 socket."""
    text = host.partition("%")[0]
    try:
        mapped = getattr(ipaddress.ip_address(text), "ipv4_mapped", None)
    except ValueError:
        return host
    return str(mapped or text)


class Registry(Protocol):
    """Where connections are counted."""

    def admit(self, server: "SMTPServer", address: str) -> Answer | None:
        """Count a connection; an answer refuses it."""

    def leave(self, server: "SMTPServer") -> None:
        """It ended."""


@implementer(IPushProducer)
class SMTPServer(ESMTP):
    """One connection of an SMTP client."""

    log = Logger()
    noisy = False
    transport: Any

    def __init__(
        self,
        *,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        clock: IReactorTime,
        tls: TLS | None,
        registry: Registry,
    ) -> None:
        ESMTP.__init__(self, contextFactory=tls)
        self.host = rules.hostname
        self._rules = rules
        self._reception = reception
        self._login = login
        self._clock = clock
        self._registry = registry
        self._waiting: Deferred[None] | None = None  # for input
        self._blocked: Deferred[None] | None = None  # until the client reads
        self._output_is_full = self._input_is_paused = False
        self._is_closing = self._is_gone = False
        self._is_fresh = True  # waiting for something new, not for the rest of a line
        self._tls_name = ""
        self.session = Session(rules)
        self.conversation: Conversation | None = None

    # Twisted's side

    def callLater(self, period: float, func: Callable[[], Any]) -> IDelayedCall:
        """The clock that we were given."""
        return self._clock.callLater(period, func)

    def setTimeout(self, period: float | None) -> None:
        """Start, change or (None) stop the timer."""
        TimeoutMixin.setTimeout(self, period)

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
            self.write(refusal.to_wire())
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

    def dataReceived(self, data: bytes) -> None:
        """Octets of the client."""
        if self._is_closing:
            return
        self.session.receive(data)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
            if self.conversation is not None:
                self.conversation.flush()  # it waits for something slow: say what is known
        if self.session.is_full and not self._input_is_paused:
            self._input_is_paused = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The conversation ends where it waits; what it is doing just now is finished."""
        self._is_gone = self._is_closing = True
        self.setTimeout(None)
        self._registry.leave(self)
        self._release(ConnectionEnded())

    def timeoutConnection(self) -> None:
        """Time counts only while we wait for the client."""
        if self._is_closing:
            self.transport.abortConnection()
        elif self._blocked is not None:
            self.close()
            self.transport.abortConnection()
        elif self._waiting is not None and self.conversation is not None:
            self.conversation.interrupt(_TIMED_OUT)
        else:
            self.setTimeout(IDLE_TIMEOUT_SECONDS)

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._output_is_full = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._output_is_full = False
        blocked, self._blocked = self._blocked, None
        if blocked is not None:
            blocked.callback(None)

    def stopProducing(self) -> None:
        """The transport is done; ``connectionLost`` follows."""

    # The conversation's side

    def write(self, octets: bytes) -> None:
        """Send."""
        self.transport.write(octets)

    def seconds(self) -> float:
        """The time."""
        return self._clock.seconds()

    async def more(self) -> None:
        """Wait for input; octets that complete nothing buy no time."""
        if self._is_closing:
            raise ConnectionEnded
        if self._is_fresh:
            self.setTimeout(IDLE_TIMEOUT_SECONDS)
            self._is_fresh = False
        self._waiting = Deferred()
        await self._waiting

    async def writable(self) -> None:
        """Wait until the client reads what it was sent."""
        if self._is_closing:
            raise ConnectionEnded
        if not self._output_is_full:
            return
        self.setTimeout(IDLE_TIMEOUT_SECONDS)
        self._blocked = Deferred()
        await self._blocked

    def consumed(self) -> None:
        """Read on, if there is room again."""
        self._is_fresh = True
        if self._input_is_paused and not self.session.is_full and not self._is_closing:
            self._input_is_paused = False
            self.transport.resumeProducing()

    def close(self) -> None:
        """Close when everything is written; cut if the client does not read it."""
        if self._is_closing:
            return
        self._is_closing = True
        self.setTimeout(CLOSE_TIMEOUT_SECONDS)
        self.transport.unregisterProducer()
        if self._input_is_paused:
            self.transport.resumeProducing()
        self.transport.loseConnection()
        self._release(ConnectionEnded())

    def start_tls(self) -> None:
        """Begin the handshake."""
        self.startedTLS = True
        self.transport.startTLS(self.ctx)

    def tls_name(self) -> str:
        """Version and cipher suite, once the handshake is done."""
        if not self._tls_name:
            connection = getattr(self.transport, "getHandle", lambda: None)()
            if isinstance(connection, SSL.Connection) and connection.get_cipher_name():
                version = connection.get_protocol_version_name()
                self._tls_name = f"{version} {connection.get_cipher_name()}"
        return self._tls_name

    def _release(self, reason: ConnectionEnded) -> None:
        waiting, self._waiting = self._waiting, None
        blocked, self._blocked = self._blocked, None
        for deferred in (waiting, blocked):
            if deferred is not None:
                deferred.errback(Failure(reason))

    # The factory's side

    def drain(self) -> None:
        """Take no new transaction; close now if none is running."""
        self.session.is_draining = True
        is_silent = self._waiting is not None and self.session.is_idle
        if is_silent and self.conversation is not None:
            self.conversation.interrupt(SHUTTING_DOWN)

    def cut(self) -> None:
        """Close whatever is running."""
        self.close()
        if not self._is_gone:
            self.transport.abortConnection()
