"""
One call of the API: who asks, what was sent, what goes back.

``route`` registers a coroutine for a method and a path. Around it, in this order: who is it,
may they, how often, is the body readable; then the coroutine; then the answer as JSON. Every
error becomes ``{statusCode, error, message}``.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fe_mail.api.access import Access, Limit, admit, count
from fe_mail.http.bodies import Fields, parse_body, parse_query
from fe_mail.http.request import CappedRequest, Segment, header
from fe_mail.http.services import Services
from fe_mail.http.statuses import UNEXPECTED, error_object, status_of
from fe_mail.model.account import User
from fe_mail.model.errors import Invalid, MailError, PermissionDenied, RateLimited, TooBig
from fe_mail.model.identity import Identity
from fe_mail.model.sentence import Sentence

if TYPE_CHECKING:
    from fe_mail.api.app import API

__all__ = ["Answer", "Call", "Text", "app", "route"]

_NOT_ALLOWED = Sentence("This method is not allowed here.")
_NOT_FOUND = Sentence("There is nothing at this address.")
REALM = b'Basic realm="fe-mail/api"'

_log = Logger()

app = Klein()
app.url_map.converters["segment"] = Segment
app.url_map.merge_slashes = False


@attrs.define(kw_only=True)
class Call:
    """A request after its checks. ``user`` or ``identity`` is set where a route asks for one."""

    api: "API" = attrs.field(repr=False)
    request: CappedRequest = attrs.field(repr=False)
    remote: str
    user: User | None = None
    identity: Identity | None = None
    fields: Fields = attrs.field(factory=dict, repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def services(self) -> Services:
        """The services behind the API."""
        return self.api.services

    @property
    def owner(self) -> User:
        """The user, on routes that ask for a token."""
        assert self.user is not None
        return self.user


@attrs.frozen
class Answer:
    """A body to send as JSON, with extra headers."""

    body: object
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Text:
    """A plain text answer; a ``Sentence`` is translated."""

    text: str | Sentence


Endpoint = Callable[..., Awaitable[object]]


def route(
    method: str, path: str, access: Access, limit: Limit | None = None
) -> Callable[[Endpoint], Endpoint]:
    """Register a coroutine ``(call, **names in the path) -> object | Answer | Text``."""

    def register(endpoint: Endpoint) -> Endpoint:
        name = f"{endpoint.__module__}.{endpoint.__name__}"

        def enter(api: "API", request: CappedRequest, **names: str) -> Deferred[bytes]:
            return api.work.shield(_run(api, request, endpoint, access, limit, names))

        app.route(path, methods=[method], endpoint=name)(enter)
        return endpoint

    return register


async def _run(
    api: "API",
    request: CappedRequest,
    endpoint: Endpoint,
    access: Access,
    limit: Limit | None,
    names: dict[str, str],
) -> bytes:
    try:
        call = Call(api=api, request=request, remote=api.proxies.remote(request))
        await admit(call, access)
        await count(call, limit)
        _refuse_own_pages(api, request)
        if request.is_too_big:
            raise TooBig("The request is too large.")
        call.query = parse_query(request.uri.partition(b"?")[2])
        call.fields = parse_body(header(request, b"Content-Type"), request.body())
        return _write(api, request, await _perform(endpoint, call, names))
    except MailError as error:
        return _refuse(api, request, error)
    except Exception:
        _log.failure("The API failed at {path}.", path=request.path.decode("ascii", "replace"))
        return _error(request, 500, api.translate(request, UNEXPECTED))


def _refuse_own_pages(api: "API", request: CappedRequest) -> None:
    """The web UI deletes nothing through the API, so a script in it that tries is not ours."""
    if request.method == b"DELETE" and header(request, b"Origin") == api.web_origin:
        raise Invalid("This cannot be deleted from a page of the web UI.")


async def _perform(endpoint: Endpoint, call: Call, names: dict[str, str]) -> object:
    try:
        return await endpoint(call, **names)
    except PermissionDenied as error:
        # The reference answers 400 to a caller who is known but no admin of the domain.
        raise Invalid(error.sentence, code="IS_NOT_ADMIN") from None


def _write(api: "API", request: CappedRequest, result: object) -> bytes:
    if isinstance(result, Text):
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        is_plain = isinstance(result.text, str)
        text = result.text if is_plain else api.translate(request, result.text)
        return str(text).encode("utf-8")
    answer = result if isinstance(result, Answer) else Answer(result)
    for name, value in answer.headers.items():
        request.setHeader(name.encode("ascii"), value.encode("utf-8"))
    return _json(request, answer.body)


def _json(request: CappedRequest, body: object) -> bytes:
    request.setHeader(b"Content-Type", b"application/json; charset=utf-8")
    return json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8")


def _refuse(api: "API", request: CappedRequest, error: MailError) -> bytes:
    status = status_of(error)
    if status == 401:
        request.setHeader(b"WWW-Authenticate", REALM)
    if isinstance(error, RateLimited):
        request.setHeader(b"Retry-After", b"%d" % error.retry_after_seconds)
    if status >= 500:
        _log.error("The API answered {status}: {error}", status=status, error=type(error).__name__)
    message = UNEXPECTED if status == 500 else error.sentence
    return _error(request, status, api.translate(request, message))


def _error(request: CappedRequest, status: int, message: str) -> bytes:
    request.setResponseCode(status)
    return _json(request, error_object(status, message))


def no_route(api: "API", request: CappedRequest, failure: Failure) -> bytes:
    """No such path, or not with this method."""
    error = failure.value
    assert isinstance(error, HTTPException)
    if isinstance(error, MethodNotAllowed):
        request.setHeader(b"Allow", ", ".join(sorted(error.valid_methods or ())).encode("ascii"))
        return _error(request, 405, api.translate(request, _NOT_ALLOWED))
    return _error(request, 404, api.translate(request, _NOT_FOUND))


def failed(api: "API", request: CappedRequest, failure: Failure) -> bytes:
    """A fault of ours outside any endpoint."""
    _log.failure("The API failed.", failure)
    return _error(request, 500, api.translate(request, UNEXPECTED))


# Klein's types know only error handlers of methods on Klein itself.
_on_error: Any = app.handle_errors
_on_error(HTTPException)(no_route)
_on_error(Exception)(failed)
