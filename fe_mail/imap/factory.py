"""
The listener's side of IMAP: makes connections, limits them, lets them end in peace.
"""

from typing import Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections, Limits
from fe_mail.imap.server import IMAPServer
from fe_mail.imap.session import Services
from fe_mail.ports import Bus, MailboxStore

__all__ = ["IMAPFactory"]

MAX_CONNECTIONS: Final = 10_000
MAX_CONNECTIONS_PER_ADDRESS: Final = 200  # a family or an office behind one router
MAX_CONNECTIONS_PER_ALIAS: Final = 60


class IMAPFactory(ServerFactory):
    """
    Makes an ``IMAPServer`` for each connection.

    ``tls`` is a context factory for STARTTLS; with implicit TLS it is not needed. Passwords are
    taken in clear only with ``allow_plaintext_auth``, which is for tests.
    """

    noisy = False

    def __init__(
        self,
        login: Login,
        mailboxes: MailboxStore,
        bus: Bus,
        *,
        hostname: str,
        clock: IReactorTime,
        tls: TLS | None = None,
        allow_plaintext_auth: bool = False,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS,
        max_connections_per_alias: int = MAX_CONNECTIONS_PER_ALIAS,
    ) -> None:
        self._services = Services(
            login=login, mailboxes=mailboxes, bus=bus, clock=clock, hostname=hostname
        )
        self._tls = tls
        self._allow_plaintext_auth = allow_plaintext_auth
        limits = Limits(
            in_all=max_connections,
            per_address=max_connections_per_address,
            per_alias=max_connections_per_alias,
        )
        self.registry = Connections("IMAP", limits, clock=clock, bus=bus)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self.registry)

    def buildProtocol(self, addr: IAddress | None) -> IMAPServer:
        """A connection; one over a limit hears why and is closed."""
        protocol = IMAPServer(
            self._services,
            registry=self.registry,
            tls=self._tls,
            allow_plaintext_auth=self._allow_plaintext_auth,
        )
        protocol.factory = self
        return protocol

    async def drain(self) -> None:
        """Let running commands finish, end all sessions; cut what takes too long."""
        await self.registry.drain()
