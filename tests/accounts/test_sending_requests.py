"""Tests of fe_mail.accounts.sending_requests: admins hear once that a domain waits to send."""

from typing import Any

from twisted.internet.defer import Deferred

from fe_mail.accounts.domains import Domains
from fe_mail.accounts.notices import Notice
from fe_mail.accounts.sending_requests import SendingRequests
from fe_mail.model.account import Domain
from fe_mail.model.errors import Unavailable
from tests.accounts.fakes import Letterbox
from tests.accounts.test_domains import SITE, DomainsTestCase, keygen


class SlowLetterbox(Letterbox):
    """Keeps a mail when ``written`` says so."""

    written: Deferred[None] | None = None

    async def send(self, notice: Notice) -> None:
        """Keep it, perhaps later."""
        if self.written is not None and not self.written.called:
            await self.written
        await super().send(notice)


class SendingRequestsTests(DomainsTestCase):
    """A domain of an ordinary user, all of whose records are there."""

    def with_site(self, **changes: object) -> None:
        """The service, with admins who can be asked."""
        self.letters = SlowLetterbox()
        self.domains = self.service()

    def service(self) -> Domains:
        """As another process has it."""
        requests = SendingRequests(
            self.accounts,
            self.letters,
            self.counters,
            url="https://mail.example.com",
            name="Our mail",
        )
        return Domains(
            self.accounts, self.keyring, self.resolver, self.mailboxes, self.clock, SITE, keygen,
            self.bus, self.vantage, ask_to_send=requests.ask,
        )  # fmt: skip

    def complete(self, name: str = "xn--blbr-roah.example", **more: Any) -> Domain:
        """A domain with its records."""
        domain = self.create(name, **more)
        self.publish(domain)
        return domain

    def recheck(self, domain: Domain) -> None:
        """The job looks at it."""
        self.clock.advance(7200)
        self.now(self.domains.recheck(domain.id))

    def test_once(self) -> None:
        """One mail with the way to the page; not at every check, nor after a restart."""
        domain = self.create("xn--blbr-roah.example")
        self.verify(domain)
        self.assertEqual(self.letters.sent, [], "nothing is published")
        self.publish(domain)
        self.verify(domain)
        (notice,) = self.letters.sent
        self.assertEqual((notice.to, notice.language), ("admin@example.com", ""))
        self.assertIn("blåbær.example", str(notice.subject))
        self.assertIn("\n\nhttps://mail.example.com/admin\n\n", str(notice.text))
        self.assertIn("user@example.com", str(notice.text))
        for _ in range(3):
            self.recheck(domain)
        self.domains = self.service()
        self.recheck(domain)
        self.publish(domain, dkim=())
        self.recheck(domain)
        self.publish(domain)
        self.recheck(domain)
        self.assertEqual(len(self.letters.sent), 1)

    def test_each_admin_in_his_language(self) -> None:
        """Everybody who may decide, and nobody who may not."""
        self.change_user(self.user, locale="da")
        self.add_user("boss@example.com", group="admin", locale="da")
        self.add_user("gone@example.com", group="admin", is_banned=True)
        self.verify(self.complete())
        self.assertEqual(
            [(notice.to, notice.language) for notice in self.letters.sent],
            [("admin@example.com", ""), ("boss@example.com", "da")],
        )

    def test_nobody_waits(self) -> None:
        """The domains of admins send by themselves."""
        self.verify(self.complete(user=self.admin), self.admin)
        self.assertEqual(self.letters.sent, [])

    def test_decided(self) -> None:
        """Whoever has said no is not asked, whether or not he was asked before."""
        domain = self.complete()
        self.now(self.domains.allow_sending(self.admin, domain.id, False))
        self.recheck(domain)
        self.assertEqual(self.letters.sent, [])
        self.now(self.domains.allow_sending(self.admin, domain.id, True))
        self.recheck(domain)
        self.now(self.domains.allow_sending(self.admin, domain.id, False))
        self.recheck(domain)
        self.assertEqual(self.letters.sent, [])

    def test_a_mail_that_cannot_be_written(self) -> None:
        """The check counts all the same, and the next one tries again."""
        domain = self.complete()
        self.letters.error = Unavailable("The disk is full.")
        self.assertTrue(self.verify(domain).domain.smtp_verified_at)
        self.letters.error = None
        self.recheck(domain)
        self.assertEqual(len(self.letters.sent), 1)

    def test_two_at_once(self) -> None:
        """A button that is pressed twice while the mail is written slowly."""
        domain = self.complete()
        self.letters.written = Deferred()
        checks = [Deferred.fromCoroutine(self.domains.verify(self.user, domain)) for _ in range(2)]
        self.letters.written.callback(None)
        for check in checks:
            self.successResultOf(check)
        self.recheck(domain)
        self.assertEqual(len(self.letters.sent), 1)
