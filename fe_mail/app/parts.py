"""
The parts of a process: everything that starts or stops, once, in one list.

They start in the order of the list. They stop in an order of their own, because what came last is
not always what may go first: connections end before the stores, but also before the workers that
began after them. Every part is in both orders, which is checked when the list is made. A part that
cannot stop is reported and keeps no other from stopping. One that is about to start when the stop
comes is stopped when it has started: what it opened after its end would stay open for ever.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

__all__ = ["Part", "Parts"]


async def _nothing() -> None:
    """There is nothing to do."""


@attrs.frozen
class Part:
    """One thing that starts, stops, or does both."""

    name: str
    start: Callable[[], Awaitable[None]] = attrs.field(default=_nothing, kw_only=True)
    stop: Callable[[], Awaitable[None]] = attrs.field(default=_nothing, kw_only=True)


class Parts:
    """``parts`` in the order in which they start, ``stop_order`` by name."""

    log = Logger()

    def __init__(self, parts: Sequence[Part], stop_order: Sequence[str]) -> None:
        self._parts = {part.name: part for part in parts}
        self._stop_order = tuple(stop_order)
        self.is_stopped = False  # or stopping: from then on nothing starts
        self._starting: dict[str, list[Deferred[None]]] = {}  # and who waits for it
        names = [part.name for part in parts]
        if sorted(names) != sorted(stop_order):
            raise ValueError(f"{names} start, but {list(stop_order)} stop")

    async def start(self) -> None:
        """Start one after the other; the first that fails ends it, and so does ``stop``."""
        for part in self._parts.values():
            if self.is_stopped:
                return
            await self._start(part)

    async def _start(self, part: Part) -> None:
        self._starting[part.name] = []
        try:
            await part.start()
        finally:
            for waiting in self._starting.pop(part.name):
                waiting.callback(None)

    async def stop(self) -> None:
        """Stop one after the other, also what did not come to start."""
        self.is_stopped = True
        for name in self._stop_order:
            if name in self._starting:
                started: Deferred[None] = Deferred()
                self._starting[name].append(started)
                await started
            try:
                await self._parts[name].stop()
            except Exception:
                self.log.failure("{part} could not stop in order", part=name)
