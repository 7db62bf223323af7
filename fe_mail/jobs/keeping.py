"""
Work under a lease: it is renewed while the work runs, and the work ends when the lease is lost.

Who was paused for longer than the lease lasts finds out with the next renewal. What the work did
until then may have been done twice, so it must be harmless twice.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import Conflict
from fe_mail.model.lease import Lease
from fe_mail.ports import Leases

__all__ = ["LEASE_SECONDS", "RENEW_SECONDS", "LeaseLost", "keep"]

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0

T = TypeVar("T")


class LeaseLost(Exception):
    """Somebody else has it now."""


async def keep(
    leases: Leases, lease: Lease, clock: IReactorTime, work: Coroutine[Any, Any, T]
) -> T:
    """The result of ``work``; ``LeaseLost``: then it was cancelled."""
    working = Deferred.fromCoroutine(work)
    renewal = _Renewal(leases, lease, clock, working.cancel)
    try:
        return await working
    except CancelledError:
        if renewal.is_lost:
            raise LeaseLost from None
        raise
    finally:
        renewal.stop()


class _Renewal:
    log = Logger()

    def __init__(
        self, leases: Leases, lease: Lease, clock: IReactorTime, lose: Callable[[], None]
    ) -> None:
        self.is_lost = False
        self._leases = leases
        self._lease = lease
        self._clock = clock
        self._lose = lose
        self._is_over = False
        self._plan()

    def stop(self) -> None:
        """The work ended."""
        self._is_over = True
        if self._call.active():
            self._call.cancel()

    def _plan(self) -> None:
        self._call = self._clock.callLater(
            RENEW_SECONDS, lambda: Deferred.fromCoroutine(self._renew())
        )

    async def _renew(self) -> None:
        try:
            self._lease = await self._leases.renew(self._lease, LEASE_SECONDS)
        except Conflict:
            self.is_lost = True
        except Exception:
            self.log.failure("The lease of {name} could not be renewed.", name=self._lease.name)
            self.is_lost = not self._leases.holds(self._lease)
        if self._is_over:
            return
        if self.is_lost:
            self._lose()
        else:
            self._plan()
