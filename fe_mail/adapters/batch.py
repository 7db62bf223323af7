"""
Group commit: work that arrives while a thread is busy is done together in the next hop.

One hop is in flight at a time. It takes everything that waits at the moment when it starts, so
a lone item is never delayed and a crowd shares the cost of one fsync. Each item gets its own
result or failure, after the whole hop.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from fe_mail.adapters.threads import Threads

__all__ = ["MAX_BATCH_ITEMS", "Batch", "Result", "Results"]

MAX_BATCH_ITEMS = 1000

Item = TypeVar("Item")
Result = object | Failure
Results = list[Result]


class Batch(Generic[Item]):
    """
    Items that wait for ``work``, which runs in a thread.

    ``work`` gets up to ``max_items`` items and returns one result or Failure for each, in order;
    when it raises, all of them fail.
    """

    def __init__(
        self,
        threads: Threads,
        work: Callable[[Sequence[Item]], Results],
        max_items: int = MAX_BATCH_ITEMS,
    ) -> None:
        self._threads = threads
        self._work = work
        self._max_items = max_items
        self._waiting: deque[tuple[Item, Deferred[object]]] = deque()
        self._idle: list[Deferred[None]] = []
        self._is_running = False

    def add(self, item: Item) -> "Deferred[object]":
        """Do it with the next hop; fires with the item's result."""
        done: Deferred[object] = Deferred()
        self._waiting.append((item, done))
        if not self._is_running:
            self._hop()
        return done

    def drained(self) -> "Deferred[None]":
        """Fires when nothing waits and nothing runs."""
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        self._rest()
        return done

    def _hop(self) -> None:
        self._is_running = True
        taken: list[tuple[Item, Deferred[object]]] = []

        def work() -> Results:
            while self._waiting and len(taken) < self._max_items:
                taken.append(self._waiting.popleft())
            return self._work([item for item, _ in taken])

        def finish(results: Results | Failure) -> None:
            if not taken:  # the hop was refused: what waits now shares its fate
                taken.extend(self._waiting)
                self._waiting.clear()
            self._is_running = False
            if self._waiting:
                self._hop()
            failure = results if isinstance(results, Failure) else None
            for index, (_, done) in enumerate(taken):
                outcome = failure or results[index]  # type: ignore[index]  # no Failure here
                # Both take a Failure to the errbacks.
                done.callback(outcome)
            self._rest()

        self._threads.run(work).addBoth(finish)

    def _rest(self) -> None:
        if self._is_running or self._waiting:
            return
        idle, self._idle = self._idle, []
        for done in idle:
            done.callback(None)
