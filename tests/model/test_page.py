"""Tests of fe_mail.model.page: walking through a list."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.page import WALK_SIZE, Page, Query, every


class Numbers:
    """A store of the numbers below ``total`` that notes which pages were asked for."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked: list[str | None] = []
        self.gate: Deferred[None] | None = None

    async def list(self, query: Query) -> Page[int]:
        """A step."""
        self.asked.append(query.after)
        if self.gate is not None:
            await self.gate
        start = int(query.after or 0)
        end = min(start + query.limit, self.total)
        place = str(end) if end < self.total else ""
        return Page(items=tuple(range(start, end)), limit=query.limit, next=place)


class EveryTests(SynchronousTestCase):
    """All items, however many pages."""

    def walk(self, numbers: Numbers) -> "Deferred[Any]":
        """Collect all."""

        async def collect() -> list[int]:
            return [number async for number in every(numbers.list)]

        return Deferred.fromCoroutine(collect())

    def test_sizes(self) -> None:
        """Nothing is left out or asked twice at the ends of pages."""
        for total, pages in (
            (0, [""]),
            (1, [""]),
            (WALK_SIZE, [""]),
            (WALK_SIZE + 1, ["", str(WALK_SIZE)]),
            (3 * WALK_SIZE, ["", str(WALK_SIZE), str(2 * WALK_SIZE)]),
        ):
            numbers = Numbers(total)
            self.assertEqual(self.successResultOf(self.walk(numbers)), list(range(total)))
            self.assertEqual(numbers.asked, pages)

    def test_stopping_early(self) -> None:
        """Who has found what was looked for asks for no more pages."""
        numbers = Numbers(3 * WALK_SIZE)

        async def find() -> int:
            async for number in every(numbers.list):
                if number == 7:
                    return number
            return -1

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(find())), 7)
        self.assertEqual(numbers.asked, [""])

    def test_slow_store(self) -> None:
        """A store may take its time."""
        numbers = Numbers(3)
        numbers.gate = Deferred()
        walk = self.walk(numbers)
        self.assertNoResult(walk)
        numbers.gate.callback(None)
        self.assertEqual(self.successResultOf(walk), [0, 1, 2])
