"""What owners of domains read: deliveries, failed logins."""

from typing import Protocol

from fe_mail.model.account import LogEntry
from fe_mail.model.page import Page, Query

__all__ = ["Journal"]


class Journal(Protocol):
    """
    Entries that refer to nothing, so that they outlive what they are about. Their ids begin with
    the second in which they were made (``new_id``), and that is their order.
    """

    async def log(self, entry: LogEntry) -> None:
        """Append; an entry of the same id is written once."""

    async def logs(
        self, domain_id: str, query: Query, alias_id: str = "", kind: str = ""
    ) -> Page[LogEntry]:
        """A domain's log, newest first; an empty ``domain_id`` (or alias, kind) means all."""

    async def account_logs(self, user_id: str, query: Query, kind: str = "") -> Page[LogEntry]:
        """What concerns a user's account and no domain, newest first."""

    async def purge_log(self, before: float) -> None:
        """Drop entries from before this time, some at a time."""
