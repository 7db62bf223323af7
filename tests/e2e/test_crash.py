"""
Kill a process at random moments under load: what was answered 250 is there, exactly once.

Every round sends to a mailbox that is open (alice, with an IMAP session) and to one that is locked
(bob) through the MX and through submission, and kills the server with SIGKILL after a random time;
or one of two servers on the same directory, while the other one goes on. In the end every message
that heard 250 is found once in its mailbox, and no message is found twice.

30 rounds, and ``FE_MAIL_CRASH_ROUNDS=100`` at night.
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
LONGEST_ROUND_SECONDS = 1.2


class Sender(threading.Thread):
    """
    Sends messages until the connection breaks or ``enough`` is set; remembers which were answered
    250.
    """

    def __init__(self, server: DemoServer, name: str, way: str, enough: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.name_of_mailbox = name
        self.way = way
        self.accepted: list[str] = []
        self._enough = enough

    def run(self) -> None:
        """Until the server dies."""
        sender, to = self.server.alias("alice")[0], self.server.alias(self.name_of_mailbox)[0]
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client = self.server.smtp("alice") if self.way == "smtp" else self.server.mx()
            while not self._enough.is_set():
                mark = uuid.uuid4().hex
                size = random.choice([200, 4000, 90_000])
                body = f"From: {sender}\r\nTo: {to}\r\nSubject: crash {mark}\r\n\r\n"
                client.sendmail(sender, [to], body + ("x" * 70 + "\r\n") * (size // 72))
                self.accepted.append(mark)


class CrashCase(SynchronousTestCase):
    """What was accepted, by mailbox and way, and where it has to be in the end."""

    timeout = 1800

    def setUp(self) -> None:
        """Nothing was sent."""
        self.accepted: dict[tuple[str, str], list[str]] = {
            (name, way): [] for name in ("alice", "bob") for way in ("mx", "smtp")
        }

    def send(self, servers: dict[str, list[DemoServer]], enough: threading.Event) -> list[Sender]:
        """Begin to send to both mailboxes, by each way to each of its servers."""
        senders = [
            Sender(server, name, way, enough)
            for name in ("alice", "bob")
            for way, some in servers.items()
            for server in some
        ]
        for sender in senders:
            sender.start()
        return senders

    def gather(self, senders: list[Sender]) -> None:
        """Wait for their end and take what they remember."""
        for sender in senders:
            sender.join()
            self.accepted[sender.name_of_mailbox, sender.way] += sender.accepted

    def assert_once(self, server: DemoServer) -> None:
        """With a server that runs: nothing is lost, nothing is there twice; then it stops."""
        wait_for("the queue to drain", lambda: self.queue_is_empty(server), 120)
        for name in ("alice", "bob"):
            found = self.marks_in(server, name)
            for way in ("mx", "smtp"):
                marks = self.accepted[name, way]
                self.assertGreater(len(marks), ROUNDS // 4, f"too few to {name} by {way}")
                lost = [mark for mark in marks if not found[mark]]
                self.assertEqual(lost, [], f"accepted by {way}, not in {name}'s mailbox")
            doubled = [mark for mark, count in found.items() if count > 1]
            self.assertEqual(doubled, [], f"twice in {name}'s mailbox")
        server.stop()
        self.assertEqual(self.verify(server), "")

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


class CrashTests(CrashCase):
    """One process with all roles."""

    def test_acknowledged_mail_survives_sigkill(self) -> None:
        """Many kills lose nothing and double nothing."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        for _ in range(ROUNDS):
            server.start()
            session = server.imap("alice")
            session.select("INBOX")
            senders = self.send({"mx": [server], "smtp": [server]}, threading.Event())
            threading.Event().wait(random.uniform(0.05, LONGEST_ROUND_SECONDS))
            server.kill()
            with contextlib.suppress(OSError):
                session.shutdown()
            self.gather(senders)
        server.start()
        self.assert_once(server)


class TwoProcessesTests(CrashCase):
    """Two processes take mail into one queue; the second one also delivers, and is read from."""

    ROLES = ("mx", "mx,smtp,smtp-bree,imap")

    def test_one_of_two_dies(self) -> None:
        """The other goes on, and answers for nothing that the dead one has not finished."""
        first = DemoServer()
        self.addCleanup(first.destroy)
        first.start()
        first.stop()
        servers = [DemoServer(first.directory), DemoServer(first.directory)]
        for server, roles in zip(servers, self.ROLES, strict=True):
            self.addCleanup(server.kill)
            server.start("--role", roles)
        for _ in range(max(1, ROUNDS // 2)):
            enough = threading.Event()
            senders = self.send({"mx": servers, "smtp": servers[1:]}, enough)
            threading.Event().wait(random.uniform(0.05, LONGEST_ROUND_SECONDS))
            victim = random.randrange(2)
            servers[victim].kill()
            enough.set()
            self.gather(senders)
            servers[victim].start("--role", self.ROLES[victim])
        servers[0].stop()
        self.assert_once(servers[1])
