"""
A connection that may not begin and is told nothing.

A factory that has no protocol for a connection makes Twisted's wrappers (TLS, the PROXY protocol)
fail with a traceback, which a stranger can cause hundreds of times a second. This protocol hangs
up instead, before any handshake.
"""

from typing import Any

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol

__all__ = ["Refused"]


class Refused(Protocol):
    """Hangs up at once."""

    transport: Any

    def makeConnection(self, transport: ITransport) -> None:
        """Reset it: a closing handshake would keep a socket for somebody who gets nothing."""
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        self.transport.abortConnection()
