"""
The ports: everything the inside of fe-mail needs from the outside.

One method = one transaction = one thread hop = one possible RPC. Methods are coroutines over
Deferreds. They raise only the errors of ``fe_mail.model.errors``. Every port has one contract
suite in ``tests/contracts/`` that runs on all its adapters; the in-memory adapter is the
specification. Times are seconds since the epoch, as Twisted's ``IReactorTime.seconds()`` gives.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from fe_mail.model.account import (
    Alias,
    Credential,
    Domain,
    LogEntry,
    Member,
    RouteRows,
    User,
    WebSession,
)
from fe_mail.model.dns import MX, Answer
from fe_mail.model.ids import AliasId, BlobId, DomainId, UserId
from fe_mail.model.mailbox import (
    Appended,
    Changes,
    CopyResult,
    Delivery,
    ExpungeResult,
    FetchedMessage,
    FlagAction,
    FlagResult,
    Folder,
    FolderStatus,
    FolderView,
    NewMessage,
    Quota,
    Want,
)
from fe_mail.model.outbound import Attempt, Transmission
from fe_mail.model.page import Page, Query
from fe_mail.model.queue import (
    Claim,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueEntry,
    QueueFilter,
)
from fe_mail.model.search import Key

__all__ = [
    "AccountStore",
    "BlobReader",
    "BlobWriter",
    "Blobs",
    "Bus",
    "Cache",
    "Exchange",
    "Keyring",
    "MailboxStore",
    "Offload",
    "OpenMailbox",
    "Queue",
    "Resolver",
]

T = TypeVar("T")


class Offload(Protocol):
    """Runs costly work off the reactor thread: ``Threads.run`` of the adapters."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """Call ``work`` elsewhere; ``Unavailable`` when too much waits already."""


class AccountStore(Protocol):
    """
    Users, domains, members, aliases, credentials, web sessions, settings, logs.

    ``update_*`` take the names of attributes and their new values, set ``updated_at`` and return
    the new row; an unknown attribute is a programming error (TypeError). Rows that do not exist
    raise ``NotFound``, also those that a new row refers to; a taken unique name raises
    ``AlreadyExists``. What a store fills in or keeps (id, members, counts, ``updated_at``, the
    domain of an alias) is no attribute to update. Lists: ``adapters/account_rules.py``.
    """

    async def add_user(self, user: User) -> User:
        """Add; the very first user of a server gets group ``admin``. Unique: email (no case)."""

    async def user(self, user_id: UserId) -> User:
        """By id."""

    async def user_by_email(self, email: str) -> User:
        """By e-mail address, without case."""

    async def user_by_token(self, api_token_hash: str) -> User:
        """By the sha256 hex of an API token."""

    async def update_user(self, user_id: UserId, now: float, **changes: object) -> User:
        """Change attributes."""

    async def delete_user(self, user_id: UserId) -> tuple[AliasId, ...]:
        """
        Remove with memberships and sessions; domains left without an admin go too.

        The user's aliases in other domains pass to the domain's first admin, so that no mail is
        lost. Returns the ids of the aliases that went.
        """

    async def users(self, query: Query) -> Page[User]:
        """All users, oldest first."""

    async def add_domain(self, domain: Domain) -> Domain:
        """Add with its members. ``AlreadyExists`` when one of the members has the name already."""

    async def domain(self, domain_id: DomainId) -> Domain:
        """By id, with members and counts."""

    async def domains_named(self, name: str) -> tuple[Domain, ...]:
        """Every account's claim on a name, oldest first."""

    async def update_domain(self, domain_id: DomainId, now: float, **changes: object) -> Domain:
        """Change attributes."""

    async def set_member(self, domain_id: DomainId, member: Member) -> Domain:
        """Add a member or change its group. ``AlreadyExists``: has a domain of this name."""

    async def delete_domain(self, domain_id: DomainId) -> tuple[AliasId, ...]:
        """Remove with aliases and credentials; returns the ids of the aliases that went."""

    async def domains(self, user_id: UserId | None, query: Query) -> Page[Domain]:
        """The domains of which the user is a member, or all for None."""

    async def add_alias(self, alias: Alias) -> Alias:
        """Add. Unique: name within the domain."""

    async def alias(self, alias_id: AliasId) -> Alias:
        """By id."""

    async def alias_named(self, domain_id: DomainId, name: str) -> Alias:
        """By domain and lower-case name."""

    async def aliases_at(self, local: str, domain_name: str) -> tuple[tuple[Alias, Domain], ...]:
        """
        For login: every alias of this exact address with its domain.

        Verified domains first, in the order of ``route_rows``.
        """

    async def update_alias(self, alias_id: AliasId, now: float, **changes: object) -> Alias:
        """Change attributes."""

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

    async def set_credentials(
        self,
        alias_id: AliasId,
        add: Sequence[Credential],
        remove: Sequence[str],
        now: float,
        sealing_key: bytes | None = None,
    ) -> None:
        """
        Add and remove in one transaction; what is gone already is removed no less.

        With ``sealing_key`` the alias gets a new mailbox, so that all older credentials go.
        """

    async def touch_credential(self, credential_id: str, now: float) -> None:
        """Record that it was used; one that is gone is ignored."""

    async def add_session(self, session: WebSession) -> None:
        """Add a browser session."""

    async def session(self, session_id: str, now: float) -> tuple[WebSession, User]:
        """A session that has not expired, with its user."""

    async def delete_session(self, session_id: str) -> None:
        """Sign out; unknown ids are ignored."""

    async def delete_sessions(self, user_id: UserId) -> None:
        """Sign a user out everywhere."""

    async def setting(self, name: str) -> str:
        """A setting of the server, empty if unset."""

    async def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""

    async def log(self, entry: LogEntry) -> None:
        """Append to the log; an entry of the same id is written once."""

    async def logs(
        self, domain_id: str, query: Query, alias_id: str = "", kind: str = ""
    ) -> Page[LogEntry]:
        """A domain's log, newest first; an empty ``domain_id`` (or alias, kind) means all."""

    async def purge(self, now: float, log_retention_seconds: float) -> None:
        """Drop expired sessions, and log entries older than ``log_retention_seconds``."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""


class Keyring(Protocol):
    """
    Keys and hashes. Costly work runs in a small thread pool of its own with a bounded queue,
    which raises ``Unavailable`` when full, so that a storm of logins cannot stop mail.
    """

    async def salted_password(self, password: str, salt: bytes, iterations: int) -> bytes:
        """SaltedPassword of SCRAM-SHA-256 (RFC 7677, RFC 5802 §3), 32 octets."""

    def wrap(self, mailbox_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """Wrap a mailbox key under HKDF(ClientKey), bound to the alias."""

    def unwrap(self, wrapped_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """The mailbox key. ``AuthenticationFailed`` for a wrong key or a changed slot."""

    def protect(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt a secret of the server at rest, bound to its purpose."""

    def reveal(self, protected: bytes, purpose: str) -> bytes:
        """The secret. ``Corrupt`` when it was changed or protected by another key."""

    def mac(self, data: bytes, purpose: str) -> bytes:
        """A keyed hash, 32 octets, different for each purpose."""

    async def hash_password(self, password: str) -> str:
        """argon2id of a web account's password, as a PHC string."""

    async def verify_password(self, password_hash: str, password: str) -> bool:
        """Compare; an empty hash costs the same time and is False."""


