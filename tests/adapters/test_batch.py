"""Group commit: who shares a hop with whom, and who hears of which failure."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.batch import Batch, Results
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import Unavailable
from tests.adapters.later import LaterThreads


class BatchTests(SynchronousTestCase):
    """Items are numbers, their results the doubles."""

    def setUp(self) -> None:
        self.threads = LaterThreads()
        self.groups: list[list[int]] = []
        self.batch: Batch[int] = Batch(self.threads, self.work, max_items=3)

    def work(self, items: Sequence[int]) -> Results:
        """Zero fails alone, a negative number takes its group with it."""
        self.groups.append(list(items))
        if min(items) < 0:
            raise Unavailable
        return [item * 2 if item else Failure(ZeroDivisionError()) for item in items]

    def test_groups(self) -> None:
        """What waits when a hop starts goes with it; what comes meanwhile, with the next."""
        first = [self.batch.add(item) for item in (1, 2)]
        self.assertEqual(len(self.threads.calls), 1)
        self.threads.next()
        self.assertEqual([self.successResultOf(one) for one in first], [2, 4])
        later = [self.batch.add(item) for item in (3, 4, 5, 6)]
        self.threads.next()
        self.assertEqual(len(self.threads.calls), 1)
        self.assertNoResult(later[3])
        self.threads.next()
        self.assertEqual([self.successResultOf(one) for one in later], [6, 8, 10, 12])
        self.assertEqual(self.groups, [[1, 2], [3, 4, 5], [6]])

    def test_one_failure(self) -> None:
        """An item that fails is alone with it."""
        first, second = self.batch.add(0), self.batch.add(7)
        self.threads.next()
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), 14)

    def test_failure_of_all(self) -> None:
        """When the hop fails, all of its items do; the next hop is another matter."""
        lost = [self.batch.add(item) for item in (1, -1, 2)]
        later = self.batch.add(4)
        self.threads.next()
        for one in lost:
            self.failureResultOf(one, Unavailable)
        self.threads.next()
        self.assertEqual(self.successResultOf(later), 8)

    def test_refused(self) -> None:
        """When no thread can take the hop, whoever waits hears it, and later ones may try."""
        self.threads.is_full = True
        self.failureResultOf(self.batch.add(1), Unavailable)
        self.threads.is_full = False
        again = self.batch.add(2)
        self.threads.next()
        self.assertEqual(self.successResultOf(again), 4)
        self.assertEqual(self.groups, [[2]])

    def test_added_by_a_callback(self) -> None:
        """Whoever hears a result may add more, also when everything happens at once."""
        batch: Batch[int] = Batch(InlineThreads(), self.work)
        results: list[object] = []

        def again(result: object) -> None:
            results.append(result)
            if len(results) < 5:
                batch.add(len(results)).addCallback(again)

        batch.add(10).addCallback(again)
        self.assertEqual(results, [20, 2, 4, 6, 8])

    def test_cancelled(self) -> None:
        """Whoever stops waiting does not disturb the others; the work is done all the same."""
        given_up, kept = self.batch.add(1), self.batch.add(2)
        given_up.addErrback(lambda failure: None)
        given_up.cancel()
        self.threads.next()
        self.assertEqual(self.successResultOf(kept), 4)
        self.assertEqual(self.groups, [[1, 2]])

    def test_drained(self) -> None:
        """Fires when everything is answered, at once if nothing runs."""
        self.successResultOf(self.batch.drained())
        items: list[Deferred[object]] = [self.batch.add(item) for item in range(1, 5)]
        drained = self.batch.drained()
        self.threads.next()
        self.assertNoResult(drained)
        self.threads.next()
        self.successResultOf(drained)
        self.assertEqual(len([self.successResultOf(item) for item in items]), 4)
