"""
What the settings in a request mean for a domain: attributes to store, or ``Invalid``.

Pure. What is absent stays as it is; a setting that does not exist is refused, and so is a wish for
what this server does not have (``effects``).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fe_mail.accounts import validation
from fe_mail.accounts.effects import refuse_idle
from fe_mail.model.address import folded
from fe_mail.model.errors import Invalid

__all__ = ["domain_changes"]

MAX_RETENTION_DAYS = 30

Check = Callable[[object], object]

_FLAGS = (
    "has_adult_content_protection",
    "has_phishing_protection",
    "has_executable_protection",
    "has_virus_protection",
    "has_recipient_verification",
    "ignore_mx_check",
    "is_catchall_regex_disabled",
    "has_newsletter",
)
# Clients know them, and here only their empty values are taken.
_UNSTORED_FLAGS = ("has_custom_s3", "has_custom_verification")
_UNSTORED_TEXTS = (
    "s3_endpoint",
    "s3_access_key_id",
    "s3_secret_access_key",
    "s3_region",
    "s3_bucket",
)


def domain_changes(settings: Mapping[str, object], *, max_quota_octets: int) -> dict[str, object]:
    """The attributes to store."""
    unknown = sorted(set(settings) - {*_CHECKS, "max_quota_per_alias"})
    if unknown:
        raise Invalid("This setting does not exist.", field=unknown[0])
    found: dict[str, object] = {}
    for name, value in settings.items():
        if name == "max_quota_per_alias":
            found[name] = validation.octets(value, name, max_quota_octets)
        else:
            found[name] = _CHECKS[name](value)
        refuse_idle(f"domain.{name}", found[name])
    unstored = {*_UNSTORED_FLAGS, *_UNSTORED_TEXTS}
    return {name: value for name, value in found.items() if name not in unstored}


def _flag(field: str) -> Check:
    return lambda value: validation.boolean(value, field)


def _text(field: str) -> Check:
    return lambda value: validation.plain_text(value, field, validation.MAX_URL_LENGTH)


def _entries(field: str) -> Check:
    return lambda value: validation.entry_list(value, field)


def _number(field: str, low: int, high: int, code: str = "") -> Check:
    return lambda value: validation.whole_number(value, field, low, high, code)


def _restricted(value: object) -> tuple[str, ...]:
    return tuple(folded(name) for name in validation.split_list(value, "restricted_alias_names"))[
        : validation.MAX_LIST_ENTRIES
    ]


def _webhook(value: object) -> str:
    """A URL; empty or ``false``, as JSON or as text, clears it."""
    is_cleared = value is False or (isinstance(value, str) and value.strip() in ("", "false"))
    return "" if is_cleared else validation.web_url(value, "bounce_webhook")


_CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "plan": validation.plan,
        **{name: _flag(name) for name in (*_FLAGS, *_UNSTORED_FLAGS)},
        **{name: _text(name) for name in _UNSTORED_TEXTS},
        "smtp_port": _number("smtp_port", 1, 65535, "INVALID_PORT"),
        "retention_days": _number("retention_days", 0, MAX_RETENTION_DAYS),
        "max_recipients_per_alias": _number(
            "max_recipients_per_alias", 0, validation.MAX_RECIPIENTS
        ),
        "bounce_webhook": _webhook,
        "allowlist": _entries("allowlist"),
        "denylist": _entries("denylist"),
        "restricted_alias_names": _restricted,
    }
)
