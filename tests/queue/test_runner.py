"""Tests of fe_mail.queue.runner: claims, leases, retries, fairness, an orderly stop."""

import random
from typing import Any

from twisted.internet.defer import Deferred

from fe_mail.adapters.threads import InlineThreads
from fe_mail.app.steady import Clock as DateClock
from fe_mail.delivery.local import LocalCourier
from fe_mail.model.errors import Unavailable
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
)
from fe_mail.queue.runner import LEASE_SECONDS, POLL_SECONDS
from fe_mail.queue.schedule import (
    DEAD_AFTER_FAILURES,
    DEAD_SECONDS,
    DELAYED_NOTICE_AFTER_SECONDS,
    JITTER,
    LIFETIME_SECONDS,
    MIN_RETRY_SECONDS,
)
from fe_mail.reception.bounces import UNPROVEN
from tests.queue.base import MESSAGE, ScriptedCourier
from tests.queue.running import DOWN, LATER, NEVER, RunnerTestCase, StuckCourier


class DeliveryTests(RunnerTestCase):
    """From the queue to the target."""

    def test_end_to_end(self) -> None:
        """What the MX took is in the mailbox, the queue is empty."""
        runner = self.start()
        self.hand_in(self.envelope("alice+tag@example.org"))
        self.clock.advance(0)
        self.assertEqual(self.entries(), ())
        (raw,) = self.inbox()
        self.assertTrue(
            raw.startswith(
                b"Return-Path: <carol@elsewhere.test>\r\n"
                b"Delivered-To: alice@example.org\r\n"
                b"X-Original-To: alice+tag@example.org\r\n"
                b"Received: from client.test"
            )
        )
        self.assertTrue(raw.endswith(MESSAGE))
        self.assertEqual(self.kinds(), ["delivered"])
        self.assertEqual(runner.active_count, 0)

    def test_waits_in_the_queue(self) -> None:
        """What was queued before the start is found without a hint."""
        self.put_elsewhere("a@elsewhere.test")
        self.clock.advance(1)
        self.start()
        self.assertEqual(len(self.remote.claims), 1)

    def test_lost_hint(self) -> None:
        """Without a hint the timer finds it."""
        self.start()
        self.put_elsewhere("a@elsewhere.test")
        self.run_for(60)
        self.assertEqual(len(self.remote.claims), 1)

    def test_failing_courier(self) -> None:
        """A courier with a bug means later, and the others go on."""
        self.remote = ScriptedCourier(ZeroDivisionError(), Outcome.delivered())
        self.start()
        self.put("a@elsewhere.test", "b@other.test")
        self.clock.advance(0)
        (entry,) = self.entries()
        states = [delivery.state for delivery in entry.deliveries]
        self.assertEqual(states, [DeliveryState.WAITING, DeliveryState.DELIVERED])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.run_for(MIN_RETRY_SECONDS + 30)
        self.assertEqual(self.entries(), ())

    def test_unknown_courier(self) -> None:
        """A target that nobody can serve is deferred, not lost."""
        self.add_alias(self.domain, "hook", "https://hook.test/in")
        self.start()
        self.hand_in(self.envelope("hook@example.org"))
        self.clock.advance(0)
        (entry,) = self.entries()
        self.assertIn("4.3.5", entry.deliveries[0].last_status)

    def test_unreadable_queue(self) -> None:
        """A store that fails for a while stops nothing for ever."""
        original, failures = self.queue.claim, [Unavailable(), Unavailable()]

        async def claim(*arguments: Any) -> tuple[Claim, ...]:
            if failures:
                raise failures.pop()
            return await original(*arguments)

        self.queue.claim = claim  # type: ignore[method-assign]
        self.start()
        self.put_elsewhere("a@elsewhere.test")
        self.run_for(120)
        self.assertEqual(len(self.remote.claims), 1)

    def test_defective_queue(self) -> None:
        """Even a defect while claiming is logged, and mail that is due is claimed later."""
        original, failures = self.queue.claim, [RuntimeError("a defect")]

        async def claim(*arguments: Any) -> tuple[Claim, ...]:
            if failures:
                raise failures.pop()
            return await original(*arguments)

        self.put_elsewhere("a@elsewhere.test")
        self.queue.claim = claim  # type: ignore[method-assign]
        self.start()
        self.run_for(120)
        self.assertEqual(len(self.remote.claims), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class RetryTests(RunnerTestCase):
    """Later, late and too late."""

    def test_retry(self) -> None:
        """A temporary failure is tried again after the first interval."""
        self.remote = ScriptedCourier(LATER, Outcome.delivered())
        self.start()
        self.put("a@elsewhere.test")
        self.clock.advance(0)
        (entry,) = self.entries()
        self.assertEqual(entry.deliveries[0].last_status, "451 4.7.1 Greylisted")
        due = entry.deliveries[0].next_attempt_at
        self.assertEqual(due, self.clock.seconds() + MIN_RETRY_SECONDS)
        self.run_for(MIN_RETRY_SECONDS - 5)
        self.assertEqual(len(self.remote.claims), 1)
        self.run_for(10)
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.kinds(), ["deferred", "delivered"])

    def test_a_burst_does_not_come_back_as_one(self) -> None:
        """Messages that failed at the same moment are tried again at different ones."""
        self.remote = ScriptedCourier(LATER)
        for number in range(8):
            self.put(f"a@host{number}.test")
        self.start(random=random.random)
        self.run_for(1)
        dues = {entry.deliveries[0].next_attempt_at for entry in self.entries()}
        self.assertEqual(len(self.remote.claims), 8)
        self.assertEqual(len(dues), 8)
        now = self.clock.seconds()
        fifth = MIN_RETRY_SECONDS / 5
        self.assertGreaterEqual(min(dues), now - 1 + MIN_RETRY_SECONDS - fifth)
        self.assertLessEqual(max(dues), now + MIN_RETRY_SECONDS + fifth)

    def test_expiry(self) -> None:
        """After five days the sender gets one report; in between one notice of delay."""
        self.remote = ScriptedCourier(LATER)
        self.start()
        self.put("a@elsewhere.test")
        self.run_for(DELAYED_NOTICE_AFTER_SECONDS * 2, 60.0)
        (notice,) = self.inbox()
        self.assertIn(b"Action: delayed\r\n", notice)
        self.run_for(LIFETIME_SECONDS + 3600, 600.0)
        self.assertEqual(self.entries(), ())
        notices = self.inbox()
        self.assertEqual(len(notices), 2)
        self.assertIn(b"Status: 5.4.7\r\n", notices[1])
        self.assertIn(b"Last attempt: 451 4.7.1 Greylisted", notices[1])

    def test_expired_report(self) -> None:
        """A report that cannot be delivered goes after its time, and nobody is told of it."""
        self.remote = ScriptedCourier(LATER)
        self.start()
        self.put("a@elsewhere.test", source="bounce", reverse_path="", alias_id="", domain_id="")
        self.run_for(LIFETIME_SECONDS + 5 * 3600, 600.0)
        self.assertEqual((self.entries(), self.inbox()), ((), []))
        attempts = len(self.remote.claims)
        self.run_for(86_400.0, 600.0)
        self.assertEqual(len(self.remote.claims), attempts)

    def test_failure(self) -> None:
        """A permanent failure is reported at once, the report arrives in the mailbox."""
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.put("a@elsewhere.test")
        self.clock.advance(0)
        self.clock.advance(0)
        (report,) = self.inbox()
        self.assertTrue(report.startswith(b"Return-Path: <>\r\n"))
        self.assertIn(b"Final-Recipient: rfc822; a@elsewhere.test\r\n", report)
        self.assertEqual(self.entries(), ())

    def test_report_fails(self) -> None:
        """Without a durable report the failure is not final."""

        async def fail(claim: Claim, failures: object) -> None:
            raise Unavailable

        self.remote = ScriptedCourier(NEVER)
        self.bounces.failed = fail  # type: ignore[method-assign]
        self.start()
        self.put("a@elsewhere.test")
        self.clock.advance(0)
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.WAITING)
        self.flushLoggedErrors(Unavailable)


