"""What each command of ``fe-mail`` does, and how it prints it."""

import argparse
import getpass
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from fe_mail.accounts.aliases import GeneratedPassword
from fe_mail.accounts.dns_findings import Verdict, unknown_addresses
from fe_mail.accounts.dns_records import DNSRecord
from fe_mail.accounts.in_charge import server_admins
from fe_mail.app.cli_routes import print_warnings, route, unheard
from fe_mail.app.log import escape
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Domain, User
from fe_mail.model.address import display_address, display_domain, normalize_domain
from fe_mail.model.errors import NotFound
from fe_mail.model.page import Query, every
from fe_mail.model.queue import DUE_TOPIC, QueueEntry, QueueFilter

__all__ = ["COMMANDS", "ask_password"]

Options = argparse.Namespace
UNTOLD = 3  # an exit code


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def ask_password(prompt: str) -> str:
    """From the terminal without showing it, or a line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt + ": ")
    return sys.stdin.readline().rstrip("\n")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "never"


# Users -----------------------------------------------------------------------------------------


async def user(services: Inside, options: Options) -> int:
    """``fe-mail user add|list|password|remove``."""
    accounts = services.stores.accounts
    if options.action == "list":
        _table(
            ("EMAIL", "GROUP", "SINCE"),
            [
                (display_address(each.email), each.group, _moment(each.created_at))
                async for each in every(accounts.users)
            ],
        )
    elif options.action == "add":
        made = await services.users.register(
            options.email, ask_password("Password"), is_by_operator=True
        )
        print(f"Added {made.email} ({made.group}).")
        print_warnings(await services.prospects.of_account(made))
    elif options.action == "password":
        person = await accounts.user_by_email(options.email)
        await services.users.set_password(person, ask_password("New password"))
        print("The password is changed.")
    else:
        person = await accounts.user_by_email(options.email)
        mine = [each async for each in every(partial(accounts.domains, person.id))]
        await services.departure.remove(person)
        print(f"Removed {person.email}.")
        for each in mine:
            if not await accounts.domains_named(each.name):
                print_warnings(await services.prospects.of_lost_domain(None, each.name))
        print_warnings(await services.prospects.of_loss(None, person.email))
        async for text in unheard(services):
            print(f"Note: {text}")
    return 0


async def _operator(services: Inside, email: str | None = None) -> User:
    """The account on whose behalf the operator acts."""
    if email:
        return await services.stores.accounts.user_by_email(email)
    for each in await server_admins(services.stores.accounts):
        return each
    raise NotFound("There is no account yet: fe-mail user add you@example.org")


# Domains ---------------------------------------------------------------------------------------


async def domain(services: Inside, options: Options) -> int:
    """``fe-mail domain add|list|records|verify|webhook-key|remove``."""
    if options.action == "list":
        _table(
            ("DOMAIN", "RECEIVES", "SENDS", "ALIASES", "MEMBERS"),
            [
                (
                    display_domain(each.name),
                    "yes" if each.has_mx_record and each.has_txt_record else "not verified",
                    "yes" if each.has_smtp else "not verified",
                    str(each.alias_count),
                    " ".join(display_address(member.email) for member in each.members),
                )
                async for each in every(partial(services.stores.accounts.domains, None))
            ],
        )
        return 0
    person = await _operator(services, getattr(options, "user", None))
    if options.action == "add":
        return await _add_domain(services, person, options)
    found_domain = await _domain_named(services, options.name)
    if options.action == "records" and options.zone:
        print(services.domains.zone_file(found_domain), end="")
    elif options.action == "records":
        _print_records(services, found_domain)
    elif options.action == "verify":
        return await _verify_domain(services, found_domain)
    elif options.action == "webhook-key":
        keys = services.webhook_keys
        print(await (keys.replace if options.new else keys.key)(found_domain.id))
    else:
        await services.domains.delete(await _owner(services, found_domain), found_domain)
        print(f"Removed {display_domain(found_domain.name)} with its aliases and mailboxes.")
        print_warnings(await services.prospects.of_lost_domain(None, found_domain.name))
    return 0


async def _add_domain(services: Inside, person: User, options: Options) -> int:
    """With everything that its mail needs: the owner's mailbox, if it is at the domain itself."""
    catchall: bool | str = options.catchall or True
    if options.catchall == "none":
        catchall = False
    made = await services.domains.create(person, options.name, catchall=catchall)
    shown = display_domain(made.name)
    print(f"Added {shown}. Publish these records, then: fe-mail domain verify {shown}")
    _print_records(services, made)
    mailbox = await services.prospects.own_mailbox(made, person.email)
    if mailbox is not None:
        print(f"\nYour own address is a mailbox of {shown} from now on:")
        opened = await services.aliases.generate_password(person, made, mailbox)
        _print_password(opened)
    print_warnings(await services.prospects.of_domain(None, made))
    return 0


