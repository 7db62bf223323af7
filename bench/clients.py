"""
Load generators on plain sockets: cheap for the machine that they share with the server.

They speak just enough SMTP, IMAP and POP3 to ask and to know when the answer is complete.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable

__all__ = ["IMAPLoad", "POP3Load", "make_message", "measure", "smtp_load"]

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


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


def smtp_load(port: int, to: str, count: int, sessions: int, octets: int) -> float:
    """Messages accepted per second over ``sessions`` connections, without pipelining."""
    numbers = iter(range(count))
    lock = threading.Lock()
    failures: list[bytes] = []

    def session() -> None:
        connection = Connection(port, None)

        def ask(command: bytes) -> None:
            connection.socket.sendall(command)
            line = connection.line()
            while line[3:4] == b"-":
                line = connection.line()
            if line[:1] not in b"23":
                failures.append(line)

        ask(b"")
        ask(b"EHLO client.test\r\n")
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            ask(b"MAIL FROM:<bench@client.test>\r\n")
            ask(b"RCPT TO:<" + to.encode() + b">\r\n")
            ask(b"DATA\r\n")
            ask(make_message(number, octets) + b".\r\n")
        connection.close()

    threads = [threading.Thread(target=session) for _ in range(sessions)]

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
