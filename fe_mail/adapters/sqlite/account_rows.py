"""
The values of ``fe_mail.model.account`` as rows of the tables of schema ``accounts``.

A column has the name of its attribute. How it is stored follows from the attribute's type:
lists, mappings and small values are JSON, flags are 0 or 1, everything else is itself.
"""

import collections.abc
import functools
import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_origin

import attrs

from fe_mail.adapters.account_rules import page_bounds, search_fields, sort_order
from fe_mail.adapters.sqlite.database import Cursor, Row, Value
from fe_mail.model.account import (
    Alias,
    Credential,
    Domain,
    LogEntry,
    Member,
    User,
    VacationResponder,
    WebSession,
)
from fe_mail.model.errors import NotFound
from fe_mail.model.page import Page, Query
from fe_mail.model.sentence import Sentence

__all__ = ["ALIASES", "CREDENTIALS", "DOMAINS", "LOG", "SESSIONS", "USERS", "Table"]

T = TypeVar("T", bound=attrs.AttrsInstance)

_Decode = Callable[[Any], object]

OLDEST_FIRST = "created_at, serial"
NEWEST_FIRST = "created_at DESC, serial DESC"


@attrs.frozen(kw_only=True)
class Table(Generic[T]):
    """
    Rows of one class: written to ``name``, read from ``view``.

    ``filled_in`` are the attributes that only the view has, ``missing`` what to say of a row
    that is not there.
    """

    row_class: type[T]
    name: str
    view: str
    missing: Sentence = Sentence("The row does not exist.")
    filled_in: frozenset[str] = frozenset()
    order: str = OLDEST_FIRST

    @property
    def is_newest_first(self) -> bool:
        """Does the default order begin at the end?"""
        return self.order == NEWEST_FIRST

    @property
    def columns(self) -> str:
        """The columns of the view that ``value`` expects."""
        return _columns(self.row_class)

    def value(self, row: Row) -> T:
        """The value of a row of ``columns``; more columns behind them are ignored."""
        values = {
            name: column if decode is None else decode(column)
            for (name, decode), column in zip(_decoders(self.row_class), row, strict=False)
        }
        return self.row_class(**values)

    def insert(self, cursor: Cursor, value: T, **more: Value) -> None:
        """Add a row; ``more`` are columns that are no attributes."""
        fields = attrs.fields(self.row_class)
        columns = {
            field.name: _encode(getattr(value, field.name))
            for field in fields
            if field.name not in self.filled_in
        }
        columns.update(more)
        names = ", ".join(f'"{name}"' for name in columns)
        places = ", ".join("?" * len(columns))
        cursor.execute(
            f"INSERT INTO {self.name} ({names}) VALUES ({places})",  # noqa: S608  # our names
            tuple(columns.values()),
        )

    def update(self, cursor: Cursor, row_id: str, **changes: object) -> None:
        """Change columns of one row, by its id. ``NotFound``."""
        names = ", ".join(f'"{name}" = ?' for name in changes)
        values = [_encode(value) for value in changes.values()]
        changed = cursor.execute(
            f"UPDATE {self.name} SET {names} WHERE id = ? RETURNING id",  # noqa: S608
            (*values, row_id),
        ).fetchall()
        if not changed:
            raise NotFound(self.missing)

    def delete(self, cursor: Cursor, row_id: str) -> None:
        """Remove one row, by its id. ``NotFound``."""
        statement = f"DELETE FROM {self.name} WHERE id = ? RETURNING id"  # noqa: S608
        if not cursor.execute(statement, (row_id,)).fetchall():
            raise NotFound(self.missing)

    def one(self, cursor: Cursor, condition: str, *bindings: Value) -> T:
        """The row that meets the condition. ``NotFound``."""
        found = self.all(cursor, condition, *bindings)
        if not found:
            raise NotFound(self.missing)
        return found[0]

    def all(self, cursor: Cursor, condition: str, *bindings: Value) -> tuple[T, ...]:
        """The rows that meet the condition, in the default order."""
        statement = f"SELECT {self.columns} FROM {self.view} WHERE {condition}"  # noqa: S608
        rows = cursor.execute(f"{statement} ORDER BY {self.order}", bindings).fetchall()
        return tuple(self.value(row) for row in rows)

    def page(self, cursor: Cursor, query: Query, condition: str, *bindings: Value) -> Page[T]:
        """A page of the rows that meet the condition and the query."""
        conditions, more = self._search(query)
        where = " AND ".join((f"({condition})", *conditions))
        given = (*bindings, *more)
        if query.after is not None:
            return self._step(cursor, query, query.after, where, given)
        counting = f"SELECT count(*) FROM {self.view} WHERE {where}"  # noqa: S608
        ((total,),) = cursor.execute(counting, given).fetchall()
        page, limit, offset = page_bounds(query)
        rows = cursor.execute(
            f"SELECT {self.columns} FROM {self.view} WHERE {where} "  # noqa: S608
            f"ORDER BY {self._order(query.sort)} LIMIT ? OFFSET ?",
            (*given, limit, offset),
        ).fetchall()
        items = tuple(self.value(row) for row in rows)
        return Page(items=items, total=total, page=page, limit=limit)

    def _step(
        self, cursor: Cursor, query: Query, after: str, where: str, given: tuple[Value, ...]
    ) -> Page[T]:
        """The rows behind a place in the default order, named by the columns of that order."""
        limit = max(1, query.limit)
        if after:
            created_at, serial = after.split()
            where += f" AND (created_at, serial) {'<' if self.is_newest_first else '>'} (?, ?)"
            given = (*given, float(created_at), int(serial))
        rows = cursor.execute(
            f"SELECT {self.columns}, created_at, serial FROM {self.view} WHERE {where} "  # noqa: S608
            f"ORDER BY {self.order} LIMIT ?",
            (*given, limit + 1),
        ).fetchall()
        here = rows[:limit]
        place = f"{here[-1][-2]!r} {here[-1][-1]}" if len(rows) > limit else ""
        return Page(items=tuple(self.value(row) for row in here), limit=limit, next=place)

    def _order(self, sort: str) -> str:
        order = sort_order(self.row_class, sort)
        if order is None:
            return self.order
        name, is_descending = order
        return f'fold("{name}") {"DESC" if is_descending else "ASC"}, {self.order}'

    def _search(self, query: Query) -> tuple[list[str], list[Value]]:
        fields = search_fields(self.row_class)
        conditions: list[str] = []
        bindings: list[Value] = []
        for needle, names in (
            (query.q, fields.q),
            (query.name, fields.name),
            (query.recipient, fields.recipient),
        ):
            if needle and names:
                conditions.append(f"({' OR '.join(self._contains(name) for name in names)})")
                bindings.extend([needle.casefold()] * len(names))
        return conditions, bindings

    def _contains(self, name: str) -> str:
        """A condition with one binding; nothing in it is a pattern, so nothing is escaped."""
        if getattr(attrs.fields(self.row_class), name).type is str:
            return f"instr(fold({name}), ?)"
        return f"EXISTS (SELECT 1 FROM json_each({name}) WHERE instr(fold(value), ?))"  # noqa: S608


