"""The API as a value: the services that its routes use, and how it speaks to its callers."""

from collections.abc import Callable

from twisted.logger import Logger

from fe_mail.connection.repeated import RepeatedLog
from fe_mail.http.gate import Gatekeeper
from fe_mail.http.origins import origin_of
from fe_mail.http.proxies import Proxies
from fe_mail.http.request import Request, header
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.model.sentence import Paragraph, Sentence, translated

__all__ = ["API"]

_log = Logger()


class API:
    """
    What the routes need.

    ``translate_to`` takes an Accept-Language header and the template of an English sentence.
    """

    def __init__(
        self,
        services: Services,
        *,
        web_url: str,
        api_url: str,
        mail_host: str,
        work: Work,
        proxies: Proxies,
        default_quota_octets: int,
        default_recipients: int,
        translate_to: Callable[[str, str], str],
        gatekeeper: Gatekeeper,
    ) -> None:
        self.services = services
        self.gatekeeper = gatekeeper
        self.web_url = web_url.rstrip("/")
        self.api_url = api_url.rstrip("/")
        self.web_origin = origin_of(web_url)
        self.own_origins = frozenset({self.web_origin, origin_of(api_url)})
        self.mail_host = mail_host
        self.work = work
        self.proxies = proxies
        self.default_quota_octets = default_quota_octets
        self.default_recipients = default_recipients
        self.log = RepeatedLog(_log, services.clock)
        self._translate_to = translate_to

    def translate(self, request: Request, message: str | Sentence | Paragraph) -> str:
        """A sentence in the caller's language."""
        languages = header(request, b"Accept-Language")
        return translated(message, lambda text: self._translate_to(languages, text))
