"""
Timers that nobody can set.

Twisted measures its timers by the time of day. When that is stepped (a machine without a battery
clock learns the date after its start, a hypervisor resumes one, somebody sets it), all timers end
at once, or stand still for as long as it went back: connections time out that were quick, and
leases run out that should have been renewed. Here the reactor counts by the clock of the machine's
start instead, which is also the one of the leases. Whoever asks what time it is asks the ``Clock``.
"""

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import directlyProvides, providedBy

__all__ = ["Clock", "steady"]

log = Logger()


class Clock:
    """The reactor with the time of day: it can do what the reactor can."""

    def __init__(self, reactor: Any, time_of_day: Callable[[], float]) -> None:
        self._reactor = reactor
        self._time_of_day = time_of_day
        directlyProvides(self, *providedBy(reactor))

    def seconds(self) -> float:
        """Seconds since the epoch."""
        return self._time_of_day()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the reactor's."""
        return getattr(self._reactor, name)


def steady(
    reactor: Any,
    count: Callable[[], float] = time.monotonic,
    time_of_day: Callable[[], float] = time.time,
) -> Any:
    """
    Let the reactor's timers go by ``count``, from now on; returns the clock to hand around.

    A reactor with timers that were planned already is left as it is: they would never end.
    """
    if IReactorTime(reactor).getDelayedCalls():
        log.warn("Timers were planned before the start, so that all follow the time of day.")
        return reactor
    reactor.seconds = count
    return Clock(reactor, time_of_day)
