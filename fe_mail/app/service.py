"""
The service tree of one process: stores first, then workers, then doors open; backwards to stop.

Ports are bound while twistd still has its privileges; connections come in once the stores are
ready. Stopping: no new connections, running transactions finish (``STOP_SECONDS`` at most), then
everything is closed in order. A second signal exits at once. SIGHUP looks for a new certificate
now, which a timer does every few seconds anyway.
"""

import functools
import gc
import os
import signal
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, FirstError, TimeoutError
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogPublisher

from fe_mail.app import edge_table
from fe_mail.app.allocator import keep_big_blocks_apart
from fe_mail.app.config import Config
from fe_mail.app.demo import announce, forget_facts, hold_reason, prepare
from fe_mail.app.demo_names import pretend
from fe_mail.app.edge_table import METRICS, Edge
from fe_mail.app.edges import Edges
from fe_mail.app.health import Condition, Health
from fe_mail.app.listeners import Door, Listener, endpoint_strings
from fe_mail.app.metrics import Metrics
from fe_mail.app.parts import Part, Parts
from fe_mail.app.single import Presence
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.app.wiring import Inside, Stores, make_site
from fe_mail.connection.registry import DRAIN_SECONDS
from fe_mail.model.errors import MailError, Unavailable

__all__ = ["FeMailService"]

STOP_SECONDS = DRAIN_SECONDS + 5  # what drains was cut by then
# Nothing new comes in, what runs finishes, and what it needs goes last.
STOP_ORDER = (
    *("certificates", "metrics", "ports", "connections"),
    *("workers", "login", "errands", "stores", "demo", "presence"),
)
CERTIFICATE_CHECK_SECONDS = 5.0  # two stat() each
# The reactor needs the interpreter several times for one answer, and waits this long each time
# while a thread reads a big message; Python's 5 ms add up to 100.
THREAD_TURN_SECONDS = 0.002


