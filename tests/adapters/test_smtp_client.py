"""Tests of fe_mail.adapters.smtp_client: real sockets on loopback, and a clock for time-outs."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.exchange import MemoryExchange
from fe_mail.adapters.smtp_client import SMTPExchange, _alternating
from fe_mail.adapters.smtp_dialogue import GREETING_SECONDS, HURRIED_GREETING_SECONDS
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.model.errors import Unavailable
from fe_mail.model.outbound import (
    Attempt,
    OutboundRecipient,
    RemoteReply,
    Stage,
    TLSWish,
    Transmission,
)
from fe_mail.model.status import Status
from fe_mail.ports import BlobReader, Exchange
from fe_mail.smtp.mx import MXFactory
from tests.contracts.exchange import CONTENT, ExchangeCase, ExchangeContract
from tests.smtp.fakes import RecordingReception
from tests.sockets import Sockets

GONE = RemoteReply(code=550, enhanced="5.1.1", text="Gone", stage=Stage.RECIPIENT)


class MemoryExchangeTests(ExchangeContract, ExchangeCase):
    """The specification."""

    where = ("mx.there.test", ["192.0.2.1"], 25)
    nowhere = "192.0.2.99"

    def setUp(self) -> None:
        """One host."""
        self.memory = MemoryExchange({"192.0.2.1"}, {"gone@there.test": GONE})

    def exchange(self) -> Exchange:
        """In memory."""
        return self.memory

    def received(self) -> list[tuple[str, list[str], bytes]]:
        """What was handed over."""
        return [
            (
                handed.attempt.reverse_path,
                [
                    one.address
                    for one in handed.attempt.recipients
                    if one.address not in self.memory.answers
                ],
                handed.content,
            )
            for handed in self.memory.handed
        ]


class SMTPExchangeTests(ExchangeContract, ExchangeCase):
    """Our client against our server, over loopback."""

    nowhere = "127.0.0.9"
    has_tls = False

    def setUp(self) -> None:
        """A listening MX."""
        self.reception = RecordingReception()
        self.reception.answers["gone@there.test"] = Status(550, "5.1.1", "No such address here.")
        factory = MXFactory(
            self.reception, hostname="mx.there.test", clock=reactor, tls=self.make_tls()
        )
        self.factory = factory
        self.sockets = Sockets()
        port = self.sockets.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.where = ("mx.there.test", ["127.0.0.1"], port.getHost().port)

    def make_tls(self) -> Any:
        """A certificate that nobody can verify, if wished."""
        if not self.has_tls:
            return None
        directory = Path(self.mktemp())
        directory.mkdir()
        make_self_signed(directory, ["mx.there.test"])
        certificates = CertificateDirectory(directory)
        certificates.load()
        return certificates

    def tearDown(self) -> "Deferred[None]":
        """The connections end by themselves."""
        return self.sockets.all_gone()

    def exchange(self) -> Exchange:
        """Over sockets."""
        return SMTPExchange(self.sockets, hostname="mx.here.test")

    def received(self) -> list[tuple[str, list[str], bytes]]:
        """What the server got."""
        return [
            (
                str(message.envelope.reverse_path or ""),
                [str(one.address) for one in message.envelope.recipients],
                message.content,
            )
            for message in self.reception.messages
        ]


class TLSExchangeTests(SMTPExchangeTests):
    """The same under STARTTLS."""

    has_tls = True

    def test_tls(self) -> "Deferred[None]":
        """Both sides know that it was encrypted, with an unverified certificate."""

        async def scenario() -> None:
            transmission = await self.transmit("b@there.test", tls=TLSWish.REQUIRED)
            self.assertTrue(transmission.tls.startswith("TLSv1.3 TLS_"), transmission.tls)
            self.assertEqual(self.reception.messages[0].envelope.peer.protocol, "ESMTPS")

        return ensureDeferred(scenario())


class HangUp(Protocol):
    """A host whose TLS is broken: it offers STARTTLS and then talks nonsense."""

    connections: list["HangUp"]

    def connectionMade(self) -> None:
        """Greet."""
        self.factory.connections.append(self)  # type: ignore[union-attr]
        self.is_broken = False
        self.in_data = False
        self.transport.write(b"220 there.test\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Answer just enough."""
        if self.is_broken:
            self.transport.write(b"this is no TLS\r\n")
            self.transport.loseConnection()
        elif self.in_data:
            self.in_data = not data.endswith(b"\r\n.\r\n")
            self.transport.write(b"" if self.in_data else b"250 2.0.0 taken in clear\r\n")
        elif data.startswith(b"EHLO"):
            self.transport.write(b"250-there.test\r\n250 STARTTLS\r\n")
        elif data.startswith(b"STARTTLS"):
            self.is_broken = True
            self.transport.write(b"220 go\r\n")
        elif data.startswith(b"DATA"):
            self.in_data = True
            self.transport.write(b"354 go\r\n")
        else:
            self.transport.write(b"250 ok\r\n")


