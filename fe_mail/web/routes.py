"""
Every page of the web UI.

Paths stand without their language prefix. Browsers' forms know only POST: ``_method`` in a form
chooses among the methods of its path that change something.
"""

from fe_mail.http.limits import ACCOUNTS, ACCOUNTS_PER_DAY, Limit
from fe_mail.http.routes import SMALL_OCTETS, Route
from fe_mail.web import (
    account,
    admin,
    alias_acts,
    alias_passwords,
    aliases,
    domains,
    links,
    public,
    signing,
    webhooks,
)
from fe_mail.web.access import Access

__all__ = ["FORM_OCTETS", "ROUTES"]

FORM_OCTETS = 65_536  # of somebody who is signed in: recipients of an alias

EVERYBODY, SIGNED_IN, ADMIN = Access.EVERYBODY, Access.SIGNED_IN, Access.ADMIN
UNPROVEN = Access.UNPROVEN
REGISTRATIONS = Limit(ACCOUNTS, ACCOUNTS_PER_DAY)

SEEN, MOVED = (200, 302), (302,)
FOUND = (200, 404)
FORM = (200, 302, 400)
FOUND_THEN, LIMITED = (302, 404), (302, 429)
CHANGE = (200, 302, 400, 404, 409)
LIST = ("q", "sort", "page", "limit")
REGISTER = ("email", "password")
LOGIN = (*REGISTER, "return_to")
PLACE, CONFIRM = ("place",), ("confirm",)
SECRETS, REMOVAL = alias_passwords.SECRETS, alias_acts.REMOVAL
SMALL, LARGE = SMALL_OCTETS, FORM_OCTETS
FROM_PLACE = (SMALL, PLACE, FOUND)
DOMAINS = "/my-account/domains"
DOMAIN = f"{DOMAINS}/<segment:domain_id>"
ALIASES = f"{DOMAIN}/aliases"
ALIAS = f"{ALIASES}/<segment:alias_id>"
PASSWORD = f"{ALIAS}/generate-password"
NEW_ALIAS = f"{ALIASES}/new"
KEY = f"{DOMAIN}/webhook-key"
RESET_KEY = f"{DOMAIN}/advanced-settings/reset-domain-webhook-key"
VERIFY, YES, RESET = (f"{path}/<segment:token>" for path in ("/verify", "/v", "/reset-password"))
CHANGE_EMAIL = "/my-account/change-email/<segment:token>"
PEOPLE, ALL_DOMAINS = "/admin/people", "/admin/domains"
PROFILE, SECURITY, LEAVE = "/my-account/profile", account.SECURITY, account.LEAVE

