"""
What is connected to what: the only place that chooses adapters.

``Stores`` are the ports with their adapters, ``Inside`` the services on them. The other columns of
the table in ``docs/architecture.rst`` (workers, nodes) differ from this one in ``Stores`` only.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
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
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.recipient_links import RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.sending_requests import SendingRequests
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.accounts.stakes import Stakes
from fe_mail.accounts.users import Users
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.dns import MAX_CACHED, DNSResolver
from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.http_client import HTTPClient
from fe_mail.adapters.keygen import RSAKeyGenerator
from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.local_bus import LocalBus
from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.adapters.opening import Opening
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
from fe_mail.adapters.troubles import Troubles
from fe_mail.adapters.vantage import HostVantage
from fe_mail.app.config import Config
from fe_mail.app.edge_table import TABLE
from fe_mail.app.manifest import OF_THE_KEY, STORES, Inventory, Manifest
from fe_mail.errands import Errands
from fe_mail.mailauth.srs import SRS
from fe_mail.model.errors import AuthenticationFailed, MailError, NoSpace, Unavailable
from fe_mail.model.ids import AliasId
from fe_mail.model.web import Reach
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
KEY_MARK_OCTETS = 8


class Stores:
    """The ports, on one machine: SQLite, files, sockets below one directory, and memory."""

    log = Logger()

    def __init__(self, reactor: Any, config: Config) -> None:
        data = config.data_path
        self.troubles = Troubles(reactor.seconds)
        watch = self.troubles.watch
        self._databases = ReactorThreads(reactor, DATABASE_THREADS, "databases")
        self._mailboxes = ReactorThreads(reactor, MAILBOX_THREADS, "mailboxes")
        self._spool = ReactorThreads(reactor, SPOOL_THREADS, "spool")
        self._costly = ReactorThreads(reactor, COSTLY_THREADS, "costly", COSTLY_WAITING)
        self._data = data
        self.closed: frozenset[str] = frozenset()  # by ``look``
        self.keyring = ServerKeyring(config.keys.helper.encode(), self._costly)
        key_mark = self.keyring.mac(b"key", "manifest")[:KEY_MARK_OCTETS].hex()
        self.inventory = Inventory(config.directory, data, key_mark)
        self.keygen = RSAKeyGenerator(self._costly)
        self.bus = LocalBus(reactor, reactor, data / "bus")
        self.cache = MemoryCache(reactor)
        place = self.inventory.path_of
        self.accounts = SQLiteAccountStore(
            place("accounts"), self._databases, reactor, watch=watch("accounts", place("accounts"))
        )
        counting = Database(
            place("counters"),
            "counters",
            self._databases,
            key=self.keyring.mac(b"counters", "database"),  # the names of counters name networks
            is_synced=False,
            watch=watch("counters", place("counters")),
        )
        self.counters = SQLiteCounters(counting, reactor)
        self.leases = SQLiteLeases(counting, time.monotonic)  # one clock for all processes
        # The queue holds Message-IDs, a header field of mail that may be secret.
        queue_key = self.keyring.mac(b"queue", "database")
        self.blobs = FileBlobs(
            place("spool"), self.keyring.mac(b"spool", "blobs"), self._spool, self.troubles
        )
        self.queue = SQLiteQueue(
            place("queue"),
            self._databases,
            self.blobs,
            steady=time.monotonic,
            boot_id=boot_id(),
            key=queue_key,
            watch=watch("queue", place("queue")),
        )
        self.journal = SQLiteJournal(self.queue.database)
        self.mailboxes = SQLiteMailboxStore(
            place("mailboxes"),
            self.bus,
            self._mailboxes,
            reactor,
            key=self.keyring.mac(b"mailboxes", "delivery ids"),
            troubles=self.troubles,
        )
        self._counting = counting
        self._encrypted = (counting, self.queue.database)
        self.run = self._spool.run
        self.run_costly = self._costly.run

    async def start(self) -> None:
        """Open everything; ``MailError`` says what cannot be opened."""
        how = await self.take_stock()
        for name, opening in how.items():
            await self._open(name, opening, how)
        await self._bring_in_spool()
        await bring_in_journal(self.accounts.database, self.queue.database)
        await self.run(self.inventory.complete)
        await self.bus.start()

    async def take_stock(self) -> dict[str, Opening]:
        """How to open each store. ``MailError``: not before somebody has done something."""
        try:
            how = await self.run(self.inventory.begin)
        except OSError as error:
            raise Unavailable(
                f"{error.filename or self._data} cannot be used: {error.strerror}."
            ) from error
        self.trust_the_key(await self.run(self.inventory.find))
        return how

    def trust_the_key(self, manifest: Manifest | None) -> None:
        """If it is the one of the manifest, then what it does not open is damaged."""
        for database in self._encrypted:
            database.is_key_proven = manifest is not None and bool(manifest.key_mark)

    async def _open(self, name: str, opening: Opening, how: Mapping[str, Opening]) -> None:
        """``MailError`` with the store, its file and the next step."""
        try:
            if name == "mailboxes":
                await self.mailboxes.start(opening, how["sealed"])
            elif name != "sealed":
                await self._stores()[name].start(opening)
        except MailError as error:
            error.message = f"The store of {name} cannot be opened: {self._reason(name, error)}"
            raise

    def probes(self) -> tuple[tuple[str, Callable[[], Awaitable[object]]], ...]:
        """By store, what reads from and writes a little to each file that mail needs."""
        return (
            ("accounts", self.accounts.is_owned),
            ("queue", partial(self.queue.next_due, 0.0)),
            ("sealed", partial(self.mailboxes.used_octets, AliasId("none"))),
            ("accounts", self.accounts.database.probe),
            ("queue", self.queue.database.probe),
            ("spool", self.blobs.probe),
            ("sealed", self.mailboxes.probe),
            ("counters", self._counting.probe),
        )

    async def look(self) -> list[str]:
        """
        Open what is there for looking only, and say what is not; ``closed`` has the others.

        Nothing is made or written, and what an older fe-mail wrote is upgraded in a copy.
        """
        problems: list[str] = []
        self.closed = frozenset(STORES)
        try:
            manifest = await self.run(self.inventory.find)
            present = await self.run(self.inventory.present)
        except MailError as error:
            return [f"manifest: {error.message}"]
        if manifest is None and not present:
            return [f"{self._data} has no stores: is this the directory of a server?"]
        try:
            known = manifest or self.inventory.of_what_is_there()
            self.inventory.check_key(known)
        except MailError as error:
            problems.append(f"keys: {error.message}")
            return problems + await self._look_at_all({*STORES} - {*OF_THE_KEY}, known, present)
        self.trust_the_key(manifest)
        return problems + await self._look_at_all({*STORES}, known, present)

    async def _look_at_all(
        self, names: Collection[str], known: Manifest, present: Collection[str]
    ) -> list[str]:
        if not present:
            return [f"stores: {self.inventory.missing_text(known.must_be_there())}"]
        problems = []
        for name in STORES:
            if name in names and (name in present or name in known.must_be_there()):
                problems += await self._look_at(name, present)
        return problems

    def was_overtaken(self) -> bool:
        """Did somebody write what we took for files at rest?"""
        files = (self.inventory.path_of(name) for name in STORES)
        return any(path.with_name(f"{path.name}-wal").exists() for path in files)

    async def stop_looking(self) -> None:
        """Close what ``look`` has opened; it may be called again."""
        for store in (self.mailboxes, self.queue, self.accounts, self.counters):
            await store.stop()

    async def _look_at(self, name: str, present: Collection[str]) -> list[str]:
        if name not in present:
            return [f"{name}: {self.inventory.missing_text([name])}"]
        try:
            if name == "sealed":
                await self.mailboxes.start(Opening.LOOK)
            elif name != "mailboxes":
                await self._stores()[name].start(Opening.LOOK)
        except MailError as error:
            return [f"{name}: {self._reason(name, error)}"]
        self.closed -= {name}
        return await self._bodies_of_old() if name == "queue" else []

    async def _bodies_of_old(self) -> list[str]:
        """Into the copy of a queue of version 0.1, whose bodies it would miss."""
        try:
            await self._bring_in_spool(Opening.LOOK)
        except NoSpace:  # it is no copy: it was upgraded already
            return ["queue: its upgrade was interrupted; the next start goes on with it."]
        except MailError as error:
            return [f"queue: {self._data / 'spool.sqlite'}: {error.message}"]
        return []

    def _stores(self) -> dict[str, Any]:
        """By the names of the manifest."""
        return {
            "accounts": self.accounts,
            "spool": self.blobs,
            "queue": self.queue,
            "mailboxes": self.mailboxes,
            "counters": self.counters,
        }

    def _reason(self, name: str, error: MailError) -> str:
        if isinstance(error, AuthenticationFailed):
            return (
                f"HELPER_ENCRYPTION_KEY does not open {self.inventory.path_of(name)}. Either it is "
                "not the one that the file was made with, or the file is damaged. Put the old key "
                f"back into .env, restore the file from a backup, or begin anew: "
                f"fe-mail begin-anew {name}"
            )
        known = [each for each in self.troubles.current() if each.store in (name, "sealed")]
        return known[-1].text if known else error.message

    async def _bring_in_spool(self, opening: Opening = Opening.NEW) -> None:
        """Small bodies had a file of their own in version 0.1."""
        path, key = self._data / "spool.sqlite", self.keyring.mac(b"spool", "database")
        await bring_in_spool(self.queue.database, path, key, self._databases, opening)

    async def stop(self) -> None:
        """Finish and close, in the order in which they need each other."""
        stores = (self.mailboxes, self.queue, self.blobs, self.accounts, self.counters)
        for store in (*stores, self.bus, self.cache):
            try:
                await store.stop()
            except MailError:
                self.log.failure("a store did not stop in order")
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
        self.srs = SRS([secret.encode() for secret in config.keys.srs], names.web_host)
        self.errands = Errands(reactor)
        self.failed_logins = FailedLogins(stores.journal, self.errands, reactor)
        self.login = Login(
            accounts, keyring, stores.counters, reactor, self.failed_logins, self.errands
        )
        self.router = Router(
            accounts,
            max_forwarded=config.limits.forwarded,
            own_hosts=(names.mx_host, names.smtp_host),
            srs=self.srs,
            clock=reactor,
        )
        self.prospects = Prospects(accounts, self.router)
        self.users = Users(
            accounts,
            keyring,
            stores.counters,
            reactor,
            self.failed_logins,
            run=stores.run_costly,
        )
        self.intake = Intake(stores.queue, stores.bus)
        self.signer = Signer(keyring, reactor, stores.run)
        self.own_domain = OwnDomain(names.domain, accounts, self.signer)
        self.catalogs = Catalogs()
        self._write_to_people(hold)
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
            ask_to_send=self.sending_requests.ask,
        )
        self.aliases = Aliases(
            accounts,
            keyring,
            stores.mailboxes,
            stores.bus,
            reactor,
            self.site,
            router=self.router,
            run=stores.run_costly,
            ask_recipients=self.recipient_links.ask_new,
        )
        self.aftermath = Aftermath(accounts, stores.mailboxes, stores.bus)
        self.stakes = Stakes(accounts, stores.mailboxes)
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
        self.sending_requests = SendingRequests(accounts, mailer, stores.counters, **place)

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
        webhooks=Reach(
            ports=config.webhooks.ports,
            networks=config.webhooks.networks,
            own_addresses=config.operation.server_addresses,
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
