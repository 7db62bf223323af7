"""One visit to a page: who, in which language, with which form, and the cookies that say so."""

from collections.abc import Mapping
from urllib.parse import quote

import attrs

from fe_mail.accounts.users import SESSION_SECONDS
from fe_mail.http.request import Request, header
from fe_mail.http.services import Services
from fe_mail.model.account import User
from fe_mail.model.errors import MailError
from fe_mail.model.network import network_of
from fe_mail.model.sentence import Paragraph, Sentence
from fe_mail.web.app import Web
from fe_mail.web.i18n import LANGUAGES
from fe_mail.web.results import Page

__all__ = ["LANGUAGE_COOKIE", "Visit", "stranger"]

LANGUAGE_COOKIE = "locale"  # only of who is signed in and has chosen one; a link chooses nothing


@attrs.define(kw_only=True)
class Visit:
    """A request, the person behind it, and the answers to common questions."""

    web: Web = attrs.field(repr=False)
    request: Request = attrs.field(repr=False)
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

    # Cookies

    def cookie(self, name: str) -> str:
        """One of ours; empty if there is none."""
        return self.request.cookie(self._full(name))

    def set_cookie(self, name: str, value: str, max_age_seconds: int) -> None:
        """For this host only, and for what its own pages begin."""
        self.request.keep(
            self._full(name),
            quote(value, safe=":%"),
            max_age_seconds,
            is_secure=self.is_secure,
            is_strict=True,
        )

    def _full(self, name: str) -> str:
        """``__Host-``: no other host of the domain can set it (RFC 6265bis §4.1.3.2)."""
        return f"__Host-{name}" if self.is_secure else name

    def sign_in(self, user: User, token: str) -> None:
        """The browser gets the session's token, and the language that the user has chosen."""
        self.user, self.token = user, token
        self.set_cookie("session", token, int(SESSION_SECONDS))
        self.speak(user.locale)

    def speak(self, locale: str) -> None:
        """In this language from now on; empty: in the one that the browser asks for."""
        seconds = int(SESSION_SECONDS) if locale in LANGUAGES else 0
        self._keep_language(locale, seconds)
        self.language = locale if seconds else self.language

    def sign_out(self) -> None:
        """The browser forgets the session."""
        self.user, self.token = None, ""
        self.set_cookie("session", "", 0)
        self._keep_language("", 0)

    def _keep_language(self, locale: str, seconds: int) -> None:
        """A link on another site leads to the user's language, too."""
        self.request.keep(
            LANGUAGE_COOKIE, locale, seconds, is_secure=self.is_secure, is_strict=False
        )


def stranger(web: Web, request: Request) -> Visit:
    """A visit before anything is known about the visitor."""
    accept = header(request, b"Accept")
    return Visit(
        web=web,
        request=request,
        language=request.language,
        remote=web.proxies.remote(request),
        is_secure=web.is_secure(request),
        is_script="application/json" in accept and "text/html" not in accept,
    )
