"""Pages for everybody: the landing page, and the files that every page uses."""

from fe_mail.model.errors import NotFound
from fe_mail.web.rendering import STATIC_TYPES, static_files
from fe_mail.web.results import Page, Plain, Redirect, Result
from fe_mail.web.signing import registration_values
from fe_mail.web.visit import Visit

__all__ = ["icon", "landing", "robots", "static"]

STATIC_SECONDS = 30 * 86_400  # their links carry a version

_FILES = static_files()


async def landing(visit: Visit) -> Result:
    """What this is, and the way in; who is signed in goes on to the domains."""
    if visit.user is not None:
        return Redirect("/my-account/domains")
    return Page("landing.html", await registration_values(visit))


async def static(visit: Visit, name: str) -> Result:
    """Style sheet, script, icon."""
    if name not in _FILES:
        raise NotFound
    suffix = name[name.rindex(".") :]
    return Plain(_FILES[name], STATIC_TYPES[suffix], STATIC_SECONDS)


async def icon(visit: Visit) -> Result:
    """The icon, for browsers that do not read the page's link to it."""
    return await static(visit, "icon.svg")


async def robots(visit: Visit) -> Result:
    """Nothing here is for search engines but the landing page."""
    lines = ["User-agent: *"]
    for place in ("my-account", "admin", "verify", "v/", "reset-password"):
        lines += [f"Disallow: /{place}", f"Disallow: /*/{place}"]
    text = "\n".join(lines) + "\n"
    return Plain(text.encode("ascii"), "text/plain; charset=utf-8", 3600)
