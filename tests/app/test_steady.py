"""Timers of a real reactor while the time of day jumps."""

from twisted.internet.interfaces import IReactorCore, IReactorTCP, IReactorTime
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from fe_mail.app.steady import steady


class SteadyTests(SynchronousTestCase):
    """``steady`` on a reactor that nobody runs: the test lets its turns happen."""

    def setUp(self) -> None:
        """It is a moment in 2001, and the machine runs for a while."""
        self.counted, self.date = 5000.0, 1_000_000_000.0
        self.reactor = SelectReactor()
        self.addCleanup(self.reactor.disconnectAll)
        self.clock = steady(self.reactor, lambda: self.counted, lambda: self.date)
        self.ended: list[str] = []

    def let_pass(self, seconds: float) -> None:
        """Time as everybody knows it."""
        self.counted += seconds
        self.date += seconds
        self.reactor.runUntilCurrent()

    def test_dates(self) -> None:
        """Who asks what time it is hears the time of day."""
        self.assertEqual(self.clock.seconds(), 1_000_000_000.0)
        self.date += 86_400.0
        self.assertEqual(self.clock.seconds(), 1_000_086_400.0)

    def test_forward(self) -> None:
        """A date that jumps ahead ends no timer."""
        self.clock.callLater(10.0, self.ended.append, "timeout")
        self.let_pass(1.0)
        self.date += 86_400.0
        self.let_pass(1.0)
        self.assertEqual(self.ended, [])
        self.let_pass(8.0)
        self.assertEqual(self.ended, ["timeout"])

    def test_back(self) -> None:
        """One that goes back holds none up: leases are renewed in time."""
        renewing = LoopingCall(self.ended.append, "renewed")
        renewing.clock = self.clock
        renewing.start(20.0, now=False).addErrback(lambda failure: self.fail(str(failure)))
        self.addCleanup(lambda: renewing.stop() if renewing.running else None)
        self.clock.callLater(20.0, self.ended.append, "timer")
        self.date -= 86_400.0
        self.let_pass(20.0)
        self.assertEqual(sorted(self.ended), ["renewed", "timer"])

    def test_is_the_reactor(self) -> None:
        """It provides what the reactor provides."""
        for interface in (IReactorCore, IReactorTime, IReactorTCP):
            self.assertTrue(verifyObject(interface, self.clock))

    def test_too_late(self) -> None:
        """Timers that were planned already keep their clock, and the operator hears of it."""
        reactor = SelectReactor()
        self.addCleanup(reactor.disconnectAll)
        reactor.callLater(1.0, self.ended.append, "old")
        self.assertIs(steady(reactor), reactor)
