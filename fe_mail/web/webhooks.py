"""The key with which a domain signs what it sends to web addresses: see it, replace it."""

from fe_mail.model.account import Domain
from fe_mail.model.errors import Invalid, MailError
from fe_mail.web.confirming import Question, ask, confirm
from fe_mail.web.paths import domain_path
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = ["ask_replace", "replace", "show"]


async def _administered(visit: Visit, domain_id: str) -> Domain:
    """The domain, if the visitor may know its key: who has it can speak in the domain's name."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    return domain


async def show(visit: Visit, domain_id: str) -> Result:
    """The key, made with the first look if no message needed it before."""
    domain = await _administered(visit, domain_id)
    key = await visit.services.webhook_keys.key(domain.id)
    return Page("domains/webhook.html", {"domain": domain, "key": key})


async def ask_replace(visit: Visit, domain_id: str) -> Result:
    """Ask before the key that programs know stops working."""
    return _question(await _administered(visit, domain_id))


def _question(domain: Domain, error: MailError | None = None) -> Page:
    question = Question(
        act="new-webhook-key",
        about=domain.name,
        action=domain_path(domain, "advanced-settings", "reset-domain-webhook-key"),
        back=domain_path(domain, "webhook-key"),
        path=domain_path(domain, "webhook-key", "replace"),
        domain=domain,
    )
    return ask(question, error)


async def replace(visit: Visit, domain_id: str) -> Result:
    """Another key; the old one stops working at once."""
    domain = await _administered(visit, domain_id)
    try:
        confirm(visit, "new-webhook-key")
    except Invalid as error:
        return _question(domain, error)
    await visit.services.webhook_keys.replace(domain.id)
    return Redirect(domain_path(domain, "webhook-key"), "webhook-key-changed", is_reload=True)
