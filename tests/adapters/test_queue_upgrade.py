"""
The queue of version 0.1 becomes today's: every message, every delivery, every body.

Version 1 kept messages in ``queue.sqlite`` and small bodies in ``spool.sqlite``; it is made here
from its schemas, with rows as it wrote them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite import spool_upgrade
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY
from fe_mail.adapters.sqlite.spool_upgrade import bring_in_spool
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.envelope import Peer
from fe_mail.model.ids import BlobId
from fe_mail.model.lane import kind_of, lane_of, owner_of
from fe_mail.model.queue import (
    DeliveryState,
    QueuedDelivery,
    QueuedMessage,
    QueueFilter,
    Target,
)
from tests.contracts.queue import delivery, message, rooms

T = TypeVar("T")
KEY = bytes(range(32))
LARGE = b"x" * (SMALL_OCTETS + 1)
TARGETS = (
    Target(courier="local", address="a@our.test", alias_id="7"),
    Target(courier="remote", address="b@FAR.test"),
    Target(courier="remote", address='"odd@local"@far.test'),
    Target(courier="forward", address="c@far.test"),
    Target(courier="webhook", address="https://Hook.test/path/x?y=a@b", alias_id="7"),
    Target(courier="webhook", address="https://bare.test", alias_id="7"),
)
# What version 1 knew of a message, a delivery, a peer.
MESSAGE_COLUMNS = (
    *("id", "size_octets", "reverse_path", "created_at", "source", "alias_id", "domain_id"),
    *("envelope_id", "dsn_return", "is_8bit", "is_utf8", "requires_tls", "message_id"),
)
DELIVERY_COLUMNS = (
    *("message", "number", "recipient", "courier", "address", "target_alias_id", "state"),
    *("hold_reason", "attempts", "next_attempt_at", "notify", "original_recipient"),
    *("last_status", "last_attempt_at", "delayed_notice_at", "token", "lease_until"),
)
PEER_FIELDS = ("ip", "port", "helo", "host", "tls", "session_id", "protocol")
# Brings bodies in, one at a time, each when it hears a line.
BRING_IN = """
import sys, time
from pathlib import Path
from twisted.internet.defer import Deferred
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite import spool_upgrade
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads

directory, key = Path(sys.argv[1]), bytes(range(32))
taking, spool_upgrade.BATCH_BODIES = spool_upgrade._taking, 1

def told(bodies):
    print(len(bodies), flush=True)
    sys.stdin.readline()
    return taking(bodies)

spool_upgrade._taking = told

async def main():
    threads = InlineThreads()
    queue = SQLiteQueue(
        directory / "queue.sqlite", threads, MemoryBlobs(), steady=time.monotonic, key=key
    )
    await queue.start()
    await spool_upgrade.bring_in_spool(queue.database, directory / "spool.sqlite", key, threads)

