"""
Sessions on one folder: whatever they do, whichever hints are lost, and however late the store is,
NOOP tells the truth.

Each client here knows only what it was told. The trap that this is about: a session that changed
something at ModSeq 12, or nothing at all, while another session's change at 11 is untold must
still be told of 11. A session's known ModSeq may only pass what it has told.
"""

import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.imap.factory import IMAPFactory
from fe_mail.model.mailbox import Delivery, FlagAction, NewMessage
from fe_mail.ports import OpenMailbox
from tests.damage import lose_message
from tests.imap.base import KEY, IMAPTestCase, message
from tests.imap.model import Client

__all__ = ["EndTests", "SessionsTests"]

Step = tuple[str, int, int]
FLAGS = (b"\\Deleted", b"\\Flagged", b"$Work", b"\\Seen", b"\\Answered")
COMMANDS = {
    "add": b"STORE %(place)d +FLAGS (%(flag)s)",
    "remove": b"STORE %(place)d -FLAGS (%(flag)s)",
    "replace": b"STORE %(place)d FLAGS (%(flag)s)",
    "add to all": b"STORE 1:* +FLAGS (%(flag)s)",
    "uid add": b"UID STORE %(uid)d +FLAGS (%(flag)s)",
    "uid add to none": b"UID STORE 9999 +FLAGS (%(flag)s)",
    "conditional": b"STORE %(place)d (UNCHANGEDSINCE %(modseq)d) +FLAGS (%(flag)s)",
    "always refused": b"STORE %(place)d (UNCHANGEDSINCE 1) -FLAGS (%(flag)s)",
    "seen": b"FETCH %(place)d (BODY[]<0.1>)",
    "seen by uid": b"UID FETCH %(uid)d (BODY[]<0.1>)",
    "peek": b"FETCH %(place)d (FLAGS BODY.PEEK[]<0.1>)",
    "fetch": b"FETCH %(place)d:* (UID FLAGS)",
    "uid fetch": b"UID FETCH 1:* (FLAGS)",
    "changed since": b"FETCH 1:* (FLAGS) (CHANGEDSINCE %(modseq)d)",
    "search": b"SEARCH UNSEEN",
    "search text": b"UID SEARCH SUBJECT m",
    "search modseq": b"SEARCH MODSEQ %(modseq)d",
    "copy here": b"COPY %(place)d %(folder)s",
    "copy away": b"COPY %(place)d Archive",
    "copy none": b"UID COPY 9999 %(folder)s",
    "move here": b"MOVE %(place)d %(folder)s",
    "move away": b"MOVE %(place)d Archive",
    "uid move": b"UID MOVE %(uid)d Archive",
    "move none": b"UID MOVE 9999 Archive",
    "expunge": b"EXPUNGE",
    "uid expunge": b"UID EXPUNGE %(uid)d",
    "expunge none": b"UID EXPUNGE 9999",
    "status": b"STATUS %(folder)s (MESSAGES UIDNEXT)",
    "noop": b"NOOP",
    "check": b"CHECK",
}
# Even ``*`` is no number of an empty folder (RFC 9051 §9, seq-number).
NUMBERS = re.compile(rb"%\(place\)d|^(?:FETCH|STORE) 1:\*")
MORE = {"append": b"APPEND %(folder)s {5+}\r\na: b\n", "select": b"SELECT Archive"}
OTHERS = (
    "silent",
    "append",
    "append away",
    "idle",
    "delivery",
    "sealed",
    "removal",
    "outside flags",
    "damage",
    "rename",
    "select",
)
OUTSIDE = ("delivery", "sealed", "removal", "outside flags", "damage", "rename")
TIMES = ("hints", "lose", "later", "gate", "gate", "hints")
SCRIPTS = st.lists(
    st.tuples(st.sampled_from((*COMMANDS, *OTHERS, *TIMES)), st.integers(0, 2), st.integers(0, 9)),
    max_size=30,
)


