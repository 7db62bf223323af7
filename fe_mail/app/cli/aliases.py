"""``fe-mail alias …`` and ``password``: the addresses of a domain, and their mailboxes."""

import argparse
from collections.abc import AsyncIterator
from functools import partial

from fe_mail.accounts.aliases import GeneratedPassword
from fe_mail.api.objects import alias_object
from fe_mail.app.cli.command import DONE, JSON, USER, YES, Argument, Command, Options, argument
from fe_mail.app.cli.finding import alias_at, domain_named, owner_of, place
from fe_mail.app.cli.losses import text_of
from fe_mail.app.cli.routes import print_warnings
from fe_mail.app.cli.terminal import FOR_GOOD, ask_password, confirm, print_json, print_table, say
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Alias
from fe_mail.model.address import display_address
from fe_mail.model.errors import Invalid
from fe_mail.model.page import every

__all__ = ["COMMANDS", "print_password"]

ACCEPTED = 250  # what a disabled address may answer, as if it took the mail
_HEADS = ("ADDRESS", "ENABLED", "MAILBOX", "FORWARDS TO")


async def _add(services: Inside, options: Options) -> int:
    local, of = await place(services, options.address, options.user)
    owner = await owner_of(services, of)
    # Who says where mail is forwarded to asks for a mailbox besides, or gets none.
    default = {"recipients": [], "has_imap": not options.recipient}
    fields = {**default, **_fields(options), "name": local}
    made = await services.aliases.create(owner, of, fields)
    shown = display_address(made.address)
    say(f"Added {shown}.")
    if made.has_imap:
        say(f"Its mailbox opens after: fe-mail password {shown}")
    print_warnings(await services.prospects.of_alias(None, of, made))
    return DONE


async def _set(services: Inside, options: Options) -> int:
    owner, of, alias = await alias_at(services, options.address, options.user)
    closing = await _closing(services, alias, options)
    if closing:
        confirm(options, *closing)
    kept = {"description": alias.description, "labels": list(alias.labels)}
    changed = await services.aliases.update(owner, of, alias, {**kept, **_fields(options)})
    say(f"Changed {display_address(changed.address)}.")
    print_warnings(await services.prospects.of_change(None, of, alias, changed))
    return DONE


async def _closing(services: Inside, alias: Alias, options: Options) -> list[str]:
    """What a change takes away from somebody."""
    shown = display_address(alias.address)
    sentences = []
    if options.mailbox is False and alias.has_imap and alias.sealing_key:
        stake = await services.stakes.of_mailbox(alias)
        sentences.append(
            f"Nobody can read the mail of {shown} any more until --mailbox is set again: "
            f"{text_of(stake)}."
        )
    if options.enabled is False and alias.is_enabled and alias.error_code_if_disabled == ACCEPTED:
        sentences.append(
            f"While {shown} is off, its mail is accepted and lost, and senders are not told."
        )
    return sentences


def _fields(options: Options) -> dict[str, object]:
    given = {
        "recipients": options.recipient,
        "has_imap": options.mailbox,
        "is_enabled": options.enabled,
    }
    return {name: value for name, value in given.items() if value is not None}


async def _list(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.domain, options.user)
    aliases = every(partial(services.stores.accounts.aliases, of.id))
    if options.json:
        show = partial(
            alias_object,
            domain=of,
            web_url=services.config.web.url,
            default_quota_octets=services.config.limits.quota_octets,
        )
        await print_json(show(alias) async for alias in aliases)
    else:
        await print_table(_HEADS, _rows(aliases))
    return DONE


async def _rows(aliases: AsyncIterator[Alias]) -> AsyncIterator[tuple[str, ...]]:
    async for alias in aliases:
        yield (
            display_address(alias.address),
            "yes" if alias.is_enabled else "no",
            "yes" if alias.has_imap else "no",
            " ".join(map(display_address, alias.recipients)),
        )


async def _remove(services: Inside, options: Options) -> int:
    owner, of, alias = await alias_at(services, options.address, options.user)
    shown = display_address(alias.address)
    stake = await services.stakes.of_alias(alias)
    confirm(options, f"Removing {shown} destroys: {text_of(stake)}.", FOR_GOOD)
    await services.aliases.delete(owner, of, alias)
    say(f"Removed {shown}{' with its mailbox' if stake.mailboxes else ''}.")
    print_warnings(await services.prospects.of_loss(None, alias.address))
    return DONE


async def _password(services: Inside, options: Options) -> int:
    owner, of, alias = await alias_at(services, options.address, options.user)
    if alias.sealing_key and not (options.current or options.override):
        raise Invalid(
            f"{display_address(alias.address)} has a password. With --current, which asks for it "
            "or for the recovery code, its mail is kept; with --override it begins with an EMPTY "
            "mailbox."
        )
    if options.override and alias.sealing_key:
        stake = await services.stakes.of_mailbox(alias)
        confirm(
            options,
            f"{display_address(alias.address)} gets a new, EMPTY mailbox. Of the old one goes: "
            f"{text_of(stake)}.",
            "With --current and the recovery code all of it would stay.",
            FOR_GOOD,
        )
    current = ask_password("Current password or recovery code") if options.current else ""
    print_password(
        await services.aliases.generate_password(
            owner, of, alias, password=current, is_override=options.override
        )
    )
    return DONE


def print_password(made: GeneratedPassword) -> None:
    """What its owner needs; it is shown this once."""
    say(f"User name:     {made.username}", f"Password:      {made.password}")
    if made.recovery_code:
        say(f"Recovery code: {made.recovery_code}")
        say("Keep both: without them nobody can read this mailbox, not even this server.")


_ADDRESS = argument("address", metavar="ADDRESS", help="local part and domain; * catches all")
_FIELDS: tuple[Argument, ...] = (
    argument(
        "--recipient",
        action="append",
        metavar="ADDRESS",
        help="forward to it; may be given several times",
    ),
    argument("--mailbox", action=argparse.BooleanOptionalAction, help="keep mail in a mailbox"),
    argument("--enabled", action=argparse.BooleanOptionalAction, help="take mail"),
    USER,
)

COMMANDS = (
    Command(
        words="alias add",
        text="make one; with a mailbox unless it only forwards",
        run=_add,
        arguments=(_ADDRESS, *_FIELDS),
    ),
    Command(
        words="alias set",
        text="change it; what is not named stays",
        run=_set,
        arguments=(_ADDRESS, *_FIELDS, YES),
    ),
    Command(
        words="alias list",
        text="all addresses of a domain",
        run=_list,
        arguments=(argument("domain", metavar="DOMAIN"), USER, JSON),
    ),
    Command(
        words="alias remove",
        text="remove it, with its mailbox",
        run=_remove,
        arguments=(_ADDRESS, USER, YES),
    ),
    Command(
        words="password",
        text="make a password for the mailbox of an address",
        run=_password,
        arguments=(
            _ADDRESS,
            argument(
                "--current",
                action="store_true",
                help="there is one already: ask for it (or for the recovery code), keep the mail",
            ),
            argument(
                "--override",
                action="store_true",
                help="begin with an EMPTY mailbox; the old mail is gone",
            ),
            USER,
            YES,
        ),
    ),
)
