"""
The journal, in the file of the queue, because most entries become durable with what they tell of.

Entries of version 0.1 stand in the file of the accounts; ``bring_in_journal`` moves them.
"""

from collections.abc import Mapping

from fe_mail.adapters.sqlite.account_rows import LOG
from fe_mail.adapters.sqlite.database import Cursor, Database, Row
from fe_mail.adapters.sqlite.purging import purge
from fe_mail.model.account import LogEntry
from fe_mail.model.page import Page, Query

__all__ = ["SQLiteJournal", "bring_in_journal"]

MOVED_AT_ONCE = 500

_COLUMNS = "id, created_at, kind, domain_id, alias_id, user_id, remote, detail"
_OLDEST = f"SELECT {_COLUMNS} FROM log ORDER BY id LIMIT {MOVED_AT_ONCE}"  # noqa: S608
_ADD = f"INSERT OR IGNORE INTO log ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


class SQLiteJournal:
    """``fe_mail.ports.Journal`` over the table ``log`` of a database that somebody else opens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def log(self, entry: LogEntry) -> None:
        """Append; an entry of the same id is written once."""

        def work(cursor: Cursor) -> None:
            if not cursor.execute("SELECT 1 FROM log WHERE id = ?", (entry.id,)).fetchone():
                LOG.insert(cursor, entry)

        await self._database.write(work)

    async def logs(
        self, domain_id: str, query: Query, alias_id: str = "", kind: str = ""
    ) -> Page[LogEntry]:
        """A domain's log, newest first; an empty ``domain_id`` means all."""
        given = {"domain_id": domain_id, "alias_id": alias_id, "kind": kind}
        return await self._page(query, {name: value for name, value in given.items() if value})

    async def account_logs(self, user_id: str, query: Query, kind: str = "") -> Page[LogEntry]:
        """What concerns a user's account and no domain, newest first."""
        wanted = {"domain_id": "", "user_id": user_id}
        return await self._page(query, {**wanted, "kind": kind} if kind else wanted)

    async def _page(self, query: Query, wanted: Mapping[str, str]) -> Page[LogEntry]:
        condition = " AND ".join(("1", *(f"{name} = ?" for name in wanted)))
        return await self._database.read(lambda c: LOG.page(c, query, condition, *wanted.values()))

    async def purge_log(self, before: float) -> None:
        """Drop entries from before this time, some at a time; ids begin with the second."""
        await purge(self._database, "log", "id", "id < ?", f"{max(0, int(before)):08x}")


async def bring_in_journal(accounts: Database, journal: Database) -> None:
    """Move the entries that the accounts had. A kill in between moves some again, to no harm."""
    while rows := await accounts.read(lambda cursor: cursor.execute(_OLDEST).fetchall()):
        await _move(accounts, journal, rows)


async def _move(accounts: Database, journal: Database, rows: list[Row]) -> None:
    def add(cursor: Cursor) -> None:
        cursor.executemany(_ADD, rows)

    def forget(cursor: Cursor) -> None:
        cursor.executemany("DELETE FROM log WHERE id = ?", [(row[0],) for row in rows])

    await journal.write(add)
    await accounts.write(forget)
