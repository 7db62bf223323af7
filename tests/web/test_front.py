"""Before any page: headers, languages, the gate, forged requests, method override."""

from urllib.parse import urlencode

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher

from fe_mail.http.gate import MAX_FAILURES, Gate
from fe_mail.web.front import CONTENT_POLICY
from fe_mail.web.routes import FORM_OCTETS
from tests.api.test_calls import basic
from tests.http.world import PASSWORD, Answer
from tests.web.pages import ORIGIN, WebTestCase

FORM = "application/x-www-form-urlencoded"


class HeaderTests(WebTestCase):
    """What every answer carries."""

    def test_security(self) -> None:
        """A strict policy without inline anything; no sniffing, framing or foreign referrer."""
        for path in ("/en/", "/en/nothing", "/static/style.css", "/en/my-account"):
            with self.subTest(path=path):
                answer = self.browser.get(path)
                self.assertEqual(CONTENT_POLICY, answer.header("Content-Security-Policy"))
                self.assertEqual("nosniff", answer.header("X-Content-Type-Options"))
                self.assertEqual("DENY", answer.header("X-Frame-Options"))
                self.assertEqual("same-origin", answer.header("Referrer-Policy"))
                self.assertEqual("", answer.header("Strict-Transport-Security"))
                self.assertEqual("fe-mail", answer.header("Server"))
        self.assertNotIn("unsafe", CONTENT_POLICY)

    def test_private(self) -> None:
        """Pages of an account are neither cached nor indexed."""
        for path in ("/my-account/domains", "/en/my-account/domains"):
            answer = self.browser.get(path)
            self.assertEqual("none", answer.header("X-Robots-Tag"))
            self.assertEqual("no-store", answer.header("Cache-Control"))
        self.assertEqual("", self.browser.get("/en/").header("X-Robots-Tag"))
        self.assertIn("my-account", self.browser.get("/robots.txt").text)

    def test_secure(self) -> None:
        """Over TLS: HSTS, and cookies that only TLS and only this host can set."""
        browser = self.new_browser("https://mail.example.net")
        answer = browser.sign_up()
        self.assertIn("max-age=", answer.header("Strict-Transport-Security"))
        cookies = answer.headers.getRawHeaders("Set-Cookie") or []
        session = next(cookie for cookie in cookies if cookie.startswith("__Host-session="))
        language = next(cookie for cookie in cookies if cookie.startswith("locale="))
        self.assertIn("samesite=lax", language.lower())
        for part in ("Secure", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=2592000"):
            self.assertIn(part.lower(), session.lower())
        self.assertEqual(200, browser.follow(answer).status)

    def test_localhost(self) -> None:
        """``localhost`` belongs to everybody, so it is never pinned to TLS."""
        answer = self.new_browser("https://localhost").get("/en/")
        self.assertEqual("", answer.header("Strict-Transport-Security"))

    def test_head(self) -> None:
        """HEAD answers like GET, without the page."""
        answer = self.browser.request("HEAD", "/en/login")
        self.assertEqual((200, b""), (answer.status, answer.body))

    def test_static(self) -> None:
        """Files are cached for long, because their links carry a version."""
        page = self.browser.get("/en/").text
        href = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        self.assertIn("?v=", href)
        style = self.browser.get(href)
        self.assertEqual("text/css; charset=utf-8", style.header("Content-Type"))
        self.assertIn("max-age=", style.header("Cache-Control"))
        self.assertEqual("image/svg+xml", self.browser.get("/favicon.ico").header("Content-Type"))
        self.assertEqual(404, self.browser.get("/static/..%2Fapp.py").status)


class NameTests(WebTestCase):
    """The operator's own name (APP_NAME)."""

    app_name = "Mail & <more>"

    def test_stands_on_every_page(self) -> None:
        """In the title and at the top, escaped."""
        text = self.browser.get("/en/login").text
        self.assertEqual(text.count("Mail &amp; &lt;more&gt;"), 2)
        self.assertNotIn("<more>", text)


class LanguageTests(WebTestCase):
    """Prefixes."""

    def test_redirect(self) -> None:
        """A path without a language leads to the one that the browser asks for, then English."""
        self.assertEqual("/en/", self.browser.get("/").location)
        accepted = {"Accept-Language": "fr;q=0.9, da-DK;q=0.8, en;q=0.1"}
        answer = self.browser.request("GET", "/login?a=b", headers=accepted)
        self.assertEqual("/da/login?a=b", answer.location)

    def test_link_chooses_nothing(self) -> None:
        """Who followed a link to another language is not held to it the next time."""
        self.browser.get("/en/login")
        self.assertEqual({}, self.browser.cookies)
        self.browser.headers["Accept-Language"] = "da"
        self.assertEqual("/da/login", self.browser.get("/login").location)

    def test_chosen(self) -> None:
        """What somebody has chosen holds while they are signed in, in every browser of theirs."""
        self.browser.headers["Accept-Language"] = "da"
        answer = self.browser.submit("/da/register", email="kim@example.com", password=PASSWORD)
        self.assertEqual("/da/my-account/domains/new", answer.location)
        self.assertEqual("/da/my-account", self.browser.get("/my-account").location)
        profile = {"_method": "PUT", "email": "kim@example.com"}
        answer = self.browser.submit("/da/my-account/profile", locale="en", **profile)
        self.assertEqual("/en/my-account/profile", answer.location)
        other = self.new_browser()
        other.headers["Accept-Language"] = "da"
        answer = other.submit("/da/login", email="kim@example.com", password=PASSWORD)
        self.assertEqual("/en/my-account/domains", answer.location)
        self.assertEqual("/en/my-account", other.get("/my-account").location)
        other.submit("/en/logout")
        self.assertEqual("/da/login", other.get("/login").location)
        answer = self.browser.submit("/en/my-account/profile", locale="", **profile)
        self.assertEqual("/da/my-account/profile", answer.location)
        self.assertEqual("/da/my-account", self.browser.get("/my-account").location)

    def test_pages(self) -> None:
        """The page is in the language of its path, and links to the same page in others."""
        answer = self.browser.get("/da/login")
        self.assert_says(answer, "Log ind")
        self.assertIn('<html lang="da">', answer.text)
        self.assertIn('href="/en/login"', answer.text)

    def test_known_without_catalog(self) -> None:
        """Languages of the reference that we do not speak lead to English."""
        self.assertEqual("/en/login", self.browser.get("/de/login").location)
        self.assertEqual("/en/", self.browser.get("/de").location)

    def test_never_elsewhere(self) -> None:
        """The redirect stays on this host, whatever the path looks like."""
        for path in ("//evil.example/", "/de//evil.example", "/\\evil.example", "/de/\\evil"):
            with self.subTest(path=path):
                location = self.browser.get(path).location
                self.assertRegex(location, r"^/en/[^/\\]")

    def test_slash_behind(self) -> None:
        """The same page; the start page keeps its own."""
        for path in ("/en/login/", "/en/register/?a=b", "/en/", "/da/"):
            self.assertEqual(200, self.browser.get(path).status, path)
        self.assertEqual(404, self.browser.get("/en/login//").status)

    def test_post_without_language(self) -> None:
        """Forms may be sent to either."""
        answer = self.browser.submit("/register", email="kim@example.com", password=PASSWORD)
        self.assertEqual("/en/my-account/domains/new", answer.location)


class GateTests(WebTestCase):
    """Basic authentication before there is an admin."""

    gate = Gate(username="admin", password="let-me-in")

    def test_closed_then_open(self) -> None:
        """It asks until the first account exists, and then never again."""
        refused = self.browser.get("/en/")
        self.assertEqual(401, refused.status)
        self.assertIn("AUTH_BASIC_PASSWORD", refused.text)  # where to find what is asked for
        self.assertIn("Basic", refused.header("WWW-Authenticate"))
        self.browser.headers["Authorization"] = basic("admin", "wrong")
        self.assertEqual(401, self.browser.get("/en/").status)
        self.browser.headers["Authorization"] = basic("admin", "let-me-in")
        self.assert_says(self.browser.get("/en/"), "Create the first account")
        self.assertEqual(302, self.browser.sign_up().status)
        self.assertEqual(200, self.new_browser().get("/en/login").status)

    def test_nothing_passes(self) -> None:
        """Neither a form nor a file nor another scheme."""
        self.assertEqual(401, self.browser.sign_up().status)
        self.assertEqual(401, self.browser.get("/static/style.css").status)
        self.browser.headers["Authorization"] = "Bearer admin"
        self.assertEqual(401, self.browser.get("/en/").status)
        self.assertEqual(0, self.now(self.accounts.users(_first())).total)

    def test_guessing(self) -> None:
        """After too many wrong guesses even the right one is refused for an hour."""
        for number in range(MAX_FAILURES):
            self.browser.headers["Authorization"] = basic("admin", f"wrong {number}")
            self.assertEqual(401, self.browser.get("/en/").status)
        self.browser.headers["Authorization"] = basic("admin", "let-me-in")
        self.assertEqual(429, self.browser.get("/en/").status)
        self.clock.advance(3601)
        self.assertEqual(200, self.browser.get("/en/").status)


class LastingGateTests(WebTestCase):
    """A gate that is meant to stay."""

    gate = Gate(username="admin", password="let-me-in", always=True)

    def test_stays(self) -> None:
        """Also with an admin."""
        self.add_user()
        self.assertEqual(401, self.browser.get("/en/").status)


class ForgeryTests(WebTestCase):
    """State changes that do not come from our own pages."""

    def setUp(self) -> None:
        """Somebody is signed in."""
        super().setUp()
        self.browser.sign_up()

    def post(self, name: str = "example.org", **headers: str) -> int:
        """Try to add a domain with these headers."""
        sent = {"Content-Type": FORM, **{k.replace("_", "-"): v for k, v in headers.items()}}
        body = urlencode({"domain": name}).encode()
        return self.browser.request("POST", "/en/my-account/domains/new", body, sent).status

    def test_foreign(self) -> None:
        """Another site, the same site's other hosts, no origin at all, another scheme."""
        for headers in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": ORIGIN},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "https://mail.example.net"},
            {"Origin": "http://mail.example.net:8080"},
            {"Origin": "http://mail.example.net.evil.example"},
            {"Origin": "http://[::1"},
            {"Referer": "http://evil.example/mail.example.net"},
        ):
            with self.subTest(headers=headers):
                self.assertEqual(403, self.post(**headers))
        self.assertEqual((), self.now(self.accounts.domains_named("example.org")))

    def test_own(self) -> None:
        """Our own page is welcome, also from browsers that send less, or hide the origin."""
        for number, headers in enumerate(
            (
                {"Origin": ORIGIN, "Sec_Fetch_Site": "same-origin"},
                {"Origin": ORIGIN},
                {"Referer": f"{ORIGIN}/en/my-account/domains/new"},
                {"Sec_Fetch_Site": "same-origin"},
                {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
            )
        ):
            with self.subTest(headers=headers):
                self.assertEqual(302, self.post(f"{number}.example", **headers))

    def test_log_says_why(self) -> None:
        """Whoever set a proxy up reads which origin came, and which one was expected."""
        observer = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.post(Origin="http://127.0.0.1:3000")
        (event,) = [each for each in observer if "own" in each]
        text = formatEvent(event)
        self.assertIn("http://127.0.0.1:3000", text)
        self.assertIn("http://mail.example.net:80", text)

    def test_unsaid(self) -> None:
        """Who sends none of it is refused, and told what is missing."""
        for headers in ({}, {"Sec_Fetch_Site": "none"}):
            self.assertEqual(403, self.post(**headers))
        answer = self.browser.request("POST", "/en/logout", b"", {"Content-Type": FORM})
        self.assert_says(answer, "Origin or Referer")

    def test_every_method(self) -> None:
        """PUT and DELETE, overridden or not."""
        for method in ("PUT", "DELETE"):
            foreign = {"Origin": "http://evil.example", "Content-Type": FORM}
            path = "/en/my-account/security"
            self.assertEqual(403, self.browser.request(method, path, b"", foreign).status)
            body = urlencode({"_method": method}).encode()
            self.assertEqual(403, self.browser.request("POST", path, body, foreign).status)

    def test_reading_changes_nothing(self) -> None:
        """A GET of a path that only posts is refused, with or without ``_method``."""
        path = self.browser.add_domain()
        before = len(self.resolver.asked)  # where a check stood, the page without one is
        self.assertEqual(path, self.browser.get(f"{path}/verify-records").location)
        self.assertEqual(before, len(self.resolver.asked))
        self.assertEqual(200, self.browser.get(f"{path}?_method=DELETE").status)
        self.assertEqual(200, self.browser.get(path).status)


class ProxiedTests(WebTestCase):
    """Behind a reverse proxy that takes TLS off, and passes on more or less of what it knows."""

    web_url = "https://Mail.example.net"
    proxies = ("127.0.0.1",)
    SEEN = "https://mail.example.net"  # by the browser

    def register(self, base: str, **headers: str) -> Answer:
        """Sign up through a proxy that sends us these headers."""
        browser = self.new_browser(base)
        browser.headers = {k.replace("_", "-"): v for k, v in headers.items()}
        body = urlencode({"email": f"{self.clock.seconds()}@a.example", "password": PASSWORD})
        self.clock.advance(1)
        headers = {"Content-Type": FORM}
        return browser.request("POST", "/en/register", body.encode(), headers)

    def session(self, answer: Answer) -> str:
        """The session's cookie."""
        self.assertEqual(302, answer.status, answer.text)
        cookies = answer.headers.getRawHeaders("Set-Cookie") or []
        return next(cookie for cookie in cookies if "session=" in cookie)

    def test_proxies(self) -> None:
        """Origin equals WEB_URL: welcome, whatever the proxy makes of Host and scheme."""
        for base, headers in (
            ("http://mail.example.net", {"X_Forwarded_Proto": "https"}),
            ("http://mail.example.net", {}),
            ("http://127.0.0.1:3000", {}),
            ("http://fe_mail:3000", {"X_Forwarded_Proto": "http"}),
        ):
            with self.subTest(base=base, headers=headers):
                self.session(self.register(base, Origin=self.SEEN, **headers))

    def test_secure(self) -> None:
        """The cookie is for TLS if the proxy says so, or the browser does by what it sends."""
        base, said = "http://mail.example.net", {"Sec_Fetch_Site": "same-origin"}
        for headers in ({"X_Forwarded_Proto": "https"}, said):
            session = self.session(self.register(base, Origin=self.SEEN, **headers))
            self.assertTrue(session.startswith("__Host-session="), session)
            self.assertIn("secure", session.lower())
        for seen_as, headers in (
            (base, {"X_Forwarded_Proto": "http", **said}),
            ("http://127.0.0.1:3000", said),
        ):
            session = self.session(self.register(seen_as, Origin=self.SEEN, **headers))
            self.assertNotIn("secure", session.lower())

    def test_foreign(self) -> None:
        """Other sites, sites beside us, and nobody knows who, stay out."""
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "https://mail.example.net:8443"},
            {"Origin": "http://mail.example.net", "X_Forwarded_Proto": "https"},
            {"Origin": self.SEEN, "Sec_Fetch_Site": "cross-site"},
            {"Origin": self.SEEN, "Sec_Fetch_Site": "same-site"},
            {"Origin": "null"},
            {},
        ):
            with self.subTest(headers=headers):
                self.assertEqual(403, self.register("http://mail.example.net", **headers).status)


