"""Tests of fe_mail.reception.harvesting: who asked for too many addresses that do not exist."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.model.counting import Count, Counter
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import Unavailable
from fe_mail.policy import inbound
from fe_mail.policy.limits import TARPIT_AFTER, TARPIT_MAX_SECONDS, UNKNOWN_MAX
from fe_mail.policy.rules import first_refusal
from fe_mail.ports import Counters
from fe_mail.reception.harvesting import RECENT_SECONDS, Harvesting, tarpit_seconds
from tests.fakes import memory_counters


class Watched:
    """Counters that note what is asked of them; ``is_broken`` ones fail."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.asked: list[str] = []
        self.is_broken = False

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        if self.is_broken:
            raise Unavailable
        return getattr(self._counters, name)


class HarvestingTests(SynchronousTestCase):
    """Two processes with one store of counters."""

    def setUp(self) -> None:
        """Nothing was asked for."""
        self.clock = Clock()
        self.counters = Watched(memory_counters(self.clock))
        self.here, self.there = self.process(), self.process()

    def process(self) -> Harvesting:
        """One with a memory of its own."""
        return Harvesting(self.counters, MemoryCache(self.clock))  # type: ignore[arg-type]

    def now(self, work: Any) -> Any:
        """The result of a coroutine."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def ask(self, ip: str = "192.0.2.1", times: int = UNKNOWN_MAX) -> list[int]:
        """Ask for addresses that do not exist."""
        return [self.now(self.here.note(ip)) for _ in range(times)]

    def is_over(self, ip: str = "192.0.2.1", at: Harvesting | None = None) -> bool:
        """What a connection hears."""
        return bool(self.now((at or self.here).is_over(ip)))

    def test_shut_out(self) -> None:
        """At the limit, until the window ends, and by every table."""
        self.ask(times=UNKNOWN_MAX - 1)
        self.assertFalse(self.is_over())
        self.ask(times=1)
        self.assertTrue(self.is_over())
        facts = inbound.ConnectFacts(peer=Peer(ip="192.0.2.1"))
        for table in (inbound.connect_table, inbound.sender_table):
            refusal = self.now(first_refusal(table(self.here.is_over), facts, [].append))
            self.assertEqual((refusal.code, refusal.enhanced), (421, "4.7.1"))
        self.clock.advance(3600.0)
        self.assertFalse(self.is_over())

    def test_tarpit(self) -> None:
        """Delays grow to a limit."""
        delays = [tarpit_seconds(count) for count in self.ask()]
        self.assertEqual(delays[: TARPIT_AFTER + 1], [0.0] * TARPIT_AFTER + [1.0])
        self.assertEqual(delays[-1], TARPIT_MAX_SECONDS)

    def test_one_subscriber_is_one_guesser(self) -> None:
        """Another address of the same IPv6 network has no allowance of its own."""
        for number in range(UNKNOWN_MAX):
            self.ask(f"2001:db8:1:2::{number:x}", times=1)
        self.assertTrue(self.is_over("2001:db8:1:2:ffff::1"))
        self.assertFalse(self.is_over("2001:db8:1:3::1"))

    def test_over_processes_and_restarts(self) -> None:
        """What one process counted the other knows soon, and a new one at once."""
        self.assertFalse(self.is_over(at=self.there))
        self.ask()
        self.clock.advance(RECENT_SECONDS)
        self.assertTrue(self.is_over(at=self.there))
        self.assertTrue(self.is_over(at=self.process()))

    def test_shut_out_meanwhile(self) -> None:
        """A reading from before the last guess that comes late does not open the door again."""
        late: Deferred[None] = Deferred()
        read = self.counters.read

        async def read_late(*counters: Counter) -> tuple[Count, ...]:
            counts: tuple[Count, ...] = await read(*counters)
            await late
            return counts

        self.counters.read = read_late
        asked = Deferred.fromCoroutine(self.here.is_over("192.0.2.1"))
        self.ask()
        late.callback(None)
        self.assertTrue(self.successResultOf(asked))
        self.assertTrue(self.is_over())

    def test_mail_costs_nothing(self) -> None:
        """Connections and messages of one peer ask the store once in a while, and never write."""
        for _ in range(1000):
            self.clock.advance(RECENT_SECONDS / 100)
            self.is_over()
        self.assertEqual(set(self.counters.asked), {"read"})
        self.assertLessEqual(len(self.counters.asked), 11)

    def test_a_broken_store_stops_no_mail(self) -> None:
        """It is logged."""
        self.counters.is_broken = True
        self.assertFalse(self.is_over())
        self.assertEqual(self.ask(times=1), [0])
        self.assertEqual(len(self.flushLoggedErrors(Unavailable)), 2)

    def test_own_mail_is_not_counted(self) -> None:
        """Mail of our own making has no address."""
        self.assertEqual(self.ask("", times=1), [0])
        self.assertFalse(self.is_over(""))
        self.assertEqual(self.counters.asked, [])
