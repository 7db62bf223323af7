"""Whom and what the words of a command mean."""

from fe_mail.accounts.in_charge import server_admins
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Alias, Domain, User
from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Conflict, NotFound

__all__ = ["account", "alias_at", "domain_named", "operator", "owner_of", "place"]


async def operator(services: Inside, email: str | None = None) -> User:
    """The account on whose behalf the operator acts. ``NotFound``."""
    if email:
        return await account(services, email)
    for each in await server_admins(services.stores.accounts):
        return each
    raise NotFound("There is no account yet: fe-mail user add you@example.org")


async def account(services: Inside, email: str) -> User:
    """Who has this e-mail address. ``NotFound``."""
    try:
        return await services.stores.accounts.user_by_email(email)
    except NotFound:
        raise NotFound(f"{email} is not an account of this server.") from None


async def domain_named(services: Inside, name: str, email: str | None = None) -> Domain:
    """
    The domain of this name; of several claims on it the one that the DNS has proven, or that of
    the account ``email``. ``NotFound``, ``Conflict`` when that does not decide.
    """
    claims = await services.stores.accounts.domains_named(normalize_domain(name))
    if email:
        user = await account(services, email)
        claims = tuple(
            claim for claim in claims if any(each.user_id == user.id for each in claim.members)
        )
    if not claims:
        whose = f"a domain of {email}" if email else "a domain of this server"
        raise NotFound(f"{name} is not {whose}.")
    proven = [claim for claim in claims if claim.has_txt_record]
    if len(claims) > 1 and len(proven) != 1:
        people = ", ".join(sorted({each.email for claim in claims for each in claim.members}))
        raise Conflict(
            f"Several accounts claim {name}, and the DNS proves none of them. Add --user with one "
            f"of: {people}"
        )
    return proven[0] if proven else claims[0]


async def owner_of(services: Inside, domain: Domain) -> User:
    """An admin of the domain, on whose behalf it is changed."""
    for member in domain.members:
        if member.group == "admin":
            return await services.stores.accounts.user(member.user_id)
    return await operator(services)


async def place(services: Inside, address: str, email: str | None) -> tuple[str, Domain]:
    """The local part and the domain. ``NotFound``."""
    local, at, name = address.rpartition("@")
    if not at:
        raise NotFound(f"{address} is no address.")
    return local, await domain_named(services, name, email)


async def alias_at(services: Inside, address: str, email: str | None) -> tuple[User, Domain, Alias]:
    """The alias, its domain, and on whose behalf both are changed. ``NotFound``."""
    local, domain = await place(services, address, email)
    owner = await owner_of(services, domain)
    return owner, domain, await services.aliases.get(owner, domain, local)
