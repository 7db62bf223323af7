"""
What becomes of a claim after an attempt: arithmetic of time, and reports to senders.

A delivery that is deferred for too long has failed; the sender of what failed is told, and told
once of what is late. The report is part of the settlement, so that both are durable or neither: a
process that dies in between repeats the attempt, never the report alone. Without its report a
failure is not final.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.account import LogEntry
from fe_mail.model.queue import Claim, Outcome, OutcomeKind, QueuedDelivery
from fe_mail.ports import Acceptance, Settlement
from fe_mail.queue.journal import entries_of, tell
from fe_mail.queue.schedule import (
    LATE_REPORT_WAIT_SECONDS,
    REPORT_WAIT_SECONDS,
    is_expired,
    needs_delayed_notice,
    next_attempt_at,
)

__all__ = ["Conclusions", "Reports", "Untold", "least"]

log = Logger()

_EXPIRED = "Not delivered within five days."
_NOT_RECORDED = Outcome.deferred(451, "4.3.0", "What came of it could not be recorded.")
_NO_REPORT = Outcome.deferred(451, "4.3.0", "The report to the sender could not be made.")

Reported = tuple[QueuedDelivery, Outcome]


@attrs.frozen
class Untold:
    """No report is sent to somebody who would want it; the owner of the domain reads why."""

    why: str


class Reports(Protocol):
    """Tells senders what became of their mail."""

    async def failed(
        self, claim: Claim, failures: Sequence[Reported]
    ) -> Acceptance | Untold | None:
        """The report that these will not be delivered, None where nobody wants one."""

    async def delayed(self, claim: Claim, delays: Sequence[Reported]) -> Acceptance | None:
        """The report that these are late."""


class Conclusions:
    """Makes settlements of outcomes. ``random`` is the jitter, from 0 to 1."""

    def __init__(self, reports: Reports, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._reports = reports
        self._clock = clock
        self._random = random

    def report_waits(self, claim: Claim, outcomes: Sequence[Outcome]) -> list[float | None]:
        """For how long each may wait for others to be told of with it; None: it needs no report."""
        now = self._clock.seconds()
        message = claim.message

        def wait(delivery: QueuedDelivery, outcome: Outcome) -> float | None:
            if not message.reverse_path or outcome.kind is OutcomeKind.DELIVERED:
                return None
            if outcome.kind is OutcomeKind.FAILED:
                return REPORT_WAIT_SECONDS
            is_told = is_expired(message, now) or needs_delayed_notice(message, delivery, now)
            return LATE_REPORT_WAIT_SECONDS if is_told else None

        return [wait(*pair) for pair in zip(claim.deliveries, outcomes, strict=True)]

    async def settlement(self, claims: Sequence[Claim], outcomes: Sequence[Outcome]) -> Settlement:
        """
        What is to be recorded of claims of one message.

        A defect in it must not make anybody forget what was delivered: then the least is recorded.
        """
        bare = Settlement(
            claim=claims[0],
            also=tuple(claims[1:]),
            outcomes=tuple(outcomes),
            next_attempt_at=next_attempt_at(
                claims[0].message, self._clock.seconds(), self._random()
            ),
        )
        try:
            return await self._whole(bare)
        except Exception:
            log.failure("no conclusion for {message_id}", message_id=claims[0].message.id)
            return least(bare)

    async def _whole(self, bare: Settlement) -> Settlement:
        now = self._clock.seconds()
        claim = attrs.evolve(bare.claim, deliveries=bare.deliveries)
        final = [_final(claim, outcome, now) for outcome in bare.outcomes]
        final, failed = await self._failed(claim, final)
        late, delayed = await self._delayed(claim, final, now)
        entries: list[LogEntry] = []
        for delivery, outcome in zip(claim.deliveries, final, strict=True):
            tell(claim, delivery, outcome)
            entries += entries_of(claim, delivery, outcome, now)
        return attrs.evolve(
            bare,
            outcomes=tuple(final),
            delayed_notice_at=now if late else 0.0,
            entries=tuple(entries),
            reports=tuple(report for report in (failed, delayed) if report is not None),
        )

    async def _failed(
        self, claim: Claim, outcomes: list[Outcome]
    ) -> tuple[list[Outcome], Acceptance | None]:
        """The report about failures; where it cannot be made, they are none yet."""
        failures = _of_kind(claim, outcomes, OutcomeKind.FAILED)
        if not failures:
            return outcomes, None
        try:
            report = await self._reports.failed(claim, failures)
        except Exception:
            log.failure("no report could be made for {message_id}", message_id=claim.message.id)
        else:
            if not isinstance(report, Untold):
                return outcomes, report
            return [_noted(each, report.why) for each in outcomes], None
        failed = OutcomeKind.FAILED
        return [_NO_REPORT if each.kind is failed else each for each in outcomes], None

    async def _delayed(
        self, claim: Claim, outcomes: list[Outcome], now: float
    ) -> tuple[bool, Acceptance | None]:
        """Whether senders are told that their mail is late, and the report if anybody wants it."""
        late = [
            (delivery, outcome)
            for delivery, outcome in _of_kind(claim, outcomes, OutcomeKind.DEFERRED)
            if needs_delayed_notice(claim.message, delivery, now)
        ]
        if not late:
            return False, None
        try:
            return True, await self._reports.delayed(claim, late)
        except Exception:
            log.failure("no notice could be made for {message_id}", message_id=claim.message.id)
            return False, None


def least(settlement: Settlement) -> Settlement:
    """
    Only what must not be forgotten: who has a copy. Whoever has none is tried again later, also
    those that failed, for without a report a failure is not final.
    """
    delivered = OutcomeKind.DELIVERED
    return attrs.evolve(
        settlement,
        outcomes=tuple(
            Outcome.delivered() if each.kind is delivered else _NOT_RECORDED
            for each in settlement.outcomes
        ),
        delayed_notice_at=0.0,
        entries=(),
        reports=(),
    )


def _of_kind(claim: Claim, outcomes: Sequence[Outcome], kind: OutcomeKind) -> list[Reported]:
    pairs = zip(claim.deliveries, outcomes, strict=True)
    return [(delivery, outcome) for delivery, outcome in pairs if outcome.kind is kind]


def _noted(outcome: Outcome, why: str) -> Outcome:
    is_failed = outcome.kind is OutcomeKind.FAILED
    return attrs.evolve(outcome, note=why) if is_failed else outcome


def _final(claim: Claim, outcome: Outcome, now: float) -> Outcome:
    """A deferral after the end of the message's lifetime is a failure."""
    if outcome.kind is not OutcomeKind.DEFERRED or not is_expired(claim.message, now):
        return outcome
    text = _EXPIRED if outcome.is_quote else f"{_EXPIRED} Last attempt: {outcome.line}"
    failed = Outcome.failed(554, "5.4.7", text, outcome.remote)
    return attrs.evolve(failed, said=outcome.said, tls=outcome.tls)
