"""
The ``Bus`` of a single process.

``publish`` never calls a subscriber itself: hints arrive in the next turn of the reactor, in the
order in which they were published, so a subscriber may publish and a publisher needs no guard.
"""

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

__all__ = ["MemoryBus"]

Receive = Callable[[Mapping[str, str]], None]


class MemoryBus:
    """Hints within this process."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # A list per topic whose one-element lists tell two subscriptions of one function apart.
        self._topics: dict[str, list[list[Receive]]] = {}
        self._waiting: list[tuple[str, Mapping[str, str]]] = []
        self._turn: IDelayedCall | None = None

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Forget the hints that were not given yet, and all subscriptions."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._waiting.clear()
        self._topics.clear()

    def publish(self, topic: str, payload: Mapping[str, str] | None = None) -> None:
        """Tell every subscriber of the topic in the next turn of the reactor."""
        if topic not in self._topics:
            return
        self._waiting.append((topic, dict(payload or {})))
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._give)

    def subscribe(self, topic: str, receive: Receive) -> Callable[[], None]:
        """Call ``receive`` for each hint; returns the function that ends the subscription."""
        subscription = [receive]
        self._topics.setdefault(topic, []).append(subscription)

        def end() -> None:
            subscriptions = self._topics.get(topic, [])
            remaining = [one for one in subscriptions if one is not subscription]
            if remaining:
                self._topics[topic] = remaining
            else:
                self._topics.pop(topic, None)
            subscription.clear()

        return end

    def _give(self) -> None:
        self._turn = None
        hints, self._waiting = self._waiting, []
        for topic, payload in hints:
            for subscription in self._topics.get(topic, []):
                for receive in tuple(subscription):  # empty when it ended a moment ago
                    self._call(topic, receive, payload)

    def _call(self, topic: str, receive: Receive, payload: Mapping[str, str]) -> None:
        try:
            receive(payload)
        except Exception:
            self.log.failure("A subscriber of {topic} failed", topic=topic)
