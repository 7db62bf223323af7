"""Tests of fe_mail.connection.turns."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.connection.turns import SLICE_SECONDS, Turns


class TurnsTests(SynchronousTestCase):
    """Nobody is served before the reactor had a look around."""

    def setUp(self) -> None:
        """A clock that only moves when it is told."""
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.served: list[str] = []

    def tick(self) -> None:
        """One turn of the reactor; what it makes due comes in the next one."""
        calls, self.clock.calls = self.clock.calls, []
        for call in calls:
            call.called = 1
            call.func(*call.args, **call.kw)

    def wait(self, name: str, cost_seconds: float = 0.0) -> None:
        """Wait in line; being served takes some time."""

        def serve(_: None) -> None:
            self.served.append(name)
            self.clock.rightNow += cost_seconds

        self.turns.take().addCallback(serve)

    def test_later(self) -> None:
        """Not at once, but in the next turn of the reactor, in order."""
        self.wait("a")
        self.wait("b")
        self.assertEqual((self.served, len(self.turns)), ([], 2))
        self.tick()
        self.assertEqual((self.served, len(self.turns)), (["a", "b"], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slices(self) -> None:
        """Those who take long are served one in a turn."""
        for name in "abc":
            self.wait(name, SLICE_SECONDS)
        self.tick()
        self.assertEqual(self.served, ["a"])
        self.tick()
        self.tick()
        self.assertEqual(self.served, ["a", "b", "c"])

    def test_greed(self) -> None:
        """Who comes back at once waits behind the others, and for the next turn."""
        greedy = self.turns.take()
        greedy.addCallback(lambda _: self.wait("again"))
        self.wait("b")
        self.tick()
        self.assertEqual(self.served, ["b"])
        self.tick()
        self.assertEqual(self.served, ["b", "again"])