class OpenMailbox(Protocol):
    """
    An unlocked mailbox. Many sessions may share one; ``close`` gives it back.

    Every mutation publishes ``mailbox:<alias id>`` on the bus after its commit.
    """

    @property
    def alias_id(self) -> AliasId:
        """Whose mailbox this is."""

    def close(self) -> None:
        """Give the handle back; the last one closes the file after a while."""

    async def take_in(self) -> int:
        """Move sealed mail into its folders; returns how many. Idempotent."""

    async def folders(self) -> tuple[Folder, ...]:
        """All folders, by name, INBOX first."""

    async def status(self, names: Sequence[str]) -> tuple[FolderStatus, ...]:
        """Counts of the named folders; those that do not exist are left out."""

    async def create_folder(self, name: str, special_use: str = "") -> Folder:
        """Create with missing parents. ``AlreadyExists``, ``Invalid``, ``TooBig`` (count)."""

    async def delete_folder(self, name: str) -> None:
        """Delete with its messages; one with children stays as \\Noselect. Not INBOX."""

    async def rename_folder(self, old: str, new: str) -> None:
        """Rename with children; INBOX gives its messages away and stays (RFC 9051 §6.3.6)."""

    async def subscribe_folder(self, name: str, subscribed: bool) -> None:
        """Set the subscription. ``NotFound``."""

    async def select(self, name: str, claim_recent: bool = True) -> FolderView:
        """Everything a session needs to begin. ``NotFound``."""

    async def append(self, name: str, messages: Sequence[NewMessage]) -> Appended:
        """Append all or none, in order. ``NotFound``, ``OverQuota``, ``TooBig``."""

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """The messages that exist, in UID order; those that are gone are left out."""

    async def read(self, folder_id: int, uid: int, start: int, end: int) -> bytes:
        """Raw octets ``start:end`` of a message (clipped). ``NotFound`` if it is gone."""

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        action: FlagAction,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagResult:
        """Change flags. A message whose flags are as wished already keeps its ModSeq."""

    async def copy(self, folder_id: int, uids: Sequence[int], to: str) -> CopyResult:
        """Copy with flags and dates, all or none. ``NotFound`` (target), ``OverQuota``."""

    async def move(self, folder_id: int, uids: Sequence[int], to: str) -> CopyResult:
        """Copy and expunge in one transaction (RFC 6851); needs no quota."""

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> ExpungeResult:
        """Remove messages that have \\Deleted; with ``uids`` only among them (UID EXPUNGE)."""

    async def remove(self, folder_id: int, uids: Sequence[int]) -> ExpungeResult:
        """Remove messages whatever their flags (POP3 QUIT)."""

    async def search(self, folder_id: int, key: Key) -> tuple[tuple[int, int], ...]:
        """(uid, modseq) of the matches in UID order."""

    async def changes(self, folder_id: int, since: int) -> Changes:
        """What happened in the folder after ModSeq ``since``."""

    async def quota(self) -> Quota:
        """Octets used and allowed, kept incrementally."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""


class MailboxStore(Protocol):
    """One encrypted mailbox per alias, and the sealed mail that waits for locked ones."""

    async def create(self, alias_id: AliasId, mailbox_key: bytes) -> bytes:
        """A new mailbox with the default folders; returns its public sealing key."""

    async def unlock(self, alias_id: AliasId, mailbox_key: bytes) -> OpenMailbox:
        """Open, take in sealed mail. ``NotFound``, ``AuthenticationFailed``, ``SchemaTooNew``."""

    async def deliver(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> None:
        """
        Durable when it returns: appended if this process has the mailbox open, else sealed.

        ``OverQuota`` (counting what waits sealed). The same delivery id twice is one message.
        """

    async def set_quota(self, alias_id: AliasId, limit_octets: int) -> None:
        """The limit that append and deliver enforce; 0: none."""

    async def used_octets(self, alias_id: AliasId) -> int:
        """Octets of stored and sealed mail, without needing a key; 0 if there is no mailbox."""

    async def destroy(self, alias_id: AliasId) -> None:
        """Remove the mailbox and everything sealed for it."""

    async def check(self) -> tuple[str, ...]:
        """Broken invariants of what can be checked without keys, one sentence each."""


class Queue(Protocol):
    """Everything accepted, until it is settled. At least once; leases survive a kill."""

    async def put(self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]) -> bool:
        """
        Durable when it returns. False if a message of this id was there already.

        ``Invalid`` without an open (waiting or held) delivery; ``AlreadyExists`` when the blob
        belongs to another message.
        """

    async def claim(self, now: float, lease_seconds: float, limit: int) -> tuple[Claim, ...]:
        """
        Lease waiting deliveries that are due, oldest due first.

        A delivery whose lease ran out is due from then on. ``attempts`` counts settled attempts,
        so the first claim shows 0.
        """

    async def renew(self, claim: Claim, lease_until: float) -> None:
        """Extend a lease. ``Conflict`` when it was lost (to another claim, or with the message)."""

    async def end_leases(self) -> int:
        """
        End every lease, of whomever; how many there were.

        For a runner that knows it is the only one: what a killed process had claimed is due
        again at once. A claim from before cannot be settled any more (``Conflict``).
        """

    async def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        now: float,
        next_attempt_at: float = 0.0,
        delayed_notice_at: float = 0.0,
    ) -> BlobId | None:
        """
        Record an outcome and end the lease (``Conflict`` when it was lost to another claim; one
        that merely ran out still counts, so that a late 2xx is not forgotten).

        Deferred: waiting until ``next_attempt_at``, or still held if it was held meanwhile. A
        ``delayed_notice_at`` of 0.0 keeps the one recorded before. When no delivery of the
        message is waiting or held any more, the message goes and its blob is returned, for the
        caller to delete.
        """

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """
        Hold waiting deliveries (all, or those numbered). ``NotFound``.

        A running attempt goes on, and its outcome is still recorded.
        """

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due at once. ``NotFound``."""

    async def drop(self, message_id: str) -> BlobId:
        """Remove a message with all deliveries; returns its blob for deletion. ``NotFound``."""

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first; one delivery meets both its conditions."""

    async def next_due(self) -> float | None:
        """When the earliest waiting delivery is due (or its lease runs out), None if none."""

    async def blobs(self) -> frozenset[BlobId]:
        """Every blob that a message still needs."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""


