"""
What the fields of a form or a request mean for an alias, and whether the caller may have it so.

Pure: fields, the domain and the caller in, attributes to store out, or ``Invalid``. What is absent
stays as it is, and what is empty becomes empty. Fields that are nobody's business here are ignored.
"""

import secrets
import string
from collections.abc import Mapping
from typing import Any

import attrs

from fe_mail.accounts import validation
from fe_mail.accounts.alias_names import normalized_name
from fe_mail.accounts.effects import refuse_idle
from fe_mail.accounts.patterns import is_wildcard
from fe_mail.accounts.site import Site
from fe_mail.mailauth.srs import is_srs
from fe_mail.model.account import Alias, Domain, User, VacationResponder
from fe_mail.model.errors import Invalid
from fe_mail.model.web import Reach

__all__ = ["MAX_SUBJECT_LENGTH", "MAX_VACATION_LENGTH", "Editing"]

RANDOM_NAME_LENGTH = 10
MAX_RETENTION_DAYS = 36_500
MAX_SUBJECT_LENGTH = 100
MAX_VACATION_LENGTH = 1000
_ALPHABET = string.ascii_lowercase + string.digits
_VACATION = "vacation_responder_"
_SEEN = (
    *("name", "labels", "is_enabled", "has_imap", "vacation_responder"),
    *("recipients", "verified_recipients", "pending_recipients", "has_recipient_verification"),
)


