"""
Domains of an account: add, change, remove, and check what the DNS says of them (``verifying``).

Several accounts may claim one name; the TXT record decides (see ``claims``).

Mail of a new domain goes to the address of its account. If that is an address of this very domain,
it becomes a mailbox of it: a catch-all that leads to what only the catch-all takes is a circle.
"""

import re
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts import validation
from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.dns_checks import DNSChecks
from fe_mail.accounts.dns_records import DNSRecord, domain_records, in_zone
from fe_mail.accounts.domain_fields import domain_changes
from fe_mail.accounts.hosted_names import hosted_name
from fe_mail.accounts.sending_requests import mark_as_decided
from fe_mail.accounts.site import Site, quota_of
from fe_mail.accounts.verifying import SERVER_CHECK_SECONDS, Verification, Verifier
from fe_mail.accounts.zone_file import zone_file
from fe_mail.mailauth.dkim import SigningKey
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.address import display_address, parse_address
from fe_mail.model.errors import AlreadyExists, Invalid, NotFound, PermissionDenied
from fe_mail.model.ids import AliasId, DomainId, new_id
from fe_mail.model.page import Page, Query, every
from fe_mail.model.sentence import Sentence
from fe_mail.ports import (
    AliasStore,
    Bus,
    DomainStore,
    Keyring,
    MailboxStore,
    Resolver,
    SettingStore,
    UserStore,
    Vantage,
)

__all__ = ["DKIM_PURPOSE", "Domains", "KeyGenerator", "Verification", "is_admin"]

DKIM_PURPOSE = "dkim"
_SELECTOR_HEX_DIGITS = 10
_VERIFICATION_LENGTH = 10
_ALPHANUMERICS = string.ascii_letters + string.digits
_ID = re.compile(r"[0-9a-f]{24}\Z")


class KeyGenerator(Protocol):
    """Makes DKIM keys away from the reactor's thread."""

    async def __call__(self, bits: int) -> bytes:
        """A new RSA private key in PEM."""


def is_admin(user: User, domain: Domain) -> bool:
    """May the user change the domain? Its admins, and the server's."""
    return user.group == "admin" or any(
        member.user_id == user.id and member.group == "admin" for member in domain.members
    )


class DomainRecords(AliasStore, DomainStore, SettingStore, UserStore, Protocol):
    """What domains ask: an alias catches all, and its owner may be an admin."""


async def _ask_nobody(domain: Domain) -> None:
    """Where nobody is told of domains that wait to send."""


