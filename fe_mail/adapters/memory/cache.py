"""
The ``Cache`` of a single process: a dictionary with a heap of the times when entries run out.

At most ``MAX_ENTRIES`` are kept; beyond that the entry that would run out first is forgotten,
which the port allows at any time.
"""

import heapq
import itertools

import attrs
from twisted.internet.interfaces import IReactorTime

__all__ = ["MAX_ENTRIES", "MemoryCache"]

MAX_ENTRIES = 200_000
STALE_HEAP_SLACK = 1024


@attrs.frozen
class _Entry:
    value: bytes
    since: float
    expires_at: float
    serial: int

    def lives(self, now: float) -> bool:
        """Not if it was made under a later date than the one it is now."""
        return self.since <= now < self.expires_at


class MemoryCache:
    """Values in the memory of this process."""

    def __init__(self, clock: IReactorTime, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._entries: dict[str, _Entry] = {}
        self._expiries: list[tuple[float, int, str]] = []
        self._serials = itertools.count()

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._expiries.clear()

    async def get(self, key: str) -> bytes | None:
        """A value that has not run out."""
        entry = self._find(key)
        return entry.value if entry else None

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store a value."""
        now = self._clock.seconds()
        expires_at = now + ttl_seconds
        entry = _Entry(value, now, expires_at, next(self._serials))
        self._entries[key] = entry
        heapq.heappush(self._expiries, (expires_at, entry.serial, key))
        self._forget_expired()
        while len(self._entries) > self._max_entries:
            self._forget_first()
        if len(self._expiries) > 2 * len(self._entries) + STALE_HEAP_SLACK:
            self._expiries = [(e.expires_at, e.serial, k) for k, e in self._entries.items()]
            heapq.heapify(self._expiries)

    def _find(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry and not entry.lives(self._clock.seconds()):
            del self._entries[key]
            return None
        return entry

    def _forget_expired(self) -> None:
        now = self._clock.seconds()
        while self._expiries and self._expiries[0][0] <= now:
            self._forget_first()

    def _forget_first(self) -> None:
        """Drop the top of the heap, and its entry unless that was replaced since."""
        _, serial, key = heapq.heappop(self._expiries)
        entry = self._entries.get(key)
        if entry and entry.serial == serial:
            del self._entries[key]
