"""The parser of ``fe-mail``, made of the table of its commands."""

import argparse
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final

from fe_mail.app.cli.command import Command, Printout
from fe_mail.app.cli.table import AREAS, COMMANDS

__all__ = ["EXIT_CODES", "make_parser", "sentence", "usage_of"]

PROGRAM: Final = "fe-mail"
DESCRIPTION: Final = """\
The command line of fe-mail's operator. It works on the stores in the server's
directory, also while the server runs.
"""
EXIT_CODES: Final = """\
exit codes:
  0  done
  1  refused or, for verify and domain verify, something is missing or wrong
  2  wrong usage or configuration; or nobody can be asked and --yes is missing
  3  domain verify: nothing that mail needs is wrong, but not all can be told
  130  interrupted
"""
WIDTH: Final = 26  # of the column with the words of a command


def make_parser() -> argparse.ArgumentParser:
    """Its results have the chosen ``command``."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="fe-mail [-D DIRECTORY] COMMAND ...",
        description=DESCRIPTION,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fe-mail {version('fe-mail')}")
    _add_directory(parser, default=None)
    words = parser.add_subparsers(
        required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=PROGRAM
    )
    areas: dict[str, Any] = {}
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        if second and first not in areas:
            areas[first] = _area(words, first)
        _add_command(areas[first] if second else words, second or first, command)
    return parser


def _area(words: Any, name: str) -> Any:
    parser = words.add_parser(name, description=sentence(AREAS[name]), allow_abbrev=False)
    return parser.add_subparsers(required=True, metavar="ACTION", title="actions")


def _add_command(words: Any, word: str, command: Command | Printout) -> None:
    # Only areas list their commands; those of one word stand in the epilog.
    listed = {"help": command.text} if " " in command.words else {}
    parser = words.add_parser(
        word, description=sentence(command.text), allow_abbrev=False, **listed
    )
    for argument in command.arguments:
        argument.add_to(parser)
    _add_directory(parser, default=argparse.SUPPRESS)
    parser.set_defaults(command=command)


def sentence(text: str) -> str:
    """What a command does, with a capital and an end."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def _add_directory(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "-D",
        "--directory",
        default=default,
        metavar="DIRECTORY",
        help="the server's: it holds .env and sqlite-data/",
    )


def usage_of(command: Command | Printout) -> str:
    """The words of a command with what must follow them."""
    return " ".join((command.words, *_places(command)))


def _places(command: Command | Printout) -> Iterator[str]:
    for argument in command.arguments:
        (name, *_) = argument.names
        if name.startswith("-"):
            continue
        place = argument.settings.get("metavar") or name.upper()
        count = argument.settings.get("nargs", "")
        yield {"": place, "?": f"[{place}]", "+": f"{place}..."}[count]


def _epilog() -> str:
    lines = ["commands:"]
    for command in COMMANDS:
        lines.append(f"  {usage_of(command):<{WIDTH}} {command.text}".rstrip())
    return "\n".join(
        [*lines, "", "fe-mail COMMAND --help tells the options of each.", "", EXIT_CODES]
    )
