"""
What is connected to what: the services on the stores, and the adapters that reach the network.

Only here and in ``stores`` are adapters chosen.
"""

from collections.abc import Sequence
from typing import Any

import attrs

from fe_mail.accounts.address_links import AddressLinks
from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.departure import Departure
from fe_mail.accounts.domains import Domains
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.links import Links
from fe_mail.accounts.login import Login
from fe_mail.accounts.notices import MailLimits
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.recipient_links import RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.sending_requests import SendingRequests
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.accounts.stakes import Stakes
from fe_mail.accounts.users import Users
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.dns import MAX_CACHED, DNSResolver
from fe_mail.adapters.http_client import HTTPClient
from fe_mail.adapters.smtp_client import SMTPExchange
from fe_mail.adapters.vantage import HostVantage
from fe_mail.app.config import Config
from fe_mail.app.edge_table import TABLE
from fe_mail.app.stores import Stores
from fe_mail.errands import Errands
from fe_mail.mailauth.srs import SRS
from fe_mail.model.web import Reach
from fe_mail.ports import HTTPPost, Resolver, Vantage
from fe_mail.queue.intake import Intake
from fe_mail.reception.signing import OwnDomain, Signer
from fe_mail.reception.spooling import HoldReason
from fe_mail.reception.system_mail import SystemMailer
from fe_mail.web.i18n import Catalogs

__all__ = ["Inside", "Pretended", "make_site"]


@attrs.frozen
class Pretended:
    """What demo mode has instead of the network."""

    resolver: Resolver
    vantage: Vantage


class Inside:
    """The services: what listeners, the command line and jobs ask."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        stores: Stores | None = None,
        pretended: Pretended | None = None,
        hold: HoldReason | None = None,
    ) -> None:
        self.config = config
        self.clock = reactor
        self.stores = stores or Stores(reactor, config)
        resolver = pretended.resolver if pretended else None
        configured = config.operation.server_addresses
        vantage = pretended.vantage if pretended else HostVantage(reactor, configured)
        self.resolver: Resolver = resolver or _resolver(reactor, config)
        self.exchange = SMTPExchange(reactor, hostname=config.names.mx_host)
        self.site = make_site(config, vantage.addresses().known, is_demo=pretended is not None)
        self._know_people()
        self._know_ways()
        self._write_to_people(hold)
        self._keep_domains(resolver or _resolver(reactor, config, max_cached=0), vantage)

    def _know_people(self) -> None:
        """Who signs in, to mail and to the web."""
        stores, clock = self.stores, self.clock
        accounts, keyring, counters = stores.accounts, stores.keyring, stores.counters
        self.errands = Errands(clock)
        failed = self.failed_logins = FailedLogins(stores.journal, self.errands, clock)
        self.login = Login(accounts, keyring, counters, clock, failed, self.errands)
        self.users = Users(accounts, keyring, counters, clock, failed, run=stores.run_costly)
        self.departure = Departure(accounts, self.users, stores.mailboxes, stores.bus)

    def _know_ways(self) -> None:
        """Where mail goes."""
        stores, names = self.stores, self.config.names
        self.srs = SRS([secret.encode() for secret in self.config.keys.srs], names.web_host)
        self.router = Router(
            stores.accounts,
            max_forwarded=self.config.limits.forwarded,
            own_hosts=(names.mx_host, names.smtp_host),
            srs=self.srs,
            clock=self.clock,
        )
        self.prospects = Prospects(stores.accounts, self.router)
        self.intake = Intake(stores.queue, stores.bus)
        self.signer = Signer(stores.keyring, self.clock, stores.run)
        self.own_domain = OwnDomain(names.domain, stores.accounts, self.signer)

    def _write_to_people(self, hold: HoldReason | None) -> None:
        """What the server mails by itself; ``hold`` keeps what would leave a demo."""
        stores, names, clock = self.stores, self.config.names, self.clock
        accounts, keyring = stores.accounts, stores.keyring
        self.catalogs = Catalogs()
        mailer = SystemMailer(
            self.router,
            self.intake,
            self.own_domain,
            clock,
            self.catalogs.text,
            hostname=names.mx_host,
            name=names.app_name,
            hold=hold,
        )
        links = Links(keyring, clock)
        limits = MailLimits(stores.counters, keyring)
        place = {"url": self.config.web.url.rstrip("/"), "name": names.app_name}
        self.address_links = AddressLinks(
            accounts, self.users, keyring, links, mailer, limits, self.errands, **place
        )
        self.recipient_links = RecipientLinks(
            accounts, stores.counters, keyring, links, mailer, limits, clock, **place
        )
        self.sending_requests = SendingRequests(accounts, mailer, stores.counters, **place)

    def _keep_domains(self, resolver: Resolver, vantage: Vantage) -> None:
        """Domains and aliases. What is checked in the DNS is asked anew: ``resolver``."""
        stores, clock = self.stores, self.clock
        accounts, keyring = stores.accounts, stores.keyring
        self.domains = Domains(
            accounts,
            keyring,
            resolver,
            stores.mailboxes,
            clock,
            self.site,
            stores.keygen,
            stores.bus,
            vantage,
            ask_to_send=self.sending_requests.ask,
        )
        self.aliases = Aliases(
            accounts,
            keyring,
            stores.mailboxes,
            stores.bus,
            clock,
            self.site,
            router=self.router,
            run=stores.run_costly,
            ask_recipients=self.recipient_links.ask_new,
        )
        self.aftermath = Aftermath(accounts, stores.mailboxes, stores.bus)
        self.stakes = Stakes(accounts, stores.mailboxes)
        self.webhook_keys = WebhookKeys(accounts, keyring, clock)

    async def start(self) -> None:
        """Open the stores."""
        await self.stores.start()

    async def stop(self) -> None:
        """Close the stores."""
        await self.stores.stop()

    def http_client(self) -> HTTPPost:
        """For URLs that users chose."""
        return HTTPClient(self.clock, self.resolver, reach=self.site.webhooks)


def _resolver(reactor: Any, config: Config, max_cached: int = MAX_CACHED) -> DNSResolver:
    servers = []
    for word in config.operation.dns_servers:
        host, _, port = word.rpartition("#") if "#" in word else (word, "", "53")
        servers.append((host, int(port)))
    return DNSResolver(reactor, servers=servers, max_cached=max_cached)


def make_site(config: Config, own_addresses: Sequence[str] = (), *, is_demo: bool = False) -> Site:
    """What the accounts know of this server, which has these addresses as it starts."""
    names = config.names
    return Site(
        hostname=names.mx_host,
        exchange_domains=names.exchange_domains,
        web_host=names.web_host,
        hosts=_served_hosts(config),
        is_demo=is_demo,
        default_quota_octets=config.limits.quota_octets,
        max_forwarded=config.limits.forwarded,
        webhooks=Reach(
            ports=config.webhooks.ports,
            networks=config.webhooks.networks,
            own_addresses=own_addresses,
            own_hosts=(names.mx_host,),
        ),
    )


def _served_hosts(config: Config) -> tuple[ServerHost, ...]:
    """The host names of the roles that listen."""
    services: dict[str, list[str]] = {}
    for role in TABLE:
        name = getattr(config.names, f"{role.name}_host", "")
        is_served = any(
            config.listen.port(edge.name) or config.listen.endpoints(edge.name)
            for edge in role.edges
        )
        if name and is_served:
            services.setdefault(name, []).append(role.name)
    return tuple(ServerHost(name, tuple(does)) for name, does in services.items())
