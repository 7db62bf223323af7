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

    ``sort`` is a field name, with ``-`` before it for descending; empty: the list's own order.
    With ``after`` the query is a step of a walk in the list's own order: empty begins, and what a
    page has as ``next`` goes on behind it, whatever came and went meanwhile.
    """

    q: str = ""
    name: str = ""
    recipient: str = ""
    sort: str = ""
    page: int = 1
    limit: int = 1000
    after: str | None = None


@attrs.frozen(kw_only=True)
class Page(Generic[T]):
    """
    ``items`` of page ``page``; ``total`` matches in all, which a walk does not count.

    ``next`` of a step of a walk leads to the next one, empty at the end.
    """

    items: tuple[T, ...]
    total: int = 0
    page: int = 1
    limit: int = 1000
    next: str = ""

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // max(1, self.limit)))


async def every(ask: Callable[[Query], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """All items of a list, asked for step by step, so that no list is held as a whole."""
    after = ""
    while True:
        page = await ask(Query(after=after, limit=WALK_SIZE))
        for item in page.items:
            yield item
        if not page.next:
            return
        after = page.next
