"""``/v1/domains/:domain/aliases``: objects, lists, changes, passwords."""

import json
from typing import Any

from fe_mail.model.account import Member
from tests.api.test_calls import APITestCase
from tests.http.world import PASSWORD, Answer

PATH = "/v1/domains/example.org/aliases"
KEYS = [
    "id",
    "object",
    "created_at",
    "updated_at",
    "user",
    "domain",
    "name",
    "labels",
    "is_enabled",
    "error_code_if_disabled",
    "has_recipient_verification",
    "recipients",
    "verified_recipients",
    "pending_recipients",
    "has_imap",
    "has_pgp",
    "public_key",
    "storage_used",
    "storage_location",
    "max_quota",
    "retention",
    "vacation_responder",
]


class AliasTestCase(APITestCase):
    """A domain without aliases."""

    def setUp(self) -> None:
        """Add it."""
        super().setUp()
        self.send("POST", "/v1/domains", '{"domain": "example.org", "catchall": false}')

    def add(self, **fields: object) -> dict[str, Any]:
        """A new alias."""
        answer = self.send("POST", PATH, json.dumps(fields))
        self.assertEqual(200, answer.status, answer.text)
        found: dict[str, Any] = answer.json
        return found

    def change(self, name: str, **fields: object) -> Answer:
        """Change an alias."""
        return self.send("PUT", f"{PATH}/{name}", json.dumps(fields))


class AliasTests(AliasTestCase):
    """Add, read, change, remove."""

    def test_object(self) -> None:
        """Every key that a client reads; user and domain are objects, whole after creation."""
        alias = self.add(name="kim", description="For kim", labels="a, b")
        self.assertEqual(set(), set(KEYS) - set(alias))
        self.assertEqual("kim@example.com", alias["user"]["email"])
        self.assertEqual(1, len(alias["domain"]["members"]))
        self.assertEqual(["a", "b"], alias["labels"])
        short = self.client.get(f"{PATH}/kim").json
        self.assertEqual("example.org", short["domain"]["name"])
        self.assertNotIn("members", short["domain"])
        self.assertNotIn("sealing_key", json.dumps(short))

    def test_defaults(self) -> None:
        """Ten random characters, to the caller's own address; no empty description."""
        alias = self.add()
        self.assertRegex(alias["name"], r"^[a-z0-9]{10}$")
        self.assertEqual(["kim@example.com"], alias["recipients"])
        self.assertNotIn("description", alias)

    def test_nested_form(self) -> None:
        """Lists come as a[]=, a[0]=, repeated or in one text."""
        for body in (
            "recipients[]=a%40b.example&recipients[]=c%40d.example",
            "recipients[0]=a%40b.example&recipients[1]=c%40d.example",
            "recipients=a%40b.example&recipients=c%40d.example",
            "recipients=a%40b.example%2C+c%40d.example",
        ):
            with self.subTest(body=body):
                answer = self.form("POST", PATH, body)
                self.assertEqual(["a@b.example", "c@d.example"], answer.json["recipients"])

    def test_change(self) -> None:
        """What is absent or null stays, what is empty is cleared."""
        self.add(name="kim", description="x", labels=["a"], recipients=["a@b.example"])
        changed = self.change("kim", is_enabled="false", error_code_if_disabled="550").json
        self.assertEqual((False, 550), (changed["is_enabled"], changed["error_code_if_disabled"]))
        self.assertEqual(["a@b.example"], changed["recipients"])
        self.assertEqual(["a"], changed["labels"])
        self.assertEqual("x", changed["description"])
        changed = self.change("kim", description=None, labels=None, recipients=None).json
        self.assertEqual((["a"], "x"), (changed["labels"], changed["description"]))
        self.assertEqual(["a@b.example"], changed["recipients"])
        changed = self.change("kim", description="", labels=[]).json
        self.assertEqual([], changed["labels"])
        self.assertNotIn("description", changed)

    def test_refused(self) -> None:
        """Taken and bad names, bad recipients, a password in the body: 400."""
        self.add(name="kim")
        for fields in (
            {"name": "kim"},
            {"name": "a+b"},
            {"name": "a b@"},
            {"recipients": "nonsense!"},
            {"error_code_if_disabled": 999},
            {"password": "x"},
            {"new_password": "x"},
        ):
            with self.subTest(fields=fields):
                self.assert_error(self.send("POST", PATH, json.dumps(fields)), 400)

    def test_names_in_paths(self) -> None:
        """An alias is found by id and by name, also ``*`` and an expression with slashes."""
        self.add(name="*")
        self.add(name="/^sales-(.*)$/")
        for path, name in (("*", "*"), ("%2F%5Esales-%28.%2A%29%24%2F", "/^sales-(.*)$/")):
            with self.subTest(path=path):
                answer = self.client.get(f"{PATH}/{path}")
                self.assertEqual((200, name), (answer.status, answer.json["name"]))
                again = self.client.get(f"{PATH}/{answer.json['id']}")
                self.assertEqual(name, again.json["name"])

    def test_delete(self) -> None:
        """The answer is the alias that is gone."""
        alias = self.add(name="kim")
        gone = self.client.request("DELETE", f"{PATH}/kim")
        self.assertEqual((200, alias["id"]), (gone.status, gone.json["id"]))
        self.assert_error(self.client.get(f"{PATH}/kim"), 404)

    def test_list(self) -> None:
        """By name, recipient or any text; with the headers of a page."""
        self.add(name="kim", recipients=["a@b.example"])
        self.add(name="shop", description="for Kim")
        for query, names in (
            ("", ["kim", "shop"]),
            ("?q=KIM", ["kim", "shop"]),
            ("?name=kim", ["kim"]),
            ("?recipient=b.example", ["kim"]),
            ("?sort=-name", ["shop", "kim"]),
        ):
            with self.subTest(query=query):
                found = [alias["name"] for alias in self.client.get(f"{PATH}{query}").json]
                self.assertEqual(names, found)
        self.assertEqual("2", self.client.get(PATH).header("X-Item-Count"))

    def test_member(self) -> None:
        """A plain member sees only the aliases of their own."""
        alex = self.add_user("alex@example.com")
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.set_member(domain.id, Member(user_id=alex.id)))
        self.add(name="kim")
        client = self.client_of(alex)
        client.request("POST", PATH, b'{"name": "alex"}')
        self.assertEqual(["alex"], [alias["name"] for alias in client.get(PATH).json])
        self.assert_error(client.get(f"{PATH}/kim"), 404)


