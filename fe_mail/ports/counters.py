"""Counters that last."""

from typing import Protocol

from fe_mail.model.counting import Claim, Count, Counter, Taken

__all__ = ["Counters"]


class Counters(Protocol):
    """
    How much of what was done lately: limits rest on it.

    Counts hold over all processes and outlive a restart; after a power cut the last moments may
    be missing. A counter begins with its first increment and runs out with its window. When there
    are too many, those that would run out first are forgotten.
    """

    async def read(self, *counters: Counter) -> tuple[Count, ...]:
        """What they say now, without writing."""

    async def take(self, *claims: Claim) -> Taken:
        """
        All of the claims or none, in one step: a crowd that comes at once passes no limit.

        Every claim is on a counter of its own. Who comes first is served first.
        """

    async def give_back(self, *claims: Claim) -> None:
        """Undo claims that were taken; what ran out since stays so, and none falls below zero."""

    async def forget(self, *counters: Counter) -> None:
        """Begin anew with the next claim."""

    async def forget_all(self, beginning: str, end: str = "") -> None:
        """Begin anew with every counter whose name begins and ends like this, in all windows."""
