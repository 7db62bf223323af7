"""
``Counters`` in a small SQLite file that the processes of a directory share.

Increments that meet share a transaction; none waits for the disk (``synchronous=NORMAL``), so a
power cut may undo the last of them, a killed process none. Each new counter sweeps two that ran
out. There are at most ``MAX_COUNTERS``, and now and then ``COUNT_EVERY`` more.

Windows are measured by the date. A clock that was set back would prolong them without limit: a
counter that has more time left than its window lasts has the whole window left.
"""

import math
from collections.abc import Iterable

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.model.counting import Claim, Count, Counter, Taken

__all__ = ["COUNT_EVERY", "MAX_COUNTERS", "SQLiteCounters"]

MAX_COUNTERS = 200_000
COUNT_EVERY = 500
SWEPT_FOR_EACH = 2
MAX_DROPPED = 2 * COUNT_EVERY  # in one transaction


class SQLiteCounters:
    """Opens and closes ``database``, which others may share."""

    def __init__(
        self, database: Database, clock: IReactorTime, max_counters: int = MAX_COUNTERS
    ) -> None:
        self._database = database
        self._clock = clock
        self._max_counters = max_counters
        self._added = 0

    async def start(self, opening: Opening = Opening.NEW) -> None:
        """Open the file."""
        await self._database.open(opening)

    async def stop(self) -> None:
        """Close the file."""
        await self._database.close()

    async def read(self, *counters: Counter) -> tuple[Count, ...]:
        """What they say now."""
        return await self._database.read(lambda c: self._counts(c, counters))

    async def take(self, *claims: Claim) -> Taken:
        """All of the claims or none."""
        return await self._database.write(lambda c: self._take(c, claims))

    async def give_back(self, *claims: Claim) -> None:
        """Undo claims that were taken."""

        def work(cursor: Cursor) -> None:
            counts = self._counts(cursor, [claim.counter for claim in claims])
            for claim, count in zip(claims, counts, strict=True):
                if count.seconds_left > 0:
                    left = attrs.evolve(count, value=max(0, count.value - claim.by))
                    self._store(cursor, claim.counter, left)

        await self._database.write(work)

    async def forget(self, *counters: Counter) -> None:
        """Begin anew with the next claim."""

        def work(cursor: Cursor) -> None:
            cursor.executemany(
                "DELETE FROM counters WHERE name = ? AND seconds = ?",
                [(counter.name, int(counter.window)) for counter in counters],
            )

        await self._database.write(work)

    async def forget_all(self, beginning: str, end: str = "") -> None:
        """Begin anew with every counter whose name begins and ends like this."""

        def work(cursor: Cursor) -> None:
            cursor.execute(
                "DELETE FROM counters WHERE substr(name, 1, ?) = ?"
                " AND length(name) >= ? AND substr(name, length(name) - ? + 1) = ?",
                (len(beginning), beginning, len(beginning) + len(end), len(end), end),
            )

        await self._database.write(work)

    # In a transaction

    def _counts(self, cursor: Cursor, counters: Iterable[Counter]) -> tuple[Count, ...]:
        now = self._clock.seconds()
        return tuple(_count(cursor, counter, now) for counter in counters)

    def _take(self, cursor: Cursor, claims: tuple[Claim, ...]) -> Taken:
        counts = self._counts(cursor, [claim.counter for claim in claims])
        for claim, count in zip(claims, counts, strict=True):
            if claim.most is not None and count.value >= claim.most:
                return Taken(counts, refused=count)
        pairs = zip(claims, counts, strict=True)
        return Taken(tuple(self._add(cursor, claim, count) for claim, count in pairs))

    def _add(self, cursor: Cursor, claim: Claim, count: Count) -> Count:
        if not claim.by:
            return count
        if count.seconds_left > 0:
            more = attrs.evolve(count, value=count.value + claim.by)
        else:
            more = Count(claim.by, float(claim.counter.window))
            self._make_room(cursor)
        self._store(cursor, claim.counter, more)
        return more

    def _store(self, cursor: Cursor, counter: Counter, count: Count) -> None:
        ends_at = self._clock.seconds() + count.seconds_left
        cursor.execute(
            "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?)",
            (counter.name, int(counter.window), count.value, ends_at),
        )

    def _make_room(self, cursor: Cursor) -> None:
        _drop_first(cursor, SWEPT_FOR_EACH, self._clock.seconds())
        if self._added % min(COUNT_EVERY, self._max_counters) == 0:
            rows = cursor.execute("SELECT count(*) FROM counters").fetchall()
            excess = rows[0][0] + 1 - self._max_counters
            _drop_first(cursor, max(0, min(excess, MAX_DROPPED)), math.inf)
        self._added += 1


def _count(cursor: Cursor, counter: Counter, now: float) -> Count:
    row = cursor.execute(
        "SELECT value, ends_at - ? FROM counters WHERE name = ? AND seconds = ?",
        (now, counter.name, int(counter.window)),
    ).fetchone()
    if row is None or row[1] <= 0:
        return Count()
    return Count(row[0], min(row[1], float(counter.window)))


def _drop_first(cursor: Cursor, limit: int, now: float) -> None:
    """Of those that run out until ``now`` the first ones."""
    cursor.execute(
        "DELETE FROM counters WHERE (name, seconds) IN ("
        " SELECT name, seconds FROM counters WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        (now, limit),
    )
