"""
One sentence that a redirect takes along ("The alias was saved").

The cookie holds the name of a sentence and what it is about, never a text; a forged cookie can
only make us say one of our own sentences.
"""

from collections.abc import Mapping
from urllib.parse import quote, unquote

from fe_mail.web.i18n import N_

__all__ = ["NOTICES", "pack_notice", "unpack_notice"]

MAX_ABOUT_CHARS = 255

NOTICES: Mapping[str, str] = {
    "registered": N_("Welcome! Your account is ready. Now add your domain."),
    "registered-admin": N_(
        "Welcome! You are the administrator of this server. Now add your domain."
    ),
    "verification-sent": N_("The mail was sent. Open the link in it."),
    "address-verified": N_("Thank you: the address is yours."),
    "address-changed": N_("Your account has its new address."),
    "address-asked": N_("A link was mailed to the new address. It counts when you open the link."),
    "recipient-asked": N_("The mail was sent again to"),
    "registration-open": N_("Everybody may register now."),
    "registration-closed": N_("Nobody may register now; you can add people."),
    "user-verified": N_("The address counts as verified:"),
    "sending-allowed": N_("The domain may send now:"),
    "sending-stopped": N_("The domain may not send any more:"),
    "signed-out": N_("You are signed out."),
    "domain-added": N_("The domain was added. Publish these records, then check them."),
    "domain-added-mailbox": N_(
        "The domain was added, and your own address is a mailbox of it. Give it a password, then "
        "finish the set-up of the domain."
    ),
    "domain-known": N_("You have this domain already. These are its aliases."),
    "domain-removed": N_("The domain was removed."),
    "domain-verified": N_("All is well: the records of your domain are correct."),
    "alias-added": N_("The alias was added."),
    "alias-saved": N_("The alias was saved."),
    "alias-enabled": N_("The alias is active again."),
    "alias-disabled-550": N_("The alias is disabled: its mail is refused."),
    "alias-disabled-421": N_("The alias is disabled: senders are asked to try again later."),
    "alias-disabled-250": N_("The alias is disabled: its mail is thrown away."),
    "alias-removed": N_("The alias was removed."),
    "profile-saved": N_("Your profile was saved."),
    "password-changed": N_("Your password was changed."),
    "signed-out-everywhere": N_("Every other browser is signed out."),
    "account-removed": N_("Your account and everything in it was removed."),
    "webhook-key-changed": N_("The key of the webhooks was changed."),
    "token-changed": N_("You have a new API token; the old one no longer works."),
}


def pack_notice(name: str, about: str = "") -> str:
    """The value of the cookie."""
    return f"{name}:{quote(about[:MAX_ABOUT_CHARS], safe='')}"


def unpack_notice(cookie: str) -> tuple[str, str]:
    """The English sentence and what it is about; empty if there is none."""
    name, _, about = cookie.partition(":")
    if name not in NOTICES:
        return "", ""
    return NOTICES[name], unquote(about, errors="replace")[:MAX_ABOUT_CHARS]
