"""
However much waits for a host that is slow or silent: other mail goes at once, and nothing is
written for what has no room. Counted are calls and rows, not milliseconds.
"""

from collections import Counter
from typing import Any

from fe_mail.adapters.sqlite import queue_claims
from fe_mail.model.lane import SMTP
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    QueuedDelivery,
    Room,
    Target,
)
from fe_mail.queue.runner import CONCURRENCY, LEASE_SECONDS
from fe_mail.queue.schedule import FIRST_CONCURRENCY, REMOTE_CONCURRENCY
from tests.queue.base import MESSAGE, ScriptedCourier
from tests.queue.running import DELIVERED, RunnerTestCase, StuckCourier

FEW, MANY = 2_000, 20_000


class BySilence:
    """Hosts whose names begin with ``silent`` or ``slow`` wait for the test; others answer."""

    def __init__(self) -> None:
        self.stuck, self.quick = StuckCourier(), ScriptedCourier()

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """By the host."""
        is_stuck = claim.lane.startswith(("smtp:silent", "smtp:slow"))
        return await (self.stuck if is_stuck else self.quick).deliver(claim)

    def quick_addresses(self) -> list[str]:
        """What went to hosts that answer."""
        return [claim.delivery.target.address for claim in self.quick.claims]


class BacklogTestCase(RunnerTestCase):
    """Counts what the queue is asked and what it writes."""

    def setUp(self) -> None:
        """Silent hosts and others."""
        super().setUp()
        self.remote = BySilence()
        self.calls: Counter[str] = Counter()
        for name in ("accept", "claim", "finish", "give_back", "renew", "rest"):
            self.count(self.queue, name)
        self.count(self.queue.database, "write")

    def count(self, whose: object, name: str) -> None:
        """The calls of a method."""
        original = getattr(whose, name)

        async def counted(*arguments: Any) -> Any:
            self.calls[name] += arguments[0] != []
            return await original(*arguments)

        self.patch(whose, name, counted)

    def fill(self, count: int, lane: str = "slow.test", **more: Any) -> None:
        """What another process accepted long ago; in one transaction, to be quick."""
        now = self.clock.seconds()

        def work(cursor: Any) -> None:
            for number in range(count):
                message = self.message(**more)
                target = Target(courier="remote", address=f"u{number}@{lane}")
                delivery = QueuedDelivery(
                    message_id=message.id,
                    number=1,
                    recipient=target.address,
                    target=target,
                    next_attempt_at=now,
                )
                queue_claims.insert(cursor, message, [[delivery]], MESSAGE, (), 0.0)

        self.now(self.queue.database.write(work))

    def changes(self) -> int:
        """Rows that were ever written."""
        rows = self.now(
            self.queue.database.read(lambda c: c.execute("SELECT total_changes()").fetchall())
        )
        return int(rows[0][0])


