"""Tests of fe_mail.pop3: transports, limits, big messages, TLS, and a real client."""

import hashlib
import hmac
import poplib
import ssl
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides

from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.connection.registry import Limits
from fe_mail.mailboxes.damage import BrokenOff
from fe_mail.model.errors import Unavailable
from fe_mail.model.mailbox import Want
from fe_mail.pop3.framing import Stuffer
from fe_mail.pop3.maildrop import Maildrop
from tests.damage import lose_piece
from tests.pop3.base import KEY, MESSAGES, PASSWORD, USER, POP3TestCase

BIG = b"Subject: big\r\n\r\n" + b".x" + b"0123456789" * 100 + b"\r\n"


class BigMessageTests(POP3TestCase):
    """Messages that do not fit in one answer."""

    def setUp(self) -> None:
        """One message of some megabytes."""
        super().setUp()
        self.big = BIG * 5_000
        self.fill((self.big,))

    def test_streamed_with_back_pressure(self) -> None:
        """A client that does not read stops us, and gets every byte when it reads."""
        server, transport = self.signed_in()
        received = bytearray()
        server.pauseProducing()
        server.dataReceived(b"RETR 4\r\n")
        for _ in range(200):
            if not server._output:
                break
            self.assertLess(len(transport.value()), 1 << 20)
            received += transport.value()
            transport.clear()
            server.resumeProducing()
            server.pauseProducing()
        received += transport.value()
        stuffer = Stuffer()
        expected = stuffer.feed(self.big) + stuffer.finish()
        self.assertEqual(bytes(received).partition(b"\r\n")[2], expected)

    def test_top_of_big(self) -> None:
        """TOP reads only what it needs."""
        server, transport = self.signed_in()
        server.dataReceived(b"TOP 4 1\r\n")
        stuffer = Stuffer()
        expected = b"+OK\r\n" + stuffer.feed(BIG) + stuffer.finish()
        self.assertEqual(transport.value(), expected)

    def test_top_of_all(self) -> None:
        """TOP with more lines than there are is streamed as RETR is."""
        server, transport = self.signed_in()
        received = bytearray()
        server.pauseProducing()
        server.dataReceived(b"TOP 4 999999999\r\n")
        while server._output:
            self.assertLess(len(transport.value()), 1 << 20)
            received += transport.value()
            transport.clear()
            server.resumeProducing()
            server.pauseProducing()
        received += transport.value()
        stuffer = Stuffer()
        expected = b"+OK\r\n" + stuffer.feed(self.big) + stuffer.finish()
        self.assertEqual(bytes(received), expected)

    def test_top_in_a_later_piece(self) -> None:
        """The lines are counted across pieces, also where a header is longer than one."""
        raw = b"X: y\r\n" * 50_000 + b"\r\n" + b"line\r\n" * 200_000
        self.fill((raw,))
        server, transport = self.signed_in()
        for lines in (0, 1, 100_000, 200_000):
            transport.clear()
            server.dataReceived(b"TOP 5 %d\r\n" % lines)
            expected = raw[: 300_002 + 6 * lines]
            self.assertEqual(transport.value(), b"+OK\r\n" + expected + b".\r\n")

    def test_reader_that_stays_away(self) -> None:
        """A client that never reads is cut off."""
        server, transport = self.signed_in()
        server.pauseProducing()
        server.dataReceived(b"RETR 4\r\n")
        self.clock.advance(600)
        self.assertTrue(transport.disconnected)

    def test_message_gone(self) -> None:
        """One that another session removed is an error, and the session goes on."""
        server, transport = self.signed_in()
        mailbox = self.now(self.mailboxes.unlock(self.alias.id, KEY))
        folder = self.now(mailbox.select("INBOX")).folder
        self.now(mailbox.remove(folder.id, [2]))
        server.dataReceived(b"RETR 2\r\nNOOP\r\n")
        self.assertEqual(transport.value(), b"-ERR The message is gone.\r\n+OK\r\n")

    def lose(self, content_id: int, piece: int = 0) -> None:
        """Octets of a message are lost on the disk."""
        assert isinstance(self.mailboxes, SQLiteMailboxStore)
        lose_piece(self.mailboxes._directory, self.alias.id, KEY, content_id, piece)

    def test_message_damaged(self) -> None:
        """One that cannot be read is an error of ours, not gone, and can be deleted."""
        self.lose(2)
        server, transport = self.signed_in()
        server.dataReceived(b"RETR 2\r\nTOP 2 0\r\nTOP 2 1\r\nDELE 2\r\nQUIT\r\n")
        refused = b"-ERR [SYS/PERM] The message cannot be read.\r\n"
        self.assertTrue(transport.value().startswith(3 * refused + b"+OK Marked as deleted.\r\n"))
        self.assertEqual(self.inbox(), (1, 3, 4))

    def test_big_message_damaged(self) -> None:
        """It breaks off once; who comes back is told before anything is promised."""
        self.lose(4, piece=1)
        server, transport = self.signed_in()
        server.dataReceived(b"RETR 4\r\n")
        self.assertTrue(transport.value().startswith(b"+OK"))
        self.assertTrue(transport.disconnecting)
        server, transport = self.signed_in()
        server.dataReceived(b"RETR 4\r\nNOOP\r\n")
        self.assertEqual(transport.value()[:17], b"-ERR [SYS/PERM] A")
        self.assertTrue(transport.value().endswith(b"\r\n+OK\r\n"))


