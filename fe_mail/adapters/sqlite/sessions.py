"""
Sessions of browsers in the file of accounts.

No change here makes what is kept of the accounts wrong: that is why it writes to the database
directly.
"""

from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.account_rows import SESSIONS, USERS
from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.adapters.sqlite.purging import purge
from fe_mail.model.account import User, WebSession
from fe_mail.model.ids import UserId

__all__ = ["SQLiteSessions"]


class SQLiteSessions:
    """``fe_mail.ports.SessionStore``."""

    def __init__(self, file: AccountFile) -> None:
        self._file = file

    async def add_session(self, session: WebSession) -> None:
        """Add a browser session."""
        await self._file.database.write(lambda c: SESSIONS.insert(c, session))

    async def session(self, session_id: str, now: float) -> tuple[WebSession, User]:
        """A session that has not expired, with its user."""

        def work(cursor: Cursor) -> tuple[WebSession, User]:
            session = SESSIONS.one(cursor, "id = ? AND expires_at > ?", session_id, now)
            return session, USERS.one(cursor, "id = ?", session.user_id)

        return await self._file.database.read(work)

    async def delete_session(self, session_id: str) -> None:
        """Sign out; unknown ids are ignored."""
        statement = "DELETE FROM web_sessions WHERE id = ?"
        await self._file.database.execute(statement, (session_id,))

    async def delete_sessions(self, user_id: UserId) -> None:
        """Sign a user out everywhere."""
        statement = "DELETE FROM web_sessions WHERE user_id = ?"
        await self._file.database.execute(statement, (user_id,))

    async def purge_sessions(self, now: float) -> None:
        """Drop those that have expired, some at a time."""
        await purge(self._file.database, "web_sessions", "id", "expires_at <= ?", now)
