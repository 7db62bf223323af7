"""Tests of fe_mail.accounts.limits: what counts as one address, and how the counts run out."""

from twisted.internet.defer import Deferred

from fe_mail.accounts.limits import (
    ADDRESS_BUDGET,
    KNOWN_SECONDS,
    PAIR_LIMIT,
    PROOF_COST,
    WINDOW_SECONDS,
    FailureLimits,
)
from fe_mail.model.errors import RateLimited
from tests.accounts.fakes import AccountsTestCase


class LimitsTests(AccountsTestCase):
    """Counts without a login around them."""

    def setUp(self) -> None:
        """Empty counts."""
        super().setUp()
        self.limits = FailureLimits(self.cache, self.keyring, self.clock, "test")

    def fail_from(self, ip: str, name: str, password: str | None = None, times: int = 1) -> None:
        """Some failures."""
        for _ in range(times):
            self.now(self.limits.failed(ip, name, password))

    def test_proofs_have_a_budget(self) -> None:
        """Proofs for ever other names use up the address's budget in the end."""
        for n in range(ADDRESS_BUDGET // PROOF_COST):
            self.now(self.limits.check("192.0.2.1", f"u{n}"))
            self.fail_from("192.0.2.1", f"u{n}")
        self.fails(RateLimited, self.limits.check("192.0.2.1", "fresh"))
        self.clock.advance(WINDOW_SECONDS)
        self.now(self.limits.check("192.0.2.1", "fresh"))

    def test_success_clears_the_name_only(self) -> None:
        """One own account buys no further guesses at others."""
        for n in range(9):
            self.fail_from("192.0.2.1", "victim", f"p{n}")
        self.now(self.limits.succeeded("192.0.2.1", "own"))
        self.fail_from("192.0.2.1", "victim", "p9")
        self.fails(RateLimited, self.limits.check("192.0.2.1", "own"))

    def test_success_clears_the_name_there(self) -> None:
        """Who mistyped and then signed in begins anew there; failures elsewhere still count."""
        for ip in ("192.0.2.1", "192.0.2.2"):
            self.fail_from(ip, "name", times=PAIR_LIMIT - 1)
        self.now(self.limits.succeeded("192.0.2.1", "name"))
        for ip in ("192.0.2.1", "192.0.2.2"):
            self.fail_from(ip, "name")
        self.now(self.limits.check("192.0.2.1", "name"))
        self.fails(RateLimited, self.limits.check("192.0.2.2", "name"))

    def test_mail_without_address(self) -> None:
        """What comes from nowhere is limited by name alone."""
        for n in range(10):
            self.fail_from("", f"u{n}", "p")
        self.now(self.limits.check("", "u0"))
        for n in range(10):
            self.fail_from("", "u0", f"q{n}")
        self.fails(RateLimited, self.limits.check("", "u0"))

    def test_known_address_is_forgotten(self) -> None:
        """The owner's address is known for a month after the last login."""
        self.now(self.limits.succeeded("192.0.2.1", "name"))
        for wait in (0.0, KNOWN_SECONDS):
            self.clock.advance(wait)
            for n in range(50):
                self.fail_from(f"203.0.113.{n}", "name", f"p{n}")
            pending = Deferred.fromCoroutine(self.limits.check("192.0.2.1", "name"))
            if wait:
                self.assertNoResult(pending)
            else:
                self.successResultOf(pending)

    def test_kinds_are_apart(self) -> None:
        """Failures on the web do not stop mail clients."""
        other = FailureLimits(self.cache, self.keyring, self.clock, "other")
        self.fail_from("192.0.2.1", "name", None, times=60)
        self.now(other.check("192.0.2.1", "name"))

    def test_cache_names_nobody(self) -> None:
        """Neither names nor passwords stand in the cache."""
        self.fail_from("192.0.2.1", "alice@example.org", "secret password")
        kept = repr(vars(self.cache))
        for word in ("alice", "secret", "192.0.2.1"):
            self.assertNotIn(word, kept)
