"""
Where mailed links lead: a verified address, a new one, a recipient who says yes, a new password.

Reading a page changes nothing, because programs that look for bad links read them too: each asks
first, and a button does it. A link that is none any more has no button, and says what to do.
"""

from fe_mail.model.errors import AuthenticationFailed, Invalid, MailError
from fe_mail.web.i18n import N_
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = [
    "NEW_ADDRESS_FIELDS",
    "PASSWORD_FIELDS",
    "ask_forgotten",
    "ask_new_address",
    "ask_new_password",
    "ask_recipient",
    "ask_verify",
    "confirm_recipient",
    "forgotten",
    "new_password",
    "send_verification",
    "take_new_address",
    "verify",
    "waiting",
]

HOME = "/my-account/domains"
PASSWORD_FIELDS = ("password", "confirm_password")
NEW_ADDRESS_FIELDS = ("password",)


# The address of an account


async def waiting(visit: Visit) -> Result:
    """An account whose address is not proven yet: its mail was sent when it was made."""
    if visit.owner.has_verified_email:
        return Redirect(HOME)
    return Page("links/waiting.html")


async def send_verification(visit: Visit) -> Result:
    """The mail once more."""
    if visit.owner.has_verified_email:
        return Redirect(HOME)
    try:
        await visit.services.address_links.ask(visit.owner, visit.language)
    except MailError as error:
        return Page("links/waiting.html", error=error)
    return Redirect("/verify", "verification-sent")


async def ask_verify(visit: Visit, token: str) -> Result:
    """The link was opened by whoever is signed in."""
    try:
        await visit.services.address_links.check_verify(visit.owner, token)
    except MailError as error:
        return Page("links/verify.html", error=error)
    return Redirect(HOME) if visit.owner.has_verified_email else Page("links/verify.html")


async def verify(visit: Visit, token: str) -> Result:
    """The button was pressed."""
    try:
        await visit.services.address_links.verify(visit.owner, token)
    except MailError as error:
        return Page("links/verify.html", error=error)
    return Redirect(HOME, "address-verified")


async def ask_new_address(visit: Visit, token: str) -> Result:
    """The link was opened by whoever is signed in."""
    return await _new_address(visit, token)


async def _new_address(visit: Visit, token: str, error: MailError | None = None) -> Page:
    email = ""
    try:
        email = await visit.services.address_links.check_new(visit.owner, token)
    except MailError as reason:
        error = error or reason
    return Page("links/new_address.html", {"email": email}, error=error)


async def take_new_address(visit: Visit, token: str) -> Result:
    """The button was pressed."""
    try:
        await visit.services.address_links.take_new(
            visit.owner, token, visit.secret("password"), visit.language
        )
    except AuthenticationFailed as error:
        return await _new_address(visit, token, Invalid(error.sentence, "password"))
    except MailError as error:
        return await _new_address(visit, token, error)
    return Redirect("/my-account/profile", "address-changed")


# A recipient of an alias


async def ask_recipient(visit: Visit, token: str) -> Result:
    """What the link asks, and the button that says yes."""
    return await _recipient(visit, token)


async def _recipient(visit: Visit, token: str, error: MailError | None = None) -> Result:
    asked = None
    try:
        asked = await visit.services.recipient_links.asked(token)
    except MailError as reason:
        error = error or reason
    return Page("links/recipient.html", {"asked": asked}, error=error)


async def confirm_recipient(visit: Visit, token: str) -> Result:
    """The button was pressed."""
    try:
        asked = await visit.services.recipient_links.confirm(token)
    except MailError as error:
        return await _recipient(visit, token, error)
    return Page("links/recipient.html", {"asked": asked})


# A forgotten password


async def ask_forgotten(visit: Visit) -> Result:
    """The form."""
    return Page("links/forgotten.html", {"is_sent": False})


async def forgotten(visit: Visit) -> Result:
    """The same answer for every address."""
    links = visit.services.address_links
    try:
        await links.ask_password(visit.field("email"), visit.network, visit.language)
    except MailError as error:
        return visit.refused("links/forgotten.html", error, is_sent=False)
    return Page("links/forgotten.html", {"is_sent": True, "form": visit.form})


async def ask_new_password(visit: Visit, token: str) -> Result:
    """The form for the new one, if the link is good."""
    try:
        user = await visit.services.address_links.check_password_link(token)
    except MailError as error:
        return Page("links/new_password.html", {"email": ""}, error=error)
    return Page("links/new_password.html", {"email": user.email})


async def new_password(visit: Visit, token: str) -> Result:
    """Take it and sign in."""
    links, users = visit.services.address_links, visit.services.users
    email = ""
    try:
        email = (await links.check_password_link(token)).email
        new = visit.secret("password")
        if new != visit.secret("confirm_password"):
            raise _different()
        user = await links.set_password(token, new)
    except MailError as error:
        return Page("links/new_password.html", {"email": email}, error=error)
    visit.sign_in(user, await users.start_session(user, visit.remote))
    return Redirect(HOME, "password-changed")


def _different() -> MailError:
    return Invalid(N_("The two new passwords are not the same."), "confirm_password")
