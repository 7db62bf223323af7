"""
Reading messages: the columns that are asked for come as one row, the octets of small ones too.

What a content of version 1 has no digest for yet is made here for this once; the background
makes it for good. A message that is damaged is left out of what needs its octets, noted, and keeps
nobody from the others. RFC 9051 §6.4.5.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from fe_mail.adapters.sqlite.failures import translated
from fe_mail.adapters.sqlite.mailbox import folders
from fe_mail.adapters.sqlite.mailbox.codec import decode_outline
from fe_mail.adapters.sqlite.mailbox.contents import counted_lines, inflate, read_octets, summarized
from fe_mail.adapters.sqlite.mailbox.flags import FlagSets
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.errors import Corrupt, NotFound
from fe_mail.model.mailbox import INLINE_BODY_OCTETS, FetchedMessage, Want

__all__ = ["fetch", "read"]

_ALWAYS = (
    "uid",
    "modseq",
    "flagset_id",
    "received_at",
    "message.size_octets",
    "message.content_id",
)
_UID, _MODSEQ, _FLAGS, _RECEIVED, _SIZE, _CONTENT = _ALWAYS

# What each wish needs: columns of numbers and text, columns of octets, tables beside ``message``.
_NEEDS: dict[Want, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    Want.IDS: (("thread_id",), (), ("content",)),
    Want.ENVELOPE: ((), ("envelope",), ("digest",)),
    Want.STRUCTURE: ((), ("body", "bodystructure"), ("structure",)),
    Want.OUTLINE: (("outline",), (), ("structure",)),
    Want.FIELDS: (("layout", "header_octets"), ("fields",), ("content", "structure")),
    Want.HEADER: (("layout", "header_octets", "codec"), ("octets",), ("content", "piece")),
    Want.BODY: (("layout", "header_octets", "codec"), ("octets",), ("content", "piece")),
    Want.LINES: (("line_octets",), (), ("content",)),
}
_JOINS = {
    "content": " JOIN content ON content.id = message.content_id",
    "digest": " LEFT JOIN digest ON digest.content_id = message.content_id",
    "structure": " LEFT JOIN structure ON structure.content_id = message.content_id",
    "piece": " LEFT JOIN piece ON piece.id = message.content_id << 20",  # the first one
}


def fetch(
    tx: Transaction, folder_id: int, uids: Sequence[int], want: Want, flagsets: FlagSets
) -> tuple[FetchedMessage, ...]:
    """The messages that exist and can be read, in UID order."""
    asked = sorted(set(uids))
    if not asked or folders.by_id(tx, folder_id) is None:
        return ()
    return _fetch(tx, folder_id, asked, want, flagsets)


def _fetch(
    tx: Transaction, folder_id: int, asked: list[int], want: Want, flagsets: FlagSets
) -> tuple[FetchedMessage, ...]:
    """If one of them is damaged, each half for itself, so that it spoils nothing but itself."""
    try:
        with translated():
            return _read_rows(tx, folder_id, asked, want, flagsets)
    except Corrupt:
        if len(asked) == 1:
            _note_damage(tx, folder_id, asked[0])
            return ()
    middle = len(asked) // 2
    halves = (asked[:middle], asked[middle:])
    return tuple(row for half in halves for row in _fetch(tx, folder_id, half, want, flagsets))


def _note_damage(tx: Transaction, folder_id: int, uid: int) -> None:
    content_id = tx.value(
        "SELECT content_id FROM message WHERE folder_id = ? AND uid = ?", folder_id, uid
    )
    if content_id is not None:
        tx.damaged.add(content_id)


def _read_rows(
    tx: Transaction, folder_id: int, asked: list[int], want: Want, flagsets: FlagSets
) -> tuple[FetchedMessage, ...]:
    found = _Columns(tx, folder_id, asked, want)
    rows = list(map(FetchedMessage._make, found.rows(flagsets)))
    if found[_UID] == asked:
        return tuple(rows)
    among = set(asked)
    return tuple(row for row in rows if row.uid in among)


class _Columns:
    """What one query found: a list for every column."""

    def __init__(self, tx: Transaction, folder_id: int, asked: list[int], want: Want) -> None:
        self._tx = tx
        self._want = want
        needs = [need for wish, need in _NEEDS.items() if wish in want]
        numbers = tuple(dict.fromkeys((*_ALWAYS, *(name for need in needs for name in need[0]))))
        octets = tuple(dict.fromkeys(name for need in needs for name in need[1]))
        tables = dict.fromkeys(table for need in needs for table in need[2])
        joins = "".join(_JOINS[table] for table in tables)
        which, values = _which(asked)
        source = f"FROM message{joins} WHERE folder_id = ? AND {which} ORDER BY uid"
        columns = tx.table(numbers, octets, source, folder_id, *values)
        self._columns = dict(zip((*numbers, *octets), columns, strict=True))
        self._make_digests()
        self._count_lines()

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]

    def _get(self, name: str) -> Iterable[Any]:
        return self._columns.get(name) or repeat(None)

    def _make_digests(self) -> None:
        """Fill what is missing because a content was not digested yet."""
        made = ("envelope", "body", "bodystructure", "outline")
        columns = [self._columns[name] for name in made if name in self._columns]
        if not any(None in column for column in columns):
            return
        for at, content_id in enumerate(self[_CONTENT]):
            if any(column[at] is None for column in columns):
                summary = summarized(self._tx, content_id)
                for name in made:
                    if name in self._columns:
                        self[name][at] = getattr(summary, name)

    def _count_lines(self) -> None:
        """Fill what is missing because a content was not counted yet."""
        counted = self._columns.get("line_octets", [])
        for at, octets in enumerate(counted):
            if octets is None:
                counted[at] = counted_lines(self._tx, self[_CONTENT][at])

    def rows(self, flagsets: FlagSets) -> Iterator[tuple[Any, ...]]:
        """The fields of ``FetchedMessage``, message by message."""
        known = flagsets.of(self._tx, self[_FLAGS])
        prefix = self._tx.value("SELECT object_prefix FROM mailbox")
        has_ids = Want.IDS in self._want
        outlines = self._columns.get("outline")
        return zip(
            self[_UID],
            self[_MODSEQ],
            [known[number] for number in self[_FLAGS]],
            self[_RECEIVED],
            self[_SIZE],
            [f"M{prefix}-{number}" for number in self[_CONTENT]] if has_ids else repeat(None),
            [f"T{prefix}-{number}" if number else None for number in self["thread_id"]]
            if has_ids
            else repeat(None),
            self._get("envelope"),
            self._get("body"),
            self._get("bodystructure"),
            map(decode_outline, outlines) if outlines else repeat(None),
            self._get("fields"),
            self._headers() if self._want & (Want.HEADER | Want.FIELDS) else repeat(None),
            self._bodies() if Want.BODY in self._want else repeat(None),
            self._get("line_octets"),
            strict=False,  # repeat never ends
        )

    def _headers(self) -> Iterator[bytes | None]:
        """All of them, or those of messages whose fields are not indexed."""
        indexed = self._get("fields") if Want.HEADER not in self._want else repeat(None)
        for at, (fields, end) in enumerate(zip(indexed, self["header_octets"], strict=False)):
            yield self._octets(at, end) if fields is None else None

    def _bodies(self) -> Iterator[bytes | None]:
        for at, size in enumerate(self[_SIZE]):
            yield self._octets(at, size) if size <= INLINE_BODY_OCTETS else None

    def _octets(self, at: int, end: int) -> bytes:
        """The first octets of a message; those without attachments are here already."""
        layout = self["layout"][at]
        first = self._columns.get("octets")
        if first and first[at] is not None and layout == f"[{self[_SIZE][at]}]":
            octets = inflate(self["codec"][at], first[at])
            if len(octets) >= end:
                return octets[:end]
        return read_octets(self._tx, self[_CONTENT][at], layout, 0, end)


def _which(asked: list[int]) -> tuple[str, tuple[Any, ...]]:
    """A condition for these UIDs, or for a few more where that is one range of the table."""
    if asked[-1] - asked[0] < 2 * len(asked):
        return "uid BETWEEN ? AND ?", (asked[0], asked[-1])
    return "uid IN (SELECT value FROM json_each(?))", (json.dumps(asked),)


def read(tx: Transaction, folder_id: int, uid: int, start: int, end: int) -> bytes:
    """Raw octets ``start:end`` of a message (clipped)."""
    row = tx.row(
        "SELECT content_id, layout FROM message JOIN content ON content.id = content_id"
        " WHERE folder_id = ? AND uid = ?",
        folder_id,
        uid,
    )
    if row is None:
        raise NotFound("The message is gone.")
    return read_octets(tx, row[0], row[1], max(0, start), end)
