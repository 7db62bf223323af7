"""
The services of the accounts over what a server really runs: SQLite, real keys, sealed mailboxes.

The tests are those of the other modules; here only the stores are exchanged. And the two things
that only real derivations show: the cost of a login, and that a stranger's costs the same.
"""

from typing import Any

from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.mailbox.store import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.ports import MailboxStore
from tests.accounts import test_aliases, test_login, test_routing


class CountingKeyring(ServerKeyring):
    """The real one, which lists the derivations that were asked."""

    def __init__(self) -> None:
        super().__init__(b"a secret of the server" * 2, InlineThreads())
        self.derivations: list[int] = []

    async def salted_password(self, password: str, salt: bytes, iterations: int) -> bytes:
        """Count and derive."""
        self.derivations.append(iterations)
        return await super().salted_password(password, salt, iterations)


class _Durable:
    """Stores on disk and the server's keyring."""

    mktemp: Any
    now: Any
    bus: Any
    clock: Any
    addCleanup: Any

    def make_keyring(self) -> Any:
        """The real one."""
        return CountingKeyring()

    def make_accounts(self) -> SQLiteAccountStore:
        """SQLite."""
        accounts = SQLiteAccountStore(":memory:", InlineThreads())
        self.now(accounts.start())
        self.addCleanup(lambda: self.now(accounts.stop()))
        return accounts

    def make_mailboxes(self) -> MailboxStore:
        """Encrypted files."""
        mailboxes = SQLiteMailboxStore(
            self.mktemp(), self.bus, InlineThreads(), self.clock, key=b"s" * 32
        )
        self.now(mailboxes.start())
        self.addCleanup(lambda: self.now(mailboxes.stop()))
        return mailboxes


class DurablePasswordTests(_Durable, test_aliases.PasswordTests):
    """Passwords, recovery codes and beginning anew, with files that are really encrypted."""


class DurableScramTests(_Durable, test_login.ScramExchangeTests):
    """Proofs against verifiers that came from the disk."""


class DurablePrecedenceTests(_Durable, test_routing.PrecedenceTests):
    """Routing over real rows."""


class DurableClaimTests(_Durable, test_routing.ClaimTests):
    """Claims over real rows."""


class DurableTargetTests(_Durable, test_routing.TargetTests):
    """Targets over real rows."""
