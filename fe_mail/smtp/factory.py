"""
What the two SMTP listeners have in common: they build servers, count them, and drain.
"""

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.factory import CountedFactory
from fe_mail.connection.registry import Connections, Limits
from fe_mail.ports import Bus
from fe_mail.reception.interface import Reception
from fe_mail.smtp.server import SMTPServer
from fe_mail.smtp.session import Rules

__all__ = ["MAX_CONNECTIONS", "SMTPFactory"]

MAX_CONNECTIONS = 1000


class SMTPFactory(CountedFactory):
    """Builds one ``SMTPServer`` per connection."""

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
        super().__init__(Connections("SMTP", limits, clock=clock, bus=bus))
        self.rules = rules
        self.reception = reception
        self.login = login
        self._clock = clock
        self._tls = tls

    def make_server(self) -> SMTPServer:
        """A server for a new connection."""
        return SMTPServer(
            rules=self.rules,
            reception=self.reception,
            login=self.login,
            clock=self._clock,
            tls=self._tls,
            registry=self.registry,
        )