class BackscatterTests(RunnerTestCase):
    """Mail from outside that fails after it was accepted."""

    def test_strangers_are_not_told(self) -> None:
        """Nothing is sent in answer to a forged sender; the owner of the domain reads why."""
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.hand_in(self.envelope("fan@example.org", sender="victim@far.test", dsn_return="FULL"))
        self.clock.advance(1)
        self.assertEqual(self.entries(), ())
        (failed,) = self.remote.claims
        self.assertEqual(failed.delivery.target.courier, "forward")
        (entry,) = self.journal()
        self.assertEqual((entry.kind, entry.detail["note"]), ("failed", UNPROVEN.why))

    def test_our_users_are_told(self) -> None:
        """As ever, and there is nothing to note."""
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.put("a@elsewhere.test")
        self.clock.pump([1, 1])
        self.assertEqual(len(self.inbox()), 1)
        self.assertEqual([entry for entry in self.journal() if "note" in entry.detail], [])


class FairnessTests(RunnerTestCase):
    """One destination never stops the others."""

    def test_slow_destination(self) -> None:
        """Hundreds of messages to a host that hangs: local mail and other hosts go on."""
        stuck, quick = StuckCourier(), ScriptedCourier()

        class ByDomain:
            async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
                slow = claim.delivery.target.address.endswith("@slow.test")
                return await (stuck if slow else quick).deliver(claim)

        self.remote = ByDomain()
        runner = self.start()
        for number in range(300):
            self.put(f"u{number}@slow.test")
        self.put("a@quick.test")
        self.hand_in(self.envelope("alice@example.org"))
        self.run_for(5, 1.0)
        self.assertEqual(len(quick.claims), 1)
        self.assertEqual(len(self.inbox()), 1)
        self.assertEqual(len(stuck.waiting), 2, "slow start")
        while self.entries():
            stuck.release(Outcome.delivered())
            self.run_for(10, 5.0)
        self.assertEqual(runner.active_count, 0)

    def test_slow_web_services(self) -> None:
        """However many of them hang: mail to other hosts goes on."""
        stuck = self.more_couriers["webhook"] = StuckCourier()
        self.start(concurrency=4, web_concurrency=12)
        for number in range(40):
            self.add_alias(self.domain, f"hook{number}", f"https://slow{number}.test/")
            self.hand_in(self.envelope(f"hook{number}@example.org"))
        self.hand_in(self.envelope("fan@example.org"))
        self.run_for(5, 1.0)
        self.assertEqual((len(stuck.waiting), len(self.remote.claims)), (3, 1))
        while self.entries():
            stuck.release(Outcome.delivered())
            self.run_for(60, 5.0)

    def test_slow_start(self) -> None:
        """A destination that answers earns more connections."""
        self.remote = StuckCourier()
        self.start()
        for number in range(60):
            self.put(f"u{number}@elsewhere.test")
        self.clock.advance(0)
        widths = []
        for _ in range(5):
            widths.append(len(self.remote.waiting))
            self.remote.release(Outcome.delivered())
            self.clock.advance(0)
        self.assertEqual(widths, [2, 4, 8, 10, 10])

    def test_dead_destination(self) -> None:
        """Nobody answers there: after some failures the rest waits without being tried."""
        self.remote = ScriptedCourier(DOWN)
        self.start()
        for number in range(20):
            self.put(f"u{number}@down.test")
        self.clock.advance(0)
        self.assertEqual(len(self.remote.claims), DEAD_AFTER_FAILURES)
        statuses = [entry.deliveries[0].last_status[:9] for entry in self.entries()]
        tried = DEAD_AFTER_FAILURES
        wanted = [""] * (20 - tried) + ["451 4.4.1"] * tried
        self.assertEqual(sorted(statuses), wanted, "what is true")


