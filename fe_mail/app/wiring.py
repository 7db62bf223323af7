"""
What is connected to what: the only place that chooses adapters.

``Stores`` are the ports with their adapters, ``Inside`` the services on them. The other columns of
the table in ``docs/architecture.rst`` (workers, nodes) differ from this one in ``Stores`` only.
"""

import time
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from fe_mail.accounts.address_links import AddressLinks
from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.departure import Departure
from fe_mail.accounts.domains import Domains
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.links import Links
from fe_mail.accounts.login import Login
from fe_mail.accounts.notices import MailLimits
from fe_mail.accounts.recipient_links import RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.accounts.users import Users
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.dns import MAX_CACHED, DNSResolver
from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.http_client import HTTPClient
from fe_mail.adapters.keygen import RSAKeyGenerator
from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.local_bus import LocalBus
from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.adapters.smtp_client import SMTPExchange
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.journal import SQLiteJournal, bring_in_journal
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.spool_upgrade import bring_in_spool
from fe_mail.adapters.threads import ReactorThreads
from fe_mail.adapters.vantage import HostVantage
from fe_mail.app.config import Config
from fe_mail.app.edge_table import TABLE
from fe_mail.errands import Errands
from fe_mail.model.errors import AuthenticationFailed, MailError
from fe_mail.ports import HTTPPost, Resolver, Vantage
from fe_mail.queue.intake import Intake
from fe_mail.reception.signing import OwnDomain, Signer
from fe_mail.reception.spooling import HoldReason
from fe_mail.reception.system_mail import SystemMailer
from fe_mail.web.i18n import Catalogs

__all__ = ["Inside", "Pretended", "Stores", "make_site"]

# Few: threads take turns with the reactor, and waiting for each other costs more than queueing.
DATABASE_THREADS = 3
MAILBOX_THREADS = 4
SPOOL_THREADS = 4
COSTLY_THREADS = 2  # hashing and key derivation: a storm of logins waits here, mail does not
COSTLY_WAITING = 200


class Stores:
    """The ports, on one machine: SQLite, files, sockets below one directory, and memory."""

    def __init__(self, reactor: Any, config: Config) -> None:
        data = config.data_path
        self._databases = ReactorThreads(reactor, DATABASE_THREADS, "databases")
        self._mailboxes = ReactorThreads(reactor, MAILBOX_THREADS, "mailboxes")
        self._spool = ReactorThreads(reactor, SPOOL_THREADS, "spool")
        self._costly = ReactorThreads(reactor, COSTLY_THREADS, "costly", COSTLY_WAITING)
        self._data = data
        self.keyring = ServerKeyring(config.keys.helper.encode(), self._costly)
        self.keygen = RSAKeyGenerator(self._costly)
        self.bus = LocalBus(reactor, reactor, data / "bus")
        self.cache = MemoryCache(reactor)
        self.accounts = SQLiteAccountStore(data / "accounts.sqlite", self._databases, reactor)
        counting = Database(
            data / "counters.sqlite",
            "counters",
            self._databases,
            key=self.keyring.mac(b"counters", "database"),  # the names of counters name networks
            is_synced=False,
        )
        self.counters = SQLiteCounters(counting, reactor)
        self.leases = SQLiteLeases(counting, time.monotonic)  # one clock for all processes
        # The queue holds Message-IDs, a header field of mail that may be secret.
        queue_key = self.keyring.mac(b"queue", "database")
        self.blobs = FileBlobs(data / "spool", self.keyring.mac(b"spool", "blobs"), self._spool)
        self.queue = SQLiteQueue(
            data / "queue.sqlite",
            self._databases,
            self.blobs,
            steady=time.monotonic,
            boot_id=boot_id(),
            key=queue_key,
        )
        self.journal = SQLiteJournal(self.queue.database)
        self.mailboxes = SQLiteMailboxStore(
            data / "mailboxes",
            self.bus,
            self._mailboxes,
            reactor,
            key=self.keyring.mac(b"mailboxes", "delivery ids"),
        )
        self.run = self._spool.run
        self.run_costly = self._costly.run

    async def start(self) -> None:
        """Open everything; ``MailError`` says what cannot be opened."""
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("accounts", "blobs", "queue", "mailboxes", "counters"):
            try:
                await getattr(self, name).start()
            except MailError as error:
                reason = error.message
                if isinstance(error, AuthenticationFailed):
                    reason = "HELPER_ENCRYPTION_KEY is not the one that it was made with."
                error.message = f"The store of {name} cannot be opened: {reason}"
                raise
        await self._bring_in_spool()
        await bring_in_journal(self.accounts.database, self.queue.database)
        await self.bus.start()

    async def _bring_in_spool(self) -> None:
        """Small bodies had a file of their own in version 0.1."""
        path, key = self._data / "spool.sqlite", self.keyring.mac(b"spool", "database")
        await bring_in_spool(self.queue.database, path, key, self._databases)

    async def stop(self) -> None:
        """Finish and close, in the order in which they need each other."""
        stores = (self.mailboxes, self.queue, self.blobs, self.accounts, self.counters)
        for store in (*stores, self.bus, self.cache):
            await store.stop()
        for threads in (self._mailboxes, self._spool, self._databases, self._costly):
            await threads.stop()