class BlobWriter(Protocol):
    """One blob being written. Small ones stay in memory until ``commit``."""

    @property
    def size_octets(self) -> int:
        """Octets written so far."""

    async def write(self, data: bytes) -> None:
        """Add octets; awaiting it is the back-pressure."""

    async def commit(self) -> BlobId:
        """Durable (file and directory fsynced) when it returns."""

    async def abort(self) -> None:
        """Forget everything; never raises. Calling it after ``commit`` does nothing."""


class BlobReader(Protocol):
    """One blob being read."""

    @property
    def size_octets(self) -> int:
        """Size of the content."""

    async def read(self, size_octets: int) -> bytes:
        """The next octets, empty at the end. ``Corrupt`` when they were changed."""

    async def close(self) -> None:
        """Done."""


class Blobs(Protocol):
    """Spool: bodies that wait, encrypted with the server's key. A blob never changes."""

    def create(self, now: float) -> BlobWriter:
        """Begin a blob; once it is committed or aborted, writing to it is a ``Conflict``."""

    async def open(self, blob: BlobId) -> BlobReader:
        """Begin to read. ``NotFound``."""

    async def read(self, blob: BlobId) -> bytes:
        """All of it. ``NotFound``, ``Corrupt``."""

    async def delete(self, blob: BlobId) -> None:
        """Gone from the disk; an unknown blob is ignored."""

    async def list(self) -> tuple[tuple[BlobId, float], ...]:
        """Every committed blob with the second in which it was created, oldest first."""


