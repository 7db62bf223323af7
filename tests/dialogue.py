"""
Plays dialogue scripts: protocol tests that a mail person can read.

A script is a text file of lines; a number after the letter names the connection, which opens
when it is first mentioned (``C1:``, ``S2:``)::

    # a comment
    C: a1 NOOP              the client sends the line and CRLF
    C- a1 NO                the client sends exactly this, without a line end
    C! \\x00\\r\\n             the same, with Python's escapes
    S: a1 OK Done.          the server's next line is exactly this
    S~ \\* OK \\[.*           the server's next line matches the whole regular expression
    S-                      the server has said nothing more so far
    S.                      the server has closed the connection
    T: 60                   the clock advances by so many seconds

Empty lines are ignored. At the end nothing the server said may be left over. Names in braces
with a dollar sign, ``${name}``, are replaced from ``names`` first.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Protocol as TypingProtocol

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

__all__ = ["Connection", "DialogueFailure", "play", "play_text"]

SCRIPTS = Path(__file__).parent / "dialogues"

LINE = re.compile(r"(?P<who>[CST])(?P<number>\d*)(?P<kind>[:~.!-])(?: (?P<text>.*))?")


class DialogueFailure(AssertionError):
    """The server said something else; the message shows file, line and what was said."""


class Server(TypingProtocol):
    """What the player needs of a protocol."""

    def dataReceived(self, data: bytes) -> None:
        """Octets from the client."""


class Connection:
    """One client's side: what it sends, and the server's lines it has not read yet."""

    def __init__(self, protocol: Server, transport: StringTransport) -> None:
        self.protocol = protocol
        self.transport = transport
        self._taken = 0

    def send(self, octets: bytes) -> None:
        """Give octets to the server, unless it has closed."""
        if not self.is_closed:
            self.protocol.dataReceived(octets)

    def rest(self) -> bytes:
        """Everything said and not read yet."""
        return self.transport.value()[self._taken :]

    def line(self) -> bytes | None:
        """The next line without its end, None if there is none."""
        line, end, _ = self.rest().partition(b"\r\n")
        if not end:
            return None
        self._taken += len(line) + 2
        return line

    @property
    def is_closed(self) -> bool:
        """The server is done with this connection."""
        return self.transport.disconnecting or getattr(self.transport, "disconnected", False)


Connect = Callable[[], tuple[Server, StringTransport]]


def play(
    name: str,
    connect: Connect,
    clock: Clock | None = None,
    names: Mapping[str, str] | None = None,
) -> None:
    """Play ``tests/dialogues/<name>``."""
    play_text((SCRIPTS / name).read_text("utf-8"), connect, clock, names, name)


def play_text(
    script: str,
    connect: Connect,
    clock: Clock | None = None,
    names: Mapping[str, str] | None = None,
    source: str = "script",
) -> None:
    """Play a script; ``connect`` returns a connected protocol and its transport."""
    if names is not None:
        script = Template(script).safe_substitute(names)
    connections: dict[str, Connection] = {}
    for number, line in enumerate(script.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        where = f"{source}:{number}: {line}"
        if found is None:
            raise DialogueFailure(f"{where}\n  is not a line of a dialogue")
        if found["who"] == "T":
            assert clock is not None, where
            clock.advance(float(found["text"]))
            continue
        if found["number"] not in connections:
            connections[found["number"]] = Connection(*connect())
        step = send if found["who"] == "C" else expect
        step(connections[found["number"]], found["kind"], found["text"] or "", where)
    for name, connection in connections.items():
        if connection.rest():
            raise DialogueFailure(f"{source}: S{name} also said {connection.rest()!r}")


def send(connection: Connection, kind: str, text: str, where: str) -> None:
    """One ``C`` line."""
    if kind == ":":
        connection.send(text.encode() + b"\r\n")
    elif kind == "-":
        connection.send(text.encode())
    elif kind == "!":
        connection.send(text.encode("latin-1").decode("unicode_escape").encode("latin-1"))
    else:
        raise DialogueFailure(f"{where}\n  is not a line of a dialogue")


def expect(connection: Connection, kind: str, text: str, where: str) -> None:
    """One ``S`` line."""
    if kind == "-":
        if connection.rest():
            raise DialogueFailure(f"{where}\n  but it said {connection.rest()!r}")
        return
    if kind == ".":
        if not connection.is_closed:
            raise DialogueFailure(f"{where}\n  but it is still open")
        return
    line = connection.line()
    if line is None:
        raise DialogueFailure(f"{where}\n  but it said {connection.rest()!r}")
    said = line.decode("utf-8", "surrogateescape")
    if not (said == text if kind == ":" else re.fullmatch(text, said)):
        raise DialogueFailure(
            f"{where}\n  but it said {said!r}\n  then {connection.rest()[:500]!r}"
        )
