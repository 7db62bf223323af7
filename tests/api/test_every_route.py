"""
Every route of the API, from its list: every kind of caller, hostile names in the path, hostile
values in the fields.

Whatever comes is answered with a status that the list knows and an object that says why; no text
that was sent ends up in a header of the answer. Who is refused is refused before a body is read.
"""

import itertools
import json
import re
from typing import ClassVar
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from fe_mail.api.access import Access
from fe_mail.api.routes import BODY_OCTETS, ROUTES
from fe_mail.http.limits import limit_counter
from fe_mail.http.routes import SMALL_OCTETS, Route, table
from fe_mail.model.counting import Claim
from tests.api.test_calls import APITestCase, basic
from tests.http.raw import exchange
from tests.http.world import Answer
from tests.web.test_every_route import HOSTILE

VALUES = (
    *HOSTILE,
    {"$gt": ""},
    ["a", {"b": [[]]}],
    [[[[[[]]]]]],
    -1,
    10**30,
    1e308,
    None,
    True,
    "\ud800",
)


# What may stop a request before its handler.
BEFORE = {400, 401, 403, 413, 429}
HUGE_OCTETS = 51 * 1_048_576
# The two routes of the contract that take as much; the others take no more than BODY_OCTETS.
LARGE = {("POST", "/v1/emails"), ("POST", "/v1/messages")}


def path_of(route: Route[Access], name: str, alias: str = "") -> str:
    """A path of the route, with a name in all its gaps."""

    def gap(found: re.Match[str]) -> str:
        return quote(alias if alias and found[1] == "alias_id" else name, safe="")

    return re.sub("<segment:([a-z_]+)>", gap, route.path)


class CallerTestCase(APITestCase):
    """One caller of each kind."""

    def setUp(self) -> None:
        """Somebody of each kind."""
        super().setUp()
        self.send("POST", "/v1/domains", '{"domain": "example.org"}')
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.update_domain(domain.id, 1.0, has_txt_record=True))
        aliases = "/v1/domains/example.org/aliases"
        self.send("POST", aliases, '{"name": "kim", "has_imap": true}')
        password = self.send("POST", f"{aliases}/kim/generate-password", "{}").json["password"]
        token = self.now(self.services.users.api_token(self.kim))
        unproven = self.add_user("eve@example.com")
        self.now(self.accounts.update_user(unproven.id, 1.0, has_verified_email=False))
        self.callers = {
            "nobody": "",
            "wrong": basic("0" * 24),
            "unproven": basic(self.now(self.services.users.api_token(unproven))),
            "alias": basic("kim@example.org", password),
            "token": basic(token),
        }

    ADMITTED: ClassVar = {
        Access.NOBODY: {"nobody", "wrong", "unproven", "alias", "token"},
        Access.GATED: {"nobody", "wrong", "unproven", "alias", "token"},
        Access.TOKEN: {"token"},
        Access.TOKEN_OR_ALIAS: {"alias", "token"},
    }

    def announce(self, route: Route[Access], caller: str, octets: int) -> bytes:
        """What is answered to a request whose body has not begun to come."""
        head = f"{route.method} {path_of(route, 'example.org')} HTTP/1.1\r\nHost: a\r\n"
        head += f"Authorization: {self.callers[caller]}\r\n" if self.callers[caller] else ""
        head += f"Expect: 100-continue\r\nContent-Length: {octets}\r\n\r\n"
        return exchange(self.site, head.encode())


