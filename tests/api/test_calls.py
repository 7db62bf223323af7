"""The ground rules of the API: formats, authentication, errors, limits, CORS."""

import base64

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from fe_mail.api.routes import BODY_OCTETS
from fe_mail.api.site import create_api_resource
from fe_mail.http.gate import Gate
from fe_mail.http.limits import limit_counter
from fe_mail.http.proxies import Proxies
from fe_mail.http.routes import SMALL_OCTETS
from fe_mail.http.site import HTTPSite
from fe_mail.http.work import Work
from fe_mail.model.account import User
from fe_mail.model.counting import Claim, Window
from fe_mail.web.i18n import Catalogs
from tests.http.raw import room
from tests.http.world import Answer, Client, HTTPTestCase

__all__ = ["APITestCase"]


def basic(username: str, password: str = "") -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class APITestCase(HTTPTestCase):
    """A client that calls with the token of the server's admin."""

    gate: Gate | None = None
    proxies: tuple[str, ...] = ()
    recipients = 10

    def setUp(self) -> None:
        """An account and its token."""
        super().setUp()
        work = Work()
        resource = create_api_resource(
            self.services,
            work=work,
            proxies=Proxies(self.proxies),
            web_url="https://mail.example.net",
            api_url="https://api.example.net",
            mail_host="mail.example.net",
            default_recipients=self.recipients,
            gate=self.gate,
            translate=Catalogs().negotiated,
        )
        self.site = HTTPSite(resource, clock=self.clock, work=work, room=room())
        self.kim = self.add_user()
        self.client = self.client_of(self.kim)

    def client_of(self, user: User | None) -> Client:
        """A client with the token of a user, or without any."""
        client = Client(self, self.site, "http://api.example.net")
        if user is not None:
            client.headers["Authorization"] = basic(self.now(self.services.users.api_token(user)))
        return client

    def send(
        self, method: str, path: str, body: str = "", kind: str = "application/json"
    ) -> Answer:
        """A call of the admin with a body."""
        return self.client.request(method, path, body.encode(), {"Content-Type": kind})

    def form(self, method: str, path: str, body: str) -> Answer:
        """The same with a form."""
        return self.send(method, path, body, "application/x-www-form-urlencoded")

    def assert_error(self, answer: Answer, status: int, message: str = "") -> None:
        """The answer is an error object."""
        self.assertEqual(status, answer.status, answer.text)
        self.assertEqual("application/json; charset=utf-8", answer.header("Content-Type"))
        self.assertEqual({"statusCode", "error", "message"}, set(answer.json))
        self.assertEqual(status, answer.json["statusCode"])
        self.assertIn(message, answer.json["message"])


class FormatTests(APITestCase):
    """What is understood, and how answers look."""

    def test_unknown_path(self) -> None:
        """404 in JSON."""
        self.assert_error(self.client.get("/v1/nothing"), 404)

    def test_unknown_method(self) -> None:
        """405 in JSON, with the methods that are possible."""
        answer = self.send("PATCH", "/v1/domains", "{}")
        self.assert_error(answer, 405)
        self.assertIn("POST", answer.header("Allow"))

    def test_malformed_json(self) -> None:
        """400; so is a bare string, NaN and a lone surrogate."""
        for body in ("{", '"x"', '{"domain": NaN}', '{"domain": "\\ud800"}', "[" * 100_000):
            with self.subTest(body=body[:20]):
                self.assert_error(self.send("POST", "/v1/domains", body), 400)

    def test_json_without_content_type(self) -> None:
        """A body without a type is read as JSON."""
        answer = self.client.request("POST", "/v1/domains", b'{"domain":"example.org"}')
        self.assertEqual(200, answer.status)

    def test_multipart(self) -> None:
        """Text fields of a multipart form; a file is refused."""
        part = (
            '--x\r\nContent-Disposition: form-data; name="domain"{}\r\n\r\nexample.org\r\n--x--\r\n'
        )
        kind = "multipart/form-data; boundary=x"
        refused = self.send("POST", "/v1/domains", part.format('; filename="a"'), kind)
        self.assert_error(refused, 400, "Files")
        answer = self.send("POST", "/v1/domains", part.format(""), kind)
        self.assertEqual("example.org", answer.json["name"])

    def test_too_big(self) -> None:
        """413 for more than a megabyte; where nobody needs much, for less."""
        answer = self.send("POST", "/v1/domains", " " * (BODY_OCTETS + 1))
        self.assert_error(answer, 413)
        self.assert_error(self.send("POST", "/v1/account", " " * (SMALL_OCTETS + 1)), 413)

    def test_language(self) -> None:
        """Messages come in the language of Accept-Language."""
        danish = self.client.request("GET", "/v1/nothing", headers={"Accept-Language": "da"})
        english = self.client.get("/v1/nothing")
        self.assertNotEqual(danish.json["message"], english.json["message"])

    def test_language_of_values(self) -> None:
        """Sentences with values in them are translated too."""
        self.send("POST", "/v1/domains", '{"domain": "example.org"}')
        for path, says in (
            ("/v1/domains/example.org/verify-records", "findes endnu ikke i DNS."),
            ("/v1/domains/example.org/verify-smtp", "Der er ingen DMARC-post ved _dmarc."),
        ):
            answer = self.client.request("GET", path, headers={"Accept-Language": "da"})
            self.assert_error(answer, 400, says)
            self.assertNotIn("Publish", answer.text)

    def test_head(self) -> None:
        """HEAD is GET without the body; errors keep their status."""
        answer = self.client.request("HEAD", "/v1/domains")
        self.assertEqual((200, b""), (answer.status, answer.body))
        self.assertEqual("0", answer.header("X-Item-Count"))
        self.assertEqual(404, self.client.request("HEAD", "/v1/nothing").status)

    def test_health(self) -> None:
        """/v1/test needs nobody and gives an address nobody has."""
        answer = self.client_of(None).get("/v1/test?label=Hi%20There")
        self.assertEqual("text/plain; charset=utf-8", answer.header("Content-Type"))
        self.assertRegex(answer.text, r"^hithere-[a-z0-9]{10}@mail\.example\.net$")

    def test_cross_origin(self) -> None:
        """Any origin may call, and a preflight is answered without authentication."""
        origin = {"Origin": "https://webmail.example"}
        stranger = self.client_of(None)
        preflight = stranger.request("OPTIONS", "/v1/domains", headers=origin)
        self.assertEqual(204, preflight.status)
        self.assertIn("Authorization", preflight.header("Access-Control-Allow-Headers"))
        answer = self.client.request("GET", "/v1/account", headers=origin)
        self.assertEqual(origin["Origin"], answer.header("Access-Control-Allow-Origin"))
        self.assertEqual("", answer.header("Access-Control-Allow-Credentials"))

    def test_fault_of_ours(self) -> None:
        """An unexpected exception is logged and answered without its text."""

        async def broken(token: str) -> User:
            raise RuntimeError("secret detail")

        self.patch(self.services.users, "by_token", broken)
        answer = self.client.get("/v1/account")
        self.assert_error(answer, 500)
        self.assertNotIn("secret", answer.text)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))


