"""Servers and their stores, for real: killed at the first start, twice in one place, no space."""

import contextlib
import imaplib
import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.edge_table import edges
from fe_mail.app.manifest import STORES
from tests.e2e.support import DemoServer, wait_for

PROGRAMS = Path(sys.executable).parent
DISK_OCTETS = 24 * 1024 * 1024

# The command line, which is killed before it opens the store of this number.
KILLED = """
import os, signal, sys
from fe_mail.app import cli, wiring
left, original = int(sys.argv[2]), wiring.Stores._open
async def counted(self, *arguments):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    await original(self, *arguments)
wiring.Stores._open = counted
cli.main(["--directory", sys.argv[1], "user", "list"])
"""


class StoresCase(SynchronousTestCase):
    """A directory and what runs on it."""

    timeout = 240

    def setUp(self) -> None:
        """A name, and no stores yet."""
        self.directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.ports: dict[str, int] = {}

    def command(self, *words: str, stdin: str = "") -> tuple[int, str]:
        """Exit code, and what it says."""
        done = subprocess.run(
            [PROGRAMS / "fe-mail", "--directory", str(self.directory), *words],
            env={**os.environ, "DOMAIN": "demo.test"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        self.assertNotIn("Traceback", said)
        return done.returncode, said

    def launch(self, *names: str, options: tuple[str, ...] = ()) -> "Running":
        """A server with these listeners, on ports that are free."""
        ports = {name: free_port() for name in names}
        running = Running(self.directory, ports, options)
        self.addCleanup(running.kill)
        return running


class Running:
    """One process of a server; ``lines`` are its log."""

    def __init__(self, directory: Path, ports: dict[str, int], options: tuple[str, ...]) -> None:
        self.ports = ports
        shut = {edge.port_variable: "0" for edge in edges()}
        given = {f"{name}_PORT": str(port) for name, port in ports.items()}
        self.process = subprocess.Popen(
            [
                *(str(PROGRAMS / "twistd"), "--nodaemon", "--pidfile=", "fe-mail"),
                *("-D", str(directory), *options),
            ],
            env={**os.environ, **shut, **given, "DOMAIN": "demo.test"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        stream = self.process.stdout
        assert stream is not None
        threading.Thread(target=lambda: self.lines.extend(stream), daemon=True).start()

    def is_ready(self) -> bool:
        """True once it is, False if it ended before."""
        wait_for(
            "the server",
            lambda: self.process.poll() is not None or any("Ready" in line for line in self.lines),
            60,
        )
        return any("Ready" in line for line in self.lines)

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status, and what is told."""
        url = f"http://127.0.0.1:{self.ports['METRICS']}/health"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def send(self, recipient: str, octets: int = 100) -> tuple[int, bytes]:
        """What the MX answers to the end of a message."""
        with smtplib.SMTP("127.0.0.1", self.ports["MX"], "client.test", timeout=60) as client:
            client.ehlo()
            client.mail("x@client.test")
            client.rcpt(recipient)
            return client.data(b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" * (octets // 72))

    def imap(self, address: str, password: str) -> imaplib.IMAP4_SSL:
        """Signed in."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = self.ports["IMAP"]
        client = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context, timeout=60)
        client.login(address, password)
        return client


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class FirstStartTests(StoresCase):
    """It may be killed at any moment."""

    def test_killed(self) -> None:
        """Before any of the stores is opened: the next start makes the rest."""
        for number in range(len(STORES)):
            shutil.rmtree(self.directory / "sqlite-data", ignore_errors=True)
            (self.directory / "manifest.json").unlink(missing_ok=True)
            done = subprocess.run(
                [sys.executable, "-c", KILLED, str(self.directory), str(number)],
                env={**os.environ, "DOMAIN": "demo.test"},
                capture_output=True,
                check=False,
            )
            self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            self.assertEqual(self.command("user", "list")[0], 0)
            code, said = self.command("verify")
            self.assertEqual(code, 0, said)


class TwiceTests(StoresCase):
    """Two servers on one directory."""

    def test_whole_servers(self) -> None:
        """The second is refused in a sentence; the first goes on, also for the demo's facts."""
        first = self.launch("MX", "METRICS")
        self.assertTrue(first.is_ready())
        second = self.launch("MX", "METRICS")
        self.assertFalse(second.is_ready())
        self.assertEqual(second.process.wait(30), 1)
        said = "".join(second.lines)
        self.assertIn(f"Another whole server (process {first.process.pid}) works on", said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(first.health()[0], 200)
        code, said = self.command("begin-anew", "queue", "--yes")
        self.assertEqual(code, 1)
        self.assertIn("stop it first", said)
        first.kill()
        self.assertTrue(self.launch("MX", "METRICS").is_ready(), "a killed one holds nothing")

    def test_roles(self) -> None:
        """In several processes on purpose, beside each other and beside a whole one."""
        mx = self.launch("MX", options=("--role", "mx"))
        self.assertTrue(mx.is_ready())
        self.assertTrue(self.launch("MX", options=("--role", "mx")).is_ready())
        whole = self.launch("MX", "METRICS")
        self.assertTrue(whole.is_ready())
        self.assertEqual(self.command("user", "list")[0], 0)

    def test_demo(self) -> None:
        """The demo that is refused leaves the facts of the one that runs."""
        server = DemoServer(self.directory)
        self.addCleanup(server.destroy)
        server.start()
        other = subprocess.run(
            [
                *(PROGRAMS / "twistd", "--nodaemon", "--pidfile="),
                *("fe-mail", "--demo", "-D", str(self.directory)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(other.returncode, 1)
        self.assertIn("Another whole server", other.stdout)
        self.assertTrue((self.directory / "demo.json").exists())


class AccountsCase(StoresCase):
    """A server with accounts: those of the demo."""

    def setUp(self) -> None:
        """Made, and stopped again."""
        super().setUp()
        self.before()
        demo = DemoServer(self.directory)
        self.addCleanup(demo.kill)
        demo.start()
        demo.stop()
        self.address, self.password = demo.alias("alice")

    def before(self) -> None:
        """The directory is empty."""


class RunningTests(AccountsCase):
    """What happened to its stores while it did not run, and beside it."""

    def test_verify_beside_it(self) -> None:
        """In another process, while mail arrives: nothing is wrong, nothing is left behind."""
        server = self.launch("MX", "METRICS")
        self.assertTrue(server.is_ready())
        for _ in range(3):
            self.assertEqual(server.send(self.address)[0], 250)
            code, said = self.command(
                "verify", "--mailbox", self.address, stdin=self.password + "\n"
            )
            self.assertEqual(code, 0, said)
            self.assertRegex(said, r"mailboxes +2\n")
        server.kill()
        names = sorted(os.listdir(self.directory / "sqlite-data"))
        self.assertEqual(self.command("verify")[0], 0)
        self.assertEqual(sorted(os.listdir(self.directory / "sqlite-data")), names)

    def test_stores_that_are_gone(self) -> None:
        """No server starts without them: mail would be refused for good."""
        away = self.directory / "away"
        for name in (".", "accounts.sqlite", "queue.sqlite", "mailboxes"):
            path = (self.directory / "sqlite-data" / name).resolve()
            path.rename(away)
            server = self.launch("MX", "METRICS")
            self.assertFalse(server.is_ready())
            self.assertEqual(server.process.wait(30), 1)
            said = "".join(server.lines)
            self.assertIn(str(path), said)
            self.assertIn("fe-mail begin-anew", said)
            self.assertEqual(self.command("verify")[0], 1)
            self.assertFalse(path.exists())
            away.rename(path)
        self.assertTrue(self.launch("MX", "METRICS").is_ready())

    def test_damaged_mailbox(self) -> None:
        """Its owner hears no lie about the password; the operator is told once, and health says."""
        for path in (self.directory / "sqlite-data" / "mailboxes").glob("*.*.sqlite"):
            with path.open("r+b") as file:
                file.write(b"damage")
        server = self.launch("MX", "IMAP", "METRICS")
        self.assertTrue(server.is_ready())
        for _ in range(3):
            with self.assertRaisesRegex(imaplib.IMAP4.error, "CONTACTADMIN.*password is right"):
                server.imap(self.address, self.password)
        status, told = server.health()
        self.assertEqual((status, told["status"], len(told["problems"])), (200, "degraded", 1))
        lines = [line for line in server.lines if "it is damaged" in line]
        self.assertEqual(len(lines), 1, lines)


class FullDiskTests(AccountsCase):
    """On a small disk of its own; whoever may not mount one skips it."""

    def before(self) -> None:
        """Mounted."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_OCTETS}", "tmpfs", str(self.directory)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise unittest.SkipTest("no disk can be mounted here") from None
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.directory)], check=True)

    def test_full(self) -> None:
        """Peers hear 452 4.3.1, health fails, the log says why once; then all goes on."""
        server = self.launch("MX", "IMAP", "METRICS")
        self.assertTrue(server.is_ready())
        client = server.imap(self.address, self.password)
        client.select("INBOX")
        filler = self.directory / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(20):
            code, text = server.send(self.address)
            self.assertEqual((code, text[:5]), (452, b"4.3.1"))
        status, told = server.health()
        self.assertEqual((status, told["status"]), (503, "failing"))
        self.assertTrue([text for text in told["problems"] if "queue.sqlite" in text], told)
        letter = b"Subject: x\r\n\r\n" + os.urandom(200_000).hex().encode()
        answer, (text,) = client.append("INBOX", "", "", letter)
        self.assertEqual((answer, text[:13]), ("NO", b"[UNAVAILABLE]"))
        filler.unlink()
        self.assertEqual(server.send(self.address)[0], 250)
        self.assertEqual(client.append("INBOX", "", "", letter)[0], "OK")
        lines = [line for line in server.lines if "queue.sqlite" in line and '"error"' in line]
        self.assertEqual(len(lines), 1, lines)
