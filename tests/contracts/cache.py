"""
What every ``Cache`` does. A test class returns a fresh one from ``store(clock)``.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.ports import Cache

__all__ = ["CacheContract"]

T = TypeVar("T")


class CacheContract:
    """The tests; ``store`` is the hook."""

    def store(self, clock: Clock) -> Cache:
        """A fresh, started cache."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def setUp(self) -> None:
        self.clock = Clock()
        self.cache = self.store(self.clock)

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_set(self) -> None:
        """A value is there until its time runs out."""
        self.assertIsNone(self.get(self.cache.get("k")))
        self.get(self.cache.set("k", b"v", 10.0))
        self.clock.advance(9.9)
        self.assertEqual(self.get(self.cache.get("k")), b"v")
        self.clock.advance(0.1)
        self.assertIsNone(self.get(self.cache.get("k")))

    def test_clock_set_back(self) -> None:
        """No value lives longer than its time, whatever the date does."""
        self.clock.advance(86_400.0)
        self.get(self.cache.set("k", b"v", 10.0))
        self.clock.rightNow -= 3600.0
        self.assertIsNone(self.get(self.cache.get("k")))

    def test_set_again(self) -> None:
        """A new value brings its own time."""
        self.get(self.cache.set("k", b"v", 10.0))
        self.clock.advance(5.0)
        self.get(self.cache.set("k", b"w", 10.0))
        self.clock.advance(9.0)
        self.assertEqual(self.get(self.cache.get("k")), b"w")
