"""
The ``AccountStore`` of a test: the specification of what the durable ones do.

Rows are kept as they were given; what the store fills in (member addresses, counts, the domain
of an alias) is computed when a row is handed out. Dictionaries keep the order of insertion,
which decides between rows of the same time. Browser sessions, settings and the log, which are no
part of an account, are in ``site_records``.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import attrs

from fe_mail.adapters.account_rules import check_changes, list_page
from fe_mail.adapters.memory.site_records import MemorySiteRecords
from fe_mail.model.account import Alias, Credential, Domain, Member, RouteRows, User
from fe_mail.model.errors import AlreadyExists, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query

__all__ = ["MemoryAccountStore"]

_Aged = TypeVar("_Aged", User, Domain, Alias, Credential)


class MemoryAccountStore(MemorySiteRecords):
    """Accounts in the memory of this process."""

    def __init__(self) -> None:
        self._users: dict[UserId, User] = {}
        super().__init__(self._users)
        self._domains: dict[DomainId, Domain] = {}
        self._aliases: dict[AliasId, Alias] = {}
        self._credentials: dict[str, Credential] = {}

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    # Users

    async def add_user(self, user: User) -> User:
        """Add; the very first user of a server gets group ``admin``."""
        self._check_user(user)
        if user.id in self._users:
            raise AlreadyExists("The user exists already.")
        if not self._users:
            user = attrs.evolve(user, group="admin")
        self._users[user.id] = user
        return user

    async def user(self, user_id: UserId) -> User:
        """By id."""
        try:
            return self._users[user_id]
        except KeyError:
            raise NotFound("The user does not exist.") from None

    async def user_by_email(self, email: str) -> User:
        """By e-mail address, without case."""
        for user in self._users.values():
            if user.email.casefold() == email.casefold():
                return user
        raise NotFound("The user does not exist.")

    async def user_by_token(self, api_token_hash: str) -> User:
        """By the sha256 hex of an API token."""
        for user in self._users.values():
            if api_token_hash and user.api_token_hash == api_token_hash:
                return user
        raise NotFound("The user does not exist.")

    async def update_user(self, user_id: UserId, now: float, **changes: object) -> User:
        """Change attributes."""
        check_changes(User, changes)
        user = attrs.evolve(await self.user(user_id), updated_at=now, **changes)  # type: ignore[arg-type]  # names were checked
        self._check_user(user)
        self._users[user_id] = user
        return user

    async def delete_user(self, user_id: UserId) -> tuple[AliasId, ...]:
        """Remove with what hangs on the user; returns the ids of the aliases that went."""
        await self.user(user_id)
        gone: list[AliasId] = []
        for domain in [d for d in self._domains.values() if _member(d, user_id)]:
            members = tuple(m for m in domain.members if m.user_id != user_id)
            self._domains[domain.id] = attrs.evolve(domain, members=members)
            if not _admins(self._domains[domain.id]):
                gone.extend(await self.delete_domain(domain.id))
        for alias in [a for a in self._aliases.values() if a.user_id == user_id]:
            heirs = _admins(self._domains[alias.domain_id])
            if heirs:
                self._aliases[alias.id] = attrs.evolve(alias, user_id=heirs[0])
            else:
                await self.delete_alias(alias.id)
                gone.append(alias.id)
        await self.delete_sessions(user_id)
        del self._users[user_id]
        return tuple(gone)

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""
        return list_page(_by_age(self._users.values()), User, query)

    def _check_user(self, user: User) -> None:
        for other in self._users.values():
            if other.id == user.id:
                continue
            if other.email.casefold() == user.email.casefold():
                raise AlreadyExists("A user of this address exists already.")
            if user.api_token_hash and other.api_token_hash == user.api_token_hash:
                raise AlreadyExists("The token is taken.")

    # Domains

    async def add_domain(self, domain: Domain) -> Domain:
        """Add with its members. ``AlreadyExists`` when one of them has the name already."""
        if domain.id in self._domains:
            raise AlreadyExists("The domain exists already.")
        self._check_domain(domain)
        self._domains[domain.id] = domain
        return self._filled(domain)

    async def domain(self, domain_id: DomainId) -> Domain:
        """By id, with members and counts."""
        return self._filled(self._bare_domain(domain_id))

    async def domains_named(self, name: str) -> tuple[Domain, ...]:
        """Every account's claim on a name, oldest first."""
        return tuple(self._filled(d) for d in _by_age(self._domains.values()) if d.name == name)

    async def update_domain(self, domain_id: DomainId, now: float, **changes: object) -> Domain:
        """Change attributes."""
        check_changes(Domain, changes)
        domain = attrs.evolve(self._bare_domain(domain_id), updated_at=now, **changes)  # type: ignore[arg-type]  # names were checked
        self._check_domain(domain)
        self._domains[domain_id] = domain
        return self._filled(domain)

    async def set_member(self, domain_id: DomainId, member: Member) -> Domain:
        """Add a member or change its group."""
        domain = self._bare_domain(domain_id)
        if _member(domain, member.user_id):
            members = tuple(member if m.user_id == member.user_id else m for m in domain.members)
        else:
            members = (*domain.members, member)
        domain = attrs.evolve(domain, members=members)
        self._check_domain(domain)
        self._domains[domain_id] = domain
        return self._filled(domain)

    async def delete_domain(self, domain_id: DomainId) -> tuple[AliasId, ...]:
        """Remove with aliases and credentials; returns the ids of the aliases that went."""
        self._bare_domain(domain_id)
        gone = tuple(a.id for a in self._aliases.values() if a.domain_id == domain_id)
        for alias_id in gone:
            await self.delete_alias(alias_id)
        del self._domains[domain_id]
        return gone

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""
        domains = _by_age(self._domains.values())
        mine = (d for d in domains if user_id is None or _member(d, user_id))
        return list_page((self._filled(domain) for domain in mine), Domain, query)

    def _bare_domain(self, domain_id: DomainId) -> Domain:
        try:
            return self._domains[domain_id]
        except KeyError:
            raise NotFound("The domain does not exist.") from None

    def _check_domain(self, domain: Domain) -> None:
        members = {member.user_id for member in domain.members}
        if not members <= set(self._users):
            raise NotFound("The user does not exist.")
        if len(members) != len(domain.members):
            raise AlreadyExists("A user is a member twice.")
        for other in self._domains.values():
            is_rival = other.id != domain.id and other.name == domain.name
            if is_rival and members & {member.user_id for member in other.members}:
                raise AlreadyExists("A member has a domain of this name already.")

    def _filled(self, domain: Domain) -> Domain:
        aliases = [a for a in self._aliases.values() if a.domain_id == domain.id]
        members = tuple(
            attrs.evolve(member, email=self._users[member.user_id].email)
            for member in domain.members
        )
        return attrs.evolve(
            domain,
            members=members,
            alias_count=len(aliases),
            storage_used=sum(alias.storage_used for alias in aliases),
            has_catchall=any(alias.name == "*" for alias in aliases),
            has_regex=any(alias.name.startswith("/") for alias in aliases),
        )

    # Aliases

    async def add_alias(self, alias: Alias) -> Alias:
        """Add. Unique: name within the domain."""
        if alias.id in self._aliases:
            raise AlreadyExists("The alias exists already.")
        self._check_alias(alias)
        self._aliases[alias.id] = alias
        return self._addressed(alias)

    async def alias(self, alias_id: AliasId) -> Alias:
        """By id."""
        try:
            return self._addressed(self._aliases[alias_id])
        except KeyError:
            raise NotFound("The alias does not exist.") from None

    async def alias_named(self, domain_id: DomainId, name: str) -> Alias:
        """By domain and lower-case name."""
        for alias in self._of(domain_id):
            if alias.name == name:
                return alias
        raise NotFound("The alias does not exist.")

    async def aliases_at(self, local: str, domain_name: str) -> tuple[tuple[Alias, Domain], ...]:
        """Every alias of this exact address with its domain, in the order of ``route_rows``."""
        return tuple(
            (alias, self._filled(domain))
            for domain in self._claims(domain_name)
            for alias in self._of(domain.id)
            if alias.name == local
        )

    async def update_alias(self, alias_id: AliasId, now: float, **changes: object) -> Alias:
        """Change attributes."""
        check_changes(Alias, changes)
        await self.alias(alias_id)
        alias = attrs.evolve(self._aliases[alias_id], updated_at=now, **changes)  # type: ignore[arg-type]  # names were checked
        self._check_alias(alias)
        self._aliases[alias_id] = alias
        return self._addressed(alias)

    async def delete_alias(self, alias_id: AliasId) -> Alias:
        """Remove with credentials; returns what it was."""
        alias = await self.alias(alias_id)
        for credential in [c for c in self._credentials.values() if c.alias_id == alias_id]:
            del self._credentials[credential.id]
        del self._aliases[alias_id]
        return alias

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """The aliases of a domain; with ``user_id`` only that user's."""
        aliases = self._of(domain_id)
        mine = (a for a in aliases if user_id is None or a.user_id == user_id)
        return list_page(mine, Alias, query)

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """Every claim on the domain with what routing ``local`` needs."""
        return tuple(self._route_rows(local, domain) for domain in self._claims(domain_name))

    def _route_rows(self, local: str, domain: Domain) -> RouteRows:
        aliases = self._of(domain.id)
        named = [a for a in aliases if a.name == local and a.name[:1] not in ("*", "/")]
        catchall = [a for a in aliases if a.name == "*"]
        return RouteRows(
            domain=self._filled(domain),
            owner_is_admin=self._is_of_server_admin(domain),
            named=next(iter(named), None),
            patterns=tuple(alias for alias in aliases if alias.name.startswith("/")),
            catchall=next(iter(catchall), None),
        )

    def _claims(self, name: str) -> list[Domain]:
        claims = _by_age(d for d in self._domains.values() if d.name == name)
        claims.sort(key=lambda d: (not d.has_txt_record, not self._is_of_server_admin(d)))
        return claims

    def _is_of_server_admin(self, domain: Domain) -> bool:
        return any(self._users[user_id].group == "admin" for user_id in _admins(domain))

    def _check_alias(self, alias: Alias) -> None:
        self._bare_domain(alias.domain_id)
        if alias.user_id not in self._users:
            raise NotFound("The user does not exist.")
        for other in self._aliases.values():
            is_same = (other.domain_id, other.name) == (alias.domain_id, alias.name)
            if is_same and other.id != alias.id:
                raise AlreadyExists("The domain has an alias of this name already.")

    def _of(self, domain_id: DomainId) -> list[Alias]:
        mine = (alias for alias in self._aliases.values() if alias.domain_id == domain_id)
        return [self._addressed(alias) for alias in _by_age(mine)]

    def _addressed(self, alias: Alias) -> Alias:
        return attrs.evolve(
            alias,
            domain_name=self._domains[alias.domain_id].name,
            user_email=self._users[alias.user_id].email,
        )

    # Credentials

    async def credentials(self, alias_id: AliasId) -> tuple[Credential, ...]:
        """All credentials of an alias, oldest first."""
        mine = (c for c in self._credentials.values() if c.alias_id == alias_id)
        return tuple(_by_age(mine))

    async def set_credentials(
        self,
        alias_id: AliasId,
        add: Sequence[Credential],
        remove: Sequence[str],
        now: float,
        sealing_key: bytes | None = None,
    ) -> None:
        """Add and remove at once; with ``sealing_key`` no older credential stays."""
        await self.alias(alias_id)
        kept = {
            credential.id: credential
            for credential in self._credentials.values()
            if credential.alias_id != alias_id
            or (sealing_key is None and credential.id not in remove)
        }
        for credential in add:
            if credential.alias_id != alias_id:
                raise NotFound("The credential belongs to another alias.")
            if credential.id in kept:
                raise AlreadyExists("The credential exists already.")
            kept[credential.id] = credential
        self._credentials = kept
        changes = {} if sealing_key is None else {"sealing_key": sealing_key}
        await self.update_alias(alias_id, now, **changes)

    async def touch_credential(self, credential_id: str, now: float) -> None:
        """Record that it was used; one that is gone is ignored."""
        credential = self._credentials.get(credential_id)
        if credential:
            self._credentials[credential_id] = attrs.evolve(credential, last_used_at=now)

    # Checking

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        with_credentials = {c.alias_id for c in self._credentials.values()}
        return (
            *(f"Domain {d.id} has no admin." for d in self._domains.values() if not _admins(d)),
            *(
                f"Alias {a.id} has credentials but no mailbox."
                for a in self._aliases.values()
                if not a.sealing_key and a.id in with_credentials
            ),
        )


def _member(domain: Domain, user_id: UserId) -> Member | None:
    return next((member for member in domain.members if member.user_id == user_id), None)


def _admins(domain: Domain) -> list[UserId]:
    return [member.user_id for member in domain.members if member.group == "admin"]


def _by_age(rows: Iterable[_Aged]) -> list[_Aged]:
    """Oldest first; rows of the same time in the order of insertion."""
    return sorted(rows, key=lambda row: row.created_at)
