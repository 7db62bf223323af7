"""
What the commands print and ask.

Nothing that comes from elsewhere reaches the terminal with control characters in it. Tables are
printed while the list is still read: the first rows decide how wide the columns are. On a terminal
a row that is too long goes on in a second, indented line; for other programs each row is a line.
"""

import getpass
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from fe_mail.app.cli.command import REFUSED, USAGE, Options
from fe_mail.app.log import escape
from fe_mail.model.errors import Invalid

__all__ = [
    "FOR_GOOD",
    "Unconfirmed",
    "ask_new_password",
    "ask_password",
    "complain",
    "confirm",
    "counted",
    "moment",
    "print_json",
    "print_rows",
    "print_table",
    "say",
]

FOR_GOOD = "This cannot be undone."
MEASURED_ROWS = 500
INDENT = "    "
GAP = "  "


def say(*lines: str) -> None:
    """Print lines, without what would move the cursor or turn the text around."""
    for line in lines:
        print(escape(line))


def complain(*sentences: str) -> None:
    """The same to standard error, with the program's name before it."""
    for sentence in sentences:
        print(escape(f"fe-mail: {sentence}"), file=sys.stderr)


def moment(seconds: float) -> str:
    """A time of day, local."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "never"


def counted(count: int, one: str, many: str = "") -> str:
    """``1 alias``, ``1,234 aliases``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


# Lists -----------------------------------------------------------------------------------------


async def print_table(
    heads: Sequence[str], rows: AsyncIterator[Sequence[str]], *, empty: str = "There are none."
) -> None:
    """Print a table as its rows come; ``empty`` if none come."""
    measured: list[Sequence[str]] = []
    table: _Table | None = None
    async for row in rows:
        if table is not None:
            table.print(row)
            continue
        measured.append(row)
        if len(measured) == MEASURED_ROWS:
            table = _begin(heads, measured)
    if not measured:
        print(empty)
    elif table is None:
        _begin(heads, measured)


def print_rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a short table."""
    _begin(heads, list(rows))


def _begin(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> "_Table":
    table = _Table(heads, rows)
    for row in (heads, *rows):
        table.print(row)
    return table


class _Table:
    """How wide each column is, and which of them begin another line."""

    def __init__(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        shown = [[escape(cell) for cell in row] for row in (heads, *rows)]
        self._widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        self._breaks = _breaks(self._widths) if sys.stdout.isatty() else frozenset()

    def print(self, row: Sequence[str]) -> None:
        """One row, perhaps on several lines."""
        line = ""
        for number, (cell, width) in enumerate(zip(row, self._widths, strict=True)):
            if number in self._breaks:
                print(line.rstrip())
                line = INDENT
            line += escape(cell).ljust(width) + GAP
        print(line.rstrip())


def _breaks(widths: Sequence[int]) -> frozenset[int]:
    room = shutil.get_terminal_size().columns
    breaks, used = set(), 0
    for number, width in enumerate(widths):
        if used and used + width > room:
            breaks.add(number)
            used = len(INDENT)
        used += width + len(GAP)
    return frozenset(breaks)


async def print_json(items: AsyncIterator[Mapping[str, object]]) -> None:
    """One array, an object on each line; nothing else may be printed with it."""
    separator = "[\n"
    async for item in items:
        print(separator + json.dumps(item), end="")
        separator = ",\n"
    print("[]" if separator == "[\n" else "\n]")


# Questions -------------------------------------------------------------------------------------


class Unconfirmed(Exception):
    """Nobody said yes; ``code`` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def ask_password(prompt: str) -> str:
    """From the terminal without showing it, or a line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt + ": ")
    return sys.stdin.readline().rstrip("\r\n")


def ask_new_password(prompt: str) -> str:
    """The same; on a terminal twice, because nobody sees what is typed. ``Invalid``."""
    password = ask_password(prompt)
    if sys.stdin.isatty() and getpass.getpass("The same again: ") != password:
        raise Invalid("The two passwords differ; nothing was changed.", field="password")
    return password


def confirm(options: Options, *losses: str) -> None:
    """
    Go on only if somebody says so who has read what will be lost. ``Unconfirmed``.

    A program says it beforehand, with ``--yes``: what a pipe happens to contain is no answer.
    """
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{' '.join(losses)} To do it, add --yes.", USAGE)
    say(*losses)
    try:
        answer = input("Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Unconfirmed("Nothing was changed.", REFUSED)
