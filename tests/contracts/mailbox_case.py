"""What the suites of the mailbox contract share: a store, a bus that records, messages."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.model.change import Change, ChangeKind
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.ports import MailboxStore, OpenMailbox

__all__ = ["ALICE", "BOB", "KEY", "MailboxCase", "delivery", "letter", "new"]

T = TypeVar("T")

ALICE = AliasId("65aaaaaaaaaaaaaaaaaaaaaa")
BOB = AliasId("65bbbbbbbbbbbbbbbbbbbbbb")
KEY = bytes(range(32))
NOW = 1_700_000_000.0


def letter(subject: str = "Hello", body: str = "Good morning.\r\n", more: str = "") -> bytes:
    """A small message."""
    return (
        f"From: Alice <alice@example.com>\r\nSubject: {subject}\r\n{more}"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    ).encode()


def new(raw: bytes | None = None, *flags: str, received_at: float = NOW) -> NewMessage:
    """A message to append."""
    return NewMessage(
        raw=letter() if raw is None else raw, flags=frozenset(flags), received_at=received_at
    )


def delivery(name: str, raw: bytes | None = None, folder: str = "INBOX", *flags: str) -> Delivery:
    """A delivery with this id."""
    return Delivery(id=name, message=new(raw, *flags), folder=folder)


class MailboxCase:
    """Base of the suites; ``make_store`` says which store. Everything is synchronous."""

    def make_store(self: Any, bus: MemoryBus, clock: Clock) -> Any:
        """A started, empty store."""
        raise AssertionError("the test case says which store")

    def setUp(self: Any) -> None:
        """A store with Alice's mailbox, unlocked."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.bus = MemoryBus(self.clock)
        self.store: MailboxStore = self.make_store(self.bus, self.clock)
        self.sealing_key = self.now(self.store.create(ALICE, KEY))
        self.mailbox = self.unlocked()
        self.inbox = self.now(self.mailbox.select("INBOX")).folder.id

    def now(self: Any, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that never waits."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def fails(self: Any, kind: type[Exception], coroutine: Coroutine[Any, Any, object]) -> None:
        """The coroutine raises this error."""
        self.failureResultOf(Deferred.fromCoroutine(coroutine), kind)

    def unlocked(self: Any) -> OpenMailbox:
        """A handle on Alice's mailbox."""
        return self.now(self.store.unlock(ALICE, KEY))

    def lock(self: Any) -> None:
        """Give all handles back and wait until nobody has the mailbox open."""
        self.mailbox.close()
        self.clock.advance(120)

    def append(self: Any, *messages: NewMessage, to: str = "INBOX") -> tuple[int, ...]:
        """Append; returns the UIDs."""
        return self.now(self.mailbox.append(to, messages)).uids

    def uids(self: Any, name: str = "INBOX") -> tuple[int, ...]:
        """The UIDs of a folder."""
        return tuple(self.now(self.mailbox.select(name, claim_recent=False)).uids)

    def names(self: Any) -> list[str]:
        """The names of all folders."""
        return [folder.name for folder in self.now(self.mailbox.folders())]

    def raw(self: Any, uid: int, name: str = "INBOX") -> bytes:
        """A whole message, read by offsets."""
        folder = self.now(self.mailbox.select(name, claim_recent=False)).folder
        return self.now(self.mailbox.read(folder.id, uid, 0, 1 << 40))

    def flags(self: Any, uid: int) -> frozenset[str]:
        """The flags of a message in INBOX."""
        view = self.now(self.mailbox.select("INBOX", claim_recent=False))
        return view.flags_of(view.uids.index(uid))

    def hints(self: Any, topic: str) -> list[dict[str, str]]:
        """A list that fills with what is published from now on."""
        received: list[dict[str, str]] = []
        self.addCleanup(self.bus.subscribe(topic, lambda payload: received.append(dict(payload))))
        return received

    def told(self: Any, hints: list[dict[str, str]]) -> list[tuple[ChangeKind, int]]:
        """Of what the hints tell that it changed."""
        changes = [Change.read(hint) for hint in hints]
        self.assertEqual({change.alias_id for change in changes}, {ALICE})
        return [(change.kind, change.id) for change in changes]

    def is_sound(self: Any) -> None:
        """No invariant is broken."""
        self.assertEqual(self.now(self.mailbox.check()), ())
        self.assertEqual(self.now(self.store.check()), ())
