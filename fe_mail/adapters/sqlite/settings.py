"""Settings of the server in the file of accounts."""

from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.database import Cursor

__all__ = ["SQLiteSettings"]


class SQLiteSettings:
    """``fe_mail.ports.SettingStore``."""

    def __init__(self, file: AccountFile) -> None:
        self._file = file

    async def setting(self, name: str) -> str:
        """Empty as long as nobody decided."""

        def work(cursor: Cursor) -> str:
            row = cursor.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            return str(row[0]) if row else ""

        return await self._file.database.read(work)

    async def set_setting(self, name: str, value: str) -> None:
        """From now on; empty takes the decision back."""

        def work(cursor: Cursor) -> None:
            if value:
                cursor.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
            else:
                cursor.execute("DELETE FROM settings WHERE name = ?", (name,))

        await self._file.database.write(work)
