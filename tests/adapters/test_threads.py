"""The contract of ``Offload`` with and without threads; limits and the end of the pool."""

import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from fe_mail.adapters.threads import InlineThreads, ReactorThreads
from fe_mail.model.errors import Unavailable
from fe_mail.ports import Offload
from tests.contracts.offload import OffloadContract

anything: Any = reactor


class InlineThreadsTests(OffloadContract, TestCase):
    """The specification."""

    def offload(self) -> Offload:
        """At once."""
        return InlineThreads().run


class ReactorThreadsCase(TestCase):
    """A pool that ends with the test."""

    timeout = 20

    def pool(self, size: int, max_waiting: int) -> ReactorThreads:
        """A started pool."""
        threads = ReactorThreads(anything, size, "test", max_waiting)
        self.addCleanup(threads.stop)
        return threads


class ReactorThreadsContractTests(OffloadContract, ReactorThreadsCase):
    """The same promises from a pool."""

    def offload(self) -> Offload:
        """A pool of two threads."""
        return self.pool(2, 100).run


class ReactorThreadsTests(ReactorThreadsCase):
    """What only a pool has."""

    async def test_elsewhere(self) -> None:
        """The reactor's thread is left alone."""
        ran_in = await self.pool(1, 1).run(threading.get_ident)
        self.assertNotEqual(ran_in, threading.get_ident())

    async def test_limit(self) -> None:
        """What is too much is refused at once, and there is room again afterwards."""
        threads, gate = self.pool(1, 1), threading.Event()
        waiting = [threads.run(gate.wait) for _ in range(2)]
        self.failureResultOf(threads.run(lambda: None), Unavailable)
        gate.set()
        for each in waiting:
            await each
        self.assertEqual(await threads.run(lambda: 5), 5)

    async def test_stop(self) -> None:
        """What was started is finished, nothing more is taken."""
        threads, gate = ReactorThreads(anything, 1, "test", 10), threading.Event()
        results: list[Deferred[int]] = [
            threads.run(lambda n=n: (gate.wait(), n)[1])  # type: ignore[misc]
            for n in range(3)
        ]
        stopped = threads.stop()
        self.failureResultOf(threads.run(lambda: None), Unavailable)
        self.assertNoResult(stopped)
        gate.set()
        await stopped
        self.assertEqual([await each for each in results], [0, 1, 2])
