"""
The POP3 listener: builds servers, counts them, ends them when a password goes, and drains.

IPv6 clients are counted by /64, which is what one customer has.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from fe_mail.accounts.login import Login
from fe_mail.pop3.replies import fail
from fe_mail.pop3.server import TLS, POP3Server
from fe_mail.pop3.session import Services
from fe_mail.ports import Bus, MailboxStore

__all__ = ["POP3Factory"]

MAX_CONNECTIONS = 1_000
MAX_CONNECTIONS_PER_ADDRESS = 20
DRAIN_TIMEOUT_SECONDS = 30
IPV6_CUSTOMER_BITS = 64


class POP3Factory(Factory):
    """
    Builds one ``POP3Server`` per connection.

    ``tls`` is offered by STLS. With a ``bus``, sessions of an alias end when its password changes.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        login: Login,
        mailboxes: MailboxStore,
        *,
        hostname: str,
        clock: IReactorTime,
        tls: TLS | None = None,
        bus: Bus | None = None,
        allow_plaintext_auth: bool = False,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS,
    ) -> None:
        self._services = Services(
            login=login,
            mailboxes=mailboxes,
            hostname=hostname,
            allow_plaintext_auth=allow_plaintext_auth,
        )
        self._clock = clock
        self._tls = tls
        self._bus = bus
        self._max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._servers: dict[POP3Server, str] = {}
        self._counts: Counter[str] = Counter()
        self._subscriptions: dict[POP3Server, Callable[[], None]] = {}
        self._is_draining = False
        self._drained: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._servers)

    def buildProtocol(self, addr: IAddress | None) -> POP3Server:
        """A server for a new connection."""
        server = POP3Server(self._services, clock=self._clock, tls=self._tls, registry=self)
        server.factory = self
        return server

    def admit(self, server: POP3Server, address: str) -> bytes | None:
        """Count a connection; a reply refuses it."""
        source = _customer(address)
        refusal = self._refusal(source)
        self._servers[server] = source
        self._counts[source] += 1
        return refusal

    def _refusal(self, source: str) -> bytes | None:
        if self._is_draining:
            return fail(b"[SYS/TEMP] The server is shutting down.")
        if len(self._servers) >= self._max_connections:
            return fail(b"[SYS/TEMP] Too many connections.")
        if self._counts[source] >= self._max_per_address:
            self.log.info("Too many POP3 connections from {source}", source=source)
            return fail(b"[SYS/TEMP] Too many connections from your address.")
        return None

    def signed_in(self, server: POP3Server, alias_id: str) -> None:
        """End the session when the credentials of the alias change."""
        if self._bus is not None:
            self._subscriptions[server] = self._bus.subscribe(
                f"credentials:{alias_id}", lambda _: server.drain()
            )

    def leave(self, server: POP3Server) -> None:
        """A connection ended."""
        unsubscribe = self._subscriptions.pop(server, None)
        if unsubscribe is not None:
            unsubscribe()
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
        """Let running commands finish, close everything else; cut what takes too long."""
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


def _customer(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, IPV6_CUSTOMER_BITS), strict=False))
    return str(ip)
