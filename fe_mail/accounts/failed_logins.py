"""
What owners read of failed logins: of mail clients to their aliases, of browsers to their account.

An entry is written after the answer, which must not come later because the name exists. Names that
nobody has leave no entry, nor does the same wrong password again within the hour: a forgotten
device would hide the rest.
"""

from typing import Any

from twisted.internet.interfaces import IReactorTime

from fe_mail.errands import Errands
from fe_mail.model.account import LogEntry, User
from fe_mail.model.ids import AliasId, new_id
from fe_mail.model.page import Query
from fe_mail.ports import Journal

__all__ = ["KIND", "SHOWN", "FailedLogins"]

KIND = "login-failed"
SHOWN = 20  # of the newest


class FailedLogins:
    """Writes and reads the entries."""

    def __init__(self, journal: Journal, errands: Errands, clock: IReactorTime) -> None:
        self._journal = journal
        self._errands = errands
        self._clock = clock

    def record(self, protocol: str, name: str, ip: str, *, is_last: bool, **of: Any) -> None:
        """
        One more; ``of`` are the ids of whom it concerns.

        ``is_last``: from now on the name is refused at that address.
        """
        now = self._clock.seconds()
        detail = {"protocol": protocol, "address": name}
        if is_last:
            detail["note"] = "refused from there for up to an hour"
        entry = LogEntry(id=new_id(now), created_at=now, kind=KIND, remote=ip, detail=detail, **of)
        self._errands.later("Recording a failed login", lambda: self._journal.log(entry))

    async def of_user(self, user: User) -> tuple[LogEntry, ...]:
        """The newest ones to the web account."""
        return (await self._journal.account_logs(user.id, Query(limit=SHOWN), KIND)).items

    async def of_alias(self, alias_id: AliasId) -> tuple[LogEntry, ...]:
        """The newest ones to the mailbox."""
        return (await self._journal.logs("", Query(limit=SHOWN), alias_id, KIND)).items
