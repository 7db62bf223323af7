"""Tests of fe_mail.accounts.address_links."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from fe_mail.accounts.address_links import ADDRESS_SECONDS, PASSWORD_SECONDS, AddressLinks
from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import ADDRESSES, PASSWORDS, RECIPIENTS, MailLimits
from fe_mail.accounts.users import Users
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.model.account import User
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Invalid,
    NotFound,
    RateLimited,
)
from tests.accounts.fakes import AccountsTestCase, Letterbox
from tests.adapters.later import LaterThreads

T = TypeVar("T")

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
        self.limits = MailLimits(self.counters, self.keyring)
        self.address_links = AddressLinks(
            self.accounts,
            self.users,
            self.keyring,
            Links(self.keyring, self.clock),
            self.letters,
            self.limits,
            self.errands,
            url="https://mail.example.com",
            name="fe-mail",
        )
        self.now(self.users.registration.decide("open"))
        self.eva = self.now(self.users.register("eva@example.net", PASSWORD, "da"))

    def proven(self) -> None:
        """Eva reads her mail."""
        self.eva = self.now(self.users.verify_address(self.eva))

    def stored(self) -> User:
        """Eva's account as it is now."""
        return self.now(self.accounts.user(self.eva.id))

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
            self.now(self.address_links.verify(self.stored(), self.letters.token("/verify/")))
        self.assertTrue(self.stored().has_verified_email)

    def test_of_another_account(self) -> None:
        """Who reads the address proves it for nobody but whom he is signed in as."""
        self.now(self.address_links.ask(self.eva))
        token = self.letters.token("/verify/")
        error = self.fails(Invalid, self.address_links.verify(self.user, token))
        self.assertIn("another account", error.message)
        self.assertFalse(self.stored().has_verified_email)
        self.proven()
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        token = self.letters.token("/my-account/change-email/")
        self.fails(Invalid, self.address_links.take_new(self.user, token, PASSWORD))

    def test_in_which_language(self) -> None:
        """The one that the reader chose, else the one of whoever asks, else none."""
        self.now(self.address_links.ask(self.eva, "en"))
        nobody = self.change_user(self.eva, locale="")
        self.now(self.address_links.ask(nobody, "da"))
        self.now(self.address_links.ask(nobody))
        self.assertEqual([notice.language for notice in self.letters.sent], ["da", "da", ""])

    def test_of_an_address_before(self) -> None:
        """A link proves the address that it went to, not the one that the account has since."""
        self.now(self.address_links.ask(self.eva))
        self.now(self.users.update(self.eva, email="other@example.net"))
        self.fails(
            Invalid, self.address_links.verify(self.stored(), self.letters.token("/verify/"))
        )

    def test_what_is_no_link(self) -> None:
        """Old, forged, cut, of another kind, of an account that is gone."""
        self.now(self.address_links.ask(self.eva))
        token = self.letters.token("/verify/")
        for wrong in ("", "x", "=" * 9, "\x00", "\u00e6", token[:-2], "B" + token[1:], token * 99):
            self.fails(Invalid, self.address_links.verify(self.eva, wrong))
        self.fails(Invalid, self.address_links.take_new(self.eva, token, PASSWORD))
        self.fails(Invalid, self.address_links.set_password(token, NEW))
        self.clock.advance(ADDRESS_SECONDS)
        self.fails(Invalid, self.address_links.verify(self.eva, token))
        self.now(self.address_links.ask(self.eva))
        self.now(self.accounts.delete_user(self.eva.id))
        self.fails(Invalid, self.address_links.verify(self.eva, self.letters.token("/verify/")))

    def test_new_address(self) -> None:
        """It is taken when the link that went to it comes back, and is proven then."""
        self.now(self.address_links.ask_new(self.eva, "Eva@New.example"))
        self.assertEqual(self.letters.sent[-1].to, "eva@new.example")
        self.assertEqual(self.now(self.accounts.user(self.eva.id)).email, "eva@example.net")
        token = self.letters.token("/my-account/change-email/")
        self.fails(AuthenticationFailed, self.address_links.take_new(self.eva, token, "wrong"))
        changed = self.now(self.address_links.take_new(self.eva, token, PASSWORD))
        self.assertEqual((changed.email, changed.has_verified_email), ("eva@new.example", True))
        self.fails(Invalid, self.address_links.take_new(changed, token, PASSWORD))

    def test_old_address_is_told(self) -> None:
        """Whoever took over a browser does not take the account in silence."""
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        token = self.letters.token("/my-account/change-email/")
        self.now(self.address_links.take_new(self.eva, token, PASSWORD))
        self.clock.advance(0)
        notice = self.letters.sent[-1]
        self.assertEqual((notice.to, notice.language), ("eva@example.net", "da"))
        self.assertIn("eva@new.example", str(notice.text))

    def test_another_password(self) -> None:
        """It ends every link that is open: whoever asked for them may be why it was changed."""
        self.now(self.address_links.ask(self.eva))
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        self.forgotten("eva@example.net")
        first, second, third = (str(notice.text) for notice in self.letters.sent)
        self.now(self.users.set_password(self.eva, NEW))
        links, eva = self.address_links, self.stored()
        self.fails(Invalid, links.verify(eva, first.split("/verify/")[1].split()[0]))
        self.fails(Invalid, links.take_new(eva, second.split("/change-email/")[1].split()[0], NEW))
        self.fails(Invalid, links.set_password(third.split("/reset-password/")[1].split()[0], NEW))

    def test_changed_meanwhile(self) -> None:
        """Two at once: the second finds the account changed, whatever it had read before."""
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        token = self.letters.token("/my-account/change-email/")
        self.now(self.address_links.ask(self.eva))
        verify = self.letters.token("/verify/")
        self.change_user(self.eva, email="eva@third.example")
        self.fails(Invalid, self.address_links.take_new(self.eva, token, PASSWORD))
        self.fails(Invalid, self.address_links.verify(self.eva, verify))
        stored = self.stored()
        self.assertEqual((stored.email, stored.has_verified_email), ("eva@third.example", False))

    def test_new_address_taken(self) -> None:
        """Nobody gets another's address: told at once, and when it was taken meanwhile."""
        self.fails(AlreadyExists, self.address_links.ask_new(self.eva, "admin@example.com"))
        self.fails(Invalid, self.address_links.ask_new(self.eva, "nothing"))
        self.now(self.address_links.ask_new(self.eva, "eva@new.example"))
        self.add_user("eva@new.example")
        token = self.letters.token("/my-account/change-email/")
        self.fails(AlreadyExists, self.address_links.take_new(self.eva, token, PASSWORD))

    def test_limits(self) -> None:
        """Nobody's mailbox is filled by the server, nor is it made to fill many."""
        for _ in range(ADDRESSES.to):
            self.now(self.address_links.ask(self.eva))
        self.fails(RateLimited, self.address_links.ask(self.eva))
        for n in range(ADDRESSES.by - ADDRESSES.to):
            self.now(self.address_links.ask_new(self.eva, f"x{n}@new.example"))
        self.fails(RateLimited, self.address_links.ask_new(self.eva, "y@new.example"))

    def test_limit_of_questions(self) -> None:
        """Asking which addresses are registered is limited like the mails themselves."""
        for n in range(ADDRESSES.by):
            user = self.add_user(f"u{n}@example.com")
            self.fails(AlreadyExists, self.address_links.ask_new(self.eva, user.email))
        self.fails(RateLimited, self.address_links.ask_new(self.eva, "admin@example.com"))


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

    def test_twice_at_once(self) -> None:
        """One link sets one password, also while the hash of another is being made."""
        self.proven()
        self.forgotten("eva@example.net")
        token = self.letters.token("/reset-password/")
        hashing: list[Deferred[str]] = [Deferred(), Deferred()]
        waiting = iter(hashing)
        self.patch(self.keyring, "hash_password", lambda _: next(waiting))
        setting = [
            Deferred.fromCoroutine(self.address_links.set_password(token, NEW)) for _ in range(2)
        ]
        hashing[1].callback("of the second")
        hashing[0].callback("of the first")
        self.successResultOf(setting[1])
        self.failureResultOf(setting[0], Invalid)
        self.assertEqual(self.stored().password_hash, "of the second")

    def test_account_of_a_stranger(self) -> None:
        """Who made an account with another's address loses it to whoever reads that."""
        session = self.now(self.users.start_session(self.eva, ""))
        api_token = self.now(self.users.api_token(self.eva))
        self.forgotten("eva@example.net")
        owner = self.now(
            self.address_links.set_password(self.letters.token("/reset-password/"), NEW)
        )
        self.assertTrue(owner.has_verified_email)
        self.fails(NotFound, self.users.session_user(session))
        self.fails(NotFound, self.users.by_token(api_token))
        self.fails(AuthenticationFailed, self.users.sign_in(owner.email, PASSWORD, ""))

    def test_api_token_stays(self) -> None:
        """Of an account that was proven: its owner forgot a password, no more."""
        self.proven()
        api_token = self.now(self.users.api_token(self.eva))
        self.forgotten("eva@example.net")
        self.now(self.address_links.set_password(self.letters.token("/reset-password/"), NEW))
        self.assertEqual(self.now(self.users.by_token(api_token)).id, self.eva.id)

    def test_too_late(self) -> None:
        """After an hour the link is none."""
        self.proven()
        self.forgotten("eva@example.net")
        self.clock.advance(PASSWORD_SECONDS)
        token = self.letters.token("/reset-password/")
        self.fails(Invalid, self.address_links.check_password_link(token))

    def test_nobody_is_told(self) -> None:
        """Unknown, closed, no address at all: the same answer, and no mail."""
        self.change_user(self.eva, is_banned=True)
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
            for n in range(PASSWORDS.to):
                self.forgotten(self.spelled(email)[n], f"192.0.2.{n}")
            self.fails(RateLimited, self.address_links.ask_password(email, "192.0.2.99"))
        self.assertEqual(len(self.letters.sent), PASSWORDS.to)

    @staticmethod
    def spelled(email: str) -> Sequence[str]:
        """One address in several spellings."""
        local, _, domain = email.partition("@")
        return email, f" {email.upper()}", f'"{local}"@{domain}'

    def test_nobody_is_locked_out(self) -> None:
        """Who is refused because strangers asked in his name has a link that works still."""
        self.proven()
        for n in range(PASSWORDS.to):
            self.clock.advance(60)
            self.forgotten("eva@example.net", f"192.0.2.{n}")
        token = self.letters.token("/reset-password/")
        while True:
            self.now(self.address_links.check_password_link(token))
            self.clock.advance(60)
            try:
                self.forgotten("eva@example.net", "192.0.2.99")
            except self.failureException:  # refused
                continue
            break
        self.assertEqual(len(self.letters.sent), PASSWORDS.to + 1)

    def test_kinds_are_counted_apart(self) -> None:
        """What strangers may ask for takes nothing from what only the owner may."""
        self.proven()
        for n in range(PASSWORDS.to):
            self.forgotten("eva@example.net", f"192.0.2.{n}")
        self.now(self.address_links.ask(self.eva))
        self.now(self.limits.take(RECIPIENTS, "eva@example.net", "another"))

    def test_unproven_is_mailed_seldom(self) -> None:
        """It may be the address of somebody who never heard of this server."""
        for n in range(9):
            self.forgotten("eva@example.net", f"192.0.2.{n}")
            self.clock.advance(PASSWORD_SECONDS)
        self.assertEqual(len(self.letters.sent), ADDRESSES.to)

    def test_tags_are_one_reader(self) -> None:
        """Nobody fills a mailbox by means of tags."""
        for n in range(ADDRESSES.to):
            self.now(self.limits.take(ADDRESSES, f"eva+{n}@example.net", f"by{n}"))
        self.fails(RateLimited, self.limits.take(ADDRESSES, "EVA@example.net", "x"))


