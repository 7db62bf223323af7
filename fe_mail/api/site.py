"""Putting the API together."""

from collections.abc import Callable

from fe_mail.accounts.site import DEFAULT_QUOTA_OCTETS, DEFAULT_RECIPIENTS
from fe_mail.api.app import API
from fe_mail.api.routes import ROUTES
from fe_mail.api.serving import APIResource
from fe_mail.api.unbuilt import UNBUILT
from fe_mail.http.gate import Gate, Gatekeeper
from fe_mail.http.proxies import Proxies
from fe_mail.http.services import Services
from fe_mail.http.work import Work

__all__ = ["create_api_resource"]


def _untranslated(_languages: str, message: str) -> str:
    return message


def create_api_resource(
    services: Services,
    *,
    web_url: str,
    api_url: str = "",
    mail_host: str,
    work: Work,
    proxies: Proxies,
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS,
    default_recipients: int = DEFAULT_RECIPIENTS,
    gate: Gate | None = None,
    translate: Callable[[str, str], str] = _untranslated,
) -> APIResource:
    """
    The resource that serves ``/v1``.

    ``web_url`` is where the web UI is found, for the links in objects, ``api_url`` where this is
    found, for those of lists that a proxy passes on; ``mail_host`` the domain of test addresses.
    ``default_recipients`` is how many an alias may have whose domain says nothing. ``gate`` guards
    the registration of the first account. ``translate`` takes an Accept-Language header and the
    template of an English sentence.
    """
    api = API(
        services,
        web_url=web_url,
        api_url=api_url,
        mail_host=mail_host,
        work=work,
        proxies=proxies,
        default_quota_octets=default_quota_octets,
        default_recipients=default_recipients,
        translate_to=translate,
        gatekeeper=Gatekeeper(gate, services.users, services.counters),
    )
    return APIResource(api, (*ROUTES, *UNBUILT))