class CallerTests(CallerTestCase):
    """Every route with every kind of caller."""

    def test_access_before_body(self) -> None:
        """Who may not call hears so before a body is read; who may, that it is too big."""
        for route, caller in itertools.product(ROUTES, self.callers):
            self.clock.advance(3600)  # the limits of calls are another test's matter
            answer = self.announce(route, caller, HUGE_OCTETS + 1)
            status = 413 if caller in self.ADMITTED[route.access] else 401
            with self.subTest(route=f"{route.method} {route.path}", caller=caller):
                self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer)
                self.assertIn(b"Connection: close", answer)

    def test_body(self) -> None:
        """As much as the list says is waited for, and not an octet more."""
        for route in ROUTES:
            with self.subTest(route=f"{route.method} {route.path}"):
                waits = self.announce(route, "token", route.max_octets)
                self.assertEqual(waits, b"HTTP/1.1 100 Continue\r\n\r\n")
                refuses = self.announce(route, "token", route.max_octets + 1)
                self.assertTrue(refuses.startswith(b"HTTP/1.1 413 "), refuses)

    def test_sizes(self) -> None:
        """Two routes take much, strangers may send little."""
        for route in ROUTES:
            large = (route.method, route.path) in LARGE
            is_stranger = "nobody" in self.ADMITTED[route.access]
            most = HUGE_OCTETS if large else SMALL_OCTETS if is_stranger else BODY_OCTETS
            self.assertLessEqual(route.max_octets, most, route.path)

    def test_limit_before_body(self) -> None:
        """Who called too often hears so before a body is read."""
        self.now(self.accounts.update_user(self.kim.id, 1.0, group="user"))
        for route in ROUTES:
            if route.limit is None:
                continue
            self.clock.advance(86_401)
            for who in (self.kim.id, "127.0.0.1"):
                counter = limit_counter(route.limit.name, who, route.limit.window)
                self.now(self.counters.take(Claim(counter, route.limit.calls)))
            answer = self.announce(route, "token", HUGE_OCTETS)
            self.assertTrue(answer.startswith(b"HTTP/1.1 429 "), (route.path, answer))

    def test_table(self) -> None:
        """The list fits on a screen."""
        lines = table(ROUTES).splitlines()
        self.assertEqual(len(lines), 1 + len(ROUTES))
        self.assertLess(len(lines), 50)


class RouteTests(APITestCase):
    """With the token of an admin, who may do most."""

    def check(self, route: Route[Access], answer: Answer, what: object) -> None:
        """The status is one that the list knows."""
        expected = BEFORE | set(route.answers)
        self.assertIn(answer.status, expected, (route.method, route.path, what))

    def test_names(self) -> None:
        """Names in the path that mean something elsewhere are only names here."""
        for route in ROUTES:
            for name in HOSTILE if "<" in route.path else ():
                answer = self.send(route.method, path_of(route, name))
                self.check(route, answer, name)
                self.assertNotEqual(answer.status, 200, (route.method, route.path, name))
                self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")

    def test_values(self) -> None:
        """Values of every type in every field, one at a time, where something is to be changed."""
        self.assertEqual(self.send("POST", "/v1/domains", '{"domain":"example.com"}').status, 200)
        aliases = "/v1/domains/example.com/aliases"
        made = self.send("POST", aliases, '{"name":"alice","recipients":["a@example.org"]}')
        self.assertEqual(made.status, 200, made.text)
        taken = 0
        for route in ROUTES:
            if route.method in ("GET", "DELETE"):
                continue
            self.assertTrue(route.parameters, route.path)
            for field, value in itertools.product((*route.parameters, "unknown"), VALUES):
                self.clock.advance(3600)  # the limits of calls are another test's matter
                path = path_of(route, "example.com", "alice")
                answer = self.send(route.method, path, json.dumps({field: value}))
                self.check(route, answer, (field, value))
                taken += answer.status == 200
        self.assertGreater(taken, 0)
        for answer in (self.client.get("/v1/domains"), self.client.get(aliases)):
            self.assertEqual(answer.status, 200)

    @given(st.text(alphabet=st.characters(), max_size=60))
    @settings(max_examples=100, deadline=None)
    def test_headers(self, text: str) -> None:
        """Any text as a query, an origin's path or a language gets into no header."""
        answer = self.client.get(f"/v1/domains?q={quote(text, errors='replace')}&page=1&sort=name")
        for _, values in answer.headers.getAllRawHeaders():
            for value in values:
                self.assertFalse(set(value) & {10, 13, 0}, value)
