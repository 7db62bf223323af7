"""
Several processes on one directory: each has adapters of its own, whose work a test does in steps.

A *step* is one hop to a thread: what happens in it is durable, and between two of them anything may
happen elsewhere. A process that gets no more steps was killed.
"""

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.login import Login
from fe_mail.accounts.site import Site
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.sqlite import database
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore, store
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.local import LocalCourier
from fe_mail.errands import Errands
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.ids import AliasId, DomainId, UserId
from tests.adapters.later import LaterThreads
from tests.fakes import MemoryBus, MemoryJournal, QuickKeyring, memory_counters, queue_in_memory

__all__ = ["SITE", "Process", "ProcessesTestCase"]

T = TypeVar("T")
START = 1_700_000_000.0
SITE = Site(hostname="mx.host.test", exchange_domains=("mx.host.test",), web_host="host.test")


def _open_without_waiting(*words: Any, **more: Any) -> apsw.Connection:
    connection = open_connection(*words, **more)
    connection.pragma("synchronous", "OFF")
    return connection


class Process:
    """Stores and services; with ``later`` their work waits for ``step``."""

    def __init__(self, directory: Path, clock: Clock, bus: MemoryBus, *, later: bool) -> None:
        self.threads = LaterThreads() if later else InlineThreads()
        self.keyring = QuickKeyring()
        self.queue = queue_in_memory(clock)
        self.accounts = SQLiteAccountStore(directory / "accounts.sqlite", self.threads)
        self.mailboxes = SQLiteMailboxStore(
            directory / "mailboxes", bus, self.threads, clock, key=b"s" * 32
        )
        self.aftermath = Aftermath(self.accounts, self.mailboxes, bus)
        self.aliases = Aliases(self.accounts, self.keyring, self.mailboxes, bus, clock, SITE)
        self.webhook_keys = WebhookKeys(self.accounts, self.keyring, clock)
        self.login = Login(
            self.accounts,
            self.keyring,
            memory_counters(clock),
            clock,
            FailedLogins(MemoryJournal(), Errands(clock), clock),
            Errands(clock),
        )
        self.courier = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)

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
        """A process whose work is done at once looks on. No disk is waited for: none is lost."""
        self.patch(os, "fsync", lambda _: None)
        for module in (database, store):
            self.patch(module, "open_connection", _open_without_waiting)
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
        for each in (process.accounts, process.mailboxes):
            started = process.run(each.start())
            process.finish()
            self.successResultOf(started)
            self.addCleanup(self._stop, process, each)
        return process

    def _stop(self, process: Process, started: Any) -> None:
        if isinstance(process.threads, LaterThreads):
            process.threads.calls.clear()  # of one that was killed
        stopping = process.run(started.stop())
        process.finish()
        stopping.addErrback(lambda _: None)

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work of the onlooker."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def files(self) -> list[str]:
        """The mailbox files that there are."""
        paths = (self.directory / "mailboxes").glob("alice*.sqlite*")
        return sorted(path.name for path in paths if not path.name.endswith(("-wal", "-shm")))
