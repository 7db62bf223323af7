"""
Every route of the website, found in its map and not in a list: headers, forged requests, and
names in the path that mean something to a file system, a database or a terminal.
"""

from collections.abc import Iterator
from urllib.parse import quote, unquote

from werkzeug.routing import Rule

from fe_mail.web.app import Web
from fe_mail.web.front import CONTENT_POLICY
from tests.web.pages import ORIGIN, Browser, WebTestCase

HOSTILE = (
    "../../../../etc/passwd",
    "..\\..\\boot.ini",
    "a\0b",
    "' OR 1=1 --",
    "$ne",
    "a\r\nSet-Cookie: x=y",
    "<script>alert(1)</script>",
    "\u202emoc.elgoog",
    "%2e%2e%2f",
    "x" * 2000,
)
# Without any of these headers it is no browser that asks, and no cookie can be abused.
FORGED = (
    {"Origin": "https://evil.test"},
    {"Origin": "null"},
    {"Origin": ORIGIN + ".evil.test"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    {"Referer": "https://evil.test/" + ORIGIN},
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def rules() -> list[Rule]:
    """The map, in a stable order."""
    found = sorted(Web.app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint))
    assert len(found) > 10, "the map is empty: this test would prove nothing"
    return found


def path_of(rule: Rule, name: str) -> str:
    """A path that the rule matches, with ``name`` in all its gaps."""
    return "/en" + "".join(
        quote(name, safe="") if is_gap else text for is_gap, text in rule._trace if text != "|"
    )


def targets(method: str) -> Iterator[Rule]:
    """The rules that take a method."""
    return (rule for rule in rules() if method in (rule.methods or ()))


class RouteTests(WebTestCase):
    """As a stranger, and as somebody who is signed in."""

    def browsers(self) -> tuple[Browser, Browser]:
        """Both."""
        member = self.new_browser()
        member.sign_up()
        return self.new_browser(), member

    def test_headers(self) -> None:
        """Whatever is asked, also with a hostile name: a strict policy, and no fault of ours."""
        for browser in self.browsers():
            for rule in targets("GET"):
                for name in ("name", *HOSTILE):
                    path = path_of(rule, name)
                    answer = browser.get(path)
                    with self.subTest(path=unquote(path)[:60]):
                        self.assertLess(answer.status, 500)
                        self.assertEqual(answer.header("Content-Security-Policy"), CONTENT_POLICY)
                        self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
                        self.assertEqual(answer.header("X-Frame-Options"), "DENY")
                        self.assertNotIn(b"<script>alert", answer.body)
                        self.assertNotIn(b"root:", answer.body)
                        self.assertNotIn("x=y", answer.header("Set-Cookie"))
                        self.assertNotIn("\n", answer.location)
                    if not rule.arguments:
                        break

    def test_forged(self) -> None:
        """No form is taken from another site, or from nowhere."""
        _, member = self.browsers()
        for method in ("POST", "PUT", "DELETE"):
            for rule in targets(method):
                for headers in FORGED:
                    path = path_of(rule, "name")
                    answer = member.request(method, path, b"a=b", {**FORM, **headers})
                    self.assertEqual(answer.status, 403, (method, path, headers))

    def test_hostile_posts(self) -> None:
        """A form for something that cannot exist is refused in words."""
        _, member = self.browsers()
        for rule in targets("POST"):
            for name in HOSTILE:
                path = path_of(rule, name)
                if not rule.arguments:
                    break
                answer = member.submit(path, name=name, domain=name, description=name)
                self.assertLess(answer.status, 500, path)
                self.assertNotIn("\n", answer.location)