class Cache(Protocol):
    """Counters and leases that run out. Losing all of it is allowed at any time."""

    async def increment(self, key: str, ttl_seconds: float, by: int = 1) -> int:
        """Add to a counter and return it; the TTL starts with the first increment. ``Invalid``."""

    async def get(self, key: str) -> bytes | None:
        """A value that has not run out."""

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store a value."""

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Store only if absent; True if stored (a lease)."""

    async def ttl(self, key: str) -> float:
        """Seconds left, 0.0 if absent."""

    async def delete(self, key: str) -> None:
        """Forget."""


class Bus(Protocol):
    """Hints: "look again". Losing one costs latency, never correctness."""

    def publish(self, topic: str, payload: Mapping[str, str] | None = None) -> None:
        """Tell every subscriber of the topic, in a later turn of the reactor or elsewhere."""

    def subscribe(
        self, topic: str, receive: Callable[[Mapping[str, str]], None]
    ) -> Callable[[], None]:
        """Call ``receive`` for each hint; returns the function that ends the subscription."""


class Resolver(Protocol):
    """DNS through a recursive resolver. ``Unavailable`` for SERVFAIL, timeout, nonsense."""

    async def mx(self, name: str) -> Answer[MX]:
        """MX records sorted by preference."""

    async def addresses(self, name: str) -> Answer[str]:
        """A and AAAA as text, IPv6 and IPv4 as the host prefers."""

    async def txt(self, name: str) -> Answer[str]:
        """TXT records, their strings joined (RFC 7208 §3.3)."""

    async def cname(self, name: str) -> Answer[str]:
        """The canonical name."""

    async def ptr(self, ip: str) -> Answer[str]:
        """Reverse names."""

    async def ns(self, name: str) -> Answer[str]:
        """Name servers."""


class Exchange(Protocol):
    """SMTP as a client: hand one message to one host."""

    async def transmit(
        self,
        host: str,
        addresses: Sequence[str],
        port: int,
        attempt: Attempt,
        content: Callable[[], Awaitable[BlobReader]],
    ) -> Transmission:
        """
        Connect to the first of ``addresses`` (IP, the host's own) that answers and speak.

        ``content`` opens the message and may be called again, for a second try without TLS.
        Whatever the host answers is a value. ``Unavailable``: no host answered, or the connection
        broke before the end of the content was sent, so that trying elsewhere sends no second
        copy.
        """
