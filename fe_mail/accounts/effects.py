"""
What reads each thing that is stored of users, domains and aliases, and what nothing reads yet.

Existing clients send more settings along than this server acts upon. One that does nothing is shown
as off, is offered on no page, and a wish for its effect is refused with a sentence: whoever asks
for an automatic answer or a webhook for bounces shall hear at once that there is none. What asks
for nothing is taken: the value that means off, and what clients send without being asked.

``READERS`` names for every attribute one file that acts upon it; a test looks there. When a file
begins to act upon what stands in ``NOT_YET``, that entry goes and the reader is named. See
``docs/decisions/023-settings-without-effect.rst``.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Sentence

__all__ = ["NOT_YET", "READERS", "NotYet", "off", "refuse_idle", "without_effect"]


@attrs.frozen
class NotYet:
    """
    A setting without effect. ``off`` is how it is shown and what is always taken; ``taken`` are
    more values that clients send by themselves. A default of theirs is given back as it came
    (``is_given_back``), or programs that compare would set it again for ever: ``without_effect``
    says then that it does nothing.
    """

    off: object
    sentence: Sentence
    taken: tuple[object, ...] = ()
    is_given_back: bool = False


_SCANNER = NotYet(False, Sentence("This server does not scan messages yet."), (True,), True)
_PLAN = NotYet(
    "team", Sentence("There are no plans on this server."), ("free", "enhanced_protection"), True
)
_LISTS = NotYet((), Sentence("Allowlists and denylists are not available yet."))
_OPENPGP = Sentence(
    "OpenPGP encryption is not available on this server. Mailboxes are encrypted without it."
)
_SMIME = Sentence("S/MIME encryption is not available on this server.")
_STORAGE = Sentence("Storage elsewhere is not available on this server.")
_ANSWERS = Sentence("Automatic answers are not available on this server yet.")
_VERIFICATION = Sentence("A text of one's own for verification is not available yet.")

NOT_YET: Mapping[str, NotYet] = MappingProxyType(
    {
        "domain.plan": _PLAN,
        "domain.has_adult_content_protection": _SCANNER,
        "domain.has_phishing_protection": _SCANNER,
        "domain.has_executable_protection": _SCANNER,
        "domain.has_virus_protection": _SCANNER,
        "domain.has_newsletter": NotYet(False, Sentence("Newsletters are not available yet.")),
        "domain.smtp_port": NotYet(25, Sentence("Another port than 25 is not available yet.")),
        "domain.retention_days": NotYet(
            0, Sentence("Sent messages are not kept yet, so there are no days to set.")
        ),
        "domain.bounce_webhook": NotYet(
            "", Sentence("A webhook for bounces is not available yet.")
        ),
        "domain.allowlist": _LISTS,
        "domain.denylist": _LISTS,
        "alias.retention": NotYet(
            0, Sentence("Messages are kept until somebody deletes them: no days can be set yet.")
        ),
        "alias.vacation_responder_is_enabled": NotYet(False, _ANSWERS),
        "alias.has_pgp": NotYet(False, _OPENPGP),
        "alias.public_key": NotYet("", _OPENPGP),
        "user.plan": _PLAN,
        # Fields of requests that are not even stored:
        "domain.has_custom_s3": NotYet(False, _STORAGE),
        "domain.s3_endpoint": NotYet("", _STORAGE),
        "domain.s3_access_key_id": NotYet("", _STORAGE),
        "domain.s3_secret_access_key": NotYet("", _STORAGE),
        "domain.s3_region": NotYet("", _STORAGE),
        "domain.s3_bucket": NotYet("", _STORAGE),
        "domain.has_custom_verification": NotYet(False, _VERIFICATION),
        "alias.has_smime": NotYet(False, _SMIME),
        "alias.smime_certificate": NotYet("", _SMIME),
        "user.avatar_url": NotYet("", Sentence("Pictures of people are not available yet.")),
    }
)


def refuse_idle(name: str, value: object) -> None:
    """``Invalid`` if ``value``, which was checked, asks for what this server does not have."""
    setting = NOT_YET.get(name)
    if setting is not None and value not in (setting.off, *setting.taken):
        field = name.partition(".")[2]
        raise Invalid(setting.sentence, field=field, code="NOT_AVAILABLE")


def off(name: str, stored: object) -> object:
    """How a setting is shown: nothing that was stored before looks as if it worked."""
    setting = NOT_YET.get(name)
    return stored if setting is None or setting.is_given_back else setting.off


def without_effect(kind: str, values: Mapping[str, object]) -> list[str]:
    """The names of those settings that are given back as they came, and do nothing."""
    found = {name: NOT_YET.get(f"{kind}.{name}") for name in values}
    return [name for name, setting in found.items() if setting and setting.is_given_back]


# Files of the package. What only ``api/objects.py`` reads is a fact, not a setting.
READERS: Mapping[str, str] = MappingProxyType(
    {
        "user.id": "accounts/domains.py",
        "user.email": "accounts/domains.py",
        "user.password_hash": "accounts/users.py",
        "user.group": "accounts/domains.py",
        "user.api_token_hash": "adapters/sqlite/users.py",
        "user.api_token_sealed": "accounts/users.py",
        "user.has_verified_email": "api/access.py",
        "user.is_banned": "accounts/walk.py",
        "user.given_name": "web/templates/account/profile.html",
        "user.family_name": "web/templates/account/profile.html",
        "user.locale": "web/visit.py",
        "user.timezone": "api/objects.py",
        "user.max_quota_per_alias": "api/objects.py",
        "user.created_at": "api/objects.py",
        "user.updated_at": "api/objects.py",
        "domain.id": "accounts/domains.py",
        "domain.name": "accounts/dns_records.py",
        "domain.verification_record": "accounts/dns_records.py",
        "domain.members": "accounts/domains.py",
        "domain.has_mx_record": "web/board.py",
        "domain.has_txt_record": "accounts/claims.py",
        "domain.has_smtp": "reception/submission.py",
        "domain.has_dkim_record": "web/board.py",
        "domain.has_return_path_record": "web/board.py",
        "domain.has_dmarc_record": "web/board.py",
        "domain.has_spf_record": "web/board.py",
        "domain.dkim_selector": "reception/signing.py",
        "domain.dkim_private_key": "reception/signing.py",
        "domain.dkim_public_key": "accounts/dns_records.py",
        "domain.has_recipient_verification": "accounts/alias_fields.py",
        "domain.ignore_mx_check": "accounts/dns_receiving.py",
        "domain.is_catchall_regex_disabled": "accounts/walk.py",
        "domain.max_recipients_per_alias": "accounts/walk.py",
        "domain.max_quota_per_alias": "accounts/site.py",
        "domain.webhook_key": "accounts/webhook_keys.py",
        "domain.restricted_alias_names": "accounts/alias_fields.py",
        "domain.last_checked_at": "jobs/verify.py",
        "domain.smtp_verified_at": "accounts/verifying.py",
        "domain.created_at": "api/objects.py",
        "domain.updated_at": "api/objects.py",
        "domain.alias_count": "accounts/aliases.py",
        "domain.storage_used": "api/objects.py",
        "domain.has_catchall": "api/objects.py",
        "domain.has_regex": "api/objects.py",
        "alias.id": "delivery/local.py",
        "alias.domain_id": "accounts/walk.py",
        "alias.user_id": "accounts/aliases.py",
        "alias.name": "accounts/walk.py",
        "alias.domain_name": "accounts/keys.py",
        "alias.user_email": "accounts/alias_fields.py",
        "alias.description": "web/templates/aliases/table.html",
        "alias.labels": "web/templates/aliases/table.html",
        "alias.is_enabled": "accounts/walk.py",
        "alias.error_code_if_disabled": "accounts/walk.py",
        "alias.recipients": "accounts/walk.py",
        "alias.verified_recipients": "accounts/walk.py",
        "alias.pending_recipients": "web/templates/aliases/table.html",
        "alias.has_recipient_verification": "accounts/walk.py",
        "alias.has_imap": "accounts/login.py",
        "alias.max_quota": "accounts/site.py",
        "alias.storage_used": "web/templates/aliases/table.html",
        "alias.vacation_responder": "api/objects.py",
        "alias.settings": "api/account.py",
        "alias.sealing_key": "accounts/login.py",
        "alias.epoch": "accounts/keys.py",
        "alias.created_at": "api/objects.py",
        "alias.updated_at": "api/objects.py",
    }
)
