"""Tests of fe_mail.waiting: pauses and deadlines."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.waiting import TookTooLong, pause, together, within


class WaitingTests(SynchronousTestCase):
    """By a clock of our own."""

    def setUp(self) -> None:
        """Work that waits for a Deferred."""
        self.clock = Clock()
        self.cancelled: list[object] = []
        self.inner: Deferred[int] = Deferred(self.cancelled.append)

    async def work(self) -> int:
        """Wait for it."""
        return await self.inner

    async def stubborn(self) -> int:
        """The same, without heeding a cancellation."""
        try:
            return await self.inner
        except CancelledError:
            return await Deferred()

    def test_pause(self) -> None:
        """After its time; cancelled, it leaves no timer."""
        waiting = pause(self.clock, 5.0)
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(waiting))
        pause(self.clock, 5.0).addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_time(self) -> None:
        """The result or the error, and no timer stays."""
        ended = within(self.clock, 5.0, self.work())
        self.inner.callback(7)
        self.assertEqual(self.successResultOf(ended), 7)
        self.inner = Deferred()
        failed = within(self.clock, 5.0, self.work())
        self.inner.errback(ValueError())
        self.failureResultOf(failed, ValueError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """The work is cancelled."""
        ended = within(self.clock, 5.0, self.work())
        self.clock.advance(5.0)
        self.failureResultOf(ended, TookTooLong)
        self.assertEqual(self.cancelled, [self.inner])

    def test_heedless(self) -> None:
        """We go on, even if the work does not."""
        ended = within(self.clock, 5.0, self.stubborn())
        self.clock.advance(5.0)
        self.failureResultOf(ended, TookTooLong)

    def test_cancelled_from_outside(self) -> None:
        """So is the work."""
        ended = within(self.clock, 5.0, self.work())
        ended.cancel()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(self.cancelled, [self.inner])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """All at once, their results in order; the first error after all have ended."""
        first: Deferred[int] = Deferred()
        second: Deferred[int] = Deferred()

        async def wait(for_it: Deferred[int]) -> int:
            return await for_it

        both = Deferred.fromCoroutine(together([wait(first), wait(second)]))
        second.callback(2)
        self.assertNoResult(both)
        first.callback(1)
        self.assertEqual(self.successResultOf(both), [1, 2])
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(together([]))), [])

    def test_together_with_an_error(self) -> None:
        """Nobody is left behind: the others are waited for, or cancelled with the whole."""

        async def fail() -> int:
            raise ValueError

        both = Deferred.fromCoroutine(together([fail(), self.work()]))
        self.assertNoResult(both)
        self.inner.callback(1)
        self.failureResultOf(both, ValueError)
        self.inner = Deferred(self.cancelled.append)
        both = Deferred.fromCoroutine(together([self.work()]))
        both.cancel()
        self.failureResultOf(both, CancelledError)
        self.assertEqual(len(self.cancelled), 1)
