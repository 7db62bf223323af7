"""Aliases: the list, the form, and where an address goes."""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from fe_mail.accounts.explaining import explain, sees
from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.pasting import pasted_local, pasted_recipients
from fe_mail.model.account import Alias, Domain, LogEntry
from fe_mail.model.address import display_address, parse_address
from fe_mail.model.errors import Invalid, MailError
from fe_mail.model.page import Page as Items
from fe_mail.model.page import Query
from fe_mail.model.route import Route
from fe_mail.model.sentence import Sentence
from fe_mail.web.confirming import ACTS, CONFIRM, Question, ask, confirm, losses
from fe_mail.web.lists import Listing, kept_place, list_page, listing_query
from fe_mail.web.notices import unpack_notice
from fe_mail.web.paths import alias_path, aliases_path
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = [
    "CHANGES",
    "FIELDS",
    "add",
    "ask_new",
    "ask_recipient",
    "edit",
    "find",
    "index",
    "place_of",
    "save",
]

_SWITCHES = ("has_imap", "is_enabled")
_TEXTS = ("description", "labels", "error_code_if_disabled")
FIELDS = ("name", "recipients", "max_quota", *_SWITCHES, *_TEXTS, "place")
CHANGES = ("_section", CONFIRM, "asked", *FIELDS)
SORTABLE = ("name", "description", "is_enabled", "created_at")
THROWN_AWAY = 250
NEWEST_FIRST = "-created_at"  # who has hundreds looks for the one that was just made


async def find(visit: Visit, domain_id: str, alias_id: str) -> tuple[Domain, Alias]:
    """A domain and an alias of it, as the path names them."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    return domain, await visit.services.aliases.get(visit.owner, domain, alias_id)


def place_of(visit: Visit) -> str:
    """Where in the list the visitor came from."""
    return kept_place(visit.field("place") or visit.query.get("place", ""), SORTABLE)


# The list --------------------------------------------------------------------------------------


async def index(visit: Visit, domain_id: str) -> Result:
    """The aliases that the visitor may see; a search, and a question about an address."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    asked = visit.query.get("to", "").strip()
    listing = await _listing(visit, domain)
    values = {
        "domain": domain,
        "is_admin": is_admin(visit.owner, domain),
        "listing": listing,
        "asked": asked,
        "route": await _route(visit, domain, asked) if asked else None,
        "may_see": sees(visit.owner),
        "explain": explain,
        "warnings": await _warnings(visit, domain, listing.page.items),
    }
    return Page("aliases/index.html", values, part="aliases/table.html")


async def _listing(visit: Visit, domain: Domain) -> Listing[Alias]:
    async def ask_for(query: Query) -> Items[Alias]:
        return await visit.services.aliases.list(visit.owner, domain, _meant(query, domain))

    return await list_page(ask_for, listing_query(visit.query, SORTABLE))


def _meant(query: Query, domain: Domain) -> Query:
    """The newest first, if nothing else is asked; a whole address means its alias."""
    local, _, host = query.q.rpartition("@")
    is_whole = bool(local) and host.lower() == domain.name
    q = local if is_whole else query.q.rstrip("@")
    return attrs.evolve(query, q=q, sort=query.sort or NEWEST_FIRST)


async def _route(visit: Visit, domain: Domain, asked: str) -> Route | None:
    """Where mail to an address of this domain goes; None if it is no address of it."""
    try:
        address = parse_address(f"{pasted_local(asked, domain.name)}@{domain.name}")
    except Invalid:
        return None
    return await visit.services.router.route(address, claim=domain.id)


async def _warnings(visit: Visit, domain: Domain, shown: Iterable[Alias]) -> list[Sentence]:
    """What leads nowhere: of the domain, of the aliases on the page, and since the last change."""
    prospects = visit.services.prospects.at_a_glance()
    found = await prospects.of_new_domain(visit.owner, domain)
    for alias in shown:
        found += await prospects.ways_of(visit.owner, domain, alias)
    _, about = unpack_notice(visit.cookie("notice"))
    if about.endswith(f"@{domain.name}"):
        found += await prospects.of_loss(visit.owner, about)
    return list({str(sentence): sentence for sentence in found}.values())


# The form --------------------------------------------------------------------------------------


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
        "error_code_if_disabled": "550",
        "max_quota": "",
        **form,
    }
    values = {
        "domain": domain,
        "alias": alias,
        "form": shown,
        "is_admin": is_admin(visit.owner, domain),
        "failed": failed,
        "place": place_of(visit),
    }
    return Page("aliases/edit.html", values, error=error)


