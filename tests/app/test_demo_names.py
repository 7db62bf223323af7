"""The demo's DNS: what the set-up page asks for is there."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.dns_checks import check_records
from fe_mail.accounts.dns_records import domain_records
from fe_mail.accounts.site import Site
from fe_mail.app.demo_names import DemoResolver
from fe_mail.model.account import Domain, Member, User
from fe_mail.model.dns import CNAME, MX, TXT
from fe_mail.model.ids import DomainId, UserId
from tests.fakes import MemoryAccountStore

SITE = Site(hostname="mx.demo.test", exchange_domains=("mx.demo.test",), web_host="demo.test")


class DemoResolverTests(SynchronousTestCase):
    """A store with one domain."""

    def setUp(self) -> None:
        """``new.test`` has just been added."""
        store = MemoryAccountStore()
        owner = User(id=UserId("u" * 24), email="a@b.test", password_hash="x")
        self.now(store.add_user(owner))
        self.domain = Domain(
            id=DomainId("d" * 24),
            name="new.test",
            verification_record="abc1234567",
            dkim_selector="fe-1",
            dkim_public_key="AAAA",
            members=(Member(user_id=owner.id, group="admin"),),
        )
        self.now(store.add_domain(self.domain))
        self.resolver = DemoResolver(store, SITE)

    def now(self, work: object) -> object:
        """The result of a coroutine."""
        return self.successResultOf(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def test_every_check_passes(self) -> None:
        """A newcomer sees what success looks like."""
        records = domain_records(self.domain, SITE)
        results = self.now(check_records(self.resolver, self.domain, SITE, records))
        assert isinstance(results, tuple)
        self.assertEqual([result for result in results if not result.passed], [])
        self.assertEqual(len(results), 6)

    def test_nothing_else_exists(self) -> None:
        """Neither foreign domains nor other names below a hosted one."""
        for kind in (MX, TXT, CNAME):
            for name in ("elsewhere.example", "www.new.test", "test"):
                answer = self.now(self.resolver.query(name, kind))
                self.assertFalse(answer.records)  # type: ignore[attr-defined]
