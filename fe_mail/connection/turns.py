"""
Turns: how one thread serves those who ask for much without letting others wait.

A client may send thousands of commands at once, hundreds of clients may. A conversation performs
``BURST`` of them and then waits here for its turn. In every turn of the reactor those who wait
have ``SLICE_SECONDS`` together, first come first served; the rest of it is everybody else's.
"""

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

__all__ = ["BURST", "SLICE_SECONDS", "Turns"]

BURST = 10  # commands in a row
SLICE_SECONDS = 0.005


class Turns:
    """The waiting line of a listener."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._line: deque[Deferred[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._line)

    def take(self) -> "Deferred[None]":
        """Fires when it is one's turn, in a later turn of the reactor."""
        if not self._line:
            self._clock.callLater(0, self._serve)
        turn: Deferred[None] = Deferred()
        self._line.append(turn)
        return turn

    def _serve(self) -> None:
        end = self._clock.seconds() + SLICE_SECONDS
        for _ in range(len(self._line)):  # whoever comes back waits for the next time
            first = self._line[0]
            first.callback(None)
            self._line.popleft()
            if self._clock.seconds() >= end:
                break
        if self._line:
            self._clock.callLater(0, self._serve)
