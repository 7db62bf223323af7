"""
Runs the table of jobs: each once in its interval, in whichever process comes first.

A job runs under a lease, which is renewed while it runs and released when it ends, with a record
of how it went. So no two processes run a job together, however long it takes; a restart runs
nothing that is not due; what a process that was killed had begun is begun again when its lease is
over; and what failed is tried again after a pause that grows. Stopping waits for what runs.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.jobs.keeping import LEASE_SECONDS, LeaseLost, keep
from fe_mail.jobs.record import DONE, JobRecord
from fe_mail.jobs.table import Job
from fe_mail.model.errors import Conflict
from fe_mail.model.lease import Lease
from fe_mail.ports import Leases

__all__ = ["FIRST_LOOK_SECONDS", "LOOK_AGAIN_SECONDS", "MIN_PAUSE_SECONDS", "JobRunner"]

FIRST_LOOK_SECONDS = 20.0  # after the start, so that it never slows the start down
LOOK_AGAIN_SECONDS = LEASE_SECONDS  # when another process runs the job, or nobody knows
MIN_PAUSE_SECONDS = 10.0  # of a job that takes longer than its interval


class JobRunner:
    """``start`` and ``stop`` it like a service; ``owner`` names this process."""

    log = Logger()

    def __init__(
        self, jobs: Sequence[Job], leases: Leases, clock: IReactorTime, owner: str = ""
    ) -> None:
        self._jobs = tuple(jobs)
        self._leases = leases
        self._clock = clock
        self._owner = owner
        self._calls: dict[str, IDelayedCall] = {}
        self._running: set[Deferred[None]] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Plan the first look at every job."""
        for job in self._jobs:
            self._plan(job, min(FIRST_LOOK_SECONDS, job.interval_seconds))

    async def stop(self) -> None:
        """Plan nothing more and wait for what runs."""
        self._is_stopping = True
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        await DeferredList(list(self._running))

    def _plan(self, job: Job, delay_seconds: float) -> None:
        if not self._is_stopping:
            self._calls[job.name] = self._clock.callLater(delay_seconds, self._begin, job)

    def _begin(self, job: Job) -> None:
        del self._calls[job.name]
        running = Deferred.fromCoroutine(self._look(job))
        self._running.add(running)
        running.addBoth(lambda _: self._running.discard(running))

    async def _look(self, job: Job) -> None:
        """Run the job if it is due and nobody else does; plan the next look."""
        wait = LOOK_AGAIN_SECONDS
        try:
            lease = await self._leases.acquire(f"job:{job.name}", self._owner, LEASE_SECONDS)
            if lease is not None:
                wait = await self._turn(job, lease)
        except (Conflict, LeaseLost):
            self.log.warn("Job {job} lost its lease; another process runs it.", job=job.name)
        except Exception:
            self.log.failure("Job {job} could not be looked at.", job=job.name)
        self._plan(job, wait)

    async def _turn(self, job: Job, lease: Lease) -> float:
        """It is ours alone. Returns for how long it may rest."""
        record = JobRecord.read(lease.note)
        wait = record.wait_seconds(self._clock.seconds(), job.interval_seconds)
        if wait > 0:
            await self._leases.release(lease)
            return wait
        began_at = self._clock.seconds()
        result = await self._run(job, lease)
        record = record.after(began_at, self._clock.seconds(), result)
        await self._leases.release(lease, record.write())
        wait = record.wait_seconds(self._clock.seconds(), job.interval_seconds)
        return max(wait, min(MIN_PAUSE_SECONDS, job.interval_seconds))

    async def _run(self, job: Job, lease: Lease) -> str:
        """How it ended. ``LeaseLost``."""

        async def work() -> None:
            await job.run()

        self.log.debug("Job {job} runs.", job=job.name)
        try:
            await keep(self._leases, lease, self._clock, work())
        except LeaseLost:
            raise
        except Exception as error:
            self.log.failure("Job {job} failed; it is tried again.", job=job.name)
            return type(error).__name__
        return DONE
