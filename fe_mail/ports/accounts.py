"""
Users, domains and aliases, the sessions of browsers, and settings of the server: five ports, which
one store may offer.

``update_*`` take the names of attributes and their new values, set ``updated_at`` and return the
new row; an unknown attribute is a programming error (TypeError). Rows that do not exist raise
``NotFound``, also those that a new row refers to; a taken unique name raises ``AlreadyExists``.
What a store fills in or keeps (id, members, counts, ``updated_at``, the domain and the keys of an
alias) is no attribute to update. Lists: ``adapters/account_rules.py``.

A store of documents can do every method with one document at a time: the credentials of an alias
are part of its document, the members of a domain of its. Where a deletion takes others with it
(``delete_user``, ``delete_domain``), the document is marked first, so that nobody finds it, and the
others follow one by one, each with its note in the outbox; whoever repeats it goes on. Who the
server's admins are is such a document too, so that of two who go at once one is the last.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from fe_mail.model.account import (
    Alias,
    Credential,
    Domain,
    MailboxKeys,
    Member,
    RouteRows,
    User,
    WebSession,
)
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Page, Query

__all__ = [
    "EPOCH_OF_THE_GONE",
    "NOTHING",
    "UNSETTLED_AT_ONCE",
    "AliasStore",
    "DomainStore",
    "SessionStore",
    "SettingStore",
    "UserStore",
]

UNSETTLED_AT_ONCE = 100
EPOCH_OF_THE_GONE = 1 << 62  # greater than every epoch of an alias that is there
NOTHING: Mapping[str, object] = MappingProxyType({})


class UserStore(Protocol):
    """People with a web login."""

    async def add_user(self, user: User) -> User:
        """
        Add. Unique: email (no case).

        The very first user of a server gets group ``admin``, and nobody after that, even when all
        users are gone: who came first is a row of its own, which only one can write.
        """

    async def user(self, user_id: UserId) -> User:
        """By id."""

    async def user_by_email(self, email: str) -> User:
        """By e-mail address, without case."""

    async def user_by_token(self, api_token_hash: str) -> User:
        """By the sha256 hex of an API token."""

    async def update_user(
        self,
        user_id: UserId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> User:
        """Change attributes; ``Conflict`` unless those in ``when`` have these values."""

    async def delete_user(
        self, user_id: UserId, *, keeps_an_admin: bool = False
    ) -> tuple[AliasId, ...]:
        """
        Remove with memberships and sessions; domains left without an admin go too.

        The user's aliases in other domains pass to the domain's first admin, so that no mail is
        lost. Returns the ids of the aliases that went and had keys: they are unsettled now.

        ``keeps_an_admin``: ``Conflict`` for the server's last admin, also when several go at once.
        """

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""

    async def is_owned(self) -> bool:
        """Has somebody come first?"""


class DomainStore(Protocol):
    """Domains with their members."""

    async def add_domain(self, domain: Domain) -> Domain:
        """Add with its members. ``AlreadyExists`` when one of the members has the name already."""

    async def domain(self, domain_id: DomainId) -> Domain:
        """By id, with members and counts."""

    async def domains_named(self, name: str) -> tuple[Domain, ...]:
        """Every account's claim on a name, oldest first."""

    async def update_domain(
        self,
        domain_id: DomainId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> Domain:
        """Change attributes; ``Conflict`` unless those in ``when`` have these values."""

    async def set_member(self, domain_id: DomainId, member: Member) -> Domain:
        """Add a member or change its group. ``AlreadyExists``: has a domain of this name."""

    async def delete_domain(self, domain_id: DomainId) -> tuple[AliasId, ...]:
        """Remove with aliases and credentials; returns the ids of those that are unsettled now."""

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""


class AliasStore(Protocol):
    """
    Aliases with their keys, what routing and login ask of them, and the outbox of their changes.
    """

    async def add_alias(self, alias: Alias) -> Alias:
        """Add. Unique: name within the domain, in NFC."""

    async def alias(self, alias_id: AliasId) -> Alias:
        """By id."""

    async def alias_named(self, domain_id: DomainId, name: str) -> Alias:
        """By domain and lower-case name. One that is stored in NFD is found by either form."""

    async def update_alias(
        self,
        alias_id: AliasId,
        now: float,
        when: Mapping[str, object] = NOTHING,
        /,
        **changes: object,
    ) -> Alias:
        """Change attributes; ``Conflict`` unless those in ``when`` have these values."""

    async def note_storage(self, used_octets: Mapping[AliasId, int]) -> None:
        """
        What the mailboxes of all aliases use; who is not named has none.

        It becomes ``storage_used``, and is no change of the alias by anybody: ``updated_at`` stays.
        """

    async def delete_alias(self, alias_id: AliasId) -> Alias:
        """Remove with credentials; returns what it was."""

    async def aliases(
        self, domain_id: DomainId, query: Query, user_id: UserId | None = None
    ) -> Page[Alias]:
        """The aliases of a domain; with ``user_id`` only that user's."""

    async def route_rows(self, local: str, domain_name: str) -> tuple[RouteRows, ...]:
        """
        Every claim on the domain with what routing ``local`` needs.

        Verified ones (``has_txt_record``) first, then those of server admins, then by age.
        Disabled aliases are included; ``*`` and regex aliases are never ``named``.
        """

    async def credentials(self, alias_id: AliasId) -> tuple[Credential, ...]:
        """All credentials of an alias, oldest first."""

    async def keys(self, alias_id: AliasId) -> MailboxKeys:
        """Everything that opens and seals the alias's mailbox, as of one moment."""

    async def set_keys(self, keys: MailboxKeys, now: float, due_at: float) -> MailboxKeys:
        """
        These and no others from now on; returns them with their new epoch.

        ``Conflict`` when the epoch is not the one of ``keys`` any more. A credential that stays
        keeps what the store has of it. The alias is unsettled from now on, see ``unsettled``.
        """

    async def fence(self, alias_id: AliasId) -> MailboxKeys:
        """Raise the epoch and change nothing else: who was about to change the keys fails."""

    async def unsettled(self, now: float, after: str = "") -> tuple[AliasId, ...]:
        """
        The outbox: ids, greater than ``after``, of aliases that changed their keys or are gone.

        Their sessions and mailboxes have to follow. The note is made in the transaction that
        changes or deletes and shows up when it is due; those that are gone are due at once. At
        most ``UNSETTLED_AT_ONCE``, in order.
        """

    async def settled(self, alias_id: AliasId, epoch: int) -> None:
        """They have followed up to this epoch, so the note goes, unless a later change made it."""

    async def touch_credential(self, credential_id: str, now: float) -> None:
        """Record that it was used; one that is gone is ignored."""


class SessionStore(Protocol):
    """Signed-in browsers."""

    async def add_session(self, session: WebSession) -> None:
        """Add a browser session."""

    async def session(self, session_id: str, now: float) -> tuple[WebSession, User]:
        """A session that has not expired, with its user."""

    async def delete_session(self, session_id: str) -> None:
        """Sign out; unknown ids are ignored."""

    async def delete_sessions(self, user_id: UserId) -> None:
        """Sign a user out everywhere."""

    async def purge_sessions(self, now: float) -> None:
        """Drop those that have expired, some at a time."""


class SettingStore(Protocol):
    """What the operator decided while the server runs."""

    async def setting(self, name: str) -> str:
        """Empty as long as nobody decided."""

    async def set_setting(self, name: str, value: str) -> None:
        """From now on, in every process; empty takes the decision back."""
