"""
Waiting by the clock that we were given: for a while, or for work that must not take long; and for
several pieces of work at once.
"""

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

__all__ = ["TookTooLong", "pause", "together", "within"]

T = TypeVar("T")


class TookTooLong(Exception):
    """The work was cancelled at its deadline."""


def pause(clock: IReactorTime, seconds: float) -> "Deferred[None]":
    """Fires after a while."""
    call = clock.callLater(seconds, lambda: done.callback(None))
    done: Deferred[None] = Deferred(lambda _: call.cancel())
    return done


def within(
    clock: IReactorTime, seconds: float, work: Coroutine[Deferred[Any], Any, T]
) -> "Deferred[T]":
    """
    What ``work`` gives. After ``seconds`` it is cancelled, and ``TookTooLong`` is raised at once.

    At once means: even if the work does not heed its cancellation, and whatever it gives then.
    """
    running = Deferred.fromCoroutine(work)
    if running.called:
        return running  # work that was done at once costs no timer
    ended: Deferred[T] = Deferred(lambda _: running.cancel())

    def end(result: Any) -> None:
        if late.active():
            late.cancel()
        if not ended.called:
            ended.callback(result)

    def give_up() -> None:
        ended.errback(TookTooLong())
        running.cancel()

    late = clock.callLater(seconds, give_up)
    running.addBoth(end)
    return ended


async def together(works: Iterable[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """The results of all, in their order, when the last is there; the first error among them."""
    running = [Deferred.fromCoroutine(work) for work in works]
    results: Any = await DeferredList(running, consumeErrors=True)
    for is_result, result in results:
        if not is_result:
            result.raiseException()
    return [result for _, result in results]
