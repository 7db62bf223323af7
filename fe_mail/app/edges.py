"""
The roles of a process on the inside: factories for its listeners, the queue's runner, the jobs.
"""

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import attrs
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger

from fe_mail.api.site import create_api_resource
from fe_mail.app.config import Config
from fe_mail.app.demo import hold_reason
from fe_mail.app.edge_table import TABLE, Edge, edges
from fe_mail.app.single import Company
from fe_mail.app.wiring import Inside
from fe_mail.budget import Budget
from fe_mail.connection.registry import Limits
from fe_mail.delivery.courier import Courier
from fe_mail.delivery.forward import ForwardCourier
from fe_mail.delivery.local import LocalCourier
from fe_mail.delivery.remote import RemoteCourier
from fe_mail.delivery.webhook import WebhookCourier
from fe_mail.http.body import Room
from fe_mail.http.gate import Gate
from fe_mail.http.proxies import Proxies
from fe_mail.http.services import Services
from fe_mail.http.site import LIMITS, PROXIED_LIMITS, HTTPSite, Switch
from fe_mail.http.work import Work
from fe_mail.imap.factory import IMAPFactory
from fe_mail.jobs.runner import JobRunner
from fe_mail.jobs.table import job_table
from fe_mail.pop3.factory import POP3Factory
from fe_mail.queue.runner import QueueRunner
from fe_mail.reception.bounces import Bounces
from fe_mail.reception.checks import check_table
from fe_mail.reception.harvesting import Harvesting
from fe_mail.reception.inbound import InboundReception
from fe_mail.reception.rooms import Rooms
from fe_mail.reception.submission import SubmissionReception
from fe_mail.smtp.mx import LIMITS as MX_LIMITS
from fe_mail.smtp.mx import MXFactory
from fe_mail.smtp.submission import SubmissionFactory
from fe_mail.web.clients import ClientSettings, Server
from fe_mail.web.site import create_web_resource

__all__ = ["MAKERS", "Edges"]

DEMO_MX_LIMITS = attrs.evolve(MX_LIMITS, per_address=200)  # everybody has the same address


