"""
Running a request's coroutine so that a client who hangs up does not stop it half-way.

Klein cancels what a route returned when the connection goes away. A write that had begun would
stop between two transactions; so the work runs on its own Deferred and the route waits on
another one.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Work"]

T = TypeVar("T")

_log = Logger()


class Work:
    """The coroutines under way."""

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()

    def shield(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Start; cancelling what is returned leaves the coroutine alone."""
        waiting: Deferred[T] = Deferred(lambda _: None)
        running = Deferred.fromCoroutine(coroutine)
        self._running.add(running)

        def finish(result: T | Failure) -> None:
            self._running.discard(running)
            if not waiting.called:
                waiting.callback(result)
            elif isinstance(result, Failure):
                _log.failure("The work of a request whose client left failed.", result)

        running.addBoth(finish)
        return waiting

    def finished(self) -> Deferred[None]:
        """Fires when everything that is under way now has ended."""
        if not self._running:
            return succeed(None)
        return DeferredList([_tail(work) for work in self._running]).addCallback(lambda _: None)


def _tail(work: Deferred[Any]) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    work.addBoth(lambda _: done.callback(None))
    return done