class DateTests(RunnerTestCase):
    """Somebody sets the clock back."""

    def setUp(self) -> None:
        """A date apart from the timers, a day ahead; a host that defers, and one that is down."""
        super().setUp()
        self.timers, self.ahead = self.clock, 86_400.0
        self.clock: Any = DateClock(self.timers, lambda: self.timers.seconds() + self.ahead)
        self.remote = ScriptedCourier(LATER)

    def test_while_it_runs(self) -> None:
        """What was deferred is tried again after its own pause, not a day later."""
        self.start()
        self.put("a@elsewhere.test")
        self.timers.advance(0)
        self.assertEqual(len(self.remote.claims), 1)
        self.ahead = 0.0
        self.run_for(MIN_RETRY_SECONDS * (1 + JITTER) + 2 * POLL_SECONDS)
        self.assertEqual(len(self.remote.claims), 2)

    def test_between_two_runs(self) -> None:
        """So is what another run has left, and what was accepted meanwhile goes at once."""
        self.put_elsewhere("a@elsewhere.test")
        self.ahead = 0.0
        self.start()
        self.timers.advance(0)
        self.assertEqual(len(self.remote.claims), 1)

    def test_a_rest(self) -> None:
        """A destination that was down is tried again after a rest of its own length."""
        self.remote = ScriptedCourier(DOWN)
        self.start()
        for number in range(DEAD_AFTER_FAILURES + 1):
            self.put(f"u{number}@down.test")
        self.timers.advance(0)
        self.assertEqual(len(self.remote.claims), DEAD_AFTER_FAILURES)
        self.ahead = 0.0
        self.run_for(DEAD_SECONDS + 2 * POLL_SECONDS)
        self.assertGreater(len(self.remote.claims), DEAD_AFTER_FAILURES)


