"""
The protocol class: Twisted's POP3 with our own framing, state and commands.

It owns the transport and nothing else: it feeds the session, wakes it at the pace of
``PacedConnection``, and tells the registry who comes and goes. Of the base class only the seams
are used (factory, transport, timeout); its command parsing never runs.

RFC 1939 §3 (autologout after 10 minutes); RFC 2595 §4.
"""

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport, ITLSTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.mail.pop3 import POP3
from twisted.python.failure import Failure

from fe_mail.connection.encryption import TLS, describe_tls
from fe_mail.connection.pacing import PacedConnection
from fe_mail.connection.registry import Connections, Reason
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.model.network import plain_address
from fe_mail.pop3 import authorization, transaction
from fe_mail.pop3.replies import fail
from fe_mail.pop3.session import Services, Session

__all__ = ["POP3Server"]

IDLE_TIMEOUT_SECONDS = 600
LOGIN_TIMEOUT_SECONDS = 120

_LAST_WORDS = {
    Reason.STOPPING: fail(b"[SYS/TEMP] The server is shutting down."),
    Reason.FULL: fail(b"[SYS/TEMP] Too many connections."),
    Reason.ADDRESS: fail(b"[SYS/TEMP] Too many connections from your address."),
    Reason.ALIAS: fail(b"[SYS/TEMP] Too many connections of this mailbox."),
    Reason.REVOKED: fail(b"[AUTH] The password was changed."),
}


class POP3Server(PacedConnection, POP3):
    """One connection of a POP3 client."""

    log = Logger()
    noisy = False
    factory: Any

    def __init__(
        self, services: Services, *, clock: IReactorTime, tls: TLS | None, registry: Connections
    ) -> None:
        PacedConnection.__init__(self, clock)
        self._tls = tls
        self._registry = registry
        self._peer = Peer(protocol="POP3")
        self.session = Session(services, self, authorization.COMMANDS, transaction.COMMANDS)

    # Twisted's side

    def connectionMade(self) -> None:
        """Greet, or turn away."""
        self.transport.registerProducer(self, True)
        source = self.transport.getPeer()
        self._peer = Peer(
            ip=plain_address(str(getattr(source, "host", ""))),
            port=int(getattr(source, "port", 0)),
            protocol="POP3",
            session_id=new_id(self._clock.seconds()),
        )
        refusal = self._registry.admit(self, self._peer.ip)
        if refusal is not None:
            self.write(_LAST_WORDS[refusal])
            self.close()
            return
        running = Deferred.fromCoroutine(self.session.run())
        running.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure(
            "POP3 session {session_id} broke", failure, session_id=self._peer.session_id
        )
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._registry.leave(self)
        super().connectionLost(reason)

    # For the pace

    @property
    def is_input_full(self) -> bool:
        """More commands wait than is good."""
        return self.session.framer.is_full

    @property
    def idle_seconds(self) -> float:
        """More for those who are signed in."""
        signed_in = self.session.drop is not None
        return IDLE_TIMEOUT_SECONDS if signed_in else LOGIN_TIMEOUT_SECONDS

    def take(self, data: bytes) -> None:
        """To the session."""
        self.session.framer.feed(data)

    async def turn(self) -> None:
        """Let other connections have their turn."""
        await self._registry.turns.take()

    def say_timeout(self) -> None:
        """The client hears why."""
        self.session.end(fail(b"[SYS/TEMP] Timeout."))

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
            tls = describe_tls(self.transport)
            if tls:
                self._peer = attrs.evolve(self._peer, protocol="POP3S", tls=tls)
        return self._peer

    def start_tls(self) -> None:
        """Begin the handshake."""
        self.transport.startTLS(self._tls)

    def signed_in(self, alias_id: str) -> bool:
        """The session belongs to this alias from now on; False if that ended it."""
        why = self._registry.signed_in(self, alias_id)
        if why is not None:
            self.session.end(_LAST_WORDS[why])
        return why is None

    # The registry's side

    def finish(self, why: Reason) -> bool:
        """Take no new command; close now if none is running."""
        self.session.farewell = _LAST_WORDS[why]
        is_waiting = bool(self._input)
        if is_waiting:
            self.session.end(_LAST_WORDS[why])
        return is_waiting
