"""
Aliases of a domain: add, change, remove, and the passwords that open their mailboxes.

A mailbox has one key; each password and the recovery code wrap it (see ``Credential``). So a new
password with the old one at hand rewrites a slot and keeps the mail; without it only a new, empty
mailbox is possible, and the caller has to say so with ``is_override``.

Members of a domain see and change their own aliases, its admins all of them. What could never get
mail is not stored, see ``prospects``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.alias_fields import Editing
from fe_mail.accounts.alias_names import normalized_name
from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.keys import GeneratedPassword, Keys
from fe_mail.accounts.passwords import Slot, run_here
from fe_mail.accounts.patterns import is_wildcard
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.routing import Router
from fe_mail.accounts.site import Site, quota_of
from fe_mail.model.account import Alias, Domain, MailboxKeys, User
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    Invalid,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.ids import AliasId, is_id, new_id
from fe_mail.model.page import Page, Query
from fe_mail.model.sentence import Sentence
from fe_mail.ports import (
    AliasStore,
    Bus,
    DomainStore,
    Keyring,
    MailboxStore,
    Offload,
    UserStore,
)

__all__ = ["MAX_WRONG_PASSWORDS", "WRONG_SECONDS", "Aliases", "GeneratedPassword"]

MAX_WRONG_PASSWORDS = 10  # of one user
WRONG_SECONDS = 3600.0
TRIES = 5  # when others change the alias meanwhile


async def _ask_nobody(alias: Alias) -> None:
    """Where no mail is sent."""


class AliasRecords(AliasStore, DomainStore, UserStore, Protocol):
    """What aliases ask: where their mail goes rests on domains and users."""


class Aliases:
    """Aliases, their mailboxes and passwords."""

    def __init__(
        self,
        accounts: AliasRecords,
        keyring: Keyring,
        mailboxes: MailboxStore,
        bus: Bus,
        clock: IReactorTime,
        site: Site,
        *,
        router: Router | None = None,
        run: Offload = run_here,
        ask_recipients: Callable[[Alias], Awaitable[None]] = _ask_nobody,
    ) -> None:
        self._ask_recipients = ask_recipients
        self._accounts = accounts
        self._prospects = Prospects(
            accounts, router or Router(accounts, max_forwarded=site.max_forwarded)
        )
        self._aftermath = Aftermath(accounts, mailboxes, bus)
        self._keys = Keys(accounts, keyring, mailboxes, self._aftermath, clock, run=run)
        self._mailboxes = mailboxes
        self._bus = bus
        self._clock = clock
        self._site = site
        self._wrong: dict[str, list[float]] = {}

    async def create(self, user: User, domain: Domain, fields: Mapping[str, object]) -> Alias:
        """A new alias of the user. ``Invalid``, ``AlreadyExists``, ``PermissionDenied``."""
        self._require_member(user, domain)
        if domain.alias_count >= self._site.max_aliases:
            limit = self._site.max_aliases
            raise Invalid(Sentence("A domain may have at most %(limit)s aliases.", limit=limit))
        changes = self._editing(user, domain, None).changes(fields)
        now = self._clock.seconds()
        alias = Alias(
            id=AliasId(new_id(now)),
            domain_id=domain.id,
            user_id=user.id,
            name="",
            created_at=now,
            updated_at=now,
        )
        alias = attrs.evolve(alias, **changes)  # type: ignore[arg-type]  # made by Editing
        filled = attrs.evolve(alias, domain_name=domain.name, user_email=user.email)
        await self._prospects.refuse_hopeless(user, domain, filled)
        try:
            added = await self._accounts.add_alias(alias)
        except AlreadyExists:
            raise AlreadyExists("An alias of this name exists already.") from None
        await self._ask_recipients(added)
        return added

    async def get(self, user: User, domain: Domain, id_or_name: str) -> Alias:
        """An alias that the user may see. ``NotFound``."""
        alias = await self._find(domain, id_or_name)
        if alias is None or not (is_admin(user, domain) or alias.user_id == user.id):
            raise NotFound("The alias does not exist.")
        return alias

    async def _find(self, domain: Domain, id_or_name: str) -> Alias | None:
        if is_id(id_or_name):
            try:
                alias = await self._accounts.alias(AliasId(id_or_name))
            except NotFound:
                alias = None
            if alias is not None and alias.domain_id == domain.id:
                return alias
        name = normalized_name(id_or_name)
        if not name.isprintable():
            return None
        try:
            return await self._accounts.alias_named(domain.id, name)
        except NotFound:
            return None

    async def list(self, user: User, domain: Domain, query: Query) -> Page[Alias]:
        """The aliases that the user may see."""
        owner = None if is_admin(user, domain) else user.id
        return await self._accounts.aliases(domain.id, query, owner)

    async def update(
        self, user: User, domain: Domain, alias: Alias, fields: Mapping[str, object]
    ) -> Alias:
        """
        Change it; what is absent stays as it is, and as others changed it since ``alias`` was read.

        ``Conflict`` if they never stop.
        """
        changed = await self._compare_and_set(user, domain, alias, fields)
        if changed.sealing_key and changed.max_quota != alias.max_quota:
            await self._mailboxes.set_quota(alias.id, quota_of(changed, domain, self._site))
        if not (changed.is_enabled and changed.has_imap):
            self._end_sessions(alias)
        await self._ask_recipients(changed)
        return changed

    async def _compare_and_set(
        self, user: User, domain: Domain, alias: Alias, fields: Mapping[str, object]
    ) -> Alias:
        for _ in range(TRIES):
            self._require_owner(user, domain, alias)
            editing = self._editing(user, domain, alias)
            changes = editing.changes(fields)
            candidate = attrs.evolve(alias, **changes)  # type: ignore[arg-type]  # made by Editing
            await self._prospects.refuse_hopeless(user, domain, candidate, alias)
            now = self._clock.seconds()
            try:
                return await self._accounts.update_alias(alias.id, now, editing.seen, **changes)
            except Conflict:
                alias = await self._accounts.alias(alias.id)
            except AlreadyExists:
                raise AlreadyExists("An alias of this name exists already.") from None
        raise Conflict("The alias is being changed. Try again.")

    async def delete(self, user: User, domain: Domain, alias: Alias) -> None:
        """Remove it with its passwords and its mailbox."""
        self._require_owner(user, domain, alias)
        await self._accounts.delete_alias(alias.id)
        await self._aftermath.follow([alias.id])

    async def generate_password(
        self,
        user: User,
        domain: Domain,
        alias: Alias,
        *,
        new_password: str = "",
        password: str = "",
        is_override: bool = False,
    ) -> GeneratedPassword:
        """
        A new password; the ones before stop working.

        With ``password`` (a current one, or the recovery code) the mailbox is kept; with
        ``is_override`` it is destroyed and begun anew. ``Invalid`` (ALIAS_OVERRIDE_REQUIRED) when
        there is a mailbox and neither is given, ``AuthenticationFailed``, ``RateLimited``.
        """
        self._require_owner(user, domain, alias)
        if is_wildcard(alias.name):
            raise Invalid("A catch-all or a regular expression has no password.", field="name")
        if password and is_override:
            raise Invalid(
                "Give the current password, or begin a new mailbox; not both.", field="password"
            )
        is_first = not (password or is_override)
        keys = await self._keys.of(alias, must_be_none=is_first)
        if keys.credentials and not is_override:
            slot = await self._open_slot(user, keys, password)
            return await self._keys.change(alias, keys, slot, new_password)
        limit = quota_of(alias, domain, self._site)
        return await self._keys.begin(alias, keys, new_password, limit)

    async def _open_slot(self, user: User, keys: MailboxKeys, password: str) -> Slot:
        self._check_wrong(user)
        now = self._clock.seconds()
        self._wrong.setdefault(user.id, []).append(now)  # so that no crowd passes the limit
        try:
            slot = await self._keys.open(keys, password)
        except Exception:  # nobody looked, so it was not wrong
            if now in self._wrong.get(user.id, ()):
                self._wrong[user.id].remove(now)
            raise
        if slot is None:
            raise AuthenticationFailed("The current password is not correct.")
        self._wrong.pop(user.id, None)
        return slot

    def _check_wrong(self, user: User) -> None:
        now = self._clock.seconds()
        oldest = now - WRONG_SECONDS
        for user_id in list(self._wrong):
            recent = [at for at in self._wrong[user_id] if oldest < at <= now]
            if recent:
                self._wrong[user_id] = recent
            else:
                del self._wrong[user_id]
        mine = self._wrong.get(user.id, [])
        if len(mine) >= MAX_WRONG_PASSWORDS:
            raise RateLimited(
                "Too many wrong passwords. Try again later.",
                retry_after_seconds=int(mine[0] - oldest) + 1,
            )

    def _editing(self, user: User, domain: Domain, alias: Alias | None) -> Editing:
        return Editing(
            user=user,
            domain=domain,
            site=self._site,
            is_admin=is_admin(user, domain),
            alias=alias,
        )

    def _require_member(self, user: User, domain: Domain) -> None:
        if not (is_admin(user, domain) or any(m.user_id == user.id for m in domain.members)):
            raise PermissionDenied("You are not a member of this domain.")

    def _require_owner(self, user: User, domain: Domain, alias: Alias) -> None:
        if alias.domain_id != domain.id:
            raise NotFound("The alias does not exist.")
        if not (is_admin(user, domain) or alias.user_id == user.id):
            raise PermissionDenied("This is the alias of somebody else.")

    def _end_sessions(self, alias: Alias) -> None:
        self._bus.publish(f"credentials:{alias.id}")
