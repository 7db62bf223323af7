"""
Users, domains, aliases and what belongs to them.

A user signs in to the web. A domain has members, each ``admin`` or ``user``. An alias is an
address and, with ``has_imap``, a mailbox. Mail clients sign in as the alias with a generated
password; its credentials hold SCRAM verifiers and key slots (see ``Credential``).
Times are seconds since the epoch; 0.0 means never.
"""

from collections.abc import Mapping

import attrs

from fe_mail.model.ids import AliasId, DomainId, UserId

__all__ = [
    "Alias",
    "Credential",
    "Domain",
    "LogEntry",
    "MailboxKeys",
    "Member",
    "RouteRows",
    "User",
    "VacationResponder",
    "WebSession",
]


@attrs.frozen(kw_only=True)
class User:
    """A person with a web login."""

    id: UserId
    email: str
    password_hash: str = attrs.field(repr=False)  # argon2id, PHC string
    group: str = "user"  # "admin" (of the server) or "user"
    plan: str = "team"
    api_token_hash: str = attrs.field(default="", repr=False)  # sha256 hex of the token
    # The reference shows the token again in the web UI; we keep it encrypted for that.
    api_token_sealed: bytes = attrs.field(default=b"", repr=False)
    has_verified_email: bool = True
    is_banned: bool = False
    given_name: str = ""
    family_name: str = ""
    locale: str = ""  # none chosen: what the browser asks for
    timezone: str = "UTC"
    max_quota_per_alias: int = 0  # octets, 0: the server's default
    created_at: float = 0.0
    updated_at: float = 0.0


@attrs.frozen(kw_only=True)
class Member:
    """One user's place in a domain."""

    user_id: UserId
    group: str = "user"  # "admin" or "user"
    email: str = ""  # of the user, filled in by the store


@attrs.frozen(kw_only=True)
class Domain:
    """A mail domain of one account. ``name`` is the lower-case A-label form."""

    id: DomainId
    name: str
    plan: str = "team"
    verification_record: str = ""  # ten random alphanumerics, published in a TXT record
    members: tuple[Member, ...] = ()
    has_mx_record: bool = False
    has_txt_record: bool = False
    has_smtp: bool = False  # may send
    has_dkim_record: bool = False
    has_return_path_record: bool = False
    has_dmarc_record: bool = False
    has_spf_record: bool = False
    dkim_selector: str = ""
    dkim_private_key: bytes = attrs.field(default=b"", repr=False)  # Keyring.protect()ed PEM
    dkim_public_key: str = ""  # base64 SubjectPublicKeyInfo
    has_adult_content_protection: bool = True
    has_phishing_protection: bool = True
    has_executable_protection: bool = True
    has_virus_protection: bool = True
    has_recipient_verification: bool = False
    ignore_mx_check: bool = False
    is_catchall_regex_disabled: bool = False
    has_newsletter: bool = False
    max_recipients_per_alias: int = 0  # 0: the server's default
    max_quota_per_alias: int = 0  # octets
    smtp_port: int = 25
    retention_days: int = 0
    bounce_webhook: str = ""
    webhook_key: bytes = attrs.field(default=b"", repr=False)  # Keyring.protect()ed
    allowlist: tuple[str, ...] = ()
    denylist: tuple[str, ...] = ()
    restricted_alias_names: tuple[str, ...] = ()
    last_checked_at: float = 0.0
    smtp_verified_at: float = 0.0
    created_at: float = 0.0
    updated_at: float = 0.0
    # Filled in by the store when it lists:
    alias_count: int = 0
    storage_used: int = 0
    has_catchall: bool = False
    has_regex: bool = False


@attrs.frozen(kw_only=True)
class VacationResponder:
    """An automatic answer of an alias."""

    is_enabled: bool = False
    start_date: str = ""
    end_date: str = ""
    subject: str = ""
    message: str = ""


@attrs.frozen(kw_only=True)
class Alias:
    """
    A name at a domain: ``name`` is a lower-case local part, ``*`` or ``/regex/flags``.

    ``sealing_key`` is the public half of the mailbox's HPKE key pair, empty as long as no
    password was generated and so no mailbox exists. ``epoch`` is that of its ``MailboxKeys``.
    """

    id: AliasId
    domain_id: DomainId
    user_id: UserId
    name: str
    domain_name: str = ""  # filled in by the store
    user_email: str = ""  # filled in by the store
    description: str = ""
    labels: tuple[str, ...] = ()
    is_enabled: bool = True
    error_code_if_disabled: int = 550  # 250 throws mail away, so it has to be asked for
    recipients: tuple[str, ...] = ()
    verified_recipients: tuple[str, ...] = ()
    pending_recipients: tuple[str, ...] = ()
    has_recipient_verification: bool = False
    has_imap: bool = False
    has_pgp: bool = False
    public_key: str = ""
    max_quota: int = 0  # octets, 0: the domain's or the server's default
    retention: int = 0  # days
    storage_used: int = 0
    vacation_responder: VacationResponder = VacationResponder()
    settings: Mapping[str, object] = attrs.field(factory=dict)
    sealing_key: bytes = b""
    epoch: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def address(self) -> str:
        """``name@domain``, as a mail client knows the alias."""
        return f"{self.name}@{self.domain_name}"


@attrs.frozen(kw_only=True)
class Credential:
    """
    One way into a mailbox: a SCRAM-SHA-256 verifier (RFC 5802 §3) and a key slot.

    ``wrapped_key`` is the mailbox key, wrapped under HKDF(ClientKey); ClientKey itself is
    learned at login and never stored.
    """

    id: str
    alias_id: AliasId
    kind: str = "password"  # "password" or "recovery"
    description: str = ""
    salt: bytes = attrs.field(repr=False)
    iterations: int
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)
    wrapped_key: bytes = attrs.field(repr=False)
    created_at: float = 0.0
    last_used_at: float = 0.0


@attrs.frozen(kw_only=True)
class MailboxKeys:
    """
    All keys of an alias's mailbox: what seals it, and every way to open it, oldest first.

    They change together or not at all, and each change makes ``epoch`` greater by one. Whoever
    changes them says which epoch they read, so that of two at once one fails.
    """

    alias_id: AliasId
    epoch: int
    sealing_key: bytes = b""  # empty: no mailbox
    credentials: tuple[Credential, ...] = ()


@attrs.frozen(kw_only=True)
class RouteRows:
    """What the resolver of addresses needs of one hosted domain, read in one transaction."""

    domain: Domain
    owner_is_admin: bool  # an admin member of the domain is an admin of the server
    named: Alias | None  # the alias whose name equals the local part
    patterns: tuple[Alias, ...] = ()  # regex aliases, oldest first
    catchall: Alias | None = None


@attrs.frozen(kw_only=True)
class WebSession:
    """A signed-in browser."""

    id: str = attrs.field(repr=False)  # sha256 hex of the cookie's token
    user_id: UserId
    created_at: float
    expires_at: float
    remote: str = ""


@attrs.frozen(kw_only=True)
class LogEntry:
    """One line of a domain's delivery and login log; envelope only, never subject or body."""

    id: str
    created_at: float
    kind: str  # "login-failed", "delivered", "deferred", "failed", ...
    domain_id: str = ""
    alias_id: str = ""
    user_id: str = ""
    remote: str = ""
    detail: Mapping[str, str] = attrs.field(factory=dict)
