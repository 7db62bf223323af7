"""The web UI as a value: the services that its pages use, languages, and templates."""

from twisted.logger import Logger

from fe_mail.connection.repeated import RepeatedLog
from fe_mail.http.proxies import Proxies
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.web.clients import ClientSettings
from fe_mail.web.i18n import Catalogs
from fe_mail.web.rendering import Renderer

__all__ = ["Web"]

_log = Logger()


class Web:
    """What the pages need."""

    def __init__(
        self,
        services: Services,
        *,
        clients: ClientSettings,
        work: Work,
        proxies: Proxies,
        catalogs: Catalogs,
        default_quota_octets: int,
        app_name: str,
        domain: str = "",
    ) -> None:
        self.services = services
        self.clients = clients
        self.work = work
        self.proxies = proxies
        self.catalogs = catalogs
        self.default_quota_octets = default_quota_octets
        self.domain = domain
        self.renderer = Renderer(catalogs, app_name)
        self.log = RepeatedLog(_log, services.clock)
