"""
What the ``AccountStore`` of a test holds beside accounts: browser sessions, settings, the log.

A session belongs to a user, so the store lends its dictionary of users, which is only read here;
who deletes a user signs the user out first.
"""

from collections.abc import Mapping

from fe_mail.adapters.account_rules import list_page
from fe_mail.model.account import LogEntry, User, WebSession
from fe_mail.model.errors import AlreadyExists, NotFound
from fe_mail.model.ids import UserId
from fe_mail.model.page import Page, Query

__all__ = ["MemorySiteRecords"]


class MemorySiteRecords:
    """The part of the ``AccountStore`` that is not about accounts."""

    def __init__(self, users: Mapping[UserId, User]) -> None:
        self._known_users = users
        self._sessions: dict[str, WebSession] = {}
        self._settings: dict[str, str] = {}
        self._log: dict[str, LogEntry] = {}

    # Browser sessions

    async def add_session(self, session: WebSession) -> None:
        """Add a browser session."""
        if session.user_id not in self._known_users:
            raise NotFound("The user does not exist.")
        if session.id in self._sessions:
            raise AlreadyExists("The session exists already.")
        self._sessions[session.id] = session

    async def session(self, session_id: str, now: float) -> tuple[WebSession, User]:
        """A session that has not expired, with its user."""
        session = self._sessions.get(session_id)
        if session is None or session.expires_at <= now:
            raise NotFound("The session does not exist.")
        return session, self._known_users[session.user_id]

    async def delete_session(self, session_id: str) -> None:
        """Sign out; unknown ids are ignored."""
        self._sessions.pop(session_id, None)

    async def delete_sessions(self, user_id: UserId) -> None:
        """Sign a user out everywhere."""
        for session in [s for s in self._sessions.values() if s.user_id == user_id]:
            del self._sessions[session.id]

    # Settings

    async def setting(self, name: str) -> str:
        """A setting of the server, empty if unset."""
        return self._settings.get(name, "")

    async def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        self._settings[name] = value

    # The log

    async def log(self, entry: LogEntry) -> None:
        """Append to the log; an entry of the same id is written once."""
        self._log.setdefault(entry.id, entry)

    async def logs(
        self, domain_id: str, query: Query, alias_id: str = "", kind: str = ""
    ) -> Page[LogEntry]:
        """A domain's log, newest first; an empty ``domain_id`` means all."""
        oldest_first = sorted(self._log.values(), key=lambda entry: entry.created_at)
        mine = (
            entry
            for entry in reversed(oldest_first)
            if domain_id in ("", entry.domain_id)
            and alias_id in ("", entry.alias_id)
            and kind in ("", entry.kind)
        )
        return list_page(mine, LogEntry, query)

    async def purge(self, now: float, log_retention_seconds: float) -> None:
        """Drop expired sessions and old log entries."""
        oldest = now - log_retention_seconds
        self._sessions = {k: s for k, s in self._sessions.items() if s.expires_at > now}
        self._log = {k: entry for k, entry in self._log.items() if entry.created_at >= oldest}
