"""
One transaction on a mailbox file: its cursor, its ModSeq, and the folders that it changed.

Long columns of numbers come back as one row of JSON arrays: SQLite's driver gives up the
interpreter lock at each row, and on a busy server that would cost a thread switch for every
message of a folder.
"""

import json
from collections.abc import Iterable
from typing import Any

import attrs

from fe_mail.adapters.sqlite.database import Cursor

__all__ = ["Transaction"]


@attrs.define
class Transaction:
    """Given to every function that reads or writes a mailbox."""

    cursor: Cursor
    now: float = 0.0
    limit_octets: int = 0  # the quota; 0: none
    touched: set[int] = attrs.field(factory=set)  # ids of the folders that changed
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

    def modseq(self) -> int:
        """The ModSeq of this transaction, one more than the last one's."""
        if not self._modseq:
            self._modseq = self.value("UPDATE mailbox SET modseq = modseq + 1 RETURNING modseq")
        return self._modseq

    def touch(self, folder_id: int) -> int:
        """The folder changes in this transaction; returns the ModSeq."""
        modseq = self.modseq()
        if folder_id not in self.touched:
            self.touched.add(folder_id)
            self.run("UPDATE folder SET highest_modseq = ? WHERE id = ?", modseq, folder_id)
        return modseq
