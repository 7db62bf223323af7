"""Tests of fe_mail.accounts.limits: what counts as one address, and how the counts run out."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from fe_mail.accounts.limits import (
    ADDRESS_BUDGET,
    KNOWN_SECONDS,
    LANE_SECONDS,
    PAIR_LIMIT,
    PROOF_COST,
    WINDOW_SECONDS,
    FailureLimits,
)
from fe_mail.accounts.slow_lanes import MAX_WAITING
from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.counting import Claim, Count, Taken
from fe_mail.model.errors import RateLimited, Unavailable
from tests.accounts.fakes import AccountsTestCase
from tests.adapters.later import LaterThreads

T = TypeVar("T")


class LimitsTests(AccountsTestCase):
    """Counts without a login around them."""

    def setUp(self) -> None:
        """Empty counts."""
        super().setUp()
        self.limits = FailureLimits(self.counters, self.keyring, self.clock, "test")

    def fail_from(self, ip: str, name: str, password: str | None = None, times: int = 1) -> None:
        """Some failures, of attempts that began before the limit was reached."""
        for _ in range(times):
            failed = Deferred.fromCoroutine(self.limits.failed(ip, name, password))
            failed.addErrback(lambda failure: failure.trap(RateLimited))

    def begin(self, work: Coroutine[Any, Any, T]) -> "Deferred[T]":
        """Something that may take its time."""
        return Deferred.fromCoroutine(work)

    def test_proofs_have_a_budget(self) -> None:
        """Proofs for ever other names use up the address's budget in the end."""
        for n in range(ADDRESS_BUDGET // PROOF_COST):
            self.now(self.limits.check("192.0.2.1", f"u{n}"))
            self.fail_from("192.0.2.1", f"u{n}")
        welcome = self.begin(self.limits.succeeded("192.0.2.1", "fresh"))
        self.assertNoResult(welcome)
        self.clock.advance(LANE_SECONDS)
        self.successResultOf(welcome)
        self.clock.advance(WINDOW_SECONDS)
        self.now(self.limits.succeeded("192.0.2.1", "new"))

    def test_an_address_is_only_slowed(self) -> None:
        """Wrong passwords for many names delay the others behind that address; they get in."""
        self.now(self.limits.succeeded("192.0.2.1", "seen"))
        for n in range(10):
            self.fail_from("192.0.2.1", f"u{n}", f"p{n}")
        self.now(self.limits.check("192.0.2.1", "seen"))
        self.now(self.limits.succeeded("192.0.2.1", "seen"))
        self.now(self.limits.check("192.0.2.1", "unseen"))
        welcome = self.begin(self.limits.succeeded("192.0.2.1", "unseen"))
        self.assertNoResult(welcome)
        self.clock.advance(LANE_SECONDS)
        self.successResultOf(welcome)
        self.now(self.limits.succeeded("192.0.2.1", "unseen"))  # it is known there now

    def test_one_after_the_other(self) -> None:
        """Many at once gain nothing: good or bad, one answer leaves after the other."""
        for n in range(10):
            self.fail_from("192.0.2.1", f"u{n}", f"p{n}")
        crowd = [self.begin(self.limits.failed("192.0.2.1", f"v{n}", "x")) for n in range(4)]
        crowd.append(self.begin(self.limits.succeeded("192.0.2.1", "right")))  # type: ignore[arg-type]
        for n in range(len(crowd)):
            self.assertEqual([each.called for each in crowd], [True] * n + [False] * (5 - n))
            self.clock.advance(LANE_SECONDS)
        self.assertTrue(all(each.called for each in crowd))

    def test_a_full_lane(self) -> None:
        """When too many wait the next is told to come later, before the password is looked at."""
        for n in range(10):
            self.fail_from("192.0.2.1", f"u{n}", f"p{n}")
        crowd = [
            self.begin(self.limits.failed("192.0.2.1", f"v{n}", "x")) for n in range(MAX_WAITING)
        ]
        self.fails(RateLimited, self.limits.check("192.0.2.1", "w"))
        self.fails(RateLimited, self.limits.succeeded("192.0.2.1", "w"))
        crowd[3].addErrback(lambda failure: failure.trap(CancelledError))
        crowd[3].cancel()
        self.now(self.limits.check("192.0.2.1", "w"))
        self.clock.advance(LANE_SECONDS * MAX_WAITING)
        self.assertTrue(all(each.called for each in crowd))
        self.assertFalse(self.limits._lanes._waiting)

    def test_where_the_owner_was_seen(self) -> None:
        """Whoever guesses there stops nobody: over the ten the name is slowed, not refused."""
        self.now(self.limits.succeeded("192.0.2.1", "name"))
        for n in range(PAIR_LIMIT):
            self.assertFalse(self.now(self.limits.failed("192.0.2.1", "name", f"p{n}")).is_last)
        self.now(self.limits.check("192.0.2.1", "name"))
        guess = self.begin(self.limits.failed("192.0.2.1", "name", "one more"))
        welcome = self.begin(self.limits.succeeded("192.0.2.1", "name"))
        other = self.begin(self.limits.succeeded("192.0.2.1", "other"))  # in a lane of its own
        self.clock.advance(LANE_SECONDS)
        self.assertEqual((guess.called, welcome.called, other.called), (True, False, True))
        self.clock.advance(LANE_SECONDS)
        self.successResultOf(welcome)

    def test_the_last_one_is_told(self) -> None:
        """The failure after which the name is refused is known as such, once."""
        told = [self.now(self.limits.failed("192.0.2.1", "name", f"p{n}")) for n in range(10)]
        self.assertEqual([each.is_last for each in told], [False] * 9 + [True])

    def test_the_same_again_is_told(self) -> None:
        """A wrong password that was tried before is no news; a proof always is."""
        told = [self.now(self.limits.failed("192.0.2.1", "name", "p")) for _ in range(2)]
        self.assertEqual([each.is_new for each in told], [True, False])
        told = [self.now(self.limits.failed("192.0.2.1", "name", None)) for _ in range(2)]
        self.assertEqual([each.is_new for each in told], [True, True])

    def test_operator_lifts_a_name(self) -> None:
        """Wherever it was tried; other names stay as they are."""
        for ip in ("192.0.2.1", "192.0.2.2"):
            for name in ("name", "other"):
                self.fail_from(ip, name, times=PAIR_LIMIT)
        self.now(self.limits.lift_name("name"))
        for ip in ("192.0.2.1", "192.0.2.2"):
            self.now(self.limits.check(ip, "name"))
            self.fails(RateLimited, self.limits.check(ip, "other"))

    def test_operator_lifts_an_address(self) -> None:
        """With all names that were tried there, in the whole of an IPv6 network."""
        for n in range(PAIR_LIMIT):
            self.fail_from("2001:db8::1", "name", f"p{n}")
            self.fail_from("192.0.2.2", "name", f"p{n}")
        self.now(self.limits.lift_address("2001:db8::2"))
        self.now(self.limits.check("2001:db8::1", "name"))
        self.now(self.limits.succeeded("2001:db8::1", "fresh"))
        self.fails(RateLimited, self.limits.check("192.0.2.2", "name"))

    def test_success_clears_the_name_only(self) -> None:
        """One own account buys no further guesses at others."""
        for n in range(9):
            self.fail_from("192.0.2.1", "victim", f"p{n}")
        self.now(self.limits.succeeded("192.0.2.1", "own"))
        self.fail_from("192.0.2.1", "victim", "p9")
        self.fails(RateLimited, self.limits.check("192.0.2.1", "victim"))
        self.assertNoResult(self.begin(self.limits.succeeded("192.0.2.1", "another")))

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
        other = FailureLimits(self.counters, self.keyring, self.clock, "other")
        self.fail_from("192.0.2.1", "name", None, times=60)
        self.now(other.check("192.0.2.1", "name"))

    def test_counters_name_nobody(self) -> None:
        """Neither names nor passwords stand in the store."""
        seen: list[str] = []

        class Seen:
            """Counters that show what they get."""

            async def take(self, *claims: Claim) -> Taken:
                """Note it."""
                seen.append(repr(claims))
                return Taken(tuple(Count() for _ in claims))

        limits = FailureLimits(Seen(), self.keyring, self.clock, "test")  # type: ignore[arg-type]
        self.now(limits.failed("192.0.2.1", "alice@example.org", "secret password"))
        self.assertEqual(len(seen), 1)
        for word in ("alice", "secret", "192.0.2.1"):
            self.assertNotIn(word, seen[0])

    def test_asking_writes_nothing(self) -> None:
        """Only failures write, and a success once a day."""
        written = self.changes()
        for n in range(20):
            self.now(self.limits.check("192.0.2.1", f"u{n}"))
        self.assertEqual(self.changes(), written)
        self.now(self.limits.succeeded("192.0.2.1", "own"))
        written = self.changes()
        for _ in range(5):
            self.clock.advance(3600)
            self.now(self.limits.succeeded("192.0.2.1", "own"))
        self.assertEqual(self.changes(), written)
        self.clock.advance(86_400)
        self.now(self.limits.succeeded("192.0.2.1", "own"))
        self.assertGreater(self.changes(), written)

    def changes(self) -> int:
        """How many rows were ever written."""
        work = self.counters._database.write(
            lambda c: c.execute("SELECT total_changes()").fetchall()
        )
        return int(self.now(work)[0][0])


class CrowdTests(AccountsTestCase):
    """Attempts that come at once, with counters that take their time."""

    def setUp(self) -> None:
        """Nothing was counted."""
        super().setUp()
        self.threads = LaterThreads()
        self.waiting: list[Deferred[None]] = []
        counters = SQLiteCounters(Database(":memory:", "counters", self.threads), self.clock)
        self.work(counters.start())
        self.limits = FailureLimits(counters, self.keyring, self.clock, "test")

    def work(self, *coroutines: Any) -> list[Any]:
        """Run all of them together; the errors and results."""
        found: list[Any] = []
        for each in coroutines:
            Deferred.fromCoroutine(each).addBoth(found.append)
        while self.threads.calls or self.waiting:
            while self.threads.calls:
                self.threads.calls.reverse()  # threads overtake each other
                self.threads.next()
            waiting, self.waiting = self.waiting, []
            for waiter in waiting:
                waiter.callback(None)
        return [getattr(each, "value", each) for each in found]

    async def looked_at(self) -> None:
        """Passwords take their time: nobody is answered before all were asked."""
        waiter: Deferred[None] = Deferred()
        self.waiting.append(waiter)
        await waiter

    async def attempt(self, password: str | None, is_right: bool, name: str = "alice") -> str:
        """As a login does it; what the client hears."""
        try:
            await self.limits.check("192.0.2.1", name)
            await self.looked_at()
            if is_right:
                await self.limits.succeeded("192.0.2.1", name)
                return "welcome"
            await self.limits.failed("192.0.2.1", name, password)
        except RateLimited:
            return "later"
        return "wrong"

    def test_passwords(self) -> None:
        """Ten are told that they were wrong, and nobody behind them that he was right."""
        crowd = [self.attempt(f"p{n}", is_right=n == 30) for n in range(40)]
        answers = self.work(*crowd)
        self.assertEqual([answers.count(each) for each in ("wrong", "welcome")], [10, 0])

    def test_proofs(self) -> None:
        """The same with SCRAM, one name after the other: over the budget few hear it, and late."""
        crowd = [self.attempt(None, is_right=n == 90, name=f"u{n}") for n in range(100)]
        answers = self.work(*crowd)
        self.assertEqual([answers.count(each) for each in ("wrong", "welcome")], [60, 0])
        self.assertEqual(answers.count("later"), 40 - MAX_WAITING)
        self.assertEqual(len(self.clock.getDelayedCalls()), MAX_WAITING)

    def test_a_small_crowd(self) -> None:
        """Before the limit is reached a right password is one."""
        answers = self.work(*(self.attempt(f"p{n}", is_right=n == 5) for n in range(10)))
        self.assertIn("welcome", answers)

    def test_nothing_is_left(self) -> None:
        """What is under way is forgotten when it ends, also when it fails."""
        self.work(*(self.attempt(f"p{n}", is_right=n == 5) for n in range(40)))
        self.assertEqual(self.limits._fresh._traffic, {})
        self.threads.is_full = True
        self.assertIsInstance(self.work(self.attempt("x", is_right=False))[0], Unavailable)
        self.assertEqual(self.limits._fresh._traffic, {})


class ProcessesTests(AccountsTestCase):
    """Two processes on one file, and one after the other."""

    def setUp(self) -> None:
        """The file."""
        super().setUp()
        self.path = self.mktemp()

    def process(self) -> FailureLimits:
        """One of them."""
        database = Database(self.path, "counters", InlineThreads(), is_synced=False)
        counters = SQLiteCounters(database, self.clock)
        self.now(counters.start())
        self.addCleanup(lambda: self.now(counters.stop()))
        return FailureLimits(counters, self.keyring, self.clock, "test")

    def test_one_budget(self) -> None:
        """Failures count together, a restart forgives none, the window does."""
        here, there = self.process(), self.process()
        for n in range(10):
            self.now((here, there)[n % 2].check("192.0.2.1", "alice"))
            self.now((here, there)[n % 2].failed("192.0.2.1", "alice", f"p{n}"))
        for limits in (here, there, self.process()):
            self.fails(RateLimited, limits.check("192.0.2.1", "alice"))
        self.clock.advance(WINDOW_SECONDS)
        self.now(here.check("192.0.2.1", "alice"))

    def test_no_answer_beyond(self) -> None:
        """Who began before the limit was reached in the other process learns nothing after it."""
        here, there = self.process(), self.process()
        self.now(here.check("192.0.2.1", "alice"))
        for n in range(10):
            self.now(there.failed("192.0.2.1", "alice", f"p{n}"))
        self.fails(RateLimited, here.failed("192.0.2.1", "alice", "wrong"))
        self.fails(RateLimited, here.succeeded("192.0.2.1", "alice"))

    def test_owner_is_known(self) -> None:
        """Also after a restart the owner's address is not slowed down."""
        self.now(self.process().succeeded("192.0.2.1", "alice"))
        limits = self.process()
        for n in range(50):
            self.now(limits.failed(f"203.0.113.{n}", "alice", f"p{n}"))
        self.now(limits.check("192.0.2.1", "alice"))
