"""
Lanes for those who are answered late, one after the other.

A delay alone slows nobody who tries a hundred times at once. In a lane each waits behind those who
came before; when too many wait, the next is told to come again. Lanes are of one process, and a
lane is forgotten when nobody is in it.
"""

from collections import Counter

from twisted.internet.interfaces import IReactorTime

from fe_mail.model.errors import RateLimited
from fe_mail.waiting import pause

__all__ = ["MAX_WAITING", "SlowLanes"]

MAX_WAITING = 12  # in one lane: mail programs give up after half a minute or a minute


class SlowLanes:
    """One lane for each name that is given; ``seconds`` from one answer to the next."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: Counter[str] = Counter()

    def check(self, lane: str) -> None:
        """``RateLimited`` when the lane is full."""
        if self._waiting[lane] >= MAX_WAITING:
            raise RateLimited(
                "Too many failed logins. Try again later.",
                retry_after_seconds=int(self._seconds * MAX_WAITING) + 1,
            )

    async def wait(self, lane: str) -> None:
        """Return when it is one's turn. ``RateLimited`` at once when the lane is full."""
        self.check(lane)
        self._waiting[lane] += 1
        try:
            await pause(self._clock, self._seconds * self._waiting[lane])
        finally:
            self._waiting[lane] -= 1
            if not self._waiting[lane]:
                del self._waiting[lane]
