"""The contracts of ``Counters`` and ``Leases`` on SQLite, and what a file is to be trusted with."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.leases import MAX_NOTE_LENGTH, SQLiteLeases
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import AuthenticationFailed, Conflict
from fe_mail.ports import Counters, Leases
from tests.adapters.later import LaterThreads
from tests.contracts.counters import CountersContract
from tests.contracts.leases import LeasesContract
from tests.fakes import memory_counters, memory_leases

HOURLY = Counter("k", Window.HOUR)

# Takes the lease, says so, and then does what it is told by a line: renew or release it.
HOLD = """
import sys, time
from twisted.internet.defer import Deferred
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.leases import SQLiteLeases
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import Conflict

async def main():
    database = Database(sys.argv[1], "counters", InlineThreads(), is_synced=False)
    await database.open()
    leases = SQLiteLeases(database, time.monotonic)
    lease = await leases.acquire("job", "child", float(sys.argv[2]))
    print(lease.token, flush=True)
    sys.stdin.readline()
    try:
        await leases.release(lease, "from the grave")
        print("released", flush=True)
    except Conflict:
        print("lost, held" if leases.holds(lease) else "lost", flush=True)
    await database.close()

Deferred.fromCoroutine(main()).addErrback(lambda failure: print(failure, flush=True))
"""
# Takes of one counter as often as it may, beginning when it is told.
COUNT = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.counting import Claim, Counter, Window

async def main():
    database = Database(sys.argv[1], "counters", InlineThreads(), is_synced=False)
    counters = SQLiteCounters(database, Clock())
    await counters.start()
    print("ready", flush=True)
    sys.stdin.readline()
    taken = 0
    while (await counters.take(Claim(Counter("k", Window.HOUR), most=300))).refused is None:
        taken += 1
    print(taken, flush=True)
    await counters.stop()

Deferred.fromCoroutine(main()).addErrback(lambda failure: print(failure, flush=True))
"""