class LinkTests(WebTestCase):
    """Links to our pages that stand on other sites, or in a webmail."""

    PATH = "/en/my-account/domains?q=a"

    def test_without_cookie(self) -> None:
        """A strict cookie does not come with them; our own page sends the visitor on, with it."""
        self.browser.sign_up()
        cookies, self.browser.cookies = self.browser.cookies, {}
        for site in ("cross-site", "same-site"):
            linked = self.browser.request("GET", self.PATH, headers={"Sec-Fetch-Site": site})
            self.assertEqual(200, linked.status)
            target = linked.header("Refresh").removeprefix("0; url=")
            self.assertIn(f'href="{target}"', linked.text)
        self.browser.cookies = cookies
        own = {"Sec-Fetch-Site": "same-origin"}
        answer = self.browser.request("GET", target, headers=own)
        self.assertEqual((302, self.PATH), (answer.status, answer.location))

    def test_signed_out(self) -> None:
        """Who is not signed in is asked to, once, wherever the link stood."""
        for site in ("none", "same-origin", ""):
            answer = self.browser.request("GET", self.PATH, headers={"Sec-Fetch-Site": site})
            self.assertEqual(302, answer.status)
            self.assertIn("/en/login?return_to=", answer.location)


class OverrideTests(WebTestCase):
    """``_method`` and odd forms."""

    def test_unknown(self) -> None:
        """A method that forms cannot mean is a 400."""
        self.browser.sign_up()
        answer = self.browser.submit("/en/my-account/security", _method="TRACE")
        self.assertEqual(400, answer.status)

    def test_too_big(self) -> None:
        """A form of more than a megabyte: 413, as a page."""
        headers = {"Content-Type": FORM, "Origin": ORIGIN}
        body = b"a=" + b"x" * FORM_OCTETS
        answer = self.browser.request("POST", "/en/login", body, headers)
        self.assertEqual(413, answer.status)
        self.assert_says(answer, "too large")

    def test_errors(self) -> None:
        """404 and 500 have pages; the 500 says nothing about why."""
        self.assert_says(self.browser.get("/en/nothing"), "404", "There is no page")

        async def broken() -> bool:
            raise RuntimeError("secret detail")

        self.patch(self.services.users, "has_admin", broken)
        answer = self.browser.get("/en/")
        self.assertEqual(500, answer.status)
        self.assert_says(answer, "on our side")
        self.assertNotIn("secret", answer.text)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))


def _first():  # type: ignore[no-untyped-def]
    """The first page of anything."""
    from fe_mail.model.page import Query

    return Query()
