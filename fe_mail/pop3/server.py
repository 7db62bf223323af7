"""
The protocol class: Twisted's POP3 with our own conversation.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.mail.pop3 import POP3

from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections
from fe_mail.connection.server import ServerConnection
from fe_mail.pop3 import authorization, transaction
from fe_mail.pop3.conversation import POP3Conversation, Services
from fe_mail.pop3.session import Session

__all__ = ["POP3Server"]


class POP3Server(ServerConnection, POP3):
    """One connection of a POP3 client."""

    conversation: POP3Conversation

    def __init__(
        self, services: Services, *, clock: IReactorTime, tls: TLS | None, registry: Connections
    ) -> None:
        super().__init__(clock=clock, tls=tls, registry=registry)
        self.conversation = POP3Conversation(
            services, self, authorization.COMMANDS, transaction.COMMANDS
        )

    @property
    def session(self) -> Session:
        """The state."""
        return self.conversation.session
