"""When jobs run: at their interval, once in all processes, after restarts, failures and kills."""

import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.threads import InlineThreads
from fe_mail.jobs.keeping import LEASE_SECONDS
from fe_mail.jobs.record import DONE, RETRY_SECONDS, JobRecord
from fe_mail.jobs.runner import FIRST_LOOK_SECONDS, LOOK_AGAIN_SECONDS, MIN_PAUSE_SECONDS, JobRunner
from fe_mail.jobs.table import Job
from fe_mail.model.errors import Conflict, Unavailable
from fe_mail.model.lease import Lease

HOUR = 3600.0
DAY = 86_400.0
START = 1_700_000_000.0

# Runs a job of an hour on a clock that it is told to advance, line by line.
RUN = """
import sys, time
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.threads import InlineThreads
from fe_mail.jobs.runner import JobRunner
from fe_mail.jobs.table import Job

clock, runs = Clock(), []
clock.advance(1_700_000_000.0)

async def job():
    runs.append(clock.seconds())

async def main():
    database = Database(sys.argv[1], "counters", InlineThreads(), is_synced=False)
    await database.open()
    leases = SQLiteLeases(database, time.monotonic)
    JobRunner([Job(name="note", interval_seconds=3600.0, run=job)], leases, clock).start()
    print("ready", flush=True)
    for line in sys.stdin:
        clock.advance(float(line))
        print(len(runs), flush=True)

Deferred.fromCoroutine(main()).addErrback(lambda failure: print(failure, flush=True))
"""


