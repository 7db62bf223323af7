"""
What the two SMTP listeners have in common: they build servers, count them, and drain.
"""

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections, Limits
from fe_mail.ports import Bus
from fe_mail.queue.reception import Reception
from fe_mail.smtp.server import SMTPServer
from fe_mail.smtp.session import Rules

__all__ = ["MAX_CONNECTIONS", "SMTPFactory"]

MAX_CONNECTIONS = 1000


class SMTPFactory(Factory):
    """Builds one ``SMTPServer`` per connection."""

    noisy = False

    def __init__(
        self,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        *,
        clock: IReactorTime,
        tls: TLS | None,
        limits: Limits,
        bus: Bus | None = None,
    ) -> None:
        self.rules = rules
        self.reception = reception
        self.login = login
        self._clock = clock
        self._tls = tls
        self._registry = Connections("SMTP", limits, clock=clock, bus=bus)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._registry)

    def buildProtocol(self, addr: IAddress | None) -> SMTPServer:
        """A server for a new connection."""
        server = SMTPServer(
            rules=self.rules,
            reception=self.reception,
            login=self.login,
            clock=self._clock,
            tls=self._tls,
            registry=self._registry,
        )
        server.factory = self
        return server

    async def drain(self) -> None:
        """Let running transactions finish, close everything else; cut what takes too long."""
        await self._registry.drain()
