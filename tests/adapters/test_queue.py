"""The contract of ``Queue`` on SQLite, in memory and on disk, and what processes share."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.queue_bodies import RECENT_OCTETS, SMALL_OCTETS
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.account import LogEntry
from fe_mail.model.ids import AliasId, DomainId
from fe_mail.model.queue import QueueFilter, Target
from fe_mail.ports import Settlement
from tests.contracts.queue import (
    BODY,
    DELIVERED,
    QueueContract,
    delivery,
    message,
    rooms,
)
from tests.fakes import queue_in_memory

# Accepts messages until it is killed, and says after each that it is durable.
ACCEPT_FOREVER = """
import sys, time
from twisted.internet.defer import Deferred
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from fe_mail.ports import Acceptance
from tests.contracts.queue import delivery, message

async def main():
    queue = SQLiteQueue(sys.argv[1], InlineThreads(), MemoryBlobs(), steady=time.monotonic)
    await queue.start()
    for number in range(100_000):
        name = f"k{number}"
        body = queue.body(1.0)
        await body.write(name.encode())
        deliveries = tuple(delivery(name, n) for n in (1, 2, 3))
        await queue.accept(Acceptance(message=message(name), deliveries=deliveries, body=body))
        print(number, flush=True)

Deferred.fromCoroutine(main())
"""
# Claims everything, some at a time, and prints which it got.
CLAIM_ALL = """
import sys, time
from twisted.internet.defer import Deferred
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from tests.contracts.queue import rooms

async def main():
    queue = SQLiteQueue(sys.argv[1], InlineThreads(), MemoryBlobs(), steady=time.monotonic)
    await queue.start()
    print("ready", flush=True)
    sys.stdin.readline()
    while claims := await queue.claim(200.0, 60.0, rooms(3)):
        for claim in claims:
            for one in claim.deliveries:
                print(claim.message.id, one.number, flush=True)
    await queue.stop()

