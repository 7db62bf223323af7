"""
Serving the API: from a request to its route, its checks, its handler, and the answer as JSON.

In this order: which route, who is it, how often, and only then the body, within the limit of the
route; then the handler. Every error becomes ``{statusCode, error, message}``.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fe_mail.api.access import Access, admit, count
from fe_mail.api.app import API
from fe_mail.api.call import Answer, Call, Text
from fe_mail.http.bodies import Fields
from fe_mail.http.body import ClientLeft
from fe_mail.http.origins import origin_of
from fe_mail.http.request import Request, header
from fe_mail.http.routes import Route, router
from fe_mail.http.statuses import UNEXPECTED, error_object, status_of
from fe_mail.model.errors import Invalid, MailError, PermissionDenied, RateLimited
from fe_mail.model.sentence import Sentence

__all__ = ["APIResource"]

PREFLIGHT_SECONDS = 86_400
REALM = b'Basic realm="fe-mail/api"'

_NOT_ALLOWED = Sentence("This method is not allowed here.")
_NOT_FOUND = Sentence("There is nothing at this address.")
_NOT_BUILT = Sentence("This server does not have this yet.")
_PREFLIGHT = {
    b"Access-Control-Allow-Methods": b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    b"Access-Control-Allow-Headers": (
        b"Authorization, Content-Type, Accept, Accept-Language, If-Match, If-None-Match, "
        b"X-Requested-With"
    ),
    b"Access-Control-Max-Age": b"%d" % PREFLIGHT_SECONDS,
}
_EXPOSED = (
    b"ETag, Link, Retry-After, X-Page-Count, X-Page-Current, X-Page-Size, X-Item-Count, "
    b"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)

_Methods = Mapping[str, Route[Access]]


class APIResource(Resource):
    """The API behind CORS: any origin may call, with its own credentials in each call."""

    isLeaf = True

    def __init__(self, api: API, routes: Iterable[Route[Access]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._api = api
        paths: dict[str, dict[str, Route[Access]]] = {}
        for route in routes:
            paths.setdefault(route.path, {})[route.method] = route
        places = {path: (tuple(methods), methods) for path, methods in paths.items()}
        self._routes = router(places, self._enter, self._no_route).resource()

    def render(self, request: Request) -> Any:
        """Answer a preflight here, everything else from the routes."""
        origin = header(request, b"Origin")
        request.setHeader(b"Vary", b"Origin, Accept-Language")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Cache-Control", b"no-store")
        if origin:
            request.setHeader(b"Access-Control-Allow-Origin", origin.encode("utf-8"))
            request.setHeader(b"Access-Control-Expose-Headers", _EXPOSED)
        request.ignore_last_slash()
        if request.method != b"OPTIONS":
            return self._routes.render(request)
        for name, value in _PREFLIGHT.items():
            request.setHeader(name, value)
        request.setResponseCode(204)
        return b""

    def _no_route(self, request: Request, error: HTTPException) -> bytes:
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            request.setHeader(b"Allow", allowed.encode("ascii"))
            return _error(request, 405, self._api.translate(request, _NOT_ALLOWED))
        return _error(request, 404, self._api.translate(request, _NOT_FOUND))

    def _enter(self, request: Request, methods: _Methods, names: dict[str, str]) -> Deferred[bytes]:
        method = request.method.decode("ascii")
        route = methods["GET" if method == "HEAD" else method]
        return self._api.work.shield(_run(self._api, request, route, names))


async def _run(api: API, request: Request, route: Route[Access], names: Mapping[str, str]) -> bytes:
    try:
        call = Call(api=api, request=request, remote=api.proxies.remote(request))
        await admit(call, route.access)
        await count(call, route.limit)
        if not route.is_built:
            raise Invalid(_NOT_BUILT, code="NOT_BUILT")
        _refuse_own_pages(api, request)
        call.query = request.query  # all of it: the links of a list keep what was asked
        call.fields = _given(route.known(await request.fields(route.max_octets)))
        return _write(api, request, await _perform(route, call, names))
    except ClientLeft:
        return b""
    except MailError as error:
        return _refuse(api, request, error)
    except Exception:
        api.log.failure("The API failed at {path}.", path=request.shown_path)
        return _error(request, 500, api.translate(request, UNEXPECTED))


def _given(fields: Fields) -> Fields:
    """Null says nothing, so it is as good as absent."""
    return {name: value for name, value in fields.items() if value is not None}


def _refuse_own_pages(api: API, request: Request) -> None:
    """The web UI deletes nothing through the API, so a script in it that tries is not ours."""
    origin = header(request, b"Origin")
    if request.method == b"DELETE" and origin and origin_of(origin) == api.web_origin:
        raise Invalid("This cannot be deleted from a page of the web UI.")


async def _perform(route: Route[Access], call: Call, names: Mapping[str, str]) -> object:
    try:
        return await route.handler(call, **names)
    except PermissionDenied as error:
        # The reference answers 400 to a caller who is known but no admin of the domain.
        raise Invalid(error.sentence, code="IS_NOT_ADMIN") from None


def _write(api: API, request: Request, result: object) -> bytes:
    if isinstance(result, Text):
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        is_plain = isinstance(result.text, str)
        text = result.text if is_plain else api.translate(request, result.text)
        return str(text).encode("utf-8")
    answer = result if isinstance(result, Answer) else Answer(result)
    for name, value in answer.headers.items():
        request.setHeader(name.encode("ascii"), value.encode("utf-8"))
    return _json(request, answer.body)


def _json(request: Request, body: object) -> bytes:
    request.setHeader(b"Content-Type", b"application/json; charset=utf-8")
    return json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8")


def _refuse(api: API, request: Request, error: MailError) -> bytes:
    status = status_of(error)
    if status == 401:
        request.setHeader(b"WWW-Authenticate", REALM)
    if isinstance(error, RateLimited):
        request.setHeader(b"Retry-After", b"%d" % error.retry_after_seconds)
    if status >= 500 and status != 501:
        name = type(error).__name__
        api.log.error("The API answered {status}: {error}", status=status, error=name)
    message = UNEXPECTED if status == 500 else error.sentence
    return _error(request, status, api.translate(request, message))


def _error(request: Request, status: int, message: str) -> bytes:
    request.setResponseCode(status)
    return _json(request, error_object(status, message))
