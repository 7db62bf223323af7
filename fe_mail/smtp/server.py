"""
The protocol class: Twisted's ESMTP with our own conversation.

Nothing of the base's line parsing or command dispatch is used (its faults are known: commands that
overlap, bodies executed as commands, clear text carried into TLS).
"""

from twisted.internet.interfaces import IReactorTime
from twisted.mail.smtp import ESMTP

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections
from fe_mail.connection.server import ServerConnection
from fe_mail.reception.interface import Reception
from fe_mail.smtp import authentication, introduction, transaction
from fe_mail.smtp.conversation import SMTPConversation
from fe_mail.smtp.session import Rules, Session

__all__ = ["SMTPServer"]

COMMANDS = {**introduction.COMMANDS, **transaction.COMMANDS, **authentication.COMMANDS}


class SMTPServer(ServerConnection, ESMTP):
    """One connection of an SMTP client."""

    conversation: SMTPConversation

    def __init__(
        self,
        *,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        clock: IReactorTime,
        tls: TLS | None,
        registry: Connections,
    ) -> None:
        ESMTP.__init__(self, contextFactory=tls)
        ServerConnection.__init__(self, clock=clock, tls=tls, registry=registry)
        self.host = rules.hostname
        self.conversation = SMTPConversation(rules, reception, login, self, COMMANDS)

    @property
    def session(self) -> Session:
        """The state."""
        return self.conversation.session
