"""The password of an alias: a new one, shown once; and the end of a mailbox nobody can open."""

from fe_mail.accounts.aliases import GeneratedPassword
from fe_mail.model.account import Alias, Domain
from fe_mail.model.errors import AuthenticationFailed, Invalid, MailError
from fe_mail.web.aliases import find, place_of
from fe_mail.web.confirming import CONFIRM, Question, ask, confirm, losses
from fe_mail.web.i18n import N_
from fe_mail.web.paths import alias_path
from fe_mail.web.results import Page, Result
from fe_mail.web.visit import Visit

__all__ = ["SECRETS", "ask_anew", "ask_password", "new_password"]

SECRETS = ("new_password", "password", "is_override", "place", CONFIRM)


async def ask_password(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """The choices before a new password: keep the mailbox, or begin anew."""
    domain, alias = await find(visit, domain_id, alias_id)
    return _form(visit, domain, alias)


def _form(visit: Visit, domain: Domain, alias: Alias, error: MailError | None = None) -> Page:
    values = {
        "domain": domain,
        "alias": alias,
        "has_password": bool(alias.sealing_key),
        "place": place_of(visit),
    }
    return Page("aliases/password.html", values, error=error)


async def ask_anew(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """What goes when a mailbox is begun anew."""
    return await _question(visit, *await find(visit, domain_id, alias_id))


async def _question(
    visit: Visit, domain: Domain, alias: Alias, error: MailError | None = None
) -> Page:
    question = Question(
        act="begin-anew",
        about=alias.address,
        action=alias_path(domain, alias, "generate-password"),
        path=alias_path(domain, alias, "generate-password", "anew", place=place_of(visit)),
        back=alias_path(domain, alias, "generate-password", place=place_of(visit)),
        lost=losses(await visit.services.stakes.of_mailbox(alias)),
        carried={"is_override": "true", "place": place_of(visit)},
        domain=domain,
        tab="aliases",
    )
    return ask(question, error)


async def new_password(visit: Visit, domain_id: str, alias_id: str) -> Result:
    """A new password, shown this once."""
    domain, alias = await find(visit, domain_id, alias_id)
    is_override = visit.field("is_override") == "true"
    try:
        if is_override:  # whether or not there is a mailbox yet: one may be made meanwhile
            confirm(visit, "begin-anew")
        generated = await _generate(visit, domain, alias, is_override)
    except AuthenticationFailed:
        wrong = Invalid(N_("The current password is not correct."), "password", "WRONG_PASSWORD")
        return _form(visit, domain, alias, wrong)
    except MailError as error:
        if getattr(error, "field", "") == CONFIRM:
            return await _question(visit, domain, alias, error)
        return _form(visit, domain, alias, error)
    values = {
        "domain": domain,
        "alias": alias,
        "generated": generated,
        "servers": visit.web.clients.rows,
        "place": place_of(visit),
    }
    return Page("aliases/generated.html", values, script=_for_script(visit, generated))


async def _generate(
    visit: Visit, domain: Domain, alias: Alias, is_override: bool
) -> GeneratedPassword:
    return await visit.services.aliases.generate_password(
        visit.owner,
        domain,
        alias,
        new_password=visit.secret("new_password"),
        password=visit.secret("password"),
        is_override=is_override,
    )


def _for_script(visit: Visit, generated: GeneratedPassword) -> dict[str, object]:
    shown: dict[str, object] = {"username": generated.username, "password": generated.password}
    if generated.recovery_code:
        shown["recovery_code"] = generated.recovery_code
    title = visit.text(N_("Your new password"))
    text = f"{generated.username}\n{generated.password}"
    return {**shown, "swal": {"title": title, "text": text, "type": "success"}}