Deferred.fromCoroutine(main()).addErrback(lambda failure: print(failure.getTraceback()))
"""


class UpgradeTests(SynchronousTestCase):
    """From version 1 to 2."""

    def setUp(self) -> None:
        """A directory of version 1, empty."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path, self.spool_path = (self.directory / f"{n}.sqlite" for n in ("queue", "spool"))
        schemas = self.directory / "schemas"
        schemas.mkdir()
        for name in ("queue-v1.sql", "spool-v1.sql"):
            shutil.copy(SCHEMA_DIRECTORY / name, schemas)
        self.old_queue, self.old_spool = (
            Database(path, name, InlineThreads(), schema_directory=schemas, key=KEY)
            for path, name in ((self.path, "queue"), (self.spool_path, "spool"))
        )
        self.get(self.old_queue.open())
        self.get(self.old_spool.open())
        self.large = MemoryBlobs()
        self.bodies: dict[str, bytes] = {}
        self.clock = Clock()
        self.clock.advance(5000.0)

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    # -- version 1 ------------------------------------------------------------------------------

    def store_body(self, name: str, body: bytes) -> BlobId:
        """As version 1 did."""
        self.bodies[name] = body
        if len(body) > SMALL_OCTETS:
            writer = self.large.create(1.0)
            self.get(writer.write(body))
            return self.get(writer.commit())
        blob = BlobId(f"{len(self.bodies):024x}")
        self.get(self.old_spool.execute("INSERT INTO blob VALUES (?, ?)", (blob, body)))
        return blob

    def put(
        self,
        queued: QueuedMessage,
        *deliveries: QueuedDelivery,
        body: bytes = b"body",
        token: str = "",
    ) -> None:
        """As version 1 did."""
        blob = self.store_body(queued.id, body)
        row = {
            **{name: getattr(queued, name) for name in MESSAGE_COLUMNS},
            "blob": blob,
            "peer": json.dumps({name: getattr(queued.peer, name) for name in PEER_FIELDS}),
        }

        def work(cursor: Cursor) -> None:
            cursor.execute(_insert("messages", row), row)
            for one in deliveries:
                serial = "SELECT serial FROM messages WHERE id = ?"
                values = {
                    **attrs.asdict(one, recurse=False),
                    "message": cursor.execute(serial, (queued.id,)).fetchall()[0][0],
                    "courier": one.target.courier,
                    "address": one.target.address,
                    "target_alias_id": one.target.alias_id,
                    "state": one.state.value,
                    "notify": json.dumps(one.notify),
                    "token": token,
                    "lease_until": 1e12 if token else 0.0,
                }
                row_of_one = {name: values[name] for name in DELIVERY_COLUMNS}
                cursor.execute(_insert("deliveries", row_of_one), row_of_one)

        self.get(self.old_queue.write(work))

    def close_old(self) -> None:
        """The old program ended."""
        self.get(self.old_queue.close())
        self.get(self.old_spool.close())

    # -- version 2 ------------------------------------------------------------------------------

    def open(self) -> SQLiteQueue:
        """With today's program."""
        queue = SQLiteQueue(
            self.path, InlineThreads(), self.large, steady=self.clock.seconds, key=KEY
        )
        self.get(queue.start())
        self.addCleanup(lambda: self.get(queue.stop()))
        return queue

    def bring_in(self, queue: SQLiteQueue) -> int:
        """Small bodies."""
        return self.get(bring_in_spool(queue.database, self.spool_path, KEY, InlineThreads()))

    def check_bodies(self, queue: SQLiteQueue) -> None:
        """All are there, byte for byte."""
        entries = self.get(queue.find(QueueFilter()))
        self.assertEqual({entry.message.id for entry in entries}, set(self.bodies))
        for entry in entries:
            body = self.get(queue.read_body(entry.message))
            self.assertEqual(body, self.bodies[entry.message.id])
        self.assertEqual(self.get(queue.check()), ())

    def test_everything(self) -> None:
        """Every attribute, and the lines as today's program would have made them."""
        queued = message(
            "m1",
            source="submission",
            alias_id="a1",
            domain_id="d1",
            envelope_id="E",
            dsn_return="HDRS",
            is_8bit=True,
            is_utf8=True,
            requires_tls=True,
            message_id="<1@x.test>",
            peer=Peer(ip="192.0.2.1", port=25, helo="mx", tls="TLSv1.3", session_id="s"),
        )
        waiting = [
            delivery(number=n, target=target, notify=("NEVER",), attempts=n, last_status="451 x")
            for n, target in enumerate(TARGETS)
        ]
        held = delivery(number=10, state=DeliveryState.HELD, hold_reason="demo")
        done = delivery(number=11, state=DeliveryState.DELIVERED, last_attempt_at=3.0)
        self.put(queued, *waiting, held, done)
        outside = message("m2")
        odd = delivery("m2", 1, recipient='"a@b"@Our.test', target=TARGETS[3])
        self.put(outside, odd, body=LARGE)
        self.put(message("m3", source="bounce", reverse_path=""), delivery("m3"), body=b"")
        self.close_old()
        queue = self.open()
        self.assertEqual(self.bring_in(queue), 2)
        self.check_bodies(queue)
        first, second, _ = self.get(queue.find(QueueFilter()))
        self.assertEqual((first.message, first.deliveries), (queued, (*waiting, held, done)))
        self.assertEqual(attrs.evolve(second.message, blob=None), outside)
        self.assertEqual(second.deliveries, (odd,))
        rows = self.get(
            queue.database.read(
                lambda cursor: cursor.execute(
                    "SELECT id, number, kind, owner, lane FROM deliveries "
                    "JOIN messages ON serial = message"
                ).fetchall()
            )
        )
        expected = {
            (
                entry.message.id,
                one.number,
                kind_of(one.target),
                owner_of(entry.message, one),
                lane_of(one.target),
            )
            for entry in self.get(queue.find(QueueFilter()))
            for one in entry.deliveries
        }
        self.assertEqual(set(rows), expected)

    def test_same_schema(self) -> None:
        """A file that was upgraded is like one that was made new, but for its text."""
        self.close_old()
        fresh = SQLiteQueue(":memory:", InlineThreads(), self.large, steady=self.clock.seconds)
        self.get(fresh.start())
        self.assertEqual(self.schema_of(self.open()), self.schema_of(fresh))

    def schema_of(self, queue: SQLiteQueue) -> dict[str, str]:
        """Each table, index and trigger."""
        rows = self.get(
            queue.database.read(
                lambda cursor: cursor.execute(
                    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
                ).fetchall()
            )
        )
        return {name: " ".join(sql.split()).replace('"', "") for name, sql in rows}

    def test_leases_end(self) -> None:
        """What the old program had claimed can be claimed: it is gone."""
        self.put(message(), delivery(), token="of a program that is gone")
        self.close_old()
        queue = self.open()
        self.bring_in(queue)
        (claim,) = self.get(queue.claim(200.0, 60.0, rooms()))
        self.assertEqual(self.get(queue.read_body(claim.message)), b"body")

    def test_only_what_is_needed(self) -> None:
        """A body whose message went does not come in; both old files are kept side by side."""
        self.put(message(), delivery())
        self.store_body("gone", b"left behind")
        del self.bodies["gone"]
        self.close_old()
        queue = self.open()
        self.assertEqual(self.bring_in(queue), 1)
        self.check_bodies(queue)
        names = {path.name for path in self.directory.iterdir()}
        self.assertEqual(
            {name for name in names if "before" in name or name.startswith("spool")},
            {"queue.before-v2.sqlite", "spool.before-v2.sqlite"},
        )
        kept = Database(
            self.directory / "spool.before-v2.sqlite", "spool", InlineThreads(), key=KEY
        )
        self.get(kept.open())
        self.addCleanup(lambda: self.get(kept.close()))
        bodies = self.get(
            kept.read(lambda cursor: cursor.execute("SELECT id FROM blob").fetchall())
        )
        self.assertEqual(len(bodies), 2)

    def test_nothing_to_do(self) -> None:
        """A directory of today is left alone."""
        self.close_old()
        shutil.rmtree(self.directory)
        self.assertEqual(self.bring_in(self.open()), 0)
        self.assertFalse(self.spool_path.exists())

    def test_set_aside_by_another(self) -> None:
        """Who saw the file just before another process set it aside does not replace the copy."""
        body = b"a body"
        self.store_body("a", body)
        self.close_old()
        queue = self.open()
        self.bring_in(queue)
        copy = self.directory / "spool.before-v2.sqlite"
        kept = copy.read_bytes()
        self.spool_path.touch()  # what opening it makes
        self.assertEqual(self.bring_in(queue), 0)
        self.assertEqual(copy.read_bytes(), kept)
        self.assertFalse(self.spool_path.exists())

    def test_batches(self) -> None:
        """However many there are."""
        self.patch(spool_upgrade, "BATCH_BODIES", 3)
        for number in range(10):
            self.put(message(f"m{number}"), delivery(f"m{number}"), body=b"%d" % number)
        self.close_old()
        queue = self.open()
        self.assertEqual(self.bring_in(queue), 10)
        self.check_bodies(queue)

    def test_killed(self) -> None:
        """A real process, killed in the middle: the next one goes on where it was."""
        for number in range(6):
            self.put(message(f"m{number}"), delivery(f"m{number}"), body=b"%d" % number)
        self.close_old()
        process = subprocess.Popen(
            [sys.executable, "-c", BRING_IN, str(self.directory.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            self.assertEqual(process.stdout.readline(), "1\n")
            process.stdin.write("\n")
            process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "1\n")
        process.kill()
        process.communicate()
        queue = self.open()
        self.assertEqual(self.bring_in(queue), 3)
        self.check_bodies(queue)

    def test_killed_at_the_end(self) -> None:
        """All are in, the old file is still there: it goes, and nothing is taken twice."""
        self.put(message(), delivery())
        self.close_old()

        def killed(path: Path) -> None:
            raise KeyboardInterrupt

        patched = self.patch(spool_upgrade, "_set_aside", killed)
        queue = self.open()
        failed = bring_in_spool(queue.database, self.spool_path, KEY, InlineThreads())
        self.failureResultOf(Deferred.fromCoroutine(failed), KeyboardInterrupt)
        patched.restore()
        self.get(queue.drop("m1"))
        self.get(queue.stop())
        queue = self.open()
        self.assertEqual(self.bring_in(queue), 0)
        self.assertFalse(self.spool_path.exists())


def _insert(table: str, values: dict[str, Any]) -> str:
    names = ", ".join(values)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"
