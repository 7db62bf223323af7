"""``fe-mail domain …``: mail domains and their DNS."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from types import MappingProxyType

from fe_mail.accounts.dns_findings import Verdict, unknown_addresses
from fe_mail.accounts.dns_records import DNSRecord
from fe_mail.api.objects import domain_object
from fe_mail.app.cli.aliases import print_password
from fe_mail.app.cli.command import (
    DONE,
    JSON,
    REFUSED,
    UNTOLD,
    USER,
    YES,
    Command,
    Options,
    argument,
)
from fe_mail.app.cli.finding import domain_named, operator, owner_of
from fe_mail.app.cli.losses import stake_of_domain, text_of
from fe_mail.app.cli.routes import print_warnings
from fe_mail.app.cli.terminal import FOR_GOOD, confirm, print_json, print_rows, print_table, say
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Domain
from fe_mail.model.address import display_address, display_domain
from fe_mail.model.page import every

__all__ = ["COMMANDS"]

_HEADS = ("DOMAIN", "RECEIVES", "SENDS", "ALIASES", "MEMBERS")
_RECORD_HEADS = ("TYPE", "NAME", "PRIORITY", "VALUE")
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


async def _add(services: Inside, options: Options) -> int:
    """With everything that its mail needs: the owner's mailbox, if it is at the domain itself."""
    person = await operator(services, options.user)
    catchall: bool | str = options.catchall or True
    if options.catchall == "none":
        catchall = False
    made = await services.domains.create(person, options.name, catchall=catchall)
    shown = display_domain(made.name)
    say(f"Added {shown}. Publish these records, then: fe-mail domain verify {shown}")
    _print_records(services, made)
    mailbox = await services.prospects.own_mailbox(made, person.email)
    if mailbox is not None:
        say("", f"Your own address is a mailbox of {shown} from now on:")
        print_password(await services.aliases.generate_password(person, made, mailbox))
    print_warnings(await services.prospects.of_changed_domain(None, made))
    return DONE


async def _list(services: Inside, options: Options) -> int:
    domains = every(partial(services.stores.accounts.domains, None))
    if options.json:
        config = services.config
        show = partial(
            domain_object,
            reader=None,
            web_url=config.web.url,
            default_quota_octets=config.limits.quota_octets,
            default_recipients=config.limits.forwarded,
        )
        await print_json(
            show(domain, records=services.domains.records(domain)) async for domain in domains
        )
    else:
        await print_table(_HEADS, _rows(domains), empty="There is no domain yet.")
    return DONE


async def _rows(domains: AsyncIterator[Domain]) -> AsyncIterator[tuple[str, ...]]:
    async for domain in domains:
        yield (
            display_domain(domain.name),
            "yes" if domain.has_mx_record and domain.has_txt_record else "not verified",
            _sends(domain),
            str(domain.alias_count),
            " ".join(display_address(member.email) for member in domain.members),
        )


def _sends(domain: Domain) -> str:
    """Whether its records are right, and whether it is allowed to."""
    if domain.has_smtp:
        return "yes" if domain.smtp_verified_at else "allowed, not verified"
    return "not allowed yet" if domain.smtp_verified_at else "not verified"


async def _records(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.name, options.user)
    if options.json:
        await print_json(_record_objects(services, of))
    elif options.zone:
        print(services.domains.zone_file(of), end="")
    else:
        _print_records(services, of)
    return DONE


def _print_records(services: Inside, of: Domain) -> None:
    domains = services.domains
    print_rows(_RECORD_HEADS, map(_row, domains.records(of)))
    say("", "What the server itself needs:", "")
    published = [record for record in domains.server_records(of) if record.type]
    print_rows(_RECORD_HEADS, map(_row, published))
    if not all(record.value for record in published):
        say("", str(unknown_addresses()))


def _row(record: DNSRecord) -> tuple[str, str, str, str]:
    priority = "" if record.priority is None else str(record.priority)
    name = record.name or "(the address)"
    return record.type, name, priority, record.value or "(the address of this server)"


async def _record_objects(services: Inside, of: Domain) -> AsyncIterator[Mapping[str, object]]:
    domains = services.domains
    for owner, records in (
        ("domain", domains.records(of)),
        ("server", domains.server_records(of)),
    ):
        for record in records:
            if record.type:
                yield {
                    "object": "dns_record",
                    "of": owner,
                    "purpose": record.purpose,
                    "is_required": record.required,
                    "type": record.type,
                    "name": record.name or None,
                    "priority": record.priority,
                    "value": record.value or None,
                }


