"""
The connection of a server: admitted, with a conversation on it, and counted until it is gone.

``ServerConnection`` comes before Twisted's own protocol class in the bases. It owns the transport
and nothing else; of the native class its seams are used (factory, transport, timeout, TLS), its
parsing never runs.
"""

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport, ITLSTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from fe_mail.connection.conversation import Conversation
from fe_mail.connection.encryption import TLS, describe_tls
from fe_mail.connection.pacing import PacedConnection
from fe_mail.connection.registry import Connections, Reason
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import new_id
from fe_mail.model.network import plain_address

__all__ = ["ServerConnection"]


class ServerConnection(PacedConnection):
    """One client. One that the registry refuses hears why, and nothing else."""

    log = Logger()
    noisy = False
    factory: Any
    conversation: Conversation  # set by the protocol
    startedTLS = False

    def __init__(self, *, clock: IReactorTime, tls: TLS | None, registry: Connections) -> None:
        super().__init__(clock)
        self.registry = registry
        self._tls = tls
        self._peer = Peer()

    # Twisted's side

    def connectionMade(self) -> None:
        """Begin the conversation, or turn away."""
        self.transport.registerProducer(self, True)
        keep_alive = getattr(self.transport, "setTcpKeepAlive", None)
        if keep_alive is not None:
            keep_alive(True)
        name = self.conversation.protocol
        source = self.transport.getPeer()
        self._peer = Peer(
            ip=plain_address(str(getattr(source, "host", ""))),
            port=int(getattr(source, "port", 0)),
            protocol=name,
            session_id=new_id(self._clock.seconds()),
        )
        refusal = self.registry.admit(self, self._peer.ip)
        self.log.debug(
            "{protocol} connection from {ip} {outcome}",
            protocol=name,
            ip=self._peer.ip,
            metric=f"{name.lower()}-connection",
            outcome="admitted" if refusal is None else "refused",
        )
        if refusal is not None:
            self.write(self.conversation.last_words[refusal])
            self.close()
            return
        Deferred.fromCoroutine(self.conversation.run()).addErrback(self._broke)

    def _broke(self, failure: Failure) -> None:
        self.log.failure(
            "{protocol} session {session_id} broke",
            failure,
            protocol=self.conversation.protocol,
            session_id=self._peer.session_id,
        )
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self.registry.leave(self)
        super().connectionLost(reason)

    # For the pace

    @property
    def is_input_full(self) -> bool:
        """More waits than is good."""
        return self.conversation.framer.is_full

    @property
    def idle_seconds(self) -> float:
        """How long the client may be silent, or not read, now."""
        return self.conversation.idle_seconds

    @property
    def octets_buy_time(self) -> bool:
        """Does every octet begin ``idle_seconds`` again?"""
        return self.conversation.octets_buy_time

    def take(self, data: bytes) -> None:
        """To the conversation."""
        self.conversation.receive(data)

    def woken(self) -> None:
        """It did."""
        self.conversation.woken()

    def say_timeout(self) -> None:
        """The client is silent for too long: say so and close."""
        self.conversation.say_timeout()

    # The conversation's side

    @property
    def peer(self) -> Peer:
        """Who is at the other end, with version and cipher suite once the handshake is done."""
        if not self._peer.tls and self.is_secure:
            self._peer = attrs.evolve(self._peer, tls=describe_tls(self.transport))
        return self._peer

    @property
    def is_secure(self) -> bool:
        """Is it under TLS? A transport behind a load balancer does not say so after STARTTLS."""
        return self.startedTLS or bool(ISSLTransport.providedBy(self.transport))

    @property
    def can_start_tls(self) -> bool:
        """Would STARTTLS work now?"""
        can_upgrade = ITLSTransport.providedBy(self.transport)
        return self._tls is not None and can_upgrade and not self.is_secure

    def start_tls(self) -> None:
        """Begin the handshake."""
        self.startedTLS = True
        self.transport.startTLS(self._tls)

    async def turn(self) -> None:
        """Let other connections have their turn."""
        await self.registry.turns.take()

    def signed_in(self, alias_id: str) -> Reason | None:
        """The connection is one of this alias from now on; a reason why it may not go on."""
        return self.registry.signed_in(self, alias_id)

    # The registry's side

    def finish(self, why: Reason) -> bool:
        """Begin nothing new; end as soon as nothing is running. True if that is now."""
        return self.conversation.finish(why)
