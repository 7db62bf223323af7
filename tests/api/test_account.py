"""``/v1/account``: sign up, read, change; and what an alias may do with its own credentials."""

import json

from twisted.internet.defer import Deferred

from fe_mail.api.objects import timestamp
from fe_mail.api.settings import MAX_LABELS, MAX_OCTETS, merge_settings
from fe_mail.http.gate import Gate
from fe_mail.http.limits import ACCOUNTS_PER_DAY, take_account
from fe_mail.model.account import User
from fe_mail.model.errors import Conflict, Invalid
from fe_mail.model.ids import UserId
from tests.api.test_calls import APITestCase, basic
from tests.http.world import PASSWORD, Answer, Client

REMOTE = "127.0.0.1"  # where the clients of the tests are
FOLDERS = {"archive_folder": None, "sent_folder": None, "drafts_folder": None}


class AccountTests(APITestCase):
    """With a token."""

    def test_register(self) -> None:
        """A new account comes with its token, which works when the address is proven."""
        self.now(self.services.users.registration.decide("open"))
        body = f"email=Alex%40example.com&password={PASSWORD.replace(' ', '+')}"
        made = self.form("POST", "/v1/account", body)
        self.assertEqual(200, made.status, made.text)
        self.assertEqual("alex@example.com", made.json["email"])
        self.assertEqual("user", made.json["group"])
        self.assertRegex(made.json["api_token"], r"^[0-9a-f]{24}$")
        client = self.client_of(None)
        client.headers["Authorization"] = basic(made.json["api_token"])
        self.assert_error(client.get("/v1/account"), 401, "verify your e-mail address")
        alex = self.now(self.accounts.user_by_email("alex@example.com"))
        self.now(self.services.address_links.verify(alex, self.letters.token("/verify/")))
        self.assertEqual(made.json["id"], client.get("/v1/account").json["id"])

    def test_closed(self) -> None:
        """Nobody registers on a server that has its owner, unless whoever runs it says so."""
        fields = {"email": "alex@example.com", "password": PASSWORD}
        answer = self.send("POST", "/v1/account", json.dumps(fields))
        self.assert_error(answer, 400, "Registration is closed")

    def test_register_refused(self) -> None:
        """A weak password, a bad or taken address, wrong types: 400 with a sentence."""
        for fields in (
            {"email": "a@example.com", "password": "password"},
            {"email": "nonsense", "password": PASSWORD},
            {"email": "kim@example.com", "password": PASSWORD},
            {"email": 7, "password": PASSWORD},
            {},
        ):
            with self.subTest(fields=fields):
                self.assert_error(self.send("POST", "/v1/account", json.dumps(fields)), 400)

    def test_register_limit(self) -> None:
        """Five a day from one address, whatever comes of them."""
        self.now(self.services.users.registration.decide("open"))
        stranger = self.client_of(None)
        for number in range(5):
            fields = {"email": f"u{number}@example.com", "password": PASSWORD}
            answer = stranger.request("POST", "/v1/account", json.dumps(fields).encode())
            self.assertEqual(200, answer.status, answer.text)
        self.assert_error(stranger.request("POST", "/v1/account", b"{}"), 429)
        self.clock.advance(86_401)
        self.assert_error(stranger.request("POST", "/v1/account", b"{}"), 400)

    def test_both_doors(self) -> None:
        """Accounts that were made in the web UI count here too."""
        for _ in range(ACCOUNTS_PER_DAY):
            self.now(take_account(self.counters, REMOTE))
        fields = {"email": "a@example.com", "password": PASSWORD}
        stranger = self.client_of(None)
        answer = stranger.request("POST", "/v1/account", json.dumps(fields).encode())
        self.assert_error(answer, 429)

    def test_show(self) -> None:
        """Every key that clients need, with its type; nothing secret."""
        shown = self.client.get("/v1/account").json
        self.assertEqual(timestamp(self.kim.created_at), shown["created_at"])
        expected = {"id", "object", "plan", "email", "full_email", "display_name", "locale"}
        self.assertTrue(expected | {"last_locale", "address_country"} <= set(shown))
        self.assertEqual("user", shown["object"])
        self.assertNotIn("token", json.dumps(shown))
        self.assertNotIn("password", json.dumps(shown))

    def test_change(self) -> None:
        """Names and address change; unknown fields are ignored; other types are refused."""
        changed = self.send(
            "PUT", "/v1/account", '{"given_name": "Kim", "family_name": "Berg", "group": "x"}'
        )
        self.assertEqual("Kim Berg <kim@example.com>", changed.json["full_email"])
        self.assertEqual("admin", changed.json["group"])
        self.assert_error(self.send("PUT", "/v1/account", '{"given_name": 5}'), 400)

    def test_timestamp(self) -> None:
        """Milliseconds and Z."""
        self.assertEqual("2027-01-15T08:00:00.000Z", timestamp(1_800_000_000.0))


