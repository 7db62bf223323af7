"""Putting the web UI together, alone or with the API on the same port."""

from collections.abc import Sequence

from twisted.web.resource import IResource

from fe_mail.accounts.site import DEFAULT_QUOTA_OCTETS
from fe_mail.http.gate import Gate, Gatekeeper
from fe_mail.http.request import Proxies
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.web import account, aliases, domains, public, signing, webhooks
from fe_mail.web.app import Web
from fe_mail.web.clients import ClientSettings
from fe_mail.web.front import WebResource
from fe_mail.web.i18n import Catalogs

__all__ = ["ROUTES", "create_web_resource"]

# Importing a module registers its routes.
ROUTES = (public, signing, domains, webhooks, aliases, account)


def create_web_resource(
    services: Services,
    *,
    clients: ClientSettings,
    work: Work,
    gate: Gate | None = None,
    trusted_proxies: Sequence[str] = (),
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS,
    catalogs: Catalogs | None = None,
    app_name: str = "fe-mail",
) -> IResource:
    """The resource that serves every page; ``app_name`` stands on each."""
    web = Web(
        services,
        clients=clients,
        work=work,
        proxies=Proxies(trusted_proxies),
        catalogs=catalogs or Catalogs(),
        default_quota_octets=default_quota_octets,
        app_name=app_name,
    )
    return WebResource(web, Gatekeeper(gate, services.users, services.counters))
