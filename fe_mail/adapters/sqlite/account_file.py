"""
The file of accounts (schema ``accounts``): one database, and what is kept of it for a moment.

Every method of the stores in it is one transaction. What must be unique is unique in the schema;
the one rule that an index cannot say, that a user has a domain name once, is checked in the
transaction that could break it, which holds the write lock. What routing and delivery ask for every
message is kept for a moment when there is a clock: see ``recent``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from fe_mail.adapters.recent import Recent
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch

__all__ = ["AccountFile"]

T = TypeVar("T")


class AccountFile:
    """What the stores of users, domains, aliases and sessions share."""

    def __init__(
        self,
        path: str | Path,
        threads: Threads,
        clock: IReactorTime | None = None,
        *,
        key: bytes | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.database = Database(path, "accounts", threads, key=key, watch=watch, is_lasting=True)
        self.recent = Recent(clock)

    async def change(self, work: Callable[[Cursor], T]) -> T:
        """Write; afterwards nobody gets an answer from before, even if the caller is gone."""
        done: Deferred[T] = Deferred()

        def finish(result: T | Failure) -> None:
            self.recent.forget_all()
            done.callback(result)  # takes a Failure to the errbacks

        Deferred.fromCoroutine(self.database.write(work)).addBoth(finish)
        return await done
