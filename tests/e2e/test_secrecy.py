"""
What lies on the disk tells nothing: no header, body, attachment or key of a delivered message.

Searched is every file of the data directory, databases, write-ahead logs, spool and logs, while
the server runs, for a mailbox that is open and for one that is locked.
"""

import base64
import email.policy
from email.message import EmailMessage
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from tests.e2e.support import DemoServer, wait_for

SECRETS = {
    "subject": "Zebrafinch-subject-4711",
    "field": "Zebrafinch-field-4712",
    "message id": "zebrafinch-id-4716@client.test",
    "body": "Zebrafinch-body-4713 stands in the text",
    "attachment": "Zebrafinch-attachment-4714 stands in a file",
    "filename": "Zebrafinch-filename-4715.txt",
}


def server_secret(server: DemoServer) -> bytes:
    """What the keys of the server's own files are derived from."""
    lines = (server.directory / ".env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values["HELPER_ENCRYPTION_KEY"].strip("\"'").encode()


def secret_letter(to: str) -> bytes:
    """A message whose every part carries a mark."""
    message = EmailMessage()
    message["From"], message["To"] = "x@client.test", to
    message["Message-ID"] = f"<{SECRETS['message id']}>"
    message["Subject"], message["X-Secret"] = SECRETS["subject"], SECRETS["field"]
    message.set_content(SECRETS["body"])
    message.add_attachment(
        (SECRETS["attachment"] * 400).encode(),
        maintype="application",
        subtype="octet-stream",
        filename=SECRETS["filename"],
    )
    return message.as_bytes(policy=email.policy.SMTP)


def leaks(directory: Path, marks: list[bytes]) -> list[str]:
    """Every file that holds one of the marks."""
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path.name}: {mark!r}" for mark in marks if mark in content]
    return found


class SecrecyTests(SynchronousTestCase):
    """The disk of a running server."""

    def test_nothing_readable_on_the_disk(self) -> None:
        """Neither while delivered to an open mailbox, nor sealed for a locked one, nor queued."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        session = server.imap("alice")
        session.select("INBOX")
        for name in ("alice", "bob"):
            to, _ = server.alias(name)
            with server.mx() as client:
                client.sendmail("x@client.test", [to], secret_letter(to))
        server.inbox("alice", SECRETS["subject"])
        alice, _ = server.alias("alice")
        with server.smtp("alice") as client:  # held in the queue, so its body stays spooled
            client.sendmail(
                alice,
                ["friend@elsewhere.example"],
                secret_letter("friend@elsewhere.example").replace(b"x@client.test", alice.encode()),
            )
        marks = [secret.encode() for secret in SECRETS.values()]
        encoded = base64.b64encode((SECRETS["attachment"] * 3).encode())
        marks.append(encoded[4:60])
        logged = "".join(server.lines).encode()
        self.assertEqual([mark for mark in marks if mark in logged], [])
        self.assertEqual(leaks(server.directory / "sqlite-data", marks), [])
        for _, password in map(server.alias, ("alice", "bob")):
            self.assertEqual(leaks(server.directory / "sqlite-data", [password.encode()]), [])
        server.kill()
        self.assertEqual(leaks(server.directory / "sqlite-data", marks), [])

    def test_nothing_is_kept_when_all_is_settled(self) -> None:
        """Bodies leave the disk with their last recipient, large ones and small ones."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        to, _ = server.alias("bob")
        with server.mx() as client:
            client.sendmail("x@client.test", [to], secret_letter(to))
        server.inbox("bob", SECRETS["subject"])
        spool = server.directory / "sqlite-data" / "spool"
        wait_for("the spool to empty", lambda: not [p for p in spool.rglob("*") if p.is_file()])
        keyring = ServerKeyring(server_secret(server), InlineThreads())
        key = keyring.mac(b"queue", "database")
        queue = open_connection(server.directory / "sqlite-data" / "queue.sqlite", key)
        self.addCleanup(queue.close)
        count = "SELECT count(*) FROM messages"
        wait_for("small bodies to go", lambda: queue.execute(count).fetchall() == [(0,)])
