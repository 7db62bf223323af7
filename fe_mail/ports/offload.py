"""Work for threads."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

__all__ = ["Offload"]

T = TypeVar("T")


class Offload(Protocol):
    """Runs costly work off the reactor thread: ``Threads.run`` of the adapters."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """Call ``work`` elsewhere; ``Unavailable`` when too much waits already."""
