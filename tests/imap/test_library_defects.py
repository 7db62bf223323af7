"""
Regression tests against the known defects of Twisted's own ``IMAP4Server``, from which our
server inherits only the seams. Each is named for what went wrong there.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.logger import globalLogPublisher
from zope.interface import directlyProvides, implementer

from fe_mail.model.errors import Unavailable
from fe_mail.model.mailbox import FetchedMessage, Folder, Want
from fe_mail.ports import OpenMailbox
from tests.dialogue import Connection
from tests.imap.base import IMAPTestCase, Transport, message

__all__ = ["DefectTests"]


class SlowMailbox:
    """Passes everything on to a mailbox, but ``select`` and ``fetch`` wait for ``gate``."""

    def __init__(self, mailbox: OpenMailbox) -> None:
        self._mailbox = mailbox
        self.gates: list[Deferred[None]] = []
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)

    async def _wait(self) -> None:
        gate: Deferred[None] = Deferred()
        self.gates.append(gate)
        await gate

    async def select(self, name: str, claim_recent: bool = True) -> Any:
        """Later."""
        await self._wait()
        return await self._mailbox.select(name, claim_recent)

    async def create_folder(self, name: str, special_use: str = "") -> Folder:
        """Later, and it fails."""
        await self._wait()
        raise Unavailable("The disk is full.")

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """Later, or it fails."""
        await self._wait()
        if self.error is not None:
            raise self.error
        return await self._mailbox.fetch(folder_id, uids, want)


class DefectTests(IMAPTestCase):
    """I1 to I17."""

    def slow(self) -> tuple[Connection, SlowMailbox]:
        """A session whose mailbox needs time."""
        self.add(message("one"), message("two"))
        connection = self.logged_in()
        session = connection.protocol.session  # type: ignore[attr-defined]
        mailbox = SlowMailbox(session._mailbox)
        session._mailbox = mailbox
        return connection, mailbox

    def lines(self, connection: Connection) -> list[bytes]:
        """Everything said since."""
        lines = []
        while (line := connection.line()) is not None:
            lines.append(line)
        return lines

    def test_i1_commands_are_serial(self) -> None:
        """FETCH behind a slow SELECT waits for it."""
        connection, mailbox = self.slow()
        connection.send(b"a SELECT INBOX\r\nb FETCH 1 RFC822.SIZE\r\nc NOOP\r\n")
        self.assertEqual(self.lines(connection), [])
        mailbox.gates[0].callback(None)
        self.assertIn(b"a OK [READ-WRITE] Selected.", self.lines(connection))
        mailbox.gates[1].callback(None)
        self.assertEqual(
            self.lines(connection),
            [b"* 1 FETCH (RFC822.SIZE 145)", b"b OK Fetched.", b"c OK Done."],
        )

    def test_i2_late_failures_are_told(self) -> None:
        """CREATE that fails later says NO."""
        connection, mailbox = self.slow()
        connection.send(b"a CREATE x\r\n")
        mailbox.gates[0].callback(None)
        self.assertEqual(self.lines(connection), [b"a NO [UNAVAILABLE] The disk is full."])

    def starttls(self) -> tuple[Connection, list[object]]:
        """A connection in clear that could begin TLS."""
        started: list[object] = []

        @implementer(ITLSTransport)
        class TLSTransport(Transport):
            """Knows STARTTLS."""

            def startTLS(self, context: object) -> None:
                """Remember it."""
                started.append(context)
                directlyProvides(self, ISSLTransport)

        factory = self.make_factory(tls=object())
        transport = TLSTransport()
        protocol = factory.buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        connection = Connection(protocol, transport)
        return connection, started

    def test_i3_nothing_is_smuggled_into_tls(self) -> None:
        """A command behind STARTTLS in the same segment closes the connection."""
        connection, started = self.starttls()
        connection.send(b'a STARTTLS\r\nb LOGIN alice@example.org "pa\\"ss\\\\word"\r\n')
        self.assertEqual(started, [])
        self.assertTrue(connection.is_closed)
        self.assertNotIn(b" OK Logged in", connection.rest())
        self.assertNotIn(b"a OK", connection.rest())

    def test_i3_half_a_line_is_smuggling_too(self) -> None:
        """Not even the beginning of a command may follow."""
        connection, started = self.starttls()
        connection.send(b"a STARTTLS\r\nb NO")
        self.assertEqual(started, [])
        self.assertTrue(connection.is_closed)

    def test_i3_starttls(self) -> None:
        """The ordinary way: OK in clear, then TLS, then LOGIN is possible."""
        connection, started = self.starttls()
        self.assertIn(b"STARTTLS LOGINDISABLED", connection.rest())
        self.lines(connection)
        connection.send(b"a STARTTLS\r\n")
        self.assertEqual(self.lines(connection), [b"a OK Begin TLS now."])
        self.assertEqual(len(started), 1)
        self.assertEqual(
            self.ask(connection, b"STARTTLS")[-1],
            b"t BAD TLS is active already, or not available.",
        )
        self.assertIn(b"AUTH=PLAIN", self.ask(connection, b"CAPABILITY")[0])
        logged_in = self.ask(connection, b'login alice@example.org "pa\\"ss\\\\word"')
        self.assertTrue(logged_in[-1].startswith(b"t OK"))

    def test_i12_long_lines(self) -> None:
        """A line of 100,000 octets is a command; one over the limit is answered and skipped."""
        self.add(message("one"))
        connection = self.logged_in("INBOX")
        numbers = ",".join(map(str, range(1, 20_000))).encode()
        self.assertEqual(
            self.ask(connection, b"uid fetch " + numbers + b" uid"),
            [b"* 1 FETCH (UID 1)", b"t OK Fetched."],
        )
        self.assertEqual(
            self.ask(connection, b"uid fetch " + b"1," * 600_000 + b"1 uid"),
            [b"t BAD [TOOBIG] A command may have 1048576 octets."],
        )
        self.assertEqual(self.ask(connection, b"noop"), [b"t OK Done."])

    def test_i13_exceptions_stay_inside(self) -> None:
        """What went wrong is logged, not sent."""
        connection, mailbox = self.slow()
        connection.send(b"a SELECT INBOX\r\n")
        mailbox.gates.pop().callback(None)
        self.lines(connection)
        mailbox.error = RuntimeError("secret path /var/lib")
        connection.send(b"b FETCH 1 ENVELOPE\r\n")
        mailbox.gates.pop().callback(None)
        self.assertEqual(self.lines(connection), [b"b NO [SERVERBUG] Internal error."])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_i14_failed_fetch_does_not_block(self) -> None:
        """After a failure the session goes on."""
        connection, mailbox = self.slow()
        connection.send(b"a SELECT INBOX\r\n")
        mailbox.gates.pop().callback(None)
        self.lines(connection)
        mailbox.error = Unavailable()
        connection.send(b"b FETCH 1:2 ENVELOPE\r\nc NOOP\r\n")
        mailbox.gates.pop().callback(None)
        self.assertEqual(
            self.lines(connection),
            [
                b"b NO [UNAVAILABLE] Temporarily unavailable. Try again later.",
                b"c OK Done.",
            ],
        )

    def test_i14_no_recursion(self) -> None:
        """Thousands of messages, thousands of commands, one stack."""
        self.add(*[message(str(number)) for number in range(3000)])
        connection = self.logged_in("INBOX")
        connection.send(b"a FETCH 1:* (UID BODY.PEEK[TEXT])\r\n" + b"b NOOP\r\n" * 3000)
        self.turn()
        lines = self.lines(connection)
        self.assertEqual(lines.count(b"b OK Done."), 3000)
        self.assertEqual(lines.count(b"Hello."), 3000)

    def test_i15_literals_are_limited(self) -> None:
        """Nobody stores 64 KiB before login, and no message is over the limit after it."""
        connection = Connection(*self.connect())
        self.lines(connection)
        self.assertEqual(
            self.ask(connection, b"login {100000}"),
            [b"t BAD [TOOBIG] A command may have 65536 octets."],
        )
        self.assertEqual(self.ask(connection, b"noop"), [b"t OK Done."])
        connection.send(b"a login {100000+}\r\n")
        self.assertTrue(connection.rest().startswith(b"* BYE [TOOBIG]"))
        self.assertTrue(connection.is_closed)

    def test_i15_refused_literal_keeps_step(self) -> None:
        """A LITERAL+ over the limit is read and dropped, not executed."""
        connection = self.logged_in()
        body = b"x NOOP\r\n" * 200_000
        connection.send(b"a FOO {%d+}\r\n" % len(body))
        for at in range(0, len(body), 65536):
            connection.send(body[at : at + 65536])
        connection.send(b"\r\nb NOOP\r\n")
        self.assertEqual(
            self.lines(connection),
            [b"a BAD [TOOBIG] A command may have 1048576 octets.", b"b OK Done."],
        )

    def test_i17_idle_ends_with_done_only(self) -> None:
        """Any other line is BAD (and ends it, so that client and server stay in step)."""
        connection = self.logged_in("INBOX")
        self.assertEqual(self.ask(connection, b"idle"), [b"+ idling"])
        connection.send(b"x LOGOUT\r\n")
        self.assertEqual(self.lines(connection), [b"t BAD Expected DONE."])
        self.assertFalse(connection.is_closed)
        self.ask(connection, b"idle")
        connection.send(b"don")
        connection.send(b"e\r\n")
        self.assertEqual(self.lines(connection), [b"t OK Idled."])

    def test_passwords_are_not_logged(self) -> None:
        """Neither a good one nor a bad one, nor anything of a message."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.add(message("confidential"))
        connection = self.logged_in("INBOX")
        self.ask(connection, b"fetch 1 (envelope body[])")
        self.ask(Connection(*self.connect()), b"login alice@example.org hunter2")
        said = repr(events)
        for secret in ("hunter2", "ss\\word", "confidential"):
            self.assertNotIn(secret, said)
