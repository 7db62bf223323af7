"""
The commands of ``fe-mail`` that work on stores at rest, or only look at them: ``verify`` makes and
changes nothing, ``begin-anew`` is the explicit word that a store that is gone may be an empty one.
"""

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.passwords import find_slot, prepare
from fe_mail.app.cli.command import DONE, REFUSED, YES, Command, Options, argument
from fe_mail.app.cli.routes import unheard
from fe_mail.app.cli.terminal import ask_password, confirm, say
from fe_mail.app.manifest import STORES
from fe_mail.app.single import at_rest
from fe_mail.app.verify import Findings, examine
from fe_mail.app.wiring import Inside, Stores
from fe_mail.model.account import Alias
from fe_mail.model.address import parse_address
from fe_mail.model.errors import AuthenticationFailed, MailError, NotFound

__all__ = ["COMMANDS"]

_LOST = {
    "accounts": "every account, domain, alias and key; the mailboxes stay locked for good",
    "spool": "the large messages that waited in the queue",
    "queue": "every message that was accepted and not delivered yet, and the log",
    "mailboxes": "the mail of everybody; each address needs fe-mail password ADDRESS --override",
    "sealed": "the mail that waited for its owner to sign in, and the quotas until they are saved",
    "counters": "what the limits have counted",
}


async def _verify(services: Inside, options: Options) -> int:
    """Refused when something is missing or broken."""
    stores = services.stores
    found = await examine(stores)
    if found.problems and stores.was_overtaken():  # a server that started meanwhile changed it
        await stores.stop_looking()
        found = await examine(stores)
    messages = 0
    for address in options.mailbox:
        problems, count = await _inside_mailbox(stores, address)
        found.problems += problems
        messages += count
    say(*found.problems)
    if "accounts" not in stores.closed:
        async for text in unheard(services):
            say(f"Note: {text}")
    _print(found, messages if options.mailbox else None)
    return REFUSED if found.problems else DONE


def _print(found: Findings, messages: int | None) -> None:
    for name, count in found.counts.items():
        say(f"{name:<10} {count}")
    if messages is not None:
        say(f"{'messages':<10} {messages}, in the mailboxes that were named")
    elif "mailboxes" in found.counts:
        say(f"{'messages':<10} encrypted: --mailbox ADDRESS looks inside a mailbox")
    count = len(found.problems)
    say(f"{count} problem{'s' if count > 1 else ''}." if count else "Every invariant holds.")


async def _inside_mailbox(stores: Stores, address: str) -> tuple[list[str], int]:
    """What is broken behind the key of one mailbox, and how many messages are in it."""
    if "accounts" in stores.closed:
        return [f"mailbox {address}: without the accounts nobody knows its key."], 0
    password = ask_password(f"Password of {address}")
    alias = await _alias_of(stores, address)
    slots = [each for each in await stores.accounts.credentials(alias.id) if each.wrapped_key]
    slot = await find_slot(stores.keyring, slots, prepare(password))
    if slot is None:
        raise AuthenticationFailed
    key = stores.keyring.unwrap(slot.credential.wrapped_key, slot.client_key, alias.id)
    try:
        problems, count = await stores.mailboxes.examine(alias.id, key)
    except MailError as error:
        known = [each.text for each in stores.troubles.current() if alias.id in each.path.name]
        return [f"mailbox {address}: {known[-1] if known else error.message}"], 0
    return [f"mailbox {address}: {text}" for text in problems], count


async def _alias_of(stores: Stores, address: str) -> Alias:
    parsed = parse_address(address)
    claim = chosen_claim(await stores.accounts.route_rows(parsed.base, parsed.domain))
    if claim is None or claim.named is None:
        raise NotFound(f"{address} is not an address of this server.")
    return claim.named


async def _begin_anew(services: Inside, options: Options) -> int:
    """What is left of it is set aside."""
    inventory = services.stores.inventory
    chosen = tuple(STORES) if "all" in options.store else tuple(dict.fromkeys(options.store))
    confirm(
        options,
        "Unless you restore a backup, this is gone:",
        *(f"{name}: {_LOST[name]}." for name in chosen),
    )
    now = services.clock.seconds()

    def work() -> list[str]:
        with at_rest(inventory.data):
            return [str(path) for path in inventory.begin_anew(chosen, now)]

    for path in await services.stores.run(work):
        say(f"Set aside: {path}")
    say(f"The next start begins anew with: {', '.join(chosen)}.")
    return DONE


COMMANDS = (
    Command(
        words="verify",
        text="check that every store is there and whole",
        run=_verify,
        arguments=(
            argument(
                "--mailbox",
                action="append",
                default=[],
                metavar="ADDRESS",
                help="look inside this mailbox too; its password is asked for",
            ),
        ),
        is_at_rest=True,
    ),
    Command(
        words="begin-anew",
        text="let the next start make a lost store, empty",
        run=_begin_anew,
        arguments=(
            argument("store", nargs="+", choices=[*STORES, "all"], help="which"),
            YES,
        ),
        is_at_rest=True,
    ),
)