class GateTests(APITestCase):
    """The password that the operator knows, before there is an admin."""

    gate = Gate(username="admin", password="let-me-in")

    def add_user(self, email: str = "kim@example.com") -> User:
        """Nobody is there yet; the account of the base class is only made up."""
        return User(id=UserId("u"), email=email, password_hash="")

    def client_of(self, user: User | None) -> Client:
        """A client without a token."""
        return super().client_of(None)

    def register(self, **headers: str) -> Answer:
        """Try to become the admin."""
        fields = {"email": "kim@example.com", "password": PASSWORD}
        return self.client.request("POST", "/v1/account", json.dumps(fields).encode(), headers)

    def test_first_account(self) -> None:
        """Nobody becomes the admin past the gate of the web UI."""
        self.assert_error(self.register(), 401)
        self.assert_error(self.register(Authorization=basic("admin", "wrong")), 401)
        made = self.register(Authorization=basic("admin", "let-me-in"))
        self.assertEqual((200, "admin"), (made.status, made.json["group"]))
        self.assert_error(self.register(), 400, "Registration is closed")


class AliasAccountTests(APITestCase):
    """With alias credentials."""

    def setUp(self) -> None:
        """An alias with a password."""
        super().setUp()
        self.send("POST", "/v1/domains", '{"domain": "example.org"}')
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.update_domain(domain.id, 1.0, has_txt_record=True))
        self.send("POST", "/v1/domains/example.org/aliases", '{"name":"kim","has_imap":true}')
        made = self.send("POST", "/v1/domains/example.org/aliases/kim/generate-password", "{}")
        self.alias = Client(self, self.site, "http://api.example.net")
        self.alias.headers["Authorization"] = basic("kim@example.org", made.json["password"])

    def test_show(self) -> None:
        """The alias, with settings in their full shape."""
        shown = self.alias.get("/v1/account").json
        self.assertEqual("alias", shown["object"])
        self.assertEqual("kim@example.org", shown["email"])
        self.assertEqual("example.org", shown["domain_name"])
        self.assertEqual(
            {"mail": FOLDERS, "label_settings": {}, "aliases": {"defaults": {}}},
            shown["settings"],
        )

    def test_storage_quota(self) -> None:
        """What the mailbox may hold: its own limit, but no more than its domain's."""
        for path, field, size in (
            ("/v1/domains/example.org/aliases/kim", "max_quota", "2 GB"),
            ("/v1/domains/example.org", "max_quota_per_alias", "3 GB"),
            ("/v1/domains/example.org", "max_quota_per_alias", "1 GB"),
        ):
            body = json.dumps({field: size, "has_imap": True})
            self.assertEqual(200, self.send("PUT", path, body).status)
            shown = self.alias.get("/v1/account").json["storage_quota"]
            self.assertEqual(min(2, int(size[0])) << 30, shown)
            alias = self.send("GET", "/v1/domains/example.org/aliases/kim").json
            self.assertEqual(alias["max_quota"], shown)

    def test_wrong_password(self) -> None:
        """401."""
        self.alias.headers["Authorization"] = basic("kim@example.org", "wrong")
        self.assert_error(self.alias.get("/v1/account"), 401)

    def test_no_alias_where_a_token_is_needed(self) -> None:
        """Alias credentials do not open the domains."""
        self.assert_error(self.alias.get("/v1/domains"), 401)

    def test_settings(self) -> None:
        """Settings are merged and kept."""
        body = {"settings": {"mail": {"sent_folder": "Sent"}, "label_settings": {"work": {}}}}
        self.alias.request("PUT", "/v1/account", json.dumps(body).encode())
        body = {"settings": {"mail": {"archive_folder": "Old"}}}
        self.alias.request("PUT", "/v1/account", json.dumps(body).encode())
        settings = self.alias.get("/v1/account").json["settings"]
        self.assertEqual("Sent", settings["mail"]["sent_folder"])
        self.assertEqual("Old", settings["mail"]["archive_folder"])
        self.assertEqual({"work": {}}, settings["label_settings"])

    def test_settings_at_once(self) -> None:
        """Two devices change different settings: both changes stay, whatever the order."""
        bodies = ({"mail": {"sent_folder": "Sent"}}, {"mail": {"archive_folder": "Old"}})
        real, waiting = self.accounts.update_alias, []

        async def late(*args: object, **kwargs: object) -> object:
            if len(waiting) < 2:
                turn: Deferred[None] = Deferred()
                waiting.append(turn)
                await turn
            return await real(*args, **kwargs)  # type: ignore[arg-type]

        self.patch(self.accounts, "update_alias", late)
        changes = [
            self.alias.begin("PUT", "/v1/account", json.dumps({"settings": body}).encode())
            for body in bodies
        ]
        for turn in reversed(waiting):
            turn.callback(None)
        self.alias.agent.flush()
        self.assertEqual([self.successResultOf(change).code for change in changes], [200, 200])
        mail = self.alias.get("/v1/account").json["settings"]["mail"]
        self.assertEqual(("Sent", "Old"), (mail["sent_folder"], mail["archive_folder"]))

    def test_settings_that_never_rest(self) -> None:
        """Who never gets through hears 409."""

        async def changed(*args: object, **kwargs: object) -> object:
            raise Conflict

        self.patch(self.accounts, "update_alias", changed)
        answer = self.alias.request("PUT", "/v1/account", b'{"settings": {"mail": {}}}')
        self.assert_error(answer, 409)

    def test_large_settings(self) -> None:
        """All together they have a limit, however many requests bring them."""
        defaults = {"x": "y" * (MAX_OCTETS - 1000)}
        for settings, status in (
            ({"aliases": {"defaults": {"x": "y" * 900_000}}}, 413),
            ({"aliases": {"defaults": defaults}}, 200),
            ({"label_settings": {f"k{n}": {"name": "n" * 200} for n in range(10)}}, 413),
        ):
            answer = self.alias.request(
                "PUT", "/v1/account", json.dumps({"settings": settings}).encode()
            )
            self.assertEqual(answer.status, status, answer.text)

    def test_bad_settings(self) -> None:
        """400."""
        answer = self.alias.request("PUT", "/v1/account", b'{"settings": []}')
        self.assert_error(answer, 400)


