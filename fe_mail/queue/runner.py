"""
The runner: takes what is due out of the queue and gives it to the couriers.

Strategies, in Postfix's words: fairness and slow start per destination (``lanes``, ``places``,
``schedule``), backoff with jitter, destination status. Invariants:

- every claim that we hold has a lease that is renewed until it is settled; a killed process
  holds nothing when its leases run out;
- what is in our hands is never started again: after a pause that was longer than the lease we may
  claim it a second time, which only renews it; what another process took meanwhile is left to it;
- an outcome, its report and its journal entry are recorded together, before anything is removed:
  a kill before that repeats the attempt, it never loses mail (couriers are idempotent where they
  can be);
- nothing that a courier does stops the loop: an exception is logged and means "later".

The bus only says that something may be due; without it the timers find it.
RFC 5321 §4.5.4.1 (retries), §6.1 (responsibility).
"""

import math
import random as random_module
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.delivery.courier import LATER, Courier
from fe_mail.model.errors import MailError
from fe_mail.model.lane import LOCAL, SMTP, WEBHOOK, lane_of, owner_of
from fe_mail.model.queue import (
    DUE_TOPIC,
    Claim,
    DeliveryState,
    Outcome,
    OutcomeKind,
    QueuedDelivery,
    QueuedMessage,
)
from fe_mail.ports import Bus, Queue, Settlement
from fe_mail.queue.conclusions import Reports
from fe_mail.queue.hands import Hands, Key, part_of
from fe_mail.queue.intake import LEASE_SECONDS
from fe_mail.queue.lanes import Lane, Lanes, Work
from fe_mail.queue.recording import Recording
from fe_mail.queue.schedule import DEAD_SECONDS, MAX_PAUSE_SECONDS

__all__ = ["CONCURRENCY", "QueueRunner"]

log = Logger()

CONCURRENCY = 64  # transactions with other hosts at once
LOCAL_PLACES = 128  # deliveries into mailboxes at once
WEB_PLACES = 16  # requests to web services, which a user may make as slow as he likes
POLL_SECONDS = 30.0  # when no hint and no due time says anything
SET_BACK_SECONDS = 1.0  # by which the date must go back to be said to
STOP_GRACE_SECONDS = 30.0

_UNREACHABLE = frozenset({"4.4.1", "4.4.2", "4.4.3"})
_NO_COURIER = Outcome.deferred(451, "4.3.5", "This server has no way to deliver there yet.")


