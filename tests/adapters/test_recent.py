"""Answers are kept for a moment, and never longer than they are true here."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.recent import KEPT_SECONDS, MAX_KEPT, Recent
from fe_mail.model.errors import NotFound


class RecentTests(SynchronousTestCase):
    """One asker who counts how often it was asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.recent = Recent(self.clock)
        self.asked = 0
        self.waiting: list[Deferred[int]] = []

    async def ask(self) -> int:
        """A new number each time."""
        self.asked += 1
        return self.asked

    def get(self, question: str = "a") -> int:
        """The answer that is there at once."""
        return self.successResultOf(Deferred.fromCoroutine(self.recent.get(question, self.ask)))

    def test_kept(self) -> None:
        """The same question has the same answer, until its time is over."""
        self.assertEqual([self.get(), self.get(), self.get("b")], [1, 1, 2])
        self.clock.advance(KEPT_SECONDS)
        self.assertEqual(self.get(), 3)

    def test_clock_set_back(self) -> None:
        """An answer of the later date is not kept until that date comes again."""
        self.clock.advance(86_400)
        self.get()
        self.clock.rightNow -= 3600
        self.assertEqual([self.get(), self.get()], [2, 2])

    def test_forgotten(self) -> None:
        """After a change everything is asked anew."""
        self.get()
        self.recent.forget_all()
        self.assertEqual(self.get(), 2)

    def test_overtaken(self) -> None:
        """An answer that a change overtook is given to who asked, and not kept."""
        slow: Deferred[int] = Deferred()

        async def ask() -> int:
            return await slow

        first = Deferred.fromCoroutine(self.recent.get("a", ask))
        self.recent.forget_all()
        slow.callback(77)
        self.assertEqual(self.successResultOf(first), 77)
        self.assertEqual(self.get(), 1)

    def test_errors(self) -> None:
        """What was not there a moment ago may be there now."""

        async def refuse() -> int:
            raise NotFound("no")

        self.failureResultOf(Deferred.fromCoroutine(self.recent.get("a", refuse)), NotFound)
        self.assertEqual(self.get(), 1)

    def test_bounded(self) -> None:
        """However many questions there are."""
        for number in range(MAX_KEPT + 10):
            self.get(str(number))
        self.assertLessEqual(len(self.recent._kept), MAX_KEPT)

    def test_no_clock(self) -> None:
        """Without a clock nothing is kept."""
        self.recent = Recent(None)
        self.assertEqual([self.get(), self.get()], [1, 2])
