"""
Nothing is half done: outcomes that cannot be written, in every step of writing them, and answers of
the queue that come late.
"""

import random
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.delivery.local import LocalCourier
from fe_mail.model.errors import Unavailable
from fe_mail.model.queue import Claim, DeliveryState, Outcome
from fe_mail.ports import Settlement
from fe_mail.queue.runner import LEASE_SECONDS, STOP_GRACE_SECONDS, QueueRunner
from fe_mail.queue.schedule import (
    DELAYED_NOTICE_AFTER_SECONDS,
    LIFETIME_SECONDS,
    MAX_RETRY_SECONDS,
)
from fe_mail.queue.settling import DEFECT_TRIES, RETRY_SECONDS, Settling
from fe_mail.reception.bounces import Bounces
from tests.adapters.later import LaterThreads
from tests.queue.base import MESSAGE, PostOfficeTestCase, ScriptedCourier
from tests.queue.running import (
    DELIVERED,
    LATER,
    NEVER,
    RunnerTestCase,
    StuckCourier,
    elsewhere,
)


class FullDiskTests(RunnerTestCase):
    """The queue cannot be written for a while."""

    def setUp(self) -> None:
        """Switch the disk off and on."""
        super().setUp()
        self.is_full = False
        self.refused = 0
        write = self.queue.database.write

        async def maybe(work: Any) -> Any:
            if self.is_full:
                self.refused += 1
                raise Unavailable("The disk is full.")
            return await write(work)

        self.patch(self.queue.database, "write", maybe)

    def test_not_repeated(self) -> None:
        """The outcome is recorded when there is space, however long that takes; no second copy."""
        self.remote = StuckCourier()
        self.start()
        for name in "abc":
            self.put(f"x@{name}.test")
        self.is_full = True
        self.remote.release(DELIVERED)
        self.run_for(10 * LEASE_SECONDS)
        self.assertEqual(len(self.entries()), 3)
        self.is_full = False
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.remote.begun), 3)
        self.assertEqual(self.kinds(), ["delivered"] * 3)
        self.run_for(LEASE_SECONDS)
        self.assertEqual(len(self.remote.begun), 3)

    def test_one_word_for_all(self) -> None:
        """What could not be written together is tried again together."""
        self.remote = StuckCourier()
        self.start()
        for number in range(10):
            self.put(f"x@{number}.test")
        self.is_full = True
        self.remote.release(DELIVERED)
        self.clock.advance(RETRY_SECONDS)
        before = self.refused
        for _ in range(5):
            self.clock.advance(RETRY_SECONDS)
        self.assertLessEqual(self.refused - before, 2 * 5)

    def test_told_once(self) -> None:
        """Not every two seconds, and not by every part of the queue for itself."""
        self.remote = StuckCourier()
        self.start()
        self.put("x@a.test")
        lines: list[Any] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        self.is_full = True
        self.remote.release(DELIVERED)
        self.run_for(LEASE_SECONDS / 2)
        texts = [formatEvent(event) for event in lines]
        self.assertEqual(len([text for text in texts if "could not be recorded" in text]), 1)

    def test_failure_with_its_report(self) -> None:
        """A report waits with its failure, and is sent once; a large one too."""
        for raw in (MESSAGE, MESSAGE + b"x" * SMALL_OCTETS):
            self.remote = StuckCourier()
            self.start()
            message = self.message(size_octets=len(raw))
            acceptance = self.acceptance(message, elsewhere("x@a.test"), raw=raw)
            self.now(self.intake.accept(message, acceptance.deliveries, acceptance.body))
            before = len(self.inbox())
            self.is_full = True
            self.remote.release(NEVER)
            self.run_for(60.0)
            self.is_full = False
            self.run_for(60.0)
            self.assertEqual(self.entries(), ())
            self.assertEqual(len(self.inbox()) - before, 1)
            self.assertEqual(self.now(self.blobs.list()), ())

    def test_end_of_the_process(self) -> None:
        """It does not wait for ever for a disk that stays full; the lease runs out."""
        self.remote = StuckCourier()
        runner = self.start()
        self.put("x@a.test")
        self.is_full = True
        self.remote.release(DELIVERED)
        stopping = Deferred.fromCoroutine(runner.stop())
        self.run_for(STOP_GRACE_SECONDS + 2 * RETRY_SECONDS, 1.0)
        self.successResultOf(stopping)
        left = [call.func.__module__ for call in self.clock.getDelayedCalls()]
        self.assertEqual([name for name in left if name.startswith("fe_mail.queue")], [])
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class DefectTests(RunnerTestCase):
    """One outcome that can never be written."""

    def test_stops_no_other(self) -> None:
        """The others are recorded, it is given up after some tries."""
        finish = self.queue.finish

        async def fail_for_a(settlements: Any, now: float) -> Any:
            if any(one.claim.lane == "smtp:a.test" for one in settlements):
                raise ZeroDivisionError
            return await finish(settlements, now)

        self.remote = StuckCourier()
        self.start()
        for name in "abc":
            self.put(f"x@{name}.test")
        self.patch(self.queue, "finish", fail_for_a)
        self.remote.release(DELIVERED)
        self.run_for(DEFECT_TRIES * RETRY_SECONDS + 1, 1.0)
        self.assertEqual([one.deliveries[0].recipient for one in self.entries()], ["x@a.test"])
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), DEFECT_TRIES)