def _encode(value: object) -> Value:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    if isinstance(value, VacationResponder):
        return json.dumps(attrs.asdict(value), ensure_ascii=False)
    if isinstance(value, collections.abc.Mapping):
        return json.dumps(dict(value), ensure_ascii=False)
    assert isinstance(value, collections.abc.Sequence | collections.abc.Set)
    return json.dumps(list(value), ensure_ascii=False)


@functools.cache
def _columns(row_class: type[attrs.AttrsInstance]) -> str:
    return ", ".join(f'"{field.name}"' for field in attrs.fields(row_class))


@functools.cache
def _decoders(row_class: type[attrs.AttrsInstance]) -> tuple[tuple[str, _Decode | None], ...]:
    return tuple((field.name, _decoder(field.type)) for field in attrs.fields(row_class))


def _decoder(kind: Any) -> _Decode | None:
    """How to read a column; None: as it is."""
    if kind == tuple[Member, ...]:
        return lambda text: tuple(Member(**item) for item in json.loads(text))
    if get_origin(kind) is tuple:
        return lambda text: () if text == "[]" else tuple(json.loads(text))
    if get_origin(kind) is collections.abc.Mapping:
        return lambda text: {} if text == "{}" else json.loads(text)
    if kind is VacationResponder:
        return lambda text: VacationResponder(**json.loads(text))
    if kind is bool:
        return bool
    return None


USERS = Table(
    row_class=User, name="users", view="users", missing=Sentence("The user does not exist.")
)
DOMAINS = Table(
    row_class=Domain,
    name="domains",
    view="domain_rows",
    missing=Sentence("The domain does not exist."),
    filled_in=frozenset({"members", "alias_count", "storage_used", "has_catchall", "has_regex"}),
)
ALIASES = Table(
    row_class=Alias,
    name="aliases",
    view="alias_rows",
    missing=Sentence("The alias does not exist."),
    filled_in=frozenset({"domain_name", "user_email"}),
)
CREDENTIALS = Table(row_class=Credential, name="credentials", view="credentials")
SESSIONS = Table(
    row_class=WebSession,
    name="web_sessions",
    view="web_sessions",
    missing=Sentence("The session does not exist."),
    order="created_at",
)
LOG = Table(row_class=LogEntry, name="log", view="log", order=NEWEST_FIRST)
