"""
Where blocking work runs: a bounded thread pool, or at once (in tests).

A hop to a thread and back costs about 45 microseconds, so one call is one whole transaction.
The reactor's default pool is left to name look-ups; every kind of work gets its own.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from fe_mail.model.errors import Unavailable

__all__ = ["InlineThreads", "ReactorThreads", "Threads"]

T = TypeVar("T")


class Threads(Protocol):
    """Runs functions off the reactor thread."""

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Call ``work`` in a thread; ``Unavailable`` when too much waits already."""

    def stop(self) -> "Deferred[None]":
        """Finish what was started, refuse the rest."""


class InlineThreads:
    """Runs the work at once, on the calling thread, so that tests need no reactor."""

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Call it now."""
        return maybeDeferred(work)

    def stop(self) -> "Deferred[None]":
        """Nothing to stop."""
        return succeed(None)


class ReactorThreads:
    """A pool of ``size`` threads with at most ``max_waiting`` calls waiting for one."""

    def __init__(
        self, reactor: IReactorFromThreads, size: int, name: str, max_waiting: int = 10_000
    ) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)
        self._limit = size + max_waiting
        self._pending = 0
        self._stopped = False
        self._idle: list[Deferred[None]] = []
        self._pool.start()

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Call ``work`` in a thread; ``Unavailable`` when too much waits or we are stopping."""
        if self._stopped or self._pending >= self._limit:
            return fail(Unavailable("The server is busy. Try again later."))
        self._pending += 1
        return deferToThreadPool(self._reactor, self._pool, work).addBoth(self._finished)

    def _finished(self, result: T) -> T:
        self._pending -= 1
        if not self._pending:
            waiting, self._idle = self._idle, []
            for done in waiting:
                done.callback(None)
        return result

    def stop(self) -> "Deferred[None]":
        """Finish what was started, refuse the rest."""
        self._stopped = True
        done: Deferred[None] = Deferred()
        if self._pending:
            self._idle.append(done)
        else:
            done.callback(None)
        return done.addCallback(lambda _: self._pool.stop())
