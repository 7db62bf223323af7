"""
What every adapter of ``AccountStore`` must agree on beyond rows: lists, sorting, changes.

A search matches as a substring without case (``str.casefold``). Lists are oldest first, logs
newest first; ``sort`` names any attribute that holds one number or text and is no secret,
text without case, ties in the default order. An unknown ``sort`` gives the default order.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

import attrs

from fe_mail.model.account import Alias, Domain, LogEntry, User
from fe_mail.model.page import Page, Query

__all__ = [
    "FILLED_IN",
    "Row",
    "SearchFields",
    "check_changes",
    "list_page",
    "page_bounds",
    "search_fields",
    "sort_order",
]

Row = TypeVar("Row", User, Domain, Alias, LogEntry)

# What ``update_*`` refuses: identity, what the store computes, what has a method of its own.
FILLED_IN: Mapping[type, frozenset[str]] = MappingProxyType(
    {
        User: frozenset({"id", "updated_at"}),
        Domain: frozenset(
            {"id", "updated_at", "members"}
            | {"alias_count", "storage_used", "has_catchall", "has_regex"}
        ),
        Alias: frozenset({"id", "updated_at", "domain_id", "domain_name", "user_email"}),
    }
)


@attrs.frozen(kw_only=True)
class SearchFields:
    """The attributes that ``Query.q``, ``name`` and ``recipient`` look at; none: no condition."""

    q: tuple[str, ...]
    name: tuple[str, ...]
    recipient: tuple[str, ...] = ()


_SEARCH_FIELDS: Mapping[type, SearchFields] = MappingProxyType(
    {
        User: SearchFields(q=("email", "given_name", "family_name"), name=("email",)),
        Domain: SearchFields(q=("name",), name=("name",)),
        Alias: SearchFields(
            q=("name", "description", "labels", "recipients"),
            name=("name",),
            recipient=("recipients",),
        ),
        LogEntry: SearchFields(q=("kind", "remote", "detail"), name=("kind",)),
    }
)


def search_fields(row_class: type) -> SearchFields:
    """Where a search looks in rows of this class."""
    return _SEARCH_FIELDS[row_class]


def check_changes(row_class: type[attrs.AttrsInstance], changes: Mapping[str, object]) -> None:
    """``TypeError`` for what is no attribute or not the caller's to change."""
    known = {field.name for field in attrs.fields(row_class)} - FILLED_IN[row_class]
    unknown = sorted(set(changes) - known)
    if unknown:
        raise TypeError(f"{row_class.__name__} has no attribute to change: {', '.join(unknown)}")


def sort_order(row_class: type[attrs.AttrsInstance], sort: str) -> tuple[str, bool] | None:
    """(attribute, descending), or None for the default order."""
    name = sort.removeprefix("-")
    for field in attrs.fields(row_class):
        if field.name == name and field.repr and _is_scalar(field.type):
            return name, sort.startswith("-")
    return None


def _is_scalar(kind: object) -> bool:
    base = getattr(kind, "__supertype__", kind)  # UserId and its kin are NewTypes of str
    return base in (str, int, float, bool)


def page_bounds(query: Query) -> tuple[int, int, int]:
    """(page, limit, offset), none of them out of range."""
    page, limit = max(1, query.page), max(1, query.limit)
    return page, limit, (page - 1) * limit


def list_page(rows: Iterable[Row], row_class: type[Row], query: Query) -> Page[Row]:
    """Filter, sort and cut rows that come in their default order."""
    matches = [row for row in rows if _is_match(row, search_fields(row_class), query)]
    order = sort_order(row_class, query.sort)
    if order:
        attribute, is_descending = order
        matches.sort(key=lambda row: _sort_key(getattr(row, attribute)), reverse=is_descending)
    page, limit, offset = page_bounds(query)
    items = tuple(matches[offset : offset + limit])
    return Page(items=items, total=len(matches), page=page, limit=limit)


def _sort_key(value: str | float) -> str | float:
    return value.casefold() if isinstance(value, str) else value


def _is_match(row: object, fields: SearchFields, query: Query) -> bool:
    conditions = (
        (query.q, fields.q),
        (query.name, fields.name),
        (query.recipient, fields.recipient),
    )
    for needle, attributes in conditions:
        if not needle or not attributes:
            continue
        texts = (text for name in attributes for text in _texts(getattr(row, name)))
        if not any(needle.casefold() in text.casefold() for text in texts):
            return False
    return True


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return (str(item) for item in value.values())
    assert isinstance(value, tuple)
    return value
