"""The API as an object: the services that its routes use, and the resource that serves them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.web.resource import Resource

from fe_mail.api import call
from fe_mail.http.gate import Gatekeeper
from fe_mail.http.request import CappedRequest, Proxies, header
from fe_mail.http.services import Services
from fe_mail.http.work import Work
from fe_mail.model.sentence import Paragraph, Sentence, translated

__all__ = ["API", "APIResource"]

PREFLIGHT_SECONDS = 86_400

_PREFLIGHT = {
    b"Access-Control-Allow-Methods": b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    b"Access-Control-Allow-Headers": b"Authorization, Content-Type, Accept, Accept-Language",
    b"Access-Control-Max-Age": b"%d" % PREFLIGHT_SECONDS,
}
_EXPOSED = (
    b"Link, Retry-After, X-Page-Count, X-Page-Current, X-Page-Size, X-Item-Count, "
    b"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)


class API:
    """
    What the routes need.

    ``translate_to`` takes an Accept-Language header and the template of an English sentence.
    """

    app = call.app

    def __init__(
        self,
        services: Services,
        *,
        web_url: str,
        mail_host: str,
        work: Work,
        proxies: Proxies,
        default_quota_octets: int,
        translate_to: Callable[[str, str], str],
        gatekeeper: Gatekeeper,
    ) -> None:
        self.services = services
        self.gatekeeper = gatekeeper
        self.web_url = web_url.rstrip("/")
        self.web_origin = "{0.scheme}://{0.netloc}".format(urlsplit(web_url))
        self.mail_host = mail_host
        self.work = work
        self.proxies = proxies
        self.default_quota_octets = default_quota_octets
        self._translate_to = translate_to

    def translate(self, request: CappedRequest, message: str | Sentence | Paragraph) -> str:
        """A sentence in the caller's language."""
        languages = header(request, b"Accept-Language")
        return translated(message, lambda text: self._translate_to(languages, text))


class APIResource(Resource):
    """The API behind CORS: any origin may call, with its own credentials in each call."""

    isLeaf = True

    def __init__(self, api: API) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._routes = api.app.resource()

    def render(self, request: CappedRequest) -> Any:
        """Answer a preflight here, everything else from the routes."""
        origin = header(request, b"Origin")
        request.setHeader(b"Vary", b"Origin, Accept-Language")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Cache-Control", b"no-store")
        if origin:
            request.setHeader(b"Access-Control-Allow-Origin", origin.encode("utf-8"))
            request.setHeader(b"Access-Control-Expose-Headers", _EXPOSED)
        if request.method != b"OPTIONS":
            return self._routes.render(request)
        for name, value in _PREFLIGHT.items():
            request.setHeader(name, value)
        request.setResponseCode(204)
        return b""
