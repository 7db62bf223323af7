"""The visitor's own account: profile, password, language, API token, sessions, its end."""

from fe_mail.http.request import header
from fe_mail.model.errors import AuthenticationFailed, Invalid, MailError
from fe_mail.web.confirming import Question, ask, confirm, losses
from fe_mail.web.i18n import N_, negotiate
from fe_mail.web.notices import unpack_notice
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = [
    "CHANGES",
    "LEAVE",
    "LEAVING",
    "NEW_TOKEN",
    "SECURITY",
    "ask_leave",
    "ask_new_token",
    "change",
    "leave",
    "new_token",
    "profile",
    "security",
    "sign_out_others",
]

_FIELDS = ("email", "given_name", "family_name")
_PASSWORDS = ("change_password", "old_password", "password", "confirm_password")
CHANGES = (*_FIELDS, "locale", *_PASSWORDS)
LEAVING = ("leave_password",)
SECURITY, LEAVE = "/my-account/security", "/my-account/remove"
NEW_TOKEN = f"{SECURITY}/new-token"


async def profile(visit: Visit) -> Result:
    """Name, address, language, password."""
    _, asked = unpack_notice(visit.cookie("notice"))  # the address that it will have
    warnings = await visit.services.prospects.of_account(visit.owner, asked)
    return Page("account/profile.html", {"form": _shown(visit), "warnings": warnings})


def _shown(visit: Visit) -> dict[str, object]:
    user = visit.owner
    stored: dict[str, object] = {name: getattr(user, name) for name in _FIELDS}
    return {**stored, "locale": user.locale, **visit.form}


async def change(visit: Visit) -> Result:
    """Save the profile, or change the password."""
    try:
        if visit.field("change_password") == "true":
            await _change_password(visit)
            return Redirect("/my-account/profile", "password-changed")
        is_asked = await _save(visit)
    except AuthenticationFailed as error:
        return _again(visit, Invalid(error.sentence, "old_password"))
    except MailError as error:
        return _again(visit, error)
    if is_asked:
        return Redirect("/my-account/profile", "address-asked", visit.field("email"))
    return Redirect("/my-account/profile", "profile-saved")


def _again(visit: Visit, error: MailError) -> Page:
    return Page("account/profile.html", {"form": _shown(visit)}, error=error)


async def _save(visit: Visit) -> bool:
    """True when a new address was asked for: it counts when its link was opened."""
    fields: dict[str, object] = {n: visit.field(n) for n in _FIELDS if n in visit.form}
    email = str(fields.pop("email", visit.owner.email)).lower()
    if "locale" in visit.form:
        fields["locale"] = visit.field("locale")
    users, links = visit.services.users, visit.services.address_links
    users.check(**fields)
    is_new = email != visit.owner.email
    if is_new:
        await links.ask_new(visit.owner, email, visit.language)
    visit.user = await users.update(visit.owner, **fields)
    if "locale" in fields:
        visit.language = negotiate(header(visit.request, b"Accept-Language"))
        visit.speak(visit.user.locale)
    return is_new


async def _change_password(visit: Visit) -> None:
    new = visit.secret("password")
    if new != visit.secret("confirm_password"):
        raise Invalid(N_("The two new passwords are not the same."), "confirm_password")
    users = visit.services.users
    user = await users.change_password(visit.owner, visit.secret("old_password"), new)
    # Every session ended with the old password; this browser goes on with a new one.
    visit.sign_in(user, await users.start_session(user, visit.remote))


async def sign_out_others(visit: Visit) -> Result:
    """End the sessions in all other browsers."""
    users = visit.services.users
    await users.sign_out_everywhere(visit.owner)
    visit.sign_in(visit.owner, await users.start_session(visit.owner, visit.remote))
    return Redirect(SECURITY, "signed-out-everywhere", is_reload=True)


async def ask_leave(visit: Visit) -> Result:
    """What goes with the account, and the question for its password."""
    await visit.services.departure.refuse_last_admin(visit.owner)
    return await _question_of_leaving(visit)


async def _question_of_leaving(visit: Visit, error: MailError | None = None) -> Page:
    lost = losses(await visit.services.stakes.of_user(visit.owner))
    question = Question(
        act="remove-account", action="/my-account", back=SECURITY, lost=lost, path=LEAVE
    )
    return ask(question, error)


async def leave(visit: Visit) -> Result:
    """Delete the account, after its password was typed once more."""
    try:
        await visit.services.departure.leave(visit.owner, visit.secret("leave_password"))
    except AuthenticationFailed as error:
        return await _question_of_leaving(visit, Invalid(error.sentence, "leave_password"))
    except MailError as error:
        return await _question_of_leaving(visit, error)
    visit.sign_out()
    return Redirect("/", "account-removed")


async def security(visit: Visit) -> Result:
    """The API token, other sessions, failed sign-ins, and the way to the end of the account."""
    token = await visit.services.users.api_token(visit.owner)
    failed = await visit.services.failed_logins.of_user(visit.owner)
    return Page("account/security.html", {"token": token, "failed": failed})


async def ask_new_token(visit: Visit) -> Result:
    """Ask before the token that programs know stops working."""
    return _question_of_token()


def _question_of_token(error: MailError | None = None) -> Page:
    question = Question(act="new-token", action=SECURITY, back=SECURITY, path=NEW_TOKEN)
    return ask(question, error)


async def new_token(visit: Visit) -> Result:
    """Another API token; the old one stops working at once."""
    try:
        confirm(visit, "new-token")
    except Invalid as error:
        return _question_of_token(error)
    await visit.services.users.new_api_token(visit.owner)
    return Redirect(SECURITY, "token-changed", is_reload=True)