class ClaimedAnewTests(RunnerTestCase):
    """Outcomes that are written one by one, while we get other leases."""

    def test_written_again(self) -> None:
        """Each is written under its new lease at once, and does not wait for other mail to end."""
        answers: list[Deferred[None]] = []

        async def finish(settlements: Any, now: float) -> Any:
            if len(settlements) > 1:
                raise ZeroDivisionError
            (claim,) = [one.claim for one in settlements]
            answers.append(Deferred())
            await answers[-1]
            return () if claim.token == "new" else (claim,)

        self.patch(self.queue, "finish", finish)
        for name in "abc":
            self.put(f"x@{name}.test")
        claims = self.claims()
        token = "old"
        settling = Settling(self.queue, self.clock, Deferred.fromCoroutine)
        done = [
            settling.add(
                Settlement(claim=claim, outcomes=(DELIVERED,)),
                partial(lambda claim: [attrs.evolve(claim, token=token)], claim),
            )
            for claim in claims
        ]
        answers.pop().callback(None)  # the first is lost; the others fail together
        self.assertEqual(len(answers), 2)
        token = "new"
        while answers:
            answers.pop().callback(None)
        self.assertEqual([self.successResultOf(one) for one in done], [False, True, True])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TogetherTests(RunnerTestCase):
    """Outcome, journal and report: all of them or none, wherever it breaks."""

    STEPS = (
        "UPDATE ON deliveries",
        "INSERT ON log",
        "INSERT ON messages",
        "INSERT ON deliveries",
        "DELETE ON messages",
        "DELETE ON deliveries",
    )

    def see(self) -> object:
        """Everything that is stored."""
        return self.entries(), self.journal(), self.now(self.queue.counts())

    def test_every_step(self) -> None:
        """What breaks leaves nothing behind; what is tried again is done once."""
        self.start()
        for step in self.STEPS:
            self.remote.outcomes = [NEVER]
            before = len(self.inbox()), len(self.journal())
            claim = self.claim_on(self.message(), elsewhere("x@a.test"))
            seen = self.see()
            self.breaks_at(step)
            self.runners[0].take([claim])
            self.assertEqual(self.see(), seen, step)
            self.now(self.queue.database.execute("DROP TRIGGER broken"))
            self.flushLoggedErrors()
            self.run_for(RETRY_SECONDS + 1, 1.0)
            self.assertEqual(self.entries(), (), step)
            after = len(self.inbox()), len(self.journal())
            self.assertEqual((after[0] - before[0], after[1] - before[1]), (1, 2), step)

    def test_every_step_of_accepting(self) -> None:
        """What could not be accepted is not there, in no part."""
        self.start()
        for step in ("INSERT ON messages", "INSERT ON deliveries", "INSERT ON turns"):
            self.breaks_at(step)
            envelope = self.envelope("fan@example.org")
            self.intake.attach(None)
            self.assertNotEqual(self.hand_in(envelope).code, 250, step)
            self.assertEqual((self.entries(), self.now(self.queue.check())), ((), ()), step)
            self.now(self.queue.database.execute("DROP TRIGGER broken"))

    def breaks_at(self, step: str) -> None:
        """From now on this step fails, and with it its transaction."""
        self.now(
            self.queue.database.execute(
                f"CREATE TRIGGER broken AFTER {step} BEGIN SELECT RAISE(ABORT, 'broken'); END"
            )
        )


