"""
Every route of the API, found in its map: hostile names in the path, hostile values in the fields.

Whatever comes is answered with a status below 500 and an object that says why; no text that was
sent ends up in a header of the answer.
"""

import itertools
import json
from collections.abc import Iterator
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from fe_mail.api.app import API
from tests.api.test_calls import APITestCase
from tests.web.test_every_route import HOSTILE

FIELDS = (
    "name", "domain", "description", "recipients", "labels", "catchall", "plan", "display_name",
    "given_name", "family_name", "email", "password", "new_password", "vacation_responder",
    "max_quota", "webhook_key", "error_code_if_disabled", "page", "q", "sort",
)  # fmt: skip
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


def rules() -> Iterator[tuple[str, Rule]]:
    """Every method of every rule."""
    for rule in sorted(API.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            yield method, rule


def path_of(rule: Rule, name: str, alias: str = "") -> str:
    """A path that the rule matches."""
    path = ""
    for is_gap, text in rule._trace:
        if is_gap:
            path += quote(alias if alias and text == "alias_id" else name, safe="")
        elif text != "|":
            path += text
    return path


class RouteTests(APITestCase):
    """With the token of an admin, who may do most."""

    def test_names(self) -> None:
        """Names in the path that mean something elsewhere are only names here."""
        found = list(rules())
        self.assertGreater(len(found), 10)
        for method, rule in found:
            for name in HOSTILE if rule.arguments else ():
                answer = self.send(method, path_of(rule, name))
                self.assertLess(answer.status, 500, (method, rule.rule, name))
                self.assertNotEqual(answer.status, 200, (method, rule.rule, name))
                self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")

    def test_values(self) -> None:
        """Values of every type in every field, one at a time, where something is to be changed."""
        self.assertEqual(self.send("POST", "/v1/domains", '{"domain":"example.com"}').status, 200)
        aliases = "/v1/domains/example.com/aliases"
        made = self.send("POST", aliases, '{"name":"alice","recipients":["a@example.org"]}')
        self.assertEqual(made.status, 200, made.text)
        taken = 0
        for method, rule in rules():
            if method in ("GET", "DELETE"):
                continue
            for field, value in itertools.product(FIELDS, VALUES):
                self.clock.advance(3600)  # the limits of calls are another test's matter
                path = path_of(rule, "example.com", "alice")
                answer = self.send(method, path, json.dumps({field: value}))
                self.assertLess(answer.status, 500, (method, rule.rule, field, value))
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
