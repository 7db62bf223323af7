"""Aliases: the list, the form, the password, and where an address goes."""

from collections.abc import Iterable

import attrs

from fe_mail.accounts.aliases import GeneratedPassword
from fe_mail.accounts.domains import is_admin
from fe_mail.accounts.explaining import explain, sees
from fe_mail.model.account import Alias, Domain, LogEntry
from fe_mail.model.address import display_address, parse_address
from fe_mail.model.errors import AuthenticationFailed, Invalid, MailError
from fe_mail.model.route import Route
from fe_mail.model.sentence import Sentence
from fe_mail.web.i18n import N_
from fe_mail.web.lists import Listing, listing_query
from fe_mail.web.notices import unpack_notice
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit, account_path

__all__ = [
    "CHANGES",
    "FIELDS",
    "SECRETS",
    "add",
    "ask_new",
    "ask_password",
    "ask_recipient",
    "change",
    "edit",
    "index",
    "new_password",
    "remove",
]

_SWITCHES = ("has_imap", "is_enabled")
_TEXTS = ("description", "labels", "error_code_if_disabled")
FIELDS = ("name", "recipients", "max_quota", *_SWITCHES, *_TEXTS)
CHANGES = ("_section", *FIELDS)
SECRETS = ("new_password", "password", "is_override")


def _list_path(domain: Domain) -> str:
    return account_path("domains", domain.name, "aliases")


async def _found(visit: Visit, domain_id: str, alias_id: str) -> tuple[Domain, Alias]:
    domain = await visit.services.domains.get(visit.owner, domain_id)
    return domain, await visit.services.aliases.get(visit.owner, domain, alias_id)


async def index(visit: Visit, domain_id: str) -> Result:
    """The aliases that the visitor may see; a search, and a question about an address."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    query = listing_query(visit, ("name", "description", "is_enabled", "created_at"))
    found = await visit.services.aliases.list(visit.owner, domain, query)
    asked = visit.query.get("to", "").strip()
    values = {
        "domain": domain,
        "is_admin": is_admin(visit.owner, domain),
        "listing": Listing(found, query),
        "asked": asked,
        "route": await _route(visit, domain, asked) if asked else None,
        "may_see": sees(visit.owner),
        "explain": explain,
        "warnings": await _warnings(visit, domain, found.items),
    }
    return Page("aliases/index.html", values, part="aliases/table.html")


async def _route(visit: Visit, domain: Domain, asked: str) -> Route | None:
    """Where mail to an address of this domain goes; None if it is no address."""
    try:
        address = parse_address(f"{asked.partition('@')[0]}@{domain.name}")
    except Invalid:
        return None
    return await visit.services.router.route(address, claim=domain.id)


async def _warnings(visit: Visit, domain: Domain, shown: Iterable[Alias]) -> list[Sentence]:
    """What leads nowhere: of the domain, of the aliases on the page, and since the last change."""
    prospects = visit.services.prospects
    found = await prospects.of_new_domain(visit.owner, domain)
    for alias in shown:
        found += await prospects.ways_of(visit.owner, domain, alias)
    _, about = unpack_notice(visit.cookie("notice"))
    if about.endswith(f"@{domain.name}"):
        found += await prospects.of_loss(visit.owner, about)
    return list({str(sentence): sentence for sentence in found}.values())


async def ask_new(visit: Visit, domain_id: str) -> Result:
    """The form for a new alias."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    form: dict[str, object] = {
        "name": visit.query.get("name", ""),
        "recipients": visit.owner.email,
        "has_imap": "true",
        "is_enabled": "true",
    }
    return _form(visit, domain, None, form)


def _form(
    visit: Visit,
    domain: Domain,
    alias: Alias | None,
    form: dict[str, object],
    error: MailError | None = None,
    failed: tuple[LogEntry, ...] = (),
) -> Page:
    shown = {
        "name": "",
        "recipients": "",
        "description": "",
        "labels": "",
        "has_imap": "",
        "is_enabled": "",
        "error_code_if_disabled": "250",
        "max_quota": "",
        **form,
    }
    values = {
        "domain": domain,
        "alias": alias,
        "form": shown,
        "is_admin": is_admin(visit.owner, domain),
        "failed": failed,
    }
    return Page("aliases/edit.html", values, error=error)


def _fields(visit: Visit, domain: Domain) -> dict[str, object]:
    """What the form says; an unticked box means no."""
    fields: dict[str, object] = {name: bool(visit.field(name)) for name in _SWITCHES}
    fields.update({name: visit.field(name) for name in _TEXTS if visit.field(name)})
    fields["recipients"] = visit.field("recipients")
    if "name" in visit.form:
        fields["name"] = visit.field("name")
    if "max_quota" in visit.form and is_admin(visit.owner, domain):
        fields["max_quota"] = visit.field("max_quota")
    return fields