class BrokenTLSTests(ExchangeCase):
    """TLS that fails."""

    def setUp(self) -> None:
        """A host with broken TLS."""
        self.factory = Factory.forProtocol(HangUp)
        self.factory.connections = []  # type: ignore[attr-defined]
        self.sockets = Sockets()
        port = self.sockets.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.where = ("mx.there.test", ["127.0.0.1"], port.getHost().port)

    def tearDown(self) -> "Deferred[None]":
        """This host does not know QUIT: it ends what the client left open."""
        for connection in self.factory.connections:  # type: ignore[attr-defined]
            connection.transport.loseConnection()
        return self.sockets.all_gone()

    def exchange(self) -> Exchange:
        """Over sockets."""
        return SMTPExchange(self.sockets, hostname="mx.here.test")

    def test_in_clear(self) -> "Deferred[None]":
        """One more try without TLS, when that is allowed."""

        async def scenario() -> None:
            transmission = await self.transmit("b@there.test")
            self.assertEqual(transmission.replies[0].text, "taken in clear")
            self.assertEqual(len(self.factory.connections), 2)  # type: ignore[attr-defined]
            self.assertEqual(transmission.tls, "")

        return ensureDeferred(scenario())

    def test_required(self) -> "Deferred[None]":
        """Never in clear when encryption is required."""

        async def scenario() -> None:
            with self.assertRaises(Unavailable):
                await self.transmit("b@there.test", tls=TLSWish.REQUIRED)
            self.assertEqual(len(self.factory.connections), 1)  # type: ignore[attr-defined]

        return ensureDeferred(scenario())


class Dropping(Protocol):
    """A host that says these lines, one to each portion that comes in, and then hangs up."""

    lines = (b"250 there.test", b"250 ok", b"250 ok", b"354 go on")

    def connectionMade(self) -> None:
        """Greet."""
        self.left = list(self.factory.lines)  # type: ignore[union-attr]
        self.transport.write(b"220 there.test\r\n")

    def dataReceived(self, data: bytes) -> None:
        """The next line; nothing is left: hang up."""
        if not self.left:
            self.transport.loseConnection()
            return
        line = self.left.pop(0)
        self.transport.write(line + b"\r\n")
        if line.startswith(b"421"):
            self.transport.loseConnection()


class DroppedTests(ExchangeCase):
    """Real sockets, closed by the host."""

    def setUp(self) -> None:
        """A host."""
        self.factory = Factory.forProtocol(Dropping)
        self.factory.lines = Dropping.lines  # type: ignore[attr-defined]
        self.sockets = Sockets()
        port = self.sockets.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.where = ("mx.there.test", ["127.0.0.1"], port.getHost().port)

    def tearDown(self) -> "Deferred[None]":
        """The connections end by themselves."""
        return self.sockets.all_gone()

    def exchange(self) -> Exchange:
        """Over sockets."""
        return SMTPExchange(self.sockets, hostname="mx.here.test")

    def test_after_the_dot(self) -> "Deferred[None]":
        """An answer of ours, not a defect; the outcome is unknown, no other host is tried."""

        async def scenario() -> None:
            transmission = await self.transmit("b@there.test")
            (reply,) = transmission.replies
            self.assertEqual((reply.code, reply.enhanced, reply.said), (451, "4.4.2", ""))
            self.assertFalse(transmission.is_session_refused)
            self.tls_is(transmission.tls)

        return ensureDeferred(scenario())

    def tls_is(self, tls: str) -> None:
        """It was in clear."""
        self.assertEqual(tls, "")

    def test_closing(self) -> "Deferred[None]":
        """421 in the transaction: its text is kept, and another host may be tried."""
        self.factory.lines = (*Dropping.lines[:2], b"421 4.7.0 busy")  # type: ignore[attr-defined]

        async def scenario() -> None:
            transmission = await self.transmit("b@there.test")
            self.assertEqual(transmission.replies[0].said, "421 4.7.0 busy")
            self.assertTrue(transmission.is_session_refused)

        return ensureDeferred(scenario())