# fmt: off
ROUTES: tuple[Route[Access], ...] = (
    Route("GET", "/", public.landing, EVERYBODY, answers=SEEN),
    Route("GET", "/static/<segment:name>", public.static, EVERYBODY, answers=FOUND),
    Route("GET", "/favicon.ico", public.icon, EVERYBODY),
    Route("GET", "/robots.txt", public.robots, EVERYBODY),
    Route("GET", "/register", signing.ask_register, EVERYBODY, answers=SEEN),
    Route("POST", "/register", signing.register, EVERYBODY, REGISTRATIONS, SMALL, REGISTER, FORM),
    Route("GET", "/login", signing.ask_login, EVERYBODY, parameters=("return_to",), answers=SEEN),
    Route("POST", "/login", signing.login, EVERYBODY, None, SMALL, LOGIN, FORM),
    Route("GET", "/logout", signing.ask_logout, EVERYBODY, answers=SEEN),
    Route("POST", "/logout", signing.logout, EVERYBODY, answers=MOVED),
    Route("GET", "/verify", links.waiting, UNPROVEN, answers=SEEN),
    Route("POST", "/verify", links.send_verification, UNPROVEN, answers=LIMITED),
    Route("GET", VERIFY, links.ask_verify, UNPROVEN, answers=(200, 302, 400)),
    Route("POST", VERIFY, links.verify, UNPROVEN, answers=FORM),
    Route("GET", YES, links.ask_recipient, EVERYBODY, answers=(200, 400)),
    Route("POST", YES, links.confirm_recipient, EVERYBODY, answers=(200, 400, 409)),
    Route("GET", "/forgot-password", links.ask_forgotten, EVERYBODY),
    Route("POST", "/forgot-password", links.forgotten, EVERYBODY, None, SMALL, ("email",),
          (200, 429)),
    Route("GET", RESET, links.ask_new_password, EVERYBODY, answers=(200, 400)),
    Route("POST", RESET, links.new_password, EVERYBODY, None, SMALL, links.PASSWORD_FIELDS, FORM),
    Route("GET", CHANGE_EMAIL, links.ask_new_address, UNPROVEN, answers=(200, 400)),
    Route("POST", CHANGE_EMAIL, links.take_new_address, UNPROVEN, None, SMALL,
          links.NEW_ADDRESS_FIELDS, CHANGE),
    Route("GET", "/admin", admin.show, ADMIN),
    Route("PUT", "/admin", admin.decide, ADMIN, parameters=("registration",), answers=FORM),
    Route("GET", PEOPLE, admin.people, ADMIN, parameters=LIST),
    Route("PUT", f"{PEOPLE}/<segment:user_id>", admin.verify_user, ADMIN, answers=FOUND_THEN),
    Route("GET", ALL_DOMAINS, admin.domains, ADMIN, parameters=LIST),
    Route("PUT", f"{ALL_DOMAINS}/<segment:domain_id>", admin.allow, ADMIN,
          parameters=("allowed",), answers=FOUND_THEN),
    Route("GET", "/my-account", domains.home, SIGNED_IN, answers=MOVED),
    Route("GET", LEAVE, account.ask_leave, UNPROVEN, answers=(200, 403)),
    Route("DELETE", "/my-account", account.leave, UNPROVEN, None, SMALL, account.LEAVING, CHANGE),
    Route("GET", PROFILE, account.profile, SIGNED_IN),
    Route("PUT", PROFILE, account.change, SIGNED_IN, parameters=account.CHANGES, answers=FORM),
    Route("GET", SECURITY, account.security, SIGNED_IN),
    Route("POST", SECURITY, account.sign_out_others, SIGNED_IN, answers=MOVED),
    Route("GET", account.NEW_TOKEN, account.ask_new_token, SIGNED_IN),
    Route("DELETE", SECURITY, account.new_token, SIGNED_IN, parameters=CONFIRM, answers=FORM),
    Route("GET", DOMAINS, domains.index, SIGNED_IN, parameters=LIST, answers=SEEN),
    Route("GET", f"{DOMAINS}/new", domains.ask_new, SIGNED_IN),
    Route("POST", f"{DOMAINS}/new", domains.add, SIGNED_IN, parameters=("domain",), answers=FORM),
    Route("GET", DOMAIN, domains.set_up, SIGNED_IN, answers=FOUND),
    Route("GET", f"{DOMAIN}/remove", domains.ask_remove, SIGNED_IN, answers=FOUND),
    Route("DELETE", DOMAIN, domains.remove, SIGNED_IN, parameters=CONFIRM, answers=CHANGE),
    Route("GET", f"{DOMAIN}/verify-records", domains.checked, SIGNED_IN, answers=(302, 404)),
    Route("POST", f"{DOMAIN}/verify-records", domains.verify, SIGNED_IN, answers=CHANGE),
    Route("GET", f"{DOMAIN}/zone", domains.zone, SIGNED_IN, answers=FOUND),
    Route("GET", KEY, webhooks.show, SIGNED_IN, answers=FOUND),
    Route("GET", f"{KEY}/replace", webhooks.ask_replace, SIGNED_IN, answers=FOUND),
    Route("DELETE", RESET_KEY, webhooks.replace, SIGNED_IN, parameters=CONFIRM, answers=CHANGE),
    Route("GET", ALIASES, aliases.index, SIGNED_IN, parameters=(*LIST, "to"), answers=FOUND),
    Route("POST", ALIASES, aliases.add, SIGNED_IN, None, LARGE, aliases.FIELDS, CHANGE),
    Route("GET", NEW_ALIAS, aliases.ask_new, SIGNED_IN, parameters=("name",), answers=FOUND),
    Route("POST", NEW_ALIAS, aliases.add, SIGNED_IN, None, LARGE, aliases.FIELDS, CHANGE),
    Route("GET", ALIAS, aliases.edit, SIGNED_IN, parameters=PLACE, answers=FOUND),
    Route("PUT", ALIAS, alias_acts.change, SIGNED_IN, None, LARGE, aliases.CHANGES, CHANGE),
    Route("GET", f"{ALIAS}/disable", alias_acts.ask_disable, SIGNED_IN, None, *FROM_PLACE),
    Route("GET", f"{ALIAS}/remove", alias_acts.ask_remove, SIGNED_IN, None, *FROM_PLACE),
    Route("DELETE", ALIAS, alias_acts.remove, SIGNED_IN, None, SMALL, REMOVAL, CHANGE),
    Route("POST", f"{ALIAS}/ask-recipient", aliases.ask_recipient, SIGNED_IN,
          parameters=("recipient",), answers=(*CHANGE, 429)),
    Route("GET", PASSWORD, alias_passwords.ask_password, SIGNED_IN, None, *FROM_PLACE),
    Route("GET", f"{PASSWORD}/anew", alias_passwords.ask_anew, SIGNED_IN, None, *FROM_PLACE),
    Route("POST", PASSWORD, alias_passwords.new_password, SIGNED_IN, None, SMALL, SECRETS, CHANGE),
)
# fmt: on