@attrs.frozen
class Pretended:
    """What demo mode has instead of the network."""

    resolver: Resolver
    vantage: Vantage


class Inside:
    """The services: what listeners, the command line and jobs ask."""

    log = Logger()

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
        self.stores = stores = stores or Stores(reactor, config)
        names = config.names
        resolver = pretended.resolver if pretended else None
        vantage = pretended.vantage if pretended else None
        self.resolver: Resolver = resolver or _resolver(reactor, config)
        self.site = make_site(config, is_demo=pretended is not None)
        accounts, keyring = stores.accounts, stores.keyring
        self.errands = Errands(reactor)
        self.failed_logins = FailedLogins(stores.journal, self.errands, reactor)
        self.login = Login(
            accounts, keyring, stores.counters, reactor, self.failed_logins, self.errands
        )
        self.router = Router(
            accounts,
            max_forwarded=config.limits.forwarded,
            own_hosts=(names.mx_host, names.smtp_host),
        )
        self.users = Users(
            accounts,
            keyring,
            stores.counters,
            reactor,
            self.failed_logins,
            run=stores.run_costly,
        )
        self.domains = Domains(
            accounts,
            keyring,
            resolver or _resolver(reactor, config, max_cached=0),
            stores.mailboxes,
            reactor,
            self.site,
            stores.keygen,
            stores.bus,
            vantage or HostVantage(reactor, config.operation.server_addresses),
        )
        self.intake = Intake(stores.queue, stores.bus)
        self.signer = Signer(keyring, reactor, stores.run)
        self.own_domain = OwnDomain(names.domain, accounts, self.signer)
        self.catalogs = Catalogs()
        self._write_to_people(hold)
        self.aliases = Aliases(
            accounts,
            keyring,
            stores.mailboxes,
            stores.bus,
            reactor,
            self.site,
            run=stores.run_costly,
            ask_recipients=self.recipient_links.ask_new,
        )
        self.aftermath = Aftermath(accounts, stores.mailboxes, stores.bus)
        self.webhook_keys = WebhookKeys(accounts, keyring, reactor)
        self.departure = Departure(accounts, self.users, stores.mailboxes, stores.bus)
        self.exchange = SMTPExchange(reactor, hostname=names.mx_host)

    def _write_to_people(self, hold: HoldReason | None) -> None:
        """What the server mails by itself; ``hold`` keeps what would leave a demo."""
        stores, names, clock = self.stores, self.config.names, self.clock
        accounts, keyring = stores.accounts, stores.keyring
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

    async def start(self) -> None:
        """Open the stores."""
        await self.stores.start()

    async def stop(self) -> None:
        """Close the stores."""
        await self.stores.stop()

    def http_client(self, *, allow_private: bool = False) -> HTTPPost:
        """For URLs that users chose: it goes to public addresses only, unless allowed."""
        return HTTPClient(self.clock, self.resolver, allow_private=allow_private)


def _resolver(reactor: Any, config: Config, max_cached: int = MAX_CACHED) -> DNSResolver:
    servers = []
    for word in config.operation.dns_servers:
        host, _, port = word.rpartition("#") if "#" in word else (word, "", "53")
        servers.append((host, int(port)))
    return DNSResolver(reactor, servers=servers, max_cached=max_cached)


def boot_id() -> str:
    """Which start of the machine this is; the clock of leases began with it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def make_site(config: Config, *, is_demo: bool = False) -> Site:
    """What the accounts know of this server."""
    names = config.names
    return Site(
        hostname=names.mx_host,
        exchange_domains=names.exchange_domains,
        web_host=names.web_host,
        hosts=_served_hosts(config),
        is_demo=is_demo,
        default_quota_octets=config.limits.quota_octets,
        max_forwarded=config.limits.forwarded,
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
