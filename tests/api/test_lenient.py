"""
What clients really send: forms, scripts, Terraform, webmail; and what they hear when it is wrong.

Bodies of odd types, fields of odd kinds, paths with a slash behind; a change that says little
changes little.
"""

import json

from tests.api.test_aliases import PATH, AliasTestCase
from tests.api.test_calls import APITestCase

FORM = "application/x-www-form-urlencoded"
DOMAIN = "/v1/domains/example.org"


class BodyTests(AliasTestCase):
    """Types and forms of bodies."""

    def test_unknown_type(self) -> None:
        """415 with an error object, and nothing is changed."""
        self.add(name="kim", description="x", labels=["a"])
        body = '{"description": "y"}'
        for kind in (
            "text/plain",
            "application/xml",
            "application/octet-stream",
            "application/json; charset=utf-16",
        ):
            with self.subTest(kind=kind):
                self.assert_error(self.send("PUT", f"{PATH}/kim", body, kind), 415)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        squeezed = self.client.request("PUT", f"{PATH}/kim", b"\x1f\x8b\x08", headers)
        self.assert_error(squeezed, 415)
        self.assertEqual("x", self.client.get(f"{PATH}/kim").json["description"])

    def test_no_object(self) -> None:
        """400, and nothing is changed: not the description, not the labels."""
        self.add(name="kim", description="x", labels=["a"])
        for body in ("[]", '[{"description": "y"}]', '"y"', "5", "null", "true", '{"a":1,"a":2}'):
            with self.subTest(body=body):
                self.assert_error(self.send("PUT", f"{PATH}/kim", body), 400)
                self.assert_error(self.send("POST", "/v1/domains", body), 400)
        kept = self.client.get(f"{PATH}/kim").json
        self.assertEqual(("x", ["a"]), (kept["description"], kept["labels"]))

    def test_empty(self) -> None:
        """Where nothing is required nothing need be sent, whatever type is said."""
        self.add(name="kim", has_imap=True, description="x")
        for kind in ("application/json", FORM, "text/plain", ""):
            answer = self.send("PUT", f"{PATH}/kim", "", kind)
            self.assertEqual((200, "x"), (answer.status, answer.json["description"]))
        answer = self.send("POST", f"{PATH}/kim/generate-password", "", "text/plain")
        self.assertEqual(200, answer.status)

    def test_json_that_calls_itself_a_form(self) -> None:
        """``curl --data '{...}'`` is told what is wrong, not given an alias of a random name."""
        answer = self.form("POST", PATH, '{"name": "kim", "has_imap": true}')
        self.assert_error(answer, 400, "Content-Type")
        self.assertEqual([], self.client.get(PATH).json)

    def test_raw_form(self) -> None:
        """``curl --data 'description=grød'``."""
        answer = self.form("POST", PATH, "name=kim&description=rødgrød med fløde&labels=grød,æble")
        self.assertEqual("rødgrød med fløde", answer.json["description"])
        self.assertEqual(["grød", "æble"], answer.json["labels"])

    def test_lists(self) -> None:
        """In every way in which clients write them; an empty one clears."""
        for number, form in enumerate(
            (
                "labels[]=a&labels[]=b",
                "labels=a&labels=b",
                "labels=a,b",
                "labels=a%0Ab",
                "labels=a+b",
                "labels[0]=a&labels[1]=b",
            )
        ):
            with self.subTest(form=form):
                answer = self.form("POST", PATH, f"name=a{number}&{form}")
                self.assertEqual(["a", "b"], answer.json["labels"])
                for empty in ("labels=", "labels[]="):
                    cleared = self.form("PUT", f"{PATH}/a{number}", empty)
                    self.assertEqual([], cleared.json["labels"])
        for wrong in ("labels[a]=b", "recipients[a][b]=c"):
            self.assert_error(self.form("POST", PATH, wrong), 400)