class SlowHostTests(BacklogTestCase):
    """Thousands of messages to one host that answers slowly."""

    def wait_with(self, count: int) -> Counter[str]:
        """What it costs that so many wait; other mail goes at once meanwhile."""
        self.fill(count)
        self.start()
        self.assertEqual(len(self.remote.stuck.waiting), FIRST_CONCURRENCY)
        self.calls.clear()

        self.hand_in(self.envelope("alice@example.org"))
        self.assertEqual(len(self.inbox()), 1, "in the same turn of the reactor")
        self.put("a@quick.test")
        self.assertEqual(self.remote.quick_addresses(), ["a@quick.test"])
        self.put("late@slow.test")

        written = self.changes()
        self.calls.clear()
        for _ in range(int(LEASE_SECONDS)):  # ten times as long, in tenths of the lease
            self.clock.advance(LEASE_SECONDS / 6)
        renewals = self.calls["renew"] * REMOTE_CONCURRENCY
        self.assertLessEqual(self.changes() - written, renewals, "nothing but leases")
        self.assertEqual(self.calls["write"], self.calls["renew"], "no other transaction")

        before = self.calls["claim"]
        for _ in range(10):
            self.remote.stuck.release(DELIVERED)
            self.clock.advance(0)
        self.assertLessEqual(self.calls["claim"] - before, 2 * 10 * REMOTE_CONCURRENCY)
        return self.calls

    def test_cost_does_not_grow(self) -> None:
        """Ten times as much waits: the same calls, one for one."""
        few = self.wait_with(FEW)
        self.setUp()
        many = self.wait_with(MANY)
        self.assertEqual(few, many)

    def test_steps_do_not_grow(self) -> None:
        """To claim for others costs SQLite as many steps with 20,000 as with 2,000."""
        room = Room(
            kind=SMTP,
            places=10,
            per_lane=10,
            per_owner=10,
            full_lanes=frozenset({"smtp:slow.test"}),
        )
        steps = []
        for more in (FEW, MANY - FEW):
            self.fill(more)
            self.put_elsewhere("a@quick.test")
            steps.append(self.steps_of(room))
        self.assertLess(steps[1], 1.1 * steps[0])

    def steps_of(self, room: Room) -> int:
        """SQLite's steps for a claim."""
        claiming = self.queue.claim(self.clock.seconds(), 60.0, [room])
        steps = self.steps_taken(claiming)
        lanes = [claim.lane for claim in self.last]
        self.assertIn("smtp:quick.test", lanes)
        return steps

    def steps_taken(self, work: Any) -> int:
        """SQLite's steps for what is done at once."""
        connection = self.queue.database._writer
        assert connection is not None
        taken = 0

        def step() -> bool:
            nonlocal taken
            taken += 1
            return False

        connection.set_progress_handler(step, 1)
        try:
            self.last = self.now(work)
        finally:
            connection.set_progress_handler(None)
        return taken

    def test_counting(self) -> None:
        """What a metrics scrape asks looks at lines, and not at deliveries."""
        steps = []
        for more in (FEW, MANY - FEW):
            self.fill(more)
            steps.append(self.steps_taken(self.queue.counts()))
        self.assertEqual(steps[0], steps[1])

    def test_waiting_octets(self) -> None:
        """What the MX asks of a mailbox's lane does not look at other lanes."""
        steps = []
        for more in (FEW, MANY - FEW):
            self.fill(more)
            steps.append(self.steps_taken(self.queue.waiting_octets("local:x")))
        self.assertLess(steps[1], 2 * steps[0])

    def test_plans(self) -> None:
        """No statement of a claim looks at all deliveries, or at all lines."""
        statements = {
            name: text
            for name, text in vars(queue_claims).items()
            if isinstance(text, str) and name.startswith("_") and name.isupper()
        }
        self.assertIn("_DUE_DELIVERIES", statements)
        connection = self.queue.database._writer
        assert connection is not None
        for name, text in statements.items():
            names = {"kind", "now", "next", "status", "notice", "message", "number"}
            bindings: Any = dict.fromkeys(names, 1) if ":now" in text else [1] * text.count("?")
            for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", bindings):
                is_scan = row[3].startswith(("SCAN deliveries", "SCAN turns", "SCAN messages"))
                self.assertFalse(is_scan, (name, row[3]))


