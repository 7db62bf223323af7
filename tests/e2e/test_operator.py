"""The operator's command line, on a server that runs and on one that does not."""

import imaplib
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import DemoServer, shared_server, wait_for
from tests.e2e.test_mail import letter

PROGRAM = Path(sys.executable).with_name("fe-mail")


class CommandCase(SynchronousTestCase):
    """Runs ``fe-mail`` on a directory."""

    directory: Path

    def command(self, *words: str, stdin: str = "", expect: int = 0) -> str:
        """Output and complaints together; fails unless the exit code is as expected."""
        done = subprocess.run(
            [PROGRAM, "--directory", str(self.directory), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, expect, said)
        self.assertNotIn("Traceback", said)
        return said


class FirstStepsTests(CommandCase):
    """Without a running server, from an empty directory."""

    def setUp(self) -> None:
        """A directory with a domain's name."""
        self.directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        (self.directory / ".env").write_text("DOMAIN=example.org\n")

    def test_user_domain_alias_password(self) -> None:
        """What the README says, in its order."""
        password = "correct horse battery staple\n"
        self.assertIn("(admin)", self.command("user", "add", "me@example.net", stdin=password))
        added = self.command("domain", "add", "example.org")
        self.assertIn("forward-email-site-verification=", added)
        self.assertIn("v=DKIM1", added)
        listed = self.command("domain", "records", "example.org")
        self.assertRegex(listed, r"MX +@ +10 +mx\.example\.org")
        self.assertRegex(listed, r"TXT +mx +v=spf1 a -all")
        self.assertIn("$ORIGIN example.org.", self.command("domain", "records", "example.org",
                                                          "--zone"))  # fmt: skip
        self.command("alias", "add", "alice@example.org")
        self.command("alias", "add", "team@example.org", "--no-mailbox", "--recipient", "a@b.test")
        listed = self.command("alias", "list", "example.org")
        self.assertRegex(listed, r"alice@example\.org +yes +yes")
        self.assertRegex(listed, r"team@example\.org +yes +no +a@b\.test")
        made = self.command("password", "alice@example.org")
        self.assertIn("User name:     alice@example.org", made)
        self.assertIn("Recovery code:", made)
        self.assertIn("local", self.command("route", "alice+tag@example.org"))
        self.assertIn("forward", self.command("route", "team@example.org"))
        self.assertIn("Every invariant holds.", self.command("verify"))
        said = self.command("user", "remove", "me@example.net", expect=1)
        self.assertIn("only administrator", said)

    def test_the_demo_asks_no_real_dns(self) -> None:
        """In a demo's directory the check finds what the demo pretends, and says so."""
        (self.directory / ".env").unlink()
        (self.directory / "accounts.json").write_text("{}")
        self.command("user", "add", "me@example.net", stdin="correct horse battery staple\n")
        self.command("domain", "add", "demo.test")
        said = self.command("domain", "verify", "demo.test")
        self.assertIn("This is a demo", said)
        self.assertRegex(self.command("domain", "list"), r"demo\.test +yes +yes")

    def test_a_password_is_never_lost_by_accident(self) -> None:
        """A second one needs the first, or the recovery code, or the word override."""
        self.command("user", "add", "me@example.net", stdin="correct horse battery staple\n")
        self.command("domain", "add", "example.org")
        self.command("alias", "add", "alice@example.org")
        lines = self.command("password", "alice@example.org").splitlines()
        password, code = (line.split(": ", 1)[1].strip() for line in lines[1:3])
        self.command("password", "alice@example.org", expect=1)
        self.command("password", "alice@example.org", "--current", stdin="wrong\n", expect=1)
        second = self.command("password", "alice@example.org", "--current", stdin=password + "\n")
        self.assertNotIn("Recovery code", second)
        self.command("password", "alice@example.org", "--current", stdin=code + "\n")
        self.assertIn("Recovery code", self.command("password", "alice@example.org", "--override"))

    def test_refusals_are_sentences(self) -> None:
        """Exit 1 and one sentence."""
        for words in (
            ("domain", "add", "example.org"),
            ("domain", "verify", "nowhere.test"),
            ("alias", "add", "x@nowhere.test"),
            ("user", "remove", "nobody@example.net"),
            ("queue", "show", "0" * 24),
            ("route", "not an address"),
        ):
            said = self.command(*words, expect=1)
            self.assertRegex(said, r"\Afe-mail: .+\.?\n\Z")

    def test_wrong_configuration(self) -> None:
        """Exit 2, as for the server."""
        (self.directory / ".env").write_text("MX_PORT=many\n")
        said = self.command("user", "list", expect=2)
        self.assertIn("DOMAIN must be set", said)

    def test_another_key_is_named(self) -> None:
        """Whoever restores data without its ``.env`` hears what is missing."""
        self.command("user", "list")
        path = self.directory / ".env"
        kept = [line for line in path.read_text().splitlines() if "HELPER" not in line]
        path.write_text("\n".join([*kept, "HELPER_ENCRYPTION_KEY=" + "k" * 32, ""]))
        said = self.command("user", "list", expect=1)
        self.assertIn("HELPER_ENCRYPTION_KEY is not the one", said)

    def test_verify_finds_what_is_broken(self) -> None:
        """A file that is no database."""
        self.command("user", "list")
        self.assertIn("Every invariant holds.", self.command("verify"))
        path = self.directory / "sqlite-data" / "accounts.sqlite"
        path.write_bytes(b"not a database at all")
        self.assertIn(f"accounts: {path}: it is damaged", self.command("verify", expect=1))

    def test_verify_makes_nothing(self) -> None:
        """In a directory that is none of a server's there is nothing that could be whole."""
        said = self.command("verify", expect=1)
        self.assertIn("is this the directory of a server?", said)
        self.assertEqual([path.name for path in self.directory.iterdir()], [".env"])


class QueueTests(CommandCase):
    """The queue of a running server."""

    def setUp(self) -> None:
        """The shared demo, in which mail to foreign addresses is held."""
        self.server = shared_server()
        self.directory = self.server.directory

    def queued(self, recipient: str) -> str:
        """The id of a new message to somebody outside."""
        alice, _ = self.server.alias("alice")
        with self.server.smtp("alice") as client:
            client.send_message(letter(alice, recipient, "To the world"))
        for line in self.command("queue", "list").splitlines():
            if recipient in line:
                return line.split()[0]
        raise AssertionError(f"{recipient} is not in the queue")

    def test_show_and_drop(self) -> None:
        """Everything about a message but its content; dropped, it is gone with its body."""
        identifier = self.queued("drop@elsewhere.example")
        shown = self.command("queue", "show", identifier)
        self.assertIn("drop@elsewhere.example", shown)
        self.assertIn("Held:        demo", shown)
        self.assertNotIn("To the world", shown)
        self.command("queue", "drop", identifier)
        self.command("queue", "show", identifier, expect=1)
        self.assertIn("Every invariant holds.", self.command("verify"))

    def test_retry_ends_a_hold(self) -> None:
        """The running server takes it up; an unknown domain ends in a bounce to the sender."""
        identifier = self.queued("retry@elsewhere.example")
        self.command("queue", "retry", identifier)
        wait_for(
            "the message to leave the queue",
            lambda: identifier not in self.command("queue", "list"),
            60,
        )
        bounce = self.server.inbox("alice", "Delivery Status Notification")
        self.assertIn(b"retry@elsewhere.example", bounce)
        self.assertIn(b"message/delivery-status", bounce)

    def test_a_directory_that_is_not_there(self) -> None:
        """A misspelt directory is named, not made."""
        self.directory = self.server.directory / "misspelt"
        self.assertIn("misspelt does not exist", self.command("user", "list", expect=2))
        self.assertFalse(self.directory.exists())


class LogTests(CommandCase):
    """What the owner of a domain can look up."""

    def test_deliveries_and_failed_logins(self) -> None:
        """Envelope addresses and reasons, newest first; never a subject."""
        server = shared_server()
        self.directory = server.directory
        alice, _ = server.alias("alice")
        with server.mx() as client:
            client.sendmail("x@client.test", [alice], b"Subject: Unlogged words\r\n\r\nbody\r\n")
        server.inbox("alice", "Unlogged words")
        client = imaplib.IMAP4_SSL(
            "localhost", server.port("imaps"), ssl_context=server.context, timeout=20
        )
        self.assertRaises(imaplib.IMAP4.error, client.login, alice, "a wrong password")
        client.shutdown()
        said = wait_for(
            "the failed login",
            lambda: self.command("log", "demo.test", "--kind", "login-failed", "--limit", "1"),
        )
        self.assertRegex(said, r"login-failed +127\.0\.0\.1 .*alice@demo\.test")
        self.assertNotIn("a wrong password", said)
        everything = self.command("log", "demo.test")
        self.assertIn("delivered", everything)
        self.assertNotIn("Unlogged words", everything)


class UpgradeTests(CommandCase):
    """Files of a newer fe-mail."""

    def test_a_newer_schema_is_refused_in_one_sentence(self) -> None:
        """Neither the server nor the command line touches it."""
        import apsw

        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        server.stop()
        self.directory = server.directory
        for name in ("accounts.sqlite", "mailboxes/sealed.sqlite"):
            connection = apsw.Connection(str(self.directory / "sqlite-data" / name))
            connection.execute("UPDATE version SET version = version + 1")
            self.refused(server)
            connection.execute("UPDATE version SET version = version - 1")
            connection.close()
        server.start()

    def refused(self, server: DemoServer) -> None:
        """Both say why, and nothing else."""
        server.lines.clear()
        said = self.command("user", "list", expect=1)
        self.assertIn("newer version of fe-mail", said)
        self.assertRaises(AssertionError, server.start)
        self.assertTrue([line for line in server.lines if "newer version of fe-mail" in line])