class PasswordTests(AliasTestCase):
    """``generate-password``."""

    def generate(self, **fields: object) -> Answer:
        """A password for kim."""
        return self.send("POST", f"{PATH}/kim/generate-password", json.dumps(fields))

    def setUp(self) -> None:
        """An alias with a mailbox."""
        super().setUp()
        self.add(name="kim", has_imap=True)

    def test_first(self) -> None:
        """User name, password of 24 characters, and a recovery code."""
        made = self.generate().json
        self.assertEqual("kim@example.org", made["username"])
        self.assertEqual(24, len(made["password"]))
        self.assertTrue(made["recovery_code"])

    def test_second(self) -> None:
        """Needs the old one or an override, not both; a wrong one is 403."""
        first = self.generate().json["password"]
        self.assert_error(self.generate(), 400)
        self.assert_error(self.generate(password=first, is_override=True), 400)
        self.assert_error(self.generate(password="wrong"), 403)
        kept = self.generate(password=first)
        self.assertEqual(200, kept.status)
        self.assertNotIn("recovery_code", kept.json)
        self.assertIn("recovery_code", self.generate(is_override="true").json)

    def test_chosen(self) -> None:
        """A chosen password is judged; a good one is taken."""
        self.assert_error(self.generate(new_password="password1"), 400)
        self.assert_error(self.generate(new_password=5), 400)
        self.assertEqual(PASSWORD, self.generate(new_password=PASSWORD).json["password"])

    def test_too_many_wrong(self) -> None:
        """After ten wrong passwords: 403 with a sentence."""
        self.generate()
        for _ in range(10):
            self.assert_error(self.generate(password="wrong"), 403)
        self.assert_error(self.generate(password="wrong"), 403, "Too many")

    def test_no_password(self) -> None:
        """A catch-all has none; instructions cannot be mailed."""
        self.add(name="*")
        answer = self.send("POST", f"{PATH}/*/generate-password", "{}")
        self.assert_error(answer, 400)
        self.assert_error(self.generate(emailed_instructions="a@b.example"), 400)