class FeMailService(Service):
    """
    All chosen roles of one process; ``demo`` makes it one to try. With ``shares_ports`` other
    processes that have it too may listen on the same ports.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        roles: tuple[str, ...],
        demo: bool = False,
        shares_ports: bool = False,
    ) -> None:
        self.name = "fe-mail"
        self.config = config
        self.roles = roles
        self.reactor = reactor
        self.demo = demo
        self._shares_ports = shares_ports
        self.certificates = CertificateDirectory(config.ssl_path)
        self.metrics = Metrics(reactor)
        stores = Stores(reactor, config)
        is_whole = set(roles) == set(edge_table.role_names())
        self._presence = Presence(config.data_path, is_whole=is_whole)
        pretended = pretend(stores.accounts, make_site(config)) if demo else None
        hold = hold_reason if demo else None
        self.inside = Inside(reactor, config, stores, pretended, hold)
        self._health = Health(stores, config.data_path, reactor)
        self.edges = Edges(self.inside, roles, self.certificates, demo)
        memory = self.edges.memory
        self.metrics.watch_memory(lambda: memory.used, lambda: memory.refused)
        self.listeners = self._make_listeners()
        self._started: Deferred[None] | None = None
        self._is_ready = False
        self._renewal = LoopingCall(self.certificates.check)
        self._renewal.clock = reactor
        self._demo_accounts: dict[str, Any] = {}
        self.parts = self._make_parts()

    # Start --------------------------------------------------------------------------------------

    def _make_listeners(self) -> dict[str, Listener]:
        wanted = [edge for role, edge in edge_table.listeners() if role.name in self.roles]
        made = {edge.name: self._make_listener(edge) for edge in (*wanted, METRICS)}
        return {name: listener for name, listener in made.items() if listener is not None}

    def _make_listener(self, edge: Edge) -> Listener | None:
        listen = self.config.listen
        strings = listen.endpoints(edge.name)
        endpoints = endpoint_strings(strings, listen.port(edge.name), edge.is_loopback)
        if not endpoints:
            return None
        door = Door(self.reactor, () if edge.is_loopback else listen.proxy_networks)
        is_shared = self._shares_ports and edge is not METRICS
        return Listener(self.reactor, edge.name, endpoints, door, is_shared=is_shared)

    def privilegedStartService(self) -> None:
        """Bind every port."""
        for listener in self.listeners.values():
            listener.privilegedStartService()

    def startService(self) -> None:
        """Start in order; a failure is logged in one sentence and ends the process with 1."""
        Service.startService(self)
        sys.setswitchinterval(THREAD_TURN_SECONDS)
        keep_big_blocks_apart()
        globalLogPublisher.addObserver(self.metrics)
        self._started = Deferred.fromCoroutine(self._start())
        self._started.addErrback(self._give_up)

    def _make_parts(self) -> Parts:
        """In the order in which they start; ``STOP_ORDER`` says how they stop."""
        edges, login = self.edges, self.inside.login
        parts = [
            Part("presence", stop=self._leave),
            Part("ports", start=self._bind, stop=self._stop_listening),
            Part("certificates", start=self._prepare_certificate, stop=self._stop_renewal),
            Part("stores", start=self._open_stores, stop=self.inside.stop),
            Part("login", stop=login.stop),
            Part("errands", stop=self.inside.errands.stop),
            Part("demo", start=self._prepare_demo, stop=self._end_demo),
            Part("connections", start=self._open_doors, stop=self._drain),
            # After the doors: what waits may be for this server itself.
            Part("workers", start=edges.start, stop=edges.stop),
            Part("metrics", start=self._start_metrics, stop=self._stop_metrics),
        ]
        return Parts(parts, STOP_ORDER)

    async def _start(self) -> None:
        began = self.reactor.seconds()
        await self.parts.start()
        if self.parts.is_stopped:
            return
        self._settle()
        self._is_ready = True
        if self.demo:
            ports = {name: listener.port for name, listener in self.listeners.items()}
            announce(self.config, ports, self._demo_accounts)
        self.log.info(
            "Ready after {seconds:.1f} s: {roles}.",
            seconds=self.reactor.seconds() - began,
            roles=", ".join(self.roles),
        )
        if "web" in self.roles:
            await self._tell_where_the_web_is()

    async def _bind(self) -> None:
        for listener in self.listeners.values():
            listener.startService()
            await listener.when_listening()

    async def _open_stores(self) -> None:
        stores = self.inside.stores
        await stores.take_stock()
        await stores.run(self._presence.enter)
        if self.demo:
            forget_facts(self.config)
        await self.inside.start()

    async def _leave(self) -> None:
        self._presence.leave()

    async def _prepare_demo(self) -> None:
        if self.demo:
            self._demo_accounts = await prepare(self.inside)

    async def _start_metrics(self) -> None:
        self.metrics.start()

    async def _tell_where_the_web_is(self) -> None:
        """The password itself stays out of the log."""
        web = self.config.web
        self.log.info("The web UI is at {url}.", url=web.url)
        if not web.auth_basic_enabled:
            return
        is_owned = await self.inside.users.has_admin()
        if is_owned and not web.auth_basic_always:
            return
        env_file = str(self.config.directory / ".env")
        self.log.info(
            "{when} it asks for the user {username} and for the password that "
            "AUTH_BASIC_PASSWORD has in {place}.",
            when="Always" if web.auth_basic_always else "Until the first account exists",
            username=web.auth_basic_username,
            place="the environment" if "AUTH_BASIC_PASSWORD" in os.environ else env_file,
        )

    @staticmethod
    def _settle() -> None:
        """What is loaded now stays: looking through it for garbage would take 60 ms each time."""
        gc.collect()
        gc.freeze()

    def _give_up(self, failure: Any) -> None:
        error = failure.value
        if isinstance(error, FirstError):
            error = error.subFailure.value
        if isinstance(error, CannotListenError):
            self.log.critical(
                "Cannot listen on port {port}: {reason}.",
                port=error.port,
                reason=getattr(error.socketError, "strerror", "") or "unknown reason",
            )
        elif isinstance(error, MailError):
            self.log.critical("Cannot start: {reason}", reason=error.message)
        else:
            self.log.failure("Cannot start.", failure)
        self.reactor.addSystemEventTrigger("after", "shutdown", _exit, 1)
        if self.reactor.running:
            self.reactor.stop()
        else:
            self.reactor.callWhenRunning(self.reactor.stop)

    async def _prepare_certificate(self) -> None:
        hosts = [*self.config.names.hosts, "localhost", "127.0.0.1", "::1"]
        if not self.certificates.chain_path.exists():
            make_self_signed(self.config.ssl_path, list(dict.fromkeys(hosts)))
            self.log.warn(
                "No certificate in {directory}, so a self-signed one was made. Replace "
                "fullchain.pem and privkey.pem there (certbot makes them); no restart is needed.",
                directory=str(self.config.ssl_path),
            )
        try:
            self.certificates.load()
        except (OSError, ValueError) as problem:
            raise Unavailable(
                f"The certificate in {self.config.ssl_path} cannot be used: {problem}."
            ) from None
        self._renewal.start(CERTIFICATE_CHECK_SECONDS, now=False)
        signal.signal(signal.SIGHUP, self._look_for_certificate)

    def _look_for_certificate(self, *_: object) -> None:
        """A signal arrives between any two instructions; the reactor does the work."""
        self.reactor.callFromThread(self.certificates.check)

    async def _open_doors(self) -> None:
        sharing: dict[Any, list[str]] = {}
        for name, listener in self.listeners.items():
            if name == METRICS.name:
                site = self.metrics.site(self._count_queue, self.health)
                listener.door.open(site, None)
                continue
            factory = self.edges.factories[name]
            is_tls = name in self.edges.tls_names
            listener.door.open(factory, self.certificates if is_tls else None)
            sharing.setdefault(factory, []).append(name)
        for factory, names in sharing.items():  # counted once, however many ports it has
            self.metrics.watch_connections(
                "+".join(names), functools.partial(_connections, factory)
            )

    # While running ------------------------------------------------------------------------------

    async def _count_queue(self) -> None:
        counts = await self.inside.stores.queue.counts()
        self.metrics.set_queue({state.value: count for state, count in counts.items()})

    async def health(self) -> Condition:
        """Problems that an operator should know of."""
        if not self._is_ready:
            return Condition(failing=("starting or stopping",))
        return await self._health.condition()

    # Stop ---------------------------------------------------------------------------------------

    def stopService(self) -> "Deferred[None]":
        """Graceful stop."""
        Service.stopService(self)
        self._is_ready = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: _exit(1))
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.log.info("Stopping: running transactions finish first.")
        await self.parts.stop()
        self.log.info("Stopped.")
        globalLogPublisher.removeObserver(self.metrics)

    async def _stop_renewal(self) -> None:
        if self._renewal.running:
            self._renewal.stop()

    async def _stop_metrics(self) -> None:
        self.metrics.stop()

    async def _stop_listening(self) -> None:
        for listener in self.listeners.values():
            await listener.stop_listening()

    async def _drain(self) -> None:
        factories = set(self.edges.factories.values())
        draining = [Deferred.fromCoroutine(factory.drain()) for factory in factories]
        finished = DeferredList(draining, consumeErrors=True)
        finished.addTimeout(STOP_SECONDS, self.reactor)
        try:
            await finished
        except TimeoutError:
            self.log.warn("Some connections did not finish in time; they are closed.")

    async def _end_demo(self) -> None:
        if self.demo and self._presence.is_here:
            forget_facts(self.config)


def _connections(factory: Any) -> int:
    return int(factory.connections)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
