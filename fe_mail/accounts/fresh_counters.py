"""
Counters whose readings include what is being counted at this moment.

A limit on failures is read before an attempt and written after it. Between the two a crowd that
comes at once would see the count from before it, and everyone pass. Here a reading includes every
claim of this process that was under way while it was read: so nobody who is judged by it, with
nothing awaited in between, goes unseen by the next. A claim that began before the reading is
waited for in its queue; what begins during it is added, and may be in it already: a crowd is
rather told to come later.
"""

from collections.abc import Sequence

import attrs

from fe_mail.model.counting import Claim, Count, Counter, Taken
from fe_mail.ports import Counters

__all__ = ["FreshCounters"]


@attrs.define
class _Traffic:
    """The claims on one counter while it is in use; forgotten when it is not."""

    users: int = 0
    begun: int = 0
    finished: int = 0

    @property
    def is_busy(self) -> bool:
        """Is a claim under way?"""
        return self.begun > self.finished


class FreshCounters:
    """Reads and takes of ``counters``."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._traffic: dict[Counter, _Traffic] = {}

    async def read(self, *counters: Counter) -> tuple[Count, ...]:
        """What they say, and what is on its way to them."""
        traffic = self._enter(counters)
        begun = [each.begun for each in traffic]
        try:
            if any(each.is_busy for each in traffic):
                counts = (await self._counters.take(*(Claim(each, 0) for each in counters))).counts
            else:
                counts = await self._counters.read(*counters)
            return tuple(
                attrs.evolve(count, value=count.value + each.begun - before)
                for count, each, before in zip(counts, traffic, begun, strict=True)
            )
        finally:
            self._leave(counters)

    async def take(self, *claims: Claim) -> Taken:
        """Take, and be seen from now on."""
        counters = [claim.counter for claim in claims]
        traffic = self._enter(counters)
        for claim, each in zip(claims, traffic, strict=True):
            each.begun += claim.by
        try:
            return await self._counters.take(*claims)
        finally:
            for claim, each in zip(claims, traffic, strict=True):
                each.finished += claim.by
            self._leave(counters)

    def _enter(self, counters: Sequence[Counter]) -> list[_Traffic]:
        traffic = [self._traffic.setdefault(counter, _Traffic()) for counter in counters]
        for each in traffic:
            each.users += 1
        return traffic

    def _leave(self, counters: Sequence[Counter]) -> None:
        for counter in counters:
            self._traffic[counter].users -= 1
            if not self._traffic[counter].users:
                del self._traffic[counter]
