"""
Load generators on plain sockets: cheap for the machine that they share with the server.

They speak just enough SMTP, IMAP and POP3 to ask and to know when the answer is complete.
"""

import contextlib
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence

__all__ = ["IMAPLoad", "POP3Load", "make_message", "measure", "smtp_load"]

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_sent = itertools.count(1_000_000)  # beyond the numbers of what is appended


def make_message(number: int, octets: int = 4096) -> bytes:
    """A plain message of about this size, with words that a search can find."""
    head = (
        f"From: bench@client.test\r\nTo: bob@demo.test\r\nSubject: Message {number}\r\n"
        f"Message-ID: <{number}@client.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n"
    )
    line = f"Line of message {number} about harbors, lanterns and weather forecasts.\r\n"
    body = line * max(1, (octets - len(head)) // len(line))
    mark = "The needle is here.\r\n" if number % 1000 == 0 else ""
    return (head + mark + body).encode()


def measure(work: Callable[[], int]) -> float:
    """Things done per second; ``work`` returns how many it did."""
    began = time.perf_counter()
    count = work()
    return count / (time.perf_counter() - began)


class Connection:
    """A socket with lines."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        raw = socket.create_connection(("127.0.0.1", port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname="localhost") if context else raw
        self.file = self.socket.makefile("rb", buffering=262_144)

    def line(self) -> bytes:
        """The next line; EOFError when the server went away."""
        line = self.file.readline()
        if not line:
            raise EOFError
        return line

    def close(self) -> None:
        """Done."""
        self.file.close()
        self.socket.close()


# SMTP ------------------------------------------------------------------------------------------


MESSAGES_OF_A_CONNECTION = 250  # servers end one that brings many more


class _SMTP:
    """One session; a refusal is remembered in ``failures``."""

    def __init__(self, port: int, failures: list[bytes]) -> None:
        self._connection = Connection(port, None)
        self._failures = failures
        self.sent = 0
        self._ask(b"")
        self._ask(b"EHLO client.test\r\n")

    def _ask(self, command: bytes) -> None:
        self._connection.socket.sendall(command)
        line = self._connection.line()
        while line[3:4] == b"-":
            line = self._connection.line()
        if line[:1] not in b"23":
            self._failures.append(line)

    def send(self, to: str, message: bytes) -> None:
        """One message, a command at a time."""
        self._ask(b"MAIL FROM:<bench@client.test>\r\n")
        self._ask(b"RCPT TO:<" + to.encode() + b">\r\n")
        self._ask(b"DATA\r\n")
        self._ask(message + b".\r\n")
        self.sent += 1

    def quit(self) -> None:
        """Say good-bye, and wait until the server has closed: it counts connections."""
        self._ask(b"QUIT\r\n")
        with contextlib.suppress(EOFError):
            self._connection.line()
        self._connection.close()


def smtp_load(
    ports: Sequence[int], to: str, count: int, sessions: int, octets: int, *, is_new: bool = False
) -> float:
    """
    Messages accepted per second by ``sessions`` clients at a time, shared out over ``ports``.

    Each client keeps its connection, or with ``is_new`` makes one for every message.
    """
    # No message is like another, or a server could know it again and keep one of them.
    numbers = iter([next(_sent) for _ in range(count)])
    lock = threading.Lock()
    failures: list[bytes] = []

    def client(port: int) -> None:
        session: _SMTP | None = None
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            session = session or _SMTP(port, failures)
            session.send(to, make_message(number, octets))
            if is_new or session.sent == MESSAGES_OF_A_CONNECTION:
                session.quit()
                session = None
        if session is not None:
            session.quit()

    threads = [
        threading.Thread(target=client, args=(ports[number % len(ports)],))
        for number in range(sessions)
    ]

    def run() -> int:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count

    rate = measure(run)
    if failures:
        raise RuntimeError(f"{len(failures)} refused, the first: {failures[0]!r}")
    return rate


# IMAP ------------------------------------------------------------------------------------------


class IMAPLoad:
    """One signed-in IMAP session."""

    def __init__(self, port: int, context: ssl.SSLContext | None, user: str, password: str) -> None:
        self.connection = Connection(port, context)
        self.connection.line()
        self._tag = 0
        self.ask(f'LOGIN "{user}" "{password}"')

    def ask(self, command: str) -> int:
        """One command; the number of octets answered. RuntimeError unless OK."""
        self.send(command)
        return self.finish()

    def send(self, command: str) -> None:
        """Without waiting."""
        self._tag += 1
        self.connection.socket.sendall(f"a{self._tag} {command}\r\n".encode())

    def finish(self) -> int:
        """Read to the newest tag."""
        tag = f"a{self._tag} ".encode()
        octets = 0
        while True:
            line = self.connection.line()
            octets += len(line)
            literal = _LITERAL.search(line)
            if literal:
                octets += len(self.connection.file.read(int(literal[1])))
            elif line.startswith(tag):
                if not line.startswith(tag + b"OK"):
                    raise RuntimeError(line.decode("utf-8", "replace"))
                return octets

    def messages(self, folder: str = "INBOX") -> int:
        """How many there are."""
        self.send(f"STATUS {folder} (MESSAGES)")
        line = self.connection.line()
        self.finish()
        return int(line.rsplit(b" ", 1)[1].strip(b")\r\n"))

    def logout(self) -> None:
        """Say good-bye."""
        self.ask("LOGOUT")
        self.connection.close()

    def append(self, folder: str, numbers: range, octets: int) -> int:
        """Append one message after the other; how many."""
        for number in numbers:
            body = make_message(number, octets)
            self._tag += 1
            self.connection.socket.sendall(
                f'a{self._tag} APPEND "{folder}" {{{len(body)}}}\r\n'.encode()
            )
            self.connection.line()
            self.connection.socket.sendall(body + b"\r\n")
            self.finish()
        return len(numbers)

    def single_bodies(self, count: int) -> int:
        """Fetch the first ``count`` bodies, one command each."""
        for number in range(1, count + 1):
            self.ask(f"FETCH {number} (BODY.PEEK[])")
        return count


class POP3Load:
    """One signed-in POP3 session."""

    def __init__(self, port: int, context: ssl.SSLContext | None, user: str, password: str) -> None:
        self.connection = Connection(port, context)
        self.connection.line()
        for command in (f"USER {user}", f"PASS {password}"):
            self.connection.socket.sendall(command.encode() + b"\r\n")
            if not self.connection.line().startswith(b"+OK"):
                raise RuntimeError("POP3 login failed")

    def retrieve(self, count: int) -> int:
        """RETR the first ``count`` messages."""
        for number in range(1, count + 1):
            self.connection.socket.sendall(f"RETR {number}\r\n".encode())
            while self.connection.line() != b".\r\n":
                pass
        return count
