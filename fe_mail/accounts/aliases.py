"""
Aliases of a domain: add, change, remove, and the passwords that open their mailboxes.

A mailbox has one key; each password and the recovery code wrap it (see ``Credential``). So a new
password with the old one at hand rewrites a slot and keeps the mail; without it only a new, empty
mailbox is possible, and the caller has to say so with ``is_override``.

Members of a domain see and change their own aliases, its admins all of them.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from weakref import WeakValueDictionary

import attrs
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.alias_fields import Editing
from fe_mail.accounts.domains import is_admin
from fe_mail.accounts.passwords import (
    CHOSEN_ITERATIONS,
    GENERATED_ITERATIONS,
    Slot,
    check_strength,
    find_slot,
    generate_password,
    generate_recovery_code,
    new_credential,
    normalize_recovery_code,
    prepare,
    run_here,
)
from fe_mail.accounts.site import Site, quota_of
from fe_mail.accounts.validation import is_pattern
from fe_mail.model.account import Alias, Credential, Domain, User
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Invalid,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.ids import AliasId, new_id
from fe_mail.model.page import Page, Query
from fe_mail.model.sentence import Sentence
from fe_mail.ports import AccountStore, Bus, Keyring, MailboxStore, Offload

__all__ = ["MAX_WRONG_PASSWORDS", "WRONG_SECONDS", "Aliases", "GeneratedPassword"]

MAILBOX_KEY_OCTETS = 32
MAX_WRONG_PASSWORDS = 10  # of one user
WRONG_SECONDS = 3600.0
_ID = re.compile(r"[0-9a-f]{24}\Z")


@attrs.frozen(kw_only=True)
class GeneratedPassword:
    """Shown once. ``recovery_code`` is empty when the one that exists stays valid."""

    username: str
    password: str = attrs.field(repr=False)
    recovery_code: str = attrs.field(default="", repr=False)
    mailbox_kept: bool = False


class Aliases:
    """Aliases, their mailboxes and passwords."""

    def __init__(
        self,
        accounts: AccountStore,
        keyring: Keyring,
        mailboxes: MailboxStore,
        bus: Bus,
        clock: IReactorTime,
        site: Site,
        *,
        run: Offload = run_here,
    ) -> None:
        self._run = run
        self._accounts = accounts
        self._keyring = keyring
        self._mailboxes = mailboxes
        self._bus = bus
        self._clock = clock
        self._site = site
        self._wrong: dict[str, list[float]] = {}
        # A lock is forgotten with the last one who holds or waits for it.
        self._changing: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()

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
        try:
            return await self._accounts.add_alias(attrs.evolve(alias, **changes))  # type: ignore[arg-type]  # made by Editing
        except AlreadyExists:
            raise AlreadyExists("An alias of this name exists already.") from None

    async def get(self, user: User, domain: Domain, id_or_name: str) -> Alias:
        """An alias that the user may see. ``NotFound``."""
        alias = await self._find(domain, id_or_name)
        if alias is None or not (is_admin(user, domain) or alias.user_id == user.id):
            raise NotFound("The alias does not exist.")
        return alias

    async def _find(self, domain: Domain, id_or_name: str) -> Alias | None:
        if _ID.match(id_or_name):
            try:
                alias = await self._accounts.alias(AliasId(id_or_name))
            except NotFound:
                alias = None
            if alias is not None and alias.domain_id == domain.id:
                return alias
        name = id_or_name if is_pattern(id_or_name) else id_or_name.lower()
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
        """Change it; absent description and labels become empty, what else is absent stays."""
        self._require_owner(user, domain, alias)
        changes = self._editing(user, domain, alias).changes(fields)
        now = self._clock.seconds()
        try:
            changed = await self._accounts.update_alias(alias.id, now, **changes)
        except AlreadyExists:
            raise AlreadyExists("An alias of this name exists already.") from None
        if changed.sealing_key and changed.max_quota != alias.max_quota:
            await self._mailboxes.set_quota(alias.id, quota_of(changed, domain, self._site))
        if not (changed.is_enabled and changed.has_imap):
            self._end_sessions(alias)
        return changed

    async def delete(self, user: User, domain: Domain, alias: Alias) -> None:
        """Remove it with its passwords and its mailbox."""
        self._require_owner(user, domain, alias)
        await self._accounts.delete_alias(alias.id)
        self._end_sessions(alias)
        await self._mailboxes.destroy(alias.id)

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
        if alias.name == "*" or is_pattern(alias.name):
            raise Invalid("A catch-all or a regular expression has no password.", field="name")
        if password and is_override:
            raise Invalid(
                "Give the current password, or begin a new mailbox; not both.", field="password"
            )
        lock = self._changing.setdefault(alias.id, DeferredLock())
        await lock.acquire()  # two at once could wrap a key that the other has just replaced
        try:
            made = await self._replace(user, domain, alias, new_password, password, is_override)
        finally:
            lock.release()
        self._end_sessions(alias)
        return made

    async def _replace(
        self,
        user: User,
        domain: Domain,
        alias: Alias,
        new_password: str,
        password: str,
        is_override: bool,
    ) -> GeneratedPassword:
        credentials = await self._accounts.credentials(alias.id)
        if credentials and not (password or is_override):
            raise Invalid(
                "This alias has a password already. Give it to keep the mailbox, or choose to "
                "begin a new, empty one.",
                field="password",
                code="ALIAS_OVERRIDE_REQUIRED",
            )
        chosen, iterations = await self._choose(new_password, alias)
        if credentials and not is_override:
            slot = await self._open_slot(user, credentials, password)
            return await self._change_slot(alias, credentials, slot, chosen, iterations)
        return await self._begin_mailbox(alias, domain, credentials, chosen, iterations)

    async def _choose(self, new_password: str, alias: Alias) -> tuple[str, int]:
        """The password and the iterations that it needs."""
        if not new_password:
            return generate_password(), GENERATED_ITERATIONS
        words = (alias.name, alias.domain_name, alias.domain_name.partition(".")[0])
        chosen = await self._run(
            lambda: check_strength(new_password, words, "new_password", quotes=False)
        )
        return chosen, CHOSEN_ITERATIONS

    async def _open_slot(
        self, user: User, credentials: Sequence[Credential], password: str
    ) -> Slot:
        self._check_wrong(user)
        slot = await self._find_slot(credentials, password)
        if slot is None:
            self._wrong.setdefault(user.id, []).append(self._clock.seconds())
            raise AuthenticationFailed("The current password is not correct.")
        self._wrong.pop(user.id, None)
        return slot

    async def _find_slot(self, credentials: Sequence[Credential], password: str) -> Slot | None:
        code = normalize_recovery_code(password)
        if code:
            recovery = [each for each in credentials if each.kind == "recovery"]
            slot = await find_slot(self._keyring, recovery, code)
            if slot is not None:
                return slot
        try:
            text = prepare(password)
        except Invalid:
            return None
        usual = [each for each in credentials if each.kind == "password"]
        return await find_slot(self._keyring, usual, text)

    def _check_wrong(self, user: User) -> None:
        oldest = self._clock.seconds() - WRONG_SECONDS
        for user_id in list(self._wrong):
            recent = [at for at in self._wrong[user_id] if at > oldest]
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

    async def _change_slot(
        self,
        alias: Alias,
        credentials: Sequence[Credential],
        slot: Slot,
        password: str,
        iterations: int,
    ) -> GeneratedPassword:
        """The same mailbox key in a new slot; the recovery slot stays."""
        wrapped = slot.credential.wrapped_key
        mailbox_key = self._keyring.unwrap(wrapped, slot.client_key, alias.id)
        add = [await self._credential(alias, password, mailbox_key, iterations)]
        code = ""
        if not any(each.kind == "recovery" for each in credentials):
            code = generate_recovery_code()
            add.append(await self._recovery(alias, code, mailbox_key))
        old = [each.id for each in credentials if each.kind == "password"]
        await self._accounts.set_credentials(alias.id, add, old, self._clock.seconds())
        return GeneratedPassword(
            username=alias.address, password=password, recovery_code=code, mailbox_kept=True
        )

    async def _begin_mailbox(
        self,
        alias: Alias,
        domain: Domain,
        credentials: Sequence[Credential],
        password: str,
        iterations: int,
    ) -> GeneratedPassword:
        """A new key and an empty mailbox; whatever was there cannot be opened any more."""
        mailbox_key = secrets.token_bytes(MAILBOX_KEY_OCTETS)
        code = generate_recovery_code()
        add = [
            await self._credential(alias, password, mailbox_key, iterations),
            await self._recovery(alias, code, mailbox_key),
        ]
        # From here until the new key stands, mail waits in the queue (450): nothing is sealed to
        # the old key. A mailbox without credentials may be left from a crash; nobody can open it.
        await self._accounts.set_credentials(alias.id, (), (), self._clock.seconds(), b"")
        await self._mailboxes.destroy(alias.id)
        sealing_key = await self._mailboxes.create(alias.id, mailbox_key)
        await self._mailboxes.set_quota(alias.id, quota_of(alias, domain, self._site))
        await self._accounts.set_credentials(
            alias.id, add, [each.id for each in credentials], self._clock.seconds(), sealing_key
        )
        return GeneratedPassword(username=alias.address, password=password, recovery_code=code)

    async def _credential(
        self, alias: Alias, password: str, mailbox_key: bytes, iterations: int
    ) -> Credential:
        now = self._clock.seconds()
        return await new_credential(
            self._keyring, alias.id, password, mailbox_key, now, iterations=iterations
        )

    async def _recovery(self, alias: Alias, code: str, mailbox_key: bytes) -> Credential:
        return await new_credential(
            self._keyring,
            alias.id,
            code,
            mailbox_key,
            self._clock.seconds(),
            iterations=GENERATED_ITERATIONS,
            kind="recovery",
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
