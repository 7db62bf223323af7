"""
Every page, from its list: who may see it and send it how much, headers, forged requests, and names
in the path that mean something to a file system, a database or a terminal.
"""

import re
from urllib.parse import quote, unquote

from fe_mail.http.limits import limit_counter
from fe_mail.http.routes import SMALL_OCTETS, Route, table
from fe_mail.model.counting import Claim
from fe_mail.web.access import Access
from fe_mail.web.front import CONTENT_POLICY
from fe_mail.web.routes import FORM_OCTETS, ROUTES
from tests.http.raw import exchange
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


# What may stop a request before its handler; a stranger is sent to sign in.
BEFORE = {400, 403, 413, 429}
CHANGING = ("POST", "PUT", "DELETE")


def path_of(route: Route[Access], name: str) -> str:
    """A path of the route, with ``name`` in all its gaps."""
    return "/en" + re.sub("<segment:[a-z_]+>", quote(name, safe=""), route.path)


def targets(*methods: str) -> list[Route[Access]]:
    """The routes that take a method."""
    found = [route for route in ROUTES if route.method in methods]
    assert found, "this test would prove nothing"
    return found


class ListTests(WebTestCase):
    """What the list promises."""

    def test_one_access(self) -> None:
        """A form may mean any method that changes something: they have one access."""
        kinds: dict[str, set[Access]] = {}
        for route in targets(*CHANGING):
            kinds.setdefault(route.path, set()).add(route.access)
        self.assertEqual([path for path, kind in kinds.items() if len(kind) > 1], [])

    def test_private(self) -> None:
        """What stands below the account is for those who are signed in."""
        for route in ROUTES:
            is_private = route.path.startswith(("/my-account", "/verify"))
            self.assertEqual(
                route.access in (Access.SIGNED_IN, Access.UNPROVEN), is_private, route.path
            )
            most = FORM_OCTETS if is_private else SMALL_OCTETS
            self.assertLessEqual(route.max_octets, most, route.path)

    def test_table(self) -> None:
        """The list fits on a tall screen."""
        lines = table(ROUTES).splitlines()
        self.assertEqual(len(lines), 1 + len(ROUTES))
        self.assertLess(len(lines), 80)

    def announce(self, route: Route[Access], cookies: dict[str, str], octets: int) -> bytes:
        """What is answered to a form that has not begun to come."""
        method = route.method if route.method == "GET" else "POST"
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        head = (
            f"{method} {path_of(route, 'name')} HTTP/1.1\r\nHost: mail.example.net\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\nCookie: {cookie}\r\n"
            f"Origin: {ORIGIN}\r\nExpect: 100-continue\r\nContent-Length: {octets}\r\n\r\n"
        )
        return exchange(self.site, head.encode())

    def test_before_the_form(self) -> None:
        """A stranger is refused before a form is read; who is known may send so much of it."""
        member = self.new_browser()
        member.sign_up()
        for route in ROUTES:
            with self.subTest(route=f"{route.method} {route.path}"):
                waits = self.announce(route, member.cookies, route.max_octets)
                self.assertEqual(waits, b"HTTP/1.1 100 Continue\r\n\r\n")
                refuses = self.announce(route, member.cookies, FORM_OCTETS + 1)
                self.assertTrue(refuses.startswith(b"HTTP/1.1 413 "), refuses)
                is_open = route.access is Access.EVERYBODY
                stranger = self.announce(route, {}, FORM_OCTETS + 1)
                status = b" 413 " if is_open else b" 302 "
                self.assertIn(status, stranger.partition(b"\r\n")[0])

    def test_limit_before_the_form(self) -> None:
        """So is who made too many accounts."""
        for route in ROUTES:
            if route.limit is not None:
                counter = limit_counter(route.limit.name, "127.0.0.1")
                self.now(self.counters.take(Claim(counter, route.limit.calls)))
                refuses = self.announce(route, {}, SMALL_OCTETS)
                self.assertTrue(refuses.startswith(b"HTTP/1.1 429 "), refuses)


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
            for route in targets("GET"):
                for name in ("name", *HOSTILE):
                    path = path_of(route, name)
                    answer = browser.get(path)
                    with self.subTest(path=unquote(path)[:60]):
                        self.assertIn(answer.status, {*BEFORE, 302, *route.answers})
                        self.assertEqual(answer.header("Content-Security-Policy"), CONTENT_POLICY)
                        self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
                        self.assertEqual(answer.header("X-Frame-Options"), "DENY")
                        self.assertNotIn(b"<script>alert", answer.body)
                        self.assertNotIn(b"root:", answer.body)
                        self.assertNotIn("x=y", answer.header("Set-Cookie"))
                        self.assertNotIn("\n", answer.location)
                    if "<" not in route.path:
                        break

    def test_forged(self) -> None:
        """No form is taken from another site, or from nowhere."""
        _, member = self.browsers()
        for route in targets(*CHANGING):
            for headers in FORGED:
                path = path_of(route, "name")
                answer = member.request(route.method, path, b"a=b", {**FORM, **headers})
                self.assertEqual(answer.status, 403, (route.method, path, headers))

    def test_hostile_posts(self) -> None:
        """A form for something that cannot exist is refused in words."""
        _, member = self.browsers()
        for route in targets("POST"):
            for name in HOSTILE:
                path = path_of(route, name)
                if "<" not in route.path:
                    break
                answer = member.submit(path, name=name, domain=name, description=name)
                self.assertIn(answer.status, BEFORE | set(route.answers), path)
                self.assertNotIn("\n", answer.location)
