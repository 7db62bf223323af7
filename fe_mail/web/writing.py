"""
How a result becomes octets, for a browser and for a script.

Nothing here talks to the store. Templates are escaped by default and see only what they are
given, plus the visit's language, user and links.
"""

import json
from collections.abc import Mapping

from fe_mail.http.request import Request
from fe_mail.http.statuses import error_object, reason, status_of
from fe_mail.model.address import display_address
from fe_mail.model.errors import MailError, RateLimited
from fe_mail.web.app import Web
from fe_mail.web.i18n import LANGUAGES, N_
from fe_mail.web.notices import pack_notice, unpack_notice
from fe_mail.web.results import Page, Plain, Redirect, Result
from fe_mail.web.visit import Visit, stranger

__all__ = ["refuse", "write"]

NOTICE_SECONDS = 60

_PLAIN_ERRORS = {
    400: N_("The request was not understood."),
    404: N_("There is no page at this address."),
    405: N_("This page cannot be used that way."),
    500: N_("Something went wrong on our side. It was written to the log."),
}


def write(visit: Visit, result: Result) -> bytes:
    """The octets of a result; sets status and headers."""
    if isinstance(result, Plain):
        return _plain(visit.request, result)
    if isinstance(result, Redirect):
        return _redirect(visit, result)
    return _page(visit, result)


def _redirect(visit: Visit, redirect: Redirect) -> bytes:
    if redirect.notice:
        visit.set_cookie("notice", pack_notice(redirect.notice, redirect.about), NOTICE_SECONDS)
    target = f"/{visit.language}{redirect.path}"
    if visit.is_script:
        body = {"reloadPage": True} if redirect.is_reload else {"redirectTo": target}
        return _json(visit.request, 200, body)
    visit.request.setResponseCode(302)
    visit.request.setHeader(b"Location", target.encode("utf-8"))
    return b""


def _page(visit: Visit, page: Page) -> bytes:
    status = status_of(page.error) if page.error else page.status
    message = _message(visit, status, page.error)
    if isinstance(page.error, RateLimited):
        visit.request.setHeader(b"Retry-After", b"%d" % page.error.retry_after_seconds)
    if visit.is_script:
        if status >= 400:
            return _json(visit.request, status, error_object(status, message))
        if page.script is not None:
            return _json(visit.request, status, page.script)
    values = {**_common(visit, page.path), **page.values}
    values.update(
        status=status,
        reason=reason(status),
        error=message if page.error else "",
        error_field=getattr(page.error, "field", ""),
        message=message,
    )
    if visit.is_script and page.part:
        html = visit.web.renderer.page(visit.language, page.part, values)
        return _json(visit.request, status, {"table": html})
    visit.request.setResponseCode(status)
    visit.request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
    return visit.web.renderer.page(visit.language, page.template, values).encode("utf-8")


def _message(visit: Visit, status: int, error: MailError | None) -> str:
    if error is not None and status != 500:
        return visit.text(error.sentence)
    return visit.text(_PLAIN_ERRORS.get(status, "")) if status >= 400 else ""


def _common(visit: Visit, path: str) -> dict[str, object]:
    notice, about = _take_notice(visit)
    page_path = visit.request.page_path or "/"
    return {
        "visit": visit,
        "user": visit.user,
        "form": visit.form,
        "language": visit.language,
        "languages": {code: f"/{code}{path or page_path}" for code in LANGUAGES},
        "language_names": LANGUAGES,
        "url": lambda path: f"/{visit.language}{path}",
        "notice": visit.text(notice),
        "notice_about": display_address(about),
        "is_here": page_path.startswith,
    }


def _take_notice(visit: Visit) -> tuple[str, str]:
    cookie = visit.cookie("notice")
    if not cookie:
        return "", ""
    visit.set_cookie("notice", "", 0)
    return unpack_notice(cookie)


def _plain(request: Request, plain: Plain) -> bytes:
    request.setHeader(b"Content-Type", plain.content_type.encode("ascii"))
    if plain.max_age_seconds:
        request.setHeader(b"Cache-Control", b"public, max-age=%d" % plain.max_age_seconds)
    return plain.body


def _json(request: Request, status: int, body: Mapping[str, object]) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json; charset=utf-8")
    return json.dumps(body, ensure_ascii=False).encode("utf-8")


def refuse(web: Web, request: Request, error: MailError) -> bytes:
    """A page that says what is wrong, for refusals before any route."""
    return write(stranger(web, request), Page("error.html", error=error))
