"""
The factory of a listener whose connections are counted.
"""

import abc
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from fe_mail.connection.registry import Connections
from fe_mail.connection.server import ServerConnection

__all__ = ["CountedFactory"]


class CountedFactory(ServerFactory, abc.ABC):
    """Builds servers, which are counted in ``registry``, and drains it."""

    noisy = False

    def __init__(self, registry: Connections) -> None:
        self.registry = registry

    @abc.abstractmethod
    def make_server(self) -> ServerConnection:
        """A server for a new connection."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The same for Twisted; one over a limit hears why and is closed."""
        server = self.make_server()
        server.factory = self
        return server

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self.registry)

    async def drain(self) -> None:
        """Let what is running finish, close everything else; cut what takes too long."""
        await self.registry.drain()
