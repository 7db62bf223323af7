"""The web UI as a value: the services that its pages use, languages, and templates."""

from twisted.logger import Logger

from fe_mail.connection.repeated import RepeatedLog
from fe_mail.http.origins import origin_of
from fe_mail.http.proxies import Proxies
from fe_mail.http.request import Request, header
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.web.clients import ClientSettings
from fe_mail.web.i18n import Catalogs
from fe_mail.web.rendering import Renderer

__all__ = ["Web"]

_log = Logger()


class Web:
    """What the pages need. ``origin`` is where the operator says that browsers find them."""

    def __init__(
        self,
        services: Services,
        *,
        web_url: str,
        clients: ClientSettings,
        work: Work,
        proxies: Proxies,
        catalogs: Catalogs,
        default_quota_octets: int,
        app_name: str,
        domain: str = "",
    ) -> None:
        self.services = services
        self.origin = origin_of(web_url)
        self.clients = clients
        self.work = work
        self.proxies = proxies
        self.catalogs = catalogs
        self.default_quota_octets = default_quota_octets
        self.domain = domain
        self.renderer = Renderer(catalogs, app_name)
        self.log = RepeatedLog(_log, services.clock)

    def is_secure(self, request: Request) -> bool:
        """
        Does the browser speak TLS? Where the proxy does not say, the browser does: it sends
        ``Sec-Fetch-Site`` to our address only if it reached it so.
        """
        scheme = self.proxies.scheme(request)
        if scheme or not header(request, b"Sec-Fetch-Site"):
            return scheme == "https"
        found = origin_of(f"https://{header(request, b'Host')}")
        return found is not None and found == self.origin
