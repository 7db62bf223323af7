"""The operator's command line, on a server that runs and on one that does not."""

import contextlib
import imaplib
import json
import os
import pty
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

import apsw
from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import ROOT, DemoServer, shared_server, wait_for
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
        said = self.command("user", "remove", "me@example.net", "--yes", expect=1)
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
        said = self.command("password", "alice@example.org", expect=1)
        for option in ("--current", "--override"):
            self.assertIn(option, said)  # what to do, in this command's own words
        self.command("password", "alice@example.org", "--current", stdin="wrong\n", expect=1)
        second = self.command("password", "alice@example.org", "--current", stdin=password + "\n")
        self.assertNotIn("Recovery code", second)
        self.command("password", "alice@example.org", "--current", stdin=code + "\n")
        said = self.command("password", "alice@example.org", "--override", expect=2)
        self.assertIn("EMPTY mailbox", said)
        self.assertIn("1 mailbox with 0 octets of mail, 1 sign-in", said)
        self.command("password", "alice@example.org", "--current", stdin=code + "\n")
        said = self.command("password", "alice@example.org", "--override", "--yes")
        self.assertIn("Recovery code", said)

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

    def test_nothing_is_destroyed_without_a_word(self) -> None:
        """A pipe is no answer: exit 2, in numbers what would go, and everything stays."""
        self.furnish()
        self.command("password", "alice@example.org")
        for words, loss in (
            (("alias", "remove", "alice@example.org"), "1 alias, 1 mailbox with 0 octets of mail"),
            (("domain", "remove", "example.org"), "1 domain, 2 aliases, 1 mailbox"),
            (("user", "remove", "me@example.net"), "1 domain, 2 aliases, 1 mailbox"),
            (("domain", "webhook-key", "example.org", "--new"), "ends at once"),
            (("alias", "set", "alice@example.org", "--no-mailbox"), "Nobody can read the mail"),
            (("begin-anew", "queue"), "every message that was accepted"),
        ):
            said = self.command(*words, stdin="y\n", expect=2)
            self.assertIn(loss, said)
            self.assertRegex(said, r"\Afe-mail: .+ To do it, add --yes\.\n\Z")
        self.assertRegex(self.command("alias", "list", "example.org"), r"alice@\S+ +yes +yes")
        self.command("alias", "remove", "alice@example.org", "--yes")
        self.command("domain", "remove", "example.org", "-y")
        self.assertIn("There is no domain yet.", self.command("domain", "list"))

    def test_a_terminal_is_asked(self) -> None:
        """It reads what goes; anything but yes changes nothing."""
        self.furnish()
        code, said = self.at_terminal("no", "alias", "remove", "alice@example.org")
        self.assertEqual(code, 1)
        self.assertIn("destroys: 1 alias.\r\nThis cannot be undone.\r\nGo on? [y/N]", said)
        self.assertIn("Nothing was changed.", said)
        self.assertIn("alice@", self.command("alias", "list", "example.org"))
        code, said = self.at_terminal("y", "alias", "remove", "alice@example.org")
        self.assertEqual(code, 0, said)
        self.assertNotIn("alice@", self.command("alias", "list", "example.org"))

    def test_passwords_are_typed_twice(self) -> None:
        """On a terminal, where nobody sees them."""
        code, said = self.at_terminal(
            "mulled otter 84 quay\nmulled ottr", "user", "add", "a@b.test"
        )
        self.assertEqual(code, 1)
        self.assertIn("The two passwords differ", said)
        self.assertNotIn("otter", said)
        self.assertIn("Nobody has an account yet.", self.command("user", "list"))

    def at_terminal(self, typed: str, *words: str) -> tuple[int, str]:
        """Exit code, and what a person sees who types this."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [PROGRAM, "--directory", str(self.directory), *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            shown = b""
            for line in typed.split("\n"):
                prompt = b""
                while not prompt.endswith((b"? [y/N] ", b": ")):
                    prompt += os.read(ours, 1000)
                os.write(ours, line.encode() + b"\n")
                shown += prompt
            with contextlib.suppress(OSError):  # what Linux calls the end of a terminal
                while octets := os.read(ours, 1000):
                    shown += octets
        os.close(ours)
        return process.returncode, shown.decode()

    def furnish(self) -> None:
        """An account, a domain, two addresses."""
        self.command("user", "add", "me@example.net", stdin="correct horse battery staple\n")
        self.command("domain", "add", "example.org")
        self.command("alias", "add", "alice@example.org")

    def test_lists_for_programs(self) -> None:
        """One array each, with the names of the API; empty before there is anything."""
        for words in (("user", "list"), ("domain", "list"), ("queue", "list")):
            self.assertEqual(json.loads(self.command(*words, "--json")), [])
        self.furnish()
        (user,) = json.loads(self.command("user", "list", "--json"))
        self.assertEqual((user["email"], user["has_verified_email"]), ("me@example.net", True))
        self.assertRegex(user["created_at"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
        (domain,) = json.loads(self.command("domain", "list", "--json"))
        self.assertEqual((domain["name"], domain["alias_count"]), ("example.org", 2))
        self.assertEqual(domain["members"][0]["user"]["email"], "me@example.net")
        aliases = json.loads(self.command("alias", "list", "example.org", "--json"))
        self.assertEqual({each["name"] for each in aliases}, {"*", "alice"})
        self.assertEqual({each["storage_used"] for each in aliases}, {0})
        self.assertEqual(json.loads(self.command("log", "example.org", "--json")), [])
        for said in (user, domain, *aliases):
            for secret in ("hash", "private", "sealing", "token"):
                self.assertNotIn(secret, json.dumps(said))

    def test_lists_longer_than_a_page(self) -> None:
        """All of them, in order, and nobody minds when the reader has seen enough."""
        self.furnish()
        insert = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
            "INSERT INTO aliases SELECT {columns} FROM aliases, n WHERE name = 'alice'"
        )
        path = self.directory / "sqlite-data" / "accounts.sqlite"
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            names = [row[1] for row in connection.execute("PRAGMA table_info(aliases)")]
            changed = {"serial": "NULL", "id": "printf('%024x', i)", "name": "'a' || i"}
            columns = ", ".join(changed.get(name, name) for name in names)
            connection.execute(insert.format(columns=columns))
        listed = self.command("alias", "list", "example.org")
        self.assertEqual(listed.count("\n"), 1503)
        found = json.loads(self.command("alias", "list", "example.org", "--json"))
        self.assertEqual(len({each["name"] for each in found}), 1502)
        program = f"{PROGRAM} -D {self.directory} alias list example.org | head -n 2"
        done = subprocess.run(program, shell=True, capture_output=True, text=True, check=True)
        self.assertEqual((done.stdout.count("\n"), done.stderr), (2, ""))
        said = self.command("domain", "remove", "example.org", expect=2)
        self.assertIn("1 domain, 1,502 aliases", said)

    def test_decisions(self) -> None:
        """Who may register, whose address counts, who may send: shown in the lists."""
        self.assertIn("nobody has an account", self.command("registration"))
        self.furnish()
        self.assertIn("is closed", self.command("registration"))
        self.assertIn("is open", self.command("registration", "open"))
        self.assertIn("is closed", self.command("registration", "closed"))
        self.command("user", "verify", "me@example.net")
        self.command("user", "verify", "nobody@example.net", expect=1)
        self.assertRegex(self.command("user", "list"), r"me@example\.net +admin +verified")
        self.assertIn("once its records are right", self.command("domain", "allow", "example.org"))
        self.assertIn("allowed, not verified", self.command("domain", "list"))
        said = self.command("domain", "allow", "example.org", "--no", expect=1)
        self.assertIn("of an administrator of the server may always send", said)
        self.command("domain", "allow", "nowhere.test", expect=1)
        self.assertIn("forgotten", self.command("unlock", "203.0.113.7"))
        self.assertIn("forgotten", self.command("unlock", "me@example.net"))
        self.command("unlock", "everybody", expect=1)

    def test_odd_words(self) -> None:
        """Octets that are no text, and a terminal that lacks letters."""
        done = subprocess.run(
            [PROGRAM, b"user", b"list", b"\xff"], capture_output=True, check=False
        )
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, b"fe-mail: What was typed is not UTF-8.\n")
        self.furnish()
        self.command("domain", "add", "bl\u00e5b\u00e6r.example")
        self.assertIn("bl\u00e5b\u00e6r.example", self.command("domain", "list"))
        done = subprocess.run(
            [PROGRAM, "-D", str(self.directory), "domain", "list"], capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"bl\\xe5b\\xe6r.example", done.stdout)

    def test_another_user(self) -> None:
        """Root would leave files that the server cannot open; it is told how to become its user."""
        if os.geteuid():
            raise SkipTest("only root can be somebody else")
        self.furnish()
        data = self.directory / "sqlite-data"
        os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
        before = sorted(self.directory.rglob("*"))
        said = self.command("password", "alice@example.org", expect=2)
        self.assertIn(f"{data} belongs to nobody", said)
        self.assertIn("sudo -u 'nobody' fe-mail", said)
        self.assertEqual(sorted(self.directory.rglob("*")), before)

    def test_interrupted(self) -> None:
        """By a key or a signal: that is no success."""
        self.furnish()
        for number in (signal.SIGINT, signal.SIGTERM):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.1", 0))
                silent.settimeout(30)
                server = f"127.0.0.1#{silent.getsockname()[1]}"
                process = subprocess.Popen(
                    [PROGRAM, "-D", str(self.directory), "domain", "verify", "example.org"],
                    env={**os.environ, "DNS_SERVERS": server}, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
                silent.recv(512)
                process.send_signal(number)
                said, _ = process.communicate(timeout=30)
            self.assertEqual((process.returncode, said), (130, "fe-mail: Interrupted.\n"))

    def test_as_a_module(self) -> None:
        """``python -m fe_mail.app.cli``."""
        done = subprocess.run(
            [sys.executable, "-m", "fe_mail.app.cli", "--version"],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        self.assertRegex(done.stdout, r"\Afe-mail \d")

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
        (entry,) = json.loads(self.command("queue", "list", "--to", "DROP@else", "--json"))
        self.assertEqual((entry["id"], entry["source"]), (identifier, "submission"))
        (copy,) = entry["deliveries"]
        self.assertEqual((copy["state"], copy["hold_reason"]), ("held", "demo"))
        self.assertIsNone(copy["last_attempt_at"])
        self.assertIn(identifier, self.command("queue", "list", "--from", "ALICE@demo"))
        self.assertNotIn(identifier, self.command("queue", "list", "--from", "bob@"))
        said = self.command("queue", "list", "--to", "drop@else", "--state", "waiting")
        self.assertEqual(said, "Nothing in the queue is like that.\n")
        self.assertNotIn("To the world", shown)
        said = self.command("queue", "drop", identifier, stdin="y\n", expect=2)
        lost = r"1 message of [\d,]+ octets, not delivered to 1 recipient yet: drop@"
        self.assertRegex(said, lost)
        self.command("queue", "show", identifier)
        self.command("queue", "drop", identifier, "0" * 24, "--yes", expect=1)
        self.command("queue", "show", identifier)
        self.command("queue", "drop", identifier, "--yes")
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
