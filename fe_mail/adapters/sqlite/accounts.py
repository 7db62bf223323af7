"""
The ``AccountStore`` in one SQLite file (schema ``accounts``).

Every method is one transaction. What must be unique is unique in the schema; the one rule that
an index cannot say, that a user has a domain name once, is checked in the transaction that
could break it, which holds the write lock. What routing and delivery ask for every message is kept
for a moment when there is a clock: see ``recent``. Browser sessions, settings and the log, which
are no part of an account, are in ``site_records``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from fe_mail.adapters.account_rules import check_changes, check_unchanged
from fe_mail.adapters.recent import Recent
from fe_mail.adapters.sqlite.account_checking import check_accounts
from fe_mail.adapters.sqlite.account_rows import ALIASES, CREDENTIALS, DOMAINS, USERS
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.site_records import SQLiteSiteRecords
from fe_mail.adapters.threads import Threads
from fe_mail.model.account import Alias, Credential, Domain, MailboxKeys, Member, RouteRows, User
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query
from fe_mail.ports.accounts import EPOCH_OF_THE_GONE, NOTHING, UNSETTLED_AT_ONCE

__all__ = ["SQLiteAccountStore"]

T = TypeVar("T")

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
# After the memberships of a user went: the first admin of each of the domains inherits.
_INHERIT = """
    UPDATE aliases SET user_id = heir.user_id
    FROM (
        SELECT domain_id, user_id, min(serial) FROM members
        WHERE "group" = 'admin' GROUP BY domain_id
    ) AS heir
    WHERE aliases.user_id = ? AND aliases.domain_id = heir.domain_id
"""
_COME_FIRST = "INSERT INTO first_user VALUES (1, ?) ON CONFLICT DO NOTHING RETURNING one"
_NOTE_UNSETTLED = "INSERT OR REPLACE INTO unsettled (alias_id, epoch, due_at) VALUES (?, ?, ?)"
_CLAIMS = f"""
    SELECT {DOMAINS.columns}, owner_is_admin FROM domain_rows WHERE name = ?
    ORDER BY has_txt_record DESC, owner_is_admin DESC, created_at, serial