class SilentHostsTests(BacklogTestCase):
    """Hosts that accept a connection and say nothing."""

    def surround(self) -> None:
        """400 messages of one user and 80 reports, each to another silent host."""
        for number in range(400):
            self.put(f"x@silent{number}.test", alias_id="hostile")
        for number in range(80):
            self.put(f"x@silent-too{number}.test", source="bounce", alias_id="", reverse_path="")
        self.run_for(60.0)

    def test_others_go_at_once(self) -> None:
        """Another user's mail goes to a host that answers, and to a new one, at once."""
        self.start()
        self.put("x@known.test")
        self.surround()
        self.put("x@known.test")
        self.put("x@new.test")
        expected = ["x@known.test", "x@known.test", "x@new.test"]
        self.assertEqual(self.remote.quick_addresses(), expected)
        self.assertLessEqual(len(self.remote.stuck.waiting), CONCURRENCY // 2)

    def test_others_of_another_process(self) -> None:
        """The same for what another process accepted: it finds room when it is claimed."""
        self.start()
        self.surround()
        self.put_elsewhere("x@new.test")
        self.bus.publish("queue")
        self.clock.advance(0)
        self.assertEqual(self.remote.quick_addresses(), ["x@new.test"])

    def test_all_at_once(self) -> None:
        """What many connections hand in together was promised the same room; it is not taken."""
        self.start()
        accept, waiting = self.queue.accept, []

        async def accept_later(*arguments: Any) -> Any:
            claims = await accept(*arguments)
            waiting.append(claims)
            return ()

        self.patch(self.queue, "accept", accept_later)
        for number in range(400):
            self.put(f"x@silent{number}.test", alias_id="hostile")
        for claims in waiting:
            self.runners[0].take(claims)
        self.patch(self.queue, "accept", accept)
        self.put("x@new.test")
        self.assertEqual(self.remote.quick_addresses(), ["x@new.test"])
        while self.remote.stuck.waiting:
            self.remote.stuck.release(DELIVERED)
            self.clock.advance(0)
        self.assertEqual(self.entries(), (), "what went back has its turn without a hint")

    def test_status_is_true(self) -> None:
        """What was not tried says nothing of a destination, and counts no attempt."""
        self.start()
        self.surround()
        tried = {claim.message.id for claim in self.remote.stuck.begun}
        self.remote.stuck.release(Outcome.deferred(451, "4.4.1", "No mail host answers."))
        for entry in self.entries():
            (delivery,) = entry.deliveries
            self.assertIs(delivery.state, DeliveryState.WAITING)
            if entry.message.id in tried:
                self.assertEqual(delivery.last_status, "451 4.4.1 No mail host answers.")
            else:
                self.assertEqual((delivery.last_status, delivery.attempts), ("", 0))

    def test_nothing_is_lost(self) -> None:
        """When they answer at last, everything goes."""
        self.start()
        self.surround()
        for _ in range(500):
            if not self.remote.stuck.waiting:
                break
            self.remote.stuck.release(DELIVERED)
            self.clock.advance(0)
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.remote.stuck.begun), 480)

    def test_hurried(self) -> None:
        """Who takes one of the last places must not wait long: mail to hosts that answered."""
        self.start()
        for host in "0123456789":
            self.put(f"x@silent-known{host}.test", alias_id=f"known{host}")
            self.remote.stuck.release(DELIVERED)
        for user in "abcdef":
            for number in range(20):
                self.put(f"x@silent-{user}{number}.test", alias_id=user)
        self.assertEqual(len(self.remote.stuck.waiting), CONCURRENCY * 3 // 4)
        self.assertEqual([claim for claim in self.remote.stuck.begun if claim.is_hurried], [])
        for host in "0123456789":
            self.put(f"x@silent-known{host}.test", alias_id=f"known{host}")
        last = [claim.is_hurried for claim in self.remote.stuck.begun[-10:]]
        self.assertEqual(last, [True] * 10)

    def test_full_kind_is_looked_at_again(self) -> None:
        """When all waiting room was taken and some of it comes free, more is claimed at once."""
        self.start(concurrency=16)
        for number in range(100):
            self.put_elsewhere(f"x@silent{number}.test", alias_id=f"user{number}")
        for _ in range(3):
            self.bus.publish("queue")
            self.clock.advance(0)
        unclaimed = self.claims()
        self.assertEqual(len(unclaimed), 100 - 12 - 64, "12 run, 64 may wait")
        self.now(self.queue.give_back(unclaimed))
        while self.remote.stuck.waiting:
            self.remote.stuck.release(DELIVERED)
            self.clock.advance(0)
        self.assertEqual(self.entries(), ())


class DyingHostTests(BacklogTestCase):
    """A host that nobody reaches."""

    def test_rests(self) -> None:
        """Thousands wait for it: some are tried, the rest is not touched until it had its rest."""
        self.remote = ScriptedCourier(Outcome.deferred(451, "4.4.1", "No answer"))
        self.fill(FEW, "down.test")
        self.start()
        tried = len(self.remote.claims)
        self.assertLess(tried, 10)
        self.calls.clear()
        written = self.changes()
        self.run_for(200.0)
        self.assertEqual(len(self.remote.claims), tried)
        self.assertEqual(self.changes(), written)
        self.put("new@down.test")
        self.run_for(50.0)
        self.assertEqual(len(self.remote.claims), tried)
        self.run_for(120.0)
        self.assertGreater(len(self.remote.claims), tried)
        self.assertEqual(self.now(self.queue.check()), ())
