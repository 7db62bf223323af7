"""
Users, domains and aliases as the clients of the API know them.

Every object has ``id``, ``object``, ``created_at`` and ``updated_at``. Secrets never appear:
no hashes, tokens, private or sealing keys. Settings that do nothing yet look off, or are named in
``settings_without_effect`` (``accounts/effects.py``).
"""

import datetime
from collections.abc import Iterable, Mapping

from fe_mail.accounts.dns_records import DNSRecord
from fe_mail.accounts.effects import off, without_effect
from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.site import quota_within
from fe_mail.model.account import Alias, Domain, Member, User, VacationResponder
from fe_mail.model.address import display_domain

__all__ = [
    "alias_account_object",
    "alias_object",
    "domain_object",
    "settings_object",
    "timestamp",
    "user_object",
]

DEFAULT_LOCALE = "en"  # for clients that know no "none chosen"

_SENDING = ("dkim", "return_path", "dmarc")
_ADMIN_ONLY = (
    "custom_verification",
    "allowlist",
    "denylist",
    "restricted_alias_names",
    "invites",
)


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user_object(user: User, default_quota_octets: int) -> dict[str, object]:
    """An account."""
    full_name = f"{user.given_name} {user.family_name}".strip()
    name = full_name or user.email
    return {
        "id": user.id,
        "object": "user",
        "created_at": timestamp(user.created_at),
        "updated_at": timestamp(user.updated_at),
        "plan": user.plan,
        "group": user.group,
        "email": user.email,
        "full_email": f"{full_name} <{user.email}>" if full_name else user.email,
        "display_name": name,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "avatar_url": "",
        "otp_enabled": False,
        "locale": user.locale or DEFAULT_LOCALE,
        "last_locale": user.locale or DEFAULT_LOCALE,
        "address_country": "None",
        "address_html": "",
        "has_newsletter": False,
        "has_verified_email": user.has_verified_email,
        "timezone": user.timezone,
        "max_quota_per_alias": user.max_quota_per_alias or default_quota_octets,
    }


def _short_user(user_id: str, email: str) -> dict[str, object]:
    return {"id": user_id, "object": "user", "email": email, "display_name": email}


def _member(member: Member, domain: Domain) -> dict[str, object]:
    return {
        "id": member.user_id,
        "object": "member",
        "group": member.group,
        "user": _short_user(member.user_id, member.email),
        "created_at": timestamp(domain.created_at),
        "updated_at": timestamp(domain.updated_at),
    }


def domain_object(
    domain: Domain,
    reader: User | None,
    *,
    web_url: str,
    default_quota_octets: int,
    default_recipients: int,
    records: Iterable[DNSRecord] = (),
) -> dict[str, object]:
    """
    A domain as ``reader`` may see it, or for None as the operator of the server does; ``records``
    are those to publish.
    """
    sees_all = reader is None or is_admin(reader, domain)
    me = reader.id if reader is not None else ""
    members = [m for m in domain.members if sees_all or m.user_id == me]
    shown = {
        **_domain_head(domain, web_url),
        **_domain_flags(domain),
        "smtp_dns_records": {
            record.purpose: {"name": record.name, "value": record.value}
            for record in records
            if record.purpose in _SENDING
        },
        "custom_verification": {},
        "allowlist": [],
        "denylist": [],
        "restricted_alias_names": list(domain.restricted_alias_names),
        "max_recipients_per_alias": domain.max_recipients_per_alias or default_recipients,
        "max_quota_per_alias": domain.max_quota_per_alias or default_quota_octets,
        "storage_used": domain.storage_used,
        "storage_used_by_aliases": domain.storage_used,
        "storage_quota": domain.max_quota_per_alias or default_quota_octets,
        "alias_count": domain.alias_count,
        "members": [_member(member, domain) for member in members],
        "invites": [],
    }
    shown["settings_without_effect"] = without_effect("domain", shown)
    if domain.smtp_verified_at:
        shown["smtp_verified_at"] = timestamp(domain.smtp_verified_at)
    return shown if sees_all else {k: v for k, v in shown.items() if k not in _ADMIN_ONLY}


def _domain_head(domain: Domain, web_url: str) -> dict[str, object]:
    return {
        "id": domain.id,
        "object": "domain",
        "created_at": timestamp(domain.created_at),
        "updated_at": timestamp(domain.updated_at),
        "link": f"{web_url}/my-account/domains/{domain.name}",
        "name": display_domain(domain.name),
        "plan": domain.plan,
        "verification_record": domain.verification_record,
        "smtp_port": str(off("domain.smtp_port", domain.smtp_port)),
        "retention_days": off("domain.retention_days", domain.retention_days),
    }


