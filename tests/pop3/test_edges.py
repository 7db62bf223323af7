"""POP3 at its edges: exact limits, the mailbox given back, trouble in the middle of a message."""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from fe_mail.connection.conversation import MAX_ANONYMOUS_COMMANDS
from fe_mail.model.errors import Unavailable
from fe_mail.pop3.framing import MAX_LINE_OCTETS, Framer, LineTooLong
from fe_mail.pop3.maildrop import PIECE_OCTETS, Maildrop
from tests.pop3.base import PASSWORD, USER, POP3TestCase


class HandleTests(POP3TestCase):
    """A mailbox that nobody uses is given back, so that its file can be closed."""

    def setUp(self) -> None:
        """Count handles."""
        super().setUp()
        self.handles = 0
        unlock = self.mailboxes.unlock

        async def counted(*words: Any) -> Any:
            mailbox = await unlock(*words)
            self.handles += 1
            close = mailbox.close

            def closed() -> None:
                self.handles -= 1
                close()

            mailbox.close = closed
            return mailbox

        self.mailboxes.unlock = counted  # type: ignore[method-assign]  # a spy, not a fake

    def test_after_quit(self) -> None:
        """QUIT ends the use."""
        server, _ = self.signed_in()
        self.assertEqual(self.handles, 1)
        server.dataReceived(b"QUIT\r\n")
        self.assertEqual(self.handles, 0)

    def test_after_a_lost_connection(self) -> None:
        """So does a connection that breaks."""
        server, _ = self.signed_in()
        server.connectionLost(Failure(ConnectionError()))
        self.assertEqual(self.handles, 0)

    def test_after_trouble_at_login(self) -> None:
        """And a mailbox that opens but cannot be listed."""

        async def refuse(*_: object) -> Maildrop:
            raise Unavailable

        self.patch(Maildrop, "open", refuse)
        server, transport = self.connect()
        server.dataReceived(f"USER {USER}\r\nPASS {PASSWORD}\r\n".encode())
        self.assertIn(b"-ERR [SYS/TEMP]", transport.value())
        self.assertEqual(self.handles, 0)


class TroubleTests(POP3TestCase):
    """A big message that cannot be read."""

    def setUp(self) -> None:
        """One of several pieces."""
        super().setUp()
        self.raw = b"Subject: bigger\r\n\r\n" + b"line\r\n" * (3 * PIECE_OCTETS // 6)
        self.fill((self.raw,))

    def broken_after(self, server: Any, pieces: int, error: Exception | None = None) -> None:
        """The store fails when so many pieces were read."""

        async def read(_: int) -> AsyncIterator[bytes]:
            for number in range(pieces):
                yield self.raw[number * PIECE_OCTETS : (number + 1) * PIECE_OCTETS]
            raise error or Unavailable()

        server.session.drop.pieces = read

    def test_before_the_first_piece(self) -> None:
        """It is an error like any other, and the session goes on."""
        server, transport = self.signed_in()
        self.broken_after(server, 0)
        server.dataReceived(b"RETR 4\r\nNOOP\r\n")
        self.assertTrue(transport.value().startswith(b"-ERR [SYS/TEMP] "), transport.value())
        self.assertTrue(transport.value().endswith(b"\r\n+OK\r\n"))
        self.assertFalse(transport.disconnecting)

    def test_in_the_middle(self) -> None:
        """Half a message must not look like a whole one: the connection ends without the dot."""
        server, transport = self.signed_in()
        self.broken_after(server, 1)
        server.dataReceived(b"RETR 4\r\nNOOP\r\n")
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.value().endswith((b"\r\n.\r\n", b"+OK\r\n")))

    def test_defect_in_the_middle(self) -> None:
        """The same for an error of ours, which would look like a line of the message."""
        server, transport = self.signed_in()
        self.broken_after(server, 1, ZeroDivisionError())
        server.dataReceived(b"RETR 4\r\nNOOP\r\n")
        self.assertTrue(transport.disconnecting)
        self.assertNotIn(b"-ERR", transport.value())
        self.assertFalse(transport.value().endswith((b"\r\n.\r\n", b"+OK\r\n")))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_top_at_the_end_of_a_piece(self) -> None:
        """As many lines as the first piece has whole: nothing of the line after them."""
        lines = self.raw.count(b"\n", 0, PIECE_OCTETS) - 2
        self.assertNotEqual(self.raw[PIECE_OCTETS - 1 : PIECE_OCTETS], b"\n")
        server, transport = self.signed_in()
        server.dataReceived(b"TOP 4 %d\r\n" % lines)
        expected = self.raw[: len(b"Subject: bigger\r\n\r\n") + 6 * lines]
        self.assertEqual(transport.value(), b"+OK\r\n" + expected + b".\r\n")


class LimitTests(POP3TestCase):
    """Exactly as much as is allowed, and one more."""

    def test_line(self) -> None:
        """The longest line is taken, a longer one is not."""
        framer = Framer()
        framer.feed(b"x" * (MAX_LINE_OCTETS - 1) + b"\r\n")
        self.assertEqual(framer.next(), b"x" * (MAX_LINE_OCTETS - 1))
        framer.feed(b"x" * MAX_LINE_OCTETS + b"\r\n")
        self.assertRaises(LineTooLong, framer.next)

    def test_commands_before_login(self) -> None:
        """Whoever never signs in is sent away; whoever does has no such limit."""
        server, transport = self.connect()
        self.send(server, b"CAPA\r\n" * MAX_ANONYMOUS_COMMANDS)
        self.assertFalse(transport.disconnecting)
        self.send(server, b"CAPA\r\n")
        self.assertTrue(transport.value().endswith(b"-ERR Too many commands before login.\r\n"))
        self.assertTrue(transport.disconnecting)
        server, transport = self.signed_in()
        self.send(server, b"NOOP\r\n" * 2 * MAX_ANONYMOUS_COMMANDS)
        self.assertEqual(transport.value(), b"+OK\r\n" * 2 * MAX_ANONYMOUS_COMMANDS)

    def send(self, server: Any, octets: bytes) -> None:
        """With all the turns that it takes."""
        server.dataReceived(octets)
        self.clock.pump([0.0] * (octets.count(b"\n") + 1))

    def test_password_that_is_no_text(self) -> None:
        """A password that is not UTF-8 is a wrong one, and is answered."""
        server, transport = self.connect()
        transport.clear()
        server.dataReceived(b"USER " + USER.encode() + b"\r\nPASS \xff\xfe\r\n")
        self.assertTrue(transport.value().endswith(b"-ERR [AUTH] Invalid address or password.\r\n"))

    def test_tls_only_once(self) -> None:
        """Under TLS neither CAPA offers STLS nor is it possible."""

        class Both(StringTransport):
            """Says what a TLS transport of Twisted says."""

            def startTLS(self, *_: object) -> None:
                """No second handshake."""
                raise AssertionError

        self.factory = self.make_factory(tls=object())
        transport = Both()
        directlyProvides(transport, ISSLTransport, ITLSTransport)
        server = self.factory.buildProtocol(None)
        server.makeConnection(transport)
        server.dataReceived(b"CAPA\r\nSTLS\r\n")
        self.assertNotIn(b"\r\nSTLS\r\n", transport.value())
        self.assertTrue(transport.value().endswith(b"-ERR TLS is not possible now.\r\n"))

    def test_no_sign_in_offered_twice(self) -> None:
        """After login CAPA offers neither USER nor SASL."""
        server, transport = self.signed_in()
        server.dataReceived(b"CAPA\r\n")
        self.assertNotIn(b"SASL", transport.value())
        self.assertNotIn(b"USER", transport.value())
