"""
Verified fakes: one for every port, each held to the port's contract suite.

They are the in-memory adapters, which are the specification of their ports, and two quick forms
of what is costly for real. ``tests/test_fakes.py`` proves that there is one for every port and
that the contract of the port has run on it. ``FAKES`` maps the ports to them.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from fe_mail.adapters.keyring import ITERATIONS_MAX, ServerKeyring
from fe_mail.adapters.memory.accounts import MemoryAccountStore
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.adapters.memory.exchange import MemoryExchange
from fe_mail.adapters.memory.http import MemoryHTTP
from fe_mail.adapters.memory.mailboxes import MemoryMailboxStore
from fe_mail.adapters.memory.queue import MemoryQueue
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.threads import InlineThreads

__all__ = [
    "FAKES",
    "InlineThreads",
    "MemoryAccountStore",
    "MemoryBlobs",
    "MemoryBus",
    "MemoryCache",
    "MemoryExchange",
    "MemoryHTTP",
    "MemoryMailboxStore",
    "MemoryQueue",
    "QuickKeyring",
    "TableResolver",
    "memory_counters",
    "memory_leases",
]

QUICK_ITERATIONS = 4096


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
    Deferred.fromCoroutine(work)


FAKES: dict[str, Callable[..., Any]] = {
    "AccountStore": MemoryAccountStore,
    "Blobs": MemoryBlobs,
    "Bus": MemoryBus,
    "Cache": MemoryCache,
    "Counters": SQLiteCounters,
    "Exchange": MemoryExchange,
    "HTTPPost": MemoryHTTP,
    "Keyring": QuickKeyring,
    "Leases": SQLiteLeases,
    "MailboxStore": MemoryMailboxStore,
    "Offload": InlineThreads,
    "Queue": MemoryQueue,
    "Resolver": TableResolver,
}
