"""The contract of ``Cache`` in memory, and its bounds."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.cache import STALE_HEAP_SLACK, MemoryCache
from fe_mail.ports import Cache
from tests.contracts.cache import CacheContract


class MemoryCacheTests(CacheContract, SynchronousTestCase):
    """The specification."""

    def store(self, clock: Clock) -> Cache:
        return MemoryCache(clock)

    def test_bound(self) -> None:
        """When it is full, what would run out first is forgotten."""
        cache = MemoryCache(self.clock, max_entries=3)
        for name, ttl_seconds in (("a", 30.0), ("b", 10.0), ("c", 20.0), ("d", 40.0)):
            self.get(cache.set(name, b"v", ttl_seconds))
        kept = [name for name in "abcd" if self.get(cache.get(name))]
        self.assertEqual(kept, ["a", "c", "d"])

    def test_expired_entries_go(self) -> None:
        """What ran out takes no memory, though nobody asks for it."""
        for number in range(100):
            self.get(self.cache.set(f"k{number}", b"v", 10.0))
        self.clock.advance(10.0)
        self.get(self.cache.set("new", b"v", 10.0))
        self.assertEqual(len(self.cache._entries), 1)

    def test_refreshing_costs_no_memory(self) -> None:
        """Setting one key again and again leaves no trail."""
        for _ in range(5 * STALE_HEAP_SLACK):
            self.get(self.cache.set("k", b"v", 1000.0))
        self.assertLess(len(self.cache._expiries), 2 * STALE_HEAP_SLACK)
        self.assertEqual(self.get(self.cache.get("k")), b"v")

    def test_stop(self) -> None:
        """Nothing is left."""
        self.get(self.cache.set("k", b"v", 10.0))
        self.get(self.cache.stop())
        self.assertIsNone(self.get(self.cache.get("k")))
