"""The contract of ``Bus`` in memory."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.ports import Bus
from tests.contracts.bus import BusContract


class MemoryBusTests(BusContract, SynchronousTestCase):
    """The specification."""

    def store(self, clock: Clock) -> Bus:
        return MemoryBus(clock)

    def test_nobody_listens(self) -> None:
        """A hint for nobody costs no turn of the reactor."""
        self.bus.publish("t")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """After the stop nothing is given and nothing is scheduled."""
        self.bus.subscribe("t", self.seen.append)
        self.bus.publish("t")
        self.successResultOf(Deferred.fromCoroutine(self.bus.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.settle()
        self.assertEqual(self.seen, [])