class LeaseTests(RunnerTestCase):
    """What a killed process leaves, and what a slow one keeps."""

    def test_killed(self) -> None:
        """A process that dies between delivery and settling: one message, delivered once."""
        local = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)
        self.hand_in(self.envelope("alice@example.org"))
        self.now(local.deliver(self.claim()))  # and killed
        self.start()
        self.run_for(LEASE_SECONDS + 40)
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.inbox()), 1)

    def test_renewed(self) -> None:
        """A delivery that takes long keeps its lease."""
        self.remote = StuckCourier()
        self.start()
        self.put("a@elsewhere.test")
        self.run_for(LEASE_SECONDS * 3)
        self.assertEqual(self.claims(), ())
        self.remote.release(Outcome.delivered())
        self.assertEqual(self.entries(), ())

    def test_lost(self) -> None:
        """A lease that another process took: its outcome is not recorded by us."""
        self.remote = StuckCourier()
        self.start()
        message = self.put("a@elsewhere.test")
        self.take_over(message)
        self.remote.release(NEVER)
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.WAITING)

    def test_lost_before_its_turn(self) -> None:
        """A claim that only waits and whose lease was lost is not delivered."""
        self.remote = StuckCourier()
        self.start()
        messages = [self.put(f"{name}@elsewhere.test") for name in "abc"]
        self.clock.advance(0)
        self.assertEqual(len(self.remote.waiting), 2)
        self.take_over(messages[2])
        self.run_for(LEASE_SECONDS / 2)
        self.remote.release(Outcome.delivered())
        self.clock.advance(0)
        self.assertEqual(self.remote.waiting, [])


class StopTests(RunnerTestCase):
    """An orderly end."""

    def test_waits(self) -> None:
        """Running deliveries end and are settled; what only waited is given back at once."""
        self.remote = StuckCourier()
        runner = self.start()
        for number in range(5):
            self.put(f"u{number}@elsewhere.test")
        self.clock.advance(0)
        stopping = Deferred.fromCoroutine(runner.stop())
        self.assertNoResult(stopping)
        self.assertEqual(len(self.claims()), 3)
        self.remote.release(Outcome.delivered())
        self.successResultOf(stopping)
        self.assertEqual(len(self.entries()), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grace(self) -> None:
        """What takes too long is broken off, and will be tried again."""
        self.remote = StuckCourier()
        runner = self.start()
        self.put("a@elsewhere.test")
        self.clock.advance(0)
        stopping = Deferred.fromCoroutine(runner.stop(grace_seconds=5.0))
        self.clock.advance(6.0)
        self.successResultOf(stopping)
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.WAITING)
        self.assertEqual(entry.deliveries[0].last_status, "", "no attempt that came to an end")
        self.assertEqual(len(self.claims()), 1, "due at once, for whoever comes next")

    def test_idle(self) -> None:
        """Nothing to wait for."""
        runner = self.start()
        self.now(runner.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
