"""
Every route of the API.

Two routes of the contract take 51 MB, which is theirs alone: ``POST /v1/emails`` and ``POST
/v1/messages``; a test holds the others to ``BODY_OCTETS``.
"""

from fe_mail.api import account, aliases, domains, health
from fe_mail.api.access import Access
from fe_mail.http.limits import ACCOUNTS, ACCOUNTS_PER_DAY, CHECKS, Limit
from fe_mail.http.routes import SMALL_OCTETS, Route

__all__ = ["BODY_OCTETS", "ROUTES"]

BODY_OCTETS = 1_048_576  # where a known caller makes or changes something

NOBODY, GATED, TOKEN, EITHER = Access.NOBODY, Access.GATED, Access.TOKEN, Access.TOKEN_OR_ALIAS
MADE = (200, 400)
FOUND = (200, 400, 404)
DONE = (200, 400, 404, 409)
ASKED = (*FOUND, 408)  # the DNS
MANY = (*DONE, 403)
PAGE = ("q", "name", "recipient", "sort", "page", "limit")
ACCOUNT = "/v1/account"
DOMAINS = "/v1/domains"
DOMAIN = f"{DOMAINS}/<segment:domain_id>"
ALIASES = f"{DOMAIN}/aliases"
ALIAS = f"{ALIASES}/<segment:alias_id>"
GENERATE = f"{ALIAS}/generate-password"

REGISTRATIONS = Limit(ACCOUNTS, ACCOUNTS_PER_DAY)
NEW_DOMAINS = Limit("domains", 50)
NEW_ALIASES = Limit("aliases", 300)
PASSWORDS = Limit("passwords", 300)
SMALL, BODY = SMALL_OCTETS, BODY_OCTETS

# fmt: off
ROUTES: tuple[Route[Access], ...] = (
    Route("GET", "/v1/test", health.test, NOBODY, parameters=("label",)),
    Route("POST", ACCOUNT, account.register, GATED, REGISTRATIONS, SMALL, account.NEW, MADE),
    Route("GET", ACCOUNT, account.show, EITHER),
    Route("PUT", ACCOUNT, account.change, EITHER, None, BODY, account.CHANGES, DONE),
    Route("GET", DOMAINS, domains.index, TOKEN, parameters=PAGE),
    Route("POST", DOMAINS, domains.add, TOKEN, NEW_DOMAINS, BODY, domains.NEW, MADE),
    Route("GET", DOMAIN, domains.show, TOKEN, answers=FOUND),
    Route("PUT", DOMAIN, domains.change, TOKEN, None, BODY, domains.SETTINGS, FOUND),
    Route("DELETE", DOMAIN, domains.remove, TOKEN, answers=FOUND),
    Route("GET", f"{DOMAIN}/verify-records", domains.verify, TOKEN, CHECKS, answers=ASKED),
    Route("GET", f"{DOMAIN}/verify-smtp", domains.verify_sending, TOKEN, CHECKS, answers=ASKED),
    Route("PUT", f"{DOMAIN}/allow-sending", domains.allow, TOKEN, parameters=("has_smtp",),
          answers=MANY),
    Route("GET", ALIASES, aliases.index, TOKEN, parameters=PAGE, answers=FOUND),
    Route("POST", ALIASES, aliases.add, TOKEN, NEW_ALIASES, BODY, aliases.FIELDS, FOUND),
    Route("GET", ALIAS, aliases.show, TOKEN, answers=FOUND),
    Route("PUT", ALIAS, aliases.change, TOKEN, None, BODY, aliases.FIELDS, DONE),
    Route("DELETE", ALIAS, aliases.remove, TOKEN, answers=FOUND),
    Route("POST", GENERATE, aliases.generate_password, TOKEN, PASSWORDS, SMALL,
          aliases.SECRETS, MANY),
)
# fmt: on
