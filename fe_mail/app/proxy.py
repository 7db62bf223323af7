"""
The PROXY protocol, for connections that come through a trusted load balancer.

The protocol behind is built only when the header is complete, so that it knows its real peer from
its first moment: Twisted's own wrapper connects it before, with the balancer's address.
The header's grammar is in ``proxy_header``. PROXY protocol specification (haproxy,
doc/proxy-protocol.txt).
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from fe_mail.app.proxy_header import BadHeader, header_end, parse_header

__all__ = ["ProxyFactory", "ProxyProtocol"]

HEADER_SECONDS = 10.0


class ProxyProtocol(ProtocolWrapper):
    """Reads the header, then is the transport of a protocol that sees the original peer."""

    factory: Any
    transport: Any
    wrappedProtocol: Any

    def makeConnection(self, transport: ITransport) -> None:
        """Wait for the header; nothing is built yet."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._header = b""
        self._peer: IAddress | None = None
        self._host: IAddress | None = None
        self._timeout = self.factory.clock.callLater(HEADER_SECONDS, self._refuse)

    def dataReceived(self, data: bytes) -> None:
        """The header first, then whatever the peer says."""
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._header += data
        try:
            end = header_end(self._header)
            if end:
                self._begin(self._header[:end], self._header[end:])
        except BadHeader:
            self._refuse()

    def _begin(self, header: bytes, rest: bytes) -> None:
        ends = parse_header(header)
        self._timeout.cancel()
        self._peer, self._host, self._header = ends.source, ends.destination, b""
        inner = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if inner is None:
            self.transport.abortConnection()
            return
        self.wrappedProtocol = inner
        inner.makeConnection(self)
        if rest:
            inner.dataReceived(rest)

    def _refuse(self) -> None:
        self.factory.log.warn(
            "{peer} must speak the PROXY protocol and did not, or not so that it can be believed.",
            peer=getattr(self.transport.getPeer(), "host", ""),
        )
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass it on, if there is somebody to tell."""
        if self._timeout.active():
            self._timeout.cancel()
        self.factory.unregisterProtocol(self)
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.connectionLost(reason)

    def getPeer(self) -> IAddress:
        """The original client; the balancer itself for its health checks (LOCAL, UNKNOWN)."""
        peer: IAddress = self._peer or self.transport.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """The address that the client connected to."""
        host: IAddress = self._host or self.transport.getHost()
        return host


class ProxyFactory(WrappingFactory[ProxyProtocol]):
    """Puts ``ProxyProtocol`` in front of a factory's protocols."""

    log = Logger()
    noisy = False

    def __init__(self, wrapped: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]  # Twisted's
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> ProxyProtocol:
        """The inner protocol comes later."""
        return ProxyProtocol(self, None)  # type: ignore[arg-type]  # built by the header
