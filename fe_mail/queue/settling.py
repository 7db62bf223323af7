"""
Recording outcomes: many at once, and not given up because the disk is full for a moment.

While one commit runs, what ends meanwhile waits for the next. An outcome that cannot be recorded is
tried again for as long as the process runs: a remote 2xx that is forgotten is a second copy. It
holds its place meanwhile, so that nothing more is sent than can be remembered.

What fails for another reason than the disk is a defect in what is to be recorded: after some tries
only the least is, who has a copy, and that too is tried for as long as the process runs.
"""

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import Corrupt, Unavailable
from fe_mail.model.queue import Claim
from fe_mail.ports import Queue, Settlement
from fe_mail.queue.conclusions import least

__all__ = ["DEFECT_TRIES", "MAX_SETTLED_AT_ONCE", "RETRY_SECONDS", "Settling"]

log = Logger()

MAX_SETTLED_AT_ONCE = 200
RETRY_SECONDS = 2.0
MAX_PAUSE_SECONDS = 300.0  # between tries of what is defective
DEFECT_TRIES = 3  # before only the least is recorded


@attrs.define(eq=False)
class _Entry:
    """``current`` are the claims as they are now: their leases may have been taken anew."""

    settlement: Settlement
    current: Callable[[], Sequence[Claim]]
    done: "Deferred[bool]" = attrs.field(factory=Deferred)
    tries: int = 0
    pause: IDelayedCall | None = None

    def now(self) -> Settlement:
        """The settlement with the leases of now."""
        first, *others = self.current()
        return attrs.evolve(self.settlement, claim=first, also=tuple(others))


class Settling:
    """Writes settlements; ``spawn`` keeps its coroutine until it ends."""

    def __init__(
        self,
        queue: Queue,
        clock: IReactorTime,
        spawn: Callable[..., object],
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._spawn = spawn
        self._waiting: list[_Entry] = []
        self._postponed: list[_Entry] = []
        self._resting: list[_Entry] = []
        self._is_writing = False
        self._is_patient = True
        self._is_hindered = False  # and said so

    def add(
        self, settlement: Settlement, current: Callable[[], Sequence[Claim]]
    ) -> "Deferred[bool]":
        """Fires when it is durable: False if the lease was lost, or if we had to give up."""
        entry = _Entry(settlement, current)
        self._write_soon([entry])
        return entry.done

    def hurry(self) -> None:
        """The process ends: everything is tried once more, and nothing after that."""
        self._is_patient = False
        resting, self._resting = self._resting, []
        for entry in resting:
            if entry.pause is not None:
                entry.pause.cancel()
        self._write_soon(resting)

    def _write_soon(self, entries: Sequence[_Entry]) -> None:
        self._waiting += entries
        if not self._is_writing:
            self._is_writing = True
            self._spawn(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MAX_SETTLED_AT_ONCE]
                del self._waiting[:MAX_SETTLED_AT_ONCE]
                await self._write(batch)
        finally:
            self._is_writing = False

    async def _write(self, batch: list[_Entry]) -> None:
        settlements = [entry.now() for entry in batch]
        try:
            answer = await self._queue.finish(settlements, self._clock.seconds())
        except Unavailable as error:
            if not self._is_hindered:  # it goes on every two seconds
                log.warn("outcomes could not be recorded: {reason}", reason=error.message)
            self._is_hindered = True
            self._later(batch)
            return
        except Corrupt:  # the store has told it, once
            self._one_by_one(batch)
            return
        except Exception:
            log.failure("outcomes could not be recorded")
            self._one_by_one(batch)
            return
        self._is_hindered = False
        lost = {id(claim) for claim in answer}
        for entry, settlement in zip(batch, settlements, strict=True):
            if id(settlement.claim) not in lost:
                entry.done.callback(True)
            elif _tokens(entry.now()) != _tokens(settlement):
                self._write_soon([entry])  # we claimed it anew just then
            else:
                log.warn("{message_id}: its lease was lost", message_id=_id_of(entry))
                entry.done.callback(False)

    def _later(self, batch: list[_Entry]) -> None:
        if not self._is_patient:
            self._give_up(batch)
            return
        if not self._postponed:
            self._clock.callLater(RETRY_SECONDS, self._again)
        self._postponed += batch

    def _again(self) -> None:
        postponed, self._postponed = self._postponed, []
        self._write_soon(postponed)

    def _one_by_one(self, batch: list[_Entry]) -> None:
        """One that cannot be written must stop no other."""
        if len(batch) > 1:
            for entry in batch:
                self._spawn(self._write([entry]))
            return
        (entry,) = batch
        entry.tries += 1
        if entry.tries < DEFECT_TRIES:
            self._later(batch)
            return
        entry.settlement = least(entry.settlement)
        if not self._is_patient:
            self._give_up(batch)
            return
        seconds = min(MAX_PAUSE_SECONDS, RETRY_SECONDS * 2.0 ** (entry.tries - DEFECT_TRIES))
        entry.pause = self._clock.callLater(seconds, self._after_rest, entry)
        self._resting.append(entry)

    def _after_rest(self, entry: _Entry) -> None:
        self._resting.remove(entry)
        self._write_soon([entry])

    def _give_up(self, batch: list[_Entry]) -> None:
        for entry in batch:
            log.error("{message_id}: its outcome is not recorded", message_id=_id_of(entry))
            entry.done.callback(False)


def _tokens(settlement: Settlement) -> list[str]:
    return [claim.token for claim in settlement.claims]


def _id_of(entry: _Entry) -> str:
    return entry.settlement.claim.message.id
