"""
Two sessions on one folder: whatever they do, and whichever hints are lost, NOOP tells the truth.

Each client here knows only what it was told. The trap that this is about: a session that changed
something at ModSeq 12 while another session's change at 11 is untold must still be told of 11.
"""

import re
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialogue import Connection
from tests.imap.base import IMAPTestCase, message

__all__ = ["EconomyTests", "TwoSessionsTests"]

TOLD = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE)\r\n|\* (\d+) FETCH \((.*?)\)\r\n", re.DOTALL)
FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
UID = re.compile(rb"UID (\d+)")

Step = tuple[str, int, int]
STEPS = [
    "add",
    "remove",
    "replace",
    "silent",
    "seen",
    "expunge",
    "append",
    "copy",
    "move",
    "fetch",
    "search",
    "idle",
    "noop",
    "hints",
    "lose",
    "later",
]
SCRIPTS = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 1), st.integers(0, 7)), max_size=25
)


@attrs.define
class Known:
    """What a client knows of one message."""

    uid: int = 0
    flags: frozenset[bytes] | None = None


class Client:
    """A session, and the folder as its client imagines it."""

    def __init__(self, case: IMAPTestCase, folder: bytes) -> None:
        self.case = case
        self.folder = folder
        self.connection: Connection = case.logged_in()
        self.known: list[Known] = []
        self.say(b"SELECT " + folder)
        self.say(b"FETCH 1:* (UID FLAGS)")

    def say(self, command: bytes) -> None:
        """Send a command and believe the answer."""
        self.connection.send(b"t " + command + b"\r\n")
        self.listen()

    def listen(self) -> None:
        """Believe what was said."""
        told = self.connection.rest()
        self.connection._taken += len(told)
        for found in TOLD.finditer(told):
            if found[2] == b"EXISTS":
                self.known += [Known() for _ in range(int(found[1]) - len(self.known))]
            elif found[2] == b"EXPUNGE":
                del self.known[int(found[1]) - 1]
            else:
                self.learn(self.known[int(found[3]) - 1], found[4])

    def learn(self, known: Known, items: bytes) -> None:
        """The items of a FETCH response."""
        if uid := UID.search(items):
            known.uid = int(uid[1])
        if flags := FLAGS.search(items):
            known.flags = frozenset(flags[1].split()) - {b"\\Recent"}

    def act(self, step: str, number: int) -> None:
        """Do something with a message that the client knows."""
        place = number % len(self.known) + 1 if self.known else 0
        flag = (b"\\Deleted", b"\\Flagged", b"$Work", b"\\Seen")[number % 4]
        if step == "append":
            raw = message(f"n{number}")
            self.say(b"APPEND %s {%d+}\r\n%s" % (self.folder, len(raw), raw))
        elif step in ("expunge", "noop"):
            self.say(step.encode())
        elif step == "idle":
            self.say(b"IDLE")
            self.case.turn()
            self.connection.send(b"DONE\r\n")
            self.listen()
        elif place:
            self.act_on(step, place, flag)

    def act_on(self, step: str, place: int, flag: bytes) -> None:
        """Do something with this message."""
        before = self.known[place - 1]
        if step == "silent":
            if before.flags is not None:
                before.flags |= {flag}
            self.say(b"STORE %d +FLAGS.SILENT (%s)" % (place, flag))
            return
        commands = {
            "add": b"STORE %d +FLAGS (%s)" % (place, flag),
            "remove": b"STORE %d -FLAGS (%s)" % (place, flag),
            "replace": b"STORE %d FLAGS (%s)" % (place, flag),
            "seen": b"FETCH %d (BODY[]<0.1>)" % place,
            "copy": b"COPY %d %s" % (place, self.folder),
            "move": b"MOVE %d Archive" % place,
            "fetch": b"FETCH %d:* (UID FLAGS)" % place,
            "search": b"SEARCH UNSEEN",
        }
        self.say(commands[step])


class TwoSessionsTests(IMAPTestCase):
    """Random sessions."""

    folders = 0

    @settings(max_examples=100, deadline=None)
    @given(SCRIPTS)
    def test_truth(self, steps: list[Step]) -> None:
        """After NOOP what every client was told is what there is."""
        self.folders += 1
        folder = f"F{self.folders}"
        self.now(self.mailbox.create_folder(folder))
        self.add(*[message(f"m{number}") for number in range(4)], folder=folder)
        clients = [Client(self, folder.encode()), Client(self, folder.encode())]
        for step, who, number in steps:
            if step == "hints":
                self.turn()
            elif step == "lose":
                self.bus._waiting.clear()
            elif step == "later":
                self.clock.advance(number)
            else:
                clients[who].act(step, number)
        for client in clients:
            client.listen()
            client.say(b"NOOP")
            self.assert_true(client, folder)
        for client in clients:
            client.connection.protocol.connectionLost(None)  # type: ignore[attr-defined]

    def assert_true(self, client: Client, folder: str) -> None:
        """The client's folder is the store's."""
        truth = self.now(self.mailbox.select(folder, claim_recent=False))
        self.assertEqual(len(client.known), len(truth.uids))
        for index, known in enumerate(client.known):
            self.assertIn(known.uid, (0, truth.uids[index]))
            flags = frozenset(flag.encode() for flag in truth.flags_of(index))
            self.assertIn(known.flags, (None, flags))
        view: Any = client.connection.protocol.session.view  # type: ignore[attr-defined]
        self.assertEqual(list(view.uids), list(truth.uids))
        for index in range(len(view)):
            self.assertEqual(view.flags_of(index), truth.flags_of(index))


class EconomyTests(IMAPTestCase):
    """A session does not read what it knows."""

    def setUp(self) -> None:
        """Four messages, and a count of looks into the store."""
        super().setUp()
        self.add(*[message(f"m{number}") for number in range(4)])
        self.session = self.logged_in("INBOX")
        mailbox = self.session.protocol.session.mailbox  # type: ignore[attr-defined]
        changes, self.looks = mailbox.changes, 0

        async def counted(folder_id: int, since: int) -> Any:
            self.looks += 1
            return await changes(folder_id, since)

        mailbox.changes = counted

    def test_own_changes(self) -> None:
        """STORE, \\Seen, MOVE and EXPUNGE are not read back, though other folders change too."""
        for command in (
            b"store 1 +flags (\\Flagged)",
            b"fetch 2 body[]<0.1>",
            b"store 3 +flags.silent (\\Deleted)",
            b"expunge",
            b"move 1 Archive",
            b"store 1:* +flags ($Work)",
            b"search unseen",
        ):
            self.add(message("elsewhere"), folder="Junk")
            self.ask(self.session, command)
            self.turn()
        self.assertEqual(self.looks, 0)

    def test_changes_of_others(self) -> None:
        """One look tells of another session's change, also when ours came right after it."""
        other = self.logged_in("INBOX")
        self.ask(other, b"store 1 +flags (\\Flagged)")
        self.assertEqual(
            self.ask(self.session, b"store 2 +flags (\\Seen)"),
            [
                b"* 2 FETCH (FLAGS (\\Seen \\Recent))",
                b"* 1 FETCH (FLAGS (\\Flagged \\Recent))",
                b"t OK Stored.",
            ],
        )
        self.turn()
        self.ask(self.session, b"search all")
        self.assertEqual(self.looks, 1)