class DroppingTLS(Dropping):
    """The same under TLS."""

    def dataReceived(self, data: bytes) -> None:
        """STARTTLS first."""
        if data.startswith(b"EHLO") and not self.transport.TLS:
            self.transport.write(b"250-there.test\r\n250 STARTTLS\r\n")
        elif data.startswith(b"STARTTLS"):
            self.transport.write(b"220 go\r\n")
            self.transport.startTLS(self.factory.context)  # type: ignore[union-attr]
        else:
            super().dataReceived(data)


class DroppedTLSTests(DroppedTests):
    """Whatever is asked of a connection that is gone, TLS or not."""

    def setUp(self) -> None:
        """A host with a certificate."""
        super().setUp()
        self.factory.protocol = DroppingTLS
        directory = Path(self.mktemp())
        directory.mkdir()
        make_self_signed(directory, ["mx.there.test"])
        certificates = CertificateDirectory(directory)
        certificates.load()
        self.factory.context = certificates  # type: ignore[attr-defined]

    def tls_is(self, tls: str) -> None:
        """It was encrypted."""
        self.assertTrue(tls.startswith("TLSv1."), tls)


class ConnectionTests(SynchronousTestCase):
    """Time-outs and back-pressure, with a clock."""

    def setUp(self) -> None:
        """A client that connects to us."""
        self.reactor = MemoryReactorClock()
        self.exchange = SMTPExchange(self.reactor, hostname="mx.here.test")
        self.reads = 0

    def start(self, size: int = 100, **more: Any) -> "Deferred[Transmission]":
        """Begin; ``self.protocol`` is the client's protocol."""
        attempt = Attempt(
            reverse_path="a@here.test",
            recipients=(OutboundRecipient(address="b@there.test"),),
            size_octets=size,
            **more,
        )
        test = self

        class Reader:
            size_octets = size
            left = size

            async def read(self, octets: int) -> bytes:
                test.reads += 1
                part = min(octets, self.left)
                self.left -= part
                return b"x" * part

            async def close(self) -> None:
                pass

        async def opened() -> BlobReader:
            return Reader()

        work = self.exchange.transmit("mx.there.test", ["192.0.2.1"], 25, attempt, opened)
        done = Deferred.fromCoroutine(work)
        factory = self.reactor.tcpClients[-1][2]
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        return done

    def host(self, *lines: bytes) -> None:
        """The host says these lines."""
        for line in lines:
            self.protocol.dataReceived(line + b"\r\n")

    def envelope(self) -> None:
        """The dialogue up to the content."""
        self.host(b"220 hi", b"250 there.test", b"250 ok", b"250 ok", b"354 go on")

    def test_silence(self) -> None:
        """A host that says nothing is given up after RFC 5321's five minutes."""
        done = self.start()
        self.reactor.advance(GREETING_SECONDS - 1)
        self.assertNoResult(done)
        self.reactor.advance(2)
        self.failureResultOf(done, Unavailable)
        self.assertTrue(self.transport.disconnecting)

    def test_silence_while_mail_waits(self) -> None:
        """When others wait for the place it is given up sooner; whoever spoke has its time."""
        done = self.start(is_hurried=True)
        self.reactor.advance(HURRIED_GREETING_SECONDS + 1)
        self.failureResultOf(done, Unavailable)
        done = self.start(is_hurried=True)
        self.host(b"220 hi")
        self.reactor.advance(HURRIED_GREETING_SECONDS + 1)
        self.assertNoResult(done)
        done.cancel()
        self.failureResultOf(done)

    def test_byte_by_byte(self) -> None:
        """Replies may come in any portions."""
        done = self.start()
        dialogue = (
            b"220 hi\r\n|250-there\r\n250 SIZE\r\n|250 ok\r\n|250 ok\r\n|354 go\r\n|250 ok\r\n"
        )
        for part in dialogue.split(b"|"):
            for octet in part:
                self.protocol.dataReceived(bytes([octet]))
        self.assertTrue(self.successResultOf(done).replies[0].is_positive)

    def test_no_smtp(self) -> None:
        """A host that speaks another protocol."""
        done = self.start()
        self.host(b"SSH-2.0-OpenSSH_9.9")
        self.failureResultOf(done, Unavailable)

    def test_back_pressure(self) -> None:
        """While the transport is full nothing is read from the spool."""
        done = self.start(size=1_000_000)
        self.envelope_until_data()
        self.transport.producer.pauseProducing()
        self.host(b"354 go on")
        before = self.reads
        self.reactor.advance(1)
        self.assertLessEqual(self.reads - before, 1)
        self.assertNoResult(done)
        self.transport.producer.resumeProducing()
        self.assertGreater(self.reads, 10)
        self.host(b"250 taken")
        self.successResultOf(done)

    def envelope_until_data(self) -> None:
        """The dialogue up to DATA."""
        self.host(b"220 hi", b"250 there.test", b"250 ok", b"250 ok")

    def test_early_answer(self) -> None:
        """A host that refuses in the middle of the content is not sent the rest."""
        done = self.start(size=1_000_000)
        self.envelope_until_data()
        self.transport.producer.pauseProducing()
        self.host(b"354 go on", b"552 5.3.4 too big")
        self.transport.producer.resumeProducing()
        (reply,) = self.successResultOf(done).replies
        self.assertEqual(reply.code, 552)
        self.assertLess(self.transport.value().count(b"x"), 1_000_000)

    def test_lost_after_early_answer(self) -> None:
        """Refused in the middle of the content, then cut: the refusal counts."""
        done = self.start(size=1_000_000)
        self.envelope_until_data()
        self.transport.producer.pauseProducing()
        self.host(b"354 go on", b"552 5.3.4 too big")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        (reply,) = self.successResultOf(done).replies
        self.assertEqual(reply.said, "552 5.3.4 too big")

    def test_early_yes(self) -> None:
        """A yes before the end of the content is none."""
        done = self.start(size=1_000_000)
        self.envelope_until_data()
        self.transport.producer.pauseProducing()
        self.host(b"354 go on", b"250 taken")
        self.transport.producer.resumeProducing()
        (reply,) = self.successResultOf(done).replies
        self.assertEqual(reply.code, 451)

    def test_quit(self) -> None:
        """We say QUIT and do not wait for long."""
        done = self.start()
        self.envelope()
        self.host(b"250 taken")
        self.successResultOf(done)
        self.assertTrue(self.transport.value().endswith(b"\r\n.\r\nQUIT\r\n"))
        self.host(b"221 bye")
        self.assertTrue(self.transport.disconnecting)

    def test_cancelled(self) -> None:
        """Stopped at any step, also while it connects: it is a stop, and no defect."""
        attempt = Attempt(
            reverse_path="", recipients=(OutboundRecipient(address="b@c.test"),), size_octets=1
        )

        async def never() -> BlobReader:
            raise AssertionError

        work = self.exchange.transmit("mx.there.test", ["192.0.2.1"], 25, attempt, never)
        done = Deferred.fromCoroutine(work)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        done = self.start()
        self.host(b"220 hi")
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_flood(self) -> None:
        """A host that sends replies without end is left."""
        done = self.start()
        self.protocol.dataReceived(b"250 x\r\n" * 100_000)
        self.failureResultOf(done, Unavailable)

    def test_alternating(self) -> None:
        """Families take turns, the resolver's first one first."""
        addresses = ["2001:db8::1", "2001:db8::2", "192.0.2.1"]
        self.assertEqual(_alternating(addresses), ["2001:db8::1", "192.0.2.1", "2001:db8::2"])

    def test_content_is_ours(self) -> None:
        """The contract's content has what matters."""
        self.assertIn(b"\r\n.\r\n", CONTENT)
