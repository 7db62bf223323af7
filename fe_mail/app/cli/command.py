"""A command of ``fe-mail`` as a value: its words, its arguments, and what it does."""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from fe_mail.app.wiring import Inside

__all__ = [
    "DONE",
    "JSON",
    "REFUSED",
    "UNTOLD",
    "USAGE",
    "USER",
    "YES",
    "Argument",
    "Command",
    "Options",
    "Printout",
    "argument",
]

DONE, REFUSED, USAGE, UNTOLD = 0, 1, 2, 3  # exit codes

Options = argparse.Namespace


@attrs.frozen
class Argument:
    """What ``ArgumentParser.add_argument`` takes."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser take it."""
        parser.add_argument(*self.names, **self.settings)


def argument(*names: str, **settings: Any) -> Argument:
    """One argument; an option if its name begins with a hyphen."""
    return Argument(names, MappingProxyType(settings))


YES = argument("-y", "--yes", action="store_true", help="do not ask whether this is meant")
JSON = argument("--json", action="store_true", help="print one JSON array instead of a table")
USER = argument(
    "--user",
    metavar="EMAIL",
    help="whose domain is meant, if several accounts claim the name",
)


@attrs.frozen(kw_only=True)
class Command:
    """
    ``words`` are typed ("user add"); ``run`` returns the exit code.

    Before a command ``is_at_rest`` nothing is opened or made: it does that itself, or only looks.
    """

    words: str
    text: str
    run: Callable[[Inside, Options], Awaitable[int]]
    arguments: tuple[Argument, ...] = ()
    is_at_rest: bool = False


@attrs.frozen(kw_only=True)
class Printout:
    """Prints a text that needs no server."""

    words: str
    text: str
    page: Callable[[], str]
    arguments: tuple[Argument, ...] = ()