"""  # noqa: S608  # column names of ours


class SQLiteAccountStore(SQLiteSiteRecords):
    """Durable accounts in a file that processes may share; encrypted if it has a key."""

    def __init__(
        self,
        path: str | Path,
        threads: Threads,
        clock: IReactorTime | None = None,
        *,
        key: bytes | None = None,
    ) -> None:
        super().__init__(Database(path, "accounts", threads, key=key))
        self._recent = Recent(clock)

    async def start(self) -> None:
        """Open, create or upgrade the file."""
        await self._database.open()

    async def stop(self) -> None:
        """Finish and close."""
        await self._database.close()

    async def _change(self, work: Callable[[Cursor], T]) -> T:
        """Write; afterwards nobody gets an answer from before, even if the caller is gone."""
        done: Deferred[T] = Deferred()

        def finish(result: T | Failure) -> None:
            self._recent.forget_all()
            done.callback(result)  # takes a Failure to the errbacks

        Deferred.fromCoroutine(self._database.write(work)).addBoth(finish)
        return await done

    # Users

    async def add_user(self, user: User) -> User:
        """Add; the very first user of a server gets group ``admin``."""

        def work(cursor: Cursor) -> User:
            USERS.insert(cursor, user, email_key=user.email.casefold())
            if cursor.execute(_COME_FIRST, (user.id,)).fetchall():
                USERS.update(cursor, user.id, group="admin")
            return USERS.one(cursor, "id = ?", user.id)

        return await self._change(work)

    async def user(self, user_id: UserId) -> User:
        """By id."""
        return await self._recent.get(
            ("user", user_id),
            lambda: self._database.read(lambda c: USERS.one(c, "id = ?", user_id)),
        )

    async def user_by_email(self, email: str) -> User:
        """By e-mail address, without case."""
        key = email.casefold()
        return await self._database.read(lambda c: USERS.one(c, "email_key = ?", key))

    async def user_by_token(self, api_token_hash: str) -> User:
        """By the sha256 hex of an API token."""
        condition = "api_token_hash = ? AND api_token_hash <> ''"
        return await self._database.read(lambda c: USERS.one(c, condition, api_token_hash))

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

        return await self._change(work)

    async def delete_user(self, user_id: UserId) -> tuple[AliasId, ...]:
        """Remove with what hangs on the user; returns the aliases that are unsettled now."""

        def work(cursor: Cursor) -> tuple[AliasId, ...]:
            USERS.one(cursor, "id = ?", user_id)
            mine = cursor.execute(
                "DELETE FROM members WHERE user_id = ? RETURNING domain_id", (user_id,)
            ).fetchall()
            gone: list[AliasId] = []
            for (domain_id,) in mine:
                domain = DOMAINS.one(cursor, "id = ?", domain_id)
                if not any(member.group == "admin" for member in domain.members):
                    gone.extend(_delete_domain(cursor, domain_id))
            cursor.execute(_INHERIT, (user_id,))
            gone.extend(_delete_aliases(cursor, "user_id", user_id))
            USERS.delete(cursor, user_id)
            return tuple(gone)

        return await self._change(work)

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""
        return await self._database.read(lambda c: USERS.page(c, query, "1"))

    # Domains

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

        return await self._change(work)

    async def domain(self, domain_id: DomainId) -> Domain:
        """By id, with members and counts."""
        return await self._database.read(lambda c: DOMAINS.one(c, "id = ?", domain_id))

    async def domains_named(self, name: str) -> tuple[Domain, ...]:
        """Every account's claim on a name, oldest first."""
        return await self._recent.get(
            ("domains", name),
            lambda: self._database.read(lambda c: DOMAINS.all(c, "name = ?", name)),
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

        return await self._change(work)

    async def set_member(self, domain_id: DomainId, member: Member) -> Domain:
        """Add a member or change its group."""

        def work(cursor: Cursor) -> Domain:
            DOMAINS.one(cursor, "id = ?", domain_id)
            cursor.execute(_SET_MEMBER, (domain_id, member.user_id, member.group))
            _check_rivals(cursor, domain_id)
            return DOMAINS.one(cursor, "id = ?", domain_id)

        return await self._change(work)

    async def delete_domain(self, domain_id: DomainId) -> tuple[AliasId, ...]:
        """Remove with aliases and credentials; returns the aliases that are unsettled now."""
        return await self._change(lambda c: _delete_domain(c, domain_id))

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""
        condition = "?1 IS NULL OR id IN (SELECT domain_id FROM members WHERE user_id = ?1)"
        return await self._database.read(lambda c: DOMAINS.page(c, query, condition, user_id))

    # Aliases

    async def add_alias(self, alias: Alias) -> Alias:
        """Add. Unique: name within the domain."""

        def work(cursor: Cursor) -> Alias:
            ALIASES.insert(cursor, alias)
            return ALIASES.one(cursor, "id = ?", alias.id)

        return await self._change(work)

    async def alias(self, alias_id: AliasId) -> Alias:
        """
        By id. Never from memory: mail sealed to the key of a mailbox that another process has
        just replaced could not be opened by anybody.
        """
        return await self._database.read(lambda c: ALIASES.one(c, "id = ?", alias_id))

    async def alias_named(self, domain_id: DomainId, name: str) -> Alias:
        """By domain and lower-case name."""
        condition = "domain_id = ? AND name = ?"
        return await self._database.read(lambda c: ALIASES.one(c, condition, domain_id, name))

    async def aliases_at(self, local: str, domain_name: str) -> tuple[tuple[Alias, Domain], ...]:
        """Every alias of this exact address with its domain, in the order of ``route_rows``."""

        def work(cursor: Cursor) -> tuple[tuple[Alias, Domain], ...]:
            return tuple(
                (alias, domain)
                for domain, _ in _claims(cursor, domain_name)
                for alias in ALIASES.all(cursor, "domain_id = ? AND name = ?", domain.id, local)
            )

        return await self._database.read(work)

    async def update_alias(
        self,
        alias_id: AliasId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> Alias:
        """Change attributes, if those in ``when`` have these values."""
        check_changes(Alias, changes)

        def work(cursor: Cursor) -> Alias:
            check_unchanged(ALIASES.one(cursor, "id = ?", alias_id), when)
            ALIASES.update(cursor, alias_id, updated_at=now, **changes)
            return ALIASES.one(cursor, "id = ?", alias_id)

        return await self._change(work)

    async def delete_alias(self, alias_id: AliasId) -> Alias:
        """Remove with credentials; returns what it was."""

        def work(cursor: Cursor) -> Alias:
            alias = ALIASES.one(cursor, "id = ?", alias_id)
            _delete_aliases(cursor, "id", alias_id)
            return alias

        return await self._change(work)

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """The aliases of a domain; with ``user_id`` only that user's."""
        condition = "domain_id = ?1 AND (?2 IS NULL OR user_id = ?2)"
        return await self._database.read(
            lambda c: ALIASES.page(c, query, condition, domain_id, user_id)
        )

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """Every claim on the domain with what routing ``local`` needs."""

        def work(cursor: Cursor) -> tuple[RouteRows, ...]:
            return tuple(
                _route_rows(cursor, local, domain, owner_is_admin)
                for domain, owner_is_admin in _claims(cursor, domain_name)
            )

        return await self._recent.get(
            ("route", local, domain_name), lambda: self._database.read(work)
        )

    # Credentials

    async def credentials(self, alias_id: AliasId) -> tuple[Credential, ...]:
        """All credentials of an alias, oldest first."""
        return await self._database.read(lambda c: CREDENTIALS.all(c, "alias_id = ?", alias_id))

    async def keys(self, alias_id: AliasId) -> MailboxKeys:
        """Everything that opens and seals the alias's mailbox."""
        return await self._database.read(lambda c: _keys(c, alias_id))

    async def set_keys(self, keys: MailboxKeys, now: float, due_at: float) -> MailboxKeys:
        """These and no others, if the epoch is still the one of ``keys``."""

        def work(cursor: Cursor) -> MailboxKeys:
            epoch = _raise_epoch(cursor, keys.alias_id, keys.epoch)
            ALIASES.update(cursor, keys.alias_id, updated_at=now, sealing_key=keys.sealing_key)
            _replace_credentials(cursor, keys.alias_id, keys.credentials)
            cursor.execute(_NOTE_UNSETTLED, (keys.alias_id, epoch, due_at))
            return _keys(cursor, keys.alias_id)

        return await self._change(work)

    async def fence(self, alias_id: AliasId) -> MailboxKeys:
        """Raise the epoch and change nothing else."""

        def work(cursor: Cursor) -> MailboxKeys:
            _raise_epoch(cursor, alias_id, _keys(cursor, alias_id).epoch)
            return _keys(cursor, alias_id)

        return await self._change(work)

    async def unsettled(self, now: float, after: str = "") -> tuple[AliasId, ...]:
        """Aliases that changed their keys or are gone, and that something has to follow."""
        statement = (
            "SELECT alias_id FROM unsettled WHERE due_at <= ? AND alias_id > ?"
            " ORDER BY alias_id LIMIT ?"
        )
        bindings = (now, after, UNSETTLED_AT_ONCE)
        rows = await self._database.read(lambda c: c.execute(statement, bindings).fetchall())
        return tuple(AliasId(alias_id) for (alias_id,) in rows)

    async def settled(self, alias_id: AliasId, epoch: int) -> None:
        """The note goes, unless a later change made it."""
        statement = "DELETE FROM unsettled WHERE alias_id = ? AND epoch <= ?"
        await self._database.execute(statement, (alias_id, epoch))

    async def touch_credential(self, credential_id: str, now: float) -> None:
        """Record that it was used; one that is gone is ignored."""
        statement = "UPDATE credentials SET last_used_at = ? WHERE id = ?"
        await self._database.execute(statement, (now, credential_id))

    # Checking

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return await self._database.read(check_accounts)


def _check_rivals(cursor: Cursor, domain_id: str) -> None:
    if cursor.execute(_RIVAL, (domain_id,)).fetchone():
        raise AlreadyExists("A member has a domain of this name already.")


def _delete_domain(cursor: Cursor, domain_id: str) -> tuple[AliasId, ...]:
    gone = _delete_aliases(cursor, "domain_id", domain_id)
    DOMAINS.delete(cursor, domain_id)
    return gone


def _delete_aliases(cursor: Cursor, column: str, value: str) -> tuple[AliasId, ...]:
    """Delete them with a note for each that had keys; returns the ids of those, oldest first."""
    rows = cursor.execute(
        f"SELECT id FROM aliases WHERE {column} = ? AND (epoch > 0 OR sealing_key <> x'')"  # noqa: S608
        " ORDER BY serial",
        (value,),
    ).fetchall()
    cursor.executemany(
        _NOTE_UNSETTLED, [(alias_id, EPOCH_OF_THE_GONE, 0.0) for (alias_id,) in rows]
    )
    cursor.execute(f"DELETE FROM aliases WHERE {column} = ?", (value,))  # noqa: S608
    return tuple(AliasId(alias_id) for (alias_id,) in rows)


def _keys(cursor: Cursor, alias_id: AliasId) -> MailboxKeys:
    statement = "SELECT epoch, sealing_key FROM aliases WHERE id = ?"
    row = cursor.execute(statement, (alias_id,)).fetchone()
    if row is None:
        raise NotFound(ALIASES.missing)
    epoch, sealing_key = row
    credentials = CREDENTIALS.all(cursor, "alias_id = ?", alias_id)
    return MailboxKeys(
        alias_id=alias_id, epoch=epoch, sealing_key=sealing_key, credentials=credentials
    )


def _raise_epoch(cursor: Cursor, alias_id: AliasId, epoch: int) -> int:
    """The next one. ``NotFound``; ``Conflict`` when this is not the one that the alias has."""
    ALIASES.one(cursor, "id = ?", alias_id)
    statement = "UPDATE aliases SET epoch = epoch + 1 WHERE id = ? AND epoch = ? RETURNING epoch"
    raised = cursor.execute(statement, (alias_id, epoch)).fetchall()
    if not raised:
        raise Conflict
    return int(raised[0][0])


def _replace_credentials(
    cursor: Cursor, alias_id: AliasId, credentials: Sequence[Credential]
) -> None:
    if any(credential.alias_id != alias_id for credential in credentials):
        raise NotFound("The credential belongs to another alias.")
    kept = {credential.id for credential in credentials}
    known = {each.id for each in CREDENTIALS.all(cursor, "alias_id = ?", alias_id)}
    for credential_id in known - kept:
        CREDENTIALS.delete(cursor, credential_id)
    for credential in credentials:
        if credential.id not in known:
            CREDENTIALS.insert(cursor, credential)


def _claims(cursor: Cursor, name: str) -> list[tuple[Domain, bool]]:
    rows = cursor.execute(_CLAIMS, (name,)).fetchall()
    return [(DOMAINS.value(row), bool(row[-1])) for row in rows]


def _route_rows(cursor: Cursor, local: str, domain: Domain, owner_is_admin: bool) -> RouteRows:
    of_domain = "domain_id = ? AND"
    named: tuple[Alias, ...] = ()
    if local[:1] not in ("*", "/"):
        named = ALIASES.all(cursor, f"{of_domain} name = ?", domain.id, local)
    catchall = ALIASES.all(cursor, f"{of_domain} name = '*'", domain.id)
    return RouteRows(
        domain=domain,
        owner_is_admin=owner_is_admin,
        named=next(iter(named), None),
        patterns=ALIASES.all(cursor, f"{of_domain} name >= '/' AND name < '0'", domain.id),
        catchall=next(iter(catchall), None),
    )
