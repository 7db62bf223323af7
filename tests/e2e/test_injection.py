"""
Smuggling, injection and relaying, tried over real sockets on a running server.

RFC 5321 §2.3.8 (line ends), RFC 3207 §4.2 and RFC 9051 §6.2.1 (STARTTLS), RFC 2595 §4 (STLS).
"""

import base64
import itertools
import smtplib
import socket
import uuid
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import WAIT_SECONDS, shared_server

HELLO = b"EHLO client.test\r\n"


class SocketTestCase(SynchronousTestCase):
    """The shared server, spoken to octet by octet."""

    def setUp(self) -> None:
        """Start it with the first test."""
        self.server = shared_server()
        self.alice, self.password = self.server.alias("alice")

    def connect(self, listener: str) -> socket.socket:
        """A connection in clear."""
        return socket.create_connection(("127.0.0.1", self.server.port(listener)), WAIT_SECONDS)

    def converse(self, client: socket.socket, *lines: bytes) -> list[bytes]:
        """Say each line when the one before was answered; the answers."""
        answers = []
        for line in lines:
            client.sendall(line)
            answer = b""
            while not answer.endswith(b"\r\n") or answer.splitlines()[-1][3:4] == b"-":
                piece = client.recv(4096)
                if not piece:
                    break
                answer += piece
            answers.append(answer)
        return answers

    def to_the_end(self, client: socket.socket) -> bytes:
        """All that still comes, until the server closes."""
        got = b""
        try:
            while piece := client.recv(4096):
                got += piece
        except ConnectionResetError:
            pass  # closed with our octets unread
        return got


