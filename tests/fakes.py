"""
Verified fakes: one for every port, each held to the port's contract suite.

They are the in-memory adapters, the real mailboxes in a temporary directory, and quick forms of
what is costly for real: the queue is the one of every server, in a database without a file.
``tests/test_fakes.py`` proves that there is one for every port and that the contract of the port
has run on it. ``FAKES`` maps the ports to them.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.keyring import ITERATIONS_MAX, ServerKeyring
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.adapters.memory.exchange import MemoryExchange
from fe_mail.adapters.memory.http import MemoryHTTP
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.journal import SQLiteJournal
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads, Threads
from fe_mail.model.account import Credential, MailboxKeys
from fe_mail.model.ids import AliasId
from fe_mail.ports import AliasStore, Blobs, Bus

__all__ = [
    "FAKES",
    "InlineThreads",
    "MemoryAccountStore",
    "MemoryBlobs",
    "MemoryBus",
    "MemoryCache",
    "MemoryExchange",
    "MemoryHTTP",
    "MemoryJournal",
    "QuickKeyring",
    "SQLiteQueue",
    "TableResolver",
    "give_keys",
    "mailbox_store",
    "memory_counters",
    "memory_leases",
    "queue_in_memory",
]

QUICK_ITERATIONS = 4096


async def give_keys(
    accounts: AliasStore,
    alias_id: AliasId,
    credentials: Sequence[Credential],
    sealing_key: bytes,
    now: float = 0.0,
) -> MailboxKeys:
    """These keys and no others, whatever the alias had; nothing is left to follow."""
    keys = await accounts.keys(alias_id)
    wanted = attrs.evolve(keys, credentials=tuple(credentials), sealing_key=sealing_key)
    made = await accounts.set_keys(wanted, now, now)
    await accounts.settled(alias_id, made.epoch)
    return made


class MemoryJournal(SQLiteJournal):
    """The journal without a file, open."""

    def __init__(self) -> None:
        database = Database(":memory:", "queue", InlineThreads())
        opened = Deferred.fromCoroutine(database.open())
        assert opened.called
        super().__init__(database)


class MemoryAccountStore(SQLiteAccountStore):
    """The accounts without a file, started."""

    def __init__(self) -> None:
        super().__init__(":memory:", InlineThreads())
        started = Deferred.fromCoroutine(self.start())
        assert started.called


class QuickKeyring(ServerKeyring):
    """
    The server's keyring at the least cost: nobody attacks the passwords of a test.

    ``derivations`` lists the iteration counts that were asked for, so that a test can compare
    what two logins would have cost.
    """

    def __init__(self, secret: bytes = b"secret of a test") -> None:
        super().__init__(secret, InlineThreads())
        self._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.derivations: list[int] = []

    async def salted_password(self, password: str, salt: bytes, iterations: int) -> bytes:
        """The real thing, at most ``QUICK_ITERATIONS`` rounds of it."""
        self.derivations.append(iterations)
        if iterations <= ITERATIONS_MAX:
            iterations = min(iterations, QUICK_ITERATIONS)
        return await super().salted_password(password, salt, iterations)


def memory_counters(clock: IReactorTime) -> SQLiteCounters:
    """Counters in memory, started."""
    counters = SQLiteCounters(_memory_database(), clock)
    _done(counters.start())
    return counters


def memory_leases(clock: IReactorTime) -> SQLiteLeases:
    """Leases in memory, measured by this clock."""
    database = _memory_database()
    _done(database.open())
    return SQLiteLeases(database, clock.seconds)


def _memory_database() -> Database:
    return Database(":memory:", "counters", InlineThreads())


def _done(work: Coroutine[Any, Any, None]) -> None:
    """``work`` waits for nothing."""
    Deferred.fromCoroutine(work).addErrback(lambda failure: failure.raiseException())


def mailbox_store(case: SynchronousTestCase, bus: Bus, clock: IReactorTime) -> SQLiteMailboxStore:
    """A started store of encrypted mailboxes for one test, all work done at once."""
    store = SQLiteMailboxStore(case.mktemp(), bus, InlineThreads(), clock, key=b"s" * 32)
    case.successResultOf(Deferred.fromCoroutine(store.start()))
    case.addCleanup(lambda: case.successResultOf(Deferred.fromCoroutine(store.stop())))
    return store


def queue_in_memory(
    clock: IReactorTime, blobs: Blobs | None = None, threads: Threads | None = None
) -> SQLiteQueue:
    """A queue that is open already; its leases count by the clock of the test."""
    queue = SQLiteQueue(
        ":memory:", threads or InlineThreads(), blobs or MemoryBlobs(), steady=clock.seconds
    )
    _done(queue.start())
    return queue


FAKES: dict[str, Callable[..., Any]] = {
    "AliasStore": MemoryAccountStore,
    "Blobs": MemoryBlobs,
    "Bus": MemoryBus,
    "Cache": MemoryCache,
    "Counters": SQLiteCounters,
    "DomainStore": MemoryAccountStore,
    "Exchange": MemoryExchange,
    "HTTPPost": MemoryHTTP,
    "Journal": MemoryJournal,
    "Keyring": QuickKeyring,
    "Leases": SQLiteLeases,
    "MailboxStore": SQLiteMailboxStore,
    "Offload": InlineThreads,
    "Queue": SQLiteQueue,
    "Resolver": TableResolver,
    "SessionStore": MemoryAccountStore,
    "SettingStore": MemoryAccountStore,
    "UserStore": MemoryAccountStore,
    "Vantage": TableVantage,
}
