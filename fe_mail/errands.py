"""
What is done after the answer, because nobody waits for it or must notice that it is done.

An answer that came later for addresses that exist would tell strangers which do.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

__all__ = ["Errands"]


class Errands:
    """Run in the next turn of the reactor; a failure is logged under the name of the errand."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._running: set[Deferred[None]] = set()

    def later(self, name: str, work: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Begin ``work`` soon."""
        done: Deferred[None] = Deferred()
        self._running.add(done)

        def begin() -> None:
            running = Deferred.fromCoroutine(work())
            running.addErrback(self._failed, name)
            running.addBoth(end)

        def end(_: object) -> None:
            self._running.discard(done)
            done.callback(None)

        self._clock.callLater(0, begin)

    def _failed(self, failure: Any, name: str) -> None:
        self.log.failure("{errand} failed.", failure, errand=name)

    async def stop(self) -> None:
        """Wait for what was begun."""
        for running in list(self._running):
            await running