class SessionsTests(IMAPTestCase):
    """Random sessions of two processes, and what a third one delivers and deletes."""

    folders = 0
    folder = ""

    def setUp(self) -> None:
        """Two of the sessions share a process; mail also comes to one that has no key."""
        super().setUp()
        there = IMAPFactory(
            self.login,
            self.other_process(),
            self.bus,
            hostname="mail.example.org",
            clock=self.clock,
        )
        self.factories = (self.factory, self.factory, there)
        self.outside: OpenMailbox = self.now(self.other_process().unlock(self.alice.id, KEY))
        self.sealer = self.other_process()

    def other_process(self) -> SQLiteMailboxStore:
        """A store of its own on the same files."""
        store = SQLiteMailboxStore(
            self.directory, self.bus, InlineThreads(), self.clock, key=b"s" * 32
        )
        self.now(store.start())
        self.addCleanup(lambda: self.now(store.stop()))
        return store

    @settings(max_examples=100, deadline=None, report_multiple_bugs=False)
    @given(st.integers(2, 3), SCRIPTS)
    def test_at_once(self, count: int, steps: list[Step]) -> None:
        """The store answers at once."""
        self.play_steps(count, steps, is_late=False)

    @settings(max_examples=100, deadline=None, report_multiple_bugs=False)
    @given(st.integers(2, 3), SCRIPTS)
    def test_late(self, count: int, steps: list[Step]) -> None:
        """The store answers when others have done something else."""
        self.play_steps(count, steps, is_late=True)

    def play_steps(self, count: int, steps: list[Step], is_late: bool) -> None:
        """All of it, and then the truth."""
        self.folders += 1
        self.folder = f"F{self.folders}"
        self.now(self.mailbox.create_folder(self.folder))
        self.add(*[message(f"m{number}") for number in range(4)], folder=self.folder)
        clients: list[Client] = []
        try:
            for who in range(count):
                clients.append(self.client(who))
                clients[who].mailbox.is_late = is_late
            for step, who, number in steps:
                self.step(step, clients[who % count], number)
                for client in clients:
                    client.listen()
            self.check_truth(clients)
        finally:
            for client in clients:
                client.connection.protocol.connectionLost(None)  # type: ignore[attr-defined]

    def client(self, who: int) -> Client:
        """A client that looks at the folder; the second one counts ModSeqs."""
        client = Client(self.logged_in(factory=self.factories[who]))
        client.is_condstore = who == 1
        if client.is_condstore:
            client.say(b"ENABLE CONDSTORE")
        for command in (b"SELECT " + self.folder.encode(), b"UID FETCH 1:* (FLAGS)"):
            client.say(command)
            self.turn()  # so that nobody waits for its turn
            client.listen()
        return client

    def check_truth(self, clients: list[Client]) -> None:
        """What was told is true, after NOOP, and nothing is missing, after FETCH."""
        for client in clients:
            self.come_to_rest(client)
            if client.view is None:  # its folder was renamed before it could select it
                client.known.clear()
                client.say(b"SELECT " + self.folder.encode())
        for command in (b"NOOP", b"UID FETCH 1:* (FLAGS)"):
            for client in clients:
                client.say(command)
                self.turn()
                client.listen()
                self.assert_true(client)
        told = [uid for client in clients for uid in client.recent]
        self.assertEqual(len(told), len(set(told)), "\\Recent was told twice")

    def come_to_rest(self, client: Client) -> None:
        """What is running ends, in time or late."""
        client.mailbox.is_late = False
        while client.running or client.mailbox.gates:
            if client.is_idle:
                client.done()
            client.finish()
            self.turn()
            client.listen()

    def step(self, step: str, client: Client, number: int) -> None:
        """One step; a client that waits for an answer waits on."""
        if step == "hints":
            self.turn()
        elif step == "lose":
            self.bus._waiting.clear()
        elif step == "later":
            self.clock.advance(7 * number)  # the mailbox may fall asleep
        elif step in OUTSIDE:
            self.act_outside(step, number)
        elif client.running and client.is_idle and step == "idle":
            client.done()
        elif client.running or step == "gate":
            client.mailbox.next()
        else:
            self.act(step, client, number)

    def act_outside(self, step: str, number: int) -> None:
        """What happens to the folder without any of the clients."""
        if step == "sealed":
            delivery = Delivery(
                id=f"{self.folder}-{self.clock.seconds()}-{number}",
                message=NewMessage(raw=message("sealed"), received_at=self.clock.seconds()),
                folder=self.folder,
            )
            self.now(self.sealer.deliver(self.alice.id, self.sealing_key, delivery))
        elif step == "delivery":
            new = NewMessage(raw=message(f"d{number}"), received_at=self.clock.seconds())
            self.now(self.outside.append(self.folder, [new]))
        elif step == "rename":
            new_name = self.folder + "x"
            self.now(self.outside.rename_folder(self.folder, new_name))
            self.folder = new_name
        else:
            view = self.now(self.outside.select(self.folder, claim_recent=False))
            uids = view.uids[number : number + 1]
            if step == "removal":
                self.now(self.outside.remove(view.folder.id, uids))
            elif step == "damage":
                for uid in uids:
                    lose_message(self.directory, self.alice.id, KEY, view.folder.id, uid)
            else:
                flags = frozenset({FLAGS[number % len(FLAGS)].decode()})
                self.now(self.outside.store_flags(view.folder.id, uids, FlagAction.ADD, flags))

    def act(self, step: str, client: Client, number: int) -> None:
        """A command of a client, about a message that it knows."""
        folder = self.folder.encode()
        if step.startswith("append"):
            raw = message(f"n{number}")
            where = folder if step == "append" else b"Archive"
            client.say(b"APPEND %s {%d+}\r\n%s" % (where, len(raw), raw))
        elif step == "idle":
            client.is_idle = True
            client.say(b"IDLE")
        elif step == "select" or client.view is None:
            client.known.clear()  # and what was \\Recent is not any more
            client.say(b"SELECT " + folder)
        elif step == "silent":
            self.store_silently(client, number)
        elif client.known or not NUMBERS.search(COMMANDS[step]):
            client.say(COMMANDS[step] % self.words(client, number))

    def words(self, client: Client, number: int) -> dict[bytes, Any]:
        """What is put into a command."""
        place = number % len(client.known) if client.known else 0
        known = client.known[place] if client.known else None
        return {
            b"place": place + 1,
            b"uid": (known.uid if known else 0) or number + 1,
            b"modseq": (known.modseq if known else 0) or 10 + number,
            b"flag": FLAGS[number % len(FLAGS)],
            b"folder": self.folder.encode(),
        }

    def store_silently(self, client: Client, number: int) -> None:
        """The client knows itself what becomes of the flags, unless it is told."""
        if not client.known:
            return
        words = self.words(client, number)
        known = client.known[words[b"place"] - 1]
        if known.flags is not None:
            known.flags |= {words[b"flag"]}
        client.say(b"STORE %(place)d +FLAGS.SILENT (%(flag)s)" % words)

    def assert_true(self, client: Client) -> None:
        """The client's folder is the store's, and so is the session's."""
        truth = self.now(self.mailbox.select(self.folder, claim_recent=False))
        self.assertEqual(len(client.known), len(truth.uids))
        for index, known in enumerate(client.known):
            self.assertIn(known.uid, (0, truth.uids[index]))
            flags = frozenset(flag.encode() for flag in truth.flags_of(index))
            self.assertIn(known.flags, (None, flags))
            self.assertIn(known.modseq, (0, truth.modseqs[index]) if client.is_condstore else ANY)
        view = client.view
        self.assertEqual(list(view.uids), list(truth.uids))
        for index in range(len(view)):
            self.assertEqual(view.flags_of(index), truth.flags_of(index))


