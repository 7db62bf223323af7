"""
Several processes on one directory: each has adapters of its own, whose work a test does in steps.

A *step* is one hop to a thread: what happens in it is durable, and between two of them anything may
happen elsewhere. A process that gets no more steps was killed.
"""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.login import Login
from fe_mail.accounts.settlement import Settlement
from fe_mail.accounts.site import Site
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.local import LocalCourier
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.ids import AliasId, DomainId, UserId
from tests.adapters.later import LaterThreads
from tests.fakes import MemoryBus, MemoryCache, QuickKeyring

__all__ = ["SITE", "Process", "ProcessesTestCase"]

T = TypeVar("T")
START = 1_700_000_000.0
SITE = Site(hostname="mx.host.test", exchange_domains=("mx.host.test",), web_host="host.test")


class Process:
    """Stores and services; with ``later`` their work waits for ``step``."""

    def __init__(self, directory: Path, clock: Clock, bus: MemoryBus, *, later: bool) -> None:
        self.threads = LaterThreads() if later else InlineThreads()
        self.keyring = QuickKeyring()
        self.blobs = MemoryBlobs()
        self.accounts = SQLiteAccountStore(directory / "accounts.sqlite", self.threads)
        self.mailboxes = SQLiteMailboxStore(
            directory / "mailboxes", bus, self.threads, clock, key=b"s" * 32
        )
        self.settlement = Settlement(self.accounts, self.mailboxes, bus)
        self.aliases = Aliases(self.accounts, self.keyring, self.mailboxes, bus, clock, SITE)
        self.webhook_keys = WebhookKeys(self.accounts, self.keyring, clock)
        self.login = Login(self.accounts, self.keyring, MemoryCache(clock), clock)
        self.courier = LocalCourier(self.accounts, self.mailboxes, self.blobs, InlineThreads().run)

    @property
    def waits(self) -> bool:
        """Is there a step to take?"""
        return isinstance(self.threads, LaterThreads) and bool(self.threads.calls)

    def step(self) -> None:
        """Take one step."""
        assert isinstance(self.threads, LaterThreads)
        self.threads.next()

    def steps(self, count: int) -> int:
        """Take so many, or as many as there are; returns how many."""
        for taken in range(count):
            if not self.waits:
                return taken
            self.step()
        return count

    def finish(self) -> None:
        """Take all of them."""
        while self.waits:
            self.step()

    def run(self, work: Coroutine[Any, Any, T]) -> "Deferred[T]":
        """Begin."""
        return Deferred.fromCoroutine(work)


class ProcessesTestCase(SynchronousTestCase):
    """``alice@example.org`` of ``eva``, and as many processes as a test wants."""

    def setUp(self) -> None:
        """A process whose work is done at once looks on."""
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another directory."""
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.clock.advance(START)
        self.bus = MemoryBus(self.clock)
        self.onlooker = self.process(later=False)
        self.eva = User(id=UserId("eva"), email="eva@example.net", password_hash="x")
        members = (Member(user_id=self.eva.id, group="admin"),)
        self.domain = Domain(
            id=DomainId("d"),
            name="example.org",
            members=members,
            has_txt_record=True,
            has_mx_record=True,
        )
        self.alice = Alias(
            id=AliasId("alice"),
            domain_id=self.domain.id,
            user_id=self.eva.id,
            name="alice",
            has_imap=True,
        )
        accounts = self.onlooker.accounts
        self.eva = self.now(accounts.add_user(self.eva))
        self.domain = self.now(accounts.add_domain(self.domain))
        self.alice = self.now(accounts.add_alias(self.alice))

    def process(self, *, later: bool = True) -> Process:
        """One more, started."""
        process = Process(self.directory, self.clock, self.bus, later=later)
        for store in (process.accounts, process.mailboxes):
            started = process.run(store.start())
            process.finish()
            self.successResultOf(started)
            self.addCleanup(self._stop, process, store)
        return process

    def _stop(self, process: Process, store: Any) -> None:
        if isinstance(process.threads, LaterThreads):
            process.threads.calls.clear()  # of one that was killed
        stopping = process.run(store.stop())
        process.finish()
        stopping.addErrback(lambda _: None)

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work of the onlooker."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def files(self) -> list[str]:
        """The mailbox files that there are."""
        paths = (self.directory / "mailboxes").glob("alice*.sqlite*")
        return sorted(path.name for path in paths if not path.name.endswith(("-wal", "-shm")))
