"""Paths of pages, without their language prefix: one place knows how names are written in them."""

from urllib.parse import quote

from fe_mail.model.account import Alias, Domain

__all__ = ["account_path", "alias_path", "aliases_path", "domain_path"]

# Where the name of an alias would lead to another page, its id stands.
_PAGES = frozenset({"new"})


def account_path(*segments: str) -> str:
    """A path of encoded segments below ``/my-account``."""
    return "/my-account/" + "/".join(quote(segment, safe="@") for segment in segments)


def domain_path(domain: Domain, *more: str) -> str:
    """A page of a domain."""
    return account_path("domains", domain.name, *more)


def aliases_path(domain: Domain, place: str = "", alias: Alias | None = None) -> str:
    """The list of a domain's aliases, at this place of it, and there at this alias."""
    path = domain_path(domain, "aliases")
    return path + (f"?{place}" if place else "") + (f"#alias-{alias.id}" if alias else "")


def alias_path(domain: Domain, alias: Alias, *more: str, place: str = "") -> str:
    """A page of an alias, from this place of the list."""
    name = alias.id if alias.name in _PAGES else alias.name
    path = domain_path(domain, "aliases", name, *more)
    return f"{path}?place={quote(place, safe='')}" if place else path
