"""Writing at once: the same octets and ends as with Twisted's own connection, on real sockets."""

import socket
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.connection.prompt import PromptServer

BIG = bytes(range(256)) * 16_384  # more than a socket takes at once


class Watcher:
    """The part of a reactor that a connection needs: who wants to read and to write."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writers:
            self.writers.remove(writer)


class Producer:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class PromptTests(SynchronousTestCase):
    """One connection and its peer."""

    def setUp(self) -> None:
        """Connect."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.peer = socket.create_connection(listening.getsockname())
        self.addCleanup(self.peer.close)
        accepted, address = listening.accept()
        self.addCleanup(accepted.close)
        self.watcher = Watcher()
        self.connection: Any = PromptServer(
            accepted,
            Protocol(),
            address,
            None,
            0,
            self.watcher,  # type: ignore[arg-type]
        )

    def drain(self, octets: int) -> bytes:
        """Let the peer read so much, and the connection write when it wishes to."""
        got = b""
        while len(got) < octets:
            for writer in list(self.watcher.writers):
                self.assertIsNone(writer.doWrite())
            got += self.peer.recv(1 << 20)
        return got

    def test_small(self) -> None:
        """What fits is sent before the reactor knows of it."""
        self.connection.write(b"250 OK\r\n")
        self.assertEqual(self.watcher.writers, [])
        self.assertEqual(self.peer.recv(100), b"250 OK\r\n")

    def test_big(self) -> None:
        """What does not fit waits for the reactor; later writes stay behind it."""
        self.connection.write(BIG)
        self.connection.write(b"the end")
        self.assertEqual(self.watcher.writers, [self.connection])
        self.assertEqual(self.drain(len(BIG) + 7), BIG + b"the end")
        self.assertEqual(self.watcher.writers, [])
        self.connection.write(b"again")
        self.assertEqual((self.peer.recv(100), self.watcher.writers), (b"again", []))

    def test_close(self) -> None:
        """Closing after a write that went at once still closes."""
        self.connection.write(b"221 Bye\r\n")
        self.connection.loseConnection()
        (writer,) = self.watcher.writers
        self.assertIsInstance(writer.doWrite(), ConnectionDone)
        self.assertEqual(self.peer.recv(100), b"221 Bye\r\n")

    def test_lost(self) -> None:
        """A peer that is gone is found by the reactor, never inside of a write."""
        self.connection.socket.close()
        self.connection.write(b"hello")
        (writer,) = self.watcher.writers
        self.assertIsInstance(writer.doWrite(), ConnectionLost)

    def test_producer(self) -> None:
        """A producer is paused by what waits, and resumed when it is written."""
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.connection.write(BIG)
        self.assertEqual(producer.told, ["pause"])
        self.assertEqual(self.drain(len(BIG)), BIG)
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_pulled(self) -> None:
        """A producer that waits to be asked is asked."""
        producer = Producer()
        self.connection.registerProducer(producer, False)
        self.assertEqual(producer.told, ["resume"])
        self.connection.write(b"one")
        self.assertEqual(self.drain(3), b"one")
        self.assertEqual(producer.told, ["resume", "resume"])

    def test_aborted(self) -> None:
        """After an abort nothing is sent."""
        self.connection.reactor.callLater = lambda *_: None
        self.connection.abortConnection()
        self.connection.write(b"too late")
        self.peer.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.peer.recv(100)
