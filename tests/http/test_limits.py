"""The limits that the web UI and the API share."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.http.limits import (
    ACCOUNTS_PER_DAY,
    ATTEMPTS_PER_DAY,
    take_account,
    undo_account,
)
from fe_mail.model.counting import Window
from fe_mail.model.errors import RateLimited
from tests.fakes import memory_counters

NETWORK = "192.0.2.1"


class AccountLimitTests(SynchronousTestCase):
    """How many accounts come from one network."""

    def setUp(self) -> None:
        """Nothing was counted."""
        self.clock = Clock()
        self.counters = memory_counters(self.clock)

    def take(self) -> None:
        """Register."""
        self.successResultOf(Deferred.fromCoroutine(take_account(self.counters, NETWORK)))

    def refused(self) -> RateLimited:
        """Register in vain."""
        work = Deferred.fromCoroutine(take_account(self.counters, NETWORK))
        error = self.failureResultOf(work, RateLimited).value
        assert isinstance(error, RateLimited)
        return error

    def undo(self) -> None:
        """It came to nothing."""
        self.successResultOf(Deferred.fromCoroutine(undo_account(self.counters, NETWORK)))

    def test_accounts(self) -> None:
        """Five a day; a refusal says when to come back, and does not make it later."""
        for _ in range(ACCOUNTS_PER_DAY):
            self.take()
        self.clock.advance(1000)
        self.assertEqual(Window.DAY - 1000, self.refused().retry_after_seconds)
        self.refused()
        self.clock.advance(Window.DAY - 1000)
        self.take()

    def test_undone(self) -> None:
        """What came to nothing does not count as an account, but there is an end to it."""
        for _ in range(ATTEMPTS_PER_DAY):
            self.take()
            self.undo()
        self.refused()
