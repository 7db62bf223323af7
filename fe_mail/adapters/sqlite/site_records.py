"""
What the file of accounts holds beside them: browser sessions, settings of the server, the log.

Nothing here is kept in memory, and no change here makes what is kept of the accounts wrong: that
is why it writes to the database directly. Every method is one transaction.
"""

from fe_mail.adapters.sqlite.account_rows import LOG, SESSIONS, USERS
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.model.account import LogEntry, User, WebSession
from fe_mail.model.ids import UserId
from fe_mail.model.page import Page, Query

__all__ = ["PURGED_AT_ONCE", "SQLiteSiteRecords"]

PURGED_AT_ONCE = 500


class SQLiteSiteRecords:
    """The part of the ``AccountStore`` that is not about accounts; it shares their file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Browser sessions

    async def add_session(self, session: WebSession) -> None:
        """Add a browser session."""
        await self._database.write(lambda c: SESSIONS.insert(c, session))

    async def session(self, session_id: str, now: float) -> tuple[WebSession, User]:
        """A session that has not expired, with its user."""

        def work(cursor: Cursor) -> tuple[WebSession, User]:
            session = SESSIONS.one(cursor, "id = ? AND expires_at > ?", session_id, now)
            return session, USERS.one(cursor, "id = ?", session.user_id)

        return await self._database.read(work)

    async def delete_session(self, session_id: str) -> None:
        """Sign out; unknown ids are ignored."""
        statement = "DELETE FROM web_sessions WHERE id = ?"
        await self._database.execute(statement, (session_id,))

    async def delete_sessions(self, user_id: UserId) -> None:
        """Sign a user out everywhere."""
        statement = "DELETE FROM web_sessions WHERE user_id = ?"
        await self._database.execute(statement, (user_id,))

    # Settings

    async def setting(self, name: str) -> str:
        """A setting of the server, empty if unset."""
        statement = "SELECT ifnull((SELECT value FROM settings WHERE name = ?), '')"
        rows = await self._database.read(lambda c: c.execute(statement, (name,)).fetchall())
        return str(rows[0][0])

    async def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        statement = "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)"
        await self._database.execute(statement, (name, value))

    # The log

    async def log(self, entry: LogEntry) -> None:
        """Append to the log; an entry of the same id is written once."""

        def work(cursor: Cursor) -> None:
            if not cursor.execute("SELECT 1 FROM log WHERE id = ?", (entry.id,)).fetchone():
                LOG.insert(cursor, entry)

        await self._database.write(work)

    async def logs(
        self, domain_id: str, query: Query, alias_id: str = "", kind: str = ""
    ) -> Page[LogEntry]:
        """A domain's log, newest first; an empty ``domain_id`` means all."""
        given = {"domain_id": domain_id, "alias_id": alias_id, "kind": kind}
        wanted = {name: value for name, value in given.items() if value}
        condition = " AND ".join(("1", *(f"{name} = ?" for name in wanted)))
        return await self._database.read(lambda c: LOG.page(c, query, condition, *wanted.values()))

    async def purge(self, now: float, log_retention_seconds: float) -> None:
        """Drop expired sessions and old log entries, some at a time."""
        await self._drop("web_sessions", "id", "expires_at <= ?", now)
        await self._drop("log", "serial", "created_at < ?", now - log_retention_seconds)

    async def _drop(self, table: str, key: str, condition: str, value: float) -> None:
        """Between two groups others may write."""
        statement = (
            f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608  # our names
            f" (SELECT {key} FROM {table} WHERE {condition} LIMIT {PURGED_AT_ONCE}) RETURNING 1"
        )
        gone = PURGED_AT_ONCE
        while gone == PURGED_AT_ONCE:
            gone = await self._database.write(
                lambda cursor: len(cursor.execute(statement, (value,)).fetchall())
            )
