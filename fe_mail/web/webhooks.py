"""The key with which a domain signs what it sends to web addresses: see it, replace it."""

from fe_mail.model.account import Domain
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit, account_path

__all__ = ["replace", "show"]


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


async def replace(visit: Visit, domain_id: str) -> Result:
    """Another key; the old one stops working at once."""
    domain = await _administered(visit, domain_id)
    await visit.services.webhook_keys.replace(domain.id)
    path = account_path("domains", domain.name, "webhook-key")
    return Redirect(path, "webhook-key-changed", is_reload=True)
