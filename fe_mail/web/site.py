"""Putting the web UI together, alone or with the API on the same port."""

from collections.abc import Sequence

from twisted.web.resource import IResource

from fe_mail.http.request import Proxies
from fe_mail.http.services import Services
from fe_mail.http.site import MAX_CONNECTIONS_PER_ADDRESS, HTTPSite
from fe_mail.http.work import Work
from fe_mail.web import account, aliases, domains, public, signing
from fe_mail.web.app import Web
from fe_mail.web.clients import ClientSettings
from fe_mail.web.front import WebResource
from fe_mail.web.gate import Gate, Gatekeeper
from fe_mail.web.i18n import Catalogs

__all__ = ["DEFAULT_QUOTA_OCTETS", "ROUTES", "create_web_resource", "create_web_site"]

DEFAULT_QUOTA_OCTETS = 10 * 1024**3

# Importing a module registers its routes.
ROUTES = (public, signing, domains, aliases, account)


def create_web_resource(
    services: Services,
    *,
    clients: ClientSettings,
    work: Work,
    gate: Gate | None = None,
    trusted_proxies: Sequence[str] = (),
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS,
    catalogs: Catalogs | None = None,
) -> IResource:
    """The resource that serves every page."""
    web = Web(
        services,
        clients=clients,
        work=work,
        proxies=Proxies(trusted_proxies),
        catalogs=catalogs or Catalogs(),
        default_quota_octets=default_quota_octets,
    )
    return WebResource(web, Gatekeeper(gate, services.users, services.cache))


def create_web_site(
    services: Services,
    *,
    clients: ClientSettings,
    gate: Gate | None = None,
    trusted_proxies: Sequence[str] = (),
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS,
) -> HTTPSite:
    """The web UI alone on a port of its own; arguments as for ``create_web_resource``."""
    work = Work()
    resource = create_web_resource(
        services,
        clients=clients,
        work=work,
        gate=gate,
        trusted_proxies=trusted_proxies,
        default_quota_octets=default_quota_octets,
    )
    per_address = 0 if trusted_proxies else MAX_CONNECTIONS_PER_ADDRESS
    return HTTPSite(resource, clock=services.clock, work=work, max_per_address=per_address)
