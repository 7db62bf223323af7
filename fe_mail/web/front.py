"""
The front of the web UI: what happens to a request before any page sees it.

Security headers, the gate, the language prefix, and the refusal of state changes that do not come
from our own pages. Everything else is routing (``serving.py``).
"""

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from fe_mail.http.gate import CLOSED, Gatekeeper
from fe_mail.http.origins import origin_of
from fe_mail.http.request import Request, header
from fe_mail.http.routes import Route
from fe_mail.model.errors import AuthenticationFailed, MailError, PermissionDenied
from fe_mail.model.network import network_of
from fe_mail.web.access import Access
from fe_mail.web.app import Web
from fe_mail.web.i18n import DEFAULT_LANGUAGE, KNOWN_LANGUAGES, LANGUAGES, N_, negotiate
from fe_mail.web.origin import SAFE_METHODS, Source, source_of
from fe_mail.web.serving import page_router
from fe_mail.web.visit import LANGUAGE_COOKIE
from fe_mail.web.writing import refuse

__all__ = ["CONTENT_POLICY", "WebResource"]

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HSTS_SECONDS = 365 * 86_400

# The same in every language, so they have no prefix.
_UNPREFIXED = frozenset({b"static", b"robots.txt", b"favicon.ico"})
_PRIVATE = frozenset({b"my-account", b"admin", b"verify", b"v", b"reset-password"})


class WebResource(Resource):
    """The web UI as one leaf."""

    isLeaf = True

    def __init__(self, web: Web, routes: Iterable[Route[Access]], gatekeeper: Gatekeeper) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._web = web
        self._gatekeeper = gatekeeper
        self._routes = page_router(web, routes).resource()

    def render(self, request: Request) -> Any:
        """Prepare the request, ask the gate, then route."""
        request.language = self._preferred(request)
        try:
            self._harden(request)
            if self._gatekeeper.is_open:
                return self._enter(request)
        except MailError as error:
            return refuse(self._web, request, error)
        Deferred.fromCoroutine(self._ask(request)).addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _ask(self, request: Request) -> None:
        try:
            remote = network_of(self._web.proxies.remote(request))
            if await self._gatekeeper.admits(header(request, b"Authorization"), remote):
                answer = self._enter(request)
            else:
                request.setHeader(b"WWW-Authenticate", b'Basic realm="fe-mail", charset="UTF-8"')
                raise AuthenticationFailed(CLOSED)
        except MailError as error:
            answer = refuse(self._web, request, error)
        if isinstance(answer, bytes):
            request.end(answer)

    def _failed(self, failure: Any, request: Request) -> None:
        self._web.log.failure("The front of the web UI failed.", failure=failure)
        request.setResponseCode(500)
        request.end(b"")

    def _enter(self, request: Request) -> Any:
        redirect = self._strip_language(request)
        if redirect:
            request.setResponseCode(302)
            request.setHeader(b"Location", redirect)
            return b""
        self._refuse_foreign(request)
        request.ignore_last_slash()
        return self._routes.render(request)

    def _harden(self, request: Request) -> None:
        headers = request.responseHeaders
        headers.setRawHeaders("Content-Security-Policy", [CONTENT_POLICY])
        headers.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        headers.setRawHeaders("X-Frame-Options", ["DENY"])
        # Not "no-referrer": that would make the Origin of our own forms "null".
        headers.setRawHeaders("Referrer-Policy", ["same-origin"])
        headers.setRawHeaders("Cross-Origin-Opener-Policy", ["same-origin"])
        headers.setRawHeaders("Vary", ["Accept, Accept-Language, Cookie"])
        if self._web.is_secure(request) and not _is_local(request):
            headers.setRawHeaders("Strict-Transport-Security", [f"max-age={HSTS_SECONDS}"])
        if request.postpath[:1] and request.postpath[0] not in _UNPREFIXED:
            headers.setRawHeaders("Cache-Control", ["no-store"])
        if _PRIVATE & set(request.postpath[:2]):
            headers.setRawHeaders("X-Robots-Tag", ["none"])

    def _preferred(self, request: Request) -> str:
        """What somebody who is signed in has chosen, else what the browser asks for."""
        cookie = request.cookie(LANGUAGE_COOKIE)
        return cookie if cookie in LANGUAGES else negotiate(header(request, b"Accept-Language"))

    def _strip_language(self, request: Request) -> bytes | None:
        """Take the prefix off; where it is missing and may be, say where to go."""
        first = request.postpath[0].decode("ascii", "replace") if request.postpath else ""
        if first in LANGUAGES:
            self._prefixed(request, first)
            return None
        rest = request.uri
        if first in KNOWN_LANGUAGES:
            request.language = DEFAULT_LANGUAGE
            rest = request.uri[1 + len(first) :]
        elif first.encode() in _UNPREFIXED or request.method not in SAFE_METHODS:
            request.page_path = request.path.decode("ascii", "replace")
            return None
        local = b"/" + rest.lstrip(b"/\\") if not rest.startswith(b"?") else b"/" + rest
        return b"/" + request.language.encode("ascii") + local

    def _prefixed(self, request: Request, language: str) -> None:
        request.language = language
        request.prepath = request.postpath[:1]
        request.postpath = request.postpath[1:] or [b""]
        request.page_path = "/" + b"/".join(request.postpath).decode("ascii", "replace")

    def _refuse_foreign(self, request: Request) -> None:
        if request.method in SAFE_METHODS:
            return
        source = source_of(
            site=header(request, b"Sec-Fetch-Site"),
            origin=header(request, b"Origin"),
            referer=header(request, b"Referer"),
            own=(self._web.origin, self._reached_at(request)),
        )
        if source is Source.UNSAID:
            raise PermissionDenied(
                N_(
                    "The request does not say which page it comes from, so it was refused. "
                    "Let your browser send Origin or Referer."
                )
            )
        if source is Source.FOREIGN:
            self._web.log.info(
                "A form was refused: it came from {origin} ({site}), and ours come from {own}.",
                origin=header(request, b"Origin") or origin_of(header(request, b"Referer")),
                site=header(request, b"Sec-Fetch-Site"),
                own=self._web.origin,
            )
            raise PermissionDenied(N_("This form was sent from another site, so it was refused."))

    def _reached_at(self, request: Request) -> str | None:
        """The origin under which this request found us."""
        scheme = "https" if self._web.is_secure(request) else "http"
        return origin_of(f"{scheme}://{header(request, b'Host')}")


def _is_local(request: Request) -> bool:
    """Pinning ``localhost`` to TLS would break everybody else's server on that name."""
    name = header(request, b"Host").lower().partition(":")[0]
    return name == "localhost" or name.endswith(".localhost")
