"""``fe-mail log``: what happened to a domain's mail and sign-ins."""

import argparse
from collections.abc import AsyncIterator, Mapping
from functools import partial

from fe_mail.api.objects import timestamp
from fe_mail.app.cli.command import DONE, JSON, USER, Command, Options, argument
from fe_mail.app.cli.finding import domain_named
from fe_mail.app.cli.terminal import moment, print_json, say
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Domain, LogEntry
from fe_mail.model.address import display_address
from fe_mail.model.page import Query

__all__ = ["COMMANDS"]

PAGE_ENTRIES = 500


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


_count.__name__ = "number"  # so argparse calls it in its messages


async def _log(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.domain, options.user)
    entries = _newest(services, of, options.kind, options.limit)
    if options.json:
        await print_json(_object(entry) async for entry in entries)
        return DONE
    is_empty = True
    async for entry in entries:
        say(_line(entry))
        is_empty = False
    if is_empty:
        say("Nothing is logged.")
    return DONE


async def _newest(services: Inside, of: Domain, kind: str, limit: int) -> AsyncIterator[LogEntry]:
    """Newest first, at most ``limit`` of them, asked for page by page."""
    logs = partial(services.stores.journal.logs, of.id, kind=kind)
    after, left = "", limit
    while left:
        page = await logs(Query(after=after, limit=min(left, PAGE_ENTRIES)))
        for entry in page.items:
            yield entry
        left -= len(page.items)
        after = page.next
        if not after:
            return


def _line(entry: LogEntry) -> str:
    shown = {name: display_address(value) for name, value in entry.detail.items() if value}
    detail = " ".join(f"{name}={value}" for name, value in shown.items())
    return f"{moment(entry.created_at)}  {entry.kind:<12} {entry.remote} {detail}"


def _object(entry: LogEntry) -> Mapping[str, object]:
    return {
        "id": entry.id,
        "object": "log",
        "created_at": timestamp(entry.created_at),
        "kind": entry.kind,
        "remote": entry.remote,
        "detail": dict(entry.detail),
    }


COMMANDS = (
    Command(
        words="log",
        text="its deliveries and failed logins, newest first",
        run=_log,
        arguments=(
            argument("domain", metavar="DOMAIN"),
            argument("--kind", default="", help="only these, for example login-failed"),
            argument("--limit", type=_count, default=50, metavar="N", help="how many (50)"),
            USER,
            JSON,
        ),
    ),
)
