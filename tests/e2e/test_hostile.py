"""
Hundreds of hostile connections at once: memory stays bounded and other people are served.

The attackers come from an address of their own (127.0.0.66), so that the limits per address hold
them and not the person who just wants her mail. What is measured is the server's own share of
memory (PSS), before and during the attack.
"""

import atexit
import base64
import contextlib
import functools
import json
import re
import selectors
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import WAIT_SECONDS, DemoServer, wait_for

ATTACKER = "127.0.0.66"
CONNECTIONS = 200  # of the attacker, to each listener
ATTACK_SECONDS = 1.5
MAX_SENT_OCTETS = 1024 * 1024  # by one connection
# Per hostile connection: what waits of a command or of content (256 KiB), what waits for the disk
# (256 KiB), TLS state, and room for the pieces they are made of.
MAX_OCTETS_PER_CONNECTION = 800 * 1024
CROWD = 2200  # more than a listener has places
NEWCOMERS = 20
HEADERS = 500
FIELD = b"X: " + b"x" * 900 + b"\r\n"
BACKLOG = 40  # connections that the kernel keeps for a listener, and a few less
STORM_LOGINS = 300
STORM_SECONDS = 6.0
PATIENCE_SECONDS = 5.0  # of the person; idle, each of these takes milliseconds

Attack = Callable[[], Iterator[bytes]]


