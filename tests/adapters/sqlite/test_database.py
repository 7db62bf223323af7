"""One SQLite file: groups of writes, snapshots, errors, several openers."""

import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite import schema
from fe_mail.adapters.sqlite.database import MAX_IDLE_READERS, Cursor, Database, Row
from fe_mail.adapters.threads import InlineThreads, Threads
from fe_mail.model.errors import AlreadyExists, Conflict, Corrupt, Invalid, NotFound, Unavailable
from tests.adapters.later import LaterThreads

T = TypeVar("T")

SCHEMA = """
CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE CHECK (name <> 'bad'));
CREATE TABLE parts (thing INTEGER NOT NULL REFERENCES things (id));
"""
# Adds things until it is killed; prints each after it is durable.
ADD_FOREVER = """
import sys
from pathlib import Path
from twisted.internet.defer import Deferred
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.threads import InlineThreads

async def main():
    path, schemas, name, count = sys.argv[1:]
    database = Database(path, "things", InlineThreads(), schema_directory=Path(schemas))
    await database.open()
    for number in range(int(count)):
        await database.execute("INSERT INTO things (name) VALUES (?)", (f"{name}{number}",))
        print(number, flush=True)
    await database.close()

Deferred.fromCoroutine(main()).addErrback(lambda failure: failure.printTraceback())
"""


def add(name: str) -> Any:
    """Work that adds a thing."""
    return lambda cursor: cursor.execute("INSERT INTO things (name) VALUES (?)", (name,)) and name


def names(cursor: Cursor) -> list[Row]:
    """All things."""
    return [name for (name,) in cursor.execute("SELECT name FROM things ORDER BY id").fetchall()]


