"""
The protocol class: Twisted's ``IMAP4Server`` with our own conversation.
"""

from twisted.mail.imap4 import IMAP4Server

from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Connections
from fe_mail.connection.server import ServerConnection
from fe_mail.imap.conversation import IMAPConversation
from fe_mail.imap.session import Services, Session

__all__ = ["IMAPServer"]


class IMAPServer(ServerConnection, IMAP4Server):
    """One connection of an IMAP client."""

    conversation: IMAPConversation

    def __init__(
        self,
        services: Services,
        *,
        registry: Connections,
        tls: TLS | None = None,
        allow_plaintext_auth: bool = False,
    ) -> None:
        IMAP4Server.__init__(self, contextFactory=tls)
        ServerConnection.__init__(self, clock=services.clock, tls=tls, registry=registry)
        self.conversation = IMAPConversation(
            services, self, allow_plaintext_auth=allow_plaintext_auth
        )

    @property
    def session(self) -> Session:
        """The state."""
        return self.conversation.session
