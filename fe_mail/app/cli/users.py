"""``fe-mail user …``, ``registration`` and ``unlock``: the people who sign in to the web UI."""

from collections.abc import AsyncIterator

from fe_mail.accounts.registration import STATES
from fe_mail.api.objects import user_object
from fe_mail.app.cli.command import DONE, JSON, YES, Command, Options, argument
from fe_mail.app.cli.finding import account
from fe_mail.app.cli.losses import domains_that_go, stake_of_user, text_of
from fe_mail.app.cli.routes import print_warnings, unheard
from fe_mail.app.cli.terminal import (
    FOR_GOOD,
    ask_new_password,
    confirm,
    moment,
    print_json,
    print_table,
    say,
)
from fe_mail.app.wiring import Inside
from fe_mail.model.account import User
from fe_mail.model.address import display_address
from fe_mail.model.errors import Invalid
from fe_mail.model.network import parse_ip
from fe_mail.model.page import every

__all__ = ["COMMANDS"]

_HEADS = ("EMAIL", "GROUP", "ADDRESS", "SINCE")
_EMAIL = argument("email", metavar="EMAIL", help="of the account")


async def _add(services: Inside, options: Options) -> int:
    password = ask_new_password("Password")
    made = await services.users.register(options.email, password, is_by_operator=True)
    say(f"Added {display_address(made.email)} ({made.group}).")
    print_warnings(await services.prospects.of_account(made))
    return DONE


async def _list(services: Inside, options: Options) -> int:
    users = every(services.stores.accounts.users)
    if options.json:
        quota = services.config.limits.quota_octets
        await print_json(user_object(user, quota) async for user in users)
    else:
        await print_table(_HEADS, _rows(users), empty="Nobody has an account yet.")
    return DONE


async def _rows(users: AsyncIterator[User]) -> AsyncIterator[tuple[str, ...]]:
    async for user in users:
        group = f"{user.group}, banned" if user.is_banned else user.group
        address = "verified" if user.has_verified_email else "not verified"
        yield display_address(user.email), group, address, moment(user.created_at)


async def _password(services: Inside, options: Options) -> int:
    person = await account(services, options.email)
    await services.users.set_password(person, ask_new_password("New password"))
    say("The password is changed. Browsers that were signed in are signed out.")
    return DONE


async def _verify(services: Inside, options: Options) -> int:
    person = await account(services, options.email)
    await services.users.verify_address(person)
    say(f"{display_address(person.email)} counts as verified.")
    return DONE


async def _remove(services: Inside, options: Options) -> int:
    accounts = services.stores.accounts
    person = await account(services, options.email)
    mine = [each async for each in domains_that_go(services, person)]
    stake = await stake_of_user(services, person)
    shown = display_address(person.email)
    confirm(options, f"With the account {shown} goes: {text_of(stake)}.", FOR_GOOD)
    await services.departure.remove(person)
    say(f"Removed {shown}.")
    for each in mine:
        if not await accounts.domains_named(each.name):
            print_warnings(await services.prospects.of_lost_domain(None, each.name))
    print_warnings(await services.prospects.of_loss(None, person.email))
    async for text in unheard(services):
        say(f"Note: {text}")
    return DONE


async def _registration(services: Inside, options: Options) -> int:
    registration = services.users.registration
    if options.state:
        await registration.decide(options.state)
    if not await services.users.has_admin():
        say("Registration is open, because nobody has an account yet; the first one closes it.")
    elif await registration.is_open():
        say("Registration is open: everybody may make an account in the web UI.")
    else:
        say("Registration is closed: only fe-mail user add makes accounts.")
    return DONE


async def _unlock(services: Inside, options: Options) -> int:
    if parse_ip(options.who) is None and "@" not in options.who:
        raise Invalid(f"{options.who} is neither an address of somebody nor an IP address.")
    await services.login.lift(options.who)
    await services.users.lift(options.who)
    say(f"Failed logins of {options.who} are forgotten.")
    return DONE


COMMANDS = (
    Command(
        words="user add",
        text="make an account; its password is asked for",
        run=_add,
        arguments=(argument("email", metavar="EMAIL", help="its address, the name to sign in"),),
    ),
    Command(words="user list", text="all accounts", run=_list, arguments=(JSON,)),
    Command(
        words="user password",
        text="set a new password; it is asked for",
        run=_password,
        arguments=(_EMAIL,),
    ),
    Command(
        words="user verify",
        text="count the account's address as verified",
        run=_verify,
        arguments=(_EMAIL,),
    ),
    Command(
        words="user remove",
        text="remove it, with the domains that nobody else runs",
        run=_remove,
        arguments=(_EMAIL, YES),
    ),
    Command(
        words="registration",
        text="tell, open or close: may people make accounts?",
        run=_registration,
        arguments=(argument("state", nargs="?", choices=STATES, help="without it, only tell"),),
    ),
    Command(
        words="unlock",
        text="forget failed logins of a name or an IP address",
        run=_unlock,
        arguments=(argument("who", metavar="WHO", help="user@example.org, or 203.0.113.7"),),
    ),
)