async def _domain_named(services: Inside, name: str) -> Domain:
    claims = await services.stores.accounts.domains_named(normalize_domain(name))
    if not claims:
        raise NotFound(f"{name} is not a domain of this server.")
    return claims[0]


async def _owner(services: Inside, of: Domain) -> User:
    """An admin of the domain, on whose behalf it is changed."""
    for member in of.members:
        if member.group == "admin":
            return await services.stores.accounts.user(member.user_id)
    return await _operator(services)


def _print_records(services: Inside, of: Domain) -> None:
    domains = services.domains
    _table(("TYPE", "NAME", "PRIORITY", "VALUE"), list(map(_row, domains.records(of))))
    print("\nWhat the server itself needs:\n")
    published = [record for record in domains.server_records(of) if record.type]
    _table(("TYPE", "NAME", "PRIORITY", "VALUE"), list(map(_row, published)))
    if not all(record.value for record in published):
        print(f"\n{unknown_addresses()}")


def _row(record: DNSRecord) -> tuple[str, str, str, str]:
    priority = "" if record.priority is None else str(record.priority)
    name = record.name or "(the address)"
    return record.type, name, priority, record.value or "(the address of this server)"


_VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.RIGHT: "right",
        Verdict.DOUBTFUL: "works, but",
        Verdict.MISSING: "MISSING",
        Verdict.WRONG: "WRONG",
        Verdict.UNKNOWN: "cannot be told",
        Verdict.SILENT: "no answer",
    }
)


async def _verify_domain(services: Inside, of: Domain) -> int:
    """0: all that mail needs is there for certain; 3: nothing is wrong, but who knows."""
    verification = await services.domains.verify(await _owner(services, of), of)
    if services.domains.is_demo:
        print("This is a demo: the answers below are made up, and no real DNS is asked.")
    for result in verification.all_results:
        what = f"{result.record.purpose}:"
        print(f"{_VERDICTS[result.verdict]:<14}  {what:<13} {escape(result.message)}")
    required = [result for result in verification.all_results if result.record.required]
    if all(result.passed for result in required):
        return 0
    return 1 if any(not each.passed and not each.is_undecided for each in required) else UNTOLD


# Aliases and passwords -------------------------------------------------------------------------


async def alias(services: Inside, options: Options) -> int:
    """``fe-mail alias add|set|list|remove``."""
    if options.action == "list":
        of = await _domain_named(services, options.domain)
        _table(
            ("ADDRESS", "ENABLED", "MAILBOX", "FORWARDS TO"),
            [
                (
                    display_address(each.address),
                    "yes" if each.is_enabled else "no",
                    "yes" if each.has_imap else "no",
                    " ".join(map(display_address, each.recipients)),
                )
                async for each in every(partial(services.stores.accounts.aliases, of.id))
            ],
        )
        return 0
    local, of = await _place(services, options.address)
    owner = await _owner(services, of)
    if options.action == "add":
        # Who says where mail is forwarded to asks for a mailbox besides, or gets none.
        default = {"recipients": [], "has_imap": not options.recipient}
        fields = {**default, **_alias_fields(options), "name": local}
        made = await services.aliases.create(owner, of, fields)
        print(f"Added {display_address(made.address)}.")
        if made.has_imap:
            print(f"Its mailbox opens after: fe-mail password {display_address(made.address)}")
        print_warnings(await services.prospects.of_alias(None, of, made))
        return 0
    found_alias = await services.aliases.get(owner, of, local)
    if options.action == "set":
        kept = {"description": found_alias.description, "labels": list(found_alias.labels)}
        fields = {**kept, **_alias_fields(options)}
        changed = await services.aliases.update(owner, of, found_alias, fields)
        print(f"Changed {display_address(changed.address)}.")
        print_warnings(await services.prospects.of_change(None, of, found_alias, changed))
    else:
        await services.aliases.delete(owner, of, found_alias)
        print(f"Removed {display_address(found_alias.address)} with its mailbox.")
        print_warnings(await services.prospects.of_loss(None, found_alias.address))
    return 0


