"""
The command line of ``twistd fe-mail`` and of the plugins for single roles.

Everything wrong with the configuration is printed, one sentence each, and twistd exits with 2.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from twisted.logger import LogEvent
from twisted.python import usage

from fe_mail.app.config import Config, ConfigError, describe, load
from fe_mail.app.demo_settings import DEMO_DIRECTORY, demo_environment
from fe_mail.app.edge_table import role_names
from fe_mail.app.log import make_observer

__all__ = ["Options", "chosen_observer", "find_directory"]

ROLES = role_names()
_chosen_log: dict[str, Any] = {}
SYSTEM_DIRECTORY = Path("/var/lib/fe-mail")


def find_directory(given: str | None, environ: dict[str, str]) -> Path:
    """
    The server's directory: the one given, ``FE_MAIL_DIRECTORY``, here if there is a ``.env``,
    else ``/var/lib/fe-mail``.
    """
    named = given or environ.get("FE_MAIL_DIRECTORY")
    if named:
        return Path(named).absolute()
    return Path.cwd() if Path(".env").exists() else SYSTEM_DIRECTORY


def chosen_observer() -> Callable[[LogEvent], None]:
    """What twistd calls for its log: it takes the name of a function without arguments."""
    return make_observer(**_chosen_log)


def _refuse(problems: list[str]) -> NoReturn:
    for problem in problems:
        print(f"fe-mail: {problem}", file=sys.stderr)
    raise SystemExit(2)


class Options(usage.Options):
    """Options of twistd fe-mail. ``config`` and ``roles`` are set after parsing."""

    roles: tuple[str, ...] = ROLES
    config: Config
    optParameters = [  # noqa: RUF012
        ["directory", "D", None, "Directory that holds .env, sqlite-data/ and ssl/."],
        ["role", "r", None, "Run only these roles, separated by commas: " + ", ".join(ROLES)],
    ]
    optFlags = [  # noqa: RUF012
        ["demo", None, "Try it: loopback, no configuration, data under var/demo/."],
        ["fresh", None, "With --demo: forget the data of earlier runs."],
        ["share-ports", None, "With --role: let more processes like this one use the same ports."],
    ]

    def getUsage(self, width: int | None = None) -> str:
        """The options, then every variable from the declarations in code."""
        options: str = super().getUsage(width)
        return f"{options}\nVariables, read from .env and the environment:\n{describe()}\n"

    def postOptions(self) -> None:
        """Read the configuration and choose the log."""
        self.roles = self._chosen_roles()
        if self["fresh"] and not self["demo"]:
            _refuse(["--fresh goes with --demo only: it removes data."])
        if self["share-ports"] and set(self.roles) == set(ROLES):
            _refuse(["--share-ports goes with --role: a whole server shares with nobody."])
        try:
            self.config = self._load()
        except ConfigError as error:
            _refuse(error.problems)
        except OSError as error:
            _refuse([f"The configuration cannot be read or written: {error}."])
        self._choose_log()

    def _chosen_roles(self) -> tuple[str, ...]:
        if self["role"] is None:
            return self.roles
        chosen = tuple(part.strip() for part in self["role"].split(",") if part.strip())
        unknown = [role for role in chosen if role not in ROLES]
        if unknown or not chosen:
            _refuse([f"--role knows only: {', '.join(ROLES)}."])
        return chosen

    def _load(self) -> Config:
        if not self["demo"]:
            return load(find_directory(self["directory"], dict(os.environ)), os.environ)
        directory = Path(self["directory"] or DEMO_DIRECTORY).absolute()
        if self["fresh"]:
            shutil.rmtree(directory, ignore_errors=True)
        return load(directory, demo_environment(directory))

    def _choose_log(self) -> None:
        parent = self.parent
        if parent is None or parent.get("logger"):
            return
        operation = self.config.operation
        _chosen_log.update(
            level=operation.log_level,
            form=operation.log_format,
            logfile=parent.get("logfile"),
            daemon=not parent.get("nodaemon", True),
        )
        parent["logger"] = f"{__name__}.chosen_observer"
