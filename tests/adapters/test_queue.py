"""The contract of ``Queue`` on its adapters, and what only SQLite can do."""

import subprocess
import sys
from pathlib import Path

from fe_mail.adapters.memory.queue import MemoryQueue
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.queue import Outcome, QueueFilter
from fe_mail.ports import Queue
from tests.contracts.queue import QueueContract, delivery, message

# Puts messages until it is killed, and says after each that it is durable.
PUT_FOREVER = """
import sys
from twisted.internet.defer import Deferred
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from tests.contracts.queue import delivery, message

async def main():
    queue = SQLiteQueue(sys.argv[1], InlineThreads())
    await queue.start()
    for number in range(100_000):
        await queue.put(message(f"k{number}"), [delivery(f"k{number}", n) for n in (1, 2, 3)])
        print(number, flush=True)

Deferred.fromCoroutine(main())
"""
# Claims everything, one delivery after the other, and prints which it got.
CLAIM_ALL = """
import sys
from twisted.internet.defer import Deferred
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads

async def main():
    queue = SQLiteQueue(sys.argv[1], InlineThreads())
    await queue.start()
    print("ready", flush=True)
    sys.stdin.readline()
    while claims := await queue.claim(200.0, 60.0, 3):
        for claim in claims:
            print(claim.message.id, claim.delivery.number, flush=True)
    await queue.stop()

Deferred.fromCoroutine(main())
"""


class MemoryQueueTests(QueueContract, SynchronousTestCase):
    """The specification."""

    def store(self) -> Queue:
        return MemoryQueue()


class SQLiteInMemoryQueueTests(QueueContract, SynchronousTestCase):
    """SQLite without a file."""

    def store(self) -> Queue:
        queue = SQLiteQueue(":memory:", InlineThreads())
        self.get(queue.start())
        self.addCleanup(lambda: self.get(queue.stop()))
        return queue


class SQLiteEncryptedQueueTests(QueueContract, SynchronousTestCase):
    """SQLite on disk with a key."""

    def store(self) -> Queue:
        self.path = Path(self.mktemp()) / "queue.sqlite"
        queue = SQLiteQueue(self.path, InlineThreads(), key=bytes(range(32)))
        self.get(queue.start())
        self.addCleanup(lambda: self.get(queue.stop()))
        return queue

    def test_nothing_readable(self) -> None:
        """Neither the file nor its log shows an address while the message waits."""
        self.put(message(reverse_path="needle@example.org"))
        paths = list(self.path.parent.iterdir())
        self.assertGreater(len(paths), 1)
        for path in paths:
            self.assertNotIn(b"needle", path.read_bytes())


class SQLiteQueueTests(QueueContract, SynchronousTestCase):
    """SQLite on disk."""

    def store(self) -> Queue:
        self.path = Path(self.mktemp()) / "queue.sqlite"
        return self.open()

    def open(self) -> SQLiteQueue:
        """Open the file (again, as another process would)."""
        queue = SQLiteQueue(self.path, InlineThreads())
        self.get(queue.start())
        self.addCleanup(lambda: self.get(queue.stop()))
        return queue

    def test_two_openers(self) -> None:
        """Two that have the file open see each other's work and never share a delivery."""
        other = self.open()
        self.put(None, *(delivery(number=number) for number in range(10)))
        mine = self.claim(limit=5)
        theirs = self.get(other.claim(200.0, 60.0, 10))
        numbers = [claim.delivery.number for claim in (*mine, *theirs)]
        self.assertEqual(sorted(numbers), list(range(10)))
        self.get(other.settle(mine[0], Outcome.delivered(), 210.0))

    def test_two_processes_claim(self) -> None:
        """Processes that claim at the same time never get the same delivery."""
        for index in range(20):
            name = f"m{index}"
            self.put(message(name), *(delivery(name, number) for number in range(3)))
        processes = [_start(CLAIM_ALL, self.path) for _ in range(2)]
        for process in processes:
            self.assertEqual(process.stdout.readline(), "ready\n")
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        got = [line for process in processes for line in process.communicate()[0].splitlines()]
        self.assertEqual(len(got), 60)
        self.assertEqual(len(set(got)), 60)

    def test_killed(self) -> None:
        """What a killed process had called durable is there, whole, and nothing is broken."""
        process = _start(PUT_FOREVER, self.path)
        for _ in range(50):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.communicate()[0].splitlines(keepends=True)
        last = max([last, *(int(line) for line in rest if line.endswith("\n"))])
        entries = self.get(self.open().find(QueueFilter(limit=1_000_000)))
        self.assertIn(len(entries), (last + 1, last + 2))
        self.assertTrue(all(len(entry.deliveries) == 3 for entry in entries))
        self.assertEqual(self.get(self.queue.check()), ())

    def test_leases_survive(self) -> None:
        """A lease is in the file: after a restart it still keeps others away, and can be ended."""
        self.put()
        (claim,) = self.claim(now=200.0)
        self.get(self.queue.stop())
        again = self.open()
        self.assertEqual(self.get(again.claim(201.0, 60.0, 10)), ())
        self.assertEqual(self.get(again.settle(claim, Outcome.delivered(), 201.0)), "blob-m1")

    def test_check_finds(self) -> None:
        """Broken invariants are named."""
        self.put()
        self.put(message("m2"), delivery("m2"))
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        connection.execute("UPDATE deliveries SET state = 'failed' WHERE message = 1")
        connection.execute("PRAGMA foreign_keys=OFF; DELETE FROM messages WHERE id = 'm2'")
        self.assertEqual(
            self.get(self.queue.check()),
            ("Row 2 of deliveries belongs to no message.", "Message m1 has no open delivery."),
        )

    def test_nothing_left(self) -> None:
        """Settled messages leave nothing readable in the file once it is closed."""
        self.put(message(message_id="<needle@example.org>"))
        (claim,) = self.claim()
        self.get(self.queue.settle(claim, Outcome.delivered(), 210.0))
        self.get(self.queue.stop())
        for path in self.path.parent.iterdir():
            self.assertNotIn(b"needle", path.read_bytes())


def _start(program: str, path: Path) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
