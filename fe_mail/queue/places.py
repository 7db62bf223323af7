"""
The places of one kind of courier, and who may take how many of them.

Whoever has to wait for a silent host holds a place for minutes. So a part of the places is kept
for destinations that answered lately, nobody's mail takes more than its share, and mail that
strangers can cause (reports, forwards) takes less than what our own users send. The shares only
count where somebody else could need the place: own mailboxes have no owner and no shares.
"""

from collections import Counter
from collections.abc import Mapping

import attrs

from fe_mail.model.lane import source_of

__all__ = ["Places"]

# Parts of all places.
UNPROVEN = 3 / 4  # to destinations that have not answered lately
OWNER = 1 / 2
OWNER_UNPROVEN = 1 / 4
OWNER_WAITING = 1 / 4  # claims of one owner that wait for a place
SOURCES: Mapping[str, float] = {"bounce": 1 / 4, "system": 1 / 4, "mx": 3 / 4}
SOURCES_UNPROVEN: Mapping[str, float] = {"bounce": 1 / 4, "system": 1 / 4, "mx": 1 / 2}
SCARCE = 1 / 4  # fewer free places than this: nobody waits long for a greeting


@attrs.define
class Places:
    """Counts who holds a place."""

    total: int
    active: int = 0
    _unproven: int = 0
    _by_owner: Counter[str] = attrs.field(factory=Counter)
    _by_source: Counter[str] = attrs.field(factory=Counter)
    _unproven_by_owner: Counter[str] = attrs.field(factory=Counter)
    _unproven_by_source: Counter[str] = attrs.field(factory=Counter)

    @property
    def is_scarce(self) -> bool:
        """Mail waits, or soon will."""
        return self.total - self.active < self._part(SCARCE)

    @property
    def owner_waiting(self) -> int:
        """Claims of one owner that may wait for a place."""
        return self._part(OWNER_WAITING)

    def may_start(self, owner: str, *, is_proven: bool) -> bool:
        """Is there a place for this owner's mail?"""
        if self.active >= self.total:
            return False
        if not owner:
            return True
        source = source_of(owner)
        if self._by_owner[owner] >= self._part(OWNER):
            return False
        if self._by_source[source] >= self._part(SOURCES.get(source, 1.0)):
            return False
        return is_proven or (
            self._unproven < self._part(UNPROVEN)
            and self._unproven_by_owner[owner] < self._part(OWNER_UNPROVEN)
            and self._unproven_by_source[source] < self._part(SOURCES_UNPROVEN.get(source, 1.0))
        )

    def start(self, owner: str, *, is_proven: bool) -> None:
        """Take a place."""
        self._count(owner, is_proven, 1)

    def end(self, owner: str, *, is_proven: bool) -> None:
        """Give it back; ``is_proven`` as it was taken."""
        self._count(owner, is_proven, -1)

    def _count(self, owner: str, is_proven: bool, by: int) -> None:
        self.active += by
        if not owner:
            return
        source = source_of(owner)
        counters = [(self._by_owner, owner), (self._by_source, source)]
        if not is_proven:
            self._unproven += by
            counters += [(self._unproven_by_owner, owner), (self._unproven_by_source, source)]
        for counter, name in counters:
            counter[name] += by
            if not counter[name]:
                del counter[name]

    def _part(self, part: float) -> int:
        return max(1, int(self.total * part))