class RunnerCase(SynchronousTestCase):
    """Processes on one file and one clock."""

    def setUp(self) -> None:
        """Nothing ever ran."""
        self.clock = Clock()
        self.clock.advance(START)
        self.path = self.mktemp()
        self.runs: list[float] = []

    def leases(self) -> SQLiteLeases:
        """Those of one process."""
        database = Database(self.path, "counters", InlineThreads(), is_synced=False)
        self.get(database.open())
        self.addCleanup(lambda: self.get(database.close()))
        return SQLiteLeases(database, self.clock.seconds)

    def get(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def runner(self, run: Any = None, interval: float = HOUR, leases: Any = None) -> JobRunner:
        """A process that runs one job."""
        job = Job(name="note", interval_seconds=interval, run=run or self.note)
        runner = JobRunner([job], leases or self.leases(), self.clock, "me")
        runner.start()
        return runner

    def wait(self, seconds: float, step: float = 10.0) -> None:
        """Let time pass."""
        self.clock.pump([step] * int(seconds / step))

    def stop(self, runner: JobRunner) -> None:
        """As a service."""
        self.get(runner.stop())

    async def note(self) -> None:
        """A job."""
        self.runs.append(self.clock.seconds() - START)

    async def never_ends(self) -> None:
        """A job that is under way until it is cancelled."""
        self.runs.append(self.clock.seconds() - START)
        await Deferred()

    def record(self) -> JobRecord:
        """What is known of the last run."""
        leases = self.leases()
        lease = self.get(leases.acquire("job:note", "test", 1.0))
        self.get(leases.release(lease))
        return JobRecord.read(lease.note)


class IntervalTests(RunnerCase):
    """One process after the other."""

    def test_at_the_interval(self) -> None:
        """Soon after the start, then at every interval, until stopped."""
        runner = self.runner(interval=100.0)
        self.wait(250.0)
        self.assertEqual(self.runs, [FIRST_LOOK_SECONDS, 120.0, 220.0])
        self.stop(runner)
        self.wait(250.0)
        self.assertEqual(len(self.runs), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        expected = JobRecord(began_at=START + 220, ended_at=START + 220, result=DONE)
        self.assertEqual(self.record(), expected)

    def test_restart(self) -> None:
        """A process that starts runs nothing that ran lately, and does not lose its time."""
        for _ in range(5):
            runner = self.runner()
            self.wait(600.0)
            self.stop(runner)
        self.assertEqual(self.runs, [FIRST_LOOK_SECONDS])
        self.runner()
        self.wait(1200.0)
        self.assertEqual(self.runs, [FIRST_LOOK_SECONDS, FIRST_LOOK_SECONDS + HOUR])

    def test_down_for_long(self) -> None:
        """What is overdue runs soon after the start."""
        self.stop_after(600.0)
        self.clock.advance(DAY)
        self.runner()
        self.wait(FIRST_LOOK_SECONDS)
        self.assertEqual(len(self.runs), 2)

    def stop_after(self, seconds: float) -> None:
        """A process for a while."""
        runner = self.runner()
        self.wait(seconds)
        self.stop(runner)

    def test_clock_set(self) -> None:
        """Forward or back, by much or little: it costs one run too many, never a rest for ever."""
        for step in (-365 * DAY, -60.0, 60.0, 365 * DAY):
            self.stop_after(600.0)
            before = len(self.runs)
            self.clock.rightNow += step
            runner = self.runner()
            self.wait(HOUR + FIRST_LOOK_SECONDS)
            self.assertIn(len(self.runs) - before, (1, 2), step)
            self.stop(runner)
            self.clock.advance(DAY)

    def test_stop_waits_for_what_runs(self) -> None:
        """A job in the middle is not cut off, and keeps its lease until it ends."""
        middle: Deferred[None] = Deferred()

        async def slow() -> None:
            await middle

        runner = self.runner(slow)
        self.wait(FIRST_LOOK_SECONDS)
        stopping = Deferred.fromCoroutine(runner.stop())
        self.wait(5 * LEASE_SECONDS)
        self.assertNoResult(stopping)
        self.assertIsNone(self.get(self.leases().acquire("job:note", "other", 1.0)))
        middle.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.record().result, DONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FailureTests(RunnerCase):
    """Jobs and stores that do not do what they should."""

    async def broken(self) -> None:
        """A job."""
        self.runs.append(self.clock.seconds() - START)
        raise Unavailable

    def test_back_off(self) -> None:
        """A failure is logged and tried again, at first soon, at last at the interval."""
        self.runner(self.broken, interval=4 * RETRY_SECONDS)
        self.wait(1000.0)
        pauses = [second - first for first, second in zip(self.runs, self.runs[1:], strict=False)]
        self.assertEqual(pauses, [RETRY_SECONDS, 2 * RETRY_SECONDS] + 3 * [4 * RETRY_SECONDS])
        self.assertEqual(len(self.flushLoggedErrors(Unavailable)), 6)
        self.assertEqual((self.record().failures, self.record().result), (6, "Unavailable"))

    def test_back_off_outlives_a_restart(self) -> None:
        """A process that fails and is started again and again does not try each time."""
        for _ in range(10):
            runner = self.runner(self.broken)
            self.wait(30.0)
            self.stop(runner)
        self.assertEqual(self.runs, [20.0, 80.0, 200.0])
        self.flushLoggedErrors(Unavailable)

    def test_success_ends_it(self) -> None:
        """After it the interval counts again."""
        outcomes: list[Exception | None] = [Unavailable(), Conflict(), None, Unavailable()]

        async def sometimes() -> None:
            await self.note()
            if (outcome := outcomes.pop(0)) is not None:
                raise outcome

        runner = self.runner(sometimes)
        self.wait(200.0)
        self.assertEqual(self.runs, [20.0, 80.0, 200.0])
        self.assertEqual(self.record().failures, 0)
        self.wait(HOUR)
        self.assertEqual(self.runs[3:], [3800.0])
        self.assertEqual(self.record().failures, 1)
        self.stop(runner)
        self.assertEqual(len(self.flushLoggedErrors(Unavailable, Conflict)), 3)

    def test_leases_that_fail(self) -> None:
        """The job is not run, and looked at again."""
        leases = self.leases()
        full = LeasesThatFail(leases)
        self.runner(leases=full)
        self.wait(FIRST_LOOK_SECONDS)
        self.assertEqual((self.runs, len(self.flushLoggedErrors(Unavailable))), ([], 1))
        full.is_full = False
        self.wait(LOOK_AGAIN_SECONDS)
        self.assertEqual(self.runs, [FIRST_LOOK_SECONDS + LOOK_AGAIN_SECONDS])

    def test_renewals_that_fail(self) -> None:
        """One is borne, but nobody works on when the lease may be another's."""
        self.renewals_fail(Unavailable)

    def test_renewals_with_a_defect(self) -> None:
        """The same when it is our own mistake: the next renewal is not forgotten."""
        self.renewals_fail(ZeroDivisionError)

    def renewals_fail(self, kind: type[Exception]) -> None:
        """Once, and then for longer than the lease lasts."""
        leases = LeasesThatFail(self.leases(), kind)
        leases.is_full = False
        ended: list[float] = []

        async def slow() -> None:
            try:
                await Deferred()
            finally:
                ended.append(self.clock.seconds() - START)

        self.runner(slow, leases=leases)
        self.wait(FIRST_LOOK_SECONDS + 5.0, step=5.0)
        leases.is_full = True
        self.wait(20.0)
        leases.is_full = False
        self.wait(1000.0)
        self.assertEqual(ended, [])
        leases.is_full = True
        self.wait(LEASE_SECONDS + 20.0)
        self.assertEqual(len(ended), 1)
        self.assertGreater(len(self.flushLoggedErrors(kind)), 1)

    def test_longer_than_its_interval(self) -> None:
        """It never meets itself, and rests a little."""
        ends: list[Deferred[None]] = []

        async def slow() -> None:
            await self.note()
            ends.append(Deferred())
            await ends[-1]

        for _ in range(2):
            self.runner(slow, interval=100.0)
        self.wait(1000.0)
        self.assertEqual(len(self.runs), 1)
        ends[0].callback(None)
        self.wait(MIN_PAUSE_SECONDS)
        self.assertEqual(len(self.runs), 2)
        self.wait(1000.0)
        self.assertEqual(len(self.runs), 2)


class LeasesThatFail:
    """Leases on a disk that is full for a while."""

    def __init__(self, leases: SQLiteLeases, kind: type[Exception] = Unavailable) -> None:
        self._leases = leases
        self._kind = kind
        self.is_full = True

    def __getattr__(self, name: str) -> Any:
        if self.is_full and name != "holds":
            return self._fail
        return getattr(self._leases, name)

    async def _fail(self, *arguments: Any) -> Lease:
        raise self._kind


class TwoProcessesTests(RunnerCase):
    """Two runners on two adapters on one file."""

    def test_once_per_interval(self) -> None:
        """Together as often as one alone, whenever they started."""
        self.runner()
        self.clock.advance(7.0)
        self.runner()
        self.wait(10 * HOUR)
        self.assertEqual(len(self.runs), 10)
        pauses = [second - first for first, second in zip(self.runs, self.runs[1:], strict=False)]
        self.assertTrue(all(HOUR <= pause <= HOUR + LEASE_SECONDS for pause in pauses), pauses)

    def test_never_together(self) -> None:
        """A job that takes long keeps the other process out for as long as it takes."""
        for _ in range(2):
            self.runner(self.never_ends)
        self.wait(3 * HOUR)
        self.assertEqual(len(self.runs), 1)

    def test_killed(self) -> None:
        """What died in the middle is begun again by the other one when its lease is over."""
        dying = Clock()
        dying.advance(START)
        job = Job(name="note", interval_seconds=HOUR, run=self.never_ends)
        JobRunner([job], self.leases(), dying).start()
        dying.advance(FIRST_LOOK_SECONDS)  # and never again
        self.runner()
        self.wait(FIRST_LOOK_SECONDS)
        self.assertEqual(len(self.runs), 1)
        self.wait(LEASE_SECONDS + LOOK_AGAIN_SECONDS)
        self.assertEqual(len(self.runs), 2)

    def test_paused(self) -> None:
        """Who slept over its lease stops when it wakes up, and leaves the other's record alone."""
        sleeper = Clock()
        sleeper.advance(START)
        outcomes: list[str] = []

        async def slow() -> None:
            self.runs.append(0.0)
            try:
                await Deferred()
            except CancelledError:
                outcomes.append("cancelled")
                raise

        job = Job(name="note", interval_seconds=HOUR, run=slow)
        JobRunner([job], self.leases(), sleeper).start()
        sleeper.advance(FIRST_LOOK_SECONDS)
        self.runner()
        self.wait(LEASE_SECONDS + LOOK_AGAIN_SECONDS)
        self.assertEqual((len(self.runs), outcomes), (2, []))
        record = self.record()
        sleeper.advance(LEASE_SECONDS + LOOK_AGAIN_SECONDS)
        self.assertEqual(outcomes, ["cancelled"])
        self.assertEqual((self.record(), record.result), (record, DONE))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_real_processes(self) -> None:
        """Whatever they do at once, a job runs once in an hour."""
        command = [sys.executable, "-c", RUN, self.path]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for each in children:
            self.addCleanup(each.communicate)
            self.assertEqual(each.stdout.readline(), "ready\n")  # type: ignore[union-attr]
        for hour in range(1, 4):
            for seconds in (20.0, 60.0, 60.0, 3460.0):
                for each in children:
                    each.stdin.write(f"{seconds}\n")  # type: ignore[union-attr]
                    each.stdin.flush()  # type: ignore[union-attr]
                runs = [int(each.stdout.readline()) for each in children]  # type: ignore[union-attr]
            self.assertEqual(sum(runs), hour, runs)


class RecordTests(SynchronousTestCase):
    """The note."""

    def test_kept(self) -> None:
        """What was written is read."""
        record = JobRecord().after(1.0, 2.0, "Corrupt").after(3.0, 4.5, "Unavailable")
        self.assertEqual(JobRecord.read(record.write()), record)
        self.assertEqual(record.failures, 2)

    @given(st.text() | st.sampled_from(['{"began_at": NaN}', "[]", "null", "1e999", '{"a": 1}']))
    def test_nonsense(self, note: str) -> None:
        """What is no note is that of a job that never ran: due."""
        self.assertEqual(JobRecord.read(note).wait_seconds(START, HOUR), 0.0)

    @given(st.floats(0, 2 * START), st.integers(0, 10_000), st.floats(0, 2 * START))
    def test_rest(self, began_at: float, failures: int, now: float) -> None:
        """Never longer than the interval, whatever the clock did."""
        record = JobRecord(began_at=began_at, ended_at=began_at, failures=failures)
        self.assertLessEqual(record.wait_seconds(now, HOUR), HOUR)