class NoReportTests(RunnerTestCase):
    """The report cannot be made."""

    def test_large_body_of_a_report(self) -> None:
        """If it cannot be stored, the failure is not final."""
        raw = MESSAGE + b"x" * SMALL_OCTETS
        self.remote = ScriptedCourier(NEVER)
        self.start()
        claim = self.claim_on(
            self.message(size_octets=len(raw)),
            elsewhere("x@a.test"),
            raw=raw,
        )
        create = self.blobs.create

        def create_broken(now: float) -> Any:
            writer = create(now)

            async def commit() -> Any:
                raise Unavailable

            writer.commit = commit  # type: ignore[method-assign]
            return writer

        patched = self.patch(self.blobs, "create", create_broken)
        self.runners[0].take([claim])
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.WAITING)
        self.flushLoggedErrors(Unavailable)
        patched.restore()
        self.run_for(900.0)
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.inbox()), 1)

    def test_after_five_days(self) -> None:
        """A message whose time is over, and whose report cannot be made, is tried now and then."""

        async def fail(claim: Claim, failures: object) -> None:
            raise Unavailable

        self.remote = ScriptedCourier(LATER)
        self.patch(self.bounces, "failed", fail)
        self.start()
        self.put("x@a.test", created_at=self.clock.seconds() - LIFETIME_SECONDS)
        self.run_for(MAX_RETRY_SECONDS * 3, 60.0)
        self.assertLessEqual(len(self.remote.claims), 4)
        self.assertEqual(len(self.entries()), 1)
        self.flushLoggedErrors(Unavailable)

    def test_late_and_failed(self) -> None:
        """Of one connection some are late, some failed: one report and one notice."""

        class Both:
            async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
                return tuple(
                    NEVER if one.recipient.startswith("gone") else LATER for one in claim.deliveries
                )

        self.remote = Both()
        self.start()
        created_at = self.clock.seconds() - DELAYED_NOTICE_AFTER_SECONDS
        self.put("gone@a.test", "late@a.test", created_at=created_at)
        self.run_for(3600.0)
        notices = self.inbox()
        self.assertEqual(len(notices), 2)
        (failed,) = (one for one in notices if b"Action: failed" in one)
        (delayed,) = (one for one in notices if b"Action: delayed" in one)
        self.assertIn(b"gone@a.test", failed)
        self.assertNotIn(b"Final-Recipient: rfc822; late@a.test", failed)
        self.assertIn(b"Final-Recipient: rfc822; late@a.test", delayed)


class LateTests(PostOfficeTestCase):
    """Every answer of the queue comes when the test says so."""

    def make_queue(self) -> SQLiteQueue:
        """In memory, in threads that wait."""
        self.threads = LaterThreads()
        queue = SQLiteQueue(":memory:", self.threads, self.blobs, steady=self.clock.seconds)
        opening = Deferred.fromCoroutine(queue.start())
        self.run_threads()
        self.successResultOf(opening)
        return queue

    def run_threads(self) -> None:
        """Until nothing is left to do."""
        while self.threads.calls:
            self.threads.next()

    def now(self, work: Any) -> Any:
        """What comes of it when the threads have run."""
        done = Deferred.fromCoroutine(work)
        threads = getattr(self, "threads", None)
        while threads is not None and threads.calls:
            threads.next()
        return self.successResultOf(done)

    def test_any_order(self) -> None:
        """Whatever comes first: each is delivered once, and what fails is reported once."""
        together = 0
        for seed in range(20):
            self.setUp()
            together += self.one_run(random.Random(seed))
        self.assertGreater(together, 0)

    def one_run(self, chance: random.Random) -> int:
        """Messages are accepted, begin, end and are renewed between any two steps of the queue."""
        courier = StuckCourier()
        bounces = Bounces(
            self.router,
            self.queue,
            self.intake,
            self.own_domain,
            self.clock,
            hostname="mx.example.net",
        )
        local = LocalCourier(self.accounts, self.mailboxes, self.queue, self.threads.run)
        runner = QueueRunner(
            self.queue,
            {"remote": courier, "local": local},
            bounces,
            self.bus,
            self.clock,
            random=lambda: 0.5,
        )
        self.now(runner.start())
        self.intake.attach(runner)
        accepting: list[Deferred[None]] = []
        begun = 0
        for _ in range(200):
            step = chance.randrange(5)
            if step == 0 and begun < 12:
                begun += 1
                message = self.message()
                targets = [elsewhere(f"u{begun}@{host}.test") for host in (f"h{begun % 4}", "g")]
                acceptance = self.acceptance(message, *targets)
                work = self.intake.accept(message, acceptance.deliveries, acceptance.body)
                accepting.append(Deferred.fromCoroutine(work))
            elif step == 1 and courier.waiting:
                claim, done = courier.waiting.pop(chance.randrange(len(courier.waiting)))
                is_even = int(claim.delivery.recipient[1:].partition("@")[0]) % 2 == 0
                done.callback((DELIVERED if is_even else NEVER,))
            elif step == 2:
                self.clock.advance(LEASE_SECONDS / 4)
            elif step == 3:
                self.bus.publish("queue")
            elif self.threads.calls:
                self.threads.next()
        for _ in range(30):
            self.run_threads()
            courier.release(NEVER)
            self.run_threads()
            self.clock.advance(LEASE_SECONDS / 4)
        for each in accepting:
            self.successResultOf(each)
        addresses = [(one.message_id, one.recipient) for c in courier.begun for one in c.deliveries]
        self.assertEqual(len(addresses), len(set(addresses)))
        self.assertEqual(len(addresses), 2 * begun)
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.now(self.queue.check()), ())
        kinds = [entry.kind for entry in self.journal() if entry.alias_id]
        told = [raw.count(b"Action: failed") for raw in self.inbox()]
        self.assertEqual(kinds.count("failed"), sum(told))
        self.assertTrue(set(told) <= {1, 2})
        stopping = Deferred.fromCoroutine(runner.stop())
        self.run_threads()
        self.successResultOf(stopping)
        self.assertEqual((runner.active_count, runner._calls), (0, {}))
        return told.count(2)