class MergeTests(APITestCase):
    """The rules of settings, one by one."""

    def test_refused(self) -> None:
        """Wrong types, blanks in keywords, bad colors, too many labels."""
        too_many = {f"k{number}": {} for number in range(MAX_LABELS + 1)}
        for sent in (
            [],
            {"mail": 1},
            {"mail": {"sent_folder": 1}},
            {"label_settings": []},
            {"label_settings": {"a b": {}}},
            {"label_settings": {"a": {"color": "red"}}},
            {"label_settings": {"a": {"hidden": "yes"}}},
            {"label_settings": {"a": {"name": 1}}},
            {"label_settings": too_many},
            {"aliases": {"defaults": []}},
        ):
            with self.subTest(sent=str(sent)[:60]):
                self.assertRaises(Invalid, merge_settings, {}, sent)

    def test_clear_labels(self) -> None:
        """An empty object clears all labels."""
        stored = {"label_settings": {"work": {"color": "#ff0000"}}}
        merged = merge_settings(stored, {"label_settings": {}})
        self.assertEqual({}, merged["label_settings"])

    def test_null_folder(self) -> None:
        """Null is kept as null."""
        merged = merge_settings({}, {"mail": {"sent_folder": None, "other": 1}})
        self.assertEqual({"sent_folder": None}, merged["mail"])
