"""The wiring of the listeners: what is counted inside is seen in the metrics."""

from pathlib import Path

from prometheus_client import generate_latest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.app.config import load
from fe_mail.app.edges import Edges
from fe_mail.app.metrics import Metrics
from fe_mail.app.tls import CertificateDirectory
from fe_mail.app.wiring import Inside, Pretended
from fe_mail.model.address import parse_address
from fe_mail.model.envelope import Peer
from fe_mail.model.queue import Claim, OutcomeKind, QueuedDelivery, QueuedMessage, Target
from fe_mail.model.vantage import OwnAddresses

OURS, MX_HOST = "198.41.0.9", "mx.elsewhere.test"


class OwnAddressTests(TestCase):
    """What the server found out about its own address."""

    def setUp(self) -> None:
        """A server that was told none, with another domain whose MX leads to it."""
        table = {("elsewhere.test", "MX"): [f"10 {MX_HOST}"], (MX_HOST, "A"): [OURS]}
        pretended = Pretended(TableResolver(table), TableVantage(OwnAddresses(known=(OURS,))))
        self.config = load(Path(self.mktemp()), {"DOMAIN": "example.org"})
        self.inside = Inside(reactor, self.config, pretended=pretended)

    async def test_no_mail_to_ourselves(self) -> None:
        """It would come back, be sent again, and so on."""
        edges = Edges(self.inside, ("mx",), CertificateDirectory(self.config.ssl_path), demo=False)
        message = QueuedMessage(id="m", size_octets=1, reverse_path="", created_at=0.0, source="mx")
        target = Target(courier="remote", address="a@elsewhere.test")
        delivery = QueuedDelivery(message_id="m", number=1, recipient="a@x.test", target=target)
        claim = Claim(message=message, deliveries=(delivery,), token="t", lane="l")
        (outcome,) = await edges.couriers()["remote"].deliver(claim)
        self.assertEqual((outcome.kind, outcome.enhanced), (OutcomeKind.FAILED, "5.4.6"))

    def test_no_webhook_to_ourselves(self) -> None:
        """Refused when it is typed, not only when mail comes."""
        self.assertTrue(self.inside.site.webhooks.is_own(OURS))
        self.assertFalse(self.inside.site.webhooks.allows(OURS))


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
