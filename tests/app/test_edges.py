"""The wiring of the listeners: what is counted inside is seen in the metrics."""

from pathlib import Path

from prometheus_client import generate_latest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from fe_mail.app.config import load
from fe_mail.app.edges import Edges
from fe_mail.app.metrics import Metrics
from fe_mail.app.tls import CertificateDirectory
from fe_mail.app.wiring import Inside
from fe_mail.model.address import parse_address
from fe_mail.model.envelope import Peer


class RuleCounterTests(TestCase):
    """A16: each rule has its own counter."""

    async def setUp(self) -> None:
        """The real stores, services and factories of the mail listeners."""
        config = load(Path(self.mktemp()), {"DOMAIN": "example.org"})
        self.inside = Inside(reactor, config)
        await self.inside.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.inside.stop()))
        tls = CertificateDirectory(config.ssl_path)
        self.factories = Edges(self.inside, ("mx", "smtp"), tls, demo=False).factories
        self.metrics = Metrics(Clock())
        globalLogPublisher.addObserver(self.metrics)
        self.addCleanup(globalLogPublisher.removeObserver, self.metrics)

    def count(self, rule: str) -> bool:
        """Is it in the metrics, once?"""
        text = generate_latest(self.metrics.registry).decode()
        return f'fe_mail_events_total{{metric="rule",outcome="{rule}"}} 1.0' in text

    async def test_own_names(self) -> None:
        """Both receptions know in whose name no results may come in."""
        for role in ("mx", "smtp"):
            names = self.factories[role].reception.own_names
            self.assertLessEqual({"example.org", "mx.example.org"}, names)

    async def test_rules_are_counted(self) -> None:
        """By both receptions, under the names of the tables."""
        peer, outside = Peer(ip="192.0.2.1"), parse_address("a@elsewhere.test")
        await self.factories["mx"].reception.recipient(peer, None, None, outside)
        await self.factories["smtp"].reception.sender(peer, None, outside)
        self.assertTrue(self.count("inbound.recipient.relay"))
        self.assertTrue(self.count("outbound.sender.signed-in"))
