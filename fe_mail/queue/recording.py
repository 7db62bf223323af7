"""
From outcomes to what is recorded: at once, or with others that the sender is told of.

While anything else of a message is under way, or due, what its sender is told of waits in
``Gathering``, in the runner's hands but without a place. Everything else is recorded as it comes.
"""

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.queue import DeliveryState, Outcome, QueueFilter
from fe_mail.ports import Queue, Settlement
from fe_mail.queue.conclusions import Conclusions, Reports
from fe_mail.queue.gathering import Gathering, Part
from fe_mail.queue.hands import Hands, part_of
from fe_mail.queue.lanes import Work
from fe_mail.queue.settling import Settling

__all__ = ["Recording"]

log = Logger()


class Recording:
    """``spawn`` keeps its coroutine until it ends; ``recorded`` hears what is durable."""

    def __init__(
        self,
        queue: Queue,
        reports: Reports,
        hands: Hands,
        clock: IReactorTime,
        random: Callable[[], float],
        spawn: Callable[..., object],
        recorded: Callable[[Settlement], None],
    ) -> None:
        self._queue = queue
        self._hands = hands
        self._clock = clock
        self._spawn = spawn
        self._recorded = recorded
        self._conclusions = Conclusions(reports, clock, random)
        self._settling = Settling(queue, clock, spawn)
        self._gathering = Gathering(clock, lambda parts: spawn(self._tell(parts)))
        self._waits = True

    async def settle(self, work: Work, outcomes: tuple[Outcome, ...]) -> None:
        """What came of an attempt. It is durable, or waits, when this returns."""
        waits = self._conclusions.report_waits(work.claim, outcomes)
        is_joined = any(waits) and self._waits and await self._is_told_with_others(work)
        if is_joined and self._waits:  # a stop may have begun meanwhile
            outcomes = self._gather(work, outcomes, waits)
        if outcomes:
            await self._record([(work, outcomes)])

    def ended(self, work: Work) -> None:
        """It is in our hands no more: perhaps it was the last that others waited for."""
        if work.claim.message.id in self._gathering and not self._is_more_under_way(work):
            self._spawn(self._let_go(work))

    async def _let_go(self, work: Work) -> None:
        message_id = work.claim.message.id
        is_more_due = await self._is_more_due(work)
        if message_id in self._gathering and not (is_more_due or self._is_more_under_way(work)):
            self._gathering.let_go(message_id)

    def stop_waiting(self) -> None:
        """What waits for others is recorded now; nothing waits from now on."""
        self._waits = False
        self._gathering.let_all_go()

    def hurry(self) -> None:
        """The process ends: what cannot be recorded now is given up."""
        self._settling.hurry()

    async def _is_told_with_others(self, work: Work) -> bool:
        is_gathered = work.claim.message.id in self._gathering
        return is_gathered or self._is_more_under_way(work) or await self._is_more_due(work)

    def _is_more_under_way(self, work: Work) -> bool:
        """Is anything of its message in our hands whose outcome is not known yet?"""
        return any(
            other is not work and not self._gathering.has(other)
            for other in self._hands.of_message(work.claim.message.id)
        )

    async def _is_more_due(self, work: Work) -> bool:
        """Does anything of its message wait for a place only?"""
        now, message_id = self._clock.seconds(), work.claim.message.id
        try:
            entries = await self._queue.find(QueueFilter(message_id=message_id))
        except Exception:  # whatever it is, an outcome is not forgotten for it
            log.failure("whether more of {message_id} is due is not known", message_id=message_id)
            return False
        return any(
            delivery.state is DeliveryState.WAITING
            and delivery.next_attempt_at <= now
            and self._hands.get((message_id, delivery.number)) is None
            for entry in entries
            for delivery in entry.deliveries
        )

    def _gather(
        self, work: Work, outcomes: tuple[Outcome, ...], waits: Sequence[float | None]
    ) -> tuple[Outcome, ...]:
        """Take from it what the sender is told of; the outcomes of what is left to it."""
        is_told = [wait is not None for wait in waits]
        told = attrs.evolve(work, claim=part_of(work.claim, is_told))
        work.claim = part_of(work.claim, [not each for each in is_told])
        self._hands.take(told)
        pairs = list(zip(outcomes, is_told, strict=True))
        self._gathering.add(
            told,
            tuple(outcome for outcome, is_chosen in pairs if is_chosen),
            min(wait for wait in waits if wait is not None),
        )
        return tuple(outcome for outcome, is_chosen in pairs if not is_chosen)

    async def _tell(self, parts: Sequence[Part]) -> None:
        """Record what waited, with one report."""
        try:
            if parts:
                await self._record(parts)
        finally:
            for work, _ in parts:
                self._hands.forget(work)

    async def _record(self, parts: Sequence[Part]) -> None:
        """Make what came of claims of one message durable."""
        works = [work for work, _ in parts]
        outcomes = [outcome for _, each in parts for outcome in each]
        settlement = await self._conclusions.settlement([work.claim for work in works], outcomes)
        if await self._settling.add(settlement, lambda: [work.claim for work in works]):
            self._recorded(settlement)
