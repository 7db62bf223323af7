"""
Recent answers of a store, so that mail to the same address does not ask for the same rows again.

What this process changes is seen at once: ``forget_all`` is called when a change is durable and
before it is acknowledged, and answers to questions that were asked before that are not kept. What
another process changes is seen after ``KEPT_SECONDS`` at the latest. Errors are not kept.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

from twisted.internet.interfaces import IReactorTime

__all__ = ["KEPT_SECONDS", "MAX_KEPT", "Recent"]

KEPT_SECONDS = 1.0
MAX_KEPT = 2000

T = TypeVar("T")


class Recent:
    """Answers by question; without a ``clock`` none is kept."""

    def __init__(self, clock: IReactorTime | None) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._generation = 0

    async def get(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer that is kept, or a new one."""
        if self._clock is None:
            return await ask()
        since, known = self._kept.get(question, (None, None))
        # What was kept under a later date is old, too.
        if since is not None and 0 <= self._clock.seconds() - since < KEPT_SECONDS:
            return cast(T, known)
        generation = self._generation
        answer = await ask()
        if generation == self._generation:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[question] = (self._clock.seconds(), answer)
        return answer

    def forget_all(self) -> None:
        """Something changed."""
        self._generation += 1
        self._kept.clear()