class StartTLSTests(SocketTestCase):
    """What is sent in clear behind STARTTLS is never taken for what comes inside TLS."""

    CASES = (
        ("mx", HELLO, b"STARTTLS\r\n", b"MAIL FROM:<evil@x.test>\r\n"),
        ("submission", HELLO, b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n"),
        ("imap", b"", b"a STARTTLS\r\n", b"b LOGIN x y\r\n"),
        ("pop3", b"", b"STLS\r\n", b"USER x\r\n"),
    )

    def test_commands(self) -> None:
        """A whole command, half a command, a handshake that came too early: the end."""
        for listener, hello, starttls, command in self.CASES:
            for extra in (command, command[:3], b"\x16\x03\x01\x00"):
                with closing(self.connect(listener)) as client:
                    self.converse(client, *(b"", hello) if hello else (b"",))
                    client.sendall(starttls + extra)
                    said = self.to_the_end(client)
                    self.assertNotIn(b"250 2.1.0", said, listener)
                    self.assertLessEqual(said.count(b"\r\n"), 2, (listener, said))

    def test_nothing_survives(self) -> None:
        """The server forgets what it was told in clear: EHLO must come again."""
        for listener in ("mx", "submission"):
            with closing(self.connect(listener)) as client:
                self.converse(client, b"", HELLO, b"STARTTLS\r\n")
                with self.server.context.wrap_socket(client, server_hostname="localhost") as safe:
                    (answer,) = self.converse(safe, b"MAIL FROM:<a@x.test>\r\n")
                    self.assertTrue(answer.startswith(b"503 "), answer)

    def test_no_passwords_in_clear(self) -> None:
        """Neither offered nor taken."""
        plain = base64.b64encode(f"\0{self.alice}\0{self.password}".encode())
        for listener, line, expected in (
            ("submission", b"AUTH PLAIN " + plain, b"538 "),
            ("imap", f"a LOGIN {self.alice} {self.password}".encode(), b"a NO [PRIVACYREQUIRED]"),
            ("imap", b"a AUTHENTICATE PLAIN " + plain, b"a NO [PRIVACYREQUIRED]"),
            ("pop3", f"USER {self.alice}".encode(), b"-ERR"),
            ("pop3", b"AUTH PLAIN " + plain, b"-ERR"),
        ):
            with closing(self.connect(listener)) as client:
                hello = HELLO if listener == "submission" else b""
                *_, answer = self.converse(client, b"", *filter(None, (hello, line + b"\r\n")))
                self.assertTrue(answer.startswith(expected), (listener, answer))


class SmugglingTests(SocketTestCase):
    """Only CRLF . CRLF ends a message, and nothing that looks like it gets through."""

    def test_permutations(self) -> None:
        """Every mixture of CR, LF and NUL around the dot is refused, and executes nothing."""
        ends = (b"\r\n", b"\r", b"\n", b"\0", b"\r\n\0", b"\0\r\n", b"\n\n", b"\r\r", b"\r\r\n")
        mark = uuid.uuid4().hex
        for number, (before, after) in enumerate(itertools.product(ends, ends)):
            if b"\r\n.\r\n" in before + b"." + after:
                continue  # that is an end, and what follows is a command or none
            smuggled = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<%b>\r\nDATA\r\n" % self.alice.encode()
            inner = b"Subject: smuggled %b %d\r\n\r\nx" % (mark.encode(), number)
            with closing(self.connect("mx")) as client:
                self.converse(
                    client,
                    b"",
                    HELLO,
                    b"MAIL FROM:<a@x.test>\r\n",
                    b"RCPT TO:<%b>\r\n" % self.alice.encode(),
                    b"DATA\r\n",
                )
                client.sendall(
                    b"Subject: outer %b\r\n\r\none" % mark.encode()
                    + before + b"." + after + smuggled + inner + b"\r\n.\r\nQUIT\r\n"
                )  # fmt: skip
                said = self.to_the_end(client)
                self.assertTrue(said.startswith((b"550 ", b"554 ", b"500 ")), (before, after, said))
                self.assertNotIn(b"250 ", said, (before, after))
                self.assertNotIn(b"354 ", said, (before, after))
        client = self.server.imap("alice")
        client.select("INBOX")
        self.assertEqual(client.search(None, "HEADER", "Subject", mark)[1], [b""])
        client.logout()

    def test_long_line_is_no_command(self) -> None:
        """What follows a line of 100,000 octets is content, not a command."""
        mark = uuid.uuid4().hex
        with self.server.mx() as client:
            client.ehlo()
            client.mail("a@x.test")
            client.rcpt(self.alice)
            body = b"Subject: %b\r\n\r\n" % mark.encode() + b"x" * 100_000
            code, _ = client.data(body + b"\r\nQUIT\r\nRCPT TO:<bob@demo.test>\r\n")
            self.assertIn(code // 100, (2, 5))
            self.assertEqual(client.noop()[0], 250)


class RelayTests(SocketTestCase):
    """Who may send what to whom: nobody relays without login, nobody writes as somebody else."""

    STRANGER, OUTSIDE, MISSING = "x@x.test", "y@elsewhere.test", "nobody@demo.test"

    def verdict(self, client: smtplib.SMTP, sender: str, recipient: str) -> int:
        """The first code that is no 250, or 250."""
        client.rset()
        code, _ = client.mail(sender)
        return code if code != 250 else client.rcpt(recipient)[0]

    def test_mx(self) -> None:
        """The MX takes mail for who is here, whatever the sender claims; TLS changes nothing."""
        bob, _ = self.server.alias("bob")
        for secure in (False, True):
            with self.server.mx() as client:
                if secure:
                    client.starttls(context=self.server.context_without_names)
                client.ehlo()
                self.assertFalse(client.has_extn("auth"))
                for sender in ("", self.STRANGER, self.alice):
                    self.assertEqual(self.verdict(client, sender, bob), 250)
                    self.assertEqual(self.verdict(client, sender, self.OUTSIDE), 550)

    def test_old_routes(self) -> None:
        """No way of writing an address makes a relay of the MX (RFC 5321 appendix C, F.2)."""
        odd = (
            f"{self.alice}@elsewhere.test",
            "y%elsewhere.test@demo.test",
            "elsewhere.test!y@demo.test",
            '"y@elsewhere.test"@demo.test',
            "y@[127.0.0.1]",
            f"@demo.test:{self.OUTSIDE}",
        )
        for number, address in enumerate(odd):  # who asks for many unknown ones has to wait
            source = (f"127.0.8.{number + 1}", 0)
            port = self.server.port("mx")
            with smtplib.SMTP("127.0.0.1", port, timeout=WAIT_SECONDS, source_address=source) as c:
                c.ehlo()
                self.assertEqual(self.verdict(c, self.STRANGER, address) // 100, 5, address)

    def test_submission_without_login(self) -> None:
        """Nothing at all, with TLS or without."""
        for secure in (False, True):
            with smtplib.SMTP("localhost", self.server.port("submission")) as client:
                if secure:
                    client.starttls(context=self.server.context)
                client.ehlo()
                for recipient in (self.alice, self.OUTSIDE):
                    self.assertEqual(self.verdict(client, self.alice, recipient), 530)

    def test_submission(self) -> None:
        """After login to anybody, but only as oneself."""
        bob, _ = self.server.alias("bob")
        with self.server.smtp("alice") as client:
            client.ehlo()
            self.assertEqual(self.verdict(client, self.alice, bob), 250)
            self.assertEqual(self.verdict(client, self.alice, self.OUTSIDE), 250)
            self.assertEqual(self.verdict(client, self.alice, self.MISSING), 550)
            for sender in (bob, self.STRANGER):
                self.assertEqual(self.verdict(client, sender, bob), 553)


class HostileNameTests(SocketTestCase):
    """User names that mean something to a database, a directory or a file system."""

    NAMES = (
        "' OR 1=1 --", "*)(uid=*", "$ne", "../../../etc/passwd", "alice@demo.test/../bob",
        "alice\0@demo.test", "%00", "\u202ealice@demo.test", "a" * 5000, "alice@demo.test\r\nX: y",
        "{'$gt': ''}", "alice@DEMO.test'; DROP TABLE aliases; --", "", "@", "alice@",
    )  # fmt: skip

    def test_smtp(self) -> None:
        """Every one fails like a wrong password, none breaks anything."""
        for number, name in enumerate(self.NAMES):
            source = f"127.0.9.{number + 1}"
            plain = base64.b64encode(f"\0{name}\0{'wrong'}".encode())
            address = ("localhost", self.server.port("submissions"))
            with (
                socket.create_connection(address, WAIT_SECONDS, (source, 0)) as raw,
                self.server.context.wrap_socket(raw, server_hostname="localhost") as client,
            ):
                *_, answer = self.converse(client, b"", HELLO, b"AUTH PLAIN " + plain + b"\r\n")
                self.assertIn(answer[:3], (b"535", b"501", b"500", b"454"), name)
        self.server.imap("alice").logout()
