"""Removing what is over, in groups, between which others may write."""

from fe_mail.adapters.sqlite.database import Cursor, Database, Value

__all__ = ["PURGED_AT_ONCE", "purge"]

PURGED_AT_ONCE = 500


async def purge(database: Database, table: str, key: str, condition: str, value: Value) -> None:
    """Delete the rows that meet the condition, which has one place for ``value``."""
    statement = (
        f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608  # our names
        f" (SELECT {key} FROM {table} WHERE {condition} LIMIT {PURGED_AT_ONCE}) RETURNING 1"
    )

    def work(cursor: Cursor) -> int:
        return len(cursor.execute(statement, (value,)).fetchall())

    while await database.write(work) == PURGED_AT_ONCE:
        pass
