"""``/v1/domains/:domain/aliases``: list, add, read, change, remove, and generate passwords."""

from fe_mail.accounts.aliases import GeneratedPassword
from fe_mail.accounts.validation import boolean
from fe_mail.api.call import Answer, Call
from fe_mail.api.domains import shape as domain_shape
from fe_mail.api.objects import alias_object
from fe_mail.api.paging import page_of, read_query
from fe_mail.api.warnings import with_warnings
from fe_mail.model.account import Alias, Domain
from fe_mail.model.errors import AuthenticationFailed, Invalid, RateLimited

__all__ = [
    "FIELDS",
    "SECRETS",
    "add",
    "change",
    "generate_password",
    "index",
    "remove",
    "show",
]

FIELDS = (
    "name",
    "recipients",
    "description",
    "labels",
    "is_enabled",
    "error_code_if_disabled",
    "has_imap",
    "has_recipient_verification",
    "max_quota",
    "retention",
    "vacation_responder_is_enabled",
    "vacation_responder_start_date",
    "vacation_responder_end_date",
    "vacation_responder_subject",
    "vacation_responder_message",
    # These are refused, with the reason.
    "has_pgp",
    "public_key",
    "has_smime",
    "smime_certificate",
    "password",
    "new_password",
)
SECRETS = ("new_password", "password", "is_override", "emailed_instructions")


def _shape(call: Call, alias: Alias, domain: Domain) -> dict[str, object]:
    return alias_object(
        alias,
        domain,
        web_url=call.api.web_url,
        default_quota_octets=call.api.default_quota_octets,
    )


async def index(call: Call, domain_id: str) -> Answer:
    """The aliases of a domain that the caller may see."""
    domain = await call.services.domains.get(call.owner, domain_id)
    page = await call.services.aliases.list(call.owner, domain, read_query(call.query))
    return page_of(call, page, lambda alias: _shape(call, alias, domain))


async def add(call: Call, domain_id: str) -> object:
    """A new alias; the answer holds its whole domain."""
    domain = await call.services.domains.get(call.owner, domain_id)
    alias = await call.services.aliases.create(call.owner, domain, call.fields)
    domain = await call.services.domains.get(call.owner, domain.id)
    shown = {**_shape(call, alias, domain), "domain": domain_shape(call, domain)}
    return with_warnings(
        call, shown, await call.services.prospects.of_alias(call.owner, domain, alias)
    )


async def show(call: Call, domain_id: str, alias_id: str) -> object:
    """One alias, by id or name."""
    domain = await call.services.domains.get(call.owner, domain_id)
    alias = await call.services.aliases.get(call.owner, domain, alias_id)
    found = await call.services.prospects.of_alias(call.owner, domain, alias)
    return with_warnings(call, _shape(call, alias, domain), found)


async def change(call: Call, domain_id: str, alias_id: str) -> object:
    """Change an alias."""
    domain = await call.services.domains.get(call.owner, domain_id)
    alias = await call.services.aliases.get(call.owner, domain, alias_id)
    changed = await call.services.aliases.update(call.owner, domain, alias, call.fields)
    found = await call.services.prospects.of_change(call.owner, domain, alias, changed)
    return with_warnings(call, _shape(call, changed, domain), found)


async def remove(call: Call, domain_id: str, alias_id: str) -> object:
    """Remove an alias and its mailbox."""
    domain = await call.services.domains.get(call.owner, domain_id)
    alias = await call.services.aliases.get(call.owner, domain, alias_id)
    await call.services.aliases.delete(call.owner, domain, alias)
    found = await call.services.prospects.of_loss(call.owner, alias.address)
    return with_warnings(call, _shape(call, alias, domain), found)


async def generate_password(call: Call, domain_id: str, alias_id: str) -> object:
    """A new password: the mailbox is kept with ``password``, begun anew with ``is_override``."""
    domain = await call.services.domains.get(call.owner, domain_id)
    alias = await call.services.aliases.get(call.owner, domain, alias_id)
    if call.fields.get("emailed_instructions"):
        raise Invalid("Mailed instructions are not available here.", "emailed_instructions")
    try:
        generated = await call.services.aliases.generate_password(
            call.owner,
            domain,
            alias,
            new_password=_secret(call, "new_password"),
            password=_secret(call, "password"),
            is_override=boolean(call.fields.get("is_override", False), "is_override"),
        )
    except AuthenticationFailed:
        raise Invalid("The password is not correct.", "password", "WRONG_PASSWORD") from None
    except RateLimited as error:
        raise Invalid(error.sentence, "password", "ALIAS_RATE_LIMITED") from None
    return _generated(generated)


def _secret(call: Call, name: str) -> str:
    value = call.fields.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid("A password must be text.", name)
    return value or ""


def _generated(generated: GeneratedPassword) -> dict[str, str]:
    shown = {"username": generated.username, "password": generated.password}
    if generated.recovery_code:
        shown["recovery_code"] = generated.recovery_code
    return shown
