"""``/v1/domains``: objects, lists, settings, the check of the DNS, and who may do what."""

from fe_mail.api.domains import catchall_of
from fe_mail.api.serving import PRETTY_ITEMS
from fe_mail.model.account import Member
from fe_mail.model.errors import Invalid
from fe_mail.model.vantage import OwnAddresses
from tests.api.test_calls import APITestCase

KEYS = [
    "id",
    "object",
    "created_at",
    "updated_at",
    "link",
    "name",
    "plan",
    "has_mx_record",
    "has_txt_record",
    "has_smtp",
    "has_dkim_record",
    "has_return_path_record",
    "has_dmarc_record",
    "smtp_dns_records",
    "verification_record",
    "has_adult_content_protection",
    "has_phishing_protection",
    "has_executable_protection",
    "has_virus_protection",
    "has_recipient_verification",
    "has_custom_verification",
    "custom_verification",
    "has_newsletter",
    "ignore_mx_check",
    "is_catchall_regex_disabled",
    "has_regex",
    "has_catchall",
    "max_recipients_per_alias",
    "smtp_port",
    "retention_days",
    "max_quota_per_alias",
    "storage_used",
    "storage_used_by_aliases",
    "storage_quota",
    "alias_count",
    "allowlist",
    "denylist",
    "restricted_alias_names",
    "members",
    "invites",
    "has_custom_s3",
]


