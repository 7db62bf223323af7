"""``/v1/account``: sign up, read and change one's account, or an alias's own settings."""

import contextlib

from fe_mail.accounts.effects import refuse_idle
from fe_mail.api.call import Call
from fe_mail.api.objects import alias_account_object, user_object
from fe_mail.api.settings import merge_settings
from fe_mail.api.warnings import with_warnings
from fe_mail.model.errors import Conflict, Invalid, MailError
from fe_mail.model.identity import Identity
from fe_mail.model.sentence import Sentence

__all__ = ["CHANGES", "NEW", "change", "register", "show"]

MAX_TRIES = 10
NEW = ("email", "password")
_TEXTS = ("email", "given_name", "family_name", "avatar_url")
CHANGES = (*_TEXTS, "settings")


async def register(call: Call) -> object:
    """A new account, with its API token."""
    users = call.services.users
    user = await users.register(_text(call, "email"), _text(call, "password"))
    if not user.has_verified_email:
        with contextlib.suppress(MailError):  # the web UI sends it again
            await call.services.address_links.ask(user)
    shown = user_object(user, call.api.default_quota_octets)
    shown = {**shown, "api_token": await users.api_token(user)}
    return with_warnings(call, shown, await call.services.prospects.of_account(user))


def _text(call: Call, name: str) -> str:
    value = call.fields.get(name, "")
    if not isinstance(value, str):
        raise Invalid(Sentence("The field %(name)s must be text.", name=name), name)
    return value


async def show(call: Call) -> object:
    """The account of the token, or the alias of the credentials."""
    if call.identity is not None:
        return _alias(call, call.identity)
    return user_object(call.owner, call.api.default_quota_octets)


def _alias(call: Call, identity: Identity) -> object:
    return alias_account_object(identity.alias, identity.domain, call.api.default_quota_octets)


async def change(call: Call) -> object:
    """Change the account, or merge settings into the alias."""
    if call.identity is not None:
        return await _change_settings(call, call.identity)
    fields = {name: _text(call, name) for name in _TEXTS if name in call.fields}
    refuse_idle("user.avatar_url", fields.pop("avatar_url", "").strip())
    email = fields.pop("email", call.owner.email).strip().lower()
    users = call.services.users
    users.check(**fields)
    if email != call.owner.email:  # it counts when the link that is mailed there is opened
        await call.services.address_links.ask_new(call.owner, email)
    user = await users.update(call.owner, **fields)
    shown = user_object(user, call.api.default_quota_octets)
    return with_warnings(call, shown, await call.services.prospects.of_account(user, email))


async def _change_settings(call: Call, identity: Identity) -> object:
    """Compare and set: what another device of the user changes meanwhile stays changed."""
    accounts, now = call.services.accounts, call.services.clock.seconds()
    sent = call.fields.get("settings", {})
    for _ in range(MAX_TRIES):
        alias = await accounts.alias(identity.alias.id)
        merged = merge_settings(alias.settings, sent)
        with contextlib.suppress(Conflict):
            alias = await accounts.update_alias(
                alias.id, now, {"settings": alias.settings}, settings=merged
            )
            return alias_account_object(alias, identity.domain, call.api.default_quota_octets)
    raise Conflict
