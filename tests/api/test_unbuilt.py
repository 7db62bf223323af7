"""Every route of the reference is built, or says that it is not yet."""

import re

from fe_mail.api.routes import ROUTES
from fe_mail.api.unbuilt import UNBUILT
from tests.api.test_every_route import CallerTestCase, path_of

SIEVE = """
    GET POST                      {base}
    GET PUT DELETE                {base}/:x
    POST                          {base}/:x/activate
    POST                          {base}/deactivate
    GET                           {base}/active
    GET                           {base}/capabilities
    POST                          {base}/validate
    POST                          {base}/test
"""
DOMAIN, ALIAS = "/v1/domains/:x", "/v1/domains/:x/aliases/:x"
CONTRACT = f"""
    GET                           /v1/test
    POST                          /v1/log
    GET                           /v1/lookup
    GET                           /v1/port
    GET                           /v1/settings
    GET                           /v1/max-forwarded-addresses
    POST                          /v1/self-test
    POST                          /v1/upgrade
    GET POST PUT                  /v1/account
    POST                          /v1/encrypt
    GET                           /v1/logs/download
    GET POST                      /v1/emails
    GET                           /v1/emails/limit
    GET DELETE                    /v1/emails/:x
    GET POST                      /v1/domains
    GET PUT DELETE                {DOMAIN}
    GET                           {DOMAIN}/verify-records
    GET                           {DOMAIN}/verify-smtp
    POST                          {DOMAIN}/test-s3-connection
    GET POST                      {DOMAIN}/catch-all-passwords
    DELETE                        {DOMAIN}/catch-all-passwords/:x
    GET POST DELETE               {DOMAIN}/invites
    GET                           {DOMAIN}/invites/:x
    PUT DELETE                    {DOMAIN}/members/:x
    GET POST                      {DOMAIN}/aliases
    GET PUT DELETE                {ALIAS}
    POST                          {ALIAS}/generate-password
    {SIEVE.format(base=ALIAS + "/sieve")}
    {SIEVE.format(base="/v1/sieve-scripts")}
    GET POST                      /v1/contacts
    GET PUT DELETE                /v1/contacts/:x
    GET POST                      /v1/calendars
    GET PUT DELETE                /v1/calendars/:x
    GET POST                      /v1/calendar-events
    GET PUT DELETE                /v1/calendar-events/:x
    GET POST                      /v1/folders
    GET PUT DELETE                /v1/folders/:x
    GET POST                      /v1/messages
    GET PUT DELETE                /v1/messages/:x
    GET POST DELETE               /v1/push-tokens
    DELETE                        /v1/push-tokens/:x
    GET                           /v1/ws
"""

OURS = {("PUT", f"{DOMAIN}/allow-sending")}  # beyond the contract


def contract() -> set[tuple[str, str]]:
    """Method and path of every route."""
    lines = [line.split() for line in CONTRACT.splitlines() if line.strip()]
    return {(method, line[-1]) for line in lines for method in line[:-1]}


class ContractTests(CallerTestCase):
    """The two lists and the contract."""

    def test_complete(self) -> None:
        """Each route stands in one of the lists."""
        built, unbuilt = (
            {(route.method, re.sub("<segment:[a-z_]+>", ":x", route.path)) for route in routes}
            for routes in (ROUTES, UNBUILT)
        )
        self.assertEqual(contract() | OURS, built | unbuilt)
        self.assertEqual(set(), built & unbuilt)

    def test_answers(self) -> None:
        """501 and a sentence to known callers, 401 to others, before a body was read."""
        for route in UNBUILT:
            path = path_of(route, "example.org", "kim")
            with self.subTest(route=f"{route.method} {path}"):
                for caller, authorization in self.callers.items():
                    self.clock.advance(3600)
                    client = self.client_of(None)
                    client.headers["Authorization"] = authorization
                    answer = client.request(route.method, path, b"", {"Content-Type": "text/x"})
                    known = caller in self.ADMITTED[route.access]
                    self.assert_error(answer, 501 if known else 401)
                head = self.announce(route, "token", 10**9)
                self.assertTrue(head.startswith(b"HTTP/1.1 501 "), head)

    def test_others(self) -> None:
        """A path of nobody is 404, another method 405; a preflight is answered."""
        self.assert_error(self.client.get("/v1/nothing"), 404)
        self.assert_error(self.client.request("PATCH", "/v1/contacts"), 405)
        self.assertEqual(204, self.client_of(None).request("OPTIONS", "/v1/contacts").status)

    def test_nothing_is_logged(self) -> None:
        """It is no failure of ours."""
        self.assert_error(self.client.get("/v1/emails"), 501, "does not have this yet")
        self.assertEqual([], self.flushLoggedErrors())
