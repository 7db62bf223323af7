"""
The program ``fe-mail``: reads its words, opens the stores, runs one command, says what went wrong.

Exit codes: 0 done; 1 refused or, for ``verify`` and ``domain verify``, something is missing or
wrong; 2 wrong usage or configuration, or nobody to ask and no ``--yes``; 3, for ``domain verify``:
nothing that mail needs is wrong, but not all of it can be told; 130 interrupted.
"""

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from fe_mail.app.cli.command import REFUSED, USAGE, Command, Options, Printout
from fe_mail.app.cli.parser import make_parser
from fe_mail.app.cli.terminal import Unconfirmed, complain
from fe_mail.app.config import Config, ConfigError, load
from fe_mail.app.demo import hold_reason
from fe_mail.app.demo_names import pretend
from fe_mail.app.demo_settings import ACCOUNTS_NAME, DEMO_DOMAIN
from fe_mail.app.options import find_directory
from fe_mail.app.stores import Stores
from fe_mail.app.wiring import Inside, make_site
from fe_mail.model.errors import MailError

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        _let_nothing_fail(stream)
    words = sys.argv[1:] if arguments is None else arguments
    if not all(_is_text(word) for word in words):
        _refuse("What was typed is not UTF-8.")
    options = make_parser().parse_args(words)
    if isinstance(options.command, Printout):
        sys.stdout.write(options.command.page())
    else:
        _react(options)


def _is_text(word: str) -> bool:
    """Octets that are no text arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _react(options: Options) -> NoReturn:
    """Run the reactor until the command has ended; a signal that stops it is no success."""
    finished: list[bool] = []

    async def work(reactor: Any) -> None:
        try:
            await _run(reactor, options)
        finally:
            finished.append(True)

    try:
        react(lambda reactor: Deferred.fromCoroutine(work(reactor)))
    except SystemExit:
        if finished:
            raise
    complain("Interrupted.")
    raise SystemExit(INTERRUPTED)


def _let_nothing_fail(stream: TextIO) -> None:
    """A terminal that lacks a letter shows its number."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


async def _run(reactor: Any, options: Options) -> None:
    directory = find_directory(options.directory, dict(os.environ))
    if not directory.is_dir():
        _refuse(f"{directory} does not exist; --directory names the server's directory.")
    config = _config(directory, options.command)
    _refuse_a_stranger(config.data_path)
    services = _inside(reactor, config)
    try:
        code = await _outcome(services, options)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _stop_printing()
    finally:
        await services.stop()
    if code:
        raise SystemExit(code)


async def _outcome(services: Inside, options: Options) -> int:
    """The exit code; what is wrong has been said."""
    command: Command = options.command
    try:
        if not command.is_at_rest:
            await services.start()
        return await command.run(services, options)
    except Unconfirmed as refusal:
        complain(refusal.message)
        return refusal.code
    except MailError as error:
        complain(error.message)
    except KeyboardInterrupt:
        complain("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(str(error))
    return REFUSED


def _stop_printing() -> int:
    """Whoever read what we print has seen enough (``| head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return REFUSED


def _config(directory: Path, command: Command) -> Config:
    environ = {**_demo_defaults(directory), **os.environ}
    try:
        return load(directory, environ, write=not command.is_at_rest)
    except ConfigError as error:
        _refuse(*error.problems)
    except OSError as error:
        _refuse(f"The configuration cannot be read or written: {error}.")


def _refuse_a_stranger(data: Path) -> None:
    """What root makes here, the server could not open afterwards."""
    owner = data.stat().st_uid if data.exists() else 0
    if owner and not os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        _refuse(f"{data} belongs to {name}, so root would spoil it: sudo -u '{name}' fe-mail ...")


def _inside(reactor: Any, config: Config) -> Inside:
    """The services; in a demo's directory with the demo's DNS, so that it keeps what it knows."""
    if not _is_demo(config.directory):
        return Inside(reactor, config)
    stores = Stores(reactor, config)
    names = pretend(stores.accounts, make_site(config))
    return Inside(reactor, config, stores, names, hold_reason)


def _is_demo(directory: Path) -> bool:
    return (directory / ACCOUNTS_NAME).exists()


def _demo_defaults(directory: Path) -> dict[str, str]:
    """A demo's directory has no DOMAIN in its ``.env``: the demo sets it by itself."""
    return {"DOMAIN": DEMO_DOMAIN} if _is_demo(directory) else {}


def _refuse(*problems: str) -> NoReturn:
    complain(*problems)
    raise SystemExit(USAGE)