class DatabaseTestCase(SynchronousTestCase):
    """A schema of two tables in a directory of its own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        (self.directory / "things-v1.sql").write_text(SCHEMA)
        self.path = self.directory / "data" / "things.sqlite"

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, object], *errors: type[Exception]) -> Exception:
        """The error of what fails at once."""
        return self.failureResultOf(Deferred.fromCoroutine(work), *errors).value

    def database(self, path: str | Path = "", threads: Threads | None = None) -> Database:
        """A database that is not open yet."""
        return Database(
            path or self.path,
            "things",
            threads or InlineThreads(),
            schema_directory=self.directory,
        )

    def opened(self, path: str | Path = "") -> Database:
        """A database that is open until the end of the test."""
        database = self.database(path)
        self.get(database.open())
        self.addCleanup(lambda: self.get(database.close()))
        return database


class DatabaseTests(DatabaseTestCase):
    """Reading and writing."""

    def test_settings(self) -> None:
        """What was acknowledged survives a power cut, and nobody else may read the file."""
        database = self.opened()

        def settings(cursor: Cursor) -> list[object]:
            wanted = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            return [cursor.execute(f"PRAGMA {name}").fetchall()[0][0] for name in wanted]

        full = 2
        self.assertEqual(self.get(database.read(settings)), ["wal", full, 1, 1])
        self.assertEqual(self.get(database.write(settings)), ["wal", full, 1, 1])
        for path in self.path.parent.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_memory(self) -> None:
        """The same opener, the same behavior, without a file."""
        database = self.opened(":memory:")
        self.assertEqual(self.get(database.write(add("a"))), "a")
        self.fails(database.write(add("a")), AlreadyExists)
        self.assertEqual(self.get(database.read(names)), ["a"])
        other = self.opened(":memory:")
        self.assertEqual(self.get(other.read(names)), [])

    def test_reading_writes_nothing(self) -> None:
        """A reader cannot change the file by mistake."""
        database = self.opened()
        self.fails(database.read(add("a")), Unavailable)
        self.assertEqual(self.get(database.read(names)), [])

    def test_snapshot(self) -> None:
        """A reader sees one state from its first statement to its last."""
        database, other = self.opened(), self.opened()
        self.get(database.write(add("a")))

        def read_twice(cursor: Cursor) -> tuple[list[Row], list[Row]]:
            before = names(cursor)
            self.get(other.write(add("b")))
            return before, names(cursor)

        self.assertEqual(self.get(database.read(read_twice)), (["a"], ["a"]))
        self.assertEqual(self.get(database.read(names)), ["a", "b"])

    def test_errors(self) -> None:
        """SQLite's errors arrive as ours, other people's unchanged; nothing of them stays."""
        database = self.opened()
        self.get(database.write(add("a")))

        def conflict(cursor: Cursor) -> None:
            add("b")(cursor)
            raise Conflict("mine")

        self.fails(database.write(add("a")), AlreadyExists)
        self.fails(database.write(add("bad")), Invalid)
        self.fails(database.execute("INSERT INTO parts (thing) VALUES (99)"), NotFound)
        self.fails(database.write(conflict), Conflict)
        self.fails(database.execute("INSERT INTO nothing VALUES (1)"), apsw.SQLError)
        self.fails(database.read(lambda cursor: cursor.execute("nonsense")), apsw.SQLError)
        self.assertEqual(self.get(database.read(names)), ["a"])

    def test_closed(self) -> None:
        """Before it is open and after it is closed, everything is ``Unavailable``."""
        database = self.database()
        self.fails(database.read(names), Unavailable)
        self.fails(database.write(add("a")), Unavailable)
        self.get(database.open())
        self.get(database.write(add("a")))
        self.get(database.close())
        self.fails(database.read(names), Unavailable)
        self.fails(database.write(add("b")), Unavailable)
        self.get(database.close())
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["things.sqlite"])

    def test_readers_are_kept(self) -> None:
        """Connections are used again, and only a few are kept."""
        database = self.opened()
        readers = [database._reader() for _ in range(MAX_IDLE_READERS + 3)]
        for reader in readers:
            reader.__enter__()
        for reader in readers:
            reader.__exit__(None, None, None)
        self.assertEqual(len(database._readers), MAX_IDLE_READERS)
        self.get(database.read(names))
        self.assertEqual(len(database._readers), MAX_IDLE_READERS)

    def test_not_a_database(self) -> None:
        """A file of something else is refused and left alone."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"something else " * 1000)
        self.fails(self.database().open(), Corrupt)
        self.assertEqual(self.path.read_bytes(), b"something else " * 1000)

    def test_no_place(self) -> None:
        """A directory that cannot be made is ``Unavailable``, as a full disk is."""
        (self.directory / "data").write_bytes(b"in the way")
        self.fails(self.database().open(), Unavailable)


