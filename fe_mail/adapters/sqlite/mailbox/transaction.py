"""
One transaction on a mailbox file: its cursor, its ModSeq, and what it changed.

Long columns of numbers come back as one row of JSON arrays: SQLite's driver gives up the
interpreter lock at each row, and on a busy server that would cost a thread switch for every
message of a folder.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.model.change import ChangeKind

__all__ = ["Transaction"]


@attrs.define
class Transaction:
    """Given to every function that reads or writes a mailbox."""

    cursor: Cursor
    now: float = 0.0
    limit_octets: int = 0  # the quota; 0: none
    touched: set[tuple[ChangeKind, int]] = attrs.field(factory=set)  # what changed
    damaged: set[int] = attrs.field(factory=set)  # contents that could not be read
    _modseq: int = 0

    def run(self, sql: str, *values: Any) -> None:
        """Execute a statement without result."""
        self.cursor.execute(sql, values)

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row."""
        return next(iter(self.cursor.execute(sql, values).fetchall()), None)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.cursor.execute(sql, values).fetchall()

    def value(self, sql: str, *values: Any) -> Any:
        """The only column of the first row, None without a row."""
        row = self.row(sql, *values)
        return None if row is None else row[0]

    def columns(self, names: Iterable[str], source: str, *values: Any) -> list[list[Any]]:
        """One list per column of ``SELECT ... source``, which says the order."""
        names = tuple(names)
        arrays = ", ".join(f"json_group_array({name})" for name in names)
        sql = f"SELECT {arrays} FROM (SELECT {', '.join(names)} {source})"  # noqa: S608  # our own
        return [json.loads(array) for array in self.row(sql, *values) or ()]

    def table(
        self, numbers: Sequence[str], blobs: Sequence[str], source: str, *values: Any
    ) -> list[list[Any]]:
        """The like with columns of octets after those of numbers; all of it is one row."""
        picked = [f"json_group_array(n{at})" for at in range(len(numbers))]
        picked += [f"json_group_array(length(b{at}))" for at in range(len(blobs))]
        # Joined as text, because only text can be, but no octet is looked at.
        picked += [
            f"CAST(group_concat(CAST(b{at} AS TEXT), '') AS BLOB)" for at in range(len(blobs))
        ]
        named = [f"{name} AS n{at}" for at, name in enumerate(numbers)]
        named += [f"{name} AS b{at}" for at, name in enumerate(blobs)]
        sql = f"SELECT {', '.join(picked)} FROM (SELECT {', '.join(named)} {source})"  # noqa: S608
        row = self.row(sql, *values) or ()
        columns = [json.loads(array) for array in row[: len(picked) - len(blobs)]]
        lengths, joined = columns[len(numbers) :], row[len(picked) - len(blobs) :]
        return columns[: len(numbers)] + list(map(_split, joined, lengths))

    def modseq(self) -> int:
        """The ModSeq of this transaction, one more than the last one's."""
        if not self._modseq:
            self._modseq = self.value("UPDATE mailbox SET modseq = modseq + 1 RETURNING modseq")
        return self._modseq

    def touch(self, folder_id: int) -> int:
        """The folder changes in this transaction; returns the ModSeq."""
        return self._touch(ChangeKind.FOLDER, folder_id)

    def touch_collection(self, collection_id: int) -> int:
        """The like of a collection of records."""
        return self._touch(ChangeKind.COLLECTION, collection_id)

    def _touch(self, kind: ChangeKind, number: int) -> int:
        modseq = self.modseq()
        if (kind, number) not in self.touched:
            self.touched.add((kind, number))
            table = kind.value
            self.run(f"UPDATE {table} SET highest_modseq = ? WHERE id = ?", modseq, number)  # noqa: S608
        return modseq


def _split(joined: bytes | None, lengths: list[int | None]) -> list[bytes | None]:
    found: list[bytes | None] = []
    at = 0
    for length in lengths:
        if length is None:
            found.append(None)
        else:
            found.append((joined or b"")[at : at + length])
            at += length
    return found
