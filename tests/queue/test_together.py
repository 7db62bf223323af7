"""Recipients of one message that fail together are told of in one report, once."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from fe_mail.model.queue import Claim, DeliveryState, Outcome
from fe_mail.queue import conclusions
from fe_mail.queue.runner import LEASE_SECONDS
from fe_mail.queue.schedule import (
    DELAYED_NOTICE_AFTER_SECONDS,
    LATE_REPORT_WAIT_SECONDS,
    LIFETIME_SECONDS,
    REPORT_WAIT_SECONDS,
)
from tests.queue.base import ScriptedCourier
from tests.queue.running import DELIVERED, LATER, NEVER, RunnerTestCase, StuckCourier

HOSTS = ("a@a.test", "b@b.test", "c@c.test")


class TogetherTests(RunnerTestCase):
    """Hosts that end when the test says so."""

    def setUp(self) -> None:
        """Started."""
        super().setUp()
        self.stuck = self.remote = StuckCourier()

    def end(self, address: str, *outcomes: Outcome) -> None:
        """The host of this recipient answers."""
        for entry in list(self.stuck.waiting):
            claim, done = entry
            if claim.delivery.recipient == address:
                self.stuck.waiting.remove(entry)
                done.callback(outcomes or (NEVER,))

    def told(self) -> list[list[str]]:
        """The recipients of each report."""
        mark = b"Final-Recipient: rfc822; "
        reports = [[line for line in raw.split(b"\r\n") if mark in line] for raw in self.inbox()]
        return [[line.removeprefix(mark).decode() for line in lines] for lines in reports]

    def states(self) -> str:
        """The first letters of the states of the message from alice."""
        entries = [one for one in self.entries() if one.message.source == "submission"]
        return "".join(each.state.value[0] for one in entries for each in one.deliveries)

    def test_at_once(self) -> None:
        """Three hosts that refuse at once."""
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.put(*HOSTS)
        self.assertEqual(self.told(), [list(HOSTS)])
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.kinds().count("failed"), 3)

    def test_one_after_another(self) -> None:
        """The report goes with the last of them; nobody waits any longer then."""
        self.start()
        self.put(*HOSTS)
        for address in HOSTS:
            self.assertEqual((self.told(), self.states()), ([], "www"))
            self.end(address)
            self.run_for(15.0)
        self.assertEqual((self.told(), self.entries()), ([list(HOSTS)], ()))

    def test_the_last_is_delivered(self) -> None:
        """The others are told of when nothing is left to wait for."""
        self.start()
        self.put(*HOSTS)
        self.end(HOSTS[0])
        self.end(HOSTS[1])
        self.end(HOSTS[2], DELIVERED)
        self.assertEqual((self.told(), self.entries()), ([list(HOSTS[:2])], ()))

    def test_delivered_is_recorded_at_once(self) -> None:
        """Whoever has a copy never gets another one because others wait for their report."""
        self.start()
        self.put("a@a.test", "b@a.test", "c@a.test", "d@d.test")
        self.end("a@a.test", DELIVERED, NEVER, LATER)
        self.assertEqual(self.states(), "dwww")
        self.end("d@d.test")
        self.assertEqual(self.states(), "dfwf")
        self.assertEqual(self.told(), [["b@a.test", "d@d.test"]])

    def test_slow(self) -> None:
        """A slow host delays the report for a minute; it has its own, if it comes to that."""
        self.start()
        self.put(*HOSTS)
        self.end(HOSTS[0])
        self.run_for(REPORT_WAIT_SECONDS / 2)
        self.end(HOSTS[1])
        self.run_for(REPORT_WAIT_SECONDS / 2 - 1, 1.0)
        self.assertEqual((self.told(), self.states()), ([], "www"))
        self.clock.advance(1)
        self.assertEqual((self.told(), self.states()), ([list(HOSTS[:2])], "ffw"))
        self.end(HOSTS[2])
        self.assertEqual((self.told(), self.entries()), ([list(HOSTS[:2]), [HOSTS[2]]], ()))

    def test_places(self) -> None:
        """What waits to be told of holds no place; it waits for what has none yet, too."""
        self.start(concurrency=1)
        self.put(*HOSTS)
        for address in HOSTS:
            self.end(address)
        self.assertEqual(self.told(), [list(HOSTS)])

    def test_long_leases(self) -> None:
        """While it waits its lease is kept: nobody tries it again."""
        self.start()
        self.put(*HOSTS, created_at=self.clock.seconds() - LIFETIME_SECONDS)
        self.end(HOSTS[0], LATER)
        self.run_for(LATE_REPORT_WAIT_SECONDS - 1, 1.0)
        self.assertEqual(self.claims(), ())
        self.assertEqual(len(self.stuck.begun), 3)
        self.clock.advance(1)
        self.assertEqual(self.told(), [[HOSTS[0]]])

    def test_nobody_wants_it(self) -> None:
        """A message without a sender waits for nothing."""
        self.start()
        self.put(*HOSTS, reverse_path="")
        self.end(HOSTS[0])
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.FAILED)

    def test_expiry(self) -> None:
        """After five days, whatever each host said in them: one report."""
        self.remote = ScriptedCourier(LATER)
        self.start()
        self.put(*HOSTS)
        self.run_for(LIFETIME_SECONDS + 600, 300.0)
        late, failed = self.inbox()
        self.assertEqual((self.told()[1], self.entries()), (list(HOSTS), ()))
        self.assertEqual((late.count(b"Action: delayed"), failed.count(b"Action: failed")), (3, 3))

    def test_late(self) -> None:
        """Notices of delay are joined too."""
        self.start()
        self.put(*HOSTS, created_at=self.clock.seconds() - DELAYED_NOTICE_AFTER_SECONDS)
        for address in HOSTS:
            self.end(address, LATER)
        self.assertEqual(self.told(), [list(HOSTS)])
        self.assertIn(b"Action: delayed", self.inbox()[0])

    def test_killed(self) -> None:
        """Killed while they wait: tried again, and told of once."""
        self.start()
        self.put(*HOSTS)
        self.end(HOSTS[0])
        self.end(HOSTS[1])
        self.kill()
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.run_for(LEASE_SECONDS * 2)
        self.assertEqual((self.told(), self.entries()), ([list(HOSTS)], ()))

    def kill(self) -> None:
        """The process is gone, with everything that it had in its hands."""
        self.intake.attach(None)
        for runner in self.runners:
            runner._running = False
            runner._unsubscribe()
        for call in self.clock.getDelayedCalls():
            if call.func.__module__.startswith("fe_mail.queue"):
                call.cancel()

    def test_killed_while_it_is_written(self) -> None:
        """All of it is recorded, or nothing."""
        self.start()
        self.put(*HOSTS)
        self.end(HOSTS[0])
        self.end(HOSTS[1])
        finish = self.queue.finish

        async def dies(*arguments: Any) -> Any:
            await Deferred()

        self.patch(self.queue, "finish", dies)
        self.end(HOSTS[2])
        self.assertEqual((self.told(), self.states()), ([], "www"))
        self.kill()
        self.patch(self.queue, "finish", finish)
        self.remote = ScriptedCourier(NEVER)
        self.start()
        self.run_for(LEASE_SECONDS * 2)
        self.assertEqual((self.told(), self.entries()), ([list(HOSTS)], ()))

    def test_stop(self) -> None:
        """A stop waits for no report: what is known is recorded."""
        runner = self.start()
        self.put(*HOSTS)
        self.end(HOSTS[0])
        self.end(HOSTS[1])
        stopping = Deferred.fromCoroutine(runner.stop())
        self.assertEqual(self.states(), "ffw")
        self.end(HOSTS[2], DELIVERED)
        self.successResultOf(stopping)
        self.assertEqual([len(one.deliveries) for one in self.entries()], [1])  # the report

    def test_stop_meanwhile(self) -> None:
        """A stop begins while it is asked what else is due."""
        answers: list[Deferred[None]] = []
        find = self.queue.find

        async def later(which: Any) -> Any:
            answers.append(Deferred())
            await answers[-1]
            return await find(which)

        runner = self.start(concurrency=1)
        self.put(*HOSTS)
        self.run_for(1.0)
        self.patch(runner._recording, "_is_more_under_way", lambda work: False)
        patched = self.patch(self.queue, "find", later)
        self.end(HOSTS[0])
        stopping = Deferred.fromCoroutine(runner.stop())
        for each in answers:
            each.callback(None)
        patched.restore()
        self.assertEqual(self.states()[0], "f")
        self.successResultOf(stopping)
        left = [call.func.__module__ for call in self.clock.getDelayedCalls()]
        self.assertEqual([name for name in left if name.startswith("fe_mail.queue")], [])

    def test_lost(self) -> None:
        """What another process took meanwhile is not told of here."""
        self.start()
        message = self.put(*HOSTS)
        self.end(HOSTS[0])
        self.take_over(message)
        self.run_for(REPORT_WAIT_SECONDS + LEASE_SECONDS)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.stuck.cancelled, 2)


class PartTests(RunnerTestCase):
    """Another process has some recipients of a claim."""

    def setUp(self) -> None:
        """One claim on three."""
        super().setUp()
        self.stuck = self.remote = StuckCourier()

    def lose(self, address: str) -> None:
        """Another process has it from now on."""
        self.now(
            self.queue.database.execute(
                "UPDATE deliveries SET token = 'of another', lease_until = 1e12"
                " WHERE recipient = ?",
                (address,),
            )
        )

    def test_running(self) -> None:
        """The attempt goes on for the others, and what comes of it is recorded."""
        self.start()
        self.put("a@a.test", "b@a.test", "c@a.test")
        self.lose("b@a.test")
        self.run_for(LEASE_SECONDS)
        self.assertEqual(self.stuck.cancelled, 0)
        self.stuck.release(DELIVERED)
        (entry,) = self.entries()
        self.assertEqual([one.state.value[0] for one in entry.deliveries], ["d", "w", "d"])
        self.assertEqual(len(self.stuck.begun), 1)

    def test_waiting(self) -> None:
        """What has not begun begins without them."""
        self.start(concurrency=1)
        self.put("x@x.test")
        self.put("a@a.test", "b@a.test", "c@a.test")
        self.lose("b@a.test")
        self.run_for(LEASE_SECONDS)
        self.stuck.release(DELIVERED)
        claim = self.stuck.begun[-1]
        self.assertEqual([one.recipient for one in claim.deliveries], ["a@a.test", "c@a.test"])


class DefectiveRecordTests(RunnerTestCase):
    """What was delivered is not delivered again because it cannot be written down."""

    def setUp(self) -> None:
        """Two recipients of one claim: one has it, one was refused."""
        super().setUp()

        class Both:
            def __init__(self) -> None:
                self.claims: list[Claim] = []

            async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
                self.claims.append(claim)
                return tuple(
                    DELIVERED if one.recipient == "ok@a.test" else NEVER for one in claim.deliveries
                )

        self.both = self.remote = Both()

    def copies(self) -> int:
        """How often the one who has it was sent it."""
        recipients = [one.recipient for claim in self.both.claims for one in claim.deliveries]
        return recipients.count("ok@a.test")

    def check(self, error: type[Exception]) -> None:
        """For some days: one copy, and the other is tried with pauses."""
        self.start()
        self.put("ok@a.test", "gone@a.test")
        self.run_for(86_400.0, 60.0)
        self.assertEqual(self.copies(), 1)
        self.assertLess(len(self.both.claims), 30)
        self.assertTrue(self.flushLoggedErrors(error))

    def test_conclusions(self) -> None:
        """The journal's entry cannot be made."""

        def defective(*arguments: object) -> None:
            raise ZeroDivisionError

        self.patch(conclusions, "tell", defective)
        self.check(ZeroDivisionError)

    def test_entries(self) -> None:
        """It cannot be written."""
        finish = self.queue.finish

        async def defective(settlements: Any, now: float) -> Any:
            if any(one.entries for one in settlements):
                raise ZeroDivisionError
            return await finish(settlements, now)

        self.patch(self.queue, "finish", defective)
        self.check(ZeroDivisionError)

    def test_text(self) -> None:
        """A text that no database takes."""
        conclude = self.both.deliver

        async def odd(claim: Claim) -> tuple[Outcome, ...]:
            return tuple(attrs.evolve(one, text="\ud800") for one in await conclude(claim))

        self.both.deliver = odd  # type: ignore[method-assign]
        self.check(UnicodeEncodeError)

    def test_nothing_can_be_written(self) -> None:
        """As long as the process runs no second copy is sent; then it is."""
        finish = self.queue.finish

        async def defective(settlements: Any, now: float) -> Any:
            if any("a.test" in one.claim.lane for one in settlements):
                raise ZeroDivisionError
            return await finish(settlements, now)

        patched = self.patch(self.queue, "finish", defective)
        self.check(ZeroDivisionError)
        patched.restore()
        self.run_for(600.0)
        self.assertEqual((self.entries(), self.copies()), ((), 1))
        self.assertEqual(len(self.inbox()), 1)

    def test_stop(self) -> None:
        """It is tried once more at the end, which does not wait for long."""

        async def defective(settlements: Any, now: float) -> Any:
            raise ZeroDivisionError

        self.patch(self.queue, "finish", defective)
        runner = self.start()
        self.put("ok@a.test")
        self.run_for(3600.0)
        stopping = Deferred.fromCoroutine(runner.stop())
        self.run_for(60.0)
        self.successResultOf(stopping)
        self.assertEqual([c for c in self.clock.getDelayedCalls() if "queue" in repr(c.func)], [])
        self.flushLoggedErrors(ZeroDivisionError)
