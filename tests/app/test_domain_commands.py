"""``fe-mail domain verify`` and ``domain records``: what they print, and how they end."""

import contextlib
import io
import json
from argparse import Namespace
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from fe_mail.app.cli.domains import COMMANDS
from fe_mail.model.errors import Conflict, MailError, NotFound
from fe_mail.model.vantage import OwnAddresses
from tests.http.world import HTTPTestCase


@attrs.frozen
class Inside:
    """As much of the services as the commands ask."""

    domains: Any
    stores: Any


class DomainCommandTests(HTTPTestCase):
    """A domain of the server's admin."""

    def setUp(self) -> None:
        """Added, nothing published."""
        super().setUp()
        admin = self.add_user()
        self.now(self.services.domains.create(admin, "example.org"))

    def command(self, action: str, **options: object) -> tuple[int, str]:
        """The exit code and what is printed."""
        inside: Any = Inside(self.services.domains, Namespace(accounts=self.accounts))
        printed = io.StringIO()
        given = Namespace(**{"name": "example.org", "user": None, "json": False, **options})
        (run,) = (each.run for each in COMMANDS if each.words == f"domain {action}")
        with contextlib.redirect_stdout(printed):
            code = self.now(run(inside, given))  # type: ignore[arg-type]
        return code, printed.getvalue()

    def test_exit_codes(self) -> None:
        """Wrong, right, and neither."""
        code, said = self.command("verify")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"MISSING +mx: +example\.org does not exist")
        self.publish("example.org")
        code, said = self.command("verify")
        self.assertEqual((code, said.count("\nright")), (0, said.count("\n") - 1))
        texts = self.resolver.table["example.org", "TXT"]
        self.resolver.table["example.org", "TXT"] = tuple(
            "v=spf1 -all" if "spf1" in str(text) else text for text in texts
        )
        self.assertEqual(self.command("verify")[0], 1)
        self.resolver.table["example.org", "TXT"] = texts
        self.vantage.greetings = {}
        code, said = self.command("verify")
        self.assertEqual(code, 3)
        self.assertRegex(said, r"cannot be told +reach: +From here, nobody answers")
        self.resolver.failing.add("example.org")
        code, said = self.command("verify")
        self.assertEqual(code, 3)
        self.assertIn("no answer", said)

    def test_records(self) -> None:
        """With priorities and addresses, or what to do to know them."""
        _, said = self.command("records", zone=False)
        self.assertRegex(said, r"MX +@ +10 +mx\.example\.net")
        self.assertRegex(said, r"A +mx\.example\.net\. +192\.0\.2\.25")
        self.assertRegex(said, r"PTR +192\.0\.2\.25 +mail\.example\.net")
        self.assertNotIn("SERVER_ADDRESSES", said)
        self.vantage.own = OwnAddresses()
        _, said = self.command("records", zone=False)
        self.assertRegex(said, r"A +mx\.example\.net\. +\(the address of this server\)")
        self.assertIn("SERVER_ADDRESSES", said)

    def test_zone(self) -> None:
        """As another program reads it."""
        _, said = self.command("records", zone=True)
        self.assertTrue(said.startswith("$ORIGIN example.org.\n"))
        self.assertTrue(said.endswith("\n"))

    def test_records_as_json(self) -> None:
        """What a program needs to publish them, and nothing else."""
        _, said = self.command("records", zone=False, json=True)
        records = json.loads(said)
        (mx,) = (each for each in records if each["type"] == "MX")
        self.assertEqual((mx["name"], mx["priority"], mx["value"]), ("@", 10, "mx.example.net"))
        self.assertEqual({each["of"] for each in records}, {"domain", "server"})

    def test_two_claims(self) -> None:
        """The one that the DNS has proven is meant; without proof somebody has to say which."""
        bob = self.add_user("bob@example.com")
        self.now(self.services.domains.create(bob, "example.org"))
        error = self.refused("records", Conflict, zone=True)
        self.assertIn("bob@example.com, kim@example.com", error.message)
        self.refused("records", NotFound, user="nobody@example.com", zone=True)
        _, said = self.command("records", user="bob@example.com", zone=True)
        theirs = self.now(self.accounts.domains_named("example.org"))[1]
        self.assertIn(theirs.verification_record, said)
        self.now(self.accounts.update_domain(theirs.id, 1.0, has_txt_record=True))
        _, said = self.command("records", zone=True)
        self.assertIn(theirs.verification_record, said)

    def refused(self, action: str, error: type[MailError], **options: object) -> MailError:
        """The error of a command that fails."""
        inside: Any = Inside(self.services.domains, Namespace(accounts=self.accounts))
        given = Namespace(**{"name": "example.org", "user": None, "json": False, **options})
        (run,) = (each.run for each in COMMANDS if each.words == f"domain {action}")
        failed = Deferred.fromCoroutine(run(inside, given))  # type: ignore[arg-type]
        value: MailError = self.failureResultOf(failed, error).value
        return value
