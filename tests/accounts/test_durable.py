"""
The services of the accounts over what a server really runs: SQLite, real keys, sealed mailboxes.

The tests are those of the other modules; here only the stores are exchanged. And the two things
that only real derivations show: the cost of a login, and that a stranger's costs the same.
"""

import time
from typing import Any

from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.mailbox.store import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import AuthenticationFailed
from fe_mail.ports import AccountStore, MailboxStore
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

    def make_accounts(self) -> AccountStore:
        """SQLite."""
        accounts = SQLiteAccountStore(":memory:", InlineThreads())
        self.now(accounts.start())
        self.addCleanup(lambda: self.now(accounts.stop()))
        return accounts

    def make_mailboxes(self) -> MailboxStore:
        """Encrypted files."""
        mailboxes = SQLiteMailboxStore(self.mktemp(), self.bus, InlineThreads(), self.clock)
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


class CostTests(_Durable, test_login.LoginTestCase):
    """What a login costs."""

    def _seconds(self, *usernames: str) -> list[float]:
        """The median time of a refusal for each name, measured in turn."""
        times: dict[str, list[float]] = {name: [] for name in usernames}
        for n in range(21):
            for name in usernames:
                peer = Peer(ip=f"203.0.113.{n}")
                started = time.perf_counter()
                work = self.login.authenticate(name, f"wrong {n}", peer, "imap")
                self.fails(AuthenticationFailed, work)
                times[name].append(time.perf_counter() - started)
        return [sorted(each)[len(each) // 2] for each in times.values()]

    def test_unknown_names_cost_the_same(self) -> None:
        """Nobody can tell from the time whether an address exists."""
        few = next(
            name
            for name in (f"nobody{n}@example.org" for n in range(50))
            if self.now(self.login.candidate(name, Peer(), "imap")).credential.iterations == 4096
        )
        known, unknown = self._seconds("alice@example.org", few)
        self.assertTrue(0.4 < known / unknown < 2.5, f"{known:.6f} s and {unknown:.6f} s")

    def test_reconnecting_is_cheap(self) -> None:
        """A client that comes back costs no derivation, even of a chosen password."""
        self.add_credential(self.alice, "a chosen password", iterations=600_000)
        self.enter(password="a chosen password")
        started = time.perf_counter()
        self.enter(password="a chosen password")
        self.assertTrue(time.perf_counter() - started < 0.05)
