"""The accounts: users, domains, aliases, sessions and settings in one SQLite file."""

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.account_checking import check_accounts
from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.aliases import SQLiteAliases
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.domains import SQLiteDomains
from fe_mail.adapters.sqlite.sessions import SQLiteSessions
from fe_mail.adapters.sqlite.settings import SQLiteSettings
from fe_mail.adapters.sqlite.users import SQLiteUsers
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch

__all__ = ["SQLiteAccountStore"]


class SQLiteAccountStore(SQLiteUsers, SQLiteDomains, SQLiteAliases, SQLiteSessions, SQLiteSettings):
    """Five ports in a file that processes may share; encrypted if it has a key."""

    def __init__(
        self,
        path: str | Path,
        threads: Threads,
        clock: IReactorTime | None = None,
        *,
        key: bytes | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(AccountFile(path, threads, clock, key=key, watch=watch))

    @property
    def database(self) -> Database:
        """The file itself."""
        return self._file.database

    async def start(self, opening: Opening = Opening.NEW) -> None:
        """Open, create or upgrade the file."""
        await self.database.open(opening)

    async def stop(self) -> None:
        """Finish and close."""
        await self.database.close()

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return await self.database.read(check_accounts)
