"""A page of a longer list, the query that asks for it, and the walk through all pages."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import attrs

__all__ = ["Page", "Query", "every"]

WALK_SIZE = 500  # items of a page when all are wanted

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Query:
    """
    ``q`` matches any text field and ``name``/``recipient`` theirs: substring, without case.

    ``sort`` is a field name, with ``-`` before it for descending; empty: oldest first.
    """

    q: str = ""
    name: str = ""
    recipient: str = ""
    sort: str = ""
    page: int = 1
    limit: int = 1000


@attrs.frozen(kw_only=True)
class Page(Generic[T]):
    """``items`` of page ``page``; ``total`` matches in all."""

    items: tuple[T, ...]
    total: int
    page: int = 1
    limit: int = 1000

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // max(1, self.limit)))


async def every(ask: Callable[[Query], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """All items of a list, asked for page by page, so that no list is held as a whole."""
    number = 1
    while True:
        page = await ask(Query(page=number, limit=WALK_SIZE))
        for item in page.items:
            yield item
        if number >= page.page_count:
            return
        number += 1