class SizeTests(POP3TestCase):
    """Clients are told the size of what they get (RFC 1939 §11)."""

    def test_sizes(self) -> None:
        """Of messages with bare line feeds, without a last line end, small and big."""
        self.fill((b"a: b\n\n.c\n", b"a: b\r\n\r\nc\r", b"a: b\n\n" + b"0123456\n.\n" * 100_000))
        server, transport = self.signed_in()
        server.dataReceived(b"STAT\r\nLIST\r\n")
        stat, _, *listed = transport.value().splitlines()
        sizes = [int(line.split()[1]) for line in listed[:-1]]
        self.assertEqual(stat, b"+OK 6 %d" % sum(sizes))
        for number, size in enumerate(sizes, 1):
            transport.clear()
            server.dataReceived(b"RETR %d\r\n" % number)
            head, _, sent = transport.value().partition(b"\r\n")
            self.assertEqual(head, b"+OK %d octets." % size)
            self.assertEqual(len(sent.removesuffix(b".\r\n").replace(b"\n..", b"\n.")), size)


class MaildropTests(POP3TestCase):
    """Fetching ahead."""

    def test_batches(self) -> None:
        """Reading in order needs few fetches; jumping about fetches one at a time."""
        self.fill(MESSAGES * 40)
        mailbox = self.now(self.mailboxes.unlock(self.alias.id, KEY))
        drop = self.now(Maildrop.open(mailbox, BrokenOff()))
        asked: list[int] = []
        fetch = drop.fetch

        async def counted(uids: tuple[int, ...], want: Want) -> Any:
            asked.append(len(uids))
            return await fetch(uids, want)

        drop.fetch = counted  # type: ignore[method-assign]  # a spy, not a fake
        for number in drop.numbers:
            self.assertEqual(self.now(drop.body(number)), MESSAGES[(number - 1) % 3])
        self.assertLess(len(asked), 6)
        asked.clear()
        for number in (50, 20, 70):
            self.now(drop.body(number))
        self.assertEqual(asked, [1, 1, 1])


