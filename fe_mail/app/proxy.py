"""
The PROXY protocol, for connections that come through a trusted load balancer.

The protocol behind is built only when the header is complete, so that it knows its real peer from
its first moment: Twisted's own wrapper connects it before, with the balancer's address.
PROXY protocol specification, versions 1 and 2 (haproxy, doc/proxy-protocol.txt §2.1, §2.2).
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

__all__ = ["ProxyFactory", "ProxyProtocol"]

MAX_V1_OCTETS = 107
MAX_V2_OCTETS = 16 + 4096
HEADER_SECONDS = 10.0
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


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
            end = _header_end(self._header)
            if end:
                self._begin(self._header[:end], self._header[end:])
        except InvalidProxyHeader:
            self._refuse()

    def _begin(self, header: bytes, rest: bytes) -> None:
        parser = V2Parser if header.startswith(_V2_SIGNATURE) else V1Parser
        info = parser.parse(header if parser is V2Parser else header.removesuffix(b"\r\n"))
        self._timeout.cancel()
        self._peer, self._host, self._header = info.source, info.destination, b""
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
            "{peer} must speak the PROXY protocol and did not.",
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


def _header_end(received: bytes) -> int:
    """Where the header ends, 0 if more is needed; InvalidProxyHeader if it is none."""
    if _V2_SIGNATURE.startswith(received[:12]):
        if len(received) < 16:
            return 0
        end = 16 + int.from_bytes(received[14:16], "big")
        if end > MAX_V2_OCTETS:
            raise InvalidProxyHeader()
        return end if len(received) >= end else 0
    if not received.startswith(b"PROXY "[: len(received)]):
        raise InvalidProxyHeader()
    end = received.find(b"\r\n", 0, MAX_V1_OCTETS) + 2
    if end == 1 and len(received) >= MAX_V1_OCTETS:
        raise InvalidProxyHeader()
    return end if end > 1 else 0
