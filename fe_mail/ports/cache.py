"""What may be lost."""

from typing import Protocol

__all__ = ["Cache"]


class Cache(Protocol):
    """
    Values of this process that run out; losing all of them is allowed at any time.

    What a limit rests on is in ``Counters``, who does something alone in ``Leases``.
    """

    async def get(self, key: str) -> bytes | None:
        """A value that has not run out."""

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store a value."""
