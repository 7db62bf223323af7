"""Tests of fe_mail.accounts.departure: what goes with an account, and what stays."""

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from fe_mail.accounts.departure import Departure
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.users import Users
from fe_mail.errands import Errands
from fe_mail.model.account import Domain, Member, User
from fe_mail.model.errors import AuthenticationFailed, NotFound, PermissionDenied, RateLimited
from fe_mail.model.ids import DomainId, UserId
from fe_mail.model.page import Query
from tests.accounts.fakes import AccountsTestCase
from tests.accounts.processes import Process, ProcessesTestCase
from tests.fakes import MemoryJournal, memory_counters

PASSWORD = "mulled otter 84 quay"


class DepartureTests(AccountsTestCase):
    """``eva@example.net`` leaves."""

    def setUp(self) -> None:
        """An account with a known password."""
        super().setUp()
        self.users = Users(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins
        )
        self.departure = Departure(self.accounts, self.users, self.mailboxes, self.bus)
        self.eva = self.now(self.users.register("eva@example.net", PASSWORD, is_by_operator=True))

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


class AtOnceTests(ProcessesTestCase):
    """Two processes end the accounts of the only two admins, of the server or of a domain."""

    def leaving(self, process: Process, user: User) -> "Deferred[None]":
        """Begin."""
        counters = memory_counters(self.clock)
        failed = FailedLogins(MemoryJournal(), Errands(self.clock), self.clock)
        users = Users(process.accounts, process.keyring, counters, self.clock, failed)
        departure = Departure(process.accounts, users, process.mailboxes, self.bus)
        return process.run(departure.remove(user))

    def test_one_stays(self) -> None:
        """Wherever one interrupts the other, the server keeps an admin, and who stays is told."""
        for count in range(4):
            self.begin_anew()
            bob = User(id=UserId("bob"), email="bob@example.net", password_hash="x")
            self.now(self.onlooker.accounts.add_user(bob))
            bob = self.now(self.onlooker.accounts.update_user(bob.id, 1.0, group="admin"))
            one, other = self.process(), self.process()
            first, second = self.leaving(one, self.eva), self.leaving(other, bob)
            one.steps(count)
            other.finish()
            one.finish()
            told = [each for each in (first, second) if isinstance(each.result, Failure)]
            self.assertEqual(len(told), 1, count)
            self.failureResultOf(told[0], PermissionDenied)
            users = self.now(self.onlooker.accounts.users(Query())).items
            self.assertEqual([each.group for each in users], ["admin"], count)
            self.assertEqual(self.now(self.onlooker.accounts.check()), ())

    def test_shared_domain(self) -> None:
        """The domain goes with whoever is last, so none is left without an admin."""
        for count in range(4):
            self.begin_anew()
            both = []
            for name in ("bob", "carol"):
                person = User(id=UserId(name), email=f"{name}@example.net", password_hash="x")
                both.append(self.now(self.onlooker.accounts.add_user(person)))
            members = tuple(Member(user_id=each.id, group="admin") for each in both)
            shared = Domain(id=DomainId("s"), name="shared.example", members=members)
            self.now(self.onlooker.accounts.add_domain(shared))
            one, other = self.process(), self.process()
            first, second = self.leaving(one, both[0]), self.leaving(other, both[1])
            one.steps(count)
            other.finish()
            one.finish()
            self.successResultOf(first)
            self.successResultOf(second)
            left = self.now(self.onlooker.accounts.domains(None, Query())).items
            self.assertEqual([each.id for each in left], [self.domain.id], count)
            self.assertEqual(self.now(self.onlooker.accounts.check()), ())
