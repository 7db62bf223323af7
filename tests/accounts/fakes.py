"""What the tests of the accounts need: a furnished store on the verified fakes."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.notices import Notice
from fe_mail.accounts.passwords import new_credential
from fe_mail.errands import Errands
from fe_mail.model.account import Alias, Credential, Domain, Member, User
from fe_mail.model.errors import MailError
from fe_mail.model.ids import AliasId, DomainId, UserId, new_id
from fe_mail.ports import MailboxStore
from tests.contracts.account_case import AccountStores
from tests.fakes import (
    MemoryAccountStore,
    MemoryBus,
    MemoryJournal,
    QuickKeyring,
    give_keys,
    mailbox_store,
    memory_counters,
)

__all__ = ["AccountsTestCase", "Letterbox"]

T = TypeVar("T")
START = 1_700_000_000.0


class AccountsTestCase(SynchronousTestCase):
    """A store with two users, and short ways to add what a test is about."""

    def setUp(self) -> None:
        """An empty server with an admin and an ordinary user."""
        self.clock = Clock()
        self.clock.advance(START)
        self.keyring = self.make_keyring()
        self.accounts = self.make_accounts()
        self.counters = memory_counters(self.clock)
        self.log_book = MemoryJournal()
        self.errands = Errands(self.clock)
        self.failed_logins = FailedLogins(self.log_book, self.errands, self.clock)
        self.bus = MemoryBus(self.clock)
        self.mailboxes = self.make_mailboxes()
        self.admin = self.add_user("admin@example.com")
        self.user = self.add_user("user@example.com")

    def make_keyring(self) -> Any:
        """A keyring; ``tests.accounts.test_durable`` makes the real one."""
        return QuickKeyring()

    def make_accounts(self) -> AccountStores:
        """An empty store."""
        return MemoryAccountStore()

    def make_mailboxes(self) -> MailboxStore:
        """A store of mailboxes."""
        return mailbox_store(self, self.bus, self.clock)

    def now(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result of a coroutine that needs no waiting."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, error: type[T], work: Coroutine[Deferred[Any], Any, Any]) -> T:
        """The error that a coroutine ends with at once."""
        value = self.failureResultOf(Deferred.fromCoroutine(work), error).value
        assert isinstance(value, error)
        return value

    def add_user(self, email: str, **more: Any) -> User:
        """A user; the first one is the server's admin."""
        user = User(
            id=UserId(new_id(self.clock.seconds())),
            email=email,
            password_hash="",
            created_at=self.clock.seconds(),
            **more,
        )
        return self.now(self.accounts.add_user(user))

    def add_domain(self, name: str, owner: User | None = None, **more: Any) -> Domain:
        """A verified domain of the user (or of ``owner``)."""
        self.clock.advance(1)
        members = (Member(user_id=(owner or self.user).id, group="admin"),)
        more = {"has_txt_record": True, "has_mx_record": True, **more}
        domain = Domain(
            id=DomainId(new_id(self.clock.seconds())),
            name=name,
            members=members,
            created_at=self.clock.seconds(),
            **more,
        )
        return self.now(self.accounts.add_domain(domain))

    def add_alias(self, domain: Domain, name: str, *recipients: str, **more: Any) -> Alias:
        """An alias that forwards to ``recipients``."""
        self.clock.advance(1)
        alias = Alias(
            id=AliasId(new_id(self.clock.seconds())),
            domain_id=domain.id,
            name=name,
            recipients=recipients,
            created_at=self.clock.seconds(),
            **{"user_id": self.user.id, **more},
        )
        return self.now(self.accounts.add_alias(alias))

    def add_credential(
        self, alias: Alias, password: str, key: bytes = b"k" * 32, **more: Any
    ) -> Credential:
        """A password of the alias; the mailbox is made with the first one."""
        work = new_credential(
            self.keyring,
            alias.id,
            password,
            key,
            self.clock.seconds(),
            **{"iterations": 4096, **more},
        )
        credential = self.now(work)
        keys = self.now(self.accounts.keys(alias.id))
        sealing_key = keys.sealing_key or self.now(self.mailboxes.create(alias.id, key))
        credentials = (*keys.credentials, credential)
        now = self.clock.seconds()
        self.now(give_keys(self.accounts, alias.id, credentials, sealing_key, now))
        return credential

    def change_alias(self, alias: Alias, **changes: object) -> Alias:
        """Change it in the store."""
        return self.now(self.accounts.update_alias(alias.id, self.clock.seconds(), **changes))

    def change_user(self, user: User, **changes: object) -> User:
        """Change it in the store."""
        return self.now(self.accounts.update_user(user.id, self.clock.seconds(), **changes))

    def evolve(self, value: T, **changes: Any) -> T:
        """A changed copy."""
        return attrs.evolve(value, **changes)  # type: ignore[type-var]  # attrs values only


class Letterbox:
    """``fe_mail.accounts.notices.Notices`` that keeps what it is to send; it may be broken."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.error: MailError | None = None

    async def send(self, notice: Notice) -> None:
        """Keep it."""
        if self.error is not None:
            raise self.error
        self.sent.append(notice)

    def token(self, path: str) -> str:
        """What the last link of this path carries."""
        return str(self.sent[-1].text).split(path)[1].split()[0]
