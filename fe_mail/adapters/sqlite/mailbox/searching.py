"""
SEARCH: sets of rows for what columns answer, text for the rest.

A key narrows a list of rows; And hands what its cheap keys leave to its costly ones. For text of
three characters and more the trigram index says which contents can match; contents that are not
indexed yet always can. What can match is decompressed and compared: the text itself decides. A
text that is damaged matches nothing, and does not keep the others from being found.
RFC 9051 §6.4.4; RFC 7162 §3.1.5.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fe_mail.adapters.mailbox_rules import day_of, searchable
from fe_mail.adapters.sqlite.mailbox import folders
from fe_mail.adapters.sqlite.mailbox.contents import decompressed
from fe_mail.adapters.sqlite.mailbox.flags import FlagSets
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model import search as keys
from fe_mail.model.errors import Corrupt
from fe_mail.model.search import Key

__all__ = ["INDEX_BATCH", "index_some", "search"]

INDEX_BATCH = 100
INDEX_OCTETS = 1024 * 1024  # of text in one batch, which other writers wait for
TRIGRAMS_MAX = 48  # of one needle: more would not narrow the candidates any further
TEXTS_AT_ONCE = 64
NUMBER_DIGITS_MAX = 19  # that SQLite can keep
TEXT_OCTETS_AT_ONCE = 512 * 1024  # compressed

_COLUMNS = ("uid", "modseq", "flagset_id", "content_id", "size_octets", "received_at")
Row = tuple[Any, ...]  # these columns
_UID, _MODSEQ, _FLAGS, _CONTENT, _SIZE, _RECEIVED = range(6)
_TRIGRAM = 3


def search(
    tx: Transaction, folder_id: int, key: Key, flagsets: FlagSets
) -> tuple[tuple[int, int], ...]:
    """(uid, modseq) of the matches in UID order."""
    folders.existing(tx, folder_id)
    columns = tx.columns(_COLUMNS, "FROM message WHERE folder_id = ? ORDER BY uid", folder_id)
    rows: list[Row] = list(zip(*columns, strict=True))
    found = _Search(tx, flagsets).narrow(key, rows)
    return tuple((row[_UID], row[_MODSEQ]) for row in found)


def index_some(tx: Transaction) -> int:
    """Index up to ``INDEX_BATCH`` contents that are not, or as much text; returns how many."""
    (ids,) = tx.columns(
        ("id",), "FROM content WHERE is_indexed = 0 ORDER BY id LIMIT ?", INDEX_BATCH
    )
    octets = count = 0
    for content_id in ids:
        plain = _text_of(tx, content_id).replace(b"\0", b"\n")
        tx.run("INSERT INTO trigram (rowid, text) VALUES (?, ?)", content_id, plain.decode())
        tx.run("UPDATE content SET is_indexed = 1 WHERE id = ?", content_id)
        octets, count = octets + len(plain), count + 1
        if octets > INDEX_OCTETS:
            break
    return count


def _text_of(tx: Transaction, content_id: int) -> bytes:
    """Nothing for one that is damaged, which must not keep the others out of the index."""
    text = tx.value("SELECT text FROM content_text WHERE content_id = ?", content_id)
    try:
        return decompressed(text or b"")
    except Corrupt:
        tx.damaged.add(content_id)
        return b""


class _Search:
    """One evaluation, on one snapshot."""

    def __init__(self, tx: Transaction, flagsets: FlagSets) -> None:
        self._tx = tx
        self._flagsets = flagsets

    def narrow(self, key: Key, rows: list[Row]) -> list[Row]:
        """The rows that match, in the same order."""
        if not rows:
            return rows
        test = _COLUMN_TESTS.get(type(key))
        if test is not None:
            return [row for row in rows if test(key, row)]
        narrow: Callable[[_Search, Any, list[Row]], list[Row]] = _NARROWING[type(key)]
        return narrow(self, key, rows)

    def all_of(self, key: keys.And, rows: list[Row]) -> list[Row]:
        for part in sorted(key.keys, key=_cost):
            rows = self.narrow(part, rows)
        return rows

    def one_of(self, key: keys.Or, rows: list[Row]) -> list[Row]:
        left = {row[_UID] for row in self.narrow(key.left, rows)}
        rest = [row for row in rows if row[_UID] not in left]
        right = {row[_UID] for row in self.narrow(key.right, rest)}
        return [row for row in rows if row[_UID] in left or row[_UID] in right]

    def none_of(self, key: keys.Not, rows: list[Row]) -> list[Row]:
        inner = {row[_UID] for row in self.narrow(key.key, rows)}
        return [row for row in rows if row[_UID] not in inner]

    def among(self, key: keys.InUIDs, rows: list[Row]) -> list[Row]:
        """Both ascend, so that each range costs two bisections however many rows there are."""
        uids = [row[_UID] for row in rows]
        found: list[Row] = []
        for low, high in key.ranges:
            found += rows[bisect_left(uids, low) : bisect_right(uids, high)]
        return found

    def flagged(self, key: keys.Flagged, rows: list[Row]) -> list[Row]:
        numbers = {row[_FLAGS] for row in rows}
        known, flag = self._flagsets.of(self._tx, numbers), key.flag.lower()
        having = {n for n in numbers if any(flag == other.lower() for other in known[n])}
        return [row for row in rows if row[_FLAGS] in having]

    def sent(self, key: Any, rows: list[Row]) -> list[Row]:
        contents, days = self._tx.columns(
            ("id", "sent_day"),
            "FROM content WHERE sent_day > 0 AND id IN (SELECT value FROM json_each(?))",
            json.dumps([row[_CONTENT] for row in rows]),
        )
        day_by_content = dict(zip(contents, days, strict=True))
        compare = _SENT[type(key)]
        return [
            row
            for row in rows
            if row[_CONTENT] in day_by_content and compare(day_by_content[row[_CONTENT]], key.day)
        ]

    def email(self, key: keys.EmailIs, rows: list[Row]) -> list[Row]:
        number = self._number("M", key.email_id)
        return [row for row in rows if row[_CONTENT] == number]

    def thread(self, key: keys.ThreadIs, rows: list[Row]) -> list[Row]:
        number = self._number("T", key.thread_id)
        source = "FROM content WHERE thread_id = ? AND thread_id > 0"
        contents = set(self._tx.columns(("id",), source, number)[0])
        return [row for row in rows if row[_CONTENT] in contents]

    def _number(self, kind: str, object_id: str) -> int:
        """What an object id of this mailbox stands for, 0 for any other."""
        common = self._tx.value("SELECT object_prefix FROM mailbox")
        prefix = f"{kind}{common}-"
        number = object_id.removeprefix(prefix)
        is_ours = object_id.startswith(prefix) and number.isascii() and number.isdecimal()
        return int(number) if is_ours and len(number) < NUMBER_DIGITS_MAX else 0

    def header(self, key: keys.HeaderContains, rows: list[Row]) -> list[Row]:
        name, needle = searchable(key.name), searchable(key.text)
        return self._with_text(
            rows, [name, needle], lambda texts: _header_has(texts[0], name, needle)
        )

    def body(self, key: keys.BodyContains, rows: list[Row]) -> list[Row]:
        needle = searchable(key.text)
        return self._with_text(rows, [needle], lambda texts: needle in texts[1])

    def text(self, key: keys.TextContains, rows: list[Row]) -> list[Row]:
        needle = searchable(key.text)
        return self._with_text(rows, [needle], lambda texts: any(needle in text for text in texts))

    def _with_text(
        self, rows: list[Row], needles: list[str], test: Callable[[list[str]], bool]
    ) -> list[Row]:
        candidates = {row[_CONTENT] for row in rows}
        candidates &= self._possible(needles)
        matching = set()
        for content_id, octets in self._texts(candidates):
            if test(octets.decode().split("\0")):  # header, text, fields of the parts
                matching.add(content_id)
        return [row for row in rows if row[_CONTENT] in matching]

    def _possible(self, needles: list[str]) -> set[int]:
        """Contents that the index cannot exclude."""
        trigrams = {
            needle[index : index + _TRIGRAM]
            for needle in needles
            for index in range(len(needle) - _TRIGRAM + 1)
        }
        if not trigrams:
            return set(self._tx.columns(("id",), "FROM content")[0])
        quoted = (
            '"' + trigram.replace('"', '""') + '"' for trigram in sorted(trigrams)[:TRIGRAMS_MAX]
        )
        matching = self._tx.columns(
            ("rowid",), "FROM trigram WHERE trigram MATCH ?", " AND ".join(quoted)
        )
        unindexed = self._tx.columns(("id",), "FROM content WHERE is_indexed = 0")
        return {*matching[0], *unindexed[0]}

    def _texts(self, content_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Texts, a group of them in one row, for the reason that ``Transaction`` gives."""
        for some in self._groups(content_ids):
            row = self._tx.row(
                "SELECT json_group_array(content_id), group_concat(hex(text), ' ')"
                " FROM content_text WHERE content_id IN (SELECT value FROM json_each(?))",
                json.dumps(some),
            )
            if row is None or row[1] is None:
                continue
            for content_id, text in zip(json.loads(row[0]), row[1].split(" "), strict=True):
                try:
                    yield content_id, decompressed(bytes.fromhex(text))
                except Corrupt:
                    self._tx.damaged.add(content_id)

    def _groups(self, content_ids: Iterable[int]) -> Iterator[list[int]]:
        ids, lengths = self._tx.columns(
            ("content_id", "octets"),
            "FROM (SELECT content_id, length(text) AS octets FROM content_text)"
            " WHERE content_id IN (SELECT value FROM json_each(?)) ORDER BY content_id",
            json.dumps(sorted(content_ids)),
        )
        group: list[int] = []
        octets = 0
        for content_id, length in zip(ids, lengths, strict=True):
            if group and (len(group) >= TEXTS_AT_ONCE or octets + length > TEXT_OCTETS_AT_ONCE):
                yield group
                group, octets = [], 0
            group.append(content_id)
            octets += length
        if group:
            yield group


