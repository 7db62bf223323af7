"""Tests of fe_mail.model.page: walking through a list."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.page import WALK_SIZE, Page, Query, every


class Numbers:
    """A store of the numbers below ``total`` that notes which pages were asked for."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked: list[int] = []
        self.gate: Deferred[None] | None = None

    async def list(self, query: Query) -> Page[int]:
        """A page."""
        self.asked.append(query.page)
        if self.gate is not None:
            await self.gate
        start = (query.page - 1) * query.limit
        items = tuple(range(start, min(start + query.limit, self.total)))
        return Page(items=items, total=self.total, page=query.page, limit=query.limit)


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
            (0, [1]),
            (1, [1]),
            (WALK_SIZE, [1]),
            (WALK_SIZE + 1, [1, 2]),
            (3 * WALK_SIZE, [1, 2, 3]),
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
        self.assertEqual(numbers.asked, [1])

    def test_slow_store(self) -> None:
        """A store may take its time."""
        numbers = Numbers(3)
        numbers.gate = Deferred()
        walk = self.walk(numbers)
        self.assertNoResult(walk)
        numbers.gate.callback(None)
        self.assertEqual(self.successResultOf(walk), [0, 1, 2])
