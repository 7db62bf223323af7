"""
The POP3 listener: builds servers, counts them, ends them when a password goes, and drains.
"""

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections, Limits
from fe_mail.pop3.server import POP3Server
from fe_mail.pop3.session import Services
from fe_mail.ports import Bus, MailboxStore

__all__ = ["POP3Factory"]

MAX_CONNECTIONS = 1_000
MAX_CONNECTIONS_PER_ADDRESS = 20
MAX_CONNECTIONS_PER_ALIAS = 30


class POP3Factory(Factory):
    """
    Builds one ``POP3Server`` per connection.

    ``tls`` is offered by STLS. With a ``bus``, sessions of an alias end when its password changes.
    """

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
        max_connections_per_alias: int = MAX_CONNECTIONS_PER_ALIAS,
    ) -> None:
        self._services = Services(
            login=login,
            mailboxes=mailboxes,
            hostname=hostname,
            allow_plaintext_auth=allow_plaintext_auth,
        )
        self._clock = clock
        self._tls = tls
        limits = Limits(
            in_all=max_connections,
            per_address=max_connections_per_address,
            per_alias=max_connections_per_alias,
        )
        self._registry = Connections("POP3", limits, clock=clock, bus=bus)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._registry)

    def buildProtocol(self, addr: IAddress | None) -> POP3Server:
        """A server for a new connection."""
        server = POP3Server(
            self._services, clock=self._clock, tls=self._tls, registry=self._registry
        )
        server.factory = self
        return server

    async def drain(self) -> None:
        """Let running commands finish, close everything else; cut what takes too long."""
        await self._registry.drain()
