"""Tests of fe_mail.connection.repeated: a line for the first, one a minute for all the others."""

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.connection.repeated import PERIOD_SECONDS, RepeatedLog


class RepeatedTests(SynchronousTestCase):
    """A log that is written down."""

    def setUp(self) -> None:
        """Nothing is logged yet."""
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.log = RepeatedLog(Logger(observer=self.events.append), self.clock)

    def lines(self) -> list[str]:
        """What was logged since the last look."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def test_storm(self) -> None:
        """Ten thousand events are two lines, and the last one says who and how many."""
        for number in range(10_000):
            self.log.info("Refused {who}", who=number)
        self.assertEqual(self.lines(), ["Refused 0"])
        self.clock.advance(PERIOD_SECONDS)
        self.assertEqual(self.lines(), ["Refused 9999 (9999 times within a minute)"])

    def test_goes_on(self) -> None:
        """A storm that does not end is a line a minute; a quiet minute starts anew."""
        for _ in range(3):
            for _ in range(60):
                self.log.info("x")
                self.clock.advance(1)
        self.assertEqual(len(self.lines()), 4)
        self.clock.advance(2 * PERIOD_SECONDS)
        self.lines()
        self.log.info("x")
        self.assertEqual(self.lines(), ["x"])
        self.clock.advance(PERIOD_SECONDS)
        self.assertEqual(self.lines(), [])

    def test_kinds(self) -> None:
        """One kind of event hides no other."""
        self.log.info("x")
        self.log.info("y")
        self.assertEqual(self.lines(), ["x", "y"])
