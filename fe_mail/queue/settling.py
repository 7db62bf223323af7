"""
Recording outcomes: many at once, and not given up because the disk is full for a moment.

While one commit runs, what ends meanwhile waits for the next. An outcome that cannot be recorded is
tried again for as long as the process runs: a remote 2xx that is forgotten is a second copy. It
holds its place meanwhile, so that nothing more is sent than can be remembered.
"""

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import Corrupt, Unavailable
from fe_mail.model.queue import Claim
from fe_mail.ports import Queue, Settlement

__all__ = ["DEFECT_TRIES", "MAX_SETTLED_AT_ONCE", "RETRY_SECONDS", "Settling"]

log = Logger()

MAX_SETTLED_AT_ONCE = 200
RETRY_SECONDS = 2.0
DEFECT_TRIES = 3  # of what fails for another reason than the disk


@attrs.define(eq=False)
class _Entry:
    """``current`` is the claim as it is now: its lease may have been taken anew."""

    settlement: Settlement
    current: Callable[[], Claim]
    done: "Deferred[bool]" = attrs.field(factory=Deferred)
    tries: int = 0


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
        self._is_writing = False
        self._is_patient = True
        self._is_hindered = False  # and said so

    def add(self, settlement: Settlement, current: Callable[[], Claim]) -> "Deferred[bool]":
        """Fires when it is durable: False if the lease was lost, or if we had to give up."""
        entry = _Entry(settlement, current)
        self._write_soon([entry])
        return entry.done

    def hurry(self) -> None:
        """The process ends: nothing is tried again."""
        self._is_patient = False

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
        settlements = [attrs.evolve(one.settlement, claim=one.current()) for one in batch]
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
            elif entry.current().token != settlement.claim.token:
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
        else:
            self._give_up(batch)

    def _give_up(self, batch: list[_Entry]) -> None:
        for entry in batch:
            log.error("{message_id}: its outcome is not recorded", message_id=_id_of(entry))
            entry.done.callback(False)


def _id_of(entry: _Entry) -> str:
    return entry.settlement.claim.message.id
