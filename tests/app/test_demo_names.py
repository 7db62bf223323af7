"""The demo's DNS: what the set-up page asks for is there."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.dns_checks import DNSChecks
from fe_mail.accounts.dns_findings import Verdict
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.app.demo_names import pretend
from fe_mail.model.account import Domain, Member, User
from fe_mail.model.dns import CNAME, MX, TXT
from fe_mail.model.ids import DomainId, UserId
from tests.fakes import MemoryAccountStore

SITE = Site(
    hostname="mx.demo.test",
    exchange_domains=("mx.demo.test",),
    web_host="demo.test",
    hosts=(ServerHost("demo.test", ("web",)), ServerHost("imap.demo.test", ("imap",))),
)


class DemoResolverTests(SynchronousTestCase):
    """A store with two domains: one just added, and the demo's own."""

    def setUp(self) -> None:
        """``new.test`` has just been added."""
        store = MemoryAccountStore()
        owner = User(id=UserId("u" * 24), email="a@b.test", password_hash="x")
        self.now(store.add_user(owner))
        self.domains = [
            Domain(
                id=DomainId(letter * 24),
                name=name,
                verification_record="abc1234567",
                dkim_selector="fe-1",
                dkim_public_key="AAAA",
                members=(Member(user_id=owner.id, group="admin"),),
            )
            for letter, name in (("d", "new.test"), ("e", "demo.test"))
        ]
        for domain in self.domains:
            self.now(store.add_domain(domain))
        self.pretended = pretend(store, SITE)

    def now(self, work: object) -> object:
        """The result of a coroutine."""
        return self.successResultOf(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def test_every_check_passes(self) -> None:
        """A newcomer sees what success looks like."""
        checks = DNSChecks(
            resolver=self.pretended.resolver,
            vantage=self.pretended.vantage,
            clock=Clock(),
            site=SITE,
        )
        for work in (*map(checks.of_domain, self.domains), checks.of_server()):
            results = self.now(work)
            assert isinstance(results, tuple)
            self.assertEqual([each for each in results if each.verdict is not Verdict.RIGHT], [])

    def test_nothing_else_exists(self) -> None:
        """Neither foreign domains nor other names below a hosted one."""
        for kind in (MX, TXT, CNAME):
            for name in ("elsewhere.example", "www.new.test", "test"):
                answer = self.now(self.pretended.resolver.query(name, kind))
                self.assertFalse(answer.records)  # type: ignore[attr-defined]