class EndTests(IMAPTestCase):
    """The end of a session, or of its folder, at any moment of any command."""

    def test_client_that_goes(self) -> None:
        """Nothing breaks, and the mailbox is given back."""
        for step, waits in itertools.product(COMMANDS, range(4)):
            client = self.begin(COMMANDS[step], waits)
            client.connection.protocol.connectionLost(  # type: ignore[attr-defined]
                Failure(ConnectionDone())
            )
            client.mailbox.is_late = False
            while client.mailbox.next():
                pass
            self.assertEqual(self.flushLoggedErrors(), [], (step, waits))
        file = self.mailboxes._open[self.alice.id]  # type: ignore[attr-defined]
        self.assertEqual(file.handles, 1)  # the test's own

    def test_folder_that_goes(self) -> None:
        """Its client hears BYE after NOOP at the latest, and never of a defect."""
        for step, waits in itertools.product(COMMANDS, range(4)):
            client = self.begin(COMMANDS[step], waits)
            self.now(self.mailbox.delete_folder(f"F{self.folders}"))
            client.mailbox.is_late = False
            while client.mailbox.next():
                pass
            if not client.is_closed:
                client.running = b""
                client.connection.send(b"t NOOP\r\n")
            self.assertIn(b"* BYE The selected folder was deleted.", client.connection.rest())
            self.assertNotIn(b"SERVERBUG", client.connection.rest())
            client.connection.protocol.connectionLost(  # type: ignore[attr-defined]
                Failure(ConnectionDone())
            )

    def test_mailbox_that_goes(self) -> None:
        """Another process removes it: BYE, whatever the client does, and never a defect."""
        for step, waits in itertools.product((*COMMANDS, "append", "select"), range(4)):
            client = self.begin({**COMMANDS, **MORE}[step], waits)
            for path in self.directory.glob(f"{self.alice.id}*"):
                path.rename(path.with_name(f"away-{path.name}"))
            client.mailbox.is_late = False
            while client.mailbox.next():
                pass
            if not client.is_closed:
                client.running = b""
                client.connection.send(b"t NOOP\r\n")
            said = client.connection.rest()
            self.assertIn(b"* BYE The mailbox was removed.", said, (step, waits))
            self.assertNotIn(b"SERVERBUG", said)
            client.connection.protocol.connectionLost(  # type: ignore[attr-defined]
                Failure(ConnectionDone())
            )
            self.clock.advance(60)
            self.assertEqual(self.flushLoggedErrors(), [], (step, waits))
            for path in self.directory.glob("away-*"):
                path.rename(path.with_name(path.name.removeprefix("away-")))

    folders = 0

    def begin(self, command: bytes, waits: int) -> Client:
        """A client whose command waits for the store, after so many steps of it."""
        self.folders += 1
        folder = f"F{self.folders}"
        self.now(self.mailbox.create_folder(folder))
        self.add(*[message(f"m{number}") for number in range(3)], folder=folder)
        client = Client(self.logged_in(folder))
        client.connection._taken += len(client.connection.rest())
        client.mailbox.is_late = True
        words = {
            b"place": 2,
            b"uid": 2,
            b"modseq": 9,
            b"flag": b"\\Deleted",
            b"folder": folder.encode(),
        }
        client.connection.send(b"t " + command % words + b"\r\n")
        for _ in range(waits):
            client.mailbox.next()
        return client


class _Any:
    def __contains__(self, value: object) -> bool:
        return True


ANY = _Any()