class Domains:
    """Mail domains and their DNS."""

    def __init__(
        self,
        accounts: DomainRecords,
        keyring: Keyring,
        resolver: Resolver,
        mailboxes: MailboxStore,
        clock: IReactorTime,
        site: Site,
        keygen: KeyGenerator,
        bus: Bus,
        vantage: Vantage,
        *,
        ask_to_send: Callable[[Domain], Awaitable[None]] = _ask_nobody,
    ) -> None:
        self._accounts = accounts
        self._keyring = keyring
        checks = DNSChecks(resolver=resolver, vantage=vantage, clock=clock, site=site)
        self._verifier = Verifier(accounts, checks, clock, ask_to_send)
        self._mailboxes = mailboxes
        self._clock = clock
        self._site = site
        self._keygen = keygen
        self._aftermath = Aftermath(accounts, mailboxes, bus)

    async def create(
        self, user: User, name: str, *, catchall: bool | str = True, **settings: object
    ) -> Domain:
        """
        A new domain of the user with a DKIM key of its own.

        ``catchall`` True makes an alias ``*`` to the user's address; text names its recipients.
        Among these the user's own address may be one of the domain; it gets a mailbox.
        """
        domain_name = hosted_name(name)
        changes = self._checked(settings)
        recipients: tuple[str, ...] = (user.email,) if catchall is True else ()
        if isinstance(catchall, str):
            recipients = validation.catchall_recipients(catchall)
        own_name = _own_name(user, domain_name, recipients)
        await self._refuse_more(user, domain_name)
        domain = await self._add(user, domain_name, changes)
        if own_name:
            await self._accounts.add_alias(self._alias(user, domain, own_name, has_imap=True))
        if recipients and not domain.is_catchall_regex_disabled:
            catch_all = self._alias(user, domain, "*", recipients=recipients)
            await self._accounts.add_alias(catch_all)
        return await self._accounts.domain(domain.id)

    async def _refuse_more(self, user: User, name: str) -> None:
        mine = await self._accounts.domains(user.id, Query(limit=1))
        if user.group != "admin" and mine.total >= self._site.max_domains:
            limit = self._site.max_domains
            raise Invalid(Sentence("An account may have at most %(limit)s domains.", limit=limit))
        for other in await self._accounts.domains_named(name):
            if any(member.user_id == user.id for member in other.members):
                raise AlreadyExists("The domain exists on your account already.")

    async def _add(self, user: User, name: str, changes: Mapping[str, object]) -> Domain:
        now = self._clock.seconds()
        pem = await self._keygen(self._site.dkim_bits)
        domain = Domain(
            id=DomainId(new_id(now)),
            name=name,
            verification_record="".join(
                secrets.choice(_ALPHANUMERICS) for _ in range(_VERIFICATION_LENGTH)
            ),
            members=(Member(user_id=user.id, group="admin"),),
            dkim_selector=f"fe-{secrets.token_hex(_SELECTOR_HEX_DIGITS // 2)}",
            dkim_private_key=self._keyring.protect(pem, DKIM_PURPOSE),
            dkim_public_key=SigningKey.from_pem(pem).public_base64,
            created_at=now,
            updated_at=now,
        )
        domain = attrs.evolve(domain, **changes)  # type: ignore[arg-type]  # names were checked
        return await self._accounts.add_domain(domain)

    def _alias(
        self,
        user: User,
        domain: Domain,
        name: str,
        *,
        recipients: tuple[str, ...] = (),
        has_imap: bool = False,
    ) -> Alias:
        now = self._clock.seconds()
        return Alias(
            id=AliasId(new_id(now)),
            domain_id=domain.id,
            user_id=user.id,
            name=name,
            labels=validation.labels((), name),
            recipients=recipients[: self._site.max_forwarded],
            has_imap=has_imap,
            created_at=now,
            updated_at=now,
        )

    async def get(self, user: User, id_or_name: str) -> Domain:
        """A domain of which the user is a member. ``NotFound``."""
        for domain in await self._candidates(id_or_name):
            if any(member.user_id == user.id for member in domain.members):
                return domain
        raise NotFound("The domain does not exist on your account.")

    async def _candidates(self, id_or_name: str) -> tuple[Domain, ...]:
        if _ID.match(id_or_name):
            try:
                return (await self._accounts.domain(DomainId(id_or_name)),)
            except NotFound:
                return ()
        try:
            return await self._accounts.domains_named(validation.domain_name(id_or_name))
        except Invalid:
            return ()

    def require_admin(self, user: User, domain: Domain) -> None:
        """``PermissionDenied`` unless the user may change the domain."""
        if not is_admin(user, domain):
            raise PermissionDenied("You are not an admin of this domain.")

    async def list(self, user: User, query: Query) -> Page[Domain]:
        """The user's domains."""
        return await self._accounts.domains(user.id, query)

    async def every(self, query: Query) -> Page[Domain]:
        """All domains of the server: for its admins."""
        return await self._accounts.domains(None, query)

    async def allow_sending(self, admin: User, id_or_name: str, is_allowed: bool) -> Domain:
        """
        Let a domain send, or not any longer. ``PermissionDenied`` unless ``admin`` runs the server.

        The domains of the server's admins may always send. Of several claims on a name the
        verified one is meant. ``NotFound``.
        """
        if admin.group != "admin":
            raise PermissionDenied("Only an administrator of the server decides who may send.")
        claims = await self._candidates(id_or_name)
        if not claims:
            raise NotFound("The domain does not exist on this server.")
        domain = next((claim for claim in claims if claim.has_txt_record), claims[0])
        if not is_allowed and await self._verifier.is_of_server_admin(domain):
            raise Invalid("The domain of an administrator of the server may always send.")
        now = self._clock.seconds()
        decided = await self._accounts.update_domain(domain.id, now, has_smtp=is_allowed)
        await mark_as_decided(self._accounts, domain.id)
        return decided

    async def update(self, user: User, domain: Domain, **settings: object) -> Domain:
        """Change settings; the name never changes. ``Invalid``, ``PermissionDenied``."""
        self.require_admin(user, domain)
        changes = self._checked(settings)
        if not changes:
            return domain
        now = self._clock.seconds()
        changed = await self._accounts.update_domain(domain.id, now, **changes)
        if changed.max_quota_per_alias != domain.max_quota_per_alias:
            await self._apply_quota(changed)
        return changed

    async def _apply_quota(self, domain: Domain) -> None:
        """Tell every mailbox of the domain how much it may hold now."""
        async for alias in every(partial(self._accounts.aliases, domain.id)):
            if alias.sealing_key:
                limit = quota_of(alias, domain, self._site)
                await self._mailboxes.set_quota(alias.id, limit)

    def _checked(self, settings: Mapping[str, object]) -> dict[str, object]:
        return domain_changes(settings, max_quota_octets=self._site.max_quota_octets)

    async def delete(self, user: User, domain: Domain) -> None:
        """Remove with its aliases, their passwords and mailboxes."""
        self.require_admin(user, domain)
        await self._aftermath.follow(await self._accounts.delete_domain(domain.id))

    @property
    def is_demo(self) -> bool:
        """Is the DNS only pretended?"""
        return self._site.is_demo

    def records(self, domain: Domain) -> tuple[DNSRecord, ...]:
        """What the owner has to publish."""
        return domain_records(domain, self._site)

    def server_records(self, domain: Domain) -> tuple[DNSRecord, ...]:
        """Those of the server that the domain relies on, as its zone has them if they lie there."""
        return tuple(in_zone(record, domain) for record in self._verifier.server_records())

    def zone_file(self, domain: Domain) -> str:
        """All of them as lines of a zone file."""
        return zone_file(domain, self.records(domain), self.server_records(domain))

    async def verify(self, user: User, domain: Domain) -> Verification:
        """Look every record up now, store what was found. ``PermissionDenied``."""
        self.require_admin(user, domain)
        return await self._verifier.verify(domain.id)

    async def recheck(self, domain_id: DomainId) -> Verification:
        """The same without a user: for the job that does it every few hours."""
        return await self._verifier.verify(domain_id, SERVER_CHECK_SECONDS)


def _own_name(user: User, domain_name: str, recipients: tuple[str, ...]) -> str:
    """
    The alias that a catch-all of a new domain needs: the user's own address, if it leads there.

    ``Invalid`` for other addresses of the domain: only the catch-all itself would take them.
    """
    found = ""
    for recipient in map(parse_address, recipients):
        if recipient.domain != domain_name:
            continue
        own = parse_address(user.email)
        if (recipient.base, recipient.domain) != (own.base, own.domain):
            raise Invalid(
                Sentence(
                    "%(address)s does not exist yet, so the catch-all would lead to itself. "
                    "Give an address elsewhere, or add the domain without a catch-all first.",
                    address=display_address(str(recipient)),
                ),
                field="catchall",
                code="ALIAS_LEADS_NOWHERE",
            )
        found = own.base
    try:
        return found and validation.alias_name(found, domain_name)
    except Invalid as error:
        raise Invalid(error.sentence, field="catchall", code=error.code) from None
