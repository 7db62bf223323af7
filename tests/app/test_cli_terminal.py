"""Tests of fe_mail.app.cli.terminal: tables, arrays, questions."""

import contextlib
import io
import json
import os
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.cli.terminal import (
    MEASURED_ROWS,
    Unconfirmed,
    ask_password,
    complain,
    confirm,
    counted,
    print_json,
    print_rows,
    print_table,
    say,
)

EVIL = "a\x1b[2Jb\r\n\u202ec\x9b"


class Terminal(io.StringIO):
    """What a person sits at."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class TerminalCase(SynchronousTestCase):
    """Standard streams that a test can read and write."""

    def setUp(self) -> None:
        """Pipes."""
        self.out: Any = io.StringIO()
        self.input: Any = io.StringIO()

    @contextlib.contextmanager
    def streams(self) -> Iterator[None]:
        """Use them."""
        before = sys.stdin
        sys.stdin = self.input
        try:
            with contextlib.redirect_stdout(self.out), contextlib.redirect_stderr(self.out):
                yield
        finally:
            sys.stdin = before

    def said(self, work: Any) -> str:
        """What was printed when the work was done."""
        with self.streams():
            self.successResultOf(Deferred.fromCoroutine(work))
        return str(self.out.getvalue())


async def each(rows: Sequence[Any]) -> AsyncIterator[Any]:
    """As a store tells them."""
    for row in rows:
        yield row


class TableTests(TerminalCase):
    """Rows of text."""

    def test_widths(self) -> None:
        """Columns stand below each other; a row is a line however long it is."""
        long = "x" * 100
        said = self.said(print_table(("A", "LONG", "C"), each([("1", long, "2"), ("33", "", "4")])))
        self.assertEqual(
            said.splitlines(),
            [f"A   LONG{' ' * 98}C", f"1   {long}  2", f"33  {' ' * 102}4"],
        )

    def test_on_a_terminal(self) -> None:
        """What does not fit goes on in an indented line, head and rows alike."""
        self.out = Terminal()
        self.patch(os, "environ", {**os.environ, "COLUMNS": "40"})
        rows = [("one", "x" * 30, "three"), ("1", "y", "3")]
        said = self.said(print_table(("FIRST", "SECOND", "THIRD"), each(rows)))
        self.assertEqual(
            said.splitlines(),
            [
                *("FIRST  SECOND", "    THIRD"),
                *(f"one    {'x' * 30}", "    three", "1      y", "    3"),
            ],
        )

    def test_long_lists(self) -> None:
        """Rows are printed while others are still to come; the first ones say how wide."""
        seen: list[int] = []

        async def rows() -> AsyncIterator[tuple[str, str]]:
            for number in range(MEASURED_ROWS + 2):
                seen.append(self.out.getvalue().count("\n"))
                yield str(number), "x"

        said = self.said(print_table(("N", "X"), rows()))
        self.assertEqual(said.count("\n"), MEASURED_ROWS + 3)
        self.assertEqual(seen[-2:], [MEASURED_ROWS + 1, MEASURED_ROWS + 2])
        self.assertEqual(set(seen[:-2]), {0})

    def test_none(self) -> None:
        """A sentence."""
        said = self.said(print_table(("A",), each([]), empty="The queue is empty."))
        self.assertEqual(said, "The queue is empty.\n")

    def test_nothing_moves_the_cursor(self) -> None:
        """Whatever strangers have put into an address or an answer."""
        with self.streams():
            say(EVIL)
            complain(EVIL)
            print_rows(("A", "B"), [(EVIL, "b")])
        said = self.out.getvalue()
        self.assertEqual(len(said.splitlines()), 4)
        for character in "\x1b\r\u202e\x9b":
            self.assertNotIn(character, said)
        self.assertEqual(said.splitlines()[2].index("B"), said.splitlines()[3].rindex("b"))


class JSONTests(TerminalCase):
    """One array."""

    def test_array(self) -> None:
        """Empty, one, many: always an array, and plain ASCII."""
        for items in ([], [{"a": 1}], [{"a": EVIL}, {"b": "æ"}, {"c": None}]):
            self.out = io.StringIO()
            said = self.said(print_json(each(items)))
            self.assertEqual(json.loads(said), items)
            self.assertTrue(said.isascii() and said.endswith("]\n"))
            self.assertNotIn("\x1b", said)


class QuestionTests(TerminalCase):
    """``confirm`` and passwords."""

    def ask(self, is_yes: bool = False) -> None:
        """Something will be lost."""
        with self.streams():
            confirm(Namespace(yes=is_yes), "3 aliases go.")

    def test_pipe(self) -> None:
        """Whatever it holds is no answer."""
        self.input = io.StringIO("y\n")
        error = self.assertRaises(Unconfirmed, self.ask)
        self.assertEqual(error.code, 2)
        self.assertEqual(error.message, "3 aliases go. To do it, add --yes.")
        self.ask(is_yes=True)
        self.assertEqual(self.out.getvalue(), "")

    def test_terminal(self) -> None:
        """Yes is yes; anything else, also nothing, is no."""
        for answer in ("y\n", "YES\n", " yes \n"):
            self.input = Terminal(answer)
            self.ask()
        self.assertTrue(self.out.getvalue().startswith("3 aliases go.\nGo on? [y/N] "))
        for answer in ("\n", "n\n", "", "yep\n", "example.org\n"):
            self.input = Terminal(answer)
            error = self.assertRaises(Unconfirmed, self.ask)
            self.assertEqual((error.code, error.message), (1, "Nothing was changed."))

    def test_password_from_a_pipe(self) -> None:
        """A line without its end, whoever wrote it; blanks belong to it."""
        for line in (" secret \n", " secret \r\n", " secret "):
            self.input = io.StringIO(line)
            with self.streams():
                self.assertEqual(ask_password("Password"), " secret ")

    def test_counted(self) -> None:
        """One is one."""
        self.assertEqual(counted(1, "alias", "aliases"), "1 alias")
        self.assertEqual(counted(0, "octet"), "0 octets")
        self.assertEqual(counted(12345, "alias", "aliases"), "12,345 aliases")
