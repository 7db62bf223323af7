"""
Where blocking work runs: a bounded thread pool, or at once (in tests).

A hop to a thread and back costs tens of microseconds, so one call is one whole transaction.
The reactor's default pool is left to name look-ups; every kind of work gets its own.
"""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from fe_mail.model.errors import Unavailable

__all__ = ["InlineThreads", "ReactorThreads", "Threads"]

T = TypeVar("T")
_Call = tuple[Callable[[], object], Deferred[Any]]


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
    """
    A pool of ``size`` threads with at most ``max_waiting`` calls waiting for one.

    Results that come while the reactor is busy are handed over in one of its turns: under load a
    hop costs no wake-up of its own.
    """

    def __init__(
        self, reactor: IReactorFromThreads, size: int, name: str, max_waiting: int = 10_000
    ) -> None:
        self._reactor = reactor
        self._size = size
        self._name = name
        self._limit = size + max_waiting
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._results: deque[tuple[Deferred[Any], object]] = deque()
        self._is_handing_over = False
        self._threads: list[Thread] = []
        self._pending = 0
        self._stopped = False
        self._idle: list[Deferred[None]] = []

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Call ``work`` in a thread; ``Unavailable`` when too much waits or we are stopping."""
        if self._stopped or self._pending >= self._limit:
            return fail(Unavailable("The server is busy. Try again later."))
        self._pending += 1
        done: Deferred[T] = Deferred()
        self._calls.put((work, done))
        if len(self._threads) < min(self._pending, self._size):
            self._add_thread()
        return done

    def _add_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """In a thread, until there is no next call."""
        while (call := self._calls.get()) is not None:
            work, done = call
            result: object
            try:
                result = work()
            except BaseException:
                result = Failure()
            # Nothing of a call may live on until the next one.
            del work, call
            self._results.append((done, result))
            del done, result
            # A hand-over that is under way lowers the flag before it looks for results.
            if not self._is_handing_over:
                self._is_handing_over = True
                self._reactor.callFromThread(self._hand_over)

    def _hand_over(self) -> None:
        self._is_handing_over = False
        for _ in range(len(self._results)):
            done, result = self._results.popleft()
            self._pending -= 1
            done.callback(result)
        if not self._pending:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)

    def stop(self) -> "Deferred[None]":
        """Finish what was started, refuse the rest."""
        self._stopped = True
        done: Deferred[None] = Deferred()
        if self._pending:
            self._idle.append(done)
        else:
            done.callback(None)
        return done.addCallback(lambda _: self._end_threads())

    def _end_threads(self) -> None:
        threads, self._threads = self._threads, []
        for _ in threads:
            self._calls.put(None)
        for thread in threads:
            thread.join()
