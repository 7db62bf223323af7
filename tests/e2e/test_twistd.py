"""twistd itself: plugins, help, a wrong configuration, signals, single roles, the .tac file."""

import contextlib
import imaplib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.edge_table import role_names
from fe_mail.connection.registry import DRAIN_SECONDS
from fe_mail.imap.conversation import IDLE_LOOK_SECONDS
from tests.e2e.support import ROOT, WAIT_SECONDS, DemoServer, wait_for

STOPPED = -signal.SIGTERM  # twistd ends with the signal that ended it, as systemd expects
TWISTD = str(Path(sys.executable).with_name("twistd"))


def run(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run twistd to its end."""
    directory = tempfile.mkdtemp(prefix="fe-mail-e2e-")
    return subprocess.run(
        [TWISTD, *words],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kill(pid: int) -> None:
    """End a process, unless it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def count(client: imaplib.IMAP4_SSL) -> int:
    """How many messages the session knows of, having looked for news."""
    client.noop()
    return len(client.search(None, "ALL")[1][0].split())


class CommandTests(SynchronousTestCase):
    """What an operator sees before anything runs."""

    def test_help_lists_every_role_and_imports_nothing(self) -> None:
        """``twistd --help`` names each plugin without importing the application."""
        shown = run("--help").stdout
        for role in role_names():
            self.assertIn(f"fe-mail-{role} ", shown)
        probe = (
            "import sys; from twisted.plugin import getPlugins\n"
            "from twisted.application.service import IServiceMaker\n"
            "names = [p.tapname for p in getPlugins(IServiceMaker)]\n"
            "assert 'fe-mail' in names\n"
            "print([m for m in sys.modules if m.startswith('fe_mail')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout.strip(), "[]")

    def test_own_help_documents_every_variable(self) -> None:
        """``twistd fe-mail --help`` is generated from the declarations."""
        from fe_mail.app.variables import variables

        shown = run("fe-mail", "--help").stdout
        self.assertEqual([name for name in variables() if name not in shown], [])

    def test_everything_wrong_is_said_at_once(self) -> None:
        """Exit 2, one sentence for each problem."""
        done = run("--nodaemon", "fe-mail", "--directory", ".", MX_PORT="many", DOMAIN="a b")
        self.assertEqual(done.returncode, 2)
        self.assertIn("MX_PORT must be a port number", done.stderr)
        self.assertIn("DOMAIN must be a host name", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_unknown_role(self) -> None:
        """A role that does not exist is named with those that do."""
        done = run("--nodaemon", "fe-mail", "--demo", "--role", "caldav")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--role knows only", done.stderr)

    def test_sharing_needs_a_choice_of_roles(self) -> None:
        """Two whole servers on one directory are never meant."""
        every = ",".join(role_names())
        for words in ((), ("--role", every)):
            done = run("--nodaemon", "fe-mail", "--demo", "--share-ports", *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--share-ports goes with --role", done.stderr)


class DaemonTests(SynchronousTestCase):
    """Without ``--nodaemon``."""

    def test_in_the_background(self) -> None:
        """It logs JSON to a file that is not for everybody; SIGUSR1 begins a new one."""
        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        done = subprocess.run(
            [TWISTD, "--pidfile=pid", "fe-mail", "--demo", "--directory", "data"],
            cwd=directory,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 0)
        wait_for("the demo", lambda: (directory / "data" / "demo.json").exists(), 60)
        pid = int((directory / "pid").read_text())
        self.addCleanup(kill, pid)
        log, old = directory / "fe-mail.log", directory / "fe-mail.log.1"
        self.assertEqual(log.stat().st_mode & 0o777 & ~0o640, 0)
        os.kill(pid, signal.SIGUSR1)
        wait_for("a new log", old.exists)
        self.assertTrue([json.loads(line) for line in old.read_text().splitlines()])
        os.kill(pid, signal.SIGTERM)
        wait_for("the end", lambda: log.exists() and "Stopped." in log.read_text(), 40)
        wait_for("the pid file to go", lambda: not (directory / "pid").exists())


class SignalTests(SynchronousTestCase):
    """Stopping."""

    def test_sigterm_lets_a_transaction_finish(self) -> None:
        """A message in DATA is still taken; new connections are not."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        bob, _ = server.alias("bob")
        client = server.mx()
        client.ehlo()
        client.mail("x@client.test")
        client.rcpt(bob)
        client.putcmd("data")
        self.assertEqual(client.getreply()[0], 354)
        server.signal(signal.SIGTERM)
        wait_for("the doors to close", lambda: self.is_closed(server))
        client.send(b"Subject: last one in\r\n\r\nbody\r\n.\r\n")
        self.assertEqual(client.getreply()[0], 250)
        client.close()
        assert server.process is not None
        self.assertEqual(server.process.wait(40), STOPPED)
        server.start()
        server.inbox("bob", "last one in")

    def is_closed(self, server: DemoServer) -> bool:
        """True when the MX takes no connections any more."""
        import socket

        try:
            socket.create_connection(("127.0.0.1", server.port("mx")), 5).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_sessions_that_only_wait_hold_up_nothing(self) -> None:
        """A phone that sleeps does not answer the end of TLS; the stop does not wait for it."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        sleeping = [server.imap("alice"), server.imap("bob"), server.smtp("alice")]
        began = time.monotonic()
        self.assertEqual(server.stop(), STOPPED)
        self.assertLess(time.monotonic() - began, DRAIN_SECONDS)
        for client in sleeping:
            assert client.sock is not None
            client.sock.close()

    def test_second_signal_exits_at_once(self) -> None:
        """Whoever presses Ctrl-C twice does not wait for a transaction."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        bob, _ = server.alias("bob")
        client = server.mx()
        client.ehlo()
        client.mail("x@client.test")
        client.rcpt(bob)
        client.putcmd("data")
        client.getreply()
        server.signal(signal.SIGINT)
        wait_for("the doors to close", lambda: self.is_closed(server))
        server.signal(signal.SIGINT)
        assert server.process is not None
        self.assertEqual(server.process.wait(WAIT_SECONDS), 1)


class RoleTests(SynchronousTestCase):
    """The same service tree with fewer children."""

    def test_two_processes_share_the_files(self) -> None:
        """MX and delivery in one process, reading in another."""
        both = DemoServer()
        self.addCleanup(both.destroy)
        both.start()
        bob, _ = both.alias("bob")
        both.stop()
        mx = DemoServer(both.directory)
        mx.start("--role", "mx,smtp-bree")
        facts = mx.facts
        with mx.mx() as client:
            client.sendmail("x@client.test", [bob], b"Subject: across\r\n\r\nbody\r\n")
        self.assertNotIn("imaps", facts)
        reader = DemoServer(both.directory)
        reader.start("--role", "imap")
        self.addCleanup(mx.kill)
        self.addCleanup(reader.kill)
        reader.inbox("bob", "across")

    def test_hints_cross_processes(self) -> None:
        """A session in IDLE hears at once of mail that another process took in."""
        both = DemoServer()
        self.addCleanup(both.destroy)
        both.start()
        bob, _ = both.alias("bob")
        both.stop()
        reader, mx = DemoServer(both.directory), DemoServer(both.directory)
        reader.start("--role", "imap")
        self.addCleanup(reader.kill)
        client = reader.imap("bob")
        client.select("INBOX")
        mx.start("--role", "mx,smtp-bree")
        self.addCleanup(mx.kill)
        client.send(b"x idle\r\n")
        self.assertIn(b"+", client.readline())
        with mx.mx() as sender:
            sender.sendmail("x@client.test", [bob], b"Subject: hint\r\n\r\nbody\r\n")
        self.assertLess(WAIT_SECONDS, IDLE_LOOK_SECONDS)  # or it would look without a hint
        self.assertIn(b"2 EXISTS", client.readline())
        client.shutdown()

    def test_two_processes_read_one_mailbox(self) -> None:
        """What one of them changes, the other one's open session is told, flags and all."""
        both = DemoServer()
        self.addCleanup(both.destroy)
        both.start()
        both.stop()
        servers = [DemoServer(both.directory), DemoServer(both.directory)]
        clients = []
        for server in servers:
            server.start("--role", "imap")
            self.addCleanup(server.kill)
            client = server.imap("bob")
            client.select("INBOX")
            clients.append(client)
        first, second = clients
        for number in range(2, 12):
            here, there = (first, second) if number % 2 else (second, first)
            keyword = f"$Mark{number}"
            body = f"Subject: {number}\r\n\r\nbody\r\n".encode()
            self.assertEqual(here.append("INBOX", keyword, "", body)[0], "OK")
            wait_for("the news", lambda c=there, n=number: count(c) == n)  # type: ignore[misc]
            _, fetched = there.fetch(str(number), "(FLAGS BODY.PEEK[])")
            assert isinstance(fetched[0], tuple)
            self.assertEqual(fetched[0][1], body)
            self.assertIn(keyword.encode(), b" ".join([fetched[0][0], fetched[1]]))
        first.store("1:5", "+FLAGS", "\\Deleted")
        first.expunge()
        wait_for("the expunge", lambda: count(second) == 6)
        self.assertEqual(second.search(None, "ALL"), first.search(None, "ALL"))
        for client in clients:
            client.logout()

    def test_tac_file(self) -> None:
        """``twistd -y conf/fe-mail.tac`` starts the same application."""
        directory = tempfile.mkdtemp(prefix="fe-mail-e2e-")
        listeners = [
            "MX",
            "SMTP",
            "SUBMISSION",
            "IMAP",
            "POP3",
            "WEB_HTTPS",
            "WEB",
            "API",
            "METRICS",
        ]
        ports = {f"{name}_PORT": "0" for name in listeners}
        process = subprocess.Popen(
            [TWISTD, "--nodaemon", "--pidfile=", "--python", str(ROOT / "conf" / "fe-mail.tac")],
            env={
                **os.environ, **ports, "DOMAIN": "tac.test", "FE_MAIL_DIRECTORY": directory,
                "MX_LISTEN": "tcp:0:interface=127.0.0.1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.addCleanup(process.kill)
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "Ready after" in line:
                break
        self.assertIn("Ready after", seen[-1] if seen else "")
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        self.assertEqual(process.wait(40), STOPPED)
        self.assertEqual(oct((Path(directory) / ".env").stat().st_mode & 0o777), "0o600")
