"""
A client that knows only what it was told, and a mailbox that answers when the test says so.

``Client`` keeps its own view of one folder from the untagged responses alone (EXISTS, EXPUNGE,
FETCH), and complains about everything that a server may not say: RFC 3501 §7.4.1, RFC 9051 §7.5.1.
"""

import re
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from fe_mail.ports import OpenMailbox
from tests.dialogue import Connection

__all__ = ["Client", "Known", "LateMailbox"]

TOLD = re.compile(
    rb"\* (\d+) (EXISTS|RECENT|EXPUNGE)\r\n|\* (\d+) FETCH \((.*?)\)\r\n"
    rb"|(t|\*) ([A-Z]+)(?: .*?)?\r\n",
    re.DOTALL,
)
FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
UID = re.compile(rb"UID (\d+)")
MODSEQ = re.compile(rb"MODSEQ \((\d+)\)")
EXPUNGE_FORBIDDEN = (b"FETCH", b"STORE", b"SEARCH")


@attrs.define
class Known:
    """What a client knows of one message."""

    uid: int = 0
    flags: frozenset[bytes] | None = None
    modseq: int = 0
    is_recent: bool = False  # it was told so once


class LateMailbox:
    """An open mailbox; while it ``is_late``, each call waits twice: before and after it is done."""

    def __init__(self, mailbox: OpenMailbox) -> None:
        self._mailbox = mailbox
        self.is_late = False
        self.gates: list[Deferred[None]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._mailbox, name)
        if name in ("alias_id", "records", "close"):
            return found

        async def call(*args: Any, **more: Any) -> Any:
            await self._gate()
            try:
                return await found(*args, **more)
            finally:
                await self._gate()

        return call

    async def _gate(self) -> None:
        if self.is_late:
            self.gates.append(Deferred())
            await self.gates[-1]

    def next(self) -> bool:
        """Let the oldest call go on; False if there is none."""
        if self.gates:
            self.gates.pop(0).callback(None)
            return True
        return False


class Client:
    """A session, and the folder as its client imagines it."""

    def __init__(self, connection: Connection) -> None:
        self.known: list[Known] = []
        self.recent: set[int] = set()  # UIDs that it was told of as \\Recent
        self.running = b""  # the command that is not answered yet
        self.is_idle = False
        self.is_condstore = False
        self.connection = connection
        session: Any = connection.protocol.session  # type: ignore[attr-defined]
        self.mailbox = session._mailbox = LateMailbox(session._mailbox)

    @property
    def view(self) -> Any:
        """What the session thinks that it told."""
        return self.connection.protocol.session.view  # type: ignore[attr-defined]

    @property
    def is_closed(self) -> bool:
        """The server said goodbye."""
        return self.connection.is_closed

    def say(self, command: bytes) -> None:
        """Send a command and believe what is answered so far."""
        assert not self.running, self.running
        self.running = command
        self.connection.send(b"t " + command + b"\r\n")
        self.listen()

    def done(self) -> None:
        """The end of IDLE."""
        self.connection.send(b"DONE\r\n")
        self.is_idle = False
        self.listen()

    def finish(self) -> None:
        """Until the command is answered, and nothing is stored behind its back."""
        while self.mailbox.next():
            pass
        self.listen()

    def listen(self) -> None:
        """Believe what was said."""
        said = self.connection.rest()
        self.connection._taken += len(said)
        assert self.running or not said or self.is_closed, said
        for found in TOLD.finditer(said):
            if found[2]:
                self._count(int(found[1]), found[2])
            elif found[3]:
                assert int(found[3]) <= len(self.known), (self.running, said)
                self._learn(self.known[int(found[3]) - 1], found[4])
            elif found[5] == b"t":
                assert found[6] != b"BAD", (self.running, said)
                self.running = b""

    def _count(self, number: int, what: bytes) -> None:
        if what == b"EXISTS":
            assert number >= len(self.known), "messages went without EXPUNGE"
            self.known += [Known() for _ in range(number - len(self.known))]
        elif what == b"EXPUNGE":
            assert not self.running.startswith(EXPUNGE_FORBIDDEN), self.running
            del self.known[number - 1]

    def _learn(self, known: Known, items: bytes) -> None:
        """The items of a FETCH response."""
        if uid := UID.search(items):
            assert known.uid in (0, int(uid[1])), "another message than before"
            known.uid = int(uid[1])
        if modseq := MODSEQ.search(items):
            assert int(modseq[1]) >= known.modseq, "the ModSeq went back"
            known.modseq = int(modseq[1])
        if flags := FLAGS.search(items):
            named = frozenset(flags[1].split())
            known.flags = named - {b"\\Recent"}
            known.is_recent = b"\\Recent" in named
        if known.is_recent and known.uid:
            self.recent.add(known.uid)
