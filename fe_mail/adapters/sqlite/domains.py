"""Domains and their members in the file of accounts."""

from collections.abc import Mapping

from fe_mail.adapters.account_rules import check_changes, check_unchanged
from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.account_rows import DOMAINS
from fe_mail.adapters.sqlite.aliases import delete_aliases
from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.model.account import Domain, Member
from fe_mail.model.errors import AlreadyExists
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query
from fe_mail.ports.accounts import NOTHING

__all__ = ["SQLiteDomains", "delete_domain"]

_RIVAL = """
    SELECT 1 FROM members AS mine
        JOIN members AS theirs
            ON theirs.user_id = mine.user_id AND theirs.domain_id <> mine.domain_id
        JOIN domains AS other ON other.id = theirs.domain_id
    WHERE mine.domain_id = ?1 AND other.name = (SELECT name FROM domains WHERE id = ?1)
"""
_SET_MEMBER = """
    INSERT INTO members (domain_id, user_id, "group") VALUES (?, ?, ?)
    ON CONFLICT (domain_id, user_id) DO UPDATE SET "group" = excluded."group"
"""


class SQLiteDomains:
    """``fe_mail.ports.DomainStore``."""

    def __init__(self, file: AccountFile) -> None:
        self._file = file

    async def add_domain(self, domain: Domain) -> Domain:
        """Add with its members. ``AlreadyExists`` when one of them has the name already."""

        def work(cursor: Cursor) -> Domain:
            DOMAINS.insert(cursor, domain)
            cursor.executemany(
                'INSERT INTO members (domain_id, user_id, "group") VALUES (?, ?, ?)',
                [(domain.id, member.user_id, member.group) for member in domain.members],
            )
            _check_rivals(cursor, domain.id)
            return DOMAINS.one(cursor, "id = ?", domain.id)

        return await self._file.change(work)

    async def domain(self, domain_id: DomainId) -> Domain:
        """By id, with members and counts."""
        return await self._file.database.read(lambda c: DOMAINS.one(c, "id = ?", domain_id))

    async def domains_named(self, name: str) -> tuple[Domain, ...]:
        """Every account's claim on a name, oldest first."""
        return await self._file.recent.get(
            ("domains", name),
            lambda: self._file.database.read(lambda c: DOMAINS.all(c, "name = ?", name)),
        )

    async def update_domain(
        self,
        domain_id: DomainId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> Domain:
        """Change attributes, if those in ``when`` have these values."""
        check_changes(Domain, changes)

        def work(cursor: Cursor) -> Domain:
            check_unchanged(DOMAINS.one(cursor, "id = ?", domain_id), when)
            DOMAINS.update(cursor, domain_id, updated_at=now, **changes)
            _check_rivals(cursor, domain_id)
            return DOMAINS.one(cursor, "id = ?", domain_id)

        return await self._file.change(work)

    async def set_member(self, domain_id: DomainId, member: Member) -> Domain:
        """Add a member or change its group."""

        def work(cursor: Cursor) -> Domain:
            DOMAINS.one(cursor, "id = ?", domain_id)
            cursor.execute(_SET_MEMBER, (domain_id, member.user_id, member.group))
            _check_rivals(cursor, domain_id)
            return DOMAINS.one(cursor, "id = ?", domain_id)

        return await self._file.change(work)

    async def delete_domain(self, domain_id: DomainId) -> tuple[AliasId, ...]:
        """Remove with aliases and credentials; returns the aliases that are unsettled now."""
        return await self._file.change(lambda c: delete_domain(c, domain_id))

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""
        condition = "?1 IS NULL OR id IN (SELECT domain_id FROM members WHERE user_id = ?1)"
        return await self._file.database.read(lambda c: DOMAINS.page(c, query, condition, user_id))


def _check_rivals(cursor: Cursor, domain_id: str) -> None:
    if cursor.execute(_RIVAL, (domain_id,)).fetchone():
        raise AlreadyExists("A member has a domain of this name already.")


def delete_domain(cursor: Cursor, domain_id: str) -> tuple[AliasId, ...]:
    """Delete it; returns the ids of the aliases that are unsettled now."""
    gone = delete_aliases(cursor, "domain_id", domain_id)
    DOMAINS.delete(cursor, domain_id)
    return gone
