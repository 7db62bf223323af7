"""
``fe-mail``: the operator's command line, on the stores directly, also while the server runs.

Exit codes: 0 done; 1 refused or, for ``verify``, something is missing or broken; 2 wrong usage or
configuration; 3, for ``domain verify``: nothing is wrong, but not everything can be told.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from fe_mail.app import cli_stores
from fe_mail.app.cli_commands import COMMANDS
from fe_mail.app.config import Config, ConfigError, example, load
from fe_mail.app.demo_names import pretend
from fe_mail.app.demo_settings import ACCOUNTS_NAME, DEMO_DOMAIN
from fe_mail.app.manifest import STORES
from fe_mail.app.options import find_directory
from fe_mail.app.reference import variables_page
from fe_mail.app.routes_page import routes_page
from fe_mail.app.wiring import Inside, Stores, make_site
from fe_mail.model.errors import MailError

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fe-mail", description=__doc__)
    parser.add_argument(
        "-D", "--directory", help="directory that holds .env and sqlite-data/", default=None
    )
    areas = parser.add_subparsers(dest="area", required=True, metavar="COMMAND")
    _user(areas)
    _domain(areas)
    _alias(areas)
    _queue(areas)
    password = areas.add_parser("password", help="a new password for an alias's mailbox")
    password.add_argument("address")
    password.add_argument(
        "--current", action="store_true", help="ask for the old password (or recovery code)"
    )
    password.add_argument(
        "--override", action="store_true", help="begin with an EMPTY mailbox; the old mail is gone"
    )
    route = areas.add_parser("route", help="where does this address go? Or: what leads nowhere?")
    route.add_argument("address", nargs="?", help="without it, everything that leads nowhere")
    verify = areas.add_parser(
        "verify", help="check that every store is there and whole; changes nothing"
    )
    verify.add_argument(
        "--mailbox",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="look inside this mailbox too; its password is asked for",
    )
    anew = areas.add_parser(
        "begin-anew", help="let the next start make a store that is lost, without its content"
    )
    anew.add_argument("store", nargs="+", choices=[*STORES, "all"], help=", ".join(STORES))
    anew.add_argument("--yes", action="store_true", help="without it, only say what is lost")
    log = areas.add_parser("log", help="deliveries and failed logins of a domain, newest first")
    log.add_argument("domain")
    log.add_argument("--kind", default="", help="only these, for example login-failed")
    log.add_argument("--limit", type=int, default=50, help="how many (50)")
    areas.add_parser("env-example", help="print conf/env.example")
    areas.add_parser("variables", help="print docs/variables.rst")
    unlock = areas.add_parser(
        "unlock", help="forget failed logins of a mailbox, an account or an IP address"
    )
    unlock.add_argument("who", help="user@example.org, or an address that tried")
    areas.add_parser("routes", help="print docs/routes.rst")
    return parser


def _actions(areas: Any, area: str, text: str) -> Any:
    return areas.add_parser(area, help=text).add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )


def _user(areas: Any) -> None:
    actions = _actions(areas, "user", "people who sign in to the web UI")
    actions.add_parser("add", help="the password is asked for").add_argument("email")
    actions.add_parser("list")
    actions.add_parser("password", help="set a new one").add_argument("email")
    actions.add_parser("remove").add_argument("email")


def _domain(areas: Any) -> None:
    actions = _actions(areas, "domain", "mail domains")
    add = actions.add_parser("add")
    add.add_argument("name")
    add.add_argument("--user", help="e-mail of the account; the first admin by default")
    add.add_argument(
        "--catchall",
        metavar="ADDRESS",
        help="where every other address goes, or none; the account's address by default",
    )
    actions.add_parser("list")
    records = actions.add_parser("records", help="DNS records to publish")
    records.add_argument("name")
    records.add_argument("--zone", action="store_true", help="as lines of a zone file")
    actions.add_parser("verify", help="look at the DNS now").add_argument("name")
    key = actions.add_parser("webhook-key", help="what signs messages to web addresses")
    key.add_argument("name")
    key.add_argument("--new", action="store_true", help="replace it; the old one ends at once")
    actions.add_parser("remove", help="with aliases and mailboxes").add_argument("name")


def _alias(areas: Any) -> None:
    actions = _actions(areas, "alias", "addresses of a domain")
    for name, text in (("add", "a new address"), ("set", "change an address")):
        action = actions.add_parser(name, help=text)
        action.add_argument("address")
        action.add_argument("--recipient", action="append", help="forward to; may be repeated")
        action.add_argument("--mailbox", action=argparse.BooleanOptionalAction)
        action.add_argument("--enabled", action=argparse.BooleanOptionalAction)
    actions.add_parser("list").add_argument("domain")
    actions.add_parser("remove", help="with its mailbox").add_argument("address")


def _queue(areas: Any) -> None:
    actions = _actions(areas, "queue", "mail on its way")
    actions.add_parser("list")
    for name, text in (
        ("show", "everything about one message"),
        ("retry", "try again now; also ends a hold"),
        ("drop", "remove without a bounce"),
    ):
        actions.add_parser(name, help=text).add_argument("id")
    hold = actions.add_parser("hold", help="keep until released with retry")
    hold.add_argument("id")
    hold.add_argument("--reason", default="held by the operator")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    options = _parser().parse_args(arguments)
    if options.area == "env-example":
        sys.stdout.write(example())
    elif options.area == "variables":
        sys.stdout.write(variables_page())
    elif options.area == "routes":
        sys.stdout.write(routes_page())
    else:
        react(lambda reactor: Deferred.fromCoroutine(_run(reactor, options)))


async def _run(reactor: Any, options: argparse.Namespace) -> None:
    directory = find_directory(options.directory, dict(os.environ))
    if not directory.is_dir():
        _refuse(f"{directory} does not exist; --directory names the server's directory.")
    at_rest = cli_stores.COMMANDS.get(options.area)
    environ = {**_demo_defaults(directory), **os.environ}
    try:
        config = load(directory, environ, write=at_rest is None)
    except ConfigError as error:
        _refuse(*error.problems)
    except OSError as error:
        _refuse(f"The configuration cannot be read or written: {error}.")
    services = _inside(reactor, config)
    try:
        if at_rest is not None:
            code = await at_rest(services, options)
        else:
            await services.start()
            code = await COMMANDS[options.area](services, options)
    except MailError as error:
        print(f"fe-mail: {error.message}", file=sys.stderr)
        code = 1
    except OSError as error:
        print(f"fe-mail: {error}", file=sys.stderr)
        code = 1
    finally:
        await services.stop()
    if code:
        raise SystemExit(code)


def _inside(reactor: Any, config: Config) -> Inside:
    """The services; in a demo's directory with the demo's DNS, so that it keeps what it knows."""
    if not _is_demo(config.directory):
        return Inside(reactor, config)
    stores = Stores(reactor, config)
    return Inside(reactor, config, stores, pretend(stores.accounts, make_site(config)))


def _is_demo(directory: Path) -> bool:
    return (directory / ACCOUNTS_NAME).exists()


def _refuse(*problems: str) -> NoReturn:
    for problem in problems:
        print(f"fe-mail: {problem}", file=sys.stderr)
    raise SystemExit(2)


def _demo_defaults(directory: Path) -> dict[str, str]:
    """A demo's directory has no DOMAIN in its ``.env``: the demo sets it by itself."""
    return {"DOMAIN": DEMO_DOMAIN} if _is_demo(directory) else {}


if __name__ == "__main__":
    main()
