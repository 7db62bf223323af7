"""
Is a state-changing request our own page's doing? The defense against forged requests.

Pages elsewhere can set none of the three headers that a browser says it with. ``Sec-Fetch-Site``
is its own verdict, made from the address that the visitor sees, so that no proxy between the two
can spoil it; it is sent to trustworthy origins (TLS, or this host) and decides alone. Otherwise
``Origin``, or ``Referer`` where there is none, must be an address of ours. Who sends none of them
is refused: that is no browser, or one that hides where the form came from. The session cookie is
SameSite=Strict besides. Also: which redirect targets are local. Fetch Metadata; RFC 6454 §7.
"""

import enum
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from fe_mail.http.origins import origin_of

__all__ = ["SAFE_METHODS", "Source", "is_from_elsewhere", "local_target", "source_of"]

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class Source(enum.Enum):
    """Where a request comes from."""

    OWN = "one of our pages"
    FOREIGN = "another site"
    UNSAID = "not said"


def source_of(*, site: str, origin: str, referer: str, own: Collection[str | None]) -> Source:
    """``own`` are the origins of our pages, as ``origin_of`` spells them."""
    if site and site.lower() != "none":
        return Source.OWN if site.lower() == "same-origin" else Source.FOREIGN
    said = origin or referer
    if not said:
        return Source.UNSAID
    found = origin_of(said)
    return Source.OWN if found is not None and found in own else Source.FOREIGN


def is_from_elsewhere(site: str) -> bool:
    """Did another site begin this, so that the browser sends no strict cookies with it?"""
    return site.lower() in ("cross-site", "same-site")


def local_target(target: str, default: str) -> str:
    """``target`` if it is a path on this server, else ``default``."""
    decoded = unquote(target)
    if not target.startswith("/") or decoded[1:2] in ("/", "\\"):
        return default
    if any(ord(char) < 0x21 or ord(char) == 0x7F or char == "\\" for char in decoded):
        return default
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else default
