"""Metrics and health."""

import json

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.health import Condition
from fe_mail.app.metrics import Metrics


class MetricsTests(SynchronousTestCase):
    """Asked over HTTP, in memory."""

    def setUp(self) -> None:
        """Metrics with a queue of three and no problems."""
        self.clock = Clock()
        self.metrics = Metrics(self.clock)
        self.condition = Condition()

        async def refresh() -> None:
            self.metrics.set_queue({"waiting": 3})

        async def health() -> Condition:
            return self.condition

        self.client = StubTreq(self.metrics.site(refresh, health).resource)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text."""
        response = self.successResultOf(self.client.get(f"http://x{path}"))
        return response.code, self.successResultOf(response.text())

    def test_counters_come_from_the_log(self) -> None:
        """An event with a ``metric`` field counts, with its outcome."""
        for outcome in ("delivered", "delivered", "failed"):
            self.metrics({"metric": "delivery", "outcome": outcome, "log_level": LogLevel.info})
        self.metrics.watch_connections("mx", lambda: 7)
        self.metrics.watch_memory(lambda: 4096, lambda: 2)
        code, text = self.get("/metrics")
        self.assertEqual(code, 200)
        self.assertIn('fe_mail_events_total{metric="delivery",outcome="delivered"} 2.0', text)
        self.assertIn('fe_mail_connections{listener="mx"} 7.0', text)
        self.assertIn("fe_mail_connection_memory_octets 4096.0", text)
        self.assertIn("fe_mail_connection_memory_refused 2.0", text)
        self.assertIn('fe_mail_queue_deliveries{state="waiting"} 3.0', text)

    def test_lag_is_measured(self) -> None:
        """A timer that comes late is seen."""
        self.metrics.start()
        self.clock.advance(1.0)
        self.clock.advance(3.0)
        self.metrics.stop()
        _, text = self.get("/metrics")
        self.assertIn("fe_mail_reactor_lag_seconds_count 2.0", text)
        self.assertIn('fe_mail_reactor_lag_seconds_bucket{le="0.05"} 1.0', text)

    def test_health(self) -> None:
        """200 when all is well, 503 with the reasons otherwise; what concerns few is told too."""
        for failing, noted, code, status in (
            ((), (), 200, "ok"),
            ((), ("one mailbox is damaged",), 200, "degraded"),
            (("the queue cannot be read",), ("one mailbox is damaged",), 503, "failing"),
        ):
            self.condition = Condition(failing, noted)
            answered, text = self.get("/health")
            self.assertEqual(answered, code)
            told = {"status": status, "problems": [*failing, *noted]}
            self.assertEqual(json.loads(text), told)
