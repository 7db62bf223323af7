"""
The web UI as an object: services, languages, templates; and how a result becomes octets.

Nothing here talks to the store. Templates are escaped by default and see only what they are
given, plus the visit's language, user and links.
"""

import json
from collections.abc import Mapping
from urllib.parse import quote

from fe_mail.accounts.users import SESSION_SECONDS
from fe_mail.http.request import CappedRequest, Proxies
from fe_mail.http.services import Services
from fe_mail.http.statuses import error_object, reason, status_of
from fe_mail.http.work import Work
from fe_mail.model.account import User
from fe_mail.model.errors import MailError, RateLimited
from fe_mail.web import visit as visits
from fe_mail.web.clients import ClientSettings
from fe_mail.web.i18n import LANGUAGES, N_, Catalogs
from fe_mail.web.notices import pack_notice, unpack_notice
from fe_mail.web.rendering import Renderer
from fe_mail.web.results import Page, Plain, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = ["Web"]

NOTICE_SECONDS = 60
LANGUAGE_SECONDS = 365 * 86_400

_PLAIN_ERRORS = {
    400: N_("The request was not understood."),
    404: N_("There is no page at this address."),
    405: N_("This page cannot be used that way."),
    500: N_("Something went wrong on our side. It was written to the log."),
}


class Web:
    """What the pages need, and the way their results go out."""

    app = visits.app

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
    ) -> None:
        self.services = services
        self.clients = clients
        self.work = work
        self.proxies = proxies
        self.catalogs = catalogs
        self.default_quota_octets = default_quota_octets
        self.renderer = Renderer(catalogs, app_name)

    # Cookies

    def session_token(self, visit: Visit) -> str:
        """The session cookie; empty if there is none."""
        return visit.request.cookie(_name("session", visit.is_secure))

    def sign_in(self, visit: Visit, user: User, token: str) -> None:
        """The browser gets the session's token, and keeps the user's language."""
        visit.user, visit.token = user, token
        set_cookie(visit, "session", token, int(SESSION_SECONDS))

    def sign_out(self, visit: Visit) -> None:
        """The browser forgets the session."""
        visit.user, visit.token = None, ""
        set_cookie(visit, "session", "", 0)

    # Results

    def write(self, visit: Visit, result: Result) -> bytes:
        """The octets of a result; sets status and headers."""
        if isinstance(result, Plain):
            return _plain(visit.request, result)
        if isinstance(result, Redirect):
            return self._redirect(visit, result)
        return self._page(visit, result)

    def _redirect(self, visit: Visit, redirect: Redirect) -> bytes:
        if redirect.notice:
            set_cookie(
                visit, "notice", pack_notice(redirect.notice, redirect.about), NOTICE_SECONDS
            )
        target = f"/{visit.language}{redirect.path}"
        if visit.is_script:
            body = {"reloadPage": True} if redirect.is_reload else {"redirectTo": target}
            return _json(visit.request, 200, body)
        visit.request.setResponseCode(302)
        visit.request.setHeader(b"Location", target.encode("utf-8"))
        return b""

    def _page(self, visit: Visit, page: Page) -> bytes:
        status = status_of(page.error) if page.error else page.status
        message = self._message(visit, status, page.error)
        if isinstance(page.error, RateLimited):
            visit.request.setHeader(b"Retry-After", b"%d" % page.error.retry_after_seconds)
        if visit.is_script:
            if status >= 400:
                return _json(visit.request, status, error_object(status, message))
            if page.script is not None:
                return _json(visit.request, status, page.script)
        values = {**self._common(visit), **page.values}
        values.update(
            status=status,
            reason=reason(status),
            error=message if page.error else "",
            error_field=getattr(page.error, "field", ""),
            message=message,
        )
        if visit.is_script and page.part:
            html = self.renderer.page(visit.language, page.part, values)
            return _json(visit.request, status, {"table": html})
        visit.request.setResponseCode(status)
        visit.request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        return self.renderer.page(visit.language, page.template, values).encode("utf-8")

    def _message(self, visit: Visit, status: int, error: MailError | None) -> str:
        if error is not None and status != 500:
            return visit.text(error.sentence)
        return visit.text(_PLAIN_ERRORS.get(status, "")) if status >= 400 else ""

    def _common(self, visit: Visit) -> dict[str, object]:
        notice, about = self._take_notice(visit)
        page_path = visit.request.page_path or "/"
        return {
            "visit": visit,
            "user": visit.user,
            "form": visit.form,
            "language": visit.language,
            "languages": {code: f"/{code}{page_path}" for code in LANGUAGES},
            "language_names": LANGUAGES,
            "url": lambda path: f"/{visit.language}{path}",
            "notice": visit.text(notice),
            "notice_about": about,
            "is_here": page_path.startswith,
        }

    def _take_notice(self, visit: Visit) -> tuple[str, str]:
        cookie = visit.request.cookie(_name("notice", visit.is_secure))
        if not cookie:
            return "", ""
        set_cookie(visit, "notice", "", 0)
        return unpack_notice(cookie)


def _name(name: str, is_secure: bool) -> str:
    """``__Host-``: no other host of the domain can set it (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if is_secure else name


def set_cookie(visit: Visit, name: str, value: str, max_age_seconds: int) -> None:
    """A cookie for this host only."""
    name = _name(name, visit.is_secure)
    visit.request.keep(name, quote(value, safe=":%"), max_age_seconds, visit.is_secure)


def _plain(request: CappedRequest, plain: Plain) -> bytes:
    request.setHeader(b"Content-Type", plain.content_type.encode("ascii"))
    if plain.max_age_seconds:
        request.setHeader(b"Cache-Control", b"public, max-age=%d" % plain.max_age_seconds)
    return plain.body


def _json(request: CappedRequest, status: int, body: Mapping[str, object]) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json; charset=utf-8")
    return json.dumps(body, ensure_ascii=False).encode("utf-8")
