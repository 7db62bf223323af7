"""
Serving the pages: from a request to its route, its checks, its handler.

In this order: which path, who is it, how often, and only then the form, within the limit of the
route; then the method that the form really means. Errors become pages of their own, or JSON in
the API's form for scripts.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from klein import Klein
from twisted.internet.defer import Deferred
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fe_mail.http.body import ClientLeft
from fe_mail.http.limits import refuse_spent
from fe_mail.http.request import Request, header
from fe_mail.http.routes import Route, router
from fe_mail.model.errors import (
    AuthenticationFailed,
    Invalid,
    MailError,
    NotFound,
    PermissionDenied,
)
from fe_mail.web.access import Access, recognize
from fe_mail.web.app import Web
from fe_mail.web.i18n import N_
from fe_mail.web.origin import is_from_elsewhere
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit, stranger
from fe_mail.web.writing import write

__all__ = ["Methods", "page_router"]

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_OVERRIDES = frozenset({"POST", "PUT", "DELETE"})  # what ``_method`` in a form may say

Methods = Mapping[str, Route[Access]]


def page_router(web: Web, routes: Iterable[Route[Access]]) -> Klein:
    """The pages of ``routes``."""
    paths: dict[str, dict[str, Route[Access]]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = route
    places = {path: (_accepted(methods), methods) for path, methods in paths.items()}

    def enter(request: Request, methods: Methods, names: dict[str, str]) -> Deferred[bytes]:
        return web.work.shield(_answer(web, request, lambda visit: _visit(visit, methods, names)))

    def refuse(request: Request, error: HTTPException) -> Deferred[bytes]:
        async def page(visit: Visit) -> Result:
            if isinstance(error, MethodNotAllowed):
                return _not_allowed(visit, error.valid_methods or ())
            return Page("error.html", status=404)

        return web.work.shield(_answer(web, request, page))

    return router(places, enter, refuse)


def _accepted(methods: Methods) -> tuple[str, ...]:
    """A form that is posted may mean another method."""
    return (*methods, *({"POST"} - set(methods) if _OVERRIDES & set(methods) else ()))


def _not_allowed(visit: Visit, methods: Iterable[str]) -> Page:
    visit.request.setHeader(b"Allow", ", ".join(sorted(methods)).encode("ascii"))
    return Page("error.html", status=405)


async def _answer(web: Web, request: Request, page: Callable[[Visit], Awaitable[Result]]) -> bytes:
    visit = stranger(web, request)
    try:
        await recognize(visit)
        result = await page(visit)
    except ClientLeft:
        return b""
    except MailError as error:
        result = Page("error.html", error=error)
    except Exception:
        result = _broken(visit)
    try:
        return write(visit, result)
    except Exception:
        return write(visit, _broken(visit))


def _broken(visit: Visit) -> Page:
    visit.web.log.failure("A page failed at {path}.", path=visit.request.shown_path)
    return Page("error.html", status=500)


async def _visit(visit: Visit, methods: Methods, names: Mapping[str, str]) -> Result:
    request = visit.request
    is_form = header(request, b"Content-Type").lower().startswith(_FORMS)
    is_open = request.method == b"POST" and is_form
    candidates = _candidates(request, methods, is_open)
    if not candidates:
        return _not_allowed(visit, methods)
    if all(each.access is not Access.EVERYBODY for each in candidates):
        elsewhere = _barred(visit, {each.access for each in candidates})
        if elsewhere is not None:
            return elsewhere
    for each in candidates:
        if each.limit is not None:
            await refuse_spent(visit.services.counters, each.limit, visit.network)
    visit.query = request.query
    visit.form = await request.fields(max(each.max_octets for each in candidates))
    route = _meant(visit, methods) if is_open else candidates[0]
    if route is None:
        return _not_allowed(visit, methods)
    visit.form = route.known(visit.form)
    result: Result = await route.handler(visit, **names)
    return result


def _candidates(request: Request, methods: Methods, is_open: bool) -> list[Route[Access]]:
    """The routes of this path that the request may mean."""
    if is_open:
        return [route for method, route in methods.items() if method in _OVERRIDES]
    method = request.method.decode("ascii").replace("HEAD", "GET")
    return [methods[method]] if method in methods else []


def _meant(visit: Visit, methods: Methods) -> Route[Any] | None:
    """The method that a form means, and what HTML forms cannot say."""
    wanted = visit.form.get("_method", "") or "POST"
    method = wanted.upper() if isinstance(wanted, str) else ""
    if method not in _OVERRIDES:
        raise Invalid(N_("The form asks for a method that is not known."))
    visit.request.method = method.encode("ascii")
    return methods.get(method)


def _barred(visit: Visit, access: set[Access]) -> Result | None:
    """Where the visitor has to go first. ``NotFound``: what admins have is nobody else's matter."""
    if visit.user is None:
        return _sign_in_first(visit)
    if access == {Access.UNPROVEN}:
        return None
    if not visit.user.has_verified_email:
        if visit.is_script:
            raise PermissionDenied(N_("Please verify your e-mail address first."))
        return Redirect("/verify")
    if Access.ADMIN in access and visit.user.group != "admin":
        raise NotFound
    return None


def _sign_in_first(visit: Visit) -> Result:
    if visit.is_script:
        raise AuthenticationFailed(N_("Please sign in."))
    if visit.request.method not in (b"GET", b"HEAD"):
        return Redirect("/login")
    wanted = visit.request.uri.decode("ascii", "replace")
    target = f"/login?return_to={quote(wanted, safe='')}"
    if is_from_elsewhere(header(visit.request, b"Sec-Fetch-Site")):
        return _again(visit, target)
    return Redirect(target)


def _again(visit: Visit, target: str) -> Result:
    """
    A link in a mail or on another site leads here without the session's cookie, which is strict.
    What this page begins comes with it, and whoever is signed in goes on from there.
    """
    url = f"/{visit.language}{target}"
    visit.request.setHeader(b"Refresh", f"0; url={url}".encode("ascii"))
    return Page("again.html", {"target": target})
