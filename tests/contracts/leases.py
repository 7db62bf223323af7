"""
What every ``Leases`` does. A test class returns a fresh one from ``store(clock)``, and from
``beside(clock)`` another one on the same leases, as a second process has.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.model.errors import Conflict, Invalid
from fe_mail.model.lease import Lease
from fe_mail.ports import Leases

__all__ = ["LeasesContract"]

T = TypeVar("T")
UPTIME = 50_000.0


class LeasesContract:
    """The tests; ``store`` and ``beside`` are the hooks. ``clock`` is the host's steady one."""

    def store(self, clock: Clock) -> Leases:
        """A fresh, started one."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def beside(self, clock: Clock) -> Leases:
        """Another one on the same leases."""
        return self.leases

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(UPTIME)
        self.leases = self.store(self.clock)
        self.others = self.beside(self.clock)

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def lost(self, work: Coroutine[Any, Any, Any]) -> None:
        """It is somebody else's now."""
        self.failureResultOf(Deferred.fromCoroutine(work), Conflict)

    def acquire(self, leases: Leases | None = None, seconds: float = 60.0) -> Lease | None:
        """The lease that all tests are about."""
        return self.get((leases or self.leases).acquire("job", "me", seconds))

    def acquired(self, leases: Leases | None = None, seconds: float = 60.0) -> Lease:
        """The lease, which is free."""
        lease = self.acquire(leases, seconds)
        assert lease is not None
        return lease

    def test_one_at_a_time(self) -> None:
        """Held until its time is over, by whomever; other names are free."""
        lease = self.acquired()
        self.assertIsNone(self.acquire(self.others))
        self.assertIsNone(self.acquire())
        self.assertIsNotNone(self.get(self.others.acquire("other", "you", 60.0)))
        self.clock.advance(59.9)
        self.assertTrue(self.leases.holds(lease))
        self.assertIsNone(self.acquire(self.others))
        self.clock.advance(0.1)
        self.assertFalse(self.leases.holds(lease))
        self.acquired(self.others)

    def test_renew(self) -> None:
        """As often as needed, each time from now on."""
        lease = self.acquired()
        for _ in range(5):
            self.clock.advance(40.0)
            lease = self.get(self.leases.renew(lease, 60.0))
            self.assertIsNone(self.acquire(self.others))
        self.assertEqual(lease.token, 1)
        self.clock.advance(60.0)
        self.acquired(self.others)

    def test_renew_late(self) -> None:
        """A lease that was over is still one's own when nobody came meanwhile."""
        lease = self.acquired()
        self.clock.advance(1000.0)
        renewed = self.get(self.leases.renew(lease, 60.0))
        self.assertTrue(self.leases.holds(renewed))
        self.assertIsNone(self.acquire(self.others))

    def test_lost(self) -> None:
        """Who slept over it can neither renew nor release what another has."""
        lease = self.acquired()
        self.clock.advance(60.0)
        taken = self.acquired(self.others)
        self.lost(self.leases.renew(lease, 60.0))
        self.lost(self.leases.release(lease, "late"))
        self.assertTrue(self.others.holds(taken))
        self.get(self.others.release(taken))
        self.assertEqual(self.acquired().note, "")

    def test_release(self) -> None:
        """At once for the next one; a lease that was released is nobody's."""
        lease = self.acquired()
        self.get(self.leases.release(lease))
        self.lost(self.leases.release(lease))
        self.lost(self.leases.renew(lease, 60.0))
        self.acquired(self.others)

    def test_token_grows(self) -> None:
        """With every acquisition, however the one before ended, and never by renewing."""
        tokens = []
        for number in range(6):
            lease = self.acquired((self.leases, self.others)[number % 2])
            tokens.append(lease.token)
            if number % 3:
                self.get(self.leases.release(lease))
            else:
                self.clock.advance(60.0)
        self.assertEqual(tokens, [1, 2, 3, 4, 5, 6])

    def test_note(self) -> None:
        """What was left stays until something else is left, also when a holder dies."""
        self.get(self.leases.release(self.acquired(), "first"))
        lease = self.acquired(self.others)
        self.assertEqual(lease.note, "first")
        self.get(self.others.release(self.get(self.others.renew(lease, 60.0))))
        self.acquired()
        self.clock.advance(60.0)
        lease = self.acquired(self.others)
        self.assertEqual(lease.note, "first")
        self.get(self.others.release(lease, "second"))
        self.assertEqual(self.acquired().note, "second")

    def test_host_started_anew(self) -> None:
        """Its clock begins at 0, and whoever held a lease is gone."""
        for uptime in (10.0, UPTIME - 3600.0, UPTIME + 60.0):
            self.clock.rightNow = UPTIME
            lease = self.acquired()
            self.clock.rightNow = uptime
            self.assertIsNotNone(lease := self.acquire(self.others), uptime)
            self.get(self.others.release(lease))

    def test_host_started_anew_at_the_same_time(self) -> None:
        """When it cannot be told, the lease's own time is waited for."""
        self.acquired()
        self.clock.rightNow = UPTIME + 30.0
        self.assertIsNone(self.acquire(self.others))
        self.clock.advance(30.0)
        self.acquired(self.others)

    def test_names_are_bounded(self) -> None:
        """Names are ours, and short."""
        for name, owner in (("", "me"), ("x" * 101, "me"), ("job", "x" * 101)):
            work = self.leases.acquire(name, owner, 60.0)
            self.failureResultOf(Deferred.fromCoroutine(work), Invalid)