class DomainTests(APITestCase):
    """The admin of the server and of the domain."""

    def add(self, name: str = "example.org", more: str = "") -> dict[str, object]:
        """A new domain."""
        answer = self.send("POST", "/v1/domains", f'{{"domain": "{name}"{more}}}')
        self.assertEqual(200, answer.status, answer.text)
        found: dict[str, object] = answer.json
        return found

    def test_object(self) -> None:
        """Every key that a client reads, with the types of the reference."""
        domain = self.add()
        self.assertEqual(set(), set(KEYS) - set(domain))
        self.assertEqual("domain", domain["object"])
        self.assertEqual("25", domain["smtp_port"])
        self.assertEqual(10, domain["max_recipients_per_alias"])
        self.assertEqual({"dkim", "return_path", "dmarc"}, set(domain["smtp_dns_records"]))
        self.assertEqual("kim@example.com", domain["members"][0]["user"]["email"])
        self.assertNotIn("bounce_webhook", domain)
        self.assertNotIn("PRIVATE", str(domain))

    def test_unicode_name(self) -> None:
        """Names are shown in Unicode and found in either form, or by id."""
        domain = self.add("blåbær.example")
        self.assertEqual("blåbær.example", domain["name"])
        for path in ("bl%C3%A5b%C3%A6r.example", "xn--blbr-roah.example", domain["id"]):
            with self.subTest(path=path):
                self.assertEqual(domain["id"], self.client.get(f"/v1/domains/{path}").json["id"])

    def test_catchall(self) -> None:
        """Absent and every yes make one, every no does not; other texts name recipients."""
        self.assertIs(True, catchall_of({}))
        self.assertIs(True, catchall_of({"catchall": "true"}))
        for no in (False, "false", "0", 0, "no", "off", "False"):
            self.assertIs(False, catchall_of({"catchall": no}))
        self.assertEqual("a@b.c,d@e.f", catchall_of({"catchall": ["a@b.c", "d@e.f"]}))
        self.assertRaises(Invalid, catchall_of, {"catchall": {"a": 1}})
        self.assertEqual("a@b.c", catchall_of({"catchall": "a@b.c"}))
        self.assertIs(True, self.add()["has_catchall"])
        self.assertIs(False, self.add("b.example", ', "catchall": false')["has_catchall"])
        refused = self.send("POST", "/v1/domains", '{"domain":"c.example","catchall":"nobody"}')
        self.assert_error(refused, 400)

    def test_refused(self) -> None:
        """A bad name, no name, a name twice, an unknown plan: 400."""
        self.add()
        for body in (
            '{"domain": "no"}',
            "{}",
            '{"domain": 5}',
            '{"domain": "EXAMPLE.org"}',
            '{"domain": "b.example", "plan": "gold"}',
        ):
            with self.subTest(body=body):
                self.assert_error(self.send("POST", "/v1/domains", body), 400)

    def test_form(self) -> None:
        """A form does as well as JSON, with lenient booleans."""
        answer = self.form("POST", "/v1/domains", "domain=example.org&ignore_mx_check=Yes")
        self.assertIs(True, answer.json["ignore_mx_check"])

    def test_change(self) -> None:
        """Settings change one by one; what is absent stays; unknown fields are ignored."""
        self.add()
        path = "/v1/domains/example.org"
        changed = self.form("PUT", path, "max_recipients_per_alias=7&nonsense=1").json
        self.assertEqual(7, changed["max_recipients_per_alias"])
        changed = self.form("PUT", path, "max_quota_per_alias=5+GB&has_virus_protection=off").json
        self.assertEqual(5 * 1024**3, changed["max_quota_per_alias"])
        self.assertIs(False, changed["has_virus_protection"])
        self.assertEqual(7, changed["max_recipients_per_alias"])
        for wrong in ("smtp_port=0", "retention_days=31", "max_quota_per_alias=x"):
            with self.subTest(wrong=wrong):
                self.assert_error(self.form("PUT", path, wrong), 400)

    def test_webhook(self) -> None:
        """None can be had yet; what would clear it is taken."""
        self.add()
        path = "/v1/domains/example.org"
        wish = self.send("PUT", path, '{"bounce_webhook": "https://example.com/x"}')
        self.assert_error(wish, 400, "not available")
        for nothing in ("false", "null", '""'):
            kept = self.send("PUT", path, f'{{"bounce_webhook": {nothing}}}')
            self.assertNotIn("bounce_webhook", kept.json)
        self.assertNotIn("bounce_webhook", self.form("PUT", path, "bounce_webhook=false").json)

    def test_delete(self) -> None:
        """The answer is the domain that is gone."""
        domain = self.add()
        gone = self.client.request("DELETE", "/v1/domains/example.org")
        self.assertEqual((200, domain["id"]), (gone.status, gone.json["id"]))
        self.assert_error(self.client.get("/v1/domains/example.org"), 404)

    def test_delete_from_a_page(self) -> None:
        """A script in a page of the web UI cannot delete; any other origin can."""
        self.add()
        for origin, status in (("https://mail.example.net", 400), ("https://webmail.example", 200)):
            headers = {"Origin": origin}
            answer = self.client.request("DELETE", "/v1/domains/example.org", headers=headers)
            self.assertEqual(status, answer.status)

    def test_somebody_elses(self) -> None:
        """A domain of somebody else does not exist, even for the server's admin."""
        self.add()
        other = self.client_of(self.add_user("alex@example.com"))
        self.assert_error(other.get("/v1/domains/example.org"), 404)
        self.assertEqual([], other.get("/v1/domains").json)

    def test_member(self) -> None:
        """A plain member sees less, and may not change it: 400."""
        domain = self.add()
        alex = self.add_user("alex@example.com")
        self.now(self.accounts.set_member(domain["id"], Member(user_id=alex.id)))
        client = self.client_of(alex)
        seen = client.get("/v1/domains/example.org").json
        self.assertEqual([alex.id], [member["user"]["id"] for member in seen["members"]])
        for key in ("allowlist", "denylist", "restricted_alias_names", "invites"):
            self.assertNotIn(key, seen)
        for method, path in (("PUT", ""), ("DELETE", ""), ("GET", "/verify-records")):
            with self.subTest(method=method):
                body = b"{}" if method == "PUT" else b""
                answer = client.request(method, f"/v1/domains/example.org{path}", body)
                self.assert_error(answer, 400, "admin")