class ProcessesTests(AccountsTestCase):
    """Two processes on one file, each with its own idea of what it read."""

    def process(self) -> AddressLinks:
        """One of them; its work waits for ``step``."""
        accounts = SQLiteAccountStore(self.path, self.threads)
        self.settled(accounts.start())
        self.addCleanup(lambda: self.settled(accounts.stop()))
        users = Users(accounts, self.keyring, self.counters, self.clock, self.failed_logins)
        return AddressLinks(
            accounts,
            users,
            self.keyring,
            Links(self.keyring, self.clock),
            self.letters,
            MailLimits(self.counters, self.keyring),
            self.errands,
            url="https://mail.example.com",
            name="fe-mail",
        )

    def setUp(self) -> None:
        """Eva is known to both."""
        super().setUp()
        self.path, self.threads, self.letters = self.mktemp(), LaterThreads(), Letterbox()
        self.here, self.there = self.process(), self.process()
        self.eva = self.settled(
            self.here._users.register("eva@example.net", PASSWORD, is_by_operator=True)
        )

    def settled(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result, after as many steps as it takes."""
        done = Deferred.fromCoroutine(work)
        self.steps()
        return self.successResultOf(done)

    def steps(self) -> None:
        """Everything that waits, and what comes of it, in turns."""
        while self.threads.calls:
            self.threads.next()

    def test_one_link_in_both(self) -> None:
        """Opened in both at once it sets one password; the other is told that it is used."""
        self.settled(self.here.ask_password("eva@example.net", "192.0.2.1"))
        self.clock.advance(0)
        token = self.letters.token("/reset-password/")
        setting = [
            Deferred.fromCoroutine(links.set_password(token, new))
            for links, new in ((self.here, NEW), (self.there, "yet one more 55 lamp"))
        ]
        self.steps()
        self.successResultOf(setting[0])
        self.failureResultOf(setting[1], Invalid)
        self.settled(self.there._users.sign_in("eva@example.net", NEW, "192.0.2.1"))

    def test_password_while_the_address_changes(self) -> None:
        """A link to the old address is worth nothing once the account has the new one."""
        self.settled(self.here.ask_new(self.eva, "eva@new.example"))
        change = self.letters.token("/my-account/change-email/")
        self.settled(self.here.ask_password("eva@example.net", "192.0.2.1"))
        self.clock.advance(0)
        token = self.letters.token("/reset-password/")
        taking = Deferred.fromCoroutine(self.there.take_new(self.eva, change, PASSWORD))
        setting = Deferred.fromCoroutine(self.here.set_password(token, NEW))
        self.steps()
        self.assertEqual(self.successResultOf(taking).email, "eva@new.example")
        self.failureResultOf(setting, Invalid)


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
