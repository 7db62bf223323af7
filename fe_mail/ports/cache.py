"""What may be lost."""

from typing import Protocol

__all__ = ["Cache"]


class Cache(Protocol):
    """
    Values that run out, for this process alone; losing all of it is allowed at any time.

    What a limit rests on is in ``Counters``, who does something alone in ``Leases``.
    """

    async def increment(self, key: str, ttl_seconds: float, by: int = 1) -> int:
        """Add to a counter and return it; the TTL starts with the first increment. ``Invalid``."""

    async def get(self, key: str) -> bytes | None:
        """A value that has not run out."""

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store a value."""

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Store only if absent; True if stored (a lease)."""

    async def ttl(self, key: str) -> float:
        """Seconds left, 0.0 if absent."""

    async def delete(self, key: str) -> None:
        """Forget."""