def _header_has(header: str, name: str, needle: str) -> bool:
    fields = (line.partition(":") for line in header.split("\n"))
    return any(
        colon and field.strip() == name and needle in value.strip()
        for field, colon, value in fields
    )


def _cost(key: Key) -> int:
    """Columns of the rows first, then one more query, then text."""
    if type(key) in _COLUMN_TESTS:
        return 0
    if isinstance(key, keys.Flagged | keys.InUIDs | keys.EmailIs | keys.ThreadIs):
        return 1
    if isinstance(key, keys.And):
        return max(map(_cost, key.keys), default=0)
    if isinstance(key, keys.Or):
        return max(_cost(key.left), _cost(key.right))
    if isinstance(key, keys.Not):
        return _cost(key.key)
    return 2 if type(key) in _SENT else 3


_COLUMN_TESTS: dict[type, Callable[[Any, Row], bool]] = {
    keys.All: lambda key, row: True,
    keys.Before: lambda key, row: day_of(row[_RECEIVED]) < key.day,
    keys.On: lambda key, row: day_of(row[_RECEIVED]) == key.day,
    keys.Since: lambda key, row: day_of(row[_RECEIVED]) >= key.day,
    keys.Larger: lambda key, row: row[_SIZE] > key.octets,
    keys.Smaller: lambda key, row: row[_SIZE] < key.octets,
    keys.ModSeqSince: lambda key, row: row[_MODSEQ] >= key.modseq,
}

_SENT: dict[type, Callable[[int, int], bool]] = {
    keys.SentBefore: int.__lt__,
    keys.SentOn: int.__eq__,
    keys.SentSince: int.__ge__,
}

_NARROWING: dict[type, Callable[[_Search, Any, list[Row]], list[Row]]] = {
    keys.And: _Search.all_of,
    keys.Or: _Search.one_of,
    keys.Not: _Search.none_of,
    keys.InUIDs: _Search.among,
    keys.Flagged: _Search.flagged,
    keys.EmailIs: _Search.email,
    keys.ThreadIs: _Search.thread,
    keys.SentBefore: _Search.sent,
    keys.SentOn: _Search.sent,
    keys.SentSince: _Search.sent,
    keys.HeaderContains: _Search.header,
    keys.BodyContains: _Search.body,
    keys.TextContains: _Search.text,
}