class Edges:
    """``factories`` by the listener's name, ``runner`` and ``jobs`` if their roles are chosen."""

    log = Logger()

    def __init__(
        self,
        inside: Inside,
        roles: tuple[str, ...],
        tls: IOpenSSLServerConnectionCreator,
        demo: bool,
    ) -> None:
        self.inside = inside
        self._config: Config = inside.config
        self._tls = tls
        self._demo = demo
        self._proxies = Proxies(self._config.web.trusted_proxies)
        self.memory = Budget()
        self._room = Room(self.inside.stores.run, self.memory)
        self._runners = Company(self._config.data_path / "queue.runner")
        self.factories: dict[str, Any] = self._factories(roles)
        self.runner = self._runner() if "smtp-bree" in roles else None
        self.jobs = self._jobs() if "bree" in roles else None

    @property
    def tls_names(self) -> frozenset[str]:
        """The listeners whose connections begin with a TLS handshake."""
        return frozenset(edge.name for edge in edges() if self._begins_with_tls(edge))

    def _begins_with_tls(self, edge: Edge) -> bool:
        return edge.begins_with_tls(self._config.listen.port(edge.name), demo=self._demo)

    async def start(self) -> None:
        """Begin to deliver and to keep order."""
        if self.runner:
            await self._recover()
            await self.runner.start()
            self.inside.intake.attach(self.runner)
        if self.jobs:
            self.jobs.start()

    async def _recover(self) -> None:
        """The only runner need not wait for the leases of one that was killed."""
        run, queue = self.inside.stores.run, self.inside.stores.queue
        if await run(self._runners.join):
            ended = await queue.end_leases()
            if ended:
                self.log.info("{count} deliveries were under way and begin again.", count=ended)
        await run(self._runners.share)

    async def stop(self) -> None:
        """Deliver nothing more; what runs finishes."""
        if self.jobs:
            await self.jobs.stop()
        if self.runner:
            self.inside.intake.attach(None)
            await self.runner.stop()
            self._runners.leave()

    # Mail ---------------------------------------------------------------------------------------

    def _factories(self, roles: tuple[str, ...]) -> dict[str, Any]:
        factories: dict[str, Any] = {}
        for role in TABLE:
            if role.edges and role.name in roles:
                factories.update(MAKERS[role.name](self))
        return factories

    def _count_rule(self, name: str) -> None:
        """Each rule has its own counter in /metrics."""
        self.log.debug("The rule {outcome} acted.", metric="rule", outcome=name)

    def _mx(self) -> Mapping[str, Any]:
        inside, stores, limits = self.inside, self.inside.stores, self._config.limits
        reception = InboundReception(
            inside.router,
            inside.intake,
            Rooms(stores.mailboxes, stores.queue, inside.clock),
            Harvesting(stores.counters, stores.cache),
            stores.cache,
            inside.clock,
            hostname=self._config.names.mx_host,
            count=self._count_rule,
            checks=check_table(inside.resolver),
            trusted=self._config.listen.proxy_networks,
            own_names=self._config.names.trusted,
            hold=hold_reason if self._demo else None,
            memory=self.memory,
        )
        factory = MXFactory(
            reception,
            hostname=self._config.names.mx_host,
            clock=inside.clock,
            tls=self._tls,
            max_size_octets=limits.message_octets,
            max_recipients=limits.recipients,
            limits=DEMO_MX_LIMITS if self._demo else MX_LIMITS,
        )
        return {"mx": factory}

    def _smtp(self) -> Mapping[str, Any]:
        inside, stores, limits = self.inside, self.inside.stores, self._config.limits
        reception = SubmissionReception(
            inside.router,
            stores.accounts,
            inside.intake,
            stores.counters,
            inside.signer,
            inside.clock,
            hostname=self._config.names.mx_host,
            own_names=self._config.names.trusted,
            run=stores.run,
            count=self._count_rule,
            hold=hold_reason if self._demo else None,
            loopback=self._demo,
            daily_messages=limits.outbound_daily,
            max_recipients=limits.recipients,
            memory=self.memory,
        )
        factory = SubmissionFactory(
            reception,
            inside.login,
            hostname=self._config.names.smtp_host,
            clock=inside.clock,
            tls=self._tls,
            bus=stores.bus,
            max_size_octets=limits.message_octets,
            max_recipients=limits.recipients,
        )
        return {"smtp": factory, "submission": factory}

    def _imap(self) -> Mapping[str, Any]:
        inside, stores = self.inside, self.inside.stores
        factory = IMAPFactory(
            inside.login,
            stores.mailboxes,
            stores.bus,
            hostname=self._config.names.imap_host,
            clock=inside.clock,
            tls=self._tls,
        )
        return {"imap": factory, "imaps": factory}

    def _pop3(self) -> Mapping[str, Any]:
        inside, stores = self.inside, self.inside.stores
        factory = POP3Factory(
            inside.login,
            stores.mailboxes,
            hostname=self._config.names.pop3_host,
            clock=inside.clock,
            tls=self._tls,
            bus=stores.bus,
        )
        return {"pop3": factory, "pop3s": factory}

    # HTTP ---------------------------------------------------------------------------------------

    def _services(self) -> Services:
        inside, stores = self.inside, self.inside.stores
        return Services(
            users=inside.users,
            domains=inside.domains,
            aliases=inside.aliases,
            departure=inside.departure,
            login=inside.login,
            failed_logins=inside.failed_logins,
            address_links=inside.address_links,
            recipient_links=inside.recipient_links,
            router=inside.router,
            prospects=inside.prospects,
            webhook_keys=inside.webhook_keys,
            stakes=inside.stakes,
            accounts=stores.accounts,
            counters=stores.counters,
            clock=inside.clock,
        )

    def _web_resource(self, work: Work) -> Any:
        return create_web_resource(
            self._services(),
            web_url=self._config.web.url,
            clients=self.client_settings(),
            work=work,
            gate=self._gate(),
            proxies=self._proxies,
            default_quota_octets=self._config.limits.quota_octets,
            app_name=self._config.names.app_name,
            domain="" if self._demo else self._config.names.domain,
            catalogs=self.inside.catalogs,
        )

    def _gate(self) -> Gate | None:
        web = self._config.web
        if not web.auth_basic_enabled:
            return None
        return Gate(
            username=web.auth_basic_username,
            password=web.auth_basic_password,
            always=web.auth_basic_always,
        )

    def _api_resource(self, work: Work) -> Any:
        return create_api_resource(
            self._services(),
            web_url=self._config.web.url,
            api_url=self._config.web.api_url,
            mail_host=self._config.names.domain,
            work=work,
            gate=self._gate(),
            proxies=self._proxies,
            default_quota_octets=self._config.limits.quota_octets,
            default_recipients=self._config.limits.forwarded,
            translate=self.inside.catalogs.negotiated,
        )

    def _web(self) -> Mapping[str, Any]:
        work = Work()
        web = self._web_resource(work)
        both = Switch(web, self._api_resource(work), frozenset({self._config.names.api_host}))
        return {
            "web": self._site(web, work, PROXIED_LIMITS),
            "https": self._site(both, work, LIMITS),
        }

    def _api(self) -> Mapping[str, Any]:
        work = Work()
        return {"api": self._site(self._api_resource(work), work, PROXIED_LIMITS)}

    def _site(self, resource: Any, work: Work, limits: Limits) -> HTTPSite:
        return HTTPSite(
            resource,
            clock=self.inside.clock,
            room=self._room,
            work=work,
            limits=limits,
            proxies=self._proxies,
        )

    def client_settings(self) -> ClientSettings:
        """What people are told to type into a mail program."""
        found = []
        for edge in edges():
            port = self._config.listen.port(edge.name)
            if edge.client is not None and port:
                host = "localhost" if self._demo else getattr(self._config.names, edge.client.host)
                security = "TLS" if self._begins_with_tls(edge) else "STARTTLS"
                row = (edge.client.protocol, Server(host, port, security))
                found.append((edge.client.place, row))
        return ClientSettings(tuple(row for _, row in sorted(found, key=lambda each: each[0])))

    # Workers ------------------------------------------------------------------------------------

    def _runner(self) -> QueueRunner:
        inside, stores = self.inside, self.inside.stores
        bounces = Bounces(
            inside.router,
            stores.queue,
            inside.intake,
            inside.own_domain,
            inside.clock,
            hostname=self._config.names.mx_host,
        )
        return QueueRunner(stores.queue, self.couriers(), bounces, stores.bus, inside.clock)

    def couriers(self) -> dict[str, Courier]:
        """By the names that targets give them."""
        inside, stores, site = self.inside, self.inside.stores, self.inside.site
        remote: Courier = RemoteCourier(
            inside.resolver,
            inside.exchange,
            stores.queue,
            inside.clock,
            own_hosts=() if self._demo else site.exchange_domains,
            own_addresses=() if self._demo else site.webhooks.own_addresses,
            port=self._config.listen.port("mx") if self._demo else 25,
            run=stores.run,
            allow_private=self._demo,
        )
        webhook = WebhookCourier(
            stores.accounts,
            stores.queue,
            inside.http_client(),
            inside.webhook_keys,
            inside.clock,
            stores.run,
            stores.journal,
            hostname=self._config.names.mx_host,
            version=version("fe-mail"),
        )
        return {
            "local": LocalCourier(stores.accounts, stores.mailboxes, stores.queue, stores.run),
            "remote": remote,
            "forward": ForwardCourier(remote, inside.srs, inside.clock),
            "webhook": webhook,
        }

    def _jobs(self) -> JobRunner:
        inside, stores = self.inside, self.inside.stores
        table = job_table(
            accounts=stores.accounts,
            journal=stores.journal,
            mailboxes=stores.mailboxes,
            queue=stores.queue,
            aftermath=inside.aftermath,
            site=inside.site,
            verify=inside.domains.recheck,
            ask_recipients=inside.recipient_links.ask_held_back,
            now=inside.clock.seconds,
            log_retention_seconds=self._config.storage.log_retention_seconds,
        )
        return JobRunner(table, stores.leases, inside.clock, owner=f"process {os.getpid()}")


# By role: what makes the factories of its listeners, by their names in the table.
MAKERS: dict[str, Callable[[Edges], Mapping[str, Any]]] = {
    "mx": Edges._mx,
    "smtp": Edges._smtp,
    "imap": Edges._imap,
    "pop3": Edges._pop3,
    "web": Edges._web,
    "api": Edges._api,
}