class GroupTests(DatabaseTestCase):
    """Writes that meet."""

    def setUp(self) -> None:
        super().setUp()
        self.reader = self.opened()
        self.threads = LaterThreads()
        self.writer = self.database(threads=self.threads)
        opening = Deferred.fromCoroutine(self.writer.open())
        self.threads.next()
        self.successResultOf(opening)

    def tearDown(self) -> None:
        closing = Deferred.fromCoroutine(self.writer.close())
        while self.threads.calls:
            self.threads.next()
        self.successResultOf(closing)

    def write(self, work: Any) -> "Deferred[Any]":
        """A write that waits for its hop."""
        return Deferred.fromCoroutine(self.writer.write(work))

    def test_one_transaction(self) -> None:
        """A group is one commit: nothing is seen before, everything after."""
        seen: list[list[Row]] = []

        def look(cursor: Cursor) -> None:
            seen.append(self.get(self.reader.read(names)))

        writes = [self.write(work) for work in (add("a"), look, add("b"))]
        self.threads.next()
        self.assertEqual([self.successResultOf(one) for one in writes], ["a", None, "b"])
        self.assertEqual(seen, [[]])
        self.assertEqual(self.get(self.reader.read(names)), ["a", "b"])

    def test_one_fails(self) -> None:
        """A function that fails undoes its own work and nobody else's."""

        def half(cursor: Cursor) -> None:
            add("half")(cursor)
            add("a")(cursor)

        first, second, third = (self.write(work) for work in (add("a"), half, add("b")))
        self.threads.next()
        self.successResultOf(first)
        self.failureResultOf(second, AlreadyExists)
        self.successResultOf(third)
        self.assertEqual(self.get(self.reader.read(names)), ["a", "b"])

    def test_half_read(self) -> None:
        """
        Work that fails with rows left to read keeps no snapshot, though its traceback lives on:
        with it the next write would be refused as soon as another process wrote.
        """

        def work(cursor: Cursor) -> None:
            cursor.execute("SELECT name FROM things").fetchone()
            raise Conflict

        first, second = self.database(), self.database()
        for each in (first, second):
            self.get(each.open())
            self.addCleanup(lambda each=each: self.get(each.close()))
        for name in ("a", "b"):
            self.get(first.write(add(name)))
        kept = self.fails(first.write(work), Conflict)
        self.get(second.write(add("c")))
        self.get(first.write(add("d")))
        self.assertIsNotNone(kept.__traceback__)

    def test_transaction_lost(self) -> None:
        """When the transaction is gone, nobody is told that his work is durable."""

        def lose(cursor: Cursor) -> None:
            cursor.execute("ROLLBACK")
            raise apsw.FullError("database or disk is full")

        writes = [self.write(work) for work in (add("a"), lose, add("b"))]
        self.threads.next()
        for one in writes:
            self.failureResultOf(one, Unavailable)
        self.assertEqual(self.get(self.reader.read(names)), [])
        again = self.write(add("c"))
        self.threads.next()
        self.successResultOf(again)
        self.assertEqual(self.get(self.reader.read(names)), ["c"])

    def test_commit_fails(self) -> None:
        """When COMMIT fails, the whole group fails and the next one works."""

        def break_later(cursor: Cursor) -> None:
            cursor.execute("PRAGMA defer_foreign_keys=ON")
            cursor.execute("INSERT INTO parts (thing) VALUES (99)")

        writes = [self.write(work) for work in (add("a"), break_later)]
        self.threads.next()
        for one in writes:
            self.failureResultOf(one, NotFound)
        again = self.write(add("b"))
        self.threads.next()
        self.successResultOf(again)
        self.assertEqual(self.get(self.reader.read(names)), ["b"])

    def test_busy(self) -> None:
        """When another process keeps the lock too long, it is ``Unavailable``."""
        blocker = schema.open_connection(self.path)
        self.addCleanup(blocker.close)
        blocker.execute("BEGIN IMMEDIATE")
        assert self.writer._writer is not None
        self.writer._writer.set_busy_timeout(1)
        write = self.write(add("a"))
        self.threads.next()
        self.failureResultOf(write, Unavailable)
        blocker.execute("ROLLBACK")
        write = self.write(add("a"))
        self.threads.next()
        self.successResultOf(write)


class ProcessTests(DatabaseTestCase):
    """Several processes and one file."""

    def start(self, name: str, count: int) -> "subprocess.Popen[str]":
        """A process that adds ``count`` things."""
        paths = (str(self.path.absolute()), str(self.directory.absolute()))
        return subprocess.Popen(
            [sys.executable, "-c", ADD_FOREVER, *paths, name, str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def test_created_and_written_together(self) -> None:
        """Processes that create the file at the same time agree; no write is lost or refused."""
        processes = [self.start(name, 100) for name in "abc"]
        for process in processes:
            out, err = process.communicate()
            self.assertEqual(err, "")
            self.assertEqual(len(out.splitlines()), 100)
        self.assertEqual(len(self.get(self.opened().read(names))), 300)

    def test_killed(self) -> None:
        """What a killed process had acknowledged is there, and the file is sound."""
        process = self.start("k", 100_000)
        for _ in range(200):
            process.stdout.readline()
        process.kill()
        # Not communicate(): it passes over the lines that came with an earlier one.
        acknowledged = 200 + process.stdout.read().count("\n")
        process.communicate()
        database = self.opened()
        found = len(self.get(database.read(names)))
        self.assertIn(found, (acknowledged, acknowledged + 1))
        sound = self.get(
            database.read(lambda cursor: cursor.execute("PRAGMA integrity_check").fetchall())
        )
        self.assertEqual(sound, [("ok",)])
