"""
What every ``Cache`` does. A test class returns a fresh one from ``store(clock)``.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.model.errors import Invalid
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

    def test_set_again(self) -> None:
        """A new value brings its own time."""
        self.get(self.cache.set("k", b"v", 10.0))
        self.clock.advance(5.0)
        self.get(self.cache.set("k", b"w", 10.0))
        self.clock.advance(9.0)
        self.assertEqual(self.get(self.cache.get("k")), b"w")

    def test_add(self) -> None:
        """A lease is given once until it runs out or is deleted."""
        self.assertTrue(self.get(self.cache.add("k", b"me", 10.0)))
        self.assertFalse(self.get(self.cache.add("k", b"you", 10.0)))
        self.assertEqual(self.get(self.cache.get("k")), b"me")
        self.clock.advance(10.0)
        self.assertTrue(self.get(self.cache.add("k", b"you", 10.0)))
        self.get(self.cache.delete("k"))
        self.assertTrue(self.get(self.cache.add("k", b"me", 10.0)))

    def test_increment(self) -> None:
        """A counter lives for its first TTL, however often it is counted up."""
        self.assertEqual(self.get(self.cache.increment("k", 10.0)), 1)
        self.clock.advance(6.0)
        self.assertEqual(self.get(self.cache.increment("k", 10.0, by=5)), 6)
        self.assertEqual(self.get(self.cache.ttl("k")), 4.0)
        self.assertEqual(self.get(self.cache.get("k")), b"6")
        self.assertEqual(self.get(self.cache.increment("k", 10.0, by=-2)), 4)
        self.assertEqual(self.get(self.cache.increment("k", 10.0, by=2)), 6)
        self.clock.advance(4.0)
        self.assertEqual(self.get(self.cache.increment("k", 10.0)), 1)

    def test_increment_no_counter(self) -> None:
        """A value that is no number cannot be counted up."""
        self.get(self.cache.set("k", b"v", 10.0))
        work = Deferred.fromCoroutine(self.cache.increment("k", 10.0))
        self.failureResultOf(work, Invalid)

    def test_ttl(self) -> None:
        """The seconds left, 0.0 for what is absent."""
        self.assertEqual(self.get(self.cache.ttl("k")), 0.0)
        self.get(self.cache.set("k", b"v", 10.0))
        self.clock.advance(4.0)
        self.assertEqual(self.get(self.cache.ttl("k")), 6.0)

    def test_delete(self) -> None:
        """What is forgotten is gone; forgetting nothing is no error."""
        self.get(self.cache.set("k", b"v", 10.0))
        self.get(self.cache.delete("k"))
        self.get(self.cache.delete("k"))
        self.assertIsNone(self.get(self.cache.get("k")))
