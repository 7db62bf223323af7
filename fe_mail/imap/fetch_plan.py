"""
The items of a FETCH, compiled once: what to ask of the store, and how to write the responses.

Every item is a column: a function from many messages to one value of each. One template joins
the values of a message, so that a thousand responses cost little more than their octets. Only
bodies, which may be big, are written one by one (``fetch``).

RFC 9051 §6.4.5, §7.5.2; RFC 8474 §5 (EMAILID, THREADID).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

import attrs

from fe_mail.imap import formatting
from fe_mail.imap.fetch_item import Attribute, FetchItem, Section, SectionText
from fe_mail.imap.header_index import are_common, pick_indexed
from fe_mail.imap.sections import needs_outline, pick_fields, wants_header_only
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.mailbox import FetchedMessage, Want

__all__ = ["Plan", "cut", "header_section", "picked"]

Rows = Sequence[FetchedMessage]
Column = Callable[[SelectedFolder, Sequence[int], Rows], Iterable[bytes | int]]

FROM_VIEW: Final = frozenset({Attribute.UID, Attribute.FLAGS, Attribute.MODSEQ})
FROM_MEMORY: Final = FROM_VIEW | {Attribute.SIZE, Attribute.INTERNALDATE}
WANTS: Final = {
    Attribute.ENVELOPE: Want.ENVELOPE,
    Attribute.BODY: Want.STRUCTURE,
    Attribute.BODYSTRUCTURE: Want.STRUCTURE,
    Attribute.EMAILID: Want.IDS,
    Attribute.THREADID: Want.IDS,
}


@attrs.frozen
class Plan:
    """What is the same for all messages of a FETCH."""

    items: tuple[FetchItem, ...]
    want: Want
    streams: bool  # an item may be big
    remembers: bool  # sizes and dates are worth keeping
    template: bytes
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, items: tuple[FetchItem, ...]) -> "Plan":
        """Compile; the plans that are asked for again and again are kept."""
        return _compile(items)

    @property
    def is_of_view(self) -> bool:
        """The view alone answers, always."""
        return FROM_VIEW.issuperset(self.items)

    def needs_store(self, view: SelectedFolder, indexes: Sequence[int]) -> bool:
        """Is there an item that the view cannot answer?"""
        if self.is_of_view:
            return False
        if not FROM_MEMORY.issuperset(self.items):
            return True
        return any(view.size_and_date(index) is None for index in indexes)

    def responses(self, view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> bytes:
        """The responses for these messages, of which the store said ``rows``."""
        values = [column(view, indexes, rows) for column in self.columns]
        numbers = [index + 1 for index in indexes]
        return b"".join(map(self.template.__mod__, zip(numbers, *values, strict=True)))

    def item(self, view: SelectedFolder, index: int, row: FetchedMessage) -> bytes:
        """The items of one message, without what is around them."""
        response = self.responses(view, (index,), (row,))
        return response[response.index(b"(") + 1 : -3]


@lru_cache(maxsize=256)
def _compile(items: tuple[FetchItem, ...]) -> Plan:
    want = Want.NOTHING
    for item in items:
        want |= _wanted(item)
    bodies = [isinstance(item, Section) and not wants_header_only(item) for item in items]
    pairs = [_column(item) for item, is_body in zip(items, bodies, strict=True) if not is_body]
    return Plan(
        items=items,
        want=want,
        streams=any(bodies),
        remembers=any(bodies) or not {Attribute.SIZE, Attribute.INTERNALDATE}.isdisjoint(items),
        template=b"* %%d FETCH (%s)\r\n" % b" ".join([label for label, _ in pairs]),
        columns=tuple(column for _, column in pairs),
    )


def _wanted(item: FetchItem) -> Want:
    if isinstance(item, Attribute):
        return WANTS.get(item, Want.NOTHING)
    if wants_header_only(item):
        return Want.FIELDS if _is_indexed(item) else Want.HEADER
    return Want.BODY | Want.OUTLINE if needs_outline(item) else Want.BODY


def _is_indexed(section: Section) -> bool:
    return section.text is SectionText.FIELDS and are_common(section.fields)


def _column(item: FetchItem) -> tuple[bytes, Column]:
    """A piece of the template, and what is put into it."""
    if isinstance(item, Attribute):
        form, column = COLUMNS[item]
        return item.value + b" " + form, column
    section = item
    is_indexed = _is_indexed(section)

    def literals(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[bytes]:
        found = [_header_section(section, row, is_indexed) for row in rows]
        return [b"{%d}\r\n%s" % (len(octets), octets) for octets in found]

    return section.label.replace(b"%", b"%%") + b" %s", literals


def _uids(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[int]:
    return list(map(view.uids.__getitem__, indexes))


def _modseqs(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[int]:
    return list(map(view.modseqs.__getitem__, indexes))


def _flags(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[bytes]:
    """Each set that occurs is formatted once."""
    places = list(map(view.flags.__getitem__, indexes))
    sets = {place: view.flag_sets[place] for place in set(places)}
    named = {place: formatting.flag_list(flags) for place, flags in sets.items()}
    if not view.recent_count:
        return list(map(named.__getitem__, places))
    recent = {place: formatting.flag_list(flags, True) for place, flags in sets.items()}
    return [
        (recent if view.is_recent(view.uids[index]) else named)[place]
        for index, place in zip(indexes, places, strict=True)
    ]


def _sizes_and_dates(
    view: SelectedFolder, indexes: Sequence[int], rows: Rows
) -> list[tuple[int, float]]:
    if rows:
        return [(row.size_octets, row.received_at) for row in rows]
    return [view.size_and_date(index) or (0, 0.0) for index in indexes]


def _sizes(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[int]:
    return [size for size, _ in _sizes_and_dates(view, indexes, rows)]


def _dates(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[bytes]:
    date = formatting.internal_date
    return [date(math.floor(seconds)) for _, seconds in _sizes_and_dates(view, indexes, rows)]


def _email_ids(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[bytes]:
    return [formatting.object_id(row.email_id) for row in rows]


def _thread_ids(view: SelectedFolder, indexes: Sequence[int], rows: Rows) -> list[bytes]:
    return [formatting.object_id(row.thread_id) for row in rows]


def _stored(field: str) -> Column:
    """A column of the store, as it is."""
    place = FetchedMessage._fields.index(field)
    column: Callable[[FetchedMessage], bytes] = itemgetter(place)
    return lambda view, indexes, rows: map(column, rows)


COLUMNS: Final[dict[Attribute, tuple[bytes, Column]]] = {
    Attribute.UID: (b"%d", _uids),
    Attribute.FLAGS: (b"%s", _flags),
    Attribute.MODSEQ: (b"(%d)", _modseqs),
    Attribute.SIZE: (b"%d", _sizes),
    Attribute.INTERNALDATE: (b"%s", _dates),
    Attribute.ENVELOPE: (b"%s", _stored("envelope")),
    Attribute.BODY: (b"%s", _stored("body")),
    Attribute.BODYSTRUCTURE: (b"%s", _stored("bodystructure")),
    Attribute.EMAILID: (b"%s", _email_ids),
    Attribute.THREADID: (b"%s", _thread_ids),
}


def header_section(section: Section, row: FetchedMessage) -> bytes:
    """A section of the message's own header."""
    return _header_section(section, row, _is_indexed(section))


def _header_section(section: Section, row: FetchedMessage, is_indexed: bool) -> bytes:
    if row.fields is not None and is_indexed:
        return cut(section, pick_indexed(row.fields, section.fields))
    return cut(section, picked(section, row.header or b""))


def picked(section: Section, header: bytes) -> bytes:
    """What a section wants of a header."""
    if section.text is SectionText.HEADER:
        return header
    return pick_fields(header, section.fields, section.text is SectionText.FIELDS_NOT)


def cut(section: Section, octets: bytes) -> bytes:
    """What a section wants of its octets."""
    if section.partial is None:
        return octets
    start, count = section.partial
    return octets[start : start + count]