def child(script: str, *arguments: str) -> "subprocess.Popen[str]":
    """A process that talks by lines."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class FileCase(SynchronousTestCase):
    """A file that is there for a test."""

    def database(self, path: str, threads: Any = None, **more: Any) -> Database:
        """It, open; closed after the test."""
        database = Database(path, "counters", threads or InlineThreads(), is_synced=False, **more)
        self.successResultOf(Deferred.fromCoroutine(database.open()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(database.close())))
        return database


class MemoryCountersTests(CountersContract, SynchronousTestCase):
    """What tests count with."""

    def store(self, clock: Clock) -> Counters:
        return memory_counters(clock)


class SQLiteCountersTests(CountersContract, FileCase):
    """Two adapters on one file."""

    def store(self, clock: Clock) -> Counters:
        self.path = self.mktemp()
        return SQLiteCounters(self.database(self.path), clock)

    def beside(self, clock: Clock) -> Counters:
        return SQLiteCounters(self.database(self.path), clock)

    def test_survives(self) -> None:
        """Counts are there after a restart."""
        self.get(self.counters.take(Claim(HOURLY, by=7)))
        again = SQLiteCounters(self.database(self.path), self.clock)
        self.assertEqual(self.get(again.read(HOURLY))[0].value, 7)

    def test_no_fsync(self) -> None:
        """A count waits for no disk."""
        database = self.database(self.path)
        pragma = self.get(database.write(lambda c: c.execute("PRAGMA synchronous").fetchall()))
        self.assertEqual(pragma, [(1,)])

    def test_a_crowd(self) -> None:
        """Hundreds at once, from two sides, pass the limit not once, and share transactions."""
        threads = [LaterThreads(), LaterThreads()]
        sides = [
            SQLiteCounters(Database(self.path, "counters", each), self.clock) for each in threads
        ]
        for side, each in zip(sides, threads, strict=True):
            opened = Deferred.fromCoroutine(side.start())
            each.next()
            self.successResultOf(opened)
        asked = [
            Deferred.fromCoroutine(sides[number % 2].take(Claim(HOURLY, most=50)))
            for number in range(400)
        ]
        hops = 0
        while any(each.calls for each in threads):
            for each in threads:
                if each.calls:
                    each.next()
                    hops += 1
        refused = [self.successResultOf(each).refused for each in asked]
        self.assertEqual((refused.count(None), hops), (50, 2))

    def test_expired_rows_go(self) -> None:
        """What ran out goes in small steps, with what comes."""
        for number in range(30):
            self.get(self.counters.take(Claim(Counter(f"old{number}", Window.HOUR))))
        self.clock.advance(3600.0)
        for number in range(15):
            self.get(self.counters.take(Claim(Counter(f"new{number}", Window.HOUR))))
        self.assertEqual(self.rows(), 15)

    def test_bound(self) -> None:
        """Beyond the bound those are forgotten that would run out first."""
        counters = SQLiteCounters(self.database(self.path), self.clock, max_counters=10)
        self.get(counters.take(Claim(Counter("allowance", Window.DAY))))
        for number in range(50):
            self.clock.advance(1.0)
            self.get(counters.take(Claim(Counter(f"guess{number}", Window.HOUR))))
        self.assertLessEqual(self.rows(), 20)
        found = self.get(
            counters.read(Counter("allowance", Window.DAY), Counter("guess49", Window.HOUR))
        )
        self.assertEqual([count.value for count in found], [1, 1])

    def rows(self) -> int:
        """How many there are in the file."""
        database = self.database(self.path)
        return len(
            self.get(database.read(lambda c: c.execute("SELECT * FROM counters").fetchall()))
        )

    def test_names_nobody(self) -> None:
        """With a key the file shows neither names nor networks."""
        path = Path(self.mktemp())
        counters = SQLiteCounters(self.database(str(path), key=b"k" * 32), self.clock)
        self.get(counters.take(Claim(Counter("unknown:192.0.2.77", Window.HOUR))))
        for file in path.parent.glob(path.name + "*"):
            self.assertNotIn(b"192.0.2.77", file.read_bytes())
        other = Database(path, "counters", InlineThreads(), key=b"x" * 32)
        self.failureResultOf(Deferred.fromCoroutine(other.open()), AuthenticationFailed)

    def test_processes(self) -> None:
        """Three processes that take as fast as they can get exactly the limit together."""
        children = [child(COUNT, self.path) for _ in range(3)]
        for each in children:
            self.assertEqual(each.stdout.readline(), "ready\n")
        for each in children:
            each.stdin.write("\n")
            each.stdin.flush()
        answers = [each.communicate()[0] for each in children]
        self.assertEqual(sum(map(int, answers)), 300, answers)


class MemoryLeasesTests(LeasesContract, SynchronousTestCase):
    """What tests lease."""

    def store(self, clock: Clock) -> Leases:
        return memory_leases(clock)


class SQLiteLeasesTests(LeasesContract, FileCase):
    """Two adapters on one file."""

    def store(self, clock: Clock) -> Leases:
        self.path = self.mktemp()
        return SQLiteLeases(self.database(self.path), clock.seconds)

    def beside(self, clock: Clock) -> Leases:
        return SQLiteLeases(self.database(self.path), clock.seconds)

    def test_long_note(self) -> None:
        """A note has a bound."""
        self.get(self.leases.release(self.acquired(), "x" * (MAX_NOTE_LENGTH + 1)))
        self.assertEqual(len(self.acquired().note), MAX_NOTE_LENGTH)


class ProcessTests(FileCase):
    """A real second process, and the host's own clock."""

    def setUp(self) -> None:
        """Our side of the file."""
        path = self.mktemp()
        self.leases = SQLiteLeases(self.database(path), time.monotonic)
        self.path = path

    def hold(self, seconds: float) -> "subprocess.Popen[str]":
        """A child that holds the lease."""
        process = child(HOLD, self.path, str(seconds))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "1\n")
        return process

    def acquire(self) -> Any:
        """The lease, or None."""
        return self.successResultOf(
            Deferred.fromCoroutine(self.leases.acquire("job", "parent", 60.0))
        )

    def test_stopped(self) -> None:
        """
        Who is stopped (SIGSTOP) over the end of its lease has lost it, and finds out when it
        wakes up; its late release changes nothing.
        """
        process = self.hold(0.2)
        process.send_signal(signal.SIGSTOP)
        while (lease := self.acquire()) is None:
            pass
        self.assertEqual(lease.token, 2)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "lost\n")
        self.assertTrue(self.leases.holds(lease))
        self.successResultOf(Deferred.fromCoroutine(self.leases.release(lease)))
        self.assertEqual(self.acquire().note, "")

    def test_stopped_for_less(self) -> None:
        """A short stop costs nothing: nobody else had it."""
        process = self.hold(60.0)
        process.send_signal(signal.SIGSTOP)
        self.assertIsNone(self.acquire())
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "released\n")
        self.assertEqual(self.acquire().note, "from the grave")

    def test_killed(self) -> None:
        """A lease of one that was killed is free when its time is over, not before."""
        began = time.monotonic()
        process = self.hold(0.3)
        process.kill()
        process.wait()
        while (lease := self.acquire()) is None:
            pass
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assertEqual(lease.token, 2)
        self.successResultOf(Deferred.fromCoroutine(self.leases.renew(lease, 60.0)))
        first = attrs.evolve(lease, token=1)
        self.failureResultOf(Deferred.fromCoroutine(self.leases.release(first)), Conflict)
