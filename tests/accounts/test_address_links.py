"""Tests of fe_mail.accounts.address_links."""

from typing import Any

from fe_mail.accounts.address_links import ADDRESS_SECONDS, PASSWORD_SECONDS, AddressLinks
from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import MAX_MAILS_BY, MAX_MAILS_TO, MailLimits
from fe_mail.accounts.users import Users
from fe_mail.model.errors import AlreadyExists, AuthenticationFailed, Invalid, RateLimited
from tests.accounts.fakes import AccountsTestCase, Letterbox

PASSWORD = "mulled otter 84 quay"
NEW = "another fine 77 quilt"


class AddressLinksTestCase(AccountsTestCase):
    """``eva@example.net`` registered where everybody may."""

    def setUp(self) -> None:
        """Her address is not proven yet."""
        super().setUp()
        self.letters = Letterbox()
        self.users = Users(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins
        )
        self.address_links = AddressLinks(
            self.accounts,
            self.users,
            self.keyring,
            Links(self.keyring, self.clock),
            self.letters,
            MailLimits(self.counters, self.keyring),
            self.errands,
            url="https://mail.example.com",
            name="fe-mail",
        )
        self.now(self.users.registration.decide("open"))
        self.eva = self.now(self.users.register("eva@example.net", PASSWORD, "da"))

    def proven(self) -> None:
        """Eva reads her mail."""
        self.eva = self.now(self.users.verify_address(self.eva))

    def forgotten(self, email: str, network: str = "192.0.2.1") -> None:
        """Somebody asks for a password link."""
        self.now(self.address_links.ask_password(email, network))
        self.clock.advance(0)


class AddressTests(AddressLinksTestCase):
    """Whose address is it?"""

    def test_verified(self) -> None:
        """The link that was mailed proves the address; twice is no harm."""
        self.now(self.address_links.ask(self.eva))
        (notice,) = self.letters.sent
        self.assertEqual((notice.to, notice.language), ("eva@example.net", "da"))
        for _ in range(2):
            self.now(self.address_links.verify(self.letters.token("/verify/")))
        self.assertTrue(self.now(self.accounts.user(self.eva.id)).has_verified_email)

    def test_of_an_address_before(self) -> None:
        """A link proves the address that it went to, not the one that the account has since."""
        self.now(self.address_links.ask(self.eva))
        self.now(self.users.update(self.eva, email="other@example.net"))
        self.fails(Invalid, self.address_links.verify(self.letters.token("/verify/")))

    def test_what_is_no_link(self) -> None:
        """Old, forged, cut, of another kind, of an account that is gone."""
        self.now(self.address_links.ask(self.eva))
        token = self.letters.token("/verify/")
        for wrong in ("", "x", "=" * 9, "\x00", "\u00e6", token[:-2], "B" + token[1:], token * 99):
            self.fails(Invalid, self.address_links.verify(wrong))
        self.fails(Invalid, self.address_links.take_new(token))
        self.fails(Invalid, self.address_links.set_password(token, NEW))
        self.clock.advance(ADDRESS_SECONDS)
        self.fails(Invalid, self.address_links.verify(token))
        self.now(self.address_links.ask(self.eva))
        self.now(self.accounts.delete_user(self.eva.id))
        self.fails(Invalid, self.address_links.verify(self.letters.token("/verify/")))

    def test_new_address(self) -> None:
        """It is taken when the link that went to it comes back, and is proven then."""
        self.now(self.address_links.ask_new(self.eva, "Eva@New.example"))
        self.assertEqual(self.letters.sent[-1].to, "eva@new.example")
        self.assertEqual(self.now(self.accounts.user(self.eva.id)).email, "eva@example.net")
        token = self.letters.token("/my-account/change-email/")
        changed = self.now(self.address_links.take_new(token))
        self.assertEqual((changed.email, changed.has_verified_email), ("eva@new.example", True))
        self.fails(Invalid, self.address_links.take_new(token))

    def test_new_address_taken(self) -> None:
        """Nobody gets another's address: told at once, and when it was taken meanwhile."""
        self.fails(AlreadyExists, self.address_links.ask_new(self.eva, "admin@example.com"))
        self.fails(Invalid, self.address_links.ask_new(self.eva, "nothing"))
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        self.add_user("eva@new.example")
        token = self.letters.token("/my-account/change-email/")
        self.fails(AlreadyExists, self.address_links.take_new(token))

    def test_limits(self) -> None:
        """Nobody's mailbox is filled by the server, nor is it made to fill many."""
        for _ in range(MAX_MAILS_TO):
            self.now(self.address_links.ask(self.eva))
        self.fails(RateLimited, self.address_links.ask(self.eva))
        for n in range(MAX_MAILS_BY - MAX_MAILS_TO):
            self.now(self.address_links.ask_new(self.eva, f"x{n}@new.example"))
        self.fails(RateLimited, self.address_links.ask_new(self.eva, "y@new.example"))


