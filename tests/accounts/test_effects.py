"""
Every stored setting has a reader, or is known to do nothing yet.

The table is held against the code: the file that is named must read the attribute, what is said to
do nothing must be read nowhere, and whatever callers may set stands in the table.
"""

import ast
import re
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

import fe_mail
from fe_mail.accounts.effects import NOT_YET, READERS, off, refuse_idle, without_effect
from fe_mail.api import account, aliases, domains
from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.errors import Invalid

PACKAGE = Path(fe_mail.__file__).parent
KINDS: dict[str, type[Any]] = {"user": User, "domain": Domain, "alias": Alias}
# What only carries values to and fro.
CARRIERS = ("adapters/", "model/", "api/objects.py", "accounts/effects.py")
# Names of requests that are stored under others, or are a way to say something else.
REQUESTED = {
    "domain": set(domains.SETTINGS),
    "alias": set(aliases.FIELDS) - {"password", "new_password"},
    "user": set(account.CHANGES) - {"settings"},
}
STORED_AS = {"vacation_responder": re.compile(r"vacation_responder_\w+\Z")}


def reads(path: Path, name: str) -> bool:
    """Does the file read an attribute of this name?"""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        return re.search(rf"\.{name}\b", text) is not None
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
        for node in ast.walk(ast.parse(text))
    )


class ReaderTests(SynchronousTestCase):
    """The table and the code."""

    def test_everything_stands_in_the_table(self) -> None:
        """Each attribute of a stored thing, and each once."""
        stored = {
            f"{kind}.{field.name}" for kind, cls in KINDS.items() for field in attrs.fields(cls)
        }
        self.assertEqual(set(), stored - set(READERS) - set(NOT_YET))
        self.assertEqual(set(), set(READERS) - stored)
        self.assertEqual(set(), set(READERS) & set(NOT_YET))

    def test_readers_read(self) -> None:
        """The file that is named does; when it stops, somebody has to say who does instead."""
        for name, reader in READERS.items():
            attribute = name.partition(".")[2]
            with self.subTest(name=name):
                if reader.startswith("adapters/"):
                    self.assertIn(attribute, (PACKAGE / reader).read_text("utf-8"))
                else:
                    self.assertTrue(reads(PACKAGE / reader, attribute), reader)

    def test_facts_cannot_be_set(self) -> None:
        """What is only shown is no setting: nobody may ask for it and be thanked for nothing."""
        for name, reader in READERS.items():
            kind, _, attribute = name.partition(".")
            if reader == "api/objects.py":
                self.assertNotIn(attribute, REQUESTED[kind], name)

    def test_what_does_nothing_is_read_nowhere(self) -> None:
        """Once a file acts upon it, it belongs to the readers."""
        files = [
            path
            for path in PACKAGE.rglob("*.py")
            if not path.relative_to(PACKAGE).as_posix().startswith(CARRIERS)
        ]
        pages = list(PACKAGE.rglob("*.html"))
        # Certificates and DKIM have public keys too, and users a plan that domains inherit.
        others = {"public_key", "plan"}
        for name in NOT_YET:
            attribute = name.partition(".")[2]
            if attribute in others:
                continue
            found = [path for path in (*files, *pages) if reads(path, attribute)]
            self.assertEqual([], found, name)

    def test_requests(self) -> None:
        """Whatever a caller may set is stored and read, or known to do nothing."""
        for kind, fields in REQUESTED.items():
            for field in fields:
                whole = [name for name, form in STORED_AS.items() if form.match(field)]
                known = {f"{kind}.{name}" for name in (field, *whole)}
                self.assertTrue(known & {*READERS, *NOT_YET}, f"{kind}.{field}")

    def test_pages_offer_nothing_idle(self) -> None:
        """No form has a field for it."""
        names = {name.partition(".")[2] for name in NOT_YET}
        for path in PACKAGE.rglob("*.html"):
            offered = set(re.findall(r'name="(\w+)"', path.read_text("utf-8")))
            self.assertEqual(set(), offered & names, path.name)


class IdleTests(SynchronousTestCase):
    """What is taken, refused and shown."""

    def test_taken(self) -> None:
        """What asks for nothing."""
        for name, setting in NOT_YET.items():
            for value in (setting.off, *setting.taken):
                refuse_idle(name, value)
        refuse_idle("domain.ignore_mx_check", True)

    def test_refused(self) -> None:
        """What asks for something, with the field and a sentence."""
        for name, value in (
            ("domain.smtp_port", 2525),
            ("domain.bounce_webhook", "https://x.test/"),
            ("domain.allowlist", ("x.test",)),
            ("alias.retention", 1),
            ("alias.vacation_responder_is_enabled", True),
            ("user.avatar_url", "https://x.test/me.png"),
        ):
            with self.assertRaises(Invalid) as caught:
                refuse_idle(name, value)
            self.assertEqual(caught.exception.field, name.partition(".")[2])
            self.assertTrue(caught.exception.message.endswith("."))

    def test_shown(self) -> None:
        """As off, whatever was stored before; a default of clients comes back, and is named."""
        self.assertEqual(25, off("domain.smtp_port", 2525))
        self.assertIs(True, off("domain.ignore_mx_check", True))
        shown = {"has_virus_protection": True, "smtp_port": "25", "ignore_mx_check": True}
        self.assertIs(True, off("domain.has_virus_protection", True))
        self.assertEqual(["has_virus_protection"], without_effect("domain", shown))
