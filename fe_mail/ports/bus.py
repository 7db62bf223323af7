"""
Hints between the parts of fe-mail, and between its processes.

Topics: ``queue`` (something is due), ``credentials:<alias id>`` (sessions have to end),
``sealed:<alias id>`` (mail waits), and ``mailbox:<alias id>``, whose payload is a
``model.change.Change``; the rule for hints that are dropped is written there.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

__all__ = ["Bus"]


class Bus(Protocol):
    """Hints: "look again". Losing one costs latency, never correctness."""

    def publish(self, topic: str, payload: Mapping[str, str] | None = None) -> None:
        """Tell every subscriber of the topic, in a later turn of the reactor or elsewhere."""

    def subscribe(
        self, topic: str, receive: Callable[[Mapping[str, str]], None]
    ) -> Callable[[], None]:
        """Call ``receive`` for each hint; returns the function that ends the subscription."""
