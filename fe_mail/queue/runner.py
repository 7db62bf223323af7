"""
The runner: takes what is due out of the queue and gives it to the couriers.

Strategies, in Postfix's words: fairness and slow start per destination (``lanes``,
``schedule``), backoff with jitter, destination status. Invariants:

- every claim that we hold has a lease that is renewed until it is settled; a killed process
  holds nothing when its leases run out;
- an outcome is recorded before anything is removed, a report is queued before its delivery is
  settled: a kill in between repeats work, it never loses mail (couriers and reports are
  idempotent where they can be);
- nothing that a courier does stops the loop: an exception is logged and means "later".

The bus only says that something may be due; without it the timers find it.
RFC 5321 §4.5.4.1 (retries), §6.1 (responsibility).
"""

import random as random_module
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.delivery.courier import LATER, Courier
from fe_mail.model.errors import Conflict, MailError
from fe_mail.model.queue import DUE_TOPIC, Claim, Outcome, OutcomeKind
from fe_mail.ports import AccountStore, Blobs, Bus, Queue
from fe_mail.queue.journal import Journal
from fe_mail.queue.lanes import WAITING_FACTOR, Lane, Lanes
from fe_mail.queue.schedule import is_expired, needs_delayed_notice, next_attempt_at

__all__ = ["CONCURRENCY", "LEASE_SECONDS", "QueueRunner", "Reports"]

log = Logger()

CONCURRENCY = 64  # deliveries to other hosts at once
LOCAL_PLACES = 128  # deliveries into mailboxes at once
WEB_PLACES = 16  # requests to web services, which a user may make as slow as he likes
LEASE_SECONDS = 60.0
POLL_SECONDS = 30.0  # when no hint and no due time says anything
CLAIM_BATCH = 128
BUSY_SECONDS = 5.0  # a delivery whose lane is full comes back after this, or a little later
SLOW_SECONDS = 20.0  # the same where the destination is not in full swing
STOP_GRACE_SECONDS = 30.0

_BUSY = Outcome.deferred(451, "4.4.5", "Waiting for earlier mail to the same destination.")
_RESTS = Outcome.deferred(451, "4.4.1", "The destination does not answer; it is tried again soon.")
_STOPPING = Outcome.deferred(451, "4.3.2", "The server is restarting.")
_UNREACHABLE = frozenset({"4.4.1", "4.4.2", "4.4.3"})
_NO_COURIER = Outcome.deferred(451, "4.3.5", "This server has no way to deliver there yet.")


class Reports(Protocol):
    """Tells senders what became of their mail."""

    async def failed(self, claim: Claim, outcome: Outcome) -> str:
        """
        It will not be delivered. Durable when it returns; twice is once.

        Says what the owner of the domain should know of it, mostly nothing.
        """

    async def delayed(self, claim: Claim, outcome: Outcome) -> None:
        """It is late."""


