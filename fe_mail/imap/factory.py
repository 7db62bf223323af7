"""
The listener's side of IMAP: makes connections, limits them, lets them end in peace.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.factory import CountedFactory
from fe_mail.connection.registry import Connections, Limits
from fe_mail.imap.server import IMAPServer
from fe_mail.imap.session import Services
from fe_mail.ports import Bus, MailboxStore

__all__ = ["LIMITS", "IMAPFactory"]

# Per address: a family or an office behind one router.
LIMITS: Final = Limits(in_all=10_000, per_address=200, per_alias=60)


class IMAPFactory(CountedFactory):
    """
    Makes an ``IMAPServer`` for each connection.

    ``tls`` is a context factory for STARTTLS; with implicit TLS it is not needed. Passwords are
    taken in clear only with ``allow_plaintext_auth``, which is for tests.
    """

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
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(Connections("IMAP", limits, clock=clock, bus=bus))
        self._services = Services(
            login=login, mailboxes=mailboxes, bus=bus, clock=clock, hostname=hostname
        )
        self._tls = tls
        self._allow_plaintext_auth = allow_plaintext_auth

    def make_server(self) -> IMAPServer:
        """A server for a new connection."""
        return IMAPServer(
            self._services,
            registry=self.registry,
            tls=self._tls,
            allow_plaintext_auth=self._allow_plaintext_auth,
        )
