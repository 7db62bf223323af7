"""People of a running server: they register, read the mails of the server, and forget passwords."""

import email
import email.policy
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import shared_server

PASSWORD = "purple otter borrows nine kettles"
NEW = "another fine 77 quilt"


class Visitor:
    """A browser that reads Danish."""

    def __init__(self, base: str) -> None:
        self.base = base
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def open(self, url: str, **form: str) -> tuple[str, str]:
        """Where it leads in the end, and the page there."""
        headers = {
            "Accept-Language": "da",
            "Accept": "text/html",
            "Origin": self.base,
            "Sec-Fetch-Site": "same-origin",
        }
        data = urllib.parse.urlencode(form).encode() if form else None
        target = urllib.parse.urljoin(self.base, url)
        request = urllib.request.Request(target, data, headers)
        try:
            answer = self.opener.open(request)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.url.removeprefix(self.base), answer.read().decode()


class PeopleTests(SynchronousTestCase):
    """Bob has a mailbox here, and now an account for the web."""

    def setUp(self) -> None:
        """The server lets everybody register."""
        self.server = shared_server()
        self.address, _ = self.server.alias("bob")
        admin, self.visitor = self.visitors(2)
        facts = self.server.facts["admin"]
        admin.open("/en/login", email=facts["email"], password=facts["password"])
        admin.open("/en/admin", _method="PUT", registration="open")

    def visitors(self, number: int) -> list[Visitor]:
        """Browsers without cookies."""
        return [Visitor(self.server.facts["web"]) for _ in range(number)]

    def link(self, subject: str) -> str:
        """What is to be opened, from the mail with this subject."""
        raw = self.server.inbox("bob", subject)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        found = re.search(r"(?m)^(https?://\S+)\r?$", message.get_content())
        assert found is not None, message
        return found[1]

    def test_from_registration_to_a_new_password(self) -> None:
        """All of it in Danish, with links that carry no language."""
        where, _ = self.visitor.open("/da/register", email=self.address, password=PASSWORD)
        self.assertEqual(where, "/da/verify")
        link = self.link("din adresse hos")
        where, page = self.visitor.open(link)
        self.assertTrue(where.startswith("/da/verify/"), where)
        self.assertIn(self.address, page)
        where, _ = self.visitor.open(where, yes="1")
        self.assertTrue(where.startswith("/da/my-account/domains"), where)
        (other,) = self.visitors(1)
        other.open("/da/forgot-password", email=self.address)
        link = self.link("En ny adgangskode")
        where, _ = other.open(link)
        where, _ = other.open(where, password=NEW, confirm_password=NEW)
        self.assertTrue(where.startswith("/da/my-account/domains"), where)
        self.assertIn("/login", self.visitor.open("/da/my-account/profile")[0])
        token = link.rpartition("/")[2]
        self.assertFalse([line for line in self.server.lines if token in line])
