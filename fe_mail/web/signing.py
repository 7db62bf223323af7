"""Register, sign in, sign out."""

from fe_mail.http.limits import take_account, undo_account
from fe_mail.model.account import User
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Invalid,
    MailError,
)
from fe_mail.web.i18n import LANGUAGES
from fe_mail.web.origin import local_target
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = [
    "ask_login",
    "ask_logout",
    "ask_register",
    "login",
    "logout",
    "register",
    "registration_values",
]

HOME = "/my-account/domains"


async def ask_register(visit: Visit) -> Result:
    """The form for a new account, or that nobody may register."""
    if visit.user is not None:
        return Redirect(HOME)
    return Page("register.html", await registration_values(visit))


async def registration_values(visit: Visit) -> dict[str, object]:
    """What the form must know: is the account the first one, and may anybody register?"""
    is_new = not await visit.services.users.has_admin()
    return {"is_new": is_new, "is_open": await _is_open(visit)}


async def register(visit: Visit) -> Result:
    """Make an account and sign in; the first one owns the server."""
    values = await registration_values(visit)
    email, password = visit.field("email"), visit.secret("password")
    try:
        await take_account(visit.services.counters, visit.network)
        user = await _register_or_sign_in(visit, email, password)
    except MailError as error:
        return visit.refused("register.html", error, **values)
    await _start(visit, user)
    if not user.has_verified_email:
        return await _verify_first(visit, user)
    notice = "registered-admin" if user.group == "admin" else "registered"
    return Redirect("/my-account/domains/new", notice)


async def _verify_first(visit: Visit, user: User) -> Result:
    """A mail that cannot be sent now is sent when the person asks for it, and hears why."""
    try:
        await visit.services.address_links.ask(user, visit.language)
    except MailError as error:
        visit.web.log.info("No mail to a new account: {reason}", reason=error.message)
        return Page("links/waiting.html", error=error, path="/verify")
    return Redirect("/verify", "verification-sent")


async def _register_or_sign_in(visit: Visit, email: str, password: str) -> User:
    """An address that is known, with its right password, signs in."""
    users = visit.services.users
    try:
        return await users.register(email, password)
    except MailError as error:
        await undo_account(visit.services.counters, visit.network)
        if not isinstance(error, AlreadyExists):
            raise
        try:
            return await users.sign_in(email, password, visit.remote)
        except AuthenticationFailed:
            raise error from None


async def _start(visit: Visit, user: User) -> None:
    if visit.token:
        await visit.services.users.sign_out(visit.token)
    token = await visit.services.users.start_session(user, visit.remote)
    visit.sign_in(user, token)


async def ask_login(visit: Visit) -> Result:
    """The form to sign in."""
    target = _target(visit.query.get("return_to", ""))
    if visit.user is not None:
        return Redirect(target)
    return Page("login.html", {"return_to": target, "is_open": await _is_open(visit)})


async def login(visit: Visit) -> Result:
    """Sign in and go to where the visitor wanted to be."""
    target = _target(visit.field("return_to") or visit.query.get("return_to", ""))
    email, password = visit.field("email"), visit.secret("password")
    try:
        user = await visit.services.users.sign_in(email, password, visit.remote)
    except AuthenticationFailed as error:
        # A browser shows its own dialogue for 401; the reference answers 400.
        return await _refused(visit, Invalid(error.sentence), target)
    except MailError as error:
        return await _refused(visit, error, target)
    await _start(visit, user)
    return Redirect(target)


async def _refused(visit: Visit, error: MailError, target: str) -> Page:
    return visit.refused("login.html", error, return_to=target, is_open=await _is_open(visit))


async def _is_open(visit: Visit) -> bool:
    """May somebody without an account make one?"""
    return await visit.services.users.registration.is_open()


def _target(return_to: str) -> str:
    """A path on this server without its language prefix; the account if it is not local."""
    target = local_target(return_to, HOME)
    first, _, rest = target[1:].partition("/")
    return local_target(f"/{rest}", HOME) if first in LANGUAGES else target


async def ask_logout(visit: Visit) -> Result:
    """Ask: reading a page changes nothing."""
    return Page("logout.html") if visit.user is not None else Redirect("/")


async def logout(visit: Visit) -> Result:
    """End the session."""
    if visit.token:
        await visit.services.users.sign_out(visit.token)
    visit.sign_out()
    return Redirect("/", "signed-out")