def _fields(visit: Visit, domain: Domain) -> dict[str, object]:
    """What the form says; an unticked box means no. ``Invalid`` for another domain's address."""
    fields: dict[str, object] = {name: bool(visit.field(name)) for name in _SWITCHES}
    fields.update({name: visit.field(name) for name in _TEXTS if name in visit.form})
    if not fields.get("error_code_if_disabled"):
        fields.pop("error_code_if_disabled", None)
    fields["recipients"] = pasted_recipients(visit.field("recipients"))
    if visit.field("name"):
        fields["name"] = pasted_local(visit.field("name"), domain.name)
    if "max_quota" in visit.form and is_admin(visit.owner, domain):
        fields["max_quota"] = visit.field("max_quota")
    return fields


async def add(visit: Visit, domain_id: str) -> Result:
    """Add an alias; one with a mailbox goes on to its password."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    try:
        fields = _fields(visit, domain)
        alias = await visit.services.aliases.create(visit.owner, domain, fields)
    except MailError as error:
        return _form(visit, domain, None, dict(visit.form), error)
    if alias.has_imap:
        path = alias_path(domain, alias, "generate-password")
        return Redirect(path, "alias-added", alias.address)
    return Redirect(aliases_path(domain, alias=alias), "alias-added", alias.address)


async def edit(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """The form for an alias."""
    domain, alias = await find(visit, domain_id, alias_id)
    failed = await visit.services.failed_logins.of_alias(alias.id)
    page = _form(visit, domain, alias, _as_form(alias), failed=failed)
    warnings = await visit.services.prospects.of_alias(visit.owner, domain, alias)
    return attrs.evolve(page, values={**page.values, "warnings": warnings})


async def ask_recipient(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Mail the link to a recipient once more."""
    domain, alias = await find(visit, domain_id, alias_id)
    recipient = visit.field("recipient")
    try:
        await visit.services.recipient_links.ask_again(alias, recipient)
    except MailError as error:
        return _form(visit, domain, alias, _as_form(alias), error)
    return Redirect(alias_path(domain, alias), "recipient-asked", recipient, is_reload=True)


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


async def save(visit: Visit, domain: Domain, alias: Alias) -> Result:
    """What the form says, after the questions that it raises."""
    try:
        fields = _fields(visit, domain)
        question = await _unanswered(visit, domain, alias, fields)
        if question is not None:
            return question
        changed = await visit.services.aliases.update(visit.owner, domain, alias, fields)
    except MailError as error:
        return _form(visit, domain, alias, dict(visit.form), error)
    path = aliases_path(domain, place_of(visit), changed)
    return Redirect(path, "alias-saved", changed.address)


async def _unanswered(
    visit: Visit, domain: Domain, alias: Alias, fields: Mapping[str, object]
) -> Page | None:
    """The next question, until all are answered; ``asked`` names those that were put."""
    if visit.is_script:
        return None
    asked = tuple(act for act in visit.field("asked").split() if act in ACTS)
    try:
        if asked:
            confirm(visit, asked[-1])
    except Invalid as error:
        return await _question(visit, domain, alias, asked, error)
    raised = [act for act in _raised(alias, fields) if act not in asked]
    return await _question(visit, domain, alias, (*asked, raised[0])) if raised else None


def _raised(alias: Alias, fields: Mapping[str, object]) -> Iterator[str]:
    """The acts by which the form takes something away."""
    if alias.has_imap and alias.sealing_key and not fields["has_imap"]:
        yield "stop-keeping"
    code = str(fields.get("error_code_if_disabled", alias.error_code_if_disabled))
    is_lossy_now = not alias.is_enabled and alias.error_code_if_disabled == THROWN_AWAY
    if not fields["is_enabled"] and code == str(THROWN_AWAY) and not is_lossy_now:
        yield "throw-away"


async def _question(
    visit: Visit,
    domain: Domain,
    alias: Alias,
    asked: tuple[str, ...],
    error: MailError | None = None,
) -> Page:
    """What becomes of the mail and of those who read it; the rest of the form comes along."""
    carried = {name: visit.field(name) for name in FIELDS if name in visit.form}
    question = Question(
        act=asked[-1],
        about=alias.address,
        action=alias_path(domain, alias),
        back=alias_path(domain, alias, place=place_of(visit)),
        carried={**carried, "asked": " ".join(asked)},
        domain=domain,
        tab="aliases",
    )
    if asked[-1] == "stop-keeping":
        recipients = pasted_recipients(visit.field("recipients")) or alias.user_email
        question = attrs.evolve(
            question,
            lost=losses(await visit.services.stakes.of_mailbox(alias)),
            remark=Sentence("New mail goes to %(to)s.", to=", ".join(recipients.split())),
        )
    return ask(question, error)
