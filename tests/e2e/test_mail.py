"""Mail goes out, comes in, and is read, with Python's own clients."""

import email
import email.policy
import poplib
import smtplib
from email.message import EmailMessage

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import shared_server, wait_for


def letter(sender: str, to: str, subject: str, text: str = "Hello.\n") -> EmailMessage:
    """A small message."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    return message


class MailTests(SynchronousTestCase):
    """One demo server for all of them: each uses subjects of its own."""

    def setUp(self) -> None:
        """Start it with the first test."""
        self.server = shared_server()

    def test_send_receive_reply(self) -> None:
        """Alice writes, Bob reads and answers, Alice reads the answer."""
        alice, _ = self.server.alias("alice")
        bob, _ = self.server.alias("bob")
        with self.server.smtp("alice") as client:
            client.send_message(letter(alice, bob, "Round trip"))
        got = email.message_from_bytes(self.server.inbox("bob", "Round trip"))
        self.assertEqual(got["From"], alice)
        self.assertIsNotNone(got["Message-ID"])
        self.assertIsNotNone(got["Date"])
        self.assertIn("d=demo.test", got["DKIM-Signature"])
        answer = letter(bob, alice, "Re: Round trip")
        answer["In-Reply-To"] = got["Message-ID"]
        with self.server.smtp("bob") as client:
            client.send_message(answer)
        back = email.message_from_bytes(self.server.inbox("alice", "Re: Round trip"))
        self.assertEqual(back["In-Reply-To"], got["Message-ID"])

    def test_bytes_from_the_mx_are_stored_exactly(self) -> None:
        """What the MX took is what IMAP gives, behind the trace header."""
        bob, _ = self.server.alias("bob")
        raw = (
            b"From: x@client.test\r\nTo: " + bob.encode() + b"\r\nSubject: Exact bytes\r\n"
            b"X-Odd:   spaces\tand\r\n folding\r\nX-Odd: twice\r\n\r\n"
            b".leading dot\r\n..two\r\n\xff\xfe not utf-8 \r\nlast line without more\r\n"
        )
        with self.server.mx() as client:
            client.sendmail("x@client.test", [bob], raw)
        got = self.server.inbox("bob", "Exact bytes")
        self.assertTrue(got.endswith(raw), got)
        trace = got[: -len(raw)].decode("ascii")
        self.assertIn("Return-Path: <x@client.test>\r\n", trace)
        self.assertIn("Received: from client.test", trace)

    def test_unknown_recipient_is_refused_at_rcpt(self) -> None:
        """Nobody has to wait for DATA to learn that an address does not exist."""
        with self.server.mx() as client:
            client.ehlo()
            client.mail("x@client.test")
            code, text = client.rcpt("nobody@demo.test")
        self.assertEqual(code, 550)
        self.assertTrue(text.startswith(b"5.1.1 "), text)

    def test_relaying_is_refused(self) -> None:
        """The MX takes mail for hosted domains only."""
        with self.server.mx() as client:
            client.ehlo()
            client.mail("x@client.test")
            code, _ = client.rcpt("someone@elsewhere.test")
        self.assertEqual(code // 100, 5)

    def test_other_senders_are_refused(self) -> None:
        """Alice cannot write as Bob, neither in the envelope nor in the header."""
        alice, _ = self.server.alias("alice")
        bob, _ = self.server.alias("bob")
        with self.server.smtp("alice") as client:
            self.assertRaises(
                (smtplib.SMTPSenderRefused, smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused),
                client.send_message,
                letter(bob, alice, "Forged envelope"),
            )
        with self.server.smtp("alice") as client:
            self.assertRaises(
                smtplib.SMTPDataError,
                client.sendmail,
                alice,
                [bob],
                letter(bob, bob, "Forged header").as_bytes(policy=email.policy.SMTP),
            )

    def test_blind_copies_stay_blind(self) -> None:
        """A Bcc field is dropped, its recipient still gets the message."""
        alice, _ = self.server.alias("alice")
        bob, _ = self.server.alias("bob")
        raw = (
            f"From: {alice}\r\nTo: {alice}\r\nBcc: {bob}\r\nSubject: Blind copy\r\n\r\nHi\r\n"
        ).encode()
        with self.server.smtp("alice") as client:
            client.sendmail(alice, [alice, bob], raw)
        self.assertNotIn(b"Bcc", self.server.inbox("bob", "Blind copy"))

    def test_what_is_passed_on_is_valid(self) -> None:
        """What other servers bounce of a program's mail is mended, or refused while it can be."""
        alice, _ = self.server.alias("alice")
        bob, _ = self.server.alias("bob")
        head = f"From: {alice}\r\nTo: {bob}\r\n".encode()
        body = "Grüße ".encode() + b"x" * 4000 + b"\r\n"
        raw = head + b"Subject: Mended\r\nMessage-ID: <>\r\nSender: x@y.test\r\n\r\n" + body
        with self.server.smtp("alice") as client:
            client.sendmail(alice, [bob], raw)
            for bad in (b" Subject: x\r\n", b"no field\r\n", b"To: x@y.test\r\n"):
                self.assertRaises(
                    smtplib.SMTPDataError, client.sendmail, alice, [bob], bad + head + b"\r\nx\r\n"
                )
        got = self.server.inbox("bob", "Mended")
        self.assertTrue(got.isascii())
        self.assertLess(max(map(len, got.split(b"\r\n"))), 999)
        message = email.message_from_bytes(got)
        self.assertRegex(message["Message-ID"], r"\A<[^<>@]+@[^<>@]+>\Z")
        self.assertIsNone(message["Sender"])
        self.assertEqual(message.get_payload(decode=True), body)

    def test_nothing_above_is_forged(self) -> None:
        """A stranger's message neither continues our Received field nor speaks for us."""
        bob, _ = self.server.alias("bob")
        raw = (
            b" for <x@y.test>; now\r\nFrom: x@client.test\r\nSubject: Forged top\r\n"
            b"authentication-results: (c) MX.demo.test; dmarc=pass\r\n\r\nbody\r\n"
        )
        with self.server.mx() as client:
            client.sendmail("x@client.test", [bob], raw)
        message = email.message_from_bytes(self.server.inbox("bob", "Forged top"))
        self.assertNotIn("now", message["Received"])
        self.assertEqual(message["X-Malformed-Line"], "for <x@y.test>; now")
        self.assertIsNone(message["Authentication-Results"])

    def test_pop3_reads_and_deletes(self) -> None:
        """RETR gives the same bytes as IMAP; DELE takes effect at QUIT."""
        address, password = self.server.alias("alice")
        with self.server.mx() as client:
            client.sendmail("x@client.test", [address], b"Subject: For POP3\r\n\r\nbody\r\n")
        raw = self.server.inbox("alice", "For POP3")

        def pop3() -> poplib.POP3_SSL:
            session = poplib.POP3_SSL(
                "localhost", self.server.port("pop3s"), context=self.server.context
            )
            session.user(address)
            session.pass_(password)
            return session

        session = pop3()
        count, _ = session.stat()
        bodies = {
            number: b"\r\n".join(session.retr(number)[1]) + b"\r\n"
            for number in range(1, count + 1)
        }
        number = next(n for n, body in bodies.items() if body == raw)
        session.dele(number)
        session.quit()
        wait_for("the message to go", lambda: pop3().stat()[0] == count - 1)

    def test_idle_hears_of_new_mail(self) -> None:
        """A session in IDLE is told within a second or two."""
        address, _ = self.server.alias("bob")
        client = self.server.imap("bob")
        client.select("INBOX")
        client.send(b"x1 IDLE\r\n")
        self.assertTrue(client.readline().startswith(b"+"))
        with self.server.mx() as sender:
            sender.sendmail("x@client.test", [address], b"Subject: Wake up\r\n\r\nbody\r\n")
        line = client.readline()
        while b"EXISTS" not in line:
            line = client.readline()
            self.assertTrue(line, "the session ended")
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"x1 OK"):
            pass
        client.logout()

    def test_foreign_recipients_are_held(self) -> None:
        """The demo sends nothing into the world: such mail is held, with the reason."""
        import subprocess
        import sys
        from pathlib import Path

        alice, _ = self.server.alias("alice")
        with self.server.smtp("alice") as client:
            client.send_message(letter(alice, "friend@elsewhere.example", "Far away"))
        program = Path(sys.executable).with_name("fe-mail")
        listed = subprocess.run(
            [program, "--directory", str(self.server.directory), "queue", "list"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertIn("friend@elsewhere.example", listed)
        self.assertIn("demo", listed)
