"""What is done to an alias: saved, switched on or off, removed; each after the right question."""

from fe_mail.model.account import Alias, Domain
from fe_mail.model.errors import Invalid, MailError
from fe_mail.web.aliases import find, place_of, save
from fe_mail.web.confirming import CONFIRM, Question, ask, confirm, losses
from fe_mail.web.paths import alias_path, aliases_path
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit

__all__ = ["REMOVAL", "ask_disable", "ask_remove", "change", "remove"]

REMOVAL = (CONFIRM, "place")


async def change(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Save the form, or only switch the alias on or off."""
    domain, alias = await find(visit, domain_id, alias_id)
    if visit.field("_section") != "enabled":
        return await save(visit, domain, alias)
    is_enabled = visit.field("is_enabled") == "true"
    code = visit.field("error_code_if_disabled")
    if not (is_enabled or code or visit.is_script):
        return _choices(visit, domain, alias)
    changed = await _switch(visit, domain, alias, is_enabled, code)
    notice = f"alias-disabled-{changed.error_code_if_disabled}"
    path = aliases_path(domain, place_of(visit), alias)
    return Redirect(path, "alias-enabled" if is_enabled else notice, alias.address, is_reload=True)


async def _switch(visit: Visit, domain: Domain, alias: Alias, is_enabled: bool, code: str) -> Alias:
    fields: dict[str, object] = {"is_enabled": is_enabled}
    if code:
        fields["error_code_if_disabled"] = code
    return await visit.services.aliases.update(visit.owner, domain, alias, fields)


async def ask_disable(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """What is to become of mail while the alias is off."""
    domain, alias = await find(visit, domain_id, alias_id)
    return _choices(visit, domain, alias)


def _choices(visit: Visit, domain: Domain, alias: Alias, error: MailError | None = None) -> Page:
    values = {"domain": domain, "alias": alias, "place": place_of(visit)}
    return Page("aliases/disable.html", values, error=error)


async def ask_remove(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """What goes with an alias; disabling it is offered instead."""
    return await _question(visit, *await find(visit, domain_id, alias_id))


async def _question(
    visit: Visit, domain: Domain, alias: Alias, error: MailError | None = None
) -> Page:
    place = place_of(visit)
    question = Question(
        act="remove-alias",
        about=alias.address,
        action=alias_path(domain, alias),
        path=alias_path(domain, alias, "remove", place=place),
        back=alias_path(domain, alias, place=place),
        lost=(
            *losses(await visit.services.stakes.of_alias(alias)),
            *await visit.services.prospects.relying_told(visit.owner, alias),
        ),
        carried={"place": place},
        domain=domain,
        tab="aliases",
        instead="aliases/instead.html",
    )
    return ask(question, error, alias=alias)


async def remove(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """Remove an alias and its mailbox."""
    domain, alias = await find(visit, domain_id, alias_id)
    try:
        confirm(visit, "remove-alias")
    except Invalid as error:
        return await _question(visit, domain, alias, error)
    await visit.services.aliases.delete(visit.owner, domain, alias)
    return Redirect(aliases_path(domain, place_of(visit)), "alias-removed", alias.address)