async def _verify(services: Inside, options: Options) -> int:
    """0: all that mail needs is there for certain; 3: nothing of it is wrong, but who knows."""
    of = await domain_named(services, options.name, options.user)
    verification = await services.domains.verify(await owner_of(services, of), of)
    if services.domains.is_demo:
        say("This is a demo: the answers below are made up, and no real DNS is asked.")
    for result in verification.all_results:
        what = f"{result.record.purpose}:"
        say(f"{_VERDICTS[result.verdict]:<14}  {what:<13} {result.message}")
    now = verification.domain
    if now.smtp_verified_at and not now.has_smtp:
        say("", f"It may not send yet: fe-mail domain allow {display_domain(now.name)}")
    counted = [result for result in verification.all_results if result.counts]
    if all(result.passed for result in counted):
        return DONE
    is_wrong = any(not each.passed and not each.is_undecided for each in counted)
    return REFUSED if is_wrong else UNTOLD


async def _allow(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.name, options.user)
    admin = await operator(services)
    decided = await services.domains.allow_sending(admin, of.id, not options.no)
    shown = display_domain(decided.name)
    if options.no:
        say(f"{shown} may not send any more.")
    elif decided.smtp_verified_at:
        say(f"{shown} may send.")
    else:
        say(f"{shown} may send once its records are right: fe-mail domain verify {shown}")
    return DONE


async def _webhook_key(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.name, options.user)
    keys = services.webhook_keys
    if not options.new:
        print(await keys.key(of.id))
        return DONE
    count = await _count_of_hooked(services, of)
    confirm(
        options,
        f"The present key of {display_domain(of.name)} ends at once. "
        f"Aliases that send mail to web addresses: {count}. Whoever checks "
        "signatures there refuses it until he has the new key.",
    )
    print(await keys.replace(of.id))
    return DONE


async def _count_of_hooked(services: Inside, of: Domain) -> int:
    count = 0
    async for alias in every(partial(services.stores.accounts.aliases, of.id)):
        count += any("://" in recipient for recipient in alias.recipients)
    return count


async def _remove(services: Inside, options: Options) -> int:
    of = await domain_named(services, options.name, options.user)
    shown = display_domain(of.name)
    stake = await stake_of_domain(services, of)
    confirm(options, f"Removing {shown} destroys: {text_of(stake)}.", FOR_GOOD)
    await services.domains.delete(await owner_of(services, of), of)
    say(f"Removed {shown} with its aliases and mailboxes.")
    print_warnings(await services.prospects.of_lost_domain(None, of.name))
    return DONE


_NAME = argument("name", metavar="NAME", help="of the domain")

COMMANDS = (
    Command(
        words="domain add",
        text="add it, and print the DNS records to publish",
        run=_add,
        arguments=(
            _NAME,
            argument(
                "--user", metavar="EMAIL", help="whose it will be; the first admin's by default"
            ),
            argument(
                "--catchall",
                metavar="ADDRESS",
                help="where every other address goes, or none; the account's address by default",
            ),
        ),
    ),
    Command(words="domain list", text="all domains", run=_list, arguments=(JSON,)),
    Command(
        words="domain records",
        text="the DNS records to publish",
        run=_records,
        arguments=(
            _NAME,
            argument("--zone", action="store_true", help="as lines of a zone file"),
            JSON,
            USER,
        ),
    ),
    Command(
        words="domain verify",
        text="look at the DNS now; say what is wrong",
        run=_verify,
        arguments=(_NAME, USER),
    ),
    Command(
        words="domain allow",
        text="let it send; with --no, not any longer",
        run=_allow,
        arguments=(
            _NAME,
            argument("--no", action="store_true", help="take the leave back"),
            USER,
        ),
    ),
    Command(
        words="domain webhook-key",
        text="the key that signs messages to web addresses",
        run=_webhook_key,
        arguments=(
            _NAME,
            argument("--new", action="store_true", help="replace it; the old one ends at once"),
            USER,
            YES,
        ),
    ),
    Command(
        words="domain remove",
        text="remove it, with its addresses and mailboxes",
        run=_remove,
        arguments=(_NAME, USER, YES),
    ),
)