async def add(visit: Visit, domain_id: str) -> Result:
    """Add an alias; one with a mailbox goes on to its password."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    fields = _fields(visit, domain)
    if not fields.get("name"):
        fields.pop("name", None)
    try:
        alias = await visit.services.aliases.create(visit.owner, domain, fields)
    except MailError as error:
        return _form(visit, domain, None, dict(visit.form), error)
    if alias.has_imap:
        path = account_path("domains", domain.name, "aliases", alias.name, "generate-password")
        return Redirect(path, "alias-added", alias.address)
    return Redirect(_list_path(domain), "alias-added", alias.address)


async def edit(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """The form for an alias."""
    domain, alias = await _found(visit, domain_id, alias_id)
    failed = await visit.services.failed_logins.of_alias(alias.id)
    page = _form(visit, domain, alias, _as_form(alias), failed=failed)
    warnings = await visit.services.prospects.of_alias(visit.owner, domain, alias)
    return attrs.evolve(page, values={**page.values, "warnings": warnings})


def _as_form(alias: Alias) -> dict[str, object]:
    return {
        "name": alias.name,
        "recipients": "\n".join(map(display_address, alias.recipients)),
        "description": alias.description,
        "labels": ", ".join(alias.labels),
        "has_imap": "true" if alias.has_imap else "",
        "is_enabled": "true" if alias.is_enabled else "",
        "error_code_if_disabled": str(alias.error_code_if_disabled),
        "max_quota": _as_size(alias.max_quota) if alias.max_quota else "",
    }


def _as_size(octets: int) -> str:
    """Exact, in the largest unit that is: the field is saved again as it stands."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if octets % size == 0:
            return f"{octets // size} {unit}"
    return f"{octets} B"


async def change(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Save the form, or only switch the alias on or off."""
    domain, alias = await _found(visit, domain_id, alias_id)
    if visit.field("_section") == "enabled":
        return await _switch(visit, domain, alias)
    try:
        await visit.services.aliases.update(visit.owner, domain, alias, _fields(visit, domain))
    except MailError as error:
        return _form(visit, domain, alias, dict(visit.form), error)
    return Redirect(_list_path(domain), "alias-saved", alias.address)


async def _switch(visit: Visit, domain: Domain, alias: Alias) -> Result:
    is_enabled = visit.field("is_enabled") == "true"
    fields = {
        "name": alias.name,
        "recipients": list(alias.recipients),
        "description": alias.description,
        "labels": list(alias.labels),
        "is_enabled": is_enabled,
    }
    await visit.services.aliases.update(visit.owner, domain, alias, fields)
    notice = "alias-enabled" if is_enabled else "alias-disabled"
    return Redirect(_list_path(domain), notice, alias.address, is_reload=True)


async def ask_recipient(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Mail the link to a recipient once more."""
    domain, alias = await _found(visit, domain_id, alias_id)
    recipient = visit.field("recipient")
    try:
        await visit.services.recipient_links.ask_again(alias, recipient)
    except MailError as error:
        return _form(visit, domain, alias, _as_form(alias), error)
    path = account_path("domains", domain.name, "aliases", alias.id)
    return Redirect(path, "recipient-asked", recipient, is_reload=True)


async def remove(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Remove an alias and its mailbox."""
    domain, alias = await _found(visit, domain_id, alias_id)
    await visit.services.aliases.delete(visit.owner, domain, alias)
    return Redirect(_list_path(domain), "alias-removed", alias.address)


async def ask_password(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """The choices before a new password: keep the mailbox, or begin anew."""
    domain, alias = await _found(visit, domain_id, alias_id)
    return _password_form(domain, alias)


def _password_form(domain: Domain, alias: Alias, error: MailError | None = None) -> Page:
    has_password = bool(alias.sealing_key)
    values = {"domain": domain, "alias": alias, "has_password": has_password}
    return Page("aliases/password.html", values, error=error)


async def new_password(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """A new password, shown this once."""
    domain, alias = await _found(visit, domain_id, alias_id)
    try:
        generated = await visit.services.aliases.generate_password(
            visit.owner,
            domain,
            alias,
            new_password=visit.secret("new_password"),
            password=visit.secret("password"),
            is_override=visit.field("is_override") == "true",
        )
    except AuthenticationFailed:
        wrong = Invalid(N_("The current password is not correct."), "password", "WRONG_PASSWORD")
        return _password_form(domain, alias, wrong)
    except MailError as error:
        return _password_form(domain, alias, error)
    values = {"domain": domain, "alias": alias, "generated": generated}
    values["servers"] = visit.web.clients.rows
    return Page("aliases/generated.html", values, script=_for_script(visit, generated))


def _for_script(visit: Visit, generated: GeneratedPassword) -> dict[str, object]:
    shown: dict[str, object] = {"username": generated.username, "password": generated.password}
    if generated.recovery_code:
        shown["recovery_code"] = generated.recovery_code
    title = visit.text(N_("Your new password"))
    text = f"{generated.username}\n{generated.password}"
    return {**shown, "swal": {"title": title, "text": text, "type": "success"}}
