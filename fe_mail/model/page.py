"""A page of a longer list, and the query that asks for it."""

from typing import Generic, TypeVar

import attrs

__all__ = ["Page", "Query"]

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
