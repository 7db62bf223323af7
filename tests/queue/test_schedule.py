"""Tests of fe_mail.queue.schedule: arithmetic."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.queue import QueuedDelivery, QueuedMessage, Target
from fe_mail.queue.schedule import (
    DEAD_AFTER_FAILURES,
    DEAD_SECONDS,
    DELAYED_NOTICE_AFTER_SECONDS,
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

MESSAGE = QueuedMessage(id="m", size_octets=1, reverse_path="", created_at=1000.0, source="mx")
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

    def test_the_date_goes_back(self) -> None:
        """A rest that began under a later date is over, or lasts as long as a rest from now."""
        destination = Destination()
        for _ in range(DEAD_AFTER_FAILURES):
            destination = destination.unreachable(86_400.0)
        self.assertFalse(destination.is_dead(0.0))
        self.assertTrue(destination.is_dead(86_400.0))
