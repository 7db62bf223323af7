"""
Lists on pages: search, order and pages, as a query and as links.

A *place* is the query of a list as text. The pages behind a list carry it along, so that whoever
comes back from one finds the list as it was.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

import attrs

from fe_mail.model.page import Page as Items
from fe_mail.model.page import Query

__all__ = ["PAGE_SIZE", "PAGE_SIZES", "Listing", "kept_place", "list_page", "listing_query"]

PAGE_SIZES = (10, 50, 200)
PAGE_SIZE = 50  # when nothing is asked for
MAX_QUERY_CHARS = 255
MAX_PAGE_DIGITS = 6
MAX_PLACE_CHARS = 4000
NEIGHBORS = 2  # page numbers on each side of the current one

T = TypeVar("T")


def listing_query(values: Mapping[str, str], sortable: tuple[str, ...]) -> Query:
    """What the visitor asks for; a bad value counts as none."""
    sort = values.get("sort", "")
    limit = _number(values.get("limit", ""))
    return Query(
        q=values.get("q", "").strip()[:MAX_QUERY_CHARS],
        sort=sort if sort.removeprefix("-") in sortable else "",
        page=_number(values.get("page", "")) or 1,
        limit=limit if limit in PAGE_SIZES else PAGE_SIZE,
    )


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_PAGE_DIGITS
    return int(text) if is_number else 0


def _place(query: Query, **changes: object) -> str:
    values: Mapping[str, object] = {
        "q": query.q,
        "sort": query.sort,
        "page": query.page,
        "limit": query.limit if query.limit != PAGE_SIZE else "",
        **changes,
    }
    return urlencode({name: value for name, value in values.items() if value not in ("", 1)})


def kept_place(text: str, sortable: tuple[str, ...]) -> str:
    """The place that a page was given; of what is no place nothing stays."""
    try:
        pairs = parse_qsl(text[:MAX_PLACE_CHARS], max_num_fields=20)
    except ValueError:
        return ""
    return _place(listing_query(dict(pairs), sortable))


@attrs.frozen
class Listing(Generic[T]):
    """A page of items with the links around it."""

    page: Items[T]
    query: Query

    @property
    def place(self) -> str:
        """Where in the list this page is."""
        return _place(self.query, page=self.page.page)

    @property
    def first(self) -> int:
        """The number of the first item here, from one."""
        return (self.page.page - 1) * self.page.limit + 1

    @property
    def last(self) -> int:
        """The number of the last item here."""
        return self.first + len(self.page.items) - 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The pages to offer: both ends and what is near; 0 where some are left out."""
        count, here = self.page.page_count, self.page.page
        near = range(here - NEIGHBORS, here + NEIGHBORS + 1)
        shown = sorted({1, count, *(number for number in near if 1 <= number <= count)})
        found: list[int] = []
        for number in shown:
            if found and number > found[-1] + 1:
                found.append(0)
            found.append(number)
        return tuple(found)

    def link(self, **changes: object) -> str:
        """The query string of the same list with something changed."""
        return "?" + _place(self.query, **{"page": self.page.page, **changes})

    def sort_link(self, name: str) -> str:
        """Sort by a column; a second click reverses."""
        return self.link(sort=f"-{name}" if self.query.sort == name else name, page=1)

    def order(self, name: str) -> str:
        """The value of ``aria-sort`` for a column."""
        orders = {name: "ascending", f"-{name}": "descending"}
        return orders.get(self.query.sort, "none")


async def list_page(ask: Callable[[Query], Awaitable[Items[T]]], query: Query) -> Listing[T]:
    """The page that is asked for; behind the last one: the last one."""
    found = await ask(query)
    if not found.items and found.total:
        query = attrs.evolve(query, page=found.page_count)
        found = await ask(query)
    return Listing(found, query)
