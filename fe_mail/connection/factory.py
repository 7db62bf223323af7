"""
The factory of a listener whose connections are counted.
"""

from twisted.internet.protocol import ServerFactory

from fe_mail.connection.registry import Connections

__all__ = ["CountedFactory"]


class CountedFactory(ServerFactory):
    """Hands ``registry`` to the connections that it builds, and drains it."""

    noisy = False

    def __init__(self, registry: Connections) -> None:
        self.registry = registry

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self.registry)

    async def drain(self) -> None:
        """Let what is running finish, close everything else; cut what takes too long."""
        await self.registry.drain()