class LimitTests(POP3TestCase):
    """What a hostile or an unlucky client meets."""

    def test_long_line(self) -> None:
        """A line without end closes the connection."""
        server, transport = self.connect()
        server.dataReceived(b"x" * 5000)
        self.assertTrue(transport.value().endswith(b"-ERR The line is too long.\r\n"))
        self.assertTrue(transport.disconnecting)

    def test_many_mistakes(self) -> None:
        """Somebody who speaks another protocol is not listened to for long."""
        server, transport = self.connect()
        server.dataReceived(b"GET / HTTP/1.1\r\n" * 50)
        self.clock.advance(0)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value().count(b"-ERR"), 10)

    def test_flood_pauses_the_transport(self) -> None:
        """Commands that wait behind a slow reader are bounded."""
        server, transport = self.signed_in()
        self.fill((BIG * 5_000,))
        server, transport = self.signed_in()
        server.pauseProducing()
        server.dataReceived(b"RETR 4\r\n" + b"NOOP\r\n" * 20_000)
        self.assertEqual(transport.producerState, "paused")
        for _ in range(200):
            server.resumeProducing()
            self.clock.advance(0)
        self.assertEqual(transport.producerState, "producing")

    def test_connections_per_address(self) -> None:
        """One address cannot take all connections; a /64 is one address."""
        self.factory = self.make_factory(limits=Limits(in_all=9, per_address=2))
        for ip in ("2001:db8::1", "2001:db8::2"):
            self.connect(ip)
        _, transport = self.connect("2001:db8::3")
        self.assertIn(b"-ERR [SYS/TEMP] Too many connections from your address", transport.value())
        self.assertTrue(transport.disconnecting)
        _, other = self.connect("2001:db8:1::1")
        self.assertFalse(other.disconnecting)

    def test_leaving_counts(self) -> None:
        """A connection that ended makes room."""
        self.factory = self.make_factory(limits=Limits(in_all=1, per_address=9))
        server, _ = self.connect()
        server.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.factory.connections, 0)
        _, transport = self.connect()
        self.assertFalse(transport.disconnecting)

    def test_password_changed(self) -> None:
        """A session ends when the credentials of its alias change."""
        _, transport = self.signed_in()
        self.bus.publish(f"credentials:{self.alias.id}", {})
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"-ERR [AUTH] The password was changed.\r\n")
        self.assertTrue(transport.disconnecting)

    def test_connections_per_alias(self) -> None:
        """One mailbox cannot take all connections."""
        self.factory = self.make_factory(limits=Limits(in_all=9, per_address=9, per_alias=1))
        self.signed_in()
        server, transport = self.connect()
        server.dataReceived(f"USER {USER}\r\nPASS {PASSWORD}\r\nSTAT\r\n".encode())
        self.assertTrue(
            transport.value().endswith(b"-ERR [SYS/TEMP] Too many connections of this mailbox.\r\n")
        )
        self.assertTrue(transport.disconnecting)

    def test_store_unavailable(self) -> None:
        """Trouble of ours is temporary for the client, and says so."""
        server, transport = self.signed_in()
        drop = server.session.drop
        assert drop is not None

        async def refuse(*_: object) -> Any:
            raise Unavailable

        drop.fetch = refuse  # type: ignore[method-assign]  # the store at a bad moment
        server.dataReceived(b"RETR 1\r\n")
        self.assertIn(b"-ERR [SYS/TEMP] ", transport.value())

    def test_our_mistake(self) -> None:
        """An unexpected error is logged, told as temporary, and the session goes on."""
        server, transport = self.signed_in()
        drop = server.session.drop
        assert drop is not None

        async def break_down(*_: object) -> Any:
            raise RuntimeError("a secret of ours")

        drop.fetch = break_down  # type: ignore[method-assign]  # a store with a defect
        server.dataReceived(b"RETR 1\r\nNOOP\r\n")
        self.assertEqual(transport.value(), b"-ERR [SYS/TEMP] Internal error.\r\n+OK\r\n")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_quit_that_cannot_delete(self) -> None:
        """QUIT says when deleting failed (RFC 1939 §6)."""
        server, transport = self.signed_in()
        drop = server.session.drop
        assert drop is not None

        async def refuse() -> None:
            raise Unavailable

        drop.commit = refuse  # type: ignore[method-assign]  # the store at a bad moment
        server.dataReceived(b"DELE 1\r\nQUIT\r\n")
        self.assertTrue(transport.value().startswith(b"+OK Marked as deleted.\r\n-ERR [SYS/TEMP]"))
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.inbox(), (1, 2, 3))

    def test_quit_with_a_defect(self) -> None:
        """An unexpected error at QUIT is logged, told as temporary, and ends the session."""
        server, transport = self.signed_in()
        drop = server.session.drop
        assert drop is not None

        async def break_down() -> None:
            raise RuntimeError("a secret of ours")

        drop.commit = break_down  # type: ignore[method-assign]  # a store with a defect
        server.dataReceived(b"DELE 1\r\nQUIT\r\nNOOP\r\n")
        self.assertEqual(
            transport.value(),
            b"+OK Marked as deleted.\r\n"
            b"-ERR [SYS/TEMP] Some deleted messages were not removed.\r\n",
        )
        self.assertTrue(transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.inbox(), (1, 2, 3))

    def test_connection_lost_deletes_nothing(self) -> None:
        """Without QUIT there is no UPDATE state."""
        server, _ = self.signed_in()
        server.dataReceived(b"DELE 1\r\n")
        server.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.inbox(), (1, 2, 3))