class QueueRunner:
    """Runs deliveries until it is stopped. ``couriers`` are found by the target's name."""

    def __init__(
        self,
        queue: Queue,
        blobs: Blobs,
        couriers: Mapping[str, Courier],
        bounces: Reports,
        accounts: AccountStore,
        bus: Bus,
        clock: IReactorTime,
        *,
        concurrency: int = CONCURRENCY,
        local_concurrency: int = LOCAL_PLACES,
        web_concurrency: int = WEB_PLACES,
        lease_seconds: float = LEASE_SECONDS,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._couriers = dict(couriers)
        self._bounces = bounces
        self._journal = Journal(accounts, clock)
        self._bus = bus
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._random = random
        places = {"local": local_concurrency, "webhook": web_concurrency, "": concurrency}
        self._lanes = Lanes(places)
        self._window = (WAITING_FACTOR + 1) * sum(places.values())
        self._held: dict[tuple[str, int], Claim] = {}
        self._tasks: set[Deferred[None]] = set()
        self._calls: dict[str, IDelayedCall] = {}
        self._running = False
        self._is_filling = False
        self._fill_again = False
        self._is_starting = False
        self._is_full = False
        self._unsubscribe: Callable[[], None] = lambda: None

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; what is due already is taken at once."""
        self._running = True
        self._unsubscribe = self._bus.subscribe(DUE_TOPIC, lambda _: self._fill_soon())
        self._call("renew", self._lease_seconds / 3, self._renew_soon)
        self._fill_soon()

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Take no more, give back what only waits, let what runs finish (within the grace)."""
        self._running = False
        self._unsubscribe()
        for name in [name for name in self._calls if name != "renew"]:
            self._cancel(name)
        await self._give_back(list(self._lanes.drain()), _STOPPING, 0.0)
        self._call("grace", grace_seconds, self._cancel_tasks)
        while self._tasks:
            await DeferredList(list(self._tasks), consumeErrors=True)
        for name in list(self._calls):
            self._cancel(name)

    @property
    def active_count(self) -> int:
        """Deliveries and writes under way, for tests."""
        return len(self._tasks)

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    # -- taking claims --------------------------------------------------------------------------

    def _fill_soon(self) -> None:
        self._fill_again = True
        if self._running and not self._is_filling:
            self._is_filling = True
            self._spawn(self._fill())

    async def _fill(self) -> None:
        try:
            while self._fill_again and self._running:
                self._fill_again = False
                await self._claim_due()
            if self._running:
                self._wake_when_due(await self._queue.next_due())
        except MailError as error:
            log.warn("the queue cannot be read: {reason}", reason=error.message)
            self._call("fill", POLL_SECONDS, self._fill_soon)
        except CancelledError:
            raise  # by ``stop``: nothing more is to be claimed
        except Exception:  # a defect: mail that is due must not wait for the next hint
            log.failure("claiming what is due failed")
            self._call("fill", POLL_SECONDS, self._fill_soon)
        finally:
            self._is_filling = False
        if self._fill_again and self._running:
            self._fill_soon()

    async def _claim_due(self) -> None:
        while self._running:
            asked = min(CLAIM_BATCH, self._window - len(self._held))
            if asked <= 0:
                self._is_full = True  # deliveries that end fill again
                return
            now = self._clock.seconds()
            claims = await self._queue.claim(now, self._lease_seconds, asked)
            for claim in claims:
                self._held[_key(claim)] = claim
            await self._sort_into_lanes(claims)
            self._start_next()
            if len(claims) < asked:
                return

    async def _sort_into_lanes(self, claims: Iterable[Claim]) -> None:
        now = self._clock.seconds()
        for claim in claims:
            lane = self._lanes.lane(claim.delivery.target)
            if not self._running:
                await self._give_back([claim], _STOPPING, 0.0)
            elif lane.state.is_dead(now):
                await self._finish(claim, _RESTS)
            elif not self._lanes.has_room(lane):
                is_swift = lane.state.limit >= lane.state.maximum
                await self._give_back([claim], _BUSY, BUSY_SECONDS if is_swift else SLOW_SECONDS)
            else:
                self._lanes.add(lane, claim)

    async def _give_back(self, claims: Iterable[Claim], why: Outcome, seconds: float) -> None:
        """Back into the queue without an attempt; the schedule goes by age, so it costs nothing."""
        for claim in claims:
            self._held.pop(_key(claim), None)
            now = self._clock.seconds()
            later = now + seconds * (1.0 + self._random())
            try:
                await self._queue.settle(claim, why, now, next_attempt_at=later)
            except MailError as error:  # the lease will run out by itself
                log.info("not given back: {reason}", reason=error.message)

    def _wake_when_due(self, due: float | None) -> None:
        seconds = POLL_SECONDS
        if due is not None:
            seconds = min(POLL_SECONDS, max(0.05, due - self._clock.seconds()))
        self._call("fill", seconds, self._fill_soon)

    # -- delivering -----------------------------------------------------------------------------

    def _start_next(self) -> None:
        """Start all that may start. Deliveries that end at once do not make it recurse."""
        if self._is_starting:
            return
        self._is_starting = True
        try:
            while self._running and (ready := self._lanes.next()) is not None:
                self._spawn(self._run(*ready))
        finally:
            self._is_starting = False

    async def _run(self, lane: Lane, claim: Claim) -> None:
        resting: list[Claim] = []
        try:
            outcome = await self._attempt(claim)
            resting = self._learn(lane, outcome)
            await self._finish(claim, outcome)
        finally:
            self._lanes.done(lane)
            self._start_next()
            self._fill_if_there_is_room()
        for other in resting:
            await self._finish(other, _RESTS)

    def _fill_if_there_is_room(self) -> None:
        if self._is_full and self._running and len(self._held) < self._window * 3 // 4:
            self._is_full = False
            self._fill_soon()

    async def _finish(self, claim: Claim, outcome: Outcome) -> None:
        """Record an outcome; what cannot be recorded is tried again when the lease ran out."""
        try:
            await self._conclude(claim, outcome)
        except Conflict:
            log.warn("{message_id}: its lease was lost", message_id=claim.message.id)
        except MailError as error:
            log.warn(
                "{message_id} could not be settled, it will be tried again: {reason}",
                message_id=claim.message.id,
                reason=error.message,
            )
        finally:
            self._held.pop(_key(claim), None)

    async def _attempt(self, claim: Claim) -> Outcome:
        courier = self._couriers.get(claim.delivery.target.courier)
        if courier is None:
            return _NO_COURIER
        try:
            return await courier.deliver(claim)
        except CancelledError:
            return _STOPPING
        except Exception:
            log.failure(
                "the courier {courier} failed for {message_id}",
                courier=claim.delivery.target.courier,
                message_id=claim.message.id,
            )
            return LATER

    def _learn(self, lane: Lane, outcome: Outcome) -> list[Claim]:
        """Slow start; what waits for a destination that does not answer is returned, to rest."""
        if lane.kind == "local":
            return []
        if outcome.kind is not OutcomeKind.DEFERRED or outcome.enhanced not in _UNREACHABLE:
            lane.state = lane.state.answered()
            return []
        lane.state = lane.state.unreachable(self._clock.seconds())
        return self._lanes.drain_lane(lane) if lane.state.dead_until else []

    async def _conclude(self, claim: Claim, outcome: Outcome) -> None:
        now = self._clock.seconds()
        if outcome.kind is OutcomeKind.DEFERRED and is_expired(claim.message, now):
            outcome = _expired(outcome)
        notice_at = 0.0
        if outcome.kind is OutcomeKind.FAILED:
            # Whoever lost the lease must not report: another process may deliver it yet.
            await self._queue.renew(claim, now + self._lease_seconds)
            outcome = await self._report(claim, outcome)
        elif outcome.kind is OutcomeKind.DEFERRED and needs_delayed_notice(
            claim.message, claim.delivery, now
        ):
            await self._bounces.delayed(claim, outcome)
            notice_at = now
        later = next_attempt_at(claim.message, now, self._random())
        blob = await self._queue.settle(claim, outcome, now, later, notice_at)
        self._spawn(self._journal.record(claim, outcome))
        if blob is not None:
            await self._blobs.delete(blob)
        if outcome.kind is OutcomeKind.DEFERRED and self._running:
            self._wake_earlier(later)

    async def _report(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Queue the report first; without it the failure is not final."""
        try:
            note = await self._bounces.failed(claim, outcome)
        except Exception:
            log.failure("no report could be made for {message_id}", message_id=claim.message.id)
            return Outcome.deferred(451, "4.3.0", "The report to the sender could not be made.")
        return attrs.evolve(outcome, note=note)

    def _wake_earlier(self, due: float) -> None:
        call = self._calls.get("fill")
        if call is None or not call.active() or call.getTime() > due:
            self._wake_when_due(due)

    # -- leases, timers, tasks ------------------------------------------------------------------

    def _renew_soon(self) -> None:
        self._call("renew", self._lease_seconds / 3, self._renew_soon)
        if self._held:
            self._spawn(self._renew_all())

    async def _renew_all(self) -> None:
        until = self._clock.seconds() + self._lease_seconds
        claims = list(self._held.values())
        renewals = [Deferred.fromCoroutine(self._renew(claim, until)) for claim in claims]
        await DeferredList(renewals, consumeErrors=True)

    async def _renew(self, claim: Claim, until: float) -> None:
        try:
            await self._queue.renew(claim, until)
        except Conflict:
            if self._held.get(_key(claim)) is claim:
                del self._held[_key(claim)]
            self._lanes.remove(claim)
        except MailError as error:
            log.warn("a lease could not be renewed: {reason}", reason=error.message)

    def _call(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        self._cancel(name)
        self._calls[name] = self._clock.callLater(seconds, function)

    def _cancel(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None and call.active():
            call.cancel()

    def _spawn(self, work: Coroutine[Deferred[object], object, None]) -> None:
        """Keep what was started until it ends; what it raises is a bug, and logged."""
        task = Deferred.fromCoroutine(work)
        self._tasks.add(task)
        task.addErrback(lambda failure: log.failure("the queue runner failed", failure))
        task.addBoth(lambda _: self._tasks.discard(task))


def _key(claim: Claim) -> tuple[str, int]:
    return claim.message.id, claim.delivery.number


def _expired(outcome: Outcome) -> Outcome:
    text = f"Not delivered within five days. Last answer: {outcome.line}"
    return Outcome.failed(554, "5.4.7", text, outcome.remote)
