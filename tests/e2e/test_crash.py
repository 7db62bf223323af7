"""
Kill the process at random moments under load: what was answered 250 is there, exactly once.

Every round starts the server on the same directory, sends to a mailbox that is open (alice, with
an IMAP session) and to one that is locked (bob) through the MX and through submission, and kills
it with SIGKILL after a random time. In the end every message that heard 250 is found once in its
mailbox, and no message is found twice.
"""

import collections
import contextlib
import os
import random
import re
import smtplib
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import DemoServer, wait_for

ROUNDS = int(os.environ.get("FE_MAIL_CRASH_ROUNDS", "30"))
SENDERS = 4
LONGEST_ROUND_SECONDS = 1.2


class Sender(threading.Thread):
    """Sends messages until the connection breaks; remembers which were answered 250."""

    def __init__(self, server: DemoServer, to: str, submit: bool) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.to = to
        self.submit = submit
        self.accepted: list[str] = []

    def run(self) -> None:
        """Until the server dies."""
        sender = self.server.alias("alice")[0]
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client = self.server.smtp("alice") if self.submit else self.server.mx()
            while True:
                mark = uuid.uuid4().hex
                size = random.choice([200, 4000, 90_000])
                body = f"From: {sender}\r\nTo: {self.to}\r\nSubject: crash {mark}\r\n\r\n"
                client.sendmail(sender, [self.to], body + ("x" * 70 + "\r\n") * (size // 72))
                self.accepted.append(mark)


class CrashTests(SynchronousTestCase):
    """The promise behind 250."""

    timeout = 900

    def test_acknowledged_mail_survives_sigkill(self) -> None:
        """Thirty kills lose nothing and double nothing."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        expected: dict[str, list[str]] = {"alice": [], "bob": []}
        for _ in range(ROUNDS):
            server.start()
            for name, marks in self.one_round(server).items():
                expected[name] += marks
        self.assertGreater(sum(map(len, expected.values())), ROUNDS)
        server.start()
        wait_for("the queue to drain", lambda: self.queue_is_empty(server), 120)
        for name, marks in expected.items():
            found = self.marks_in(server, name)
            lost = [mark for mark in marks if not found[mark]]
            doubled = [mark for mark, count in found.items() if count > 1]
            self.assertEqual((lost, doubled), ([], []), f"in {name}'s mailbox")
        server.stop()
        self.assertEqual(self.verify(server), "")

    def one_round(self, server: DemoServer) -> dict[str, list[str]]:
        """Load, then SIGKILL; the marks that were answered 250 for each alias."""
        session = server.imap("alice")
        session.select("INBOX")
        senders = {
            (name, number): Sender(server, server.alias(name)[0], submit=number % 2 == 1)
            for name in ("alice", "bob")
            for number in range(SENDERS // 2)
        }
        for sender in senders.values():
            sender.start()
        threading.Event().wait(random.uniform(0.05, LONGEST_ROUND_SECONDS))
        server.kill()
        with contextlib.suppress(OSError):
            session.shutdown()
        accepted: dict[str, list[str]] = {"alice": [], "bob": []}
        for (name, _), sender in senders.items():
            sender.join()
            accepted[name] += sender.accepted
        return accepted

    def queue_is_empty(self, server: DemoServer) -> bool:
        """As the operator sees it, who does not wait for the next attempt of what was deferred."""
        listed = self.operator(server, "queue", "list")
        for line in listed.splitlines()[1:]:
            if " 4" in line:  # a last status of 4xx: due again in minutes
                self.operator(server, "queue", "retry", line.split()[0])
        return "empty" in listed

    def verify(self, server: DemoServer) -> str:
        """What ``fe-mail verify`` finds broken, inside the mailboxes too."""
        passwords = [server.alias(name) for name in ("alice", "bob")]
        options = [word for address, _ in passwords for word in ("--mailbox", address)]
        program = Path(sys.executable).with_name("fe-mail")
        done = subprocess.run(
            [program, "-D", str(server.directory), "verify", *options],
            input="".join(f"{password}\n" for _, password in passwords),
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def operator(self, server: DemoServer, *words: str) -> str:
        """Run the command line; its output."""
        program = Path(sys.executable).with_name("fe-mail")
        return subprocess.run(
            [program, "--directory", str(server.directory), *words],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def marks_in(self, server: DemoServer, name: str) -> "collections.Counter[str]":
        """How often each mark stands in the INBOX."""
        client = server.imap(name)
        client.select("INBOX", readonly=True)
        _, fetched = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        marks = re.findall(
            rb"crash ([0-9a-f]{32})", b"".join(b"".join(p) for p in fetched if isinstance(p, tuple))
        )
        client.logout()
        return collections.Counter(mark.decode() for mark in marks)
