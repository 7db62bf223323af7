"""
The protocol class: Twisted's POP3 with our own framing, state and commands.

It owns the transport and nothing else: it feeds the session, wakes it, pauses the client when
too much waits in either direction, and keeps the time. Of the base class only the seams are used
(factory, transport, timeout); its command parsing never runs.

RFC 1939 §3 (autologout after 10 minutes); RFC 2595 §4.
"""

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
from twisted.mail.pop3 import POP3
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.pop3 import authorization, transaction
from fe_mail.pop3.replies import fail
from fe_mail.pop3.session import ConnectionEnded, Services, Session

__all__ = ["TLS", "POP3Server", "Registry"]

IDLE_TIMEOUT_SECONDS = 600
LOGIN_TIMEOUT_SECONDS = 120
CLOSE_TIMEOUT_SECONDS = 30  # for the client to read our last words

TLS = IOpenSSLServerConnectionCreator | IOpenSSLContextFactory


class Registry(Protocol):
    """Where connections are counted."""

    def admit(self, server: "POP3Server", address: str) -> bytes | None:
        """Count a connection; a reply refuses it."""

    def leave(self, server: "POP3Server") -> None:
        """It ended."""

    def signed_in(self, server: "POP3Server", alias_id: str) -> None:
        """It belongs to an alias now."""


@implementer(IPushProducer)
class POP3Server(POP3):
    """One connection of a POP3 client."""

    log = Logger()
    noisy = False
    transport: Any
    factory: Any

    def __init__(
        self, services: Services, *, clock: IReactorTime, tls: TLS | None, registry: Registry
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._registry = registry
        self._peer = Peer(protocol="POP3")
        self._waiting: Deferred[None] | None = None  # for input
        self._blocked: Deferred[None] | None = None  # until the client reads
        self._output_is_full = self._input_is_paused = False
        self._is_closing = False
        self._is_fresh = True  # waiting for something new, not for the rest of a line
        self.session = Session(services, self, authorization.COMMANDS, transaction.COMMANDS)

    # Twisted's side

    def callLater(self, period: float, func: Callable[[], Any]) -> IDelayedCall:
        """The clock that we were given."""
        return self._clock.callLater(period, func)

    def setTimeout(self, period: float | None) -> None:
        """Start, change or (None) stop the timer."""
        TimeoutMixin.setTimeout(self, period)

    def connectionMade(self) -> None:
        """Greet, or turn away."""
        self.transport.registerProducer(self, True)
        source = self.transport.getPeer()
        self._peer = Peer(
            ip=str(getattr(source, "host", "")),
            port=int(getattr(source, "port", 0)),
            protocol="POP3",
            session_id=new_id(self._clock.seconds()),
        )
        refusal = self._registry.admit(self, self._peer.ip)
        if refusal is not None:
            self.write(refusal)
            self.close()
            return
        running = Deferred.fromCoroutine(self.session.run())
        running.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure(
            "POP3 session {session_id} broke", failure, session_id=self._peer.session_id
        )
        self.close()

    def dataReceived(self, data: bytes) -> None:
        """Octets of the client."""
        if self._is_closing:
            return
        self.session.framer.feed(data)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        if self.session.framer.is_full and not self._input_is_paused and not self._is_closing:
            self._input_is_paused = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The session ends where it waits; what it is doing just now is finished."""
        self._is_closing = True
        self.setTimeout(None)
        self._registry.leave(self)
        self._release()

    def timeoutConnection(self) -> None:
        """Time counts only while we wait for the client."""
        if self._is_closing or self._blocked is not None:
            self.close()
            self.transport.abortConnection()
        elif self._waiting is not None:
            self.session.end(fail(b"[SYS/TEMP] Timeout."))
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

    # The session's side

    @property
    def is_secure(self) -> bool:
        """Is it under TLS?"""
        return bool(ISSLTransport.providedBy(self.transport))

    @property
    def can_start_tls(self) -> bool:
        """Would STLS work now?"""
        can_upgrade = ITLSTransport.providedBy(self.transport)
        return self._tls is not None and can_upgrade and not self.is_secure

    @property
    def peer(self) -> Peer:
        """Who is at the other end, and how."""
        if self.is_secure and not self._peer.tls:
            connection = getattr(self.transport, "getHandle", lambda: None)()
            if isinstance(connection, SSL.Connection) and connection.get_cipher_name():
                version = connection.get_protocol_version_name()
                name = f"{version} {connection.get_cipher_name()}"
                self._peer = Peer(
                    ip=self._peer.ip,
                    port=self._peer.port,
                    protocol="POP3S",
                    tls=name,
                    session_id=self._peer.session_id,
                )
        return self._peer

    def write(self, octets: bytes) -> None:
        """Send."""
        self.transport.write(octets)

    async def more(self) -> None:
        """Wait for input; octets that complete nothing buy no time."""
        if self._is_closing:
            raise ConnectionEnded
        if self._is_fresh:
            signed_in = self.session.drop is not None
            self.setTimeout(IDLE_TIMEOUT_SECONDS if signed_in else LOGIN_TIMEOUT_SECONDS)
            self._is_fresh = False
        self._waiting = Deferred()
        await self._waiting

    async def writable(self) -> None:
        """Wait until the client reads what it was sent."""
        if self._is_closing:
            raise ConnectionEnded
        if self._output_is_full:
            self.setTimeout(IDLE_TIMEOUT_SECONDS)
            self._blocked = Deferred()
            await self._blocked

    def consumed(self) -> None:
        """Read on, if there is room again."""
        self._is_fresh = True
        if self._input_is_paused and not self.session.framer.is_full and not self._is_closing:
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
        self._release()

    def start_tls(self) -> None:
        """Begin the handshake."""
        self.transport.startTLS(self._tls)

    def signed_in(self, alias_id: str) -> None:
        """The session belongs to this alias from now on."""
        self._registry.signed_in(self, alias_id)

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, None
        blocked, self._blocked = self._blocked, None
        for deferred in (waiting, blocked):
            if deferred is not None:
                deferred.errback(Failure(ConnectionEnded()))

    # The factory's side

    def drain(self) -> None:
        """Take no new command; close now if none is running."""
        self.session.is_draining = True
        if self._waiting is not None:
            self.session.end(fail(b"[SYS/TEMP] The server is shutting down."))

    def cut(self) -> None:
        """Close whatever is running."""
        self.close()
        self.transport.abortConnection()
