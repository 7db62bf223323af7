"""Users in the file of accounts."""

from collections.abc import Mapping

from fe_mail.adapters.account_rules import check_changes, check_unchanged
from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.account_rows import DOMAINS, USERS
from fe_mail.adapters.sqlite.aliases import delete_aliases
from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.adapters.sqlite.domains import delete_domain
from fe_mail.model.account import User
from fe_mail.model.errors import Conflict
from fe_mail.model.ids import AliasId, UserId
from fe_mail.model.page import Page, Query
from fe_mail.ports.accounts import NOTHING

__all__ = ["SQLiteUsers"]

_OTHER_ADMIN = """SELECT 1 FROM users WHERE "group" = 'admin' AND id <> ? LIMIT 1"""
_COME_FIRST = "INSERT INTO first_user VALUES (1, ?) ON CONFLICT DO NOTHING RETURNING one"
# After the memberships of a user went: the first admin of each of the domains inherits.
_INHERIT = """
    UPDATE aliases SET user_id = heir.user_id
    FROM (
        SELECT domain_id, user_id, min(serial) FROM members
        WHERE "group" = 'admin' GROUP BY domain_id
    ) AS heir
    WHERE aliases.user_id = ? AND aliases.domain_id = heir.domain_id
"""


class SQLiteUsers:
    """``fe_mail.ports.UserStore``."""

    def __init__(self, file: AccountFile) -> None:
        self._file = file

    async def add_user(self, user: User) -> User:
        """Add; the very first user of a server gets group ``admin``."""

        def work(cursor: Cursor) -> User:
            USERS.insert(cursor, user, email_key=user.email.casefold())
            if cursor.execute(_COME_FIRST, (user.id,)).fetchall():
                USERS.update(cursor, user.id, group="admin")
            return USERS.one(cursor, "id = ?", user.id)

        return await self._file.change(work)

    async def user(self, user_id: UserId) -> User:
        """By id."""
        return await self._file.recent.get(
            ("user", user_id),
            lambda: self._file.database.read(lambda c: USERS.one(c, "id = ?", user_id)),
        )

    async def user_by_email(self, email: str) -> User:
        """By e-mail address, without case."""
        key = email.casefold()
        return await self._file.database.read(lambda c: USERS.one(c, "email_key = ?", key))

    async def user_by_token(self, api_token_hash: str) -> User:
        """By the sha256 hex of an API token."""
        condition = "api_token_hash = ? AND api_token_hash <> ''"
        return await self._file.database.read(lambda c: USERS.one(c, condition, api_token_hash))

    async def update_user(
        self,
        user_id: UserId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> User:
        """Change attributes, if those in ``when`` have these values."""
        check_changes(User, changes)
        if "email" in changes:
            changes["email_key"] = str(changes["email"]).casefold()

        def work(cursor: Cursor) -> User:
            check_unchanged(USERS.one(cursor, "id = ?", user_id), when)
            USERS.update(cursor, user_id, updated_at=now, **changes)
            return USERS.one(cursor, "id = ?", user_id)

        return await self._file.change(work)

    async def delete_user(
        self, user_id: UserId, *, keeps_an_admin: bool = False
    ) -> tuple[AliasId, ...]:
        """Remove with what hangs on the user; returns the aliases that are unsettled now."""

        def work(cursor: Cursor) -> tuple[AliasId, ...]:
            user = USERS.one(cursor, "id = ?", user_id)
            is_kept = keeps_an_admin and user.group == "admin"
            if is_kept and not cursor.execute(_OTHER_ADMIN, (user_id,)).fetchall():
                raise Conflict("The last admin of the server stays.")
            mine = cursor.execute(
                "DELETE FROM members WHERE user_id = ? RETURNING domain_id", (user_id,)
            ).fetchall()
            gone: list[AliasId] = []
            for (domain_id,) in mine:
                domain = DOMAINS.one(cursor, "id = ?", domain_id)
                if not any(member.group == "admin" for member in domain.members):
                    gone.extend(delete_domain(cursor, domain_id))
            cursor.execute(_INHERIT, (user_id,))
            gone.extend(delete_aliases(cursor, "user_id", user_id))
            USERS.delete(cursor, user_id)
            return tuple(gone)

        return await self._file.change(work)

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""
        return await self._file.database.read(lambda c: USERS.page(c, query, "1"))

    async def is_owned(self) -> bool:
        """Has somebody come first?"""
        statement = "SELECT EXISTS (SELECT 1 FROM first_user)"
        rows = await self._file.database.read(lambda c: c.execute(statement).fetchall())
        return bool(rows[0][0])