class PasswordTests(AddressLinksTestCase):
    """A forgotten password."""

    def test_new_password(self) -> None:
        """Once, within half an hour; sessions end."""
        self.proven()
        session = self.now(self.users.start_session(self.eva, ""))
        self.forgotten(" EVA@example.net")
        token = self.letters.token("/reset-password/")
        self.fails(Invalid, self.address_links.set_password(token, "weak"))
        self.now(self.address_links.set_password(token, NEW))
        self.now(self.users.sign_in("eva@example.net", NEW, "192.0.2.1"))
        self.fails(AuthenticationFailed, self.users.sign_in("eva@example.net", PASSWORD, ""))
        self.fails(Invalid, self.address_links.set_password(token, "yet one more 55 lamp"))
        self.fails(Exception, self.users.session_user(session))

    def test_too_late(self) -> None:
        """After half an hour the link is none."""
        self.proven()
        self.forgotten("eva@example.net")
        self.clock.advance(PASSWORD_SECONDS)
        token = self.letters.token("/reset-password/")
        self.fails(Invalid, self.address_links.check_password_link(token))

    def test_nobody_is_told(self) -> None:
        """Unknown, unproven, no address at all: the same answer, and no mail."""
        for email in ("eva@example.net", "nobody@example.net", "nothing", "", "\ud800"):
            self.assertIsNone(self.forgotten(email))  # type: ignore[func-returns-value]
        self.assertEqual(self.letters.sent, [])

    def test_mailed_after_the_answer(self) -> None:
        """So that the time of the answer tells nothing either."""
        self.proven()
        self.now(self.address_links.ask_password("eva@example.net", "192.0.2.1"))
        self.assertEqual(self.letters.sent, [])
        self.clock.advance(0)
        self.assertEqual(len(self.letters.sent), 1)

    def test_limit(self) -> None:
        """The owner's mailbox is not filled; the limit holds for unknown addresses alike."""
        self.proven()
        for email in ("eva@example.net", "nobody@example.net"):
            for n in range(MAX_MAILS_TO):
                self.forgotten(email, f"192.0.2.{n}")
            self.fails(RateLimited, self.address_links.ask_password(email, "192.0.2.99"))
        self.assertEqual(len(self.letters.sent), MAX_MAILS_TO)


class LinksTests(AccountsTestCase):
    """What carries the meaning."""

    def test_purposes_are_apart(self) -> None:
        """A link for one thing opens no other."""
        links = Links(self.keyring, self.clock)
        token = links.make("a", "x", "\u00e6", seconds=10)
        self.assertEqual(links.read("a", token), ("x", "\u00e6"))
        with self.assertRaises(Invalid):
            links.read("b", token)
        other: Any = Links(self.make_keyring(), self.clock)
        self.assertEqual(other.read("a", token), ("x", "\u00e6"))
