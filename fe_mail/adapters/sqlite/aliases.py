"""Aliases, their keys and the outbox in the file of accounts."""

import unicodedata
from collections.abc import Mapping, Sequence

from fe_mail.adapters.account_rules import check_changes, check_unchanged
from fe_mail.adapters.sqlite.account_file import AccountFile
from fe_mail.adapters.sqlite.account_rows import ALIASES, CREDENTIALS, DOMAINS
from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.model.account import Alias, Credential, Domain, MailboxKeys, RouteRows
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query
from fe_mail.ports.accounts import EPOCH_OF_THE_GONE, NOTHING, UNSETTLED_AT_ONCE

__all__ = ["SQLiteAliases", "delete_aliases"]

STORAGE_BATCH = 1_000  # aliases of one transaction
_NOTE_UNSETTLED = "INSERT OR REPLACE INTO unsettled (alias_id, epoch, due_at) VALUES (?, ?, ?)"
_CLAIMS = f"""
    SELECT {DOMAINS.columns}, owner_is_admin FROM domain_rows WHERE name = ?
    ORDER BY has_txt_record DESC, owner_is_admin DESC, created_at, serial
"""  # noqa: S608  # column names of ours


class SQLiteAliases:
    """``fe_mail.ports.AliasStore``."""

    def __init__(self, file: AccountFile) -> None:
        self._file = file

    async def add_alias(self, alias: Alias) -> Alias:
        """Add. Unique: name within the domain."""

        def work(cursor: Cursor) -> Alias:
            _refuse_other_form(cursor, alias.domain_id, alias.name, alias.id)
            ALIASES.insert(cursor, alias)
            return ALIASES.one(cursor, "id = ?", alias.id)

        return await self._file.change(work)

    async def alias(self, alias_id: AliasId) -> Alias:
        """
        By id. Never from memory: mail sealed to the key of a mailbox that another process has
        just replaced could not be opened by anybody.
        """
        return await self._file.database.read(lambda c: ALIASES.one(c, "id = ?", alias_id))

    async def alias_named(self, domain_id: DomainId, name: str) -> Alias:
        """By domain and name, in whichever form of Unicode it was stored."""

        def work(cursor: Cursor) -> Alias:
            for alias in _named(cursor, domain_id, name):
                return alias
            raise NotFound(ALIASES.missing)

        return await self._file.database.read(work)

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
            before = ALIASES.one(cursor, "id = ?", alias_id)
            check_unchanged(before, when)
            if isinstance(name := changes.get("name"), str):
                _refuse_other_form(cursor, before.domain_id, name, alias_id)
            ALIASES.update(cursor, alias_id, updated_at=now, **changes)
            return ALIASES.one(cursor, "id = ?", alias_id)

        return await self._file.change(work)

    async def note_storage(self, used_octets: Mapping[AliasId, int]) -> None:
        """What the mailboxes of all aliases use; only what changed is written."""

        def look(cursor: Cursor) -> list[tuple[int, str]]:
            rows = cursor.execute("SELECT id, storage_used FROM aliases").fetchall()
            return [
                (used, alias_id)
                for alias_id, known in rows
                if (used := used_octets.get(AliasId(alias_id), 0)) != known
            ]

        grown = await self._file.database.read(look)
        sql = "UPDATE aliases SET storage_used = ? WHERE id = ?"
        for start in range(0, len(grown), STORAGE_BATCH):
            batch = grown[start : start + STORAGE_BATCH]

            def work(cursor: Cursor, batch: list[tuple[int, str]] = batch) -> None:
                cursor.executemany(sql, batch)

            await self._file.change(work)

    async def delete_alias(self, alias_id: AliasId) -> Alias:
        """Remove with credentials; returns what it was."""

        def work(cursor: Cursor) -> Alias:
            alias = ALIASES.one(cursor, "id = ?", alias_id)
            delete_aliases(cursor, "id", alias_id)
            return alias

        return await self._file.change(work)

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """The aliases of a domain; with ``user_id`` only that user's."""
        condition = "domain_id = ?1 AND (?2 IS NULL OR user_id = ?2)"
        return await self._file.database.read(
            lambda c: ALIASES.page(c, query, condition, domain_id, user_id)
        )

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """Every claim on the domain with what routing ``local`` needs."""

        def work(cursor: Cursor) -> tuple[RouteRows, ...]:
            return tuple(
                _route_rows(cursor, local, domain, owner_is_admin)
                for domain, owner_is_admin in _claims(cursor, domain_name)
            )

        return await self._file.recent.get(
            ("route", local, domain_name), lambda: self._file.database.read(work)
        )

    async def credentials(self, alias_id: AliasId) -> tuple[Credential, ...]:
        """All credentials of an alias, oldest first."""
        return await self._file.database.read(
            lambda c: CREDENTIALS.all(c, "alias_id = ?", alias_id)
        )

    async def keys(self, alias_id: AliasId) -> MailboxKeys:
        """Everything that opens and seals the alias's mailbox."""
        return await self._file.database.read(lambda c: _keys(c, alias_id))

    async def set_keys(self, keys: MailboxKeys, now: float, due_at: float) -> MailboxKeys:
        """These and no others, if the epoch is still the one of ``keys``."""

        def work(cursor: Cursor) -> MailboxKeys:
            epoch = _raise_epoch(cursor, keys.alias_id, keys.epoch)
            ALIASES.update(cursor, keys.alias_id, updated_at=now, sealing_key=keys.sealing_key)
            _replace_credentials(cursor, keys.alias_id, keys.credentials)
            cursor.execute(_NOTE_UNSETTLED, (keys.alias_id, epoch, due_at))
            return _keys(cursor, keys.alias_id)

        return await self._file.change(work)

    async def fence(self, alias_id: AliasId) -> MailboxKeys:
        """Raise the epoch and change nothing else."""

        def work(cursor: Cursor) -> MailboxKeys:
            _raise_epoch(cursor, alias_id, _keys(cursor, alias_id).epoch)
            return _keys(cursor, alias_id)

        return await self._file.change(work)

    async def unsettled(self, now: float, after: str = "") -> tuple[AliasId, ...]:
        """Aliases that changed their keys or are gone, and that something has to follow."""
        statement = (
            "SELECT alias_id FROM unsettled WHERE due_at <= ? AND alias_id > ?"
            " ORDER BY alias_id LIMIT ?"
        )
        bindings = (now, after, UNSETTLED_AT_ONCE)
        rows = await self._file.database.read(lambda c: c.execute(statement, bindings).fetchall())
        return tuple(AliasId(alias_id) for (alias_id,) in rows)

    async def settled(self, alias_id: AliasId, epoch: int) -> None:
        """The note goes, unless a later change made it."""
        statement = "DELETE FROM unsettled WHERE alias_id = ? AND epoch <= ?"
        await self._file.database.execute(statement, (alias_id, epoch))

    async def touch_credential(self, credential_id: str, now: float) -> None:
        """Record that it was used; one that is gone is ignored."""
        statement = "UPDATE credentials SET last_used_at = ? WHERE id = ?"
        await self._file.database.execute(statement, (now, credential_id))


