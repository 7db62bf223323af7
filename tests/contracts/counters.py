"""
What every ``Counters`` does. A test class returns a fresh one from ``store(clock)``, and from
``beside(clock)`` another one that counts together with it, as a second process does.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.model.counting import MAX_COUNTER_LENGTH, Claim, Count, Counter, Window
from fe_mail.model.errors import Invalid
from fe_mail.ports import Counters

__all__ = ["CountersContract"]

T = TypeVar("T")
START = 1_700_000_000.0
HOURLY = Counter("k", Window.HOUR)
DAILY = Counter("k", Window.DAY)
OTHER = Counter("other", Window.HOUR)


class CountersContract:
    """The tests; ``store`` and ``beside`` are the hooks."""

    def store(self, clock: Clock) -> Counters:
        """A fresh, started one."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def beside(self, clock: Clock) -> Counters:
        """Another one on the same counts."""
        return self.counters

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.counters = self.store(self.clock)

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def value(self, counter: Counter = HOURLY) -> int:
        """What a counter says."""
        (count,) = self.get(self.counters.read(counter))
        return count.value

    def test_window(self) -> None:
        """A counter lives for its window from the first increment, however often it is used."""
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(),))
        taken = self.get(self.counters.take(Claim(HOURLY)))
        self.assertEqual((taken.counts, taken.refused), ((Count(1, 3600.0),), None))
        self.clock.advance(3000.0)
        self.get(self.counters.take(Claim(HOURLY, by=5)))
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(6, 600.0),))
        self.clock.advance(600.0)
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(),))
        self.assertEqual(self.get(self.counters.take(Claim(HOURLY))).counts, (Count(1, 3600.0),))

    def test_windows_are_apart(self) -> None:
        """One name may be counted by the hour and by the day."""
        self.get(self.counters.take(Claim(HOURLY, by=2), Claim(DAILY, by=3)))
        self.clock.advance(3600.0)
        found = self.get(self.counters.read(HOURLY, DAILY))
        self.assertEqual([count.value for count in found], [0, 3])

    def test_limit(self) -> None:
        """What has reached its limit is refused, and says how long."""
        for expected in (1, 2, 3):
            taken = self.get(self.counters.take(Claim(HOURLY, most=3)))
            self.assertEqual(taken.counts[0].value, expected)
            self.assertIsNone(taken.refused)
        self.clock.advance(600.0)
        taken = self.get(self.counters.take(Claim(HOURLY, most=3)))
        self.assertEqual(taken.refused, Count(3, 3000.0))
        self.assertEqual(self.value(), 3)

    def test_all_or_none(self) -> None:
        """One that is used up keeps the others from being counted."""
        self.get(self.counters.take(Claim(OTHER, by=2)))
        claims = (Claim(HOURLY, most=9), Claim(OTHER, most=2), Claim(DAILY))
        taken = self.get(self.counters.take(*claims))
        self.assertEqual([count.value for count in taken.counts], [0, 2, 0])
        self.assertEqual(taken.refused, taken.counts[1])
        self.assertEqual((self.value(HOURLY), self.value(DAILY)), (0, 0))

    def test_by_nothing(self) -> None:
        """To claim nothing is to look."""
        taken = self.get(self.counters.take(Claim(HOURLY, by=0), Claim(OTHER)))
        self.assertEqual(taken.counts[0], Count())
        self.clock.advance(10.0)
        self.get(self.counters.take(Claim(HOURLY)))
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(1, 3600.0),))

    def test_give_back(self) -> None:
        """What is given back may be taken again; the window stays, and nothing falls below 0."""
        self.get(self.counters.take(Claim(HOURLY, by=3), Claim(OTHER)))
        self.clock.advance(600.0)
        self.get(self.counters.give_back(Claim(HOURLY, by=2), Claim(OTHER, by=5), Claim(DAILY)))
        found = self.get(self.counters.read(HOURLY, OTHER, DAILY))
        self.assertEqual(found, (Count(1, 3000.0), Count(0, 3000.0), Count()))
        self.clock.advance(3000.0)
        self.get(self.counters.give_back(Claim(HOURLY)))
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(),))

    def test_forget(self) -> None:
        """What is forgotten begins anew; forgetting nothing is no error."""
        self.get(self.counters.take(Claim(HOURLY), Claim(OTHER)))
        self.clock.advance(600.0)
        self.get(self.counters.forget(HOURLY, DAILY))
        self.assertEqual(self.get(self.counters.take(Claim(HOURLY))).counts[0], Count(1, 3600.0))
        self.assertEqual(self.value(OTHER), 1)

    def test_forget_all(self) -> None:
        """By the beginning and the end of the name, which mean no pattern."""
        names = ("a:1:x", "a:2:x", "a:2:y", "b:1:x", "a:%", "A:1:x")
        counters = [Counter(name, Window.HOUR) for name in names]
        self.get(self.counters.take(*(Claim(each) for each in counters)))
        self.get(self.counters.take(Claim(Counter("a:1:x", Window.DAY))))

        def left() -> list[str]:
            found = self.get(self.counters.read(*counters))
            return [name for name, count in zip(names, found, strict=True) if count.value]

        self.get(self.counters.forget_all("%"))
        self.get(self.counters.forget_all("a:", "a:1:x"))
        self.assertEqual(left(), list(names))
        self.get(self.counters.forget_all("a:", ":x"))
        self.assertEqual(left(), ["a:2:y", "b:1:x", "a:%", "A:1:x"])
        self.assertEqual(self.value(Counter("a:1:x", Window.DAY)), 0)
        self.get(self.counters.forget_all("a:"))
        self.assertEqual(left(), ["b:1:x", "A:1:x"])

    def test_two_count_together(self) -> None:
        """Two processes have one limit."""
        beside = self.beside(self.clock)
        for number in range(6):
            counters = (self.counters, beside)[number % 2]
            taken = self.get(counters.take(Claim(HOURLY, most=5)))
            self.assertEqual(taken.refused is not None, number == 5)
        self.assertEqual(self.get(beside.read(HOURLY)), self.get(self.counters.read(HOURLY)))

    def test_clock_set_back(self) -> None:
        """Nothing lasts for longer than its window, whatever the date was."""
        self.get(self.counters.take(Claim(HOURLY)))
        self.clock.rightNow -= 365 * 86_400.0
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(1, 3600.0),))
        self.get(self.counters.take(Claim(HOURLY)))
        self.clock.advance(3600.0)
        self.assertEqual(self.get(self.counters.read(HOURLY)), (Count(),))

    def test_names_are_bounded(self) -> None:
        """Strangers put no long texts into the store."""
        for name in ("", "x" * (MAX_COUNTER_LENGTH + 1)):
            with self.assertRaises(Invalid):
                Counter(name, Window.DAY)
        self.get(self.counters.take(Claim(Counter("ø" * MAX_COUNTER_LENGTH, Window.DAY))))
