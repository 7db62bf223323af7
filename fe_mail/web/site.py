"""Putting the web UI together, alone or with the API on the same port."""

from twisted.web.resource import IResource

from fe_mail.accounts.site import DEFAULT_QUOTA_OCTETS
from fe_mail.http.gate import Gate, Gatekeeper
from fe_mail.http.proxies import Proxies
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.web.app import Web
from fe_mail.web.clients import ClientSettings
from fe_mail.web.front import WebResource
from fe_mail.web.i18n import Catalogs
from fe_mail.web.routes import ROUTES

__all__ = ["create_web_resource"]


def create_web_resource(
    services: Services,
    *,
    web_url: str,
    clients: ClientSettings,
    work: Work,
    proxies: Proxies,
    gate: Gate | None = None,
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS,
    catalogs: Catalogs | None = None,
    app_name: str = "fe-mail",
    domain: str = "",
) -> IResource:
    """
    The resource that serves every page.

    ``web_url`` is the address that browsers use, whatever proxies make of it on the way.
    ``app_name`` stands on each; ``domain`` is offered to who has just set the server up.
    """
    web = Web(
        services,
        web_url=web_url,
        clients=clients,
        work=work,
        proxies=proxies,
        catalogs=catalogs or Catalogs(),
        default_quota_octets=default_quota_octets,
        app_name=app_name,
        domain=domain,
    )
    return WebResource(web, ROUTES, Gatekeeper(gate, services.users, services.counters))
