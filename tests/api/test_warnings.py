"""``warnings`` in the answers: mail that leads nowhere."""

import json
from typing import Any

from fe_mail.model.page import Query
from tests.api.test_aliases import PATH, AliasTestCase


class WarningTests(AliasTestCase):
    """A domain without aliases, of the server's admin."""

    def test_fine(self) -> None:
        """The field is there only if there is something to say."""
        self.assertNotIn("warnings", self.add(name="a", recipients=["x@t.test"]))

    def test_added(self) -> None:
        """A recipient that does not exist is told of, by every answer about the alias."""
        missing = "a@example.org leads to b@example.org, which does not exist."
        self.assertEqual([missing], self.add(name="a", recipients=["b@example.org"])["warnings"])
        self.assertEqual([missing], self.send("GET", f"{PATH}/a").json["warnings"])
        self.add(name="b", recipients=["x@t.test"])
        self.assertNotIn("warnings", self.send("GET", f"{PATH}/a").json)
        removed = self.send("DELETE", f"{PATH}/b")
        self.assertEqual((200, [missing]), (removed.status, removed.json["warnings"]))

    def test_circle(self) -> None:
        """What can never arrive is refused."""
        body = json.dumps({"name": "a", "recipients": ["a@example.org"]})
        answer = self.send("POST", PATH, body)
        self.assertEqual(400, answer.status)
        self.assertEqual("a@example.org leads to itself.", answer.json["message"])

    def test_disabled(self) -> None:
        """Switching off what another relies on."""
        self.add(name="b", recipients=["x@t.test"])
        self.add(name="a", recipients=["b@example.org"])
        answer = self.change("b", is_enabled=False)
        self.assertIn("b@example.org is disabled", answer.json["warnings"][0])

    def test_language(self) -> None:
        """In the caller's language."""
        body = json.dumps({"name": "a", "recipients": ["b@example.org"]})
        headers = {"Content-Type": "application/json", "Accept-Language": "da"}
        answer = self.client.request("POST", PATH, body.encode(), headers)
        self.assertIn("som ikke findes", answer.json["warnings"][0])


class DomainWarningTests(AliasTestCase):
    """Domains and accounts."""

    def add_domain(self, **fields: object) -> dict[str, Any]:
        """A new domain."""
        answer = self.send("POST", "/v1/domains", json.dumps({"domain": "new.test", **fields}))
        self.assertEqual(200, answer.status, answer.text)
        found: dict[str, Any] = answer.json
        return found

    def test_own_address(self) -> None:
        """An account at its own domain: the mailbox is there and waits for its password."""
        (owner,) = self.now(self.accounts.users(Query())).items
        self.now(self.accounts.update_user(owner.id, 0.0, email="me@new.test"))
        (told,) = self.add_domain()["warnings"]
        self.assertIn("me@new.test takes no mail before its first password", told)
        self.send("POST", "/v1/domains/new.test/aliases/me/generate-password")
        self.assertNotIn("warnings", self.send("PUT", "/v1/domains/new.test", "{}").json)

    def test_switched_off(self) -> None:
        """Without the catch-all some alias leads nowhere."""
        self.add_domain()
        path = "/v1/domains/new.test"
        body = json.dumps({"name": "a", "recipients": ["any@new.test"]})
        self.assertNotIn("warnings", self.send("POST", f"{path}/aliases", body).json)
        told = self.send("PUT", path, '{"is_catchall_regex_disabled": true}').json["warnings"]
        self.assertEqual(2, len(told))
        self.assertIn("any@new.test, which does not exist", told[1])

    def test_removed(self) -> None:
        """Aliases of other domains that led there."""
        self.add_domain()
        self.add(name="a", recipients=["b@new.test"])
        told = self.send("DELETE", "/v1/domains/new.test").json["warnings"]
        self.assertEqual(
            ["a@example.org leads to new.test, which is not hosted here any more."], told
        )

    def test_account(self) -> None:
        """A new address that does not exist in a hosted domain: its link will not arrive."""
        told = self.send("PUT", "/v1/account", '{"email": "me@example.org"}').json["warnings"]
        self.assertIn("reaches nobody yet", told[0])
