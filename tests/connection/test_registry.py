"""Tests of fe_mail.connection.registry: who may come in, and how all of them leave."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.connection.registry import (
    DRAIN_SECONDS,
    GOODBYE_SECONDS,
    RESERVED,
    Connections,
    Limits,
    Reason,
)


class Line:
    """A connection that writes down what it is told; one that is idle leaves at once."""

    def __init__(self, registry: Connections, is_idle: bool = True, hangs_up: bool = True) -> None:
        self.registry = registry
        self.hangs_up = hangs_up
        self.is_idle = is_idle
        self.heard: list[Reason] = []
        self.is_cut = False

    def finish(self, why: Reason) -> bool:
        """Leave, unless something is running."""
        self.heard.append(why)
        if self.is_idle and self.hangs_up:
            self.registry.leave(self)
        return self.is_idle

    def cut(self) -> None:
        """Leave."""
        self.is_cut = True
        self.registry.leave(self)


class RegistryTestCase(SynchronousTestCase):
    """Room for five, two of a network, two of an alias."""

    def setUp(self) -> None:
        """Nobody there."""
        self.clock = Clock()
        self.bus = MemoryBus(self.clock)
        limits = Limits(in_all=5, per_address=2, per_alias=2)
        self.registry = Connections("test", limits, clock=self.clock, bus=self.bus)

    def come(self, host: str = "192.0.2.1", is_idle: bool = True) -> tuple[Line, Reason | None]:
        """A connection, and why it may not stay."""
        line = Line(self.registry, is_idle)
        return line, self.registry.admit(line, host)


class LimitTests(RegistryTestCase):
    """How many."""

    def test_per_address(self) -> None:
        """Two of a network; the place of one that left is free again."""
        (first, _), _ = self.come(), self.come()
        third, why = self.come("::ffff:192.0.2.1")
        self.assertIs(why, Reason.ADDRESS)
        self.assertIsNone(self.come("192.0.2.2")[1])
        self.registry.leave(third)
        self.registry.leave(first)
        self.assertIsNone(self.come()[1])

    def test_ipv6_by_network(self) -> None:
        """All addresses of a /64 are one customer's."""
        for host in ("2001:db8::1", "2001:db8::2"):
            self.assertIsNone(self.come(host)[1])
        self.assertIs(self.come("2001:db8::3")[1], Reason.ADDRESS)
        self.assertIsNone(self.come("2001:db8:0:1::3")[1])

    def test_in_all(self) -> None:
        """Five, whoever they are."""
        for number in range(5):
            self.assertIsNone(self.come(f"192.0.2.{number}")[1])
        self.assertIs(self.come("192.0.2.9")[1], Reason.FULL)

    def test_the_refused_count(self) -> None:
        """They hold a socket until they are closed."""
        for _ in range(5):
            self.come()
        self.assertEqual(len(self.registry), 5)
        self.assertIs(self.come("192.0.2.2")[1], Reason.FULL)

    def test_unknown_addresses(self) -> None:
        """Connections without an address (of a local socket) share no limit but the one for all."""
        for _ in range(5):
            self.assertIsNone(self.come("")[1])
        self.assertIs(self.come("")[1], Reason.FULL)

    def test_no_limit(self) -> None:
        """Zero switches a limit off."""
        registry = Connections("test", Limits(in_all=0, per_address=0), clock=self.clock)
        for _ in range(20):
            line = Line(registry)
            self.assertIsNone(registry.admit(line, "192.0.2.1"))
            self.assertIsNone(registry.signed_in(line, "a1"))

    def test_per_alias(self) -> None:
        """Two of an alias from wherever; a second login of one connection is no other one."""
        lines = [self.come(f"192.0.2.{number}")[0] for number in range(3)]
        self.assertIsNone(self.registry.signed_in(lines[0], "a1"))
        self.assertIsNone(self.registry.signed_in(lines[0], "a1"))
        self.assertIsNone(self.registry.signed_in(lines[1], "a1"))
        self.assertIs(self.registry.signed_in(lines[2], "a1"), Reason.ALIAS)
        self.registry.leave(lines[2])
        self.registry.leave(lines[1])
        other, _ = self.come()
        self.assertIsNone(self.registry.signed_in(other, "a1"))

    def test_leaving_twice(self) -> None:
        """Leaving counts once; a stranger's leaving and login do nothing."""
        first, _ = self.come()
        self.come()
        for _ in range(3):
            self.registry.leave(first)
        self.assertEqual(len(self.registry), 1)
        self.assertIsNone(self.registry.signed_in(first, "a1"))
        self.come()
        self.assertIs(self.come()[1], Reason.ADDRESS)