class DrainTests(POP3TestCase):
    """Graceful stop."""

    def test_idle_sessions_end(self) -> None:
        """Waiting clients are told, and drain ends with the last of them."""
        server, transport = self.connect()
        done = defer.Deferred.fromCoroutine(self.factory.drain())
        self.assertIn(b"-ERR [SYS/TEMP] The server is shutting down", transport.value())
        self.assertNoResult(done)
        server.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(done)

    def test_nothing_new_begins(self) -> None:
        """A command that waits behind the one that runs is not done any more."""
        self.fill((BIG * 5_000,))
        server, transport = self.signed_in()
        server.pauseProducing()
        server.dataReceived(b"DELE 1\r\nRETR 4\r\nQUIT\r\n")
        done = defer.Deferred.fromCoroutine(self.factory.drain())
        while server._output:
            server.resumeProducing()
            server.pauseProducing()
        self.assertTrue(transport.value().endswith(b"server is shutting down.\r\n"))
        self.assertEqual(self.inbox(), (1, 2, 3, 4))
        server.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(done)

    def test_slow_ones_are_cut(self) -> None:
        """A client that does not read cannot hold us for ever."""
        self.fill((BIG * 5_000,))
        server, transport = self.signed_in()
        server.pauseProducing()
        server.dataReceived(b"RETR 4\r\n")
        done = defer.Deferred.fromCoroutine(self.factory.drain())
        self.clock.advance(30)
        self.assertTrue(transport.disconnected)
        server.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(done)


class TLSTransport(StringTransport):
    """A transport that can upgrade, and remembers what was written before it did."""

    def startTLS(self, context: object) -> None:
        """From here on everything is encrypted."""
        self.clear_text = self.value()
        directlyProvides(self, ISSLTransport)


