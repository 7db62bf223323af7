"""Tests of fe_mail.accounts.departure: what goes with an account, and what stays."""

from fe_mail.accounts.departure import Departure
from fe_mail.accounts.users import Users
from fe_mail.model.account import Member, User
from fe_mail.model.errors import AuthenticationFailed, NotFound, PermissionDenied, RateLimited
from tests.accounts.fakes import AccountsTestCase

PASSWORD = "mulled otter 84 quay"


class DepartureTests(AccountsTestCase):
    """``eva@example.net`` leaves."""

    def setUp(self) -> None:
        """An account with a known password."""
        super().setUp()
        self.users = Users(self.accounts, self.keyring, self.counters, self.clock)
        self.departure = Departure(self.accounts, self.users, self.mailboxes, self.bus)
        self.eva = self.now(self.users.register("eva@example.net", PASSWORD))

    def leave(self, user: User, password: str = PASSWORD) -> None:
        """Go."""
        self.now(self.departure.leave(user, password))

    def test_domain(self) -> None:
        """A domain that nobody else administers goes with aliases, mailboxes and open sessions."""
        domain = self.add_domain("eva.example", self.eva)
        alias = self.add_alias(domain, "eva", user_id=self.eva.id, has_imap=True)
        self.add_credential(alias, "x")
        heard: list[object] = []
        self.bus.subscribe(f"credentials:{alias.id}", heard.append)
        self.leave(self.eva)
        self.clock.advance(0)
        self.assertEqual(1, len(heard))
        self.fails(NotFound, self.accounts.user(self.eva.id))
        self.fails(NotFound, self.accounts.domain(domain.id))
        self.fails(NotFound, self.mailboxes.unlock(alias.id, b"k" * 32))

    def test_shared_domain(self) -> None:
        """A domain with another admin stays, and that admin inherits the aliases."""
        domain = self.add_domain("ours.example", self.admin)
        self.now(self.accounts.set_member(domain.id, Member(user_id=self.eva.id)))
        alias = self.add_alias(domain, "eva", user_id=self.eva.id)
        self.leave(self.eva)
        self.assertEqual(self.admin.id, self.now(self.accounts.alias(alias.id)).user_id)

    def test_password(self) -> None:
        """Only with the password, and a stolen session is no place to guess it."""
        for number in range(10):
            self.fails(AuthenticationFailed, self.departure.leave(self.eva, f"wrong {number}"))
        self.fails(RateLimited, self.departure.leave(self.eva, PASSWORD))
        self.assertEqual(self.eva.id, self.now(self.accounts.user(self.eva.id)).id)

    def test_last_admin(self) -> None:
        """The server keeps an admin."""
        admin = self.now(self.users.set_password(self.admin, PASSWORD))
        self.fails(PermissionDenied, self.departure.leave(admin, PASSWORD))
        self.change_user(self.eva, group="admin")
        self.leave(admin)
        self.fails(NotFound, self.accounts.user(admin.id))