class VerifyTests(APITestCase):
    """``verify-records``."""

    def setUp(self) -> None:
        """A domain without DNS."""
        super().setUp()
        self.send("POST", "/v1/domains", '{"domain": "example.org"}')

    def verify(self):  # type: ignore[no-untyped-def]
        """Check the records."""
        return self.client.get("/v1/domains/example.org/verify-records")

    def test_missing(self) -> None:
        """400 with every reason in one message."""
        answer = self.verify()
        self.assert_error(answer, 400, "mx.example.net")
        self.assertIn("forward-email-site-verification=", answer.json["message"])

    def test_good(self) -> None:
        """Text, and the flags are stored."""
        self.publish("example.org")
        answer = self.verify()
        self.assertEqual(200, answer.status, answer.text)
        self.assertIn("text/plain", answer.header("Content-Type"))
        domain = self.client.get("/v1/domains/example.org").json
        self.assertTrue(domain["has_mx_record"] and domain["has_txt_record"])

    def test_sending(self) -> None:
        """``verify-smtp`` does the same for the records for sending."""
        path = "/v1/domains/example.org/verify-smtp"
        self.assert_error(self.client.get(path), 400, "DMARC")
        self.publish("example.org")
        answer = self.client.get(path)
        self.assertEqual(200, answer.status, answer.text)
        self.assertIn("text/plain", answer.header("Content-Type"))
        self.assertTrue(self.client.get("/v1/domains/example.org").json["has_dkim_record"])

    def test_what_cannot_be_told(self) -> None:
        """400 with the reason; only trouble of the DNS is worth trying again."""
        self.publish("example.org")
        self.vantage.own = OwnAddresses(hidden=(4,))
        self.resolver.table["mx.example.net", "A"] = ("5.9.0.25",)
        self.assert_error(self.verify(), 400, "SERVER_ADDRESSES")

    def test_another_server(self) -> None:
        """Somebody else answers where the MX leads."""
        self.publish("example.org")
        self.vantage.greetings = dict.fromkeys(self.vantage.greetings, "220 old.example.net")
        self.assert_error(self.verify(), 400, "old.example.net")

    def test_no_answer(self) -> None:
        """Trouble of the DNS is 408 and changes nothing."""
        self.publish("example.org")
        self.verify()
        self.resolver.failing.add("example.org")
        self.assert_error(self.verify(), 408)
        self.assertTrue(self.client.get("/v1/domains/example.org").json["has_mx_record"])


class RecipientsTests(APITestCase):
    """A server with ``MAX_FORWARDED_ADDRESSES``."""

    recipients = 25

    def test_shown(self) -> None:
        """What a domain without a limit of its own has is what the server allows."""
        made = self.send("POST", "/v1/domains", '{"domain": "example.org"}').json
        self.assertEqual(25, made["max_recipients_per_alias"])


class SendingTests(APITestCase):
    """Who decides whether a domain may send."""

    def test_allowed(self) -> None:
        """An admin of the server, for any domain; nobody else, not even its own admin."""
        alex = self.client_of(self.add_user("alex@example.com"))
        alex.request("POST", "/v1/domains", b'{"domain":"example.org"}')
        path = "/v1/domains/example.org/allow-sending"
        self.assert_error(alex.request("PUT", path, b"{}"), 400, "administrator of the server")
        for body, is_allowed in (("{}", True), ('{"has_smtp": false}', False)):
            answer = self.send("PUT", path, body)
            self.assertEqual((200, is_allowed), (answer.status, answer.json["has_smtp"]))
            self.assertEqual(1, len(answer.json["members"]))  # whose domain it is
        self.assert_error(self.send("PUT", path.replace("org", "net"), "{}"), 404)


