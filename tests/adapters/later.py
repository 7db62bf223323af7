"""``Threads`` for tests that run work when they say so, so that other work can arrive meanwhile."""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import Unavailable

__all__ = ["LaterThreads"]

T = TypeVar("T")


class LaterThreads:
    """Keeps the calls until ``next``; ``is_full`` refuses them, as a bounded pool does."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.is_full = False

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Keep the call, or refuse it."""
        if self.is_full:
            return fail(Unavailable())
        done: Deferred[T] = Deferred()
        self.calls.append(lambda: InlineThreads().run(work).chainDeferred(done) and None)
        return done

    def stop(self) -> "Deferred[None]":
        """Nothing to stop."""
        return succeed(None)

    def next(self) -> None:
        """Make the oldest call."""
        self.calls.pop(0)()
