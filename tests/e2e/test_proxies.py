"""
The snippets of ``conf/proxies`` in front of the real server: nginx, HAProxy and Caddy.

Each snippet is run as it stands but for names, ports and certificate. A browser of curl signs in
through it, and a proxy that passes on next to nothing does not keep anybody out either.
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import apsw
import attrs
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.tls import make_self_signed
from tests.e2e.support import ROOT, WAIT_SECONDS, require, wait_for

WEB, API = "mail.proxy.test", "api.proxy.test"
CLIENT, SPOOFED = "127.0.0.2", "203.0.113.7"  # where it is, where it says that it is
OWNER = "owner@proxy.test"
PASSWORD = "purple otter borrows nine kettles"


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@attrs.frozen
class Answer:
    """What curl got."""

    status: int
    head: str
    body: str


class Process:
    """A program in the foreground; its output is kept for whoever asks why it ended."""

    def __init__(self, *command: str, environ: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def _check(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError("it ended:\n" + "".join(self.lines[-20:]))

    def says(self, text: str) -> None:
        """Wait for a line."""

        def look() -> bool:
            self._check()
            return any(text in line for line in self.lines)

        wait_for(text, look, 60)

    def listens(self, port: int) -> None:
        """Wait until somebody can connect."""

        def look() -> bool:
            self._check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_for(f"port {port}", look, 60)

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(WAIT_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_SECONDS)
        assert self.process.stdout is not None


class Server:
    """The web UI, the API and the MX of a server that knows its own address, and a certificate."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        names = ("proxy", "proxied_mx", "WEB", "API", "MX", "METRICS")
        self.ports = {name: free_port() for name in names}
        self.certificate = self.directory / "certificate"
        make_self_signed(self.certificate, [WEB, API])
        environ = {
            "DOMAIN": "proxy.test",
            "WEB_HOST": WEB,
            "API_HOST": API,
            "WEB_URL": f"https://{WEB}:{self.ports['proxy']}",
            "WEB_HTTPS_PORT": "0",
            "AUTH_BASIC_ENABLED": "false",
            "PROXY_PROTOCOL_FROM": "127.0.0.1",
            **{f"{n}_PORT": str(p) for n, p in self.ports.items() if n.isupper()},
        }
        self.process = Process(
            str(Path(sys.executable).with_name("twistd")),
            "--nodaemon",
            "--pidfile=",
            "fe-mail",
            "--role",
            "web,api,mx",
            "--directory",
            str(self.directory / "server"),
            environ=environ,
        )
        self.process.says("Ready after")  # its doors are bound before they open
        program = str(Path(sys.executable).with_name("fe-mail"))
        subprocess.run(
            [program, "--directory", str(self.directory / "server"), "user", "add", OWNER],
            cwd=ROOT,
            env={**os.environ, **environ},
            input=f"{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )

    def destroy(self) -> None:
        """Nothing is left."""
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@functools.cache
def shared_server() -> Server:
    """One for all proxies; gone at the end."""
    server = Server()
    atexit.register(server.destroy)
    return server


class ProxyTests(SynchronousTestCase):
    """One proxy after the other in front of the server."""

    def setUp(self) -> None:
        """A browser without cookies."""
        require("curl", "curl")
        server = shared_server()
        self.directory, self.ports = server.directory, server.ports
        self.certificate = server.certificate
        self.jar = str(self.directory / f"{self.id()}.cookies")

    # Proxies

    def snippet(self, name: str, **more: str) -> str:
        """A file of ``conf/proxies`` for our names, ports and certificate."""
        text = (ROOT / "conf" / "proxies" / name).read_text()
        changes = {
            "mail.example.org": WEB,
            "api.example.org": API,
            "127.0.0.1:3000": f"127.0.0.1:{self.ports['WEB']}",
            "127.0.0.1:4000": f"127.0.0.1:{self.ports['API']}",
            "127.0.0.1:2525": f"127.0.0.1:{self.ports['MX']}",
            f"/etc/ssl/{WEB}": str(self.certificate),
            **more,
        }
        for before, after in changes.items():
            text = text.replace(before, after)
        return text

    def write(self, name: str, text: str) -> str:
        """A file for a proxy; its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def begin(self, *command: str) -> None:
        """Run a proxy until the end of the test."""
        proxy = Process(*command, environ={"XDG_DATA_HOME": str(self.directory / "xdg")})
        self.addCleanup(proxy.stop)
        proxy.listens(self.ports["proxy"])

    def nginx(self, servers: str) -> None:
        """nginx, with nothing of this machine's own configuration."""
        text = (
            f"daemon off; master_process off; pid {self.directory}/nginx.pid;\n"
            f"error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n"
            + "".join(
                f"{kind}_temp_path {self.directory}/nginx-{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"{servers}\n}}\n"
        )
        program = require("nginx", "nginx-light")
        self.begin(program, "-p", str(self.directory), "-c", self.write("nginx.conf", text))

    # A browser of sorts

    def curl(self, url: str, *options: str) -> Answer:
        """One request through the proxy."""
        port = str(self.ports["proxy"])
        done = subprocess.run(
            [
                "curl", "--silent", "--show-error", "--include", "--max-time", "20",
                "--interface", CLIENT, "--cacert", str(self.certificate / "fullchain.pem"),
                "--resolve", f"{WEB}:{port}:127.0.0.1", "--resolve", f"{API}:{port}:127.0.0.1",
                "--cookie", self.jar, "--cookie-jar", self.jar, *options, url,
            ],
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return Answer(int(head.split()[1]), head.lower(), body)

    def sign_in(self, origin: str, *options: str) -> Answer:
        """Send the form of the login page."""
        fields = ("--data-urlencode", f"email={OWNER}")
        fields = (*fields, "--data-urlencode", f"password={PASSWORD}")
        return self.curl(
            f"{self.origin}/en/login", "--header", f"Origin: {origin}", *fields, *options
        )

    @property
    def origin(self) -> str:
        """As the browser sees it; equal to WEB_URL."""
        return f"https://{WEB}:{self.ports['proxy']}"

    def sessions(self) -> list[str]:
        """The address of each browser that is signed in, as the server knows it."""
        path = self.directory / "server" / "sqlite-data" / "accounts.sqlite"
        with contextlib.closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as database:
            return [str(row[0]) for row in database.execute("SELECT remote FROM web_sessions")]

    def sign_out(self) -> None:
        """Leave no session whose address is that of the proxy."""
        self.curl(f"{self.origin}/en/logout", "--data", "", "--header", f"Origin: {self.origin}")

    def check_snippet(self) -> None:
        """What the snippets promise."""
        page = self.curl(f"{self.origin}/en/login")
        self.assertEqual(200, page.status, page.head)
        self.assertIn("strict-transport-security:", page.head)
        foreign = self.sign_in("https://evil.test")
        self.assertEqual(403, foreign.status, foreign.head)
        signed_in = self.sign_in(self.origin, "--header", f"X-Forwarded-For: {SPOOFED}")
        self.assertEqual(302, signed_in.status, signed_in.body)
        self.assertRegex(signed_in.head, r"set-cookie: __host-session=[^\n]*secure")
        self.assertEqual(200, self.curl(f"{self.origin}/en/my-account/domains/new").status)
        self.assertEqual({CLIENT}, set(self.sessions()))
        api = f"https://{API}:{self.ports['proxy']}"
        self.assertEqual(200, self.curl(f"{api}/v1/test").status)
        unknown = self.curl(f"{api}/v1/domains/")
        self.assertEqual(401, unknown.status)
        self.assertIn("application/json", unknown.head)

    def test_nginx(self) -> None:
        """``conf/proxies/nginx.conf``."""
        listen = {"listen 443 ssl": f"listen 127.0.0.1:{self.ports['proxy']} ssl"}
        self.nginx(self.snippet("nginx.conf", **listen))
        self.check_snippet()

    def test_nginx_that_says_nothing(self) -> None:
        """Neither Host nor scheme nor client are passed on, and still one's own forms are."""
        self.nginx(
            f"server {{ listen 127.0.0.1:{self.ports['proxy']} ssl;\n"
            f"ssl_certificate {self.certificate}/fullchain.pem;\n"
            f"ssl_certificate_key {self.certificate}/privkey.pem;\n"
            f"location / {{ proxy_pass http://127.0.0.1:{self.ports['WEB']}; }} }}"
        )
        self.addCleanup(self.sign_out)
        self.assertEqual(403, self.sign_in("https://evil.test").status)
        self.assertEqual(403, self.sign_in(self.origin, "-H", "Sec-Fetch-Site: cross-site").status)
        self.assertEqual(302, self.sign_in(self.origin).status)
        self.assertEqual(200, self.curl(f"{self.origin}/en/my-account/domains/new").status)

    def test_haproxy(self) -> None:
        """``conf/proxies/haproxy.cfg``, with mail."""
        pem = "".join(path.read_text() for path in sorted(self.certificate.iterdir()))
        text = self.snippet(
            "haproxy.cfg",
            **{
                "bind :443": f"bind 127.0.0.1:{self.ports['proxy']}",
                "bind :25\n": f"bind 127.0.0.1:{self.ports['proxied_mx']}\n",
                f"/etc/haproxy/{WEB}.pem": self.write("haproxy.pem", pem),
            },
        )
        self.begin(require("haproxy", "haproxy"), "-db", "-f", self.write("haproxy.cfg", text))
        self.check_snippet()
        with socket.create_connection(("127.0.0.1", self.ports["proxied_mx"]), 20) as peer:
            peer.settimeout(20)
            self.assertTrue(peer.recv(100).startswith(b"220 mx.proxy.test "))

    def test_caddy(self) -> None:
        """``conf/proxies/Caddyfile``, but for the certificate that it would get by itself."""
        tls = f"tls {self.certificate}/fullchain.pem {self.certificate}/privkey.pem"
        sites = {f"{name} {{": f"{name} {{\n\t{tls}" for name in (WEB, API)}
        options = (
            f"{{\n\tadmin off\n\thttps_port {self.ports['proxy']}\n"
            f"\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}}\n"
        )
        path = self.write("Caddyfile", options + self.snippet("Caddyfile", **sites))
        self.begin(require("caddy", "caddy"), "run", "--config", path, "--adapter", "caddyfile")
        self.check_snippet()