def forever(piece: bytes, first: bytes = b"") -> Attack:
    """Send ``first``, then ``piece`` again and again."""

    def octets() -> Iterator[bytes]:
        yield first or piece
        while True:
            yield piece * max(1, 16_384 // len(piece))

    return octets


def once(octets: bytes) -> Attack:
    """Send that, and then nothing more."""
    return lambda: iter((octets,))


CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
# A record of 64 KiB that never comes, half a handshake, and no handshake at all.
NO_TLS: tuple[Attack, ...] = (
    once(CLIENT_HELLO),
    forever(b"\x00", CLIENT_HELLO),
    once(b"\x16\x03\x01\xff\xff" + b"\x00" * 1000),
    once(b""),
    forever(b"GET / HTTP/1.1\r\n"),
)
IMAP: tuple[Attack, ...] = (
    forever(b"A"),
    forever(b"A", b"a1 LOGIN {60000+}\r\n"),
    forever(b"A", b"a1 LOGIN {99999999999+}\r\n"),
    forever(b"((", b"a1 SEARCH "),
    forever(b"a1 LOGIN {1+}\r\nx"),
    forever(b"a NOOP\r\n"),
    forever(b"a CAPABILITY\r\n"),
    forever(b"\r\n"),
    forever(b"A" * 1000, b"a1 AUTHENTICATE PLAIN\r\n"),
    once(b"a1 LOG"),
    once(b""),
)
SMTP: tuple[Attack, ...] = (
    forever(b"A"),
    forever(b"NOOP\r\n", b"EHLO x\r\n"),
    forever(b"EHLO x\r\n"),
    forever(b"A", b"EHLO x\r\nAUTH PLAIN "),
    forever(b"MAIL FROM:<>\r\n", b"EHLO x\r\n"),
    forever(b"HELP\r\n", b"HELO x\r\n"),
    forever(b"BDAT 999999999\r\n", b"EHLO x\r\nMAIL FROM:<a@x.test>\r\n"),
    forever(b"\r\n"),
    once(b"EHL"),
    once(b""),
)
MX: tuple[Attack, ...] = (
    *SMTP,
    # DATA without an end: an endless line, and a message that is far too big.
    forever(b"A", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n"),
    forever(b"a\r\n", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n"),
    forever(b"A: b\r\n", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n"),
)
POP3: tuple[Attack, ...] = (
    forever(b"A"),
    forever(b"CAPA\r\n"),
    forever(b"USER x\r\n"),
    forever(b"A", b"AUTH PLAIN\r\n"),
    once(b"CAP"),
    once(b""),
)
HTTP: tuple[Attack, ...] = (
    forever(b"A"),
    forever(b"X: y\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"),
    forever(b"A", b"GET / HTTP/1.1\r\nHost: x\r\nX: "),
    forever(b"A", b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"),
    forever(
        b"1\r\nx\r\n", b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    forever(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    once(b"GET / HT"),
    once(b""),
)


class Horde:
    """Hostile connections to one port; a thread writes whatever the server takes."""

    def __init__(
        self, port: int, attacks: tuple[Attack, ...], tls: ssl.SSLContext | None = None
    ) -> None:
        self.sent_octets = 0
        self.closed = 0
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._budget: dict[socket.socket, int] = {}
        for number in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", port), 10, (ATTACKER, 0))
            if tls is not None:
                client = tls.wrap_socket(client, server_hostname="localhost")
            client.setblocking(False)
            self._budget[client] = MAX_SENT_OCTETS
            octets = attacks[number % len(attacks)]()
            self._selector.register(client, selectors.EVENT_WRITE, octets)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                client, octets = key.fileobj, key.data
                assert isinstance(client, socket.socket)
                self._push(client, octets)

    def _push(self, client: socket.socket, octets: Iterator[bytes]) -> None:
        piece = next(octets, b"") if self._budget[client] > 0 else b""
        if not piece:
            self._selector.unregister(client)
            return
        try:
            sent = client.send(piece)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError:
            self.closed += 1
            self._selector.unregister(client)
            return
        self.sent_octets += sent
        self._budget[client] -= sent

    def end(self) -> None:
        """Stop and close."""
        self._stop.set()
        self._thread.join()
        self._selector.close()
        for client in self._budget:
            client.close()


def pss_octets(process: int) -> int:
    """The proportional share of memory of a process."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@functools.cache
def attacked_server() -> DemoServer:
    """A server that nobody else uses: its memory is measured."""
    server = DemoServer()
    atexit.register(server.destroy)
    server.start()
    for name in ("alice", "bob"):
        server.imap(name).logout()  # so that both mailboxes were opened once
    return server


class HostileConnectionTests(SynchronousTestCase):
    """One server for all attacks, none of them may leave a trace."""

    def setUp(self) -> None:
        """Start it with the first test."""
        self.server = attacked_server()

    def pss(self) -> int:
        """The server's memory now."""
        assert self.server.process is not None
        return pss_octets(self.server.process.pid)

    @contextmanager
    def patience(self, what: str) -> Iterator[None]:
        """Fail when the person had to wait for too long."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.assertLess(took, PATIENCE_SECONDS, what)

    def assert_people_are_served(self) -> None:
        """Mail comes in, is read over IMAP, goes out, and the website answers."""
        server, subject = self.server, f"Served {time.monotonic()}"
        address, _ = server.alias("alice")
        with self.patience("a delivery"), server.mx() as client:
            client.sendmail("x@x.test", [address], f"Subject: {subject}\r\n\r\nx\r\n")
        with self.patience("an IMAP session"):
            server.inbox("alice", subject)
        with self.patience("a submission"), server.smtp("alice") as out:
            out.sendmail(address, [address], f"From: {address}\r\nSubject: out\r\n\r\nx\r\n")
        with self.patience("a page"), urllib.request.urlopen(server.facts["web"]) as page:
            self.assertEqual(page.status, 200)

    def attack(
        self, port: int, attacks: tuple[Attack, ...], tls: ssl.SSLContext | None = None
    ) -> None:
        """Let them all come, look after the people, and count the memory."""
        before = self.pss()
        horde = Horde(port, attacks, tls)
        try:
            end = time.monotonic() + ATTACK_SECONDS
            self.assert_people_are_served()
            worst = self.pss()
            while time.monotonic() < end:
                worst = max(worst, self.pss())
                time.sleep(0.1)
        finally:
            horde.end()
        self.assertLess(worst - before, CONNECTIONS * MAX_OCTETS_PER_CONNECTION)
        self.assert_people_are_served()

    def attack_tls(self, port: int, attacks: tuple[Attack, ...]) -> None:
        """The same inside TLS."""
        context = ssl.create_default_context(cafile=self.server.facts["ca"])
        self.attack(port, attacks, context)

    def web_port(self) -> int:
        """Where the website listens."""
        return int(self.server.facts["web"].rpartition(":")[2])

    def test_imap(self) -> None:
        """Endless lines, literals and parentheses before login."""
        self.attack(self.server.port("imap"), IMAP)

    def test_imap_tls(self) -> None:
        """The same inside TLS."""
        self.attack_tls(self.server.port("imaps"), IMAP)

    def test_imap_signed_in(self) -> None:
        """A user of ours who means harm: floods, and answers that are never read."""
        address, password = self.server.alias("bob")
        login = f"a LOGIN {address} {password}\r\nb SELECT INBOX\r\n".encode()
        attacks = tuple(
            forever(flood, login)
            for flood in (
                b"c NOOP\r\n",
                b"c FETCH 1:* BODY.PEEK[]\r\n",
                b"c SEARCH TEXT hello\r\n",
                b'c LIST "" *\r\n',
                b"c STORE 1:* +FLAGS (\\Seen)\r\n",
                b"c COPY 99999 INBOX\r\n",
                b"c APPEND INBOX {50000000+}\r\n" + b"x" * 16_000,
                b"c STATUS INBOX (MESSAGES UNSEEN)\r\n",
            )
        )
        self.attack_tls(self.server.port("imaps"), attacks)

    def test_mx(self) -> None:
        """Endless commands, and messages that never end."""
        self.attack(self.server.port("mx"), MX)

    def test_submission(self) -> None:
        """Before login."""
        self.attack(self.server.port("submission"), SMTP)

    def test_pop3(self) -> None:
        """Before login."""
        self.attack(self.server.port("pop3"), POP3)

    def test_handshakes(self) -> None:
        """TLS that begins and never comes to an end."""
        self.attack(self.server.port("imaps"), NO_TLS)

    def test_web(self) -> None:
        """Requests that never end, and answers that nobody reads."""
        self.attack(self.web_port(), HTTP)


class HostileHeaderTests(SynchronousTestCase):
    """Messages whose header never ends."""

    def test_crowd(self) -> None:
        """Five hundred of them, a quarter of a megabyte each, share one budget."""
        server = attacked_server()
        before = self.worst(server, 0)
        clients = []
        for number in range(HEADERS):
            source = (f"127.0.3.{1 + number % 10}", 0)
            clients.append(socket.create_connection(("127.0.0.1", server.port("mx")), 10, source))
            self.addCleanup(clients[-1].close)
            clients[-1].settimeout(WAIT_SECONDS)
            if number % BACKLOG == 0:
                with urllib.request.urlopen(server.facts["web"]) as page:
                    self.assertEqual(page.status, 200)  # after all that wait to be accepted
        for client in clients:
            self.dialogue(client)
        for client in clients:
            client.sendall(FIELD * (250_000 // len(FIELD)))
        address, _ = server.alias("alice")
        with server.mx() as polite:
            polite.sendmail("x@x.test", [address], "Subject: polite\r\n\r\nx\r\n")
        self.assertLess(self.worst(server, ATTACK_SECONDS) - before, HEADERS * 600_000)
        for client in clients:
            client.close()

        def is_given_back() -> bool:
            return self.worst(server, 0) - before < HEADERS * 350_000

        wait_for("memory to be given back", is_given_back)

    def worst(self, server: DemoServer, seconds: float) -> int:
        """The most memory that the server has within a while."""
        assert server.process is not None
        worst, end = pss_octets(server.process.pid), time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1)
            worst = max(worst, pss_octets(server.process.pid))
        return worst

    def dialogue(self, client: socket.socket) -> None:
        """Up to DATA, as it is done."""
        for command in (
            b"EHLO x\r\n",
            b"MAIL FROM:<>\r\n",
            b"RCPT TO:<alice@demo.test>\r\n",
            b"DATA\r\n",
        ):
            client.recv(4096)
            client.sendall(command)
        self.assertTrue(client.recv(4096).startswith(b"354 "))


_SERVED = re.compile(r"GET /(en/)? (200|302)")


class HostileHTTPTests(SynchronousTestCase):
    """Connections that ask for nothing, or never finish asking."""

    def setUp(self) -> None:
        """Start the server with the first test."""
        self.server = attacked_server()
        self.clients: list[socket.socket] = []
        self.addCleanup(lambda: [client.close() for client in self.clients])

    def flood(self, url: str, count: int, octets: bytes) -> None:
        """So many connections from ten addresses, each with the same octets."""
        port = int(url.rpartition(":")[2])
        for number in range(count):
            source = (f"127.0.2.{1 + number % 10}", 0)
            client = socket.create_connection(("127.0.0.1", port), 10, source)
            self.clients.append(client)
            client.settimeout(PATIENCE_SECONDS)
            with contextlib.suppress(OSError):  # cut to make room for others
                client.sendall(octets)
            if number % BACKLOG == 0:
                self.assert_newcomers_are_served(1)  # after all that wait to be accepted

    def open_count(self) -> int:
        """How many of the crowd are still there."""
        found = 0
        for client in self.clients:
            client.setblocking(False)
            try:
                client.recv(1)
            except BlockingIOError:
                found += 1
            except OSError:
                pass
        return found

    def assert_newcomers_are_served(self, count: int = NEWCOMERS) -> None:
        """A page for everybody who comes."""
        for _ in range(count):
            began = time.monotonic()
            with urllib.request.urlopen(self.server.facts["web"], timeout=WAIT_SECONDS) as page:
                self.assertEqual(page.status, 200)
            self.assertLess(time.monotonic() - began, PATIENCE_SECONDS)

    def memory(self) -> int:
        """What the process has now."""
        assert self.server.process is not None
        return pss_octets(self.server.process.pid)

    def test_slow_crowd(self) -> None:
        """More unfinished headers than there are places: newcomers get one all the same."""
        before, lines = self.memory(), len(self.server.lines)
        self.flood(self.server.facts["web"], CROWD, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        self.assert_newcomers_are_served()
        self.assertGreater(self.open_count(), CROWD // 2)
        self.assertLess(self.memory() - before, CROWD * 40_000)
        said = self.server.lines[lines:]
        self.assertNotIn("Traceback", "".join(said))
        # Not of the newcomers, who are served as often as the machine is quick.
        of_the_crowd = [line for line in said if not _SERVED.search(line)]
        octets = sum(map(len, of_the_crowd))
        self.assertLess(octets, 100_000, of_the_crowd[:: len(of_the_crowd) // 20 or 1])

    def test_unfinished_bodies(self) -> None:
        """A body of a megabyte that never ends, two hundred times, lies on the disk."""
        token = base64.b64encode(f"{self.server.facts['api_token']}:".encode()).decode()
        head = f"POST /v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
        before = self.memory()
        octets = head.encode() + b"Content-Length: 1000000\r\n\r\n" + b" " * 900_000
        self.flood(self.server.facts["api"], CONNECTIONS, octets)
        self.assert_newcomers_are_served()
        self.assertLess(self.memory() - before, CONNECTIONS * 200_000)

    def test_unwanted_bodies(self) -> None:
        """A stranger's megabyte is refused before it comes, and kept nowhere."""
        before = self.memory()
        octets = b"POST /v1/domains HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        self.flood(self.server.facts["api"], CONNECTIONS, octets + b" " * 900_000)
        for client in self.clients:
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 401 "))
        self.assert_newcomers_are_served()
        self.assertLess(self.memory() - before, CONNECTIONS * 100_000)


class LoginStormTests(SynchronousTestCase):
    """Guessing passwords is slow for those who guess, not for the others."""

    def test_storm(self) -> None:
        """300 wrong logins at once stop neither mail nor a session that is open."""
        server = attacked_server()
        address, _ = server.alias("bob")
        victim = self.alias_with_chosen_password(server)
        session = server.imap("alice")
        session.select("INBOX")
        guesses = [
            threading.Thread(target=self.guess, args=(server, victim, number), daemon=True)
            for number in range(STORM_LOGINS)
        ]
        for guess in guesses:
            guess.start()
        slowest = 0.0
        end = time.monotonic() + STORM_SECONDS  # the storm itself lasts much longer
        while time.monotonic() < end and any(guess.is_alive() for guess in guesses):
            began = time.monotonic()
            session.noop()
            with server.mx() as client:
                client.sendmail("x@x.test", [address], b"Subject: storm\r\n\r\nx\r\n")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        self.assertGreater(slowest, 0.0)
        self.assertLess(slowest, PATIENCE_SECONDS)
        self.assertEqual(session.noop()[0], "OK")
        session.logout()

    def alias_with_chosen_password(self, server: DemoServer) -> str:
        """One whose wrong passwords are the most expensive (PBKDF2 with many rounds)."""
        credentials = base64.b64encode(f"{server.facts['api_token']}:".encode()).decode()
        base = f"{server.facts['api']}/v1/domains/demo.test/aliases"
        for url, fields in (
            (base, {"name": "carol", "has_imap": True}),
            (f"{base}/carol/generate-password", {"new_password": "seven purple otters borrow"}),
        ):
            headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
            request = urllib.request.Request(url, json.dumps(fields).encode(), headers)
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                self.assertEqual(answer.status, 200)
        return "carol@demo.test"

    def guess(self, server: DemoServer, address: str, number: int) -> None:
        """One wrong password, from one of many addresses; whatever the answer is."""
        source = f"127.0.{1 + number // 200}.{1 + number % 200}"
        try:
            with (
                socket.create_connection(
                    ("127.0.0.1", server.port("imaps")), 30, (source, 0)
                ) as plain,
                server.context.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                client.recv(1000)
                client.sendall(f"a LOGIN {address} wrong-{number}\r\n".encode())
                client.recv(1000)
        except OSError:
            pass  # turned away is as good as refused
