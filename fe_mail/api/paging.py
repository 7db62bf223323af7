"""
Lists: the query that asks for a page, and the headers that describe it.

The body of a list is a bare array. RFC 8288 (Link).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import urlencode

from fe_mail.api.call import Answer, Call
from fe_mail.http.origins import origin_of
from fe_mail.http.request import header
from fe_mail.model.page import Page, Query

__all__ = ["MAX_PAGE", "page_headers", "page_of", "read_query"]

MAX_PAGE = 1000  # domains and aliases; also what comes when nothing is asked for
MAX_PAGE_NUMBER = 1_000_000

T = TypeVar("T")


def read_query(query: Mapping[str, str], max_limit: int = MAX_PAGE) -> Query:
    """What the caller asks for; a bad value counts as none."""
    return Query(
        q=query.get("q", ""),
        name=query.get("name", ""),
        recipient=query.get("recipient", ""),
        sort=query.get("sort", ""),
        page=min(_number(query.get("page", ""), 1), MAX_PAGE_NUMBER),
        limit=min(_number(query.get("limit", ""), max_limit), max_limit),
    )


def _number(text: str, default: int) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        return default
    return int(digits) or default


def page_of(call: Call, page: Page[T], shape: Callable[[T], object]) -> Answer:
    """A page as an answer."""
    url = f"{_base(call)}{call.request.path.decode('ascii', 'replace')}"
    return Answer([shape(item) for item in page.items], page_headers(url, call.query, page))


def _base(call: Call) -> str:
    """The address that the caller used; where a proxy hides it, the one that is configured."""
    api, request = call.api, call.request
    scheme = "https" if api.proxies.is_secure(request) else "http"
    used = f"{scheme}://{header(request, b'Host')}"
    is_hidden = origin_of(used) not in api.own_origins and api.proxies.is_proxied(request)
    return api.api_url if is_hidden and api.api_url else used


def page_headers(url: str, query: Mapping[str, str], page: Page[T]) -> dict[str, str]:
    """The headers of a list; the links keep every other parameter of the query."""
    links = ", ".join(
        f'<{url}?{urlencode({**query, "page": str(number)})}>; rel="{relation}"'
        for relation, number in _relations(page)
    )
    headers = {
        "X-Page-Count": str(page.page_count),
        "X-Page-Current": str(page.page),
        "X-Page-Size": str(len(page.items)),
        "X-Item-Count": str(page.total),
    }
    return {**headers, "Link": links} if links else headers


def _relations(page: Page[T]) -> Iterator[tuple[str, int]]:
    last = page.page_count
    if page.page > 1:
        yield "prev", min(page.page - 1, last)
    if page.page < last:
        yield "next", page.page + 1
        yield "last", last
    if page.page > 1:
        yield "first", 1
