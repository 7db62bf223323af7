"""Tests of fe_mail.errands: what is done when the answer has left."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.errands import TURNS, Errands
from fe_mail.model.errors import Invalid


class ErrandsTests(SynchronousTestCase):
    """On a clock of our own."""

    def setUp(self) -> None:
        """Nothing to do yet."""
        self.clock = Clock()
        self.errands = Errands(self.clock)
        self.done: list[str] = []

    async def write(self) -> None:
        """An errand."""
        self.done.append("errand")

    def test_after_what_was_put_off_at_the_same_time(self) -> None:
        """Transports put off what they write, by a turn or two; the errand comes after that."""
        self.errands.later("Writing", self.write)

        def put_off(turns: int) -> None:
            if turns:
                self.clock.callLater(0, put_off, turns - 1)
            else:
                self.done.append("answer")

        put_off(TURNS - 1)
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, ["answer", "errand"])

    def test_stop_waits(self) -> None:
        """For what was begun, and for what is to begin."""
        last: Deferred[None] = Deferred()

        async def slow() -> None:
            await last

        self.errands.later("Writing", self.write)
        self.errands.later("Waiting", slow)
        stopped = Deferred.fromCoroutine(self.errands.stop())
        self.clock.advance(0)
        self.assertNoResult(stopped)
        last.callback(None)
        self.successResultOf(stopped)

    def test_failures(self) -> None:
        """What is nobody's mistake here is a line of the log; ours comes with its traceback."""

        async def refused() -> None:
            raise Invalid("Nobody would get this mail.")

        async def broken() -> None:
            raise ValueError("ours")

        with capturedLogs() as logged:
            self.errands.later("Mailing", refused)
            self.errands.later("Counting", broken)
            self.clock.advance(0)
        events = [event for event in logged if "errand" in event]
        said = [(each["errand"], each.get("why", ""), each["log_level"]) for each in events]
        expected = [
            ("Mailing", "Nobody would get this mail.", LogLevel.warn),
            ("Counting", "Counting failed.", LogLevel.critical),
        ]
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(said, expected)
