"""Doors: closed before the stores are ready, and whom they believe a PROXY header."""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, FirstError
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from fe_mail.app.listeners import Door, Listener, all_interfaces, endpoint_strings
from fe_mail.app.proxy import HEADER_SECONDS


class Peer(Protocol):
    """Says whom it talks to."""

    def connectionMade(self) -> None:
        """Write the peer's address."""
        self.transport.write(self.transport.getPeer().host.encode() + b"\n")


class DoorTests(SynchronousTestCase):
    """Who gets in, and as whom."""

    def setUp(self) -> None:
        """Time stands still."""
        self.clock = Clock()

    def open_door(self, *networks: str) -> Door:
        """A door in front of ``Peer``."""
        door = Door(self.clock, networks)
        door.open(Factory.forProtocol(Peer), None)
        return door

    def answer(self, door: Door, host: str, received: bytes) -> bytes:
        """What a connection from ``host`` that sends ``received`` is told."""
        family = IPv6Address if ":" in host else IPv4Address
        peer = family("TCP", host, 4000)
        protocol = door.buildProtocol(peer)
        transport = StringTransport(peerAddress=peer)
        protocol.makeConnection(transport)
        if received:
            protocol.dataReceived(received)
        return transport.value()

    def test_closed_until_opened(self) -> None:
        """Nobody comes in before ``open`` or after ``close``."""
        door = Door(self.clock)
        self.assertIsNone(door.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        door.open(Factory.forProtocol(Peer), None)
        self.assertIsNotNone(door.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        door.close()
        self.assertIsNone(door.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))

    def test_balancer_speaks_for_its_peer(self) -> None:
        """A configured network must send the header, and is believed; mapped IPv4 counts too."""
        header = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\n"
        door = self.open_door("10.0.0.0/8")
        self.assertEqual(self.answer(door, "10.1.2.3", header), b"203.0.113.9\n")
        self.assertEqual(self.answer(door, "::ffff:10.1.2.3", header), b"203.0.113.9\n")

    def test_header_in_pieces_and_version_2(self) -> None:
        """However the header is cut, the protocol begins with its peer and loses nothing."""
        version_2 = (
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
            + bytes([203, 0, 113, 9, 192, 0, 2, 2])
            + b"\x12\x67\x00\x19"
        )
        for header in (b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\n", version_2):
            peer = IPv4Address("TCP", "10.0.0.1", 4000)
            protocol = self.open_door("10.0.0.0/8").buildProtocol(peer)
            transport = StringTransport(peerAddress=peer)
            protocol.makeConnection(transport)
            for octet in header[:-1]:
                protocol.dataReceived(bytes([octet]))
                self.assertEqual(transport.value(), b"")
            protocol.dataReceived(header[-1:])
            self.assertEqual(transport.value(), b"203.0.113.9\n")

    def test_balancer_without_header_is_refused(self) -> None:
        """Whoever must speak the PROXY protocol and says something else, or nothing, goes."""
        impossible = b"PROXY TCP4 999.0.0.1 192.0.2.2 4711 25\r\n"
        for said in (b"EHLO x\r\n", impossible, b"PROXY nonsense\r\n", b"P" + b"x" * 200, b""):
            peer = IPv4Address("TCP", "10.0.0.1", 4000)
            protocol = self.open_door("10.0.0.0/8").buildProtocol(peer)
            transport = StringTransport(peerAddress=peer)
            protocol.makeConnection(transport)
            if said:
                protocol.dataReceived(said)
            self.clock.advance(HEADER_SECONDS)
            self.assertTrue(transport.disconnecting or transport.aborting, said)
            self.assertEqual(transport.value(), b"")

    def test_nobody_else_is_believed(self) -> None:
        """From elsewhere the same header is just what a client said."""
        header = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\n"
        door = self.open_door("10.0.0.0/8")
        self.assertEqual(self.answer(door, "192.0.2.1", header), b"192.0.2.1\n")

    def test_endpoint_strings(self) -> None:
        """Given strings win; 0 is off; loopback where nobody outside may come."""
        self.assertEqual(endpoint_strings(("unix:/x",), 25), ("unix:/x",))
        self.assertEqual(endpoint_strings((), 0), ())
        for interfaces, expected in (
            (["::"], ["tcp:25:interface=\\:\\:"]),
            (["0.0.0.0"], ["tcp:25:interface=0.0.0.0"]),
            (["0.0.0.0", "::"], ["tcp:25:interface=0.0.0.0", "tcp:25:interface=\\:\\:"]),
        ):
            made = endpoint_strings((), 25, find_interfaces=lambda i=interfaces: i)  # type: ignore[misc]
            self.assertEqual(made, tuple(expected))
        self.assertEqual(endpoint_strings((), 3000, True), ("tcp:3000:interface=127.0.0.1",))

    def test_all_interfaces(self) -> None:
        """What is found on this host can be bound, and is reached over IPv4."""
        ports = []
        for interface in all_interfaces():
            family = socket.AF_INET6 if ":" in interface else socket.AF_INET
            listening = socket.socket(family)
            self.addCleanup(listening.close)
            listening.bind((interface, 0))
            listening.listen()
            ports.append(listening.getsockname()[1])
        socket.create_connection(("127.0.0.1", ports[0]), 5).close()


class ListenerTests(TestCase):
    """A port on loopback."""

    timeout = 20

    async def listen(self, port: int = 0, is_shared: bool = False) -> Listener:
        """A listener that accepts."""
        anything: Any = reactor
        door = Door(anything)
        door.open(Factory.forProtocol(Peer), None)
        endpoint = f"tcp:{port}:interface=127.0.0.1"
        listener = Listener(anything, "test", [endpoint], door, is_shared=is_shared)
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.stop_listening()))
        listener.startService()
        await listener.when_listening()
        return listener

    async def test_shared_ports(self) -> None:
        """Two listeners that share have one port; neither shares with one that does not."""
        first = await self.listen(is_shared=True)
        second = await self.listen(first.port, is_shared=True)
        self.assertEqual(first.port, second.port)
        alone = await self.listen()
        for port, is_shared in ((first.port, False), (alone.port, True), (alone.port, False)):
            with self.assertRaises(FirstError) as caught:
                await self.listen(port, is_shared)
            caught.exception.subFailure.trap(CannotListenError)

    async def test_answers_are_not_held_back(self) -> None:
        """A long answer in several writes does not wait for acknowledgements (RFC 896)."""
        anything: Any = reactor
        accepted: Deferred[bool] = Deferred()

        class Accepting(Protocol):
            def connectionMade(self) -> None:
                accepted.callback(bool(self.transport.getTcpNoDelay()))
                self.transport.loseConnection()

        door = Door(anything)
        door.open(Factory.forProtocol(Accepting), None)
        listener = Listener(anything, "test", ["tcp:0:interface=127.0.0.1"], door)
        listener.startService()
        await listener.when_listening()
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.stop_listening()))
        with socket.create_connection(("127.0.0.1", listener.port)):
            self.assertTrue(await accepted)
