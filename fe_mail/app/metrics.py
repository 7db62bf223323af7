"""
``/metrics`` for Prometheus and ``/health`` for whoever restarts us, on a loopback port.

Counters are fed by the log: an event with a ``metric`` field counts under that name, with its
``outcome`` as a label. So the inside of fe-mail logs what happens and knows nothing of metrics.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from fe_mail.app.health import Condition

__all__ = ["Metrics"]

LAG_INTERVAL_SECONDS = 1.0
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
log = Logger()


@implementer(ILogObserver)
class Metrics:
    """Everything that is counted, and the ``Site`` that shows it."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._events = Counter(
            "fe_mail_events", "What happened.", ["metric", "outcome"], registry=self.registry
        )
        self._logged = Counter(
            "fe_mail_log_events", "Lines logged.", ["level"], registry=self.registry
        )
        self._connections = Gauge(
            "fe_mail_connections", "Open connections.", ["listener"], registry=self.registry
        )
        self._memory = Gauge(
            "fe_mail_connection_memory_octets",
            "What connections keep of what has not ended.",
            registry=self.registry,
        )
        self._refused = Gauge(
            "fe_mail_connection_memory_refused",
            "How often there was not enough of that.",
            registry=self.registry,
        )
        self._queue = Gauge(
            "fe_mail_queue_deliveries", "Deliveries that wait.", ["state"], registry=self.registry
        )
        self._lag = Histogram(
            "fe_mail_reactor_lag_seconds",
            "How late the reactor's timers are.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._counters: dict[tuple[object, ...], Counter] = {}  # of which there are few
        self._expected = 0.0
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def __call__(self, event: LogEvent) -> None:
        """A log observer."""
        level = event.get("log_level")
        self._count(self._logged, level.name if level else "info")
        if "metric" in event:
            self._count(self._events, str(event["metric"]), str(event.get("outcome", "")))

    def _count(self, counter: Counter, *labels: str) -> None:
        """To find a counter by its labels costs more than to count, for every line of the log."""
        key = (id(counter), *labels)
        found = self._counters.get(key)
        if found is None:
            found = self._counters[key] = counter.labels(*labels)
        found.inc()

    def watch_memory(self, used: Callable[[], int], refused: Callable[[], int]) -> None:
        """Show how much connections keep of what has not ended."""
        self._memory.set_function(used)
        self._refused.set_function(refused)

    def watch_connections(self, listener: str, count: Callable[[], int]) -> None:
        """Show ``count()`` as the open connections of a listener."""
        self._connections.labels(listener).set_function(count)

    def set_queue(self, counts: Mapping[str, int]) -> None:
        """Show how many deliveries are in which state."""
        for state, count in counts.items():
            self._queue.labels(state).set(count)

    def start(self) -> None:
        """Begin to measure the reactor's lag."""
        self._expected = self._clock.seconds() + LAG_INTERVAL_SECONDS
        self._ticking.start(LAG_INTERVAL_SECONDS, now=False).addErrback(
            lambda failure: log.failure("The lag is no longer measured.", failure)
        )

    def stop(self) -> None:
        """Stop measuring."""
        if self._ticking.running:
            self._ticking.stop()

    def _tick(self) -> None:
        now = self._clock.seconds()
        self._lag.observe(max(0.0, now - self._expected))
        self._expected = now + LAG_INTERVAL_SECONDS

    def site(
        self, refresh: Callable[[], Awaitable[None]], health: Callable[[], Awaitable[Condition]]
    ) -> Site:
        """The HTTP side; ``refresh`` is awaited before each scrape, ``health`` has problems."""
        root = Resource()
        root.putChild(b"metrics", _Metrics(self.registry, refresh))
        root.putChild(b"health", _Health(health))
        return _QuietSite(root)  # type: ignore[no-untyped-call]  # Twisted's


class _QuietSite(Site):
    """A scrape every few seconds is no news."""

    noisy = False

    def log(self, request: object) -> None:
        """Nothing."""


class _Metrics(Resource):
    isLeaf = True

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]]) -> None:
        Resource.__init__(self)
        self._registry = registry
        self._refresh = refresh

    def render_GET(self, request: Request) -> int:
        async def answer() -> None:
            try:
                await self._refresh()
            except Exception:
                log.failure("The queue could not be counted.")
            request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
            request.write(generate_latest(self._registry))
            request.finish()

        _finish(request, answer())
        return NOT_DONE_YET


class _Health(Resource):
    isLeaf = True

    def __init__(self, health: Callable[[], Awaitable[Condition]]) -> None:
        Resource.__init__(self)
        self._health = health

    def render_GET(self, request: Request) -> int:
        async def answer() -> None:
            found = await self._health()
            problems = [*found.failing, *found.noted]
            request.setResponseCode(503 if found.failing else 200)
            request.setHeader(b"content-type", b"application/json")
            status = "failing" if found.failing else "degraded" if problems else "ok"
            body = {"status": status, "problems": problems}
            request.write(json.dumps(body).encode() + b"\n")
            request.finish()

        _finish(request, answer())
        return NOT_DONE_YET


def _finish(request: Request, answer: Awaitable[None]) -> None:
    gone: list[Failure] = []
    request.notifyFinish().addErrback(gone.append)

    def failed(failure: Failure) -> None:
        if not gone:
            log.failure("A metrics request failed.", failure)
            request.processingFailed(failure)

    Deferred.fromCoroutine(answer).addErrback(failed)  # type: ignore[arg-type]
