"""The dialogue scripts of the SMTP listeners; each file says what it is about."""

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.status import Status
from tests.dialogue import play
from tests.smtp.fakes import RecordingReception, connector, make_mx, make_submission


class MXDialogues(SynchronousTestCase):
    """Scripts for the MX."""

    def setUp(self) -> None:
        """A reception that knows everybody but nobody@a.test."""
        self.clock = Clock()
        self.reception = RecordingReception()
        self.reception.answers["nobody@a.test"] = Status(550, "5.1.1", "No such user")

    def play(self, name: str, names: dict[str, str] | None = None, **options: Any) -> None:
        """Play one script."""
        factory = make_mx(self.reception, self.clock, **options)
        play(name, connector(factory), self.clock, names)

    def contents(self) -> list[bytes]:
        """The messages that were accepted."""
        return [message.content for message in self.reception.messages]

    def test_message(self) -> None:
        """Two messages, byte by byte what was sent."""
        self.play("smtp_mx_message.txt")
        self.assertEqual(
            self.contents(), [b"Subject: hello\r\n\r\n.a line that begins with a dot\r\n", b""]
        )
        first, second = (message.envelope for message in self.reception.messages)
        self.assertEqual((str(first.reverse_path), first.is_8bit), ("bob@b.test", True))
        self.assertEqual([str(r.address) for r in first.recipients], ["alice@a.test"])
        self.assertIsNone(second.reverse_path)
        self.assertEqual((first.peer.protocol, first.peer.helo), ("ESMTP", "client.test"))
        self.assertEqual(first.peer.ip, "192.0.2.1")

    def test_order(self) -> None:
        """Commands out of order."""
        self.play("smtp_order.txt")

    def test_small_commands(self) -> None:
        """What moves no mail."""
        self.play("smtp_small_commands.txt")

    def test_addresses(self) -> None:
        """Paths arrive as normalized addresses."""
        self.play("smtp_addresses.txt")
        self.assertEqual(
            self.reception.steps[1:],
            [
                "from bob@b.test",
                "to Postmaster@mx.test",
                'to "a > b"@a.test',
                "to alice@[192.0.2.7]",
                "from bj\u00f8rn@b.test",
                "to \u00e5lice@xn--blbr-roah.test",
            ],
        )

    def test_parameters(self) -> None:
        """S5: parameters are understood or refused."""
        self.play("smtp_parameters.txt")

    def test_bdat(self) -> None:
        """S7: chunks."""
        self.play("smtp_bdat.txt")
        self.assertEqual(self.contents(), [b"A: b\r\n\r\n.\r\n"])
        self.assertEqual([s.state for s in self.reception.spoolings], ["finished", "aborted"])

    def test_line_ends(self) -> None:
        """S3 and security row 1: nothing is smuggled."""
        self.play("smtp_line_ends.txt")
        self.assertEqual(self.contents(), [])
        self.assertEqual([s.state for s in self.reception.spoolings], ["aborted", "aborted"])

    def test_errors(self) -> None:
        """Too many mistakes; other protocols."""
        self.play("smtp_errors.txt")

    def test_timeouts(self) -> None:
        """Silence."""
        self.play("smtp_timeouts.txt")
        self.assertEqual([s.state for s in self.reception.spoolings], ["aborted"])

    def test_starttls_injection(self) -> None:
        """S1 and security row 2."""
        self.play("smtp_starttls_injection.txt", tls=object())
        self.assertEqual(self.reception.steps, ["connected"] * 3)

    def test_long_lines(self) -> None:
        """S2: a long line never becomes commands."""
        names = {"long": "x" * 70_000, "body": "y" * 60_000, "flood": "z" * 300_000}
        self.play("smtp_long_lines.txt", names)
        body = b"y" * 60_000 + b"\r\nMAIL FROM:<evil@b.test>\r\n"
        self.assertEqual(self.contents(), [body])

    def test_limits(self) -> None:
        """Counts and sizes; the same recipient twice is one (S6)."""
        self.play("smtp_limits.txt", max_recipients=2, max_transactions=2, max_size_octets=20)
        recipients = self.reception.spoolings[0].envelope.recipients
        self.assertEqual([str(r.address) for r in recipients], ["a@a.test", "b@a.test"])

    def test_pipelining(self) -> None:
        """A whole transaction in one segment."""
        self.play("smtp_pipelining.txt")

    def test_byte_by_byte(self) -> None:
        """A session fed one octet at a time says the same as one fed at once."""
        octets = (
            b"EHLO c.test\r\nMAIL FROM:<bob@b.test>\r\nRCPT TO:<alice@a.test>\r\nDATA\r\n"
            b"a\r\n..\r\n.\r\nBDAT 3\r\nabcRSET\r\nFOO\r\nQUIT\r\n"
        )
        said = []
        for parts in ([octets], [bytes([octet]) for octet in octets]):
            server, transport = connector(make_mx(self.reception, self.clock))()
            for part in parts:
                server.dataReceived(part)
            said.append(transport.value())
        self.assertEqual(said[0], said[1])
        self.assertEqual(self.contents(), [b"a\r\n.\r\n"] * 2)


class SubmissionDialogues(SynchronousTestCase):
    """Scripts for the submission listener."""

    def play(self, name: str, is_secure: bool = True, **options: Any) -> RecordingReception:
        """Play one script."""
        reception, clock = RecordingReception(), Clock()
        factory = make_submission(reception, clock, **options)
        play(name, connector(factory, is_secure), clock)
        return reception

    def test_login(self) -> None:
        """AUTH, good and bad; the identity reaches the reception."""
        reception = self.play("smtp_login.txt")
        (peer,), (identity,) = reception.peers, reception.identities
        self.assertEqual(peer.protocol, "ESMTPSA")
        assert identity is not None
        self.assertEqual(identity.alias.address, "alice@a.test")

    def test_login_in_clear(self) -> None:
        """No TLS, no login."""
        self.play("smtp_login_clear.txt", is_secure=False, tls=object())

    def test_dsn(self) -> None:
        """DSN parameters reach the envelope."""
        (message,) = self.play("smtp_dsn.txt").messages
        envelope = message.envelope
        self.assertEqual((envelope.dsn_return, envelope.envelope_id), ("HDRS", "QQ+2B1"))
        first, second = envelope.recipients
        self.assertEqual(first.notify, ("SUCCESS", "FAILURE"))
        self.assertEqual(first.original, "rfc822;bob+2Bx@b.test")
        self.assertEqual(second.notify, ("NEVER",))

    def test_plaintext_for_tests(self) -> None:
        """``allow_plaintext_auth`` offers AUTH without TLS."""
        factory = make_submission(RecordingReception(), Clock(), allow_plaintext_auth=True)
        server, transport = connector(factory)()
        assert isinstance(transport, StringTransport)
        server.dataReceived(b"EHLO c.test\r\nAUTH PLAIN AGFsaWNlQGEudGVzdABzZWNyZXQ=\r\n")
        self.assertIn(b"AUTH PLAIN LOGIN\r\n235 2.7.0", transport.value())
