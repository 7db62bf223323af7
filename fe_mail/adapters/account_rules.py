"""
What every adapter of the accounts must agree on beyond rows: lists, sorting, changes.

A search matches as a substring without case (``str.casefold``). Lists are oldest first, logs
newest first; ``sort`` names any attribute that holds one number or text and is no secret,
text without case, ties in the default order. An unknown ``sort`` gives the default order.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from fe_mail.model.account import Alias, Domain, LogEntry, User
from fe_mail.model.errors import Conflict
from fe_mail.model.page import Query

__all__ = [
    "FILLED_IN",
    "SearchFields",
    "check_changes",
    "check_unchanged",
    "page_bounds",
    "search_fields",
    "sort_order",
]

# What ``update_*`` refuses: identity, what the store computes, what has a method of its own.
FILLED_IN: Mapping[type, frozenset[str]] = MappingProxyType(
    {
        User: frozenset({"id", "updated_at"}),
        Domain: frozenset(
            {"id", "updated_at", "members"}
            | {"alias_count", "storage_used", "has_catchall", "has_regex"}
        ),
        Alias: frozenset(
            {"id", "updated_at", "domain_id", "domain_name", "user_email"}
            | {"sealing_key", "epoch"}
        ),
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


def check_unchanged(row: object, when: Mapping[str, object]) -> None:
    """``Conflict`` unless the row has all these values."""
    if any(getattr(row, name) != value for name, value in when.items()):
        raise Conflict


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