class AccessTests(APITestCase):
    """Who may call."""

    def test_nobody(self) -> None:
        """Without credentials: 401 and a challenge."""
        answer = self.client_of(None).get("/v1/domains")
        self.assert_error(answer, 401)
        self.assertIn("Basic", answer.header("WWW-Authenticate"))

    def test_bad_authorization(self) -> None:
        """Another scheme, broken base64, an empty name, an unknown token: all 401."""
        for value in ("Bearer abc", "Basic !!!", basic(""), basic("0" * 24), "Basic"):
            with self.subTest(value=value):
                answer = self.client.request("GET", "/v1/account", headers={"Authorization": value})
                self.assert_error(answer, 401)

    def test_unverified_and_banned(self) -> None:
        """An unverified address is 401, a banned account 403."""
        self.now(self.accounts.update_user(self.kim.id, 1.0, is_banned=True))
        self.assert_error(self.client.get("/v1/account"), 403)
        self.now(self.accounts.update_user(self.kim.id, 1.0, has_verified_email=False))
        self.assert_error(self.client.get("/v1/account"), 401)

    def test_precedence(self) -> None:
        """Authentication is judged before the body, and the body before nothing else."""
        answer = self.client_of(None).request(
            "POST", "/v1/domains", b"{", {"Content-Type": "application/json"}
        )
        self.assert_error(answer, 401)

    def test_whole_limit(self) -> None:
        """A thousand calls a minute, counted in headers, then 429 with Retry-After."""
        first = self.client.get("/v1/account")
        self.assertEqual("1000", first.header("X-RateLimit-Limit"))
        self.assertEqual("999", first.header("X-RateLimit-Remaining"))
        counter = limit_counter("calls", self.kim.id, Window.MINUTE)
        self.now(self.counters.take(Claim(counter, 1000)))
        refused = self.client.get("/v1/account")
        self.assert_error(refused, 429)
        self.assertTrue(0 < int(refused.header("Retry-After")) <= 60)
        self.clock.advance(61)
        self.assertEqual(200, self.client.get("/v1/account").status)

    def test_wrong_tokens(self) -> None:
        """Tokens cannot be guessed at without end; a right one from there is not refused."""
        stranger = self.client_of(None)
        stranger.headers["Authorization"] = basic("guess")
        for _ in range(60):
            self.assert_error(stranger.get("/v1/account"), 401)
        refused = stranger.get("/v1/account")
        self.assert_error(refused, 429)
        self.assertTrue(0 < int(refused.header("Retry-After")) <= 3600)
        self.assertEqual(200, self.client.get("/v1/account").status)

    def test_route_limit(self) -> None:
        """A route has its own limit, from which admins of the server are exempt."""
        other = self.add_user("alex@example.com")
        client = self.client_of(other)
        self.now(self.counters.take(Claim(limit_counter("domains", other.id), 50)))
        body = b'{"domain":"example.org"}'
        self.assert_error(client.request("POST", "/v1/domains", body), 429)
        self.now(self.counters.take(Claim(limit_counter("domains", self.kim.id), 50)))
        self.assertEqual(200, self.client.request("POST", "/v1/domains", body).status)


class DisconnectTests(APITestCase):
    """A client that hangs up."""

    def test_write_goes_on(self) -> None:
        """A write that has begun ends as if the client were still there."""
        gate: Deferred[None] = Deferred()
        real = self.services.domains.create

        async def slow(*args: object, **kwargs: object) -> object:
            await gate
            return await real(*args, **kwargs)  # type: ignore[arg-type]

        self.patch(self.services.domains, "create", slow)
        pending = self.client.begin("POST", "/v1/domains", b'{"domain":"example.org"}')
        self.assertNoResult(pending)
        for pump in list(self.client.agent._pumps):
            pump.server.connectionLost(Failure(ConnectionDone()))
        gate.callback(None)
        self.assertEqual(1, len(self.now(self.accounts.domains_named("example.org"))))
        pending.addErrback(lambda _: None)