class CredentialsTests(RegistryTestCase):
    """Sessions end when the password that opened them changes."""

    def test_changed(self) -> None:
        """Those of the alias hear it, and nobody else."""
        (mine, _), (other, _), (anonymous, _) = self.come(), self.come(), self.come("192.0.2.2")
        self.registry.signed_in(mine, "a1")
        self.registry.signed_in(other, "a2")
        self.bus.publish("credentials:a1")
        self.clock.advance(0)
        self.assertEqual(mine.heard, [Reason.REVOKED])
        self.assertEqual(other.heard + anonymous.heard, [])

    def test_after_leaving(self) -> None:
        """A connection that left hears nothing more."""
        line, _ = self.come()
        self.registry.signed_in(line, "a1")
        self.registry.leave(line)
        self.bus.publish("credentials:a1")
        self.clock.advance(0)
        self.assertEqual(line.heard, [])
        self.assertEqual(self.bus._topics, {})


class DrainTests(RegistryTestCase):
    """Graceful stop."""

    def drain(self) -> "Deferred[None]":
        """Begin to drain."""
        return Deferred.fromCoroutine(self.registry.drain())

    def test_empty(self) -> None:
        """Nobody there: done at once, and it stays closed."""
        self.successResultOf(self.drain())
        self.assertIs(self.come()[1], Reason.STOPPING)

    def test_busy_ones_finish(self) -> None:
        """The idle leave at once, the end waits for the last, and no timer stays behind."""
        idle, _ = self.come()
        busy, _ = self.come(is_idle=False)
        done, again = self.drain(), self.drain()
        self.assertEqual(idle.heard, [Reason.STOPPING])
        self.assertNoResult(done)
        self.registry.leave(busy)
        self.successResultOf(done)
        self.successResultOf(again)
        self.assertFalse(busy.is_cut)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_does_not_hang_up(self) -> None:
        """Who has nothing running is cut soon, though others still finish what they do."""
        deaf = Line(self.registry, hangs_up=False)
        self.registry.admit(deaf, "192.0.2.1")
        busy, _ = self.come(is_idle=False)
        done = self.drain()
        self.clock.advance(GOODBYE_SECONDS - 1)
        self.assertFalse(deaf.is_cut)
        self.clock.advance(1)
        self.assertTrue(deaf.is_cut)
        self.assertFalse(busy.is_cut)
        self.registry.leave(busy)
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_ones_are_cut(self) -> None:
        """Nobody holds up the stop for longer than the limit."""
        busy, _ = self.come(is_idle=False)
        done = self.drain()
        self.clock.advance(DRAIN_SECONDS - 1)
        self.assertNoResult(done)
        self.clock.advance(1)
        self.assertTrue(busy.is_cut)
        self.successResultOf(done)


class CrowdTests(SynchronousTestCase):
    """Room for a hundred, fifty of a network; connections that wait may be cut."""

    def setUp(self) -> None:
        """Nobody there."""
        self.clock = Clock()
        self.busy: set[Line] = set()
        self.limits = Limits(in_all=100, per_address=50)
        self.registry = self.registry_of(self.limits)

    def registry_of(self, limits: Limits) -> Connections:
        """Everybody yields who is not busy."""
        return Connections(
            "test", limits, clock=self.clock, yields=lambda line: line not in self.busy
        )

    def come(self, host: str) -> tuple[Line, Reason | None]:
        """A connection; one that is refused leaves."""
        line = Line(self.registry)
        why = self.registry.admit(line, host)
        if why is not None:
            self.registry.leave(line)
        return line, why

    def test_reserve(self) -> None:
        """Who holds many leaves the last places to those who hold few."""
        refused = [self.come(f"192.0.2.{number % 3}")[1] for number in range(300)]
        self.assertEqual(refused.count(None), 100 - 100 // RESERVED)
        for number in range(100 // RESERVED):
            self.assertIsNone(self.come(f"198.51.100.{number}")[1])

    def test_make_room(self) -> None:
        """When all is full, the oldest of the biggest holder that waits goes."""
        lines = [self.come("192.0.2.1")[0] for _ in range(40)]
        for number in range(60):
            self.come(f"198.51.100.{number}")
        self.busy.add(lines[0])
        self.assertIsNone(self.come("203.0.113.1")[1])
        self.assertEqual([line for line in lines if line.is_cut], [lines[1]])
        self.assertEqual(len(self.registry), 100)
        self.assertIs(self.come("192.0.2.1")[1], Reason.FULL, "its own share is the biggest")

    def test_all_busy(self) -> None:
        """What is running is not cut for anybody."""
        for number in range(100):
            self.busy.add(self.come(f"198.51.100.{number}")[0])
        self.assertIs(self.come("203.0.113.1")[1], Reason.FULL)

    def test_behind_a_proxy(self) -> None:
        """All come from one address: there is no reserve, and the oldest makes room."""
        self.registry = self.registry_of(Limits(in_all=100, per_address=0))
        lines = [self.come("127.0.0.1")[0] for _ in range(101)]
        self.assertEqual([line for line in lines if line.is_cut], lines[:1])

    def test_log(self) -> None:
        """A thousand refusals are two lines."""
        seen = len(self.flushLoggedErrors())
        events: list[object] = []
        self.registry.log.observer.addObserver(events.append)
        self.addCleanup(self.registry.log.observer.removeObserver, events.append)
        for _ in range(1000):
            self.come("192.0.2.1")
        self.clock.advance(60)
        self.assertEqual((seen, len(events)), (0, 2))