class ValueTests(AliasTestCase):
    """Booleans and numbers."""

    def test_booleans(self) -> None:
        """Yes, no, nothing; and what is neither names no guess."""
        self.add(name="kim", is_enabled=True)
        for value, expected in (
            (False, False),
            ("True", True),
            (0, False),
            ("on", True),
            ("OFF", False),
            (1, True),
            ("no", False),
            (None, False),
            ("yes", True),
            (None, True),
        ):
            answer = self.change("kim", is_enabled=value)
            self.assertEqual((200, expected), (answer.status, answer.json["is_enabled"]), value)
        for value in ("", "null", "maybe", 2, 0.5, [], [True], {}, "enabled"):
            with self.subTest(value=value):
                refused = self.change("kim", is_enabled=value)
                self.assert_error(refused, 400, "The field is_enabled must be true or false.")
        self.assertIs(True, self.client.get(f"{PATH}/kim").json["is_enabled"])

    def test_every_boolean(self) -> None:
        """Of domains, aliases and passwords."""
        self.add(name="kim", has_imap=True)
        for path, names in (
            (
                DOMAIN,
                (
                    "has_adult_content_protection",
                    "has_phishing_protection",
                    "has_executable_protection",
                    "has_virus_protection",
                    "has_recipient_verification",
                    "ignore_mx_check",
                    "is_catchall_regex_disabled",
                    "has_newsletter",
                ),
            ),
            (
                f"{PATH}/kim",
                (
                    "is_enabled",
                    "has_imap",
                    "has_recipient_verification",
                    "has_pgp",
                    "has_smime",
                    "vacation_responder_is_enabled",
                ),
            ),
        ):
            for name in names:
                with self.subTest(name=name):
                    body = json.dumps({name: "perhaps"})
                    self.assert_error(self.send("PUT", path, body), 400)
                    self.assertEqual(200, self.send("PUT", path, json.dumps({name: None})).status)
        self.send("POST", f"{PATH}/kim/generate-password", "{}")
        unclear = self.send("POST", f"{PATH}/kim/generate-password", '{"is_override": "perhaps"}')
        self.assert_error(unclear, 400, "true or false")

    def test_numbers(self) -> None:
        """Text and numbers; what is none is 400, and null is absent."""
        for value in ("12", 12):
            answer = self.send("PUT", DOMAIN, json.dumps({"max_recipients_per_alias": value}))
            self.assertEqual(12, answer.json["max_recipients_per_alias"])
        answer = self.send("PUT", DOMAIN, '{"max_recipients_per_alias": null, "smtp_port": null}')
        self.assertEqual(12, answer.json["max_recipients_per_alias"])
        for value in (True, 1.5, "x", "", [], {}, "१२", "-1", 10**30):
            with self.subTest(value=value):
                body = json.dumps({"max_recipients_per_alias": value})
                refused = self.send("PUT", DOMAIN, body)
                self.assert_error(refused, 400, "max_recipients_per_alias must be a number")


class PathTests(AliasTestCase):
    """Slashes."""

    def test_slash_behind(self) -> None:
        """The same resource, for every method; two slashes are none of ours."""
        self.assertEqual(200, self.client.get("/v1/domains/").status)
        self.assertEqual("example.org", self.client.get(f"{DOMAIN}/").json["name"])
        made = self.send("POST", f"{PATH}/", '{"name": "kim"}')
        self.assertEqual(200, made.status)
        for path in (f"{PATH}/kim/", f"{PATH}/kim/?x=y"):
            self.assertEqual("kim", self.client.get(path).json["name"])
        self.assertEqual(200, self.client.request("DELETE", f"{PATH}/kim/").status)
        for path in ("/v1/domains//", "/v1//domains"):
            self.assert_error(self.client.get(path), 404)

    def test_cross_origin(self) -> None:
        """What a webmail client sends and reads beyond the simple headers."""
        origin = {"Origin": "https://webmail.example"}
        preflight = self.client.request("OPTIONS", PATH, headers=origin)
        allowed = preflight.header("Access-Control-Allow-Headers").split(", ")
        self.assertLessEqual({"Authorization", "Content-Type", "If-Match"}, set(allowed))
        exposed = self.client.request("GET", PATH, headers=origin)
        self.assertIn("ETag", exposed.header("Access-Control-Expose-Headers").split(", "))


