"""
What an operator relies on while the server runs: inherited sockets, load balancers, certificates
that are replaced, logs that follow a message, metrics, and the demo's promises.
"""

import base64
import contextlib
import imaplib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.edge_table import edges
from fe_mail.app.tls import make_self_signed
from tests.e2e.support import DemoServer, require, shared_server, wait_for

TWISTD = str(Path(sys.executable).with_name("twistd"))
PROGRAM = Path(sys.executable).with_name("fe-mail")
PROXY_HEADER = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 25\r\n"

# What systemd does: descriptors from 3 on, their names, and the process they are for.
AS_SYSTEMD = """
import os, sys
descriptors, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
spare = [os.dup2(int(one), 100 + number) for number, one in enumerate(descriptors)]
for number, one in enumerate(spare):
    os.dup2(one, 3 + number)
os.environ.update(
    LISTEN_FDS=str(len(spare)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid())
)
os.execv(command[0], command)
"""


def events(server: DemoServer) -> list[dict[str, Any]]:
    """The server's log; the demo's table is no JSON."""
    return [json.loads(line) for line in list(server.lines) if line.startswith("{")]


def certificate_name(port: int) -> str:
    """The common name that a handshake shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    certificate = x509.load_der_x509_certificate(shown)
    return certificate.subject.rfc4514_string()


class ServiceCase(SynchronousTestCase):
    """Without the demo: everything comes from the environment."""

    def launch(
        self,
        environ: dict[str, str],
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
        directory: Path | None = None,
        **more: Any,
    ) -> list[str]:
        """Start it, in a new directory if none is given; its log lines once it is ready."""
        self.directory = directory or Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        command = [TWISTD, "--nodaemon", "--pidfile=", "fe-mail", "-D", str(self.directory)]
        process = subprocess.Popen(
            [*prefix, *command, *options],
            env={**os.environ, **{edge.port_variable: "0" for edge in edges()}, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **more,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        lines: list[str] = []
        stream = process.stdout
        assert stream is not None
        threading.Thread(target=lambda: lines.extend(stream), daemon=True).start()
        wait_for("the server to be ready", lambda: [line for line in lines if "Ready" in line], 60)
        self.process = process
        return lines


class OperationTests(ServiceCase):
    """A server as systemd and a monitor see it."""

    def test_sockets_of_systemd_by_name(self) -> None:
        """Two inherited sockets are told apart by their names, whatever their order."""
        with contextlib.ExitStack() as stack:
            mx, imaps = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "ab")
            ports = [each.getsockname()[1] for each in (mx, imaps)]
            descriptors = [imaps.fileno(), mx.fileno()]
            self.launch(
                {
                    "DOMAIN": "sockets.test",
                    "MX_LISTEN": "systemd:domain=INET:name=mx",
                    "IMAP_LISTEN": "systemd:domain=INET:name=imaps",
                },
                [sys.executable, "-c", AS_SYSTEMD, ",".join(map(str, descriptors)), "imaps:mx"],
                pass_fds=descriptors,
            )
        with smtplib.SMTP("127.0.0.1", ports[0], timeout=20) as client:
            self.assertIn(b"mx.sockets.test", client.ehlo()[1])
        self.assertEqual(certificate_name(ports[1]), "CN=sockets.test")

    def test_metrics_health_and_first_words(self) -> None:
        """On loopback; the log says what to do about the certificate and the first password."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        lines = self.launch({"DOMAIN": "first.test", "METRICS_PORT": str(port)})

        def ask(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return str(answer.read().decode())

        self.assertIn("ok", ask("/health"))
        shown = ask("/metrics")
        for name in (
            "fe_mail_events",
            "fe_mail_connections",
            'fe_mail_queue_deliveries{state="held"} 0.0',
            "fe_mail_reactor_lag_seconds",
            "process_resident_memory_bytes",
        ):
            self.assertIn(name, shown)
        with self.assertRaises(OSError), socket.create_connection((_elsewhere(), port), 5):
            pass
        log = "".join(lines)
        self.assertNotIn("GET /", log)  # a scrape every few seconds is no news
        self.assertIn("a self-signed one was made. Replace fullchain.pem and privkey.pem", log)
        self.assertIn("password that AUTH_BASIC_PASSWORD has in", log)
        secrets = (self.directory / ".env").read_text()
        self.assertEqual(stat.S_IMODE((self.directory / ".env").stat().st_mode), 0o600)
        for line in secrets.splitlines():
            self.assertNotIn(line.partition("=")[2], log)

    def test_who_is_asked_for_the_first_password(self) -> None:
        """What the log says of Basic auth is what a visitor finds."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        environ = {"DOMAIN": "x.test", "WEB_PORT": str(port), "METRICS_PORT": "0"}
        words = "it asks for the user admin and for the password that AUTH_BASIC_PASSWORD has in"

        def start(**more: str) -> tuple[str, int]:
            lines = self.launch({**environ, **more}, directory=directory)
            wait_for("the log", lambda: [line for line in lines if "web UI is at" in line])
            with socket.create_connection(("127.0.0.1", port), 20) as client:
                client.sendall(b"GET /login HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n")
                status = int(client.makefile("rb").readline().split()[1])
            self.process.terminate()
            self.process.wait(60)
            return "".join(lines), status

        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        log, status = start()
        self.assertIn(f"Until the first account exists {words} {directory / '.env'}.", log)
        self.assertEqual(status, 401)
        log, _ = start(AUTH_BASIC_PASSWORD="from the environment")
        self.assertIn(f"Until the first account exists {words} the environment.", log)
        subprocess.run(
            [PROGRAM, "-D", directory, "user", "add", "me@example.net"],
            env={**os.environ, "DOMAIN": "x.test"}, input=b"correct horse battery staple",
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        log, status = start()
        self.assertNotIn("AUTH_BASIC_PASSWORD", log)
        self.assertEqual(status, 200)
        log, status = start(AUTH_BASIC_ALWAYS="true")
        self.assertIn(f"Always {words}", log)
        self.assertEqual(status, 401)

    def test_a_broken_certificate_is_one_sentence(self) -> None:
        """Who puts nonsense into ``ssl/`` reads where, not a traceback."""
        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, directory)
        (directory / "ssl").mkdir()
        (directory / "ssl" / "fullchain.pem").write_text("nonsense")
        done = subprocess.run(
            [TWISTD, "--nodaemon", "--pidfile=", "fe-mail", "-D", str(directory), "-r", "bree"],
            env={**os.environ, "DOMAIN": "x.test", "METRICS_PORT": "0"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"The certificate in {directory / 'ssl'} cannot be used", done.stdout)
        self.assertNotIn("Traceback", done.stdout)


def _elsewhere() -> str:
    """An address of this host that is not loopback; where there is none, one that refuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


class SharedPortTests(ServiceCase):
    """Several processes on one directory and one port."""

    def free_port(self) -> int:
        """One that nobody listens on."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return int(probe.getsockname()[1])

    def listening_on(self, port: int) -> dict[str, str]:
        """The environment of a server whose MX is there, and that has no other listener."""
        ports = {edge.port_variable: "0" for edge in edges()}
        return {
            **ports, "DOMAIN": "demo.test", "MX_LISTEN": f"tcp:{port}:interface=127.0.0.1",
        }  # fmt: skip

    def refused(self, port: int, environ: dict[str, str], *options: str) -> None:
        """One more process on the directory ends at once, and says why."""
        done = subprocess.run(
            [TWISTD, "--nodaemon", "--pidfile=", "fe-mail", "-D", str(self.directory), *options],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"Cannot listen on port {port}", done.stdout)

    def test_a_second_server_by_accident(self) -> None:
        """A whole server shares with nobody, not even with a process that would."""
        port = self.free_port()
        environ = self.listening_on(port)
        self.launch(environ)
        self.refused(port, environ)
        self.refused(port, environ, "--role", "mx", "--share-ports")

    def test_metrics_are_everybodys_own(self) -> None:
        """A scrape must not ask one process now and another one later."""
        port, options = self.free_port(), ("--role", "mx", "--share-ports")
        environ = {**self.listening_on(self.free_port()), "METRICS_PORT": str(port)}
        self.launch(environ, options=options)
        self.refused(port, environ, *options)

    def test_two_mx_processes(self) -> None:
        """Both take mail in on one port, and all of it arrives; a third must ask for its share."""
        demo = DemoServer()
        self.addCleanup(demo.destroy)
        demo.start()
        bob, _ = demo.alias("bob")
        demo.stop()
        port = self.free_port()
        environ = {**self.listening_on(port), "LOG_LEVEL": "debug"}
        roles = ("--role", "mx")
        logs, processes = [], []
        for _ in range(2):
            options = (*roles, "--share-ports")
            logs.append(self.launch(environ, options=options, directory=demo.directory))
            processes.append(self.process)
        sent = 0
        while sent < 100 and not all(map(accepted, logs)):  # the kernel chooses, blindly
            with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=20) as client:
                body = f"Subject: shared {sent}\r\n\r\nbody\r\n"
                client.sendmail("x@client.test", [bob], body)
                client.sendmail("x@client.test", [bob], body.replace("shared", "again"))
            sent += 1
        wait_for("both to take mail in", lambda: all(map(accepted, logs)))
        self.refused(port, environ, *roles)
        reader = DemoServer(demo.directory)
        self.addCleanup(reader.kill)
        reader.start("--role", "imap,smtp-bree")
        client = reader.imap("bob")
        wait_for("all mail", lambda: client.select("INBOX")[1] == [b"%d" % (2 * sent + 1)])
        client.logout()
        for process in processes:
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(40), -signal.SIGTERM)


def accepted(lines: Sequence[str]) -> int:
    """How many messages a process answered 250."""
    return sum("answered 250" in line for line in list(lines))


class CertificateTests(SynchronousTestCase):
    """``ssl/`` while the server runs."""

    def test_replaced_without_a_restart(self) -> None:
        """New handshakes show the new certificate by themselves; SIGHUP makes it at once."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        port = server.port("imaps")
        self.assertEqual(certificate_name(port), "CN=demo.test")
        session = server.imap("alice")
        make_self_signed(server.directory / "ssl", ["second.test", "localhost"])
        wait_for("the second certificate", lambda: certificate_name(port) == "CN=second.test")
        make_self_signed(server.directory / "ssl", ["third.test", "localhost"])
        server.signal(signal.SIGHUP)
        wait_for("the third certificate", lambda: certificate_name(port) == "CN=third.test", 3)
        session.noop()
        session.logout()


class ProxyTests(SynchronousTestCase):
    """Behind a load balancer that speaks the PROXY protocol."""

    def test_the_clients_address_comes_through(self) -> None:
        """MX, STARTTLS and implicit TLS alike; without the header nobody is let in."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        (server.directory / ".env").write_text("PROXY_PROTOCOL_FROM=127.0.0.0/8\n")
        server.start()
        bob, _ = server.alias("bob")
        with _proxied(smtplib.SMTP)("localhost", server.port("mx"), "client.test") as client:
            client.starttls(context=server.context)
            client.sendmail("x@client.test", [bob], "Subject: through\r\n\r\nbody\r\n")
        with _proxied(smtplib.SMTP)("localhost", server.port("submission")) as client:
            client.starttls(context=server.context)
            client.login(*server.alias("alice"))
        received = self.read(server, "through")
        self.assertIn(b"client.test ([203.0.113.7])", received)
        logins = wait_for(
            "the logins in the log",
            lambda: [each for each in events(server) if "login of" in each["text"]],
        )
        self.assertEqual({each["ip"] for each in logins}, {"203.0.113.7"})
        with socket.create_connection(("127.0.0.1", server.port("mx")), 10) as direct:
            direct.sendall(b"EHLO client.test\r\n")
            self.assertEqual(_rest(direct), b"")

    def read(self, server: DemoServer, subject: str) -> bytes:
        """A message from bob's INBOX, fetched through the balancer."""

        class Proxied(imaplib.IMAP4_SSL):
            def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
                plain = imaplib.IMAP4._create_socket(self, timeout)  # type: ignore[attr-defined]
                plain.sendall(PROXY_HEADER)
                return self.ssl_context.wrap_socket(plain, server_hostname=self.host)

        client = Proxied("localhost", server.port("imaps"), ssl_context=server.context, timeout=20)
        client.login(*server.alias("bob"))

        def look() -> bytes | None:
            client.select("INBOX")
            _, found = client.search(None, "SUBJECT", subject)
            if not found[0]:
                return None
            _, fetched = client.fetch(found[0].split()[-1].decode(), "(BODY.PEEK[])")
            assert isinstance(fetched[0], tuple)
            return bytes(fetched[0][1])

        try:
            return wait_for("the message", look)
        finally:
            client.logout()


def _proxied(base: type[smtplib.SMTP]) -> Callable[..., smtplib.SMTP]:
    """A client that goes through a balancer."""

    class Proxied(base):  # type: ignore[misc,valid-type]
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", port), 10)
            plain.sendall(PROXY_HEADER)
            return plain

    return Proxied


def _rest(connection: socket.socket) -> bytes:
    """Everything until the end."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(4096):
            got += part
    return got


class QuotaTests(SynchronousTestCase):
    """A mailbox of one megabyte."""

    def test_full(self) -> None:
        """APPEND is refused; mail from outside waits, and comes in when there is room."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        (server.directory / ".env").write_text("DEFAULT_QUOTA=1MB\n")
        server.start()
        bob, _ = server.alias("bob")
        big = b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 14_000
        reader = server.imap("bob")
        self.assertEqual(reader.append("Archive", "", "", big)[0], "OK")
        answer, said = reader.append("Archive", "", "", big)
        self.assertEqual(answer, "NO")
        self.assertIn(b"[OVERQUOTA]", said[0])
        with server.mx() as client:
            client.sendmail("x@client.test", [bob], b"Subject: waits\r\n" + big)
        (held,) = wait_for("the refusal", lambda: self.events(server, "452 4.2.2"))
        reader.select("Archive")
        reader.store("1:*", "+FLAGS", "(\\Deleted)")
        reader.expunge()
        done = subprocess.run(
            [PROGRAM, "-D", str(server.directory), "queue", "retry", held["message_id"]],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        self.assertEqual(done.returncode, 0)
        server.inbox("bob", "waits")
        reader.logout()

    def events(self, server: DemoServer, status: str) -> list[dict[str, Any]]:
        """Deliveries that ended so."""
        return [each for each in events(server) if each.get("status", "").startswith(status)]


class OtherProcessTests(SynchronousTestCase):
    """What the command line changes, the running server knows at once."""

    def test_a_session_ends_with_its_alias(self) -> None:
        """Whoever is signed in to an alias that is removed hears BYE."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        alice, _ = server.alias("alice")
        client = server.imap("alice")
        client.select("INBOX")
        client.send(b"x IDLE\r\n")
        self.assertIn(b"+", client.readline())
        command = [PROGRAM, "-D", str(server.directory), "alias", "remove", alice, "--yes"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.assertIn(b"* BYE", client.readline())
        client.shutdown()
        with self.assertRaises(imaplib.IMAP4.error):
            server.imap("alice")

    def test_a_mailbox_begun_anew(self) -> None:
        """Mail that comes a moment later is in the new mailbox, which opens at once."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        bob, _ = server.alias("bob")
        client = server.imap("bob")
        done = subprocess.run(
            [PROGRAM, "-D", str(server.directory), "password", bob, "--override", "-y"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with server.mx() as sender:
            sender.sendmail("x@client.test", [bob], b"Subject: afterwards\r\n\r\nbody\r\n")
        for alias in server.facts["aliases"]:
            if alias["address"] == bob:
                alias["password"] = re.findall(r"Password: +(\S+)", done.stdout)[0]
        server.inbox("bob", "afterwards")
        client.shutdown()


class TraceTests(SynchronousTestCase):
    """One id follows a message."""

    def test_from_connection_to_mailbox_and_remote_host(self) -> None:
        """The outcome carries the ids of session and message, hop by hop: one line a message."""
        server = shared_server()
        alice, bob = (server.alias(name)[0] for name in ("alice", "bob"))
        with server.smtp("alice") as client:
            client.mail(alice)
            client.rcpt(bob)
            code, said = client.data(
                f"From: {alice}\r\nTo: {bob}\r\nSubject: traced\r\n\r\nbody\r\n".encode()
            )
        self.assertEqual(code, 250)
        received = server.inbox("bob", "traced")
        first = said.decode().rpartition(" ")[2]

        def of(name: str, value: str) -> list[dict[str, Any]]:
            return [each for each in events(server) if each.get(name) == value]

        out = wait_for(
            "the first hop to be settled",
            lambda: [each for each in of("message_id", first) if each.get("kind") == "delivered"],
        )[0]
        self.assertEqual(of("message_id", first), [out])
        self.assertTrue(out["session_id"])
        self.assertEqual(out["remote"], "mx.demo.test")
        second = out["status"].rpartition(" ")[2]  # what the remote host calls it
        kept = wait_for(
            "the second hop to be settled",
            lambda: [each for each in of("message_id", second) if each.get("kind") == "delivered"],
        )[0]
        self.assertIn("mailbox", kept["status"])
        self.assertIn(f"id {first}".encode(), received)
        self.assertIn(f"id {second}".encode(), received)


class DemoTests(SynchronousTestCase):
    """``make run``."""

    def test_facts(self) -> None:
        """``demo.json`` has the promised shape, for its owner only, and everything answers."""
        facts = shared_server().facts
        listeners = ["mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"]
        self.assertEqual(
            set(facts), {"web", "api", "api_token", "admin", "ca", "aliases", *listeners}
        )
        self.assertEqual(set(facts["admin"]), {"email", "password"})
        for alias in facts["aliases"]:
            self.assertLessEqual({"address", "password"}, set(alias))
        self.assertEqual(
            [alias["address"] for alias in facts["aliases"]], ["alice@demo.test", "bob@demo.test"]
        )
        path = shared_server().directory / "demo.json"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        for name in listeners:
            self.assertEqual(set(facts[name]), {"host", "port"})
            place = (facts[name]["host"], facts[name]["port"])
            socket.create_connection(place, 5).close()
        credentials = base64.b64encode(f"{facts['api_token']}:".encode()).decode()
        for url, fields in (
            (facts["web"], {}),
            (facts["api"] + "/v1/account", {"Authorization": f"Basic {credentials}"}),
        ):
            request = urllib.request.Request(url, headers=fields)
            with urllib.request.urlopen(request, timeout=20) as answer:
                self.assertEqual(answer.status, 200)

    def test_printed_commands(self) -> None:
        """What the table offers to copy works as it stands."""
        require("swaks", "swaks")
        require("curl", "curl")
        server = shared_server()
        table = "".join(line for line in list(server.lines) if not line.startswith("{"))
        commands = dict(re.findall(r"^  (Send|Read|API): +(.*)$", table.replace("\\\n", " "), re.M))
        self.assertEqual(set(commands), {"Send", "Read", "API"})
        said = {}
        for name, command in commands.items():
            done = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            said[name] = done.stdout
        self.assertIn("Queued as", said["Send"])
        self.assertIn("Subject: Welcome, Bob", said["Read"])
        self.assertEqual([each["name"] for each in json.loads(said["API"])], ["demo.test"])

    def test_says_how_to_stop_and_forget(self) -> None:
        """The table names the key, the process and the option; the option does what it says."""
        server = shared_server()
        assert server.process is not None
        table = "".join(line for line in list(server.lines) if not line.startswith("{"))
        self.assertRegex(table, rf"Stop +Ctrl-C, or kill {server.process.pid};")
        self.assertRegex(
            table, rf"Forget .*start again with --fresh .*{re.escape(str(server.directory))}"
        )

    def test_kept_between_runs_until_fresh(self) -> None:
        """Passwords, mail, ports stay; ``--fresh`` begins anew."""
        server = DemoServer()
        self.addCleanup(server.destroy)
        server.start()
        first = server.facts
        self.assertIn(b"this is your mailbox", server.inbox("alice", "Welcome"))
        server.stop()
        self.assertFalse((server.directory / "demo.json").exists())
        server.start()
        self.assertEqual(server.facts, first, "ports and addresses too")
        server.inbox("alice", "Welcome")
        server.stop()
        server.start("--fresh")
        self.assertNotEqual(server.facts["aliases"], first["aliases"])
        server.inbox("alice", "Welcome")
