"""
``Leases`` in the SQLite file of the counters.

Time is the host's steady clock, which all its processes share, which nobody can set, and which
begins anew with the host. So a lease that is not over yet is believed only if it could have been
given since: any that would last for longer than it was given is from before the host started,
and whoever held it is gone. ``docs/decisions/013-counters-and-leases.rst``.
"""

from collections.abc import Callable

from fe_mail.adapters.sqlite.database import Cursor, Database, Row
from fe_mail.model.errors import Conflict, Invalid
from fe_mail.model.lease import Lease

__all__ = ["MAX_NAME_LENGTH", "MAX_NOTE_LENGTH", "SQLiteLeases"]

MAX_NAME_LENGTH = 100
MAX_NOTE_LENGTH = 2000


class SQLiteLeases:
    """``steady`` tells seconds since some moment that is the same for all processes."""

    def __init__(self, database: Database, steady: Callable[[], float]) -> None:
        self._database = database
        self._steady = steady

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """None while somebody holds it."""
        if not 0 < len(name) <= MAX_NAME_LENGTH or len(owner) > MAX_NAME_LENGTH:
            raise Invalid("The name of the lease is too long.")

        def work(cursor: Cursor) -> Lease | None:
            now = self._steady()  # the lock may have been waited for
            row = _row(cursor, name)
            token, until, given, note = row or (0, 0.0, 0.0, "")
            if 0 < until - now <= given:
                return None
            lease = Lease(name, owner, token + 1, now + seconds, note)
            cursor.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)",
                (name, owner, lease.token, lease.until, seconds, note),
            )
            return lease

        return await self._database.write(work)

    async def renew(self, lease: Lease, seconds: float) -> Lease:
        """So much time from now."""

        def work(cursor: Cursor) -> Lease:
            self._check(cursor, lease)
            until = self._steady() + seconds
            cursor.execute(
                "UPDATE leases SET until = ?, seconds = ? WHERE name = ?",
                (until, seconds, lease.name),
            )
            return Lease(lease.name, lease.owner, lease.token, until, lease.note)

        return await self._database.write(work)

    async def release(self, lease: Lease, note: str | None = None) -> None:
        """End it and leave a note."""
        left = lease.note if note is None else note[:MAX_NOTE_LENGTH]

        def work(cursor: Cursor) -> None:
            self._check(cursor, lease)
            cursor.execute(
                "UPDATE leases SET until = 0, seconds = 0, note = ? WHERE name = ?",
                (left, lease.name),
            )

        await self._database.write(work)

    def holds(self, lease: Lease) -> bool:
        """True while nobody else can have it."""
        return self._steady() < lease.until

    @staticmethod
    def _check(cursor: Cursor, lease: Lease) -> None:
        """That it is still the last one given and was not released."""
        row = _row(cursor, lease.name)
        if row is None or row[0] != lease.token or not row[2]:
            raise Conflict("The lease was lost.")


def _row(cursor: Cursor, name: str) -> Row | None:
    return cursor.execute(
        "SELECT token, until, seconds, note FROM leases WHERE name = ?", (name,)
    ).fetchone()