class TerraformTests(APITestCase):
    """The provider for Terraform: what it sends, compares and sends again."""

    PROTECTIONS = (
        "has_adult_content_protection",
        "has_phishing_protection",
        "has_executable_protection",
        "has_virus_protection",
    )

    def test_domain(self) -> None:
        """Its defaults come back as they were sent, with a word that they do nothing."""
        for wish in ("true", "false"):
            name = f"{wish}.example"
            form = "&".join(f"{each}={wish}" for each in self.PROTECTIONS)
            sent = f"domain={name}&{form}&has_recipient_verification=false"
            self.assertEqual(200, self.form("POST", "/v1/domains", sent).status)
            read = self.client.get(f"/v1/domains/{name}").json
            for each in (*self.PROTECTIONS,):
                self.assertIs(wish == "true", read[each])
            self.assertLessEqual(set(self.PROTECTIONS), set(read["settings_without_effect"]))
            again = self.form("PUT", f"/v1/domains/{name}", f"domain={name}&{form}").json
            self.assertEqual({**read, "updated_at": ""}, {**again, "updated_at": ""})

    def test_alias(self) -> None:
        """An update sends no description: it stays."""
        self.form("POST", "/v1/domains", "domain=example.org&catchall=false")
        form = "name=kim&is_enabled=true&has_recipient_verification=false"
        lists = "&recipients%5B%5D=a%40b.example&labels%5B%5D=shop"
        self.form("POST", PATH, f"{form}{lists}&description=Hello")
        changed = self.form("PUT", f"{PATH}/kim", f"{form}&recipients%5B%5D=c%40d.example")
        read = self.client.get(f"{PATH}/kim").json
        self.assertEqual(("Hello", ["shop"]), (read["description"], read["labels"]))
        self.assertEqual(["c@d.example"], changed.json["recipients"])


class WithoutEffectTests(AliasTestCase):
    """What this server does not have."""

    def test_refused(self) -> None:
        """400 with a sentence that says so; nothing else of the request is done either."""
        self.add(name="kim", description="x")
        for path, wish in (
            (DOMAIN, {"smtp_port": "2525"}),
            (DOMAIN, {"retention_days": 7}),
            (DOMAIN, {"bounce_webhook": "https://x.example/"}),
            (DOMAIN, {"has_newsletter": True}),
            (DOMAIN, {"has_custom_s3": True}),
            (DOMAIN, {"s3_bucket": "b"}),
            (DOMAIN, {"has_custom_verification": "true"}),
            (f"{PATH}/kim", {"retention": 30}),
            (f"{PATH}/kim", {"vacation_responder_is_enabled": "on"}),
            (f"{PATH}/kim", {"has_pgp": True}),
            (f"{PATH}/kim", {"public_key": "-----BEGIN PGP PUBLIC KEY BLOCK-----"}),
            (f"{PATH}/kim", {"has_smime": True}),
            ("/v1/account", {"avatar_url": "https://x.example/me.png"}),
        ):
            with self.subTest(wish=wish):
                body = json.dumps({**wish, "description": "y", "ignore_mx_check": True})
                self.assert_error(self.send("PUT", path, body), 400)
        self.assertEqual("x", self.client.get(f"{PATH}/kim").json["description"])
        self.assertIs(False, self.client.get(DOMAIN).json["ignore_mx_check"])

    def test_taken(self) -> None:
        """What asks for nothing."""
        self.add(name="kim")
        for path, nothing in (
            (DOMAIN, {"smtp_port": "25", "retention_days": 0, "bounce_webhook": ""}),
            (DOMAIN, {"plan": "free", "has_newsletter": False, "has_custom_s3": "false"}),
            (f"{PATH}/kim", {"retention": 0, "has_pgp": False, "public_key": ""}),
            (f"{PATH}/kim", {"vacation_responder_is_enabled": False}),
            (f"{PATH}/kim", {"vacation_responder_subject": "Away"}),
            ("/v1/account", {"avatar_url": ""}),
        ):
            with self.subTest(nothing=nothing):
                answer = self.send("PUT", path, json.dumps(nothing))
                self.assertEqual(200, answer.status, answer.text)

    def test_stored_before(self) -> None:
        """What an earlier version took looks off now."""
        alias = self.add(name="kim")
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(
            self.accounts.update_domain(
                domain.id, 1.0, smtp_port=2525, retention_days=7, has_newsletter=True,
                bounce_webhook="https://x.example/", denylist=("x.example",),
            )
        )  # fmt: skip
        self.now(self.accounts.update_alias(alias["id"], 1.0, retention=30))
        shown = self.client.get(DOMAIN).json
        self.assertEqual(("25", 0), (shown["smtp_port"], shown["retention_days"]))
        self.assertEqual((False, []), (shown["has_newsletter"], shown["denylist"]))
        self.assertNotIn("bounce_webhook", shown)
        self.assertEqual(0, self.client.get(f"{PATH}/kim").json["retention"])
