"""Tests of fe_mail.app.cli.parser: what may be typed, and that all of it is told."""

import contextlib
import io
import re

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.cli.command import USAGE, YES, Options
from fe_mail.app.cli.parser import make_parser
from fe_mail.app.cli.table import AREAS, COMMANDS

WIDTH = 80
DESTRUCTIVE = {
    *("user remove", "domain remove", "domain webhook-key", "alias set", "alias remove"),
    *("password", "queue drop", "begin-anew"),
}
LISTS = {"user list", "domain list", "domain records", "alias list", "queue list", "log"}


class ParserTests(SynchronousTestCase):
    """Every command of the table."""

    def parse(self, *words: str) -> Options:
        """What they mean."""
        return make_parser().parse_args(words)

    def ends(self, *words: str, code: int = USAGE) -> str:
        """What is said before it exits with ``code``."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            error = self.assertRaises(SystemExit, self.parse, *words)
        self.assertEqual(error.code, code, said.getvalue())
        return said.getvalue()

    def test_help(self) -> None:
        """Every command with a sentence, in lines that a terminal has room for."""
        said = self.ends("--help", code=0)
        for command in COMMANDS:
            self.assertRegex(
                said, rf"\n  {command.words}( [A-Z.\[\]]+)? +{re.escape(command.text)}\n"
            )
            own = self.ends(*command.words.split(), "--help", code=0)
            self.assertIn(command.text[1:20], own.replace("\n", " "))
        for line in said.splitlines():
            self.assertLessEqual(len(line), WIDTH, line)
        for code in ("  0 ", "  1 ", "  2 ", "  3 "):
            self.assertIn(f"\n{code}", said)

    def test_areas(self) -> None:
        """``fe-mail user --help`` lists its actions; without an action that is wrong usage."""
        for area, text in AREAS.items():
            said = self.ends(area, "--help", code=0)
            self.assertIn(text[1:], said)
            for command in COMMANDS:
                first, _, second = command.words.partition(" ")
                if first == area:
                    self.assertRegex(said, rf"\n +{second}\s+{re.escape(command.text)}\n")
            self.assertIn("ACTION", self.ends(area))

    def test_every_argument_is_explained(self) -> None:
        """No option without a word about it."""
        for command in COMMANDS:
            for argument in command.arguments:
                is_clear = argument.settings.get("metavar") == "DOMAIN"
                self.assertTrue(argument.settings.get("help") or is_clear, command.words)

    def test_version(self) -> None:
        """Name and number."""
        self.assertRegex(self.ends("--version", code=0), r"\Afe-mail \d+\.\d+\S*\n\Z")

    def test_who_asks_and_who_lists(self) -> None:
        """What destroys can be told not to ask, what lists can be read by programs."""
        for command in COMMANDS:
            names = {name for each in command.arguments for name in each.names}
            self.assertEqual("--yes" in names, command.words in DESTRUCTIVE, command.words)
            self.assertEqual("--json" in names, command.words in LISTS, command.words)
        self.assertFalse(YES.settings.get("default"))

    def test_directory(self) -> None:
        """Before or after the command."""
        self.assertEqual(self.parse("-D", "/a", "user", "list").directory, "/a")
        self.assertEqual(self.parse("user", "list", "-D", "/b").directory, "/b")
        self.assertEqual(self.parse("queue", "list", "--directory=/c").directory, "/c")
        self.assertIsNone(self.parse("user", "list").directory)

    def test_wrong_usage(self) -> None:
        """Half a word is no word: a later version may have another one that begins so."""
        for words in (
            *(("users",), ("user",), (), ("user", "add"), ("queue", "drop"), ("route", "a", "b")),
            *(("alias", "remove", "a@b.test", "--ye"), ("log", "b.test", "--limit", "0")),
            *(("registration", "ajar"), ("queue", "list", "--state", "lost")),
        ):
            self.assertIn("usage: fe-mail", self.ends(*words))
