"""Domains: the list, a new one, and the set-up page with its DNS records and live check."""

from fe_mail.accounts.domains import Verification
from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.pasting import pasted_domain
from fe_mail.http.limits import CHECKS, take
from fe_mail.model.account import Domain
from fe_mail.model.errors import AlreadyExists, Invalid, MailError, NotFound
from fe_mail.model.sentence import Paragraph
from fe_mail.web.board import Board
from fe_mail.web.confirming import Question, ask, confirm, losses
from fe_mail.web.i18n import N_
from fe_mail.web.lists import list_page, listing_query
from fe_mail.web.paths import alias_path, aliases_path, domain_path
from fe_mail.web.results import Page, Plain, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = [
    "add",
    "ask_new",
    "ask_remove",
    "checked",
    "home",
    "index",
    "remove",
    "set_up",
    "verify",
    "zone",
]


async def home(visit: Visit) -> Result:
    """The account begins with the domains."""
    return Redirect("/my-account/domains")


async def index(visit: Visit) -> Result:
    """The visitor's domains; who has none gets the form for the first."""
    domains = visit.services.domains
    query = listing_query(visit.query, ("name", "created_at"))
    listing = await list_page(lambda query: domains.list(visit.owner, query), query)
    if not listing.page.total and not query.q:
        return Redirect("/my-account/domains/new")
    return Page("domains/index.html", {"listing": listing}, part="domains/table.html")


async def ask_new(visit: Visit) -> Result:
    """The form for a new domain; the server's own is offered to who runs it."""
    return Page("domains/new.html", {"form": {"domain": await _offered(visit)}})


async def _offered(visit: Visit) -> str:
    name = visit.web.domain
    if not name or visit.owner.group != "admin":
        return ""
    try:
        await visit.services.domains.get(visit.owner, name)
    except NotFound:
        return name
    return ""


async def add(visit: Visit) -> Result:
    """Add a domain with a catch-all to the visitor's own address."""
    name = pasted_domain(visit.field("domain"))
    try:
        domain = await visit.services.domains.create(visit.owner, name)
    except AlreadyExists:
        known = await visit.services.domains.get(visit.owner, name)
        return Redirect(aliases_path(known), "domain-known", known.name)
    except MailError as error:
        return visit.refused("domains/new.html", error)
    mailbox = await visit.services.prospects.own_mailbox(domain, visit.owner.email)
    if mailbox is not None:
        path = alias_path(domain, mailbox, "generate-password")
        return Redirect(path, "domain-added-mailbox", mailbox.address)
    return Redirect(domain_path(domain), "domain-added", domain.name)


async def set_up(visit: Visit, domain_id: str) -> Result:
    """The records to publish, and how they stand."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    return _set_up_page(visit, domain)


async def zone(visit: Visit, domain_id: str) -> Result:
    """The records as a zone file, to hand to a DNS company or server."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    text = visit.services.domains.zone_file(domain)
    return Plain(text.encode(), "text/plain; charset=utf-8")


def _set_up_page(
    visit: Visit,
    domain: Domain,
    verification: Verification | None = None,
    error: MailError | None = None,
) -> Page:
    domains = visit.services.domains
    values = {
        "domain": domain,
        "is_admin": is_admin(visit.owner, domain),
        "is_demo": domains.is_demo,
        "board": Board.of(
            domain, domains.records(domain), domains.server_records(domain), verification
        ),
    }
    return Page("domains/show.html", values, error=error)


async def verify(visit: Visit, domain_id: str) -> Result:
    """Look the records up now and explain what is wrong."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    if visit.owner.group != "admin":  # who runs the server is exempt, as in the API
        await take(visit.services.counters, CHECKS, visit.owner.id)
    verification = await visit.services.domains.verify(visit.owner, domain)
    wanting = verification.wanting
    if visit.is_script and not wanting:
        return Redirect(domain_path(domain), "domain-verified", is_reload=True)
    error = None
    if visit.is_script:
        error = Invalid(Paragraph(tuple(result.sentence for result in wanting), ", "))
    elif verification.is_silent:
        error = Invalid(N_("The DNS did not answer every question, so nothing was changed."))
    elif any(not result.is_undecided for result in wanting):
        error = Invalid(N_("Not everything is in place yet. What is missing is explained below."))
    return _set_up_page(visit, verification.domain, verification, error)


async def checked(visit: Visit, domain_id: str) -> Result:
    """The address of a check, opened again: what the domain remembers of it."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    return Redirect(domain_path(domain))


async def ask_remove(visit: Visit, domain_id: str) -> Result:
    """What goes with a domain, and the question for its name."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    return await _question_of_removal(visit, domain)


async def _question_of_removal(
    visit: Visit, domain: Domain, error: MailError | None = None
) -> Page:
    question = Question(
        act="remove-domain",
        about=domain.name,
        action=domain_path(domain),
        path=domain_path(domain, "remove"),
        back=domain_path(domain),
        lost=losses(await visit.services.stakes.of_domain(domain)),
        domain=domain,
        tab="setup",
    )
    return ask(question, error)


async def remove(visit: Visit, domain_id: str) -> Result:
    """Remove a domain; a person types its name first."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    try:
        confirm(visit, "remove-domain", domain.name)
    except Invalid as error:
        return await _question_of_removal(visit, domain, error)
    await visit.services.domains.delete(visit.owner, domain)
    return Redirect("/my-account/domains", "domain-removed", domain.name)