class STLSTests(POP3TestCase):
    """The upgrade."""

    def upgradeable(self) -> tuple[Any, TLSTransport]:
        """A connection in the clear that offers STLS."""
        self.factory = self.make_factory(tls=object())
        transport = TLSTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1110))
        directlyProvides(transport, ITLSTransport)
        server = self.factory.buildProtocol(None)
        server.makeConnection(transport)
        return server, transport

    def test_injection(self) -> None:
        """Whatever follows STLS in the clear closes the connection, wherever it is split."""
        for extra in (b"USER mallory\r\n", b"USER mal", b"\r\n", b"\x16\x03\x01"):
            server, transport = self.upgradeable()
            server.dataReceived(b"STLS\r\n" + extra)
            self.assertTrue(transport.disconnecting, extra)
            self.assertFalse(ISSLTransport.providedBy(transport))

    def test_state_is_forgotten(self) -> None:
        """A name sent in the clear does not survive; CAPA changes."""
        server, transport = self.upgradeable()
        server.dataReceived(b"CAPA\r\n")
        self.assertIn(b"\r\nSTLS\r\n", transport.value())
        self.assertNotIn(b"SASL", transport.value())
        server.session.user = USER.encode()
        server.dataReceived(b"STLS\r\n")
        self.assertTrue(transport.clear_text.endswith(b"+OK Begin TLS.\r\n"))
        server.dataReceived(b"PASS " + PASSWORD.encode() + b"\r\nCAPA\r\nSTLS\r\n")
        self.assertIn(b"-ERR Send USER first.\r\n", transport.value())
        self.assertIn(b"\r\nSASL SCRAM-SHA-256 PLAIN LOGIN\r\n", transport.value())
        self.assertTrue(transport.value().endswith(b"-ERR TLS is not possible now.\r\n"))


class RealClientTests(POP3TestCase, TestCase):
    """Python's poplib over loopback."""

    def test_poplib(self) -> defer.Deferred[None]:
        """STLS, login, list, retrieve, delete, quit."""
        directory = Path(self.mktemp())
        make_self_signed(directory, ["localhost"])
        certificates = CertificateDirectory(directory)
        certificates.load()
        self.factory = self.make_factory(tls=certificates)
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        context = ssl.create_default_context(cafile=str(certificates.chain_path))

        def client() -> tuple[list[bytes], int]:
            connection = poplib.POP3("127.0.0.1", port.getHost().port, timeout=10)
            connection.host = "localhost"
            connection.stls(context)
            connection.user(USER)
            connection.pass_(PASSWORD)
            lines = connection.retr(1)[1]
            count = connection.stat()[0]
            connection.dele(1)
            connection.quit()
            return lines, count

        def check(result: tuple[list[bytes], int]) -> None:
            self.assertEqual(result[0], MESSAGES[0].splitlines())
            self.assertEqual(result[1], 3)
            self.assertEqual(self.inbox(), (2, 3))

        return deferToThread(client).addCallback(check)


class SCRAMTests(POP3TestCase):
    """AUTH SCRAM-SHA-256: the mailbox opens though the password never crosses the wire."""

    def exchange(self, password: str) -> bytes:
        """Sign in as a client that knows a password; what the server said last."""
        server, transport = self.connect()
        first = f"n={USER},r=nonce"
        transport.clear()
        server.dataReceived(b"AUTH SCRAM-SHA-256 " + b64encode(f"n,,{first}".encode()) + b"\r\n")
        challenge = b64decode(transport.value().removeprefix(b"+ ")).decode()
        nonce, salt, rounds = (part[2:] for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(salt), int(rounds))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        unproved = f"c=biws,r={nonce}"
        signed = f"{first},{challenge},{unproved}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        final = f"{unproved},p={b64encode(proof).decode()}"
        transport.clear()
        server.dataReceived(b64encode(final.encode()) + b"\r\n")
        if transport.value().startswith(b"+ "):
            server_key = hmac.digest(salted, b"Server Key", "sha256")
            expected = b"v=" + b64encode(hmac.digest(server_key, signed, "sha256"))
            self.assertEqual(b64decode(transport.value()[2:]), expected)
            transport.clear()
            server.dataReceived(b"\r\n")
        return transport.value()

    def test_proof(self) -> None:
        """The right proof opens INBOX, and the server proves itself."""
        self.assertEqual(self.exchange(PASSWORD), b"+OK 3 messages (207 octets).\r\n")

    def test_wrong_proof(self) -> None:
        """A wrong one does not."""
        self.assertEqual(self.exchange("wrong"), b"-ERR [AUTH] Invalid address or password.\r\n")
