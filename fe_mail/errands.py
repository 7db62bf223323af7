"""
What is done after the answer, because nobody waits for it or must notice that it is done.

An answer that came later for addresses that exist would tell strangers which do. The transport
writes at the end of a turn of the reactor, and TLS a turn later; so an errand begins when the
answer that it must not hold up has left.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import MailError

__all__ = ["Errands"]

TURNS = 3  # of the reactor, before an errand begins


class Errands:
    """Run soon; a failure is logged under the name of the errand."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._running: set[Deferred[None]] = set()

    def later(self, name: str, work: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Begin ``work`` soon."""
        done: Deferred[None] = Deferred()
        self._running.add(done)

        def begin(turns_left: int) -> None:
            if turns_left:
                self._clock.callLater(0, begin, turns_left - 1)
                return
            running = Deferred.fromCoroutine(work())
            running.addErrback(self._failed, name)
            running.addBoth(end)

        def end(_: object) -> None:
            self._running.discard(done)
            done.callback(None)

        begin(TURNS)

    def _failed(self, failure: Any, name: str) -> None:
        if failure.check(MailError):  # not ours to mend: an address that leads nowhere, a limit
            self.log.warn("{errand} failed: {why}", errand=name, why=failure.value.message)
        else:
            self.log.failure("{errand} failed.", failure, errand=name)

    async def stop(self) -> None:
        """Wait for what was begun."""
        for running in list(self._running):
            await running
