"""What the tests of the web UI share: a browser of sorts."""

import re
from html import unescape
from urllib.parse import quote, urlencode

from fe_mail.http.gate import Gate
from fe_mail.http.proxies import Proxies
from fe_mail.http.site import HTTPSite
from fe_mail.http.work import Work
from fe_mail.web.clients import ClientSettings, Server
from fe_mail.web.i18n import Catalogs
from fe_mail.web.site import create_web_resource
from tests.http.raw import room
from tests.http.world import PASSWORD, Answer, Client, HTTPTestCase

__all__ = ["ORIGIN", "Browser", "WebTestCase"]

ORIGIN = "http://mail.example.net"
CATALOGS = Catalogs()
CLIENTS = ClientSettings(
    (
        ("IMAP", Server("imap.example.net", 993)),
        ("SMTP", Server("smtp.example.net", 465)),
        ("SMTP", Server("smtp.example.net", 587, "STARTTLS")),
    )
)


class Browser(Client):
    """Keeps cookies and sends forms as a browser does."""

    def submit(self, path: str, **fields: str) -> Answer:
        """POST a form."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.base,
            "Sec-Fetch-Site": "same-origin",
        }
        return self.request("POST", path, urlencode(fields).encode(), headers)

    def follow(self, answer: Answer) -> Answer:
        """Go where a redirect leads."""
        self.test.assertEqual(302, answer.status, answer.text)
        return self.get(answer.location)

    def sign_up(self, email: str = "kim@example.com") -> Answer:
        """Register, and read the mail that comes then."""
        answer = self.submit("/en/register", email=email, password=PASSWORD)
        if answer.status == 302:
            users = self.test.services.users
            user = self.test.now(self.test.accounts.user_by_email(email))
            self.test.now(users.verify_address(user))
        return answer

    def add_domain(self, name: str = "example.org") -> str:
        """Add a domain; its path."""
        self.test.assertEqual(302, self.submit("/en/my-account/domains/new", domain=name).status)
        return f"/en/my-account/domains/{quote(name)}"


class WebTestCase(HTTPTestCase):
    """A browser on an empty server."""

    gate: Gate | None = None
    proxies: tuple[str, ...] = ()
    app_name = "fe-mail"
    web_url = ORIGIN
    domain = ""

    def setUp(self) -> None:
        """The site and a browser."""
        super().setUp()
        work = Work()
        resource = create_web_resource(
            self.services,
            web_url=self.web_url,
            clients=CLIENTS,
            work=work,
            gate=self.gate,
            proxies=Proxies(self.proxies),
            catalogs=self.catalogs(),
            app_name=self.app_name,
            domain=self.domain,
        )
        self.site = HTTPSite(resource, clock=self.clock, work=work, room=room())
        self.browser = self.new_browser()
        self.now(self.services.users.registration.decide("open"))

    def catalogs(self) -> Catalogs:
        """The texts."""
        return CATALOGS

    def new_browser(self, base: str = ORIGIN) -> Browser:
        """Another person."""
        return Browser(self, self.site, base)

    def assert_says(self, answer: Answer, *texts: str) -> None:
        """The page shows these texts."""
        bare = re.sub(r"<[^>]+>", " ", answer.text.replace("<wbr>", ""))
        shown = re.sub(r"\s+", " ", unescape(bare))
        for text in texts:
            self.assertIn(text, shown)
