"""What whoever runs the server decides: who may register, whose address counts, who may send."""

from fe_mail.model.errors import Invalid, MailError
from fe_mail.model.ids import UserId
from fe_mail.model.page import every
from fe_mail.web.i18n import N_
from fe_mail.web.lists import list_page, listing_query
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = ["allow", "decide", "domains", "people", "show", "verify_user"]


async def show(visit: Visit) -> Result:
    """Registration, domains that wait, and the ways on."""
    return await _overview(visit)


async def _overview(visit: Visit, error: MailError | None = None) -> Page:
    waiting = [
        domain
        async for domain in every(visit.services.domains.every)
        if domain.smtp_verified_at and not domain.has_smtp
    ]
    is_open = await visit.services.users.registration.is_open()
    return Page("admin/show.html", {"is_open": is_open, "waiting": waiting}, error=error)


async def decide(visit: Visit) -> Result:
    """Open or close registration."""
    try:
        await visit.services.users.registration.decide(visit.field("registration"))
    except MailError as error:
        return await _overview(visit, error)
    return Redirect("/admin", f"registration-{visit.field('registration')}", is_reload=True)


async def people(visit: Visit) -> Result:
    """Everybody with an account."""
    query = listing_query(visit.query, ("email", "created_at"))
    values = {"listing": await list_page(visit.services.users.list, query)}
    return Page("admin/people.html", values, part="admin/people_table.html")


async def verify_user(visit: Visit, user_id: str) -> Result:
    """The admin knows that the address is this person's."""
    users = visit.services.users
    user = await users.verify_address(await users.get(UserId(user_id)))
    return Redirect("/admin/people", "user-verified", user.email, is_reload=True)


async def domains(visit: Visit) -> Result:
    """Every domain of the server."""
    return await _domains(visit)


async def _domains(visit: Visit, error: MailError | None = None) -> Page:
    query = listing_query(visit.query, ("name", "created_at"))
    values = {"listing": await list_page(visit.services.domains.every, query)}
    return Page("admin/domains.html", values, error=error, part="admin/domains_table.html")


async def allow(visit: Visit, domain_id: str) -> Result:
    """A domain may send, or may not any longer."""
    try:
        is_allowed = _answer(visit.field("allowed"))
        domain = await visit.services.domains.allow_sending(visit.owner, domain_id, is_allowed)
    except Invalid as error:
        return await _domains(visit, error)
    notice = "sending-allowed" if is_allowed else "sending-stopped"
    return Redirect("/admin/domains", notice, domain.name, is_reload=True)


def _answer(allowed: str) -> bool:
    """Yes or no; nothing is decided by what is neither."""
    if allowed not in ("true", "false"):
        raise Invalid(N_("Say whether the domain may send."), field="allowed")
    return allowed == "true"
