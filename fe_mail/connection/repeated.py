"""
Logging what a stranger can cause as often as he likes.

The first time is logged at once. What follows within a minute is counted, and the minute ends
with one line that says how often it happened; so no peer fills the disk or hides what else goes on.
"""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

__all__ = ["PERIOD_SECONDS", "RepeatedLog"]

PERIOD_SECONDS = 60.0


@attrs.define
class _Repeated:
    """How the last of the events that were only counted would be logged, and their number."""

    emit: Callable[[], None] | None = None
    count: int = 0


class RepeatedLog:
    """Events of one logger, each format at most once a minute; ``times`` says how many it was."""

    def __init__(self, log: Logger, clock: IReactorTime) -> None:
        self._log = log
        self._clock = clock
        self._recent: dict[str, _Repeated] = {}  # by format: those stand in the code

    def info(self, text: str, **values: object) -> None:
        """Nothing is wrong with us."""
        self._add(self._log.info, self._log.info, text, values)

    def error(self, text: str, **values: object) -> None:
        """Something may be."""
        self._add(self._log.error, self._log.error, text, values)

    def failure(self, text: str, **values: object) -> None:
        """An exception that is being handled: the first one with its traceback."""
        self._add(self._log.failure, self._log.error, text, values)

    def _add(
        self,
        first: Callable[..., None],
        later: Callable[..., None],
        text: str,
        values: dict[str, object],
    ) -> None:
        recent = self._recent.get(text)
        if recent is None:
            self._begin(text)
            first(text, **values)
            return
        recent.count += 1
        more = f"{text} ({{times}} times within a minute)"
        recent.emit = lambda: later(more, times=recent.count, **values)

    def _begin(self, text: str) -> None:
        self._recent[text] = _Repeated()
        self._clock.callLater(PERIOD_SECONDS, self._end, text)

    def _end(self, text: str) -> None:
        """A quiet minute ends the counting; a loud one is summed up and followed by another."""
        emit = self._recent.pop(text).emit
        if emit is not None:
            self._begin(text)
            emit()
