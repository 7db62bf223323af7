"""
One DNS question to one server, over UDP or TCP, with a socket of its own.

Whatever ends the wait (the answer, the time limit, somebody who cancels) closes the socket.
RFC 1035 §4.2; RFC 5452 (an answer counts only from where we asked); RFC 7766 (TCP).
"""

from collections.abc import Callable
from typing import Any, cast

import dns.message
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from fe_mail.adapters.dns_answers import matching

__all__ = ["Server", "over_tcp", "over_udp"]

MAX_DATAGRAM_OCTETS = 8192

Server = tuple[str, int]
Accept = Callable[[bytes], dns.message.Message | None]


class _Datagram(DatagramProtocol):
    def __init__(self, accept: Accept) -> None:
        self.answered: Deferred[dns.message.Message] = Deferred()
        self._accept = accept

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """What does not match is dropped, and the right answer awaited."""
        reply = self._accept(datagram)
        if reply is not None and not self.answered.called:
            self.answered.callback(reply)

    def connectionRefused(self) -> None:
        """Nobody listens there."""
        if not self.answered.called:
            self.answered.errback(Failure(ConnectError()))


class _Stream(Int16StringReceiver):
    def __init__(self, question: bytes, accept: Accept) -> None:
        self.answered: Deferred[dns.message.Message] = Deferred()
        self._question = question
        self._accept = accept

    def connectionMade(self) -> None:
        """Ask."""
        self.sendString(self._question)  # type: ignore[no-untyped-call]  # Twisted has no types here

    def stringReceived(self, string: bytes) -> None:
        """The answer."""
        reply = self._accept(string)
        if reply is not None and not self.answered.called:
            self.answered.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Too early, unless the answer is there."""
        if not self.answered.called:
            self.answered.errback(Failure(ConnectError()))


async def over_udp(
    reactor: IReactorUDP, query: dns.message.Message, server: Server, seconds: float
) -> dns.message.Message:
    """The response to a datagram. ``ConnectError``, ``TimeoutError``, ``OSError``."""
    protocol = _Datagram(lambda wire: matching(query, wire))
    interface = "::" if ":" in server[0] else ""
    port: Any = reactor.listenUDP(0, protocol, interface, MAX_DATAGRAM_OCTETS)
    try:
        port.connect(*server)  # nobody else is heard from now on
        port.write(query.to_wire())
        return await protocol.answered.addTimeout(seconds, IReactorTime(reactor))
    finally:
        port.stopListening()


async def over_tcp(
    reactor: IReactorTCP, query: dns.message.Message, server: Server, seconds: float
) -> dns.message.Message:
    """The response on a connection. ``ConnectError``, ``TimeoutError``, ``OSError``."""
    kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
    endpoint = kind(reactor, server[0], server[1], timeout=seconds)
    factory = Factory.forProtocol(
        lambda: _Stream(query.to_wire(), lambda wire: matching(query, wire))
    )
    try:
        protocol = cast(_Stream, await endpoint.connect(factory))
    except ConnectingCancelledError:
        raise CancelledError from None
    try:
        return await protocol.answered.addTimeout(seconds, IReactorTime(reactor))
    finally:
        transport: Any = protocol.transport
        transport.abortConnection()
