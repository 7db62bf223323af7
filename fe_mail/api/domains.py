"""``/v1/domains``: list, add, read, change, remove, and check the DNS records."""

from collections.abc import Collection, Mapping

from fe_mail.accounts.dns_findings import Verdict
from fe_mail.accounts.dns_records import RECEIVING, SENDING
from fe_mail.accounts.validation import boolean, split_list
from fe_mail.api.call import Answer, Call, Text
from fe_mail.api.objects import domain_object
from fe_mail.api.paging import page_of, read_query
from fe_mail.api.warnings import with_warnings
from fe_mail.http.bodies import Fields
from fe_mail.model.account import Domain
from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Paragraph, Sentence

__all__ = [
    "NEW",
    "SETTINGS",
    "add",
    "allow",
    "catchall_of",
    "change",
    "index",
    "remove",
    "shape",
    "show",
    "verify",
    "verify_sending",
]

SETTINGS = (
    "plan",
    "has_adult_content_protection",
    "has_phishing_protection",
    "has_executable_protection",
    "has_virus_protection",
    "has_recipient_verification",
    "ignore_mx_check",
    "has_newsletter",
    "is_catchall_regex_disabled",
    "smtp_port",
    "retention_days",
    "bounce_webhook",
    "max_quota_per_alias",
    "max_recipients_per_alias",
    # Only their empty values are taken.
    "has_custom_verification",
    "has_custom_s3",
    "s3_endpoint",
    "s3_access_key_id",
    "s3_secret_access_key",
    "s3_region",
    "s3_bucket",
)
NEW = ("domain", "name", "catchall", *SETTINGS)


def shape(call: Call, domain: Domain) -> dict[str, object]:
    """A domain as the caller sees it."""
    return domain_object(
        domain,
        call.owner,
        web_url=call.api.web_url,
        default_quota_octets=call.api.default_quota_octets,
        default_recipients=call.api.default_recipients,
        records=call.services.domains.records(domain),
    )


def _settings(fields: Fields) -> dict[str, object]:
    """The settings among the fields; anything else is ignored."""
    return {name: fields[name] for name in SETTINGS if name in fields}


def catchall_of(fields: Mapping[str, object]) -> bool | str:
    """
    Whether a new domain gets a catch-all, and to whom: a list of addresses, or a text with some.

    Absent means yes.
    """
    value = fields.get("catchall", True)
    if isinstance(value, list):
        return ",".join(split_list(value, "catchall"))
    try:
        return boolean(value, "catchall")
    except Invalid:
        if not isinstance(value, str):
            raise
        return value


async def index(call: Call) -> Answer:
    """The caller's domains."""
    page = await call.services.domains.list(call.owner, read_query(call.query))
    return page_of(call, page, lambda domain: shape(call, domain))


async def add(call: Call) -> object:
    """A new domain."""
    name = call.fields.get("domain", call.fields.get("name", ""))
    if not isinstance(name, str):
        raise Invalid("The domain name is not valid.", "domain", "INVALID_DOMAIN")
    domain = await call.services.domains.create(
        call.owner, name, catchall=catchall_of(call.fields), **_settings(call.fields)
    )
    return with_warnings(
        call, shape(call, domain), await call.services.prospects.of_new_domain(call.owner, domain)
    )


async def show(call: Call, domain_id: str) -> object:
    """One domain, by id or name."""
    return shape(call, await call.services.domains.get(call.owner, domain_id))


async def change(call: Call, domain_id: str) -> object:
    """Change settings; what is absent stays."""
    domains = call.services.domains
    domain = await domains.get(call.owner, domain_id)
    domains.require_admin(call.owner, domain)
    changed = await domains.update(call.owner, domain, **_settings(call.fields))
    found = await call.services.prospects.of_changed_domain(call.owner, changed)
    return with_warnings(call, shape(call, changed), found)


async def allow(call: Call, domain_id: str) -> object:
    """An admin of the server lets any domain send, or not any longer."""
    is_allowed = boolean(call.fields.get("has_smtp", True), "has_smtp")
    domain = await call.services.domains.allow_sending(call.owner, domain_id, is_allowed)
    return shape(call, domain)


async def remove(call: Call, domain_id: str) -> object:
    """Remove a domain with its aliases and their mailboxes."""
    domains = call.services.domains
    domain = await domains.get(call.owner, domain_id)
    domains.require_admin(call.owner, domain)
    await domains.delete(call.owner, domain)
    found = await call.services.prospects.of_lost_domain(call.owner, domain.name)
    return with_warnings(call, shape(call, domain), found)


async def verify(call: Call, domain_id: str) -> Text:
    """Look the records for receiving up now; text when all is well, else every reason."""
    await _check(call, domain_id, RECEIVING)
    return Text(Sentence("The domain's DNS records have been verified."))


async def verify_sending(call: Call, domain_id: str) -> Text:
    """The same for the records for sending."""
    await _check(call, domain_id, SENDING)
    return Text(Sentence("The domain's DNS records for sending have been verified."))


async def _check(call: Call, domain_id: str, purposes: Collection[str]) -> None:
    domains = call.services.domains
    domain = await domains.get(call.owner, domain_id)
    domains.require_admin(call.owner, domain)
    verification = await domains.verify(call.owner, domain)
    wrong = [r for r in verification.results if r.purpose in purposes and not r.passed]
    if "mx" in purposes and verification.leads_elsewhere:
        wrong += [r for r in verification.server if r.purpose == "reach"]
    if wrong:
        code = "DNS_TIMEOUT" if any(r.verdict is Verdict.SILENT for r in wrong) else ""
        raise Invalid(Paragraph(tuple(result.sentence for result in wrong), ", "), code=code)