def _domain_flags(domain: Domain) -> dict[str, object]:
    return {
        "has_mx_record": domain.has_mx_record,
        "has_txt_record": domain.has_txt_record,
        "has_smtp": domain.has_smtp,
        "is_smtp_suspended": False,
        "has_dkim_record": domain.has_dkim_record,
        "has_return_path_record": domain.has_return_path_record,
        "has_dmarc_record": domain.has_dmarc_record,
        "has_spf_record": domain.has_spf_record,
        "has_adult_content_protection": domain.has_adult_content_protection,
        "has_phishing_protection": domain.has_phishing_protection,
        "has_executable_protection": domain.has_executable_protection,
        "has_virus_protection": domain.has_virus_protection,
        "has_recipient_verification": domain.has_recipient_verification,
        "has_custom_verification": False,
        "has_newsletter": off("domain.has_newsletter", domain.has_newsletter),
        "has_custom_s3": False,
        "ignore_mx_check": domain.ignore_mx_check,
        "is_catchall_regex_disabled": domain.is_catchall_regex_disabled,
        "has_regex": domain.has_regex,
        "has_catchall": domain.has_catchall,
    }


def alias_object(
    alias: Alias,
    domain: Domain,
    *,
    web_url: str,
    default_quota_octets: int,
) -> dict[str, object]:
    """An alias, with the short form of its domain."""
    shown: dict[str, object] = {
        "id": alias.id,
        "object": "alias",
        "created_at": timestamp(alias.created_at),
        "updated_at": timestamp(alias.updated_at),
        "user": _short_user(alias.user_id, alias.user_email),
        "domain": _domain_head(domain, web_url),
        "name": alias.name,
        "labels": list(alias.labels),
        "is_enabled": alias.is_enabled,
        "error_code_if_disabled": alias.error_code_if_disabled,
        "has_recipient_verification": alias.has_recipient_verification,
        "recipients": list(alias.recipients),
        "verified_recipients": list(alias.verified_recipients),
        "pending_recipients": list(alias.pending_recipients),
        "has_imap": alias.has_imap,
        "has_pgp": off("alias.has_pgp", alias.has_pgp),
        "public_key": off("alias.public_key", alias.public_key),
        "has_smime": False,
        "storage_used": alias.storage_used,
        "storage_location": "local",
        "max_quota": quota_within(alias, domain, default_quota_octets),
        "retention": off("alias.retention", alias.retention),
        "vacation_responder": _vacation(alias.vacation_responder),
    }
    if alias.description:
        shown["description"] = alias.description
    return shown


def _vacation(responder: VacationResponder) -> dict[str, object]:
    dates = {"start_date": responder.start_date, "end_date": responder.end_date}
    return {
        "is_enabled": off("alias.vacation_responder_is_enabled", responder.is_enabled),
        **{name: date for name, date in dates.items() if date},
        "subject": responder.subject,
        "message": responder.message,
    }


def settings_object(stored: Mapping[str, object]) -> dict[str, object]:
    """The settings of an alias, with every default filled in."""
    mail = stored.get("mail")
    aliases = stored.get("aliases")
    defaults = aliases.get("defaults") if isinstance(aliases, Mapping) else None
    labels = stored.get("label_settings")
    return {
        "mail": {
            "archive_folder": None,
            "sent_folder": None,
            "drafts_folder": None,
            **(mail if isinstance(mail, Mapping) else {}),
        },
        "label_settings": dict(labels) if isinstance(labels, Mapping) else {},
        "aliases": {"defaults": dict(defaults) if isinstance(defaults, Mapping) else {}},
    }


def alias_account_object(
    alias: Alias, domain: Domain, default_quota_octets: int
) -> dict[str, object]:
    """An alias that asks about itself with its own credentials."""
    return {
        "id": alias.id,
        "object": "alias",
        "created_at": timestamp(alias.created_at),
        "updated_at": timestamp(alias.updated_at),
        "name": alias.name,
        "email": alias.address,
        "domain_id": domain.id,
        "domain_name": display_domain(domain.name),
        "storage_used": alias.storage_used,
        "storage_quota": quota_within(alias, domain, default_quota_octets),
        "has_imap": alias.has_imap,
        "has_pgp": off("alias.has_pgp", alias.has_pgp),
        "public_key": off("alias.public_key", alias.public_key),
        "locale": DEFAULT_LOCALE,
        "settings": settings_object(alias.settings),
    }
