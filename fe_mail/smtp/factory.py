"""
What the two SMTP listeners have in common: they build servers, count them, and drain.

IPv6 clients are counted by /64, which is what one customer has.
"""

import ipaddress
from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from fe_mail.accounts.login import Login
from fe_mail.queue.reception import Reception
from fe_mail.smtp.server import TLS, SMTPServer
from fe_mail.smtp.session import Rules
from fe_mail.smtp.wire import Answer

__all__ = ["SMTPFactory", "customer"]

MAX_CONNECTIONS = 1000
DRAIN_TIMEOUT_SECONDS = 30
IPV6_CUSTOMER_BITS = 64

_TOO_MANY = Answer(421, "4.7.0", "Too many connections, try again later")
_TOO_MANY_OF_YOURS = Answer(421, "4.7.0", "Too many connections from your address")
_STOPPING = Answer(421, "4.3.2", "The server is shutting down, try again later")


class SMTPFactory(Factory):
    """Builds one ``SMTPServer`` per connection."""

    log = Logger()
    noisy = False

    def __init__(
        self,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        *,
        clock: IReactorTime,
        tls: TLS | None,
        max_connections: int,
        max_connections_per_address: int,
    ) -> None:
        self.rules = rules
        self.reception = reception
        self.login = login
        self._clock = clock
        self._tls = tls
        self._max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._servers: dict[SMTPServer, str] = {}
        self._counts: Counter[str] = Counter()
        self._is_draining = False
        self._drained: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._servers)

    def buildProtocol(self, addr: IAddress | None) -> SMTPServer:
        """A server for a new connection."""
        server = SMTPServer(
            rules=self.rules,
            reception=self.reception,
            login=self.login,
            clock=self._clock,
            tls=self._tls,
            registry=self,
        )
        server.factory = self
        return server

    def admit(self, server: SMTPServer, address: str) -> Answer | None:
        """Count a connection; an answer refuses it."""
        source = customer(address)
        refusal = self._refusal(source)
        self._servers[server] = source
        self._counts[source] += 1
        return refusal

    def _refusal(self, source: str) -> Answer | None:
        if self._is_draining:
            return _STOPPING
        if len(self._servers) >= self._max_connections:
            return _TOO_MANY
        if self._counts[source] >= self._max_per_address:
            self.log.info("Too many SMTP connections from {source}", source=source)
            return _TOO_MANY_OF_YOURS
        return None

    def leave(self, server: SMTPServer) -> None:
        """A connection ended."""
        source = self._servers.pop(server, None)
        if source is None:
            return
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]
        if not self._servers:
            drained, self._drained = self._drained, []
            for done in drained:
                done.callback(None)

    async def drain(self) -> None:
        """Let running transactions finish, close everything else; cut what takes too long."""
        self._is_draining = True
        for server in tuple(self._servers):
            server.drain()
        if not self._servers:
            return
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        timer = self._clock.callLater(DRAIN_TIMEOUT_SECONDS, self._cut)
        await done
        if timer.active():
            timer.cancel()

    def _cut(self) -> None:
        for server in tuple(self._servers):
            server.cut()


def customer(address: str) -> str:
    """The address, or the network of one IPv6 customer."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, IPV6_CUSTOMER_BITS), strict=False))
    return address