class QueueRunner:
    """Runs deliveries until it is stopped. ``couriers`` are found by the target's name."""

    def __init__(
        self,
        queue: Queue,
        couriers: Mapping[str, Courier],
        reports: Reports,
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
        self._couriers = dict(couriers)
        self._bus = bus
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._hands = Hands()
        self._recording = Recording(
            queue, reports, self._hands, clock, random, self._spawn, self._recorded
        )
        self._lanes = Lanes({LOCAL: local_concurrency, WEBHOOK: web_concurrency, SMTP: concurrency})
        self._tasks: set[Deferred[None]] = set()
        self._calls: dict[str, IDelayedCall] = {}
        self._wakes_at = 0.0
        self._last_date = math.inf  # nobody knows what it was before the start
        self._running = False
        self._is_filling = False
        self._fill_again = False
        self._is_starting = False
        self._may_be_more = False
        self._is_unreadable = False  # and we said so
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
        await self._give_back(self._lanes.drain())
        self._recording.stop_waiting()
        self._call("grace", grace_seconds, self._cancel_attempts)
        while self._tasks:
            await DeferredList(list(self._tasks), consumeErrors=True)
        for name in list(self._calls):
            self._cancel(name)

    @property
    def active_count(self) -> int:
        """Deliveries and writes under way, for tests."""
        return len(self._tasks)

    def _cancel_attempts(self) -> None:
        self._recording.hurry()
        for work in self._hands.works():
            _cancel_attempt(work)

    # -- what was just accepted ------------------------------------------------------------------

    def room_for(
        self, message: QueuedMessage, deliveries: Sequence[QueuedDelivery]
    ) -> Collection[int]:
        """Which of them may be claimed for us at once."""
        if not self._running:
            return ()
        now = self._clock.seconds()
        return [
            delivery.number
            for delivery in deliveries
            if delivery.state is DeliveryState.WAITING and self._has_room(message, delivery, now)
        ]

    def _has_room(self, message: QueuedMessage, delivery: QueuedDelivery, now: float) -> bool:
        lane = self._lanes.lane(lane_of(delivery.target), delivery.target)
        return (
            delivery.next_attempt_at <= now
            and not lane.state.is_dead(now)
            and self._lanes.has_room(lane, owner_of(message, delivery))
        )

    def take(self, claims: Sequence[Claim]) -> None:
        """
        Deliver what was claimed for us.

        Many at once may have been promised the same room. Where that would take it from others,
        the rest goes back.
        """
        back = []
        for claim in claims:
            work = self._admit(claim, is_crowded=not self._has_room_for(claim))
            if work is not None:
                back.append(work)
        if back:
            self._spawn(self._put_back(back))
        self._start_next()

    async def _put_back(self, works: Sequence[Work]) -> None:
        """And look again, so that it has its turn as soon as there is room."""
        await self._give_back(works)
        self._fill_soon()

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
                await self._look_at_the_date()
                await self._claim_due()
            if self._running:
                self._wake_when_due(await self._queue.next_due(self._clock.seconds()))
            self._is_unreadable = False
        except MailError as error:
            if not self._is_unreadable:  # it is tried again and again
                log.warn("the queue cannot be read: {reason}", reason=error.message)
            self._is_unreadable = True
            self._wake_in(POLL_SECONDS)
        except Exception:  # a defect: mail that is due must not wait for the next hint
            log.failure("claiming what is due failed")
            self._wake_in(POLL_SECONDS)
        finally:
            self._is_filling = False
        if self._fill_again and self._running:
            self._fill_soon()

    async def _look_at_the_date(self) -> None:
        """When it went back, nothing may wait for the future that it came from."""
        now = self._clock.seconds()
        if now < self._last_date - SET_BACK_SECONDS:
            moved = await self._queue.set_back(now, MAX_PAUSE_SECONDS, DEAD_SECONDS)
            if moved:
                log.warn("The date was ahead: {count} deliveries wait from now on.", count=moved)
        self._last_date = now

    async def _claim_due(self) -> None:
        rooms = self._lanes.rooms()
        self._may_be_more = True  # whatever ends from now on may make room for more
        claims = await self._queue.claim(self._clock.seconds(), self._lease_seconds, rooms)
        back = [work for claim in claims if (work := self._admit(claim)) is not None]
        self._start_next()
        self._may_be_more = bool(claims) or any(
            not room.places or room.full_lanes or room.full_owners for room in rooms
        )
        await self._give_back(back)

    def _has_room_for(self, claim: Claim) -> bool:
        lane = self._lanes.lane(claim.lane, claim.delivery.target)
        return not claim.owner or self._lanes.has_room(lane, claim.owner)

    def _admit(self, claim: Claim, *, is_crowded: bool = False) -> Work | None:
        """Into its lane; or the work to give back, if it cannot be done now."""
        lane = self._lanes.lane(claim.lane, claim.delivery.target)
        work = Work(claim, lane)
        known = [self._hands.get(key) for key in work.keys]
        if any(known):
            return self._adopt(work, known)
        if not self._running or is_crowded or lane.state.is_dead(self._clock.seconds()):
            return work
        self._hands.take(work)
        self._lanes.add(work)
        return None

    def _adopt(self, work: Work, known: Sequence[Work | None]) -> Work | None:
        """
        Our own lease had run out: what is in our hands goes on under the new one. Deliveries of
        the claim that are not in our hands go back.
        """
        claim = work.claim
        for ours in {id(one): one for one in known if one is not None}.values():
            ours.claim = attrs.evolve(ours.claim, token=claim.token)
        rest = tuple(
            delivery for delivery, ours in zip(claim.deliveries, known, strict=True) if ours is None
        )
        return Work(attrs.evolve(claim, deliveries=rest), work.lane) if rest else None

    async def _give_back(self, works: Iterable[Work]) -> None:
        """Back into the queue, due as before; a destination that is dead rests there too."""
        given = list(works)
        for work in given:
            self._hands.forget(work)
        now = self._clock.seconds()
        try:
            await self._queue.give_back([work.claim for work in given])
            for lane in {work.lane.key: work.lane for work in given}.values():
                if lane.state.is_dead(now):
                    await self._queue.rest(lane.key, lane.state.dead_until)
        except MailError as error:  # the leases will run out by themselves
            log.warn("mail could not be given back: {reason}", reason=error.message)

    def _wake_when_due(self, due: float | None) -> None:
        seconds = POLL_SECONDS
        if due is not None:
            seconds = min(POLL_SECONDS, max(0.05, due - self._clock.seconds()))
        self._wake_in(seconds)

    def _wake_in(self, seconds: float) -> None:
        self._wakes_at = self._clock.seconds() + seconds
        self._call("fill", seconds, self._fill_soon)

    # -- delivering -----------------------------------------------------------------------------

    def _start_next(self) -> None:
        """Start all that may start. Deliveries that end at once do not make it recurse."""
        if self._is_starting:
            return
        self._is_starting = True
        try:
            while self._running and (work := self._lanes.next()) is not None:
                self._spawn(self._run(work))
        finally:
            self._is_starting = False

    async def _run(self, work: Work) -> None:
        outcomes: tuple[Outcome, ...] | None = None
        resting: list[Work] = []
        try:
            outcomes = await self._attempt(work)
            if outcomes is not None:
                resting = self._learn(work.lane, outcomes)
                await self._recording.settle(work, outcomes)
        finally:
            self._hands.forget(work)
            self._lanes.done(work)
            self._start_next()
            self._recording.ended(work)
            if self._may_be_more and self._running:
                self._fill_soon()
        if outcomes is None and not work.is_lost:
            await self._give_back([work])
        if resting:
            await self._give_back(resting)

    async def _attempt(self, work: Work) -> tuple[Outcome, ...] | None:
        """What the courier says of each delivery; None when it was stopped."""
        claim = work.claim
        courier = self._couriers.get(claim.delivery.target.courier)
        if courier is None:
            return (_NO_COURIER,) * len(claim.deliveries)
        work.attempt = Deferred.fromCoroutine(courier.deliver(claim))
        try:
            return await work.attempt
        except CancelledError:
            return None
        except Exception:
            log.failure(
                "the courier {courier} failed for {message_id}",
                courier=claim.delivery.target.courier,
                message_id=claim.message.id,
            )
            return (LATER,) * len(claim.deliveries)
        finally:
            work.attempt = None

    def _learn(self, lane: Lane, outcomes: Sequence[Outcome]) -> list[Work]:
        """Slow start; what waits for a destination that does not answer is returned, to rest."""
        if lane.kind == LOCAL:
            return []
        if not all(map(_is_unreachable, outcomes)):
            lane.state = lane.state.answered()
            return []
        now = self._clock.seconds()
        lane.state = lane.state.unreachable(now)
        if not lane.state.is_dead(now):
            return []
        self._spawn(self._rest(lane))
        return self._lanes.drain_lane(lane)

    async def _rest(self, lane: Lane) -> None:
        """What is in the queue for it is not looked at meanwhile."""
        try:
            await self._queue.rest(lane.key, lane.state.dead_until)
        except MailError as error:
            log.warn("{lane} could not be laid to rest: {reason}", lane=lane.key, reason=error)

    def _recorded(self, settlement: Settlement) -> None:
        """Something may be due earlier than we thought."""
        if settlement.reports:
            self._fill_soon()
        if any(outcome.kind is OutcomeKind.DEFERRED for outcome in settlement.outcomes):
            self._wake_earlier(settlement.next_attempt_at)

    def _wake_earlier(self, due: float) -> None:
        call = self._calls.get("fill")
        if self._running and (call is None or not call.active() or self._wakes_at > due):
            self._wake_when_due(due)

    # -- leases, timers, tasks ------------------------------------------------------------------

    def _renew_soon(self) -> None:
        self._call("renew", self._lease_seconds / 3, self._renew_soon)
        if self._hands:
            self._spawn(self._renew())

    async def _renew(self) -> None:
        claims = [work.claim for work in self._hands.works()]
        try:
            lost = await self._queue.renew(claims, self._lease_seconds)
        except MailError as error:
            log.warn("leases could not be renewed: {reason}", reason=error.message)
            return
        for claim in lost:
            keys = [(claim.message.id, delivery.number) for delivery in claim.deliveries]
            for work in self._hands.of(keys):
                if work.claim.token == claim.token:
                    self._lose(work, keys)

    def _lose(self, work: Work, keys: Sequence[Key]) -> None:
        """
        Another process has it: nothing more is done here, and nothing recorded. Of what it has a
        part only, the rest goes on; an attempt that runs is not broken off for it.
        """
        log.warn("{message_id}: its lease was lost", message_id=work.claim.message.id)
        left = [key not in keys for key in work.keys]
        if not any(left):
            work.is_lost = True
            self._hands.forget(work)
            if not self._lanes.remove(work):
                _cancel_attempt(work)
        elif self._lanes.is_waiting(work):
            self._hands.forget(work)
            work.claim = part_of(work.claim, left)
            self._hands.take(work)

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


def _is_unreachable(outcome: Outcome) -> bool:
    return outcome.kind is OutcomeKind.DEFERRED and outcome.enhanced in _UNREACHABLE


def _cancel_attempt(work: Work) -> None:
    if work.attempt is not None:
        work.attempt.cancel()
