"""
One visit to a page: who, in which language, with which form.

``page`` registers a coroutine for a method and a path (without its language prefix). Errors
become pages of their own, or JSON in the API's form for scripts.
"""

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fe_mail.http.bodies import parse_body, parse_query
from fe_mail.http.request import CappedRequest, Segment, header
from fe_mail.http.services import Services
from fe_mail.model.account import User
from fe_mail.model.errors import AuthenticationFailed, MailError, NotFound, TooBig
from fe_mail.model.network import network_of
from fe_mail.model.sentence import Paragraph, Sentence
from fe_mail.web.i18n import N_
from fe_mail.web.results import Page, Redirect, Result

if TYPE_CHECKING:
    from fe_mail.web.app import Web

__all__ = ["Access", "Visit", "account_path", "app", "page", "refuse"]

_log = Logger()

app = Klein()
app.url_map.converters["segment"] = Segment
app.url_map.merge_slashes = False

Endpoint = Callable[..., Awaitable[Result]]


@attrs.define(kw_only=True)
class Visit:
    """A request, the person behind it, and the answers to common questions."""

    web: "Web" = attrs.field(repr=False)
    request: CappedRequest = attrs.field(repr=False)
    language: str
    remote: str
    is_secure: bool
    is_script: bool
    query: Mapping[str, str] = attrs.field(factory=dict)
    form: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    user: User | None = None
    token: str = attrs.field(default="", repr=False)

    @property
    def services(self) -> Services:
        """The services behind the pages."""
        return self.web.services

    @property
    def owner(self) -> User:
        """The user, on pages that need one."""
        assert self.user is not None
        return self.user

    @property
    def network(self) -> str:
        """What limits count by."""
        return network_of(self.remote)

    def text(self, message: str | Sentence | Paragraph) -> str:
        """A sentence in the visitor's language."""
        return self.web.catalogs.text(self.language, message)

    def field(self, name: str) -> str:
        """A text field of the form, trimmed; empty if absent or not text."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def secret(self, name: str) -> str:
        """A password field, as it was typed."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    def refused(self, template: str, error: MailError, **values: object) -> Page:
        """The form again, with what is wrong."""
        return Page(template, {**values, "form": self.form}, error=error)


class Access(enum.Enum):
    """Who may see a page."""

    EVERYBODY = "everybody"
    SIGNED_IN = "signed in"


def account_path(*segments: str) -> str:
    """A path of encoded segments below ``/my-account``."""
    return "/my-account/" + "/".join(quote(segment, safe="@") for segment in segments)


def page(
    method: str, path: str, access: Access = Access.SIGNED_IN
) -> Callable[[Endpoint], Endpoint]:
    """Register a coroutine ``(visit, **names in the path) -> Result``."""

    def register(endpoint: Endpoint) -> Endpoint:
        name = f"{endpoint.__module__}.{endpoint.__name__}"

        def enter(web: "Web", request: CappedRequest, **names: str) -> Deferred[bytes]:
            return web.work.shield(_run(web, request, endpoint, access, names))

        app.route(path, methods=[method], endpoint=f"{name} {path}")(enter)
        return endpoint

    return register


async def _run(
    web: "Web", request: CappedRequest, endpoint: Endpoint, access: Access, names: dict[str, str]
) -> bytes:
    visit = _stranger(web, request)
    try:
        await _recognize(visit)
        if access is Access.SIGNED_IN and visit.user is None:
            result = _sign_in_first(visit)
        else:
            _read(visit)
            result = await endpoint(visit, **names)
    except MailError as error:
        result = Page("error.html", error=error)
    except Exception:
        result = _broken(request)
    try:
        return web.write(visit, result)
    except Exception:
        return web.write(visit, _broken(request))


def _broken(request: CappedRequest) -> Page:
    _log.failure("A page failed at {path}.", path=request.path.decode("ascii", "replace"))
    return Page("error.html", status=500)


def _stranger(web: "Web", request: CappedRequest) -> Visit:
    accept = header(request, b"Accept")
    return Visit(
        web=web,
        request=request,
        language=request.language,
        remote=web.proxies.remote(request),
        is_secure=web.proxies.is_secure(request),
        is_script="application/json" in accept and "text/html" not in accept,
    )


async def _recognize(visit: Visit) -> None:
    token = visit.web.session_token(visit)
    if not token:
        return
    try:
        user = await visit.services.users.session_user(token)
    except (NotFound, AuthenticationFailed):
        return
    if not user.is_banned:
        visit.user = user
        visit.token = token


def _read(visit: Visit) -> None:
    request = visit.request
    if request.is_too_big:
        raise TooBig("The request is too large.")
    visit.query = parse_query(request.uri.partition(b"?")[2])
    if request.form is not None:
        visit.form = request.form
    else:
        visit.form = parse_body(header(request, b"Content-Type"), request.body())


def _sign_in_first(visit: Visit) -> Result:
    if visit.is_script:
        raise AuthenticationFailed(N_("Please sign in."))
    if visit.request.method not in (b"GET", b"HEAD"):
        return Redirect("/login")
    wanted = visit.request.uri.decode("ascii", "replace")
    return Redirect(f"/login?return_to={quote(wanted, safe='')}")


def refuse(web: "Web", request: CappedRequest, error: MailError) -> bytes:
    """A page that says what is wrong, for refusals before any route."""
    return web.write(_stranger(web, request), Page("error.html", error=error))


def no_route(web: "Web", request: CappedRequest, failure: Failure) -> Deferred[bytes]:
    """No such page, or not with this method."""
    if isinstance(failure.value, MethodNotAllowed):
        allowed = ", ".join(sorted(failure.value.valid_methods or ()))
        request.setHeader(b"Allow", allowed.encode("ascii"))
        return web.work.shield(_run(web, request, _not_allowed, Access.EVERYBODY, {}))
    return web.work.shield(_run(web, request, _not_found, Access.EVERYBODY, {}))


async def _not_found(visit: Visit) -> Result:
    return Page("error.html", status=404)


async def _not_allowed(visit: Visit) -> Result:
    return Page("error.html", status=405)


# Klein's types know only error handlers of methods on Klein itself.
_on_error: Any = app.handle_errors
_on_error(HTTPException)(no_route)
