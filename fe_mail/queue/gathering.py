"""
Failures wait for each other: one report for all recipients of a message that failed together.

RFC 3464 §2 has a group of fields for each recipient, and nobody wants a report for each. Recipients
at different hosts are different claims, which end at different times: what the sender is to be told
of is kept, unrecorded, until nothing else of the message is under way, or for some time at most.
Nothing is lost by a kill meanwhile: the leases run out, and the attempts are made again.
"""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from fe_mail.model.queue import Outcome
from fe_mail.queue.lanes import Work

__all__ = ["Gathering", "Part"]

Part = tuple[Work, tuple[Outcome, ...]]


@attrs.define(eq=False)
class _Gathered:
    """Of one message."""

    timer: IDelayedCall
    ends_at: float
    parts: list[Part] = attrs.field(factory=list)


class Gathering:
    """``tell`` gets what belongs together."""

    def __init__(self, clock: IReactorTime, tell: Callable[[list[Part]], object]) -> None:
        self._clock = clock
        self._tell = tell
        self._messages: dict[str, _Gathered] = {}

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._messages

    def has(self, work: Work) -> bool:
        """Does it wait here?"""
        gathered = self._messages.get(work.claim.message.id)
        return gathered is not None and any(work is one for one, _ in gathered.parts)

    def add(self, work: Work, outcomes: tuple[Outcome, ...], seconds: float) -> None:
        """Keep it, and all of its message, for at most so long."""
        message_id = work.claim.message.id
        ends_at = self._clock.seconds() + seconds
        gathered = self._messages.get(message_id)
        if gathered is None:
            timer = self._clock.callLater(seconds, self.let_go, message_id)
            gathered = self._messages[message_id] = _Gathered(timer, ends_at)
        elif ends_at < gathered.ends_at:
            gathered.timer.reset(seconds)
            gathered.ends_at = ends_at
        gathered.parts.append((work, outcomes))

    def let_go(self, message_id: str) -> None:
        """Nothing more is waited for."""
        gathered = self._messages.pop(message_id)
        if gathered.timer.active():
            gathered.timer.cancel()
        self._tell([(work, outcomes) for work, outcomes in gathered.parts if not work.is_lost])

    def let_all_go(self) -> None:
        """The process ends."""
        for message_id in list(self._messages):
            self.let_go(message_id)
