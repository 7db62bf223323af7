"""
Is there a text on any page that went past the catalogs? Asked with a language without words.

In it every text is ``§``. So what is left on a page is data: names, addresses, the values of
records, and the proper names of protocols and languages.
"""

import gettext
import re

from fe_mail.model.sentence import Paragraph, Sentence, translated
from fe_mail.model.vantage import OwnAddresses
from fe_mail.web.i18n import Catalogs
from tests.http.world import Answer
from tests.web.pages import WebTestCase

_PROPER_NAMES = frozenset(
    """
    fe mail English Dansk MX TXT CNAME IMAP POP SMTP TLS SSL STARTTLS GB kB MB UTC AAAA PTR
    """.split()  # noqa: SIM905  # a block of words reads better
)
_HIDDEN = re.compile(r"<(script|style|code)\b.*?</\1>", re.DOTALL)
_ATTRIBUTE = re.compile(r'\b(?:aria-label|placeholder|data-label|data-done|title|alt)="([^"]*)"')
_DATA = re.compile(r"[\w.*+-]*(?:@[\w.-]+|\.(?:example|net|org|com)\b)[\w.-]*")


class Wordless(gettext.NullTranslations):
    """Every text is the same."""

    def gettext(self, message: str) -> str:
        """No word of it."""
        return "§"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """No word of it."""
        return "§"


class WordlessCatalogs(Catalogs):
    """The languages, without words."""

    def translations(self, language: str) -> gettext.NullTranslations:
        """For templates."""
        return Wordless()

    def text(self, language: str, message: str | Sentence | Paragraph) -> str:
        """For pages."""
        return translated(message, lambda _: "§")


class UntranslatedTests(WebTestCase):
    """Pages in a language without words."""

    def catalogs(self) -> Catalogs:
        """Used by the site under test."""
        return WordlessCatalogs()

    def check(self, answer: Answer) -> None:
        """Nothing but data and proper names is left."""
        html = _HIDDEN.sub(" ", answer.text.replace("<wbr>", ""))
        attributes = " ".join(_ATTRIBUTE.findall(html))
        text = re.sub(r"<[^>]*>", " ", html)
        words = re.findall(r"[^\W\d_]{2,}", _DATA.sub(" ", f"{text} {attributes}"))
        self.assertEqual(set(), set(words) - _PROPER_NAMES)

    def test_strangers(self) -> None:
        """Landing, forms, refusals."""
        for path in ("/", "/register", "/login", "/nothing"):
            self.check(self.browser.get(f"/en{path}"))
        self.check(self.browser.submit("/en/register", email="kim@example.com", password="qwerty"))
        self.check(self.browser.submit("/en/login", email="x", password="x"))

    def test_account(self) -> None:
        """The pages of an account."""
        self.check(self.browser.follow(self.browser.sign_up()))
        for path in ("profile", "security", "domains/new"):
            self.check(self.browser.get(f"/en/my-account/{path}"))
        self.check(self.browser.get("/en/logout"))
        self.check(self.browser.submit("/en/my-account", _method="DELETE", leave_password="x"))

    def test_domains(self) -> None:
        """The set-up page in every state."""
        self.browser.sign_up()
        path = self.browser.add_domain()
        self.check(self.browser.get("/en/my-account/domains"))
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.resolver.failing.add("example.org")
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.resolver.failing.clear()
        self.publish("example.org")
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.vantage.own = OwnAddresses(hidden=(4,))
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.check(self.browser.get(path))

    def test_aliases(self) -> None:
        """List, form, password."""
        self.browser.sign_up()
        path = f"{self.browser.add_domain()}/aliases"
        self.browser.submit(path, name="kk", has_imap="true", is_enabled="true")
        for page in ("", "?q=zz", "?to=kk", "/new", "/kk", "/kk/generate-password"):
            self.check(self.browser.get(f"{path}{page}"))
        self.check(self.browser.submit(path, name="a b"))
        self.check(self.browser.submit(f"{path}/kk/generate-password"))
        self.check(self.browser.submit(f"{path}/kk/generate-password", password="x"))
