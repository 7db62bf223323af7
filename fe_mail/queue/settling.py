"""
Recording outcomes: many at once, and not given up because the disk is full for a moment.

While one commit runs, what ends meanwhile waits for the next. An outcome that cannot be recorded is
tried again for as long as the lease is renewed: a remote 2xx that is forgotten is a second copy.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import MailError
from fe_mail.model.queue import Claim
from fe_mail.ports import Queue, Settlement

__all__ = ["MAX_SETTLED_AT_ONCE", "RETRIES", "RETRY_SECONDS", "Settling"]

log = Logger()

MAX_SETTLED_AT_ONCE = 200
RETRY_SECONDS = 2.0
RETRIES = 60

_Entry = tuple[Settlement, "Deferred[bool]", int]


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
        self._is_writing = False
        self._is_patient = True

    def add(self, settlement: Settlement) -> "Deferred[bool]":
        """Fires when it is durable: False if the lease was lost, or if we had to give up."""
        done: Deferred[bool] = Deferred()
        self._again((settlement, done, RETRIES))
        return done

    def hurry(self) -> None:
        """The process ends: nothing is tried again."""
        self._is_patient = False

    def _again(self, entry: _Entry) -> None:
        self._waiting.append(entry)
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
        settlements = [settlement for settlement, _, _ in batch]
        try:
            lost = {id(claim) for claim in await self._finish(settlements)}
        except Exception as error:
            self._failed(batch, error)
            return
        for settlement, done, _ in batch:
            done.callback(id(settlement.claim) not in lost)

    async def _finish(self, settlements: list[Settlement]) -> tuple[Claim, ...]:
        return await self._queue.finish(settlements, self._clock.seconds())

    def _failed(self, batch: list[_Entry], error: Exception) -> None:
        """Each one alone from now on, so that one that cannot be written stops no other."""
        if isinstance(error, MailError):
            log.warn("outcomes could not be recorded: {reason}", reason=error.message)
        else:
            log.failure("outcomes could not be recorded")
        for settlement, done, retries in batch:
            if not retries or not self._is_patient:
                done.callback(False)
            elif len(batch) > 1:
                self._spawn(self._write([(settlement, done, retries - 1)]))
            else:
                entry = (settlement, done, retries - 1)
                self._clock.callLater(RETRY_SECONDS, self._again, entry)
