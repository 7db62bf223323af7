"""
The POP3 listener: builds servers, counts them, ends them when a password goes, and drains.
"""

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.factory import CountedFactory
from fe_mail.connection.registry import Connections, Limits
from fe_mail.pop3.conversation import Services
from fe_mail.pop3.server import POP3Server
from fe_mail.ports import Bus, MailboxStore

__all__ = ["LIMITS", "POP3Factory"]

LIMITS = Limits(in_all=1_000, per_address=20, per_alias=30)


class POP3Factory(CountedFactory):
    """
    Builds one ``POP3Server`` per connection.

    ``tls`` is offered by STLS. With a ``bus``, sessions of an alias end when its password changes.
    """

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
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(Connections("POP3", limits, clock=clock, bus=bus))
        self._services = Services(
            login=login,
            mailboxes=mailboxes,
            hostname=hostname,
            allow_plaintext_auth=allow_plaintext_auth,
        )
        self._clock = clock
        self._tls = tls

    def make_server(self) -> POP3Server:
        """A server for a new connection."""
        return POP3Server(self._services, clock=self._clock, tls=self._tls, registry=self.registry)
