"""Who may see a page, and who the visitor is."""

import enum

from fe_mail.model.errors import AuthenticationFailed, NotFound
from fe_mail.web.visit import Visit

__all__ = ["Access", "recognize"]


class Access(enum.Enum):
    """Who may see a page."""

    EVERYBODY = "everybody"
    UNPROVEN = "signed in, whoever reads the address"
    SIGNED_IN = "signed in"
    ADMIN = "admin of the server"


async def recognize(visit: Visit) -> None:
    """Set ``user`` and ``token`` if the session cookie is good."""
    token = visit.cookie("session")
    if not token:
        return
    try:
        user = await visit.services.users.session_user(token)
    except (NotFound, AuthenticationFailed):
        return
    if not user.is_banned:
        visit.user = user
        visit.token = token