Deferred.fromCoroutine(main())
"""


class SQLiteCase(QueueContract):
    """With what only SQLite has."""

    queue: SQLiteQueue

    def journal(self) -> list[LogEntry]:
        """The entries that were recorded."""
        rows = self.get(
            self.queue.database.read(
                lambda c: c.execute("SELECT * FROM log ORDER BY id").fetchall()
            )
        )
        return [
            LogEntry(
                id=row[0],
                created_at=row[1],
                kind=row[2],
                domain_id=DomainId(row[3]),
                alias_id=AliasId(row[4]),
                user_id=row[5],
                remote=row[6],
                detail=json.loads(row[7]),
            )
            for row in rows
        ]


class SQLiteInMemoryQueueTests(SQLiteCase, SynchronousTestCase):
    """SQLite without a file: what other tests use."""

    def store(self) -> SQLiteQueue:
        if not hasattr(self, "clock"):
            self.prepare()
        return queue_in_memory(self.clock, self.large)


class OnDiskCase(SQLiteCase):
    """SQLite on disk."""

    key: bytes | None = None

    def store(self) -> SQLiteQueue:
        self.path = Path(self.mktemp()) / "queue.sqlite"
        return self.open()

    def open(self, boot_id: str = "", **more: Any) -> SQLiteQueue:
        """Open the file (again, as another process would)."""
        options: dict[str, Any] = {"steady": self.clock.seconds, "key": self.key, **more}
        queue = SQLiteQueue(self.path, InlineThreads(), self.large, boot_id=boot_id, **options)
        self.get(queue.start())
        self.opened.append(queue)
        return queue


class SQLiteEncryptedQueueTests(OnDiskCase, SynchronousTestCase):
    """With a key."""

    key = bytes(range(32))

    def test_nothing_readable(self) -> None:
        """Neither the file nor its log shows an address or a body while the message waits."""
        self.put(message(reverse_path="needle@example.org"), body=b"a needle")
        paths = list(self.path.parent.iterdir())
        self.assertGreater(len(paths), 1)
        for path in paths:
            self.assertNotIn(b"needle", path.read_bytes())


class SQLiteQueueTests(OnDiskCase, SynchronousTestCase):
    """On disk, without a key, so that the file can be looked at."""

    def test_two_openers(self) -> None:
        """Two that have the file open see each other's work and never share a delivery."""
        other = self.open()
        self.put(None, *(delivery(number=number) for number in range(10)))
        mine = self.claim(limit=5)
        theirs = self.get(other.claim(200.0, 60.0, rooms(10)))
        self.assertEqual(len({*self.names(mine), *self.names(theirs)}), 10)
        self.assertEqual(len(mine) + len(theirs), 10)
        settlement = Settlement(claim=mine[0], outcomes=(DELIVERED,))
        self.assertEqual(self.get(other.finish([settlement], 210.0)), ())
        self.assertEqual(self.get(other.read_body(mine[1].message)), BODY)

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
        process = _start(ACCEPT_FOREVER, self.path)
        for _ in range(50):
            last = int(process.stdout.readline())
        process.kill()
        # Not communicate(): it would miss what readline() has read ahead.
        rest = process.stdout.read().splitlines(keepends=True)
        process.communicate()
        last = max([last, *(int(line) for line in rest if line.endswith("\n"))])
        entries = self.get(self.open().find(QueueFilter(limit=1_000_000)))
        self.assertIn(len(entries), (last + 1, last + 2))
        for entry in entries:
            self.assertEqual(len(entry.deliveries), 3)
            body = self.get(self.queue.read_body(entry.message))
            self.assertEqual(body, entry.message.id.encode())

    def test_leases_survive(self) -> None:
        """A lease is in the file: after a restart it still keeps others away, and counts."""
        self.put()
        (claim,) = self.claim()
        self.get(self.queue.stop())
        self.queue = self.open()
        self.assertEqual(self.claim(), ())
        self.assertTrue(self.finish(claim, DELIVERED))
        self.assertEqual(self.ids(), [])

    def test_start_of_the_machine(self) -> None:
        """The clock of leases ends with the machine, and they with it; not with a process."""
        self.queue = self.open("boot one")
        self.put()
        (claim,) = self.claim()
        self.queue = self.open("boot one")
        self.assertEqual(self.claim(), ())
        self.clock = type(self.clock)()  # it begins again
        self.queue = self.open("boot two")
        (again,) = self.claim()
        self.assertFalse(self.finish(claim, DELIVERED))
        self.assertTrue(self.finish(again, DELIVERED))

    def test_check_finds(self) -> None:
        """Broken invariants are named."""
        for name in ("m1", "m2", "m3", "m4", "m5"):
            target = Target(courier="remote", address=f"x@{name}.test")
            self.put(message(name), delivery(name, target=target))
        connection = open_connection(self.path)
        connection.execute(
            "UPDATE deliveries SET state = 'failed' WHERE message = 1;"
            "PRAGMA foreign_keys=OFF; DELETE FROM messages WHERE id = 'm2';"
            "UPDATE messages SET body = NULL WHERE id = 'm3';"
            "DELETE FROM turns WHERE lane = 'smtp:m4.test';"
            "UPDATE turns SET due_at = 7 WHERE lane = 'smtp:m5.test'"
        )
        connection.close()
        self.assertEqual(
            set(self.get(self.queue.check())),
            {
                "Row None of deliveries belongs to no message.",
                "Message m1 has no open delivery.",
                "Message m3 has no body.",
                "The line of smtp:m4.test is counted wrong.",
                "The line of smtp:m5.test is counted wrong.",
            },
        )
        self.queue = self.store()

    def test_nothing_left(self) -> None:
        """Settled messages leave nothing readable in the file once it is closed."""
        self.put(message(message_id="<needle@example.org>"), body=b"a needle")
        (claim,) = self.claim()
        self.finish(claim, DELIVERED)
        self.get(self.queue.stop())
        for path in self.path.parent.iterdir():
            self.assertNotIn(b"needle", path.read_bytes())
        self.queue = self.open()

    def test_recent_bodies(self) -> None:
        """What is kept in memory is bounded and goes with its message; the disk has all of it."""
        count = RECENT_OCTETS // SMALL_OCTETS + 5
        for number in range(count):
            name = f"m{number}"
            self.put(
                message(name),
                delivery(name),
                body=b"%08d" % number * (SMALL_OCTETS // 8),
                leased=[1],
            )
        recent = self.queue._recent
        self.assertLessEqual(sum(map(len, recent._kept.values())), RECENT_OCTETS)
        self.assertEqual(recent._octets, sum(map(len, recent._kept.values())))
        for number in range(count):
            body = self.get(self.queue.read_body(message(f"m{number}")))
            self.assertEqual(body[:8], b"%08d" % number)
            self.get(self.queue.drop(f"m{number}"))
        self.assertEqual((len(recent._kept), recent._octets), (0, 0))


def _start(program: str, path: Path) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
