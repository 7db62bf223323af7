"""
Runs the table of jobs: each at its interval, one process at a time.

A lease in the cache keeps several processes from running the same job together. Stopping waits
for the job that runs.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from fe_mail.jobs.table import Job
from fe_mail.ports import Cache

__all__ = ["FIRST_RUN_SECONDS", "JobRunner"]

FIRST_RUN_SECONDS = 20.0  # after the start, so that it never slows the start down


class JobRunner:
    """``start`` and ``stop`` it like a service."""

    log = Logger()

    def __init__(self, jobs: Sequence[Job], cache: Cache, clock: IReactorTime) -> None:
        self._jobs = tuple(jobs)
        self._cache = cache
        self._clock = clock
        self._calls: dict[str, IDelayedCall] = {}
        self._running: set[Deferred[None]] = set()

    def start(self) -> None:
        """Plan the first run of every job."""
        for job in self._jobs:
            self._plan(job, min(FIRST_RUN_SECONDS, job.interval_seconds))

    async def stop(self) -> None:
        """Plan nothing more and wait for what runs."""
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        await DeferredList(list(self._running))

    def _plan(self, job: Job, delay_seconds: float) -> None:
        self._calls[job.name] = self._clock.callLater(delay_seconds, self._begin, job)

    def _begin(self, job: Job) -> None:
        self._plan(job, job.interval_seconds)
        running = Deferred.fromCoroutine(self._run(job))
        self._running.add(running)
        running.addBoth(lambda _: self._running.discard(running))

    async def _run(self, job: Job) -> None:
        try:
            if await self._cache.add(f"job:{job.name}", b"1", job.interval_seconds / 2):
                self.log.debug("Job {job} runs.", job=job.name)
                await job.run()
        except Exception:
            self.log.failure("Job {job} failed; it runs again at its time.", job=job.name)
