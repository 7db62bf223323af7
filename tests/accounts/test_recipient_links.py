"""Tests of fe_mail.accounts.recipient_links: recipients who are asked before they get mail."""

from typing import Any

from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import RECIPIENTS, MailLimits
from fe_mail.accounts.recipient_links import LINK_SECONDS, YOUNG_SECONDS, RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.site import Site
from fe_mail.model.account import Alias
from fe_mail.model.address import parse_address
from fe_mail.model.counting import Window
from fe_mail.model.errors import Conflict, Invalid, RateLimited, Unavailable
from tests.accounts.fakes import AccountsTestCase, Letterbox

BOB, CARL = "bob@elsewhere.test", "carl@elsewhere.test"


class RecipientLinksTests(AccountsTestCase):
    """``sales@example.org`` forwards to those who want it."""

    def setUp(self) -> None:
        """A domain whose aliases ask first."""
        super().setUp()
        self.letters = Letterbox()
        self.domain = self.add_domain("example.org", has_recipient_verification=True)
        self.recipient_links = RecipientLinks(
            self.accounts,
            self.counters,
            self.keyring,
            Links(self.keyring, self.clock),
            self.letters,
            MailLimits(self.counters, self.keyring),
            self.clock,
            url="https://mail.example.com",
            name="fe-mail",
        )
        self.aliases = Aliases(
            self.accounts,
            self.keyring,
            self.mailboxes,
            self.bus,
            self.clock,
            Site(hostname="mx.test", exchange_domains=("mx.test",), web_host="mx.test"),
            ask_recipients=self.recipient_links.ask_new,
        )

    def sales(self, *recipients: str, **more: Any) -> Alias:
        """The alias, new."""
        fields = {"name": "sales", "recipients": list(recipients), **more}
        return self.now(self.aliases.create(self.user, self.domain, fields))

    def targets(self) -> list[str]:
        """Where its mail goes."""
        route = self.now(Router(self.accounts).route(parse_address("sales@example.org")))
        return [target.address for target in route.targets]

    def test_asked_and_confirmed(self) -> None:
        """Each new recipient gets one mail, and mail of the alias after saying yes."""
        self.sales(BOB, CARL)
        self.assertEqual([notice.to for notice in self.letters.sent], [BOB, CARL])
        self.assertEqual(self.targets(), [])
        asked = self.now(self.recipient_links.asked(self.letters.token("/v/")))
        self.assertEqual((asked.recipient, asked.is_done), (CARL, False))
        for _ in range(2):
            done = self.now(self.recipient_links.confirm(self.letters.token("/v/")))
            self.assertTrue(done.is_done)
        self.assertEqual(self.targets(), [CARL])
        sales = self.now(self.accounts.alias(done.alias.id))
        self.assertEqual((sales.verified_recipients, sales.pending_recipients), ((CARL,), (BOB,)))

    def test_as_people_write_it(self) -> None:
        """Domains beyond ASCII are shown as such."""
        domain = self.add_domain("xn--bcher-kva.example", has_recipient_verification=True)
        fields = {"name": "info", "recipients": ["bob@xn--bcher-kva.test"]}
        self.now(self.aliases.create(self.user, domain, fields))
        (notice,) = self.letters.sent
        self.assertIn("info@b\u00fccher.example", str(notice.subject))
        self.assertIn("to bob@b\u00fccher.test.", str(notice.text))
        self.assertEqual(notice.to, "bob@xn--bcher-kva.test")

    def test_saving_again(self) -> None:
        """Who was asked is not asked again, who is new is, who said yes stays."""
        sales = self.sales(BOB)
        self.now(self.recipient_links.confirm(self.letters.token("/v/")))
        sales = self.now(self.accounts.alias(sales.id))
        fields = {"recipients": [BOB, CARL]}
        for _ in range(2):
            sales = self.now(self.aliases.update(self.user, self.domain, sales, fields))
        self.assertEqual([notice.to for notice in self.letters.sent], [BOB, CARL])
        self.assertEqual(self.targets(), [BOB])

    def test_taken_out(self) -> None:
        """The link of one who was taken out, or whose alias is gone, does nothing."""
        sales = self.sales(BOB, CARL)
        token = self.letters.token("/v/")
        fields = {"recipients": [BOB]}
        sales = self.now(self.aliases.update(self.user, self.domain, sales, fields))
        self.fails(Invalid, self.recipient_links.confirm(token))
        self.now(self.aliases.delete(self.user, self.domain, sales))
        self.fails(Invalid, self.recipient_links.asked(token))

    def test_too_late(self) -> None:
        """A month is enough to think about it."""
        self.sales(BOB)
        token = self.letters.token("/v/")
        self.clock.advance(LINK_SECONDS)
        self.fails(Invalid, self.recipient_links.confirm(token))

    def test_nobody_asked(self) -> None:
        """Without verification nobody is; nor is the owner."""
        self.sales(BOB, has_recipient_verification=False)
        self.assertEqual(self.letters.sent, [])
        self.assertEqual(self.targets(), [BOB])

    def test_domain_of_nobody(self) -> None:
        """Whoever only says that a domain is his makes the server write to nobody about it."""
        changes = {"has_txt_record": False}
        domain = self.now(self.accounts.update_domain(self.domain.id, 1.0, **changes))
        sales = self.sales(BOB)
        self.fails(Invalid, self.recipient_links.ask_again(sales, BOB))
        self.now(self.recipient_links.ask_held_back())
        self.assertEqual(self.letters.sent, [])
        self.now(self.accounts.update_domain(domain.id, 1.0, has_txt_record=True))
        self.now(self.recipient_links.ask_held_back())
        self.assertEqual([notice.to for notice in self.letters.sent], [BOB])

    def test_again(self) -> None:
        """The owner may have a mail sent again, to those who wait, and not without end."""
        sales = self.sales(BOB)
        for _ in range(RECIPIENTS.to - 1):
            self.now(self.recipient_links.ask_again(sales, BOB))
        self.fails(RateLimited, self.recipient_links.ask_again(sales, BOB))
        self.fails(Invalid, self.recipient_links.ask_again(sales, CARL))

    def test_held_back(self) -> None:
        """What could not be sent does not undo the change, and is sent by the job, once."""
        self.letters.error = Unavailable("The disk is full.")
        sales = self.sales(BOB)
        self.assertEqual(sales.pending_recipients, (BOB,))
        self.letters.error = None
        for _ in range(2):
            self.now(self.recipient_links.ask_held_back())
        self.assertEqual([notice.to for notice in self.letters.sent], [BOB])

    def test_not_for_ever(self) -> None:
        """Who does not answer is not asked every month."""
        self.sales(BOB)
        self.clock.advance(max(float(Window.MONTH), YOUNG_SECONDS) + 1)
        self.now(self.recipient_links.ask_held_back())
        self.assertEqual(len(self.letters.sent), 1)

    def test_changed_meanwhile(self) -> None:
        """Two who say yes at once both count; who cannot get through is told to try again."""
        sales = self.sales(BOB, CARL)
        carl = self.letters.token("/v/")
        bob = str(self.letters.sent[0].text).split("/v/")[1].split()[0]
        read = self.accounts.alias
        stale = self.now(read(sales.id))
        answers = [stale]

        async def late(alias_id: Any) -> Alias:
            return answers.pop() if answers else await read(alias_id)

        self.now(self.recipient_links.confirm(bob))
        self.patch(self.accounts, "alias", late)
        self.now(self.recipient_links.confirm(carl))
        self.assertEqual(sorted(self.targets()), [BOB, CARL])
        answers.extend([stale] * 9)
        self.fails(Conflict, self.recipient_links.confirm(carl))
