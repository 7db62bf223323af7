"""Tests of fe_mail.queue.schedule and lanes: arithmetic, fairness."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.ids import BlobId
from fe_mail.model.queue import Claim, QueuedDelivery, QueuedMessage, Target
from fe_mail.queue.lanes import Lanes, destination_of
from fe_mail.queue.schedule import (
    DEAD_AFTER_FAILURES,
    DEAD_SECONDS,
    DELAYED_NOTICE_AFTER_SECONDS,
    FIRST_CONCURRENCY,
    JITTER,
    LIFETIME_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_RETRY_SECONDS,
    REMOTE_CONCURRENCY,
    Destination,
    is_expired,
    needs_delayed_notice,
    next_attempt_at,
)

MESSAGE = QueuedMessage(
    id="m", blob=BlobId("b"), size_octets=1, reverse_path="", created_at=1000.0, source="mx"
)
DELIVERY = QueuedDelivery(
    message_id="m",
    number=1,
    recipient="a@b.test",
    target=Target(courier="remote", address="a@b.test"),
)


class RetryTests(SynchronousTestCase):
    """When to try again."""

    @settings(max_examples=100, deadline=None)
    @given(st.floats(0, LIFETIME_SECONDS - 2), st.floats(0, 1))
    def test_bounds(self, age: float, random: float) -> None:
        """Always later, never too soon or too late, the last one at the end of the life."""
        now = MESSAGE.created_at + age
        due = next_attempt_at(MESSAGE, now, random)
        self.assertGreater(due, now)
        self.assertLessEqual(due - now, MAX_RETRY_SECONDS * (1 + JITTER) + 0.01)
        end = MESSAGE.created_at + LIFETIME_SECONDS
        self.assertTrue(due - now >= MIN_RETRY_SECONDS * (1 - JITTER) - 0.01 or due >= end)

    def test_jitter(self) -> None:
        """What failed together is spread: a fifth sooner to a fifth later, evenly between."""
        now = MESSAGE.created_at + 3600
        dues = [next_attempt_at(MESSAGE, now, n / 4) - now for n in range(5)]
        self.assertEqual([round(due) for due in dues], [1440, 1620, 1800, 1980, 2160])

    def test_count(self) -> None:
        """A few dozen attempts in five days, ten in the first hours."""
        now, attempts, early = MESSAGE.created_at, 0, 0
        while not is_expired(MESSAGE, now):
            now = next_attempt_at(MESSAGE, now, 0.5)
            attempts += 1
            early += now < MESSAGE.created_at + 4 * 3600
        self.assertEqual((attempts, early), (40, 9))

    def test_notice(self) -> None:
        """One notice of delay."""
        late = MESSAGE.created_at + DELAYED_NOTICE_AFTER_SECONDS
        self.assertFalse(needs_delayed_notice(MESSAGE, DELIVERY, late - 1))
        self.assertTrue(needs_delayed_notice(MESSAGE, DELIVERY, late))
        told = attrs.evolve(DELIVERY, delayed_notice_at=late)
        self.assertFalse(needs_delayed_notice(MESSAGE, told, late + 1))


class DestinationTests(SynchronousTestCase):
    """Slow start and rest."""

    def test_grows(self) -> None:
        """One more with every answer, up to the maximum."""
        destination = Destination()
        for _ in range(50):
            destination = destination.answered()
        self.assertEqual(destination.limit, REMOTE_CONCURRENCY)

    def test_falls(self) -> None:
        """One failure: one at a time; some in a row: a rest; an answer forgives."""
        destination = Destination(limit=REMOTE_CONCURRENCY).unreachable(0.0)
        self.assertEqual(destination.limit, 1)
        self.assertFalse(destination.is_dead(0.0))
        for _ in range(DEAD_AFTER_FAILURES - 1):
            destination = destination.unreachable(0.0)
        self.assertTrue(destination.is_dead(DEAD_SECONDS - 1))
        self.assertFalse(destination.is_dead(DEAD_SECONDS))
        self.assertEqual(destination.answered().failures, 0)


class LanesTests(SynchronousTestCase):
    """Who is next."""

    def setUp(self) -> None:
        """Four places for others, two for local mail."""
        self.lanes = Lanes({"": 4, "local": 2})
        self.number = 0

    def add(self, address: str, courier: str = "remote") -> bool:
        """Let one wait if there is room."""
        self.number += 1
        target = Target(courier=courier, address=address, alias_id=address)
        delivery = attrs.evolve(DELIVERY, number=self.number, target=target)
        lane = self.lanes.lane(target)
        if not self.lanes.has_room(lane):
            return False
        self.lanes.add(lane, Claim(message=MESSAGE, delivery=delivery, token="", lease_until=0.0))
        return True

    def started(self) -> list[str]:
        """Start all that may."""
        found = []
        while (ready := self.lanes.next()) is not None:
            found.append(ready[1].delivery.target.address)
        return found

    def test_turns(self) -> None:
        """Destinations take turns; none has more than its start allows."""
        for address in ("1@a.test", "2@a.test", "3@a.test", "1@b.test"):
            self.assertTrue(self.add(address))
        self.assertEqual(self.started(), ["1@a.test", "1@b.test", "2@a.test"])
        self.assertEqual(FIRST_CONCURRENCY, 2)

    def test_kinds(self) -> None:
        """Mail to others never takes the places of local mail."""
        for number in range(8):
            self.add(f"1@{number}.test")
        self.assertEqual(len(self.started()), 4)
        self.add("alias", "local")
        self.assertEqual(self.started(), ["alias"])

    def test_room(self) -> None:
        """A lane that has its share is full; a new destination still finds room."""
        self.assertEqual([self.add(f"{n}@a.test") for n in range(6)], [True] * 4 + [False] * 2)
        self.assertTrue(self.add("1@b.test"))

    def test_drain(self) -> None:
        """What waits can be taken out, lane by lane and all; what runs stays."""
        for address in ("1@a.test", "2@a.test", "1@b.test"):
            self.add(address)
        ready = self.lanes.next()
        assert ready is not None
        self.assertEqual(len(self.lanes.drain_lane(ready[0])), 1)
        self.assertEqual(len(list(self.lanes.drain())), 1)
        self.assertIsNone(self.lanes.next())
        self.assertEqual(ready[0].active, 1)

    def test_destinations(self) -> None:
        """A mailbox, a domain, a web host."""
        for courier, address, expected in (
            ("remote", "a@B.test", "smtp:b.test"),
            ("forward", "x@b.test", "smtp:b.test"),
            ("webhook", "https://Hook.test/a?b", "webhook:hook.test"),
        ):
            target = Target(courier=courier, address=address)
            self.assertEqual(destination_of(target), expected)
        target = Target(courier="local", address="a@b.test", alias_id="7")
        self.assertEqual(destination_of(target), "local:7")
