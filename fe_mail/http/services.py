"""The services behind the web UI and the API, as one value to hand around."""

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.address_links import AddressLinks
from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.departure import Departure
from fe_mail.accounts.domains import Domains
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.login import Login
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.recipient_links import RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.stakes import Stakes
from fe_mail.accounts.users import Users
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.ports import AliasStore, Counters

__all__ = ["Services"]


@attrs.frozen(kw_only=True)
class Services:
    """Everything that pages and endpoints ask."""

    users: Users
    domains: Domains
    aliases: Aliases
    departure: Departure
    login: Login
    failed_logins: FailedLogins
    address_links: AddressLinks
    recipient_links: RecipientLinks
    router: Router
    prospects: Prospects
    webhook_keys: WebhookKeys
    stakes: Stakes
    accounts: AliasStore
    counters: Counters
    clock: IReactorTime
