"""Lists on pages: search, order and pages, as a query and as links."""

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import urlencode

import attrs

from fe_mail.model.page import Page as Items
from fe_mail.model.page import Query
from fe_mail.web.visit import Visit

__all__ = ["PAGE_SIZES", "Listing", "listing_query"]

PAGE_SIZES = (10, 50)
MAX_QUERY_CHARS = 255
MAX_PAGE_DIGITS = 6

T = TypeVar("T")


def listing_query(visit: Visit, sortable: tuple[str, ...]) -> Query:
    """What the visitor asks for; a bad value counts as none."""
    sort = visit.query.get("sort", "")
    page = visit.query.get("page", "")
    limit = visit.query.get("limit", "")
    return Query(
        q=visit.query.get("q", "").strip()[:MAX_QUERY_CHARS],
        sort=sort if sort.removeprefix("-") in sortable else "",
        page=_number(page) or 1,
        limit=_number(limit) if _number(limit) in PAGE_SIZES else PAGE_SIZES[-1],
    )


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_PAGE_DIGITS
    return int(text) if is_number else 0


@attrs.frozen
class Listing(Generic[T]):
    """A page of items with the links around it."""

    page: Items[T]
    query: Query

    def link(self, **changes: object) -> str:
        """The query string of the same list with something changed."""
        values: Mapping[str, object] = {
            "q": self.query.q,
            "sort": self.query.sort,
            "page": self.page.page,
            "limit": self.query.limit if self.query.limit != PAGE_SIZES[-1] else "",
            **changes,
        }
        shown = {name: value for name, value in values.items() if value not in ("", 1)}
        return "?" + urlencode(shown)

    def sort_link(self, name: str) -> str:
        """Sort by a column; a second click reverses."""
        return self.link(sort=f"-{name}" if self.query.sort == name else name, page=1)

    def order(self, name: str) -> str:
        """The value of ``aria-sort`` for a column."""
        orders = {name: "ascending", f"-{name}": "descending"}
        return orders.get(self.query.sort, "none")