class ListTests(APITestCase):
    """Pages of domains."""

    def setUp(self) -> None:
        """Five domains."""
        super().setUp()
        for name in "cabed":
            self.clock.advance(1)
            self.send("POST", "/v1/domains", f'{{"domain": "{name}.example"}}')

    def names(self, query: str) -> list[str]:
        """The first letters of what a query finds."""
        return [domain["name"][0] for domain in self.client.get(f"/v1/domains{query}").json]

    def test_all(self) -> None:
        """Without a limit all come, oldest first, with the headers of one page."""
        answer = self.client.get("/v1/domains")
        self.assertEqual(list("cabed"), [domain["name"][0] for domain in answer.json])
        headers = [
            f"X-{name}" for name in ("Page-Count", "Page-Current", "Page-Size", "Item-Count")
        ]
        self.assertEqual(["1", "1", "5", "5"], [answer.header(name) for name in headers])
        self.assertEqual("", answer.header("Link"))

    def test_long(self) -> None:
        """What only programs read is not broken into lines, which would hold up everybody else."""
        self.assertIn(b"\n  {", self.client.get("/v1/domains").body)
        aliases = "/v1/domains/a.example/aliases"
        for number in range(PRETTY_ITEMS + 1):
            self.send("POST", aliases, f'{{"name": "u{number}"}}')
        answer = self.client.get(aliases)
        self.assertNotIn(b"\n", answer.body)
        self.assertGreater(len(answer.json), PRETTY_ITEMS)

    def test_sort_and_search(self) -> None:
        """By any field, either way; ``q`` and ``name`` are plain text, not expressions."""
        self.assertEqual(list("abcde"), self.names("?sort=name"))
        self.assertEqual(list("edcba"), self.names("?sort=-name"))
        self.assertEqual(["b"], self.names("?q=B.EX"))
        self.assertEqual([], self.names("?name=.*"))

    def test_pages(self) -> None:
        """A correct Link header that keeps the other parameters."""
        answer = self.client.get("/v1/domains?limit=2&page=2&sort=name&pagination=true")
        self.assertEqual(["c", "d"], [domain["name"][0] for domain in answer.json])
        self.assertEqual("3", answer.header("X-Page-Count"))
        links = dict(reversed(part.split("; ")) for part in answer.header("Link").split(", "))
        self.assertEqual(
            {f'rel="{name}"' for name in ("prev", "next", "last", "first")}, set(links)
        )
        self.assertEqual(
            "<http://api.example.net/v1/domains?limit=2&page=3&sort=name&pagination=true>",
            links['rel="next"'],
        )

    def test_somewhere_else(self) -> None:
        """A stranger's word about where we are counts for nothing."""
        hidden = {"Host": "10.0.0.1:4000", "X-Forwarded-For": "192.0.2.1"}
        answer = self.client.request("GET", "/v1/domains?limit=2", headers=hidden)
        self.assertIn("<http://10.0.0.1:4000/v1/domains?", answer.header("Link"))

    def test_bad_numbers(self) -> None:
        """A bad page is the first, a bad limit the default, a great one the maximum."""
        for query in ("?page=x", "?page=-1", "?limit=x", "?limit=99999", "?page=0&limit=0"):
            with self.subTest(query=query):
                self.assertEqual(list("cabed"), self.names(query))


class ProxiedListTests(APITestCase):
    """Behind a reverse proxy."""

    proxies = ("127.0.0.1",)

    def test_links(self) -> None:
        """They lead to the address that callers used, or else to the one that is configured."""
        for name in "ab":
            self.send("POST", "/v1/domains", f'{{"domain": "{name}.example"}}')
        through = {"X-Forwarded-For": "192.0.2.1"}
        tls = {**through, "X-Forwarded-Proto": "https"}
        for headers, base in (
            ({"Host": "api.example.net", **tls}, "https://api.example.net"),
            ({"Host": "mail.example.net", **tls}, "https://mail.example.net"),
            ({"Host": "127.0.0.1:4000", **tls}, "https://api.example.net"),
            ({"Host": "fe_mail:4000", **through}, "https://api.example.net"),
            ({"Host": "127.0.0.1:4000"}, "http://127.0.0.1:4000"),
        ):
            with self.subTest(headers=headers):
                answer = self.client.request("GET", "/v1/domains?limit=1", headers=headers)
                self.assertIn(f"<{base}/v1/domains?limit=1&page=2>", answer.header("Link"))