def _alias_fields(options: Options) -> dict[str, object]:
    given = {
        "recipients": options.recipient,
        "has_imap": options.mailbox,
        "is_enabled": options.enabled,
    }
    return {name: value for name, value in given.items() if value is not None}


async def _place(services: Inside, address: str) -> tuple[str, Domain]:
    local, at, name = address.rpartition("@")
    if not at:
        raise NotFound(f"{address} is no address.")
    return local, await _domain_named(services, name)


async def password(services: Inside, options: Options) -> int:
    """``fe-mail password ADDRESS``."""
    local, of = await _place(services, options.address)
    owner = await _owner(services, of)
    found = await services.aliases.get(owner, of, local)
    current = ask_password("Current password or recovery code") if options.current else ""
    made = await services.aliases.generate_password(
        owner, of, found, password=current, is_override=options.override
    )
    _print_password(made)
    return 0


def _print_password(made: GeneratedPassword) -> None:
    print(f"User name:     {made.username}\nPassword:      {made.password}")
    if made.recovery_code:
        print(f"Recovery code: {made.recovery_code}")
        print("Keep both: without them nobody can read this mailbox, not even this server.")


async def log(services: Inside, options: Options) -> int:
    """``fe-mail log DOMAIN``."""
    of = await _domain_named(services, options.domain)
    found = await services.stores.journal.logs(
        of.id, Query(limit=max(1, options.limit)), kind=options.kind
    )
    for entry in found.items:
        shown = {name: display_address(value) for name, value in entry.detail.items() if value}
        detail = " ".join(f"{name}={value}" for name, value in shown.items())
        print(escape(f"{_moment(entry.created_at)}  {entry.kind:<12} {entry.remote} {detail}"))
    if not found.items:
        print("Nothing is logged.")
    return 0


async def unlock(services: Inside, options: Options) -> int:
    """``fe-mail unlock ADDRESS``."""
    await services.login.lift(options.who)
    await services.users.lift(options.who)
    print(f"Failed logins of {escape(options.who)} are forgotten.")
    return 0


# The queue -------------------------------------------------------------------------------------


async def queue(services: Inside, options: Options) -> int:
    """``fe-mail queue list|show|retry|hold|drop``."""
    store = services.stores.queue
    if options.action == "list":
        _print_queue(await store.find(QueueFilter()))
    elif options.action == "show":
        found = await store.find(QueueFilter(message_id=options.id))
        if not found:
            raise NotFound("There is no such message in the queue.")
        _print_entry(found[0])
    elif options.action == "retry":
        await store.release(options.id, services.clock.seconds())
        services.stores.bus.publish(DUE_TOPIC)
        print("Due now.")
    elif options.action == "hold":
        await store.hold(options.id, options.reason)
        print("Held.")
    else:
        await store.drop(options.id)
        print("Dropped; nobody is told.")
    return 0


def _print_queue(entries: Sequence[QueueEntry]) -> None:
    if not entries:
        print("The queue is empty.")
        return
    _table(
        ("ID", "SINCE", "FROM", "TO", "STATE", "LAST STATUS"),
        [
            (
                entry.message.id,
                _moment(entry.message.created_at),
                display_address(entry.message.reverse_path) or "<>",
                display_address(delivery.target.address),
                f"{delivery.state.value} ({delivery.hold_reason})"
                if delivery.hold_reason
                else delivery.state.value,
                delivery.last_status,
            )
            for entry in entries
            for delivery in entry.deliveries
        ],
    )


def _print_entry(entry: QueueEntry) -> None:
    message = entry.message
    print(f"Id:          {message.id}\nSource:      {message.source}")
    print(f"From:        {display_address(message.reverse_path) or '<>'}")
    print(f"Message-ID:  {message.message_id}")
    print(f"Size:        {message.size_octets} octets\nSince:       {_moment(message.created_at)}")
    for each in entry.deliveries:
        print(f"\nTo:          {display_address(each.recipient)}")
        print(f"Goes to:     {display_address(each.target.address)}")
        print(f"By:          {each.target.courier}\nState:       {each.state.value}")
        if each.hold_reason:
            print(f"Held:        {each.hold_reason}")
        print(f"Attempts:    {each.attempts}, the last {_moment(each.last_attempt_at)}")
        print(f"Next:        {_moment(each.next_attempt_at)}\nLast status: {each.last_status}")


COMMANDS: dict[str, Callable[[Inside, Options], Awaitable[int]]] = {
    "user": user,
    "domain": domain,
    "alias": alias,
    "log": log,
    "password": password,
    "route": route,
    "queue": queue,
    "unlock": unlock,
}