@attrs.frozen(kw_only=True)
class Editing:
    """One change of an alias; ``alias`` is None for a new one."""

    user: User
    domain: Domain
    site: Site
    is_admin: bool  # of the domain
    alias: Alias | None = None

    @property
    def seen(self) -> dict[str, object]:
        """What the changes were made from: they count only while the stored alias has it too."""
        return {name: getattr(self.alias, name) for name in _SEEN} if self.alias else {}

    def changes(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The attributes to store. ``Invalid``."""
        if "password" in fields or "new_password" in fields:
            raise Invalid(
                "The password of an alias is changed with generate-password.", field="password"
            )
        name = self._name(fields)
        labels = self.alias.labels if self.alias else ()
        found: dict[str, object] = {
            "name": name,
            "labels": validation.labels(fields.get("labels", labels), name),
        }
        if "description" in fields:
            found["description"] = validation.description(fields["description"])
        for field in ("is_enabled", "has_imap"):
            if field in fields:
                found[field] = validation.boolean(fields[field], field)
        if "error_code_if_disabled" in fields:
            found["error_code_if_disabled"] = validation.error_code(
                fields["error_code_if_disabled"]
            )
        if "retention" in fields:
            found["retention"] = _retention(fields["retention"])
        found.update(self._recipients(fields, bool(self._now("has_imap", found))))
        found.update(self._quota(fields))
        found.update(self._vacation(fields))
        _refuse_encryption(fields)
        self._check_wildcard(name, found)
        return found

    def _now(self, attribute: str, found: Mapping[str, object]) -> object:
        """An attribute as it will be."""
        before = getattr(self.alias, attribute, None)
        return found.get(attribute, before)

    def _name(self, fields: Mapping[str, object]) -> str:
        if not fields.get("name"):
            if self.alias is not None:
                return normalized_name(self.alias.name)
            return "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_NAME_LENGTH))
        name = validation.alias_name(fields["name"], self.domain.name)
        is_new = self.alias is None or self.alias.name != name
        if is_new and is_srs(name) and self.domain.name == self.site.web_host:
            raise Invalid(
                "Names that begin like this belong to reports about forwarded mail.",
                field="name",
                code="INVALID_ALIAS_NAME",
            )
        if is_new and not self.is_admin:
            if is_wildcard(name):
                raise Invalid(
                    "Only an admin of the domain can add a catch-all or a regular expression.",
                    field="name",
                    code="IS_NOT_ADMIN",
                )
            validation.refuse_reserved(name, self.domain.restricted_alias_names)
        return name

    def _recipients(self, fields: Mapping[str, object], has_imap: bool) -> dict[str, object]:
        default = self.domain.has_recipient_verification
        must_verify = self.alias.has_recipient_verification if self.alias else default
        if "has_recipient_verification" in fields:
            field = "has_recipient_verification"
            must_verify = validation.boolean(fields[field], field)
        limit = self.domain.max_recipients_per_alias or self.site.max_forwarded
        given: object = fields.get("recipients")
        reach: Reach | None = self.site.webhooks
        if given is None:  # what was allowed when it was stored stays
            given = self.alias.recipients if self.alias else (self._owner_email,)
            limit, reach = validation.MAX_RECIPIENTS, None
        found = validation.recipients(given, limit, emails_only=must_verify, webhooks=reach)
        if not found and not has_imap:
            found = (self._owner_email,)
        return {
            "recipients": found,
            "has_recipient_verification": must_verify,
            **self._verified(found, must_verify),
        }

    @property
    def _owner_email(self) -> str:
        """An admin may change the alias of somebody else."""
        return (self.alias.user_email if self.alias else "") or self.user.email

    def _verified(self, found: tuple[str, ...], must_verify: bool) -> dict[str, object]:
        known = {self._owner_email, *(self.alias.verified_recipients if self.alias else ())}
        verified = tuple(each for each in found if each in known)
        pending = tuple(each for each in found if each not in known) if must_verify else ()
        return {"verified_recipients": verified, "pending_recipients": pending}

    def _quota(self, fields: Mapping[str, object]) -> dict[str, object]:
        if "max_quota" not in fields:
            return {}
        limit = self.domain.max_quota_per_alias or self.site.max_quota_octets
        size = validation.octets(fields["max_quota"], "max_quota", limit)
        if not self.is_admin and size != (self.alias.max_quota if self.alias else 0):
            raise Invalid(
                "Only an admin of the domain can change the size of a mailbox.",
                field="max_quota",
                code="IS_NOT_ADMIN",
            )
        return {"max_quota": size}

    def _vacation(self, fields: Mapping[str, object]) -> dict[str, object]:
        given = {
            key.removeprefix(_VACATION): value
            for key, value in fields.items()
            if key.startswith(_VACATION)
        }
        if not given:
            return {}
        before = self.alias.vacation_responder if self.alias else VacationResponder()
        after = attrs.evolve(before, **_vacation_fields(given))
        if after.start_date and after.end_date and after.start_date >= after.end_date:
            raise Invalid(
                "The automatic answer must start before it ends.",
                field=f"{_VACATION}start_date",
                code="INVALID_DATE",
            )
        if "is_enabled" in given:
            refuse_idle(f"alias.{_VACATION}is_enabled", after.is_enabled)
        return {"vacation_responder": after}

    def _check_wildcard(self, name: str, found: Mapping[str, object]) -> None:
        if not is_wildcard(name):
            return
        if self.domain.is_catchall_regex_disabled:
            raise Invalid(
                "Catch-all and regular expressions are switched off for this domain.",
                field="name",
            )
        if self._now("has_imap", found):
            raise Invalid(
                "A catch-all or a regular expression has no mailbox. Let it lead to an alias "
                "that has one.",
                field="has_imap",
            )
        if name == "*" and self._now("is_enabled", found) is False:
            raise Invalid("A catch-all cannot be disabled. Delete it instead.", field="is_enabled")


def _retention(value: object) -> int:
    """Days; empty: none."""
    is_empty = isinstance(value, str) and not value.strip()
    days = validation.whole_number(0 if is_empty else value, "retention", 0, MAX_RETENTION_DAYS)
    refuse_idle("alias.retention", days)
    return days


def _refuse_encryption(fields: Mapping[str, object]) -> None:
    """A key that is stored and not used would promise a secrecy that nobody keeps."""
    for name in ("has_pgp", "has_smime"):
        if name in fields:
            refuse_idle(f"alias.{name}", validation.boolean(fields[name], name))
    for name in ("public_key", "smime_certificate"):
        refuse_idle(f"alias.{name}", fields.get(name) or "")


def _vacation_fields(given: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in given.items():
        label = f"{_VACATION}{field}"
        if field == "is_enabled":
            found[field] = validation.boolean(value, label)
        elif field in ("start_date", "end_date"):
            found[field] = validation.date(value, label)
        elif field == "subject":
            found[field] = validation.plain_text(value, label, MAX_SUBJECT_LENGTH)
        elif field == "message":
            found[field] = validation.long_text(value, label, MAX_VACATION_LENGTH)
    return found