def _claims(cursor: Cursor, name: str) -> list[tuple[Domain, bool]]:
    rows = cursor.execute(_CLAIMS, (name,)).fetchall()
    return [(DOMAINS.value(row), bool(row[-1])) for row in rows]


def _named(cursor: Cursor, domain_id: str, name: str) -> tuple[Alias, ...]:
    """
    The alias of a name, the one that is spelled like it first.

    Names are stored in NFC; before version 0.2 they were stored as they were typed.
    """
    if name.isascii():
        return ALIASES.all(cursor, "domain_id = ? AND name = ?", domain_id, name)
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    found = ALIASES.all(cursor, "domain_id = ? AND name IN (?, ?)", domain_id, *forms)
    return tuple(sorted(found, key=lambda alias: alias.name != name))


def _refuse_other_form(cursor: Cursor, domain_id: str, name: str, alias_id: str) -> None:
    if any(alias.id != alias_id for alias in _named(cursor, domain_id, name)):
        raise AlreadyExists


def _route_rows(cursor: Cursor, local: str, domain: Domain, owner_is_admin: bool) -> RouteRows:
    of_domain = "domain_id = ? AND"
    named: tuple[Alias, ...] = ()
    if local[:1] not in ("*", "/"):
        named = _named(cursor, domain.id, local)
    catchall = ALIASES.all(cursor, f"{of_domain} name = '*'", domain.id)
    return RouteRows(
        domain=domain,
        owner_is_admin=owner_is_admin,
        named=next(iter(named), None),
        patterns=ALIASES.all(cursor, f"{of_domain} name >= '/' AND name < '0'", domain.id),
        catchall=next(iter(catchall), None),
    )


def delete_aliases(cursor: Cursor, column: str, value: str) -> tuple[AliasId, ...]:
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
