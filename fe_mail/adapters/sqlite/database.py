"""
One SQLite file: writes in groups, reads beside them.

``write`` hands a function to the next group. A group is one thread hop and one transaction
(``BEGIN IMMEDIATE`` ... ``COMMIT``), so its functions share one fsync; each runs in a SAVEPOINT
of its own, so that one that fails undoes only its own work. A write is answered after COMMIT,
never before; if COMMIT fails, all of its group fail.

``write_prepared`` does what is costly and needs no database in the same hop, before the transaction
begins, so that nobody waits for a lock meanwhile.

``read`` runs in a snapshot on a connection of its own; in WAL mode readers and the writer do not
wait for each other. A function gets a cursor, must not keep it, and must not return before it
has fetched what it needs. Several processes may have the same file open.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw
from twisted.python.failure import Failure

from fe_mail.adapters.batch import Batch, Result, Results
from fe_mail.adapters.sqlite.failures import translate, translated
from fe_mail.adapters.sqlite.schema import (
    ENCRYPTED_PAGE_OCTETS,
    MEMORY,
    SCHEMA_DIRECTORY,
    migrate,
    open_connection,
)
from fe_mail.adapters.threads import Threads
from fe_mail.model.errors import Unavailable

__all__ = ["MAX_IDLE_READERS", "Cursor", "Database", "Row", "Value"]

# As many as there are threads: to open a connection costs more than most reads.
MAX_IDLE_READERS = 8

T = TypeVar("T")
Value = str | bytes | int | float | None
Row = tuple[Any, ...]


class Cursor(Protocol):
    """What work needs of a driver's cursor. The columns of a row are of the schema's types."""

    def execute(
        self, statements: str, bindings: Sequence[Value] | Mapping[str, Value] = ()
    ) -> "Cursor":
        """Run; the rows are fetched from what it returns."""

    def executemany(self, statements: str, bindings: Iterable[Sequence[Value]]) -> "Cursor":
        """Run once for each."""

    def fetchone(self) -> Row | None:
        """The next row, None at the end."""

    def fetchall(self) -> list[Row]:
        """The rows that are left."""


Work = Callable[[Cursor], object]
Preparation = Callable[[], Work]


class Database:
    """
    A SQLite file with the schema of this name, or ``:memory:``; encrypted if it has a key.

    Without ``is_synced`` no commit waits for the disk: a power cut may undo the last ones
    (``synchronous=NORMAL``), a killed process none.
    Without ``overwrites`` what is deleted may stay in the file for a while: for files whose key
    never leaves the server. ``page_octets`` is for a new encrypted file.
    """

    def __init__(
        self,
        path: str | Path,
        schema: str,
        threads: Threads,
        *,
        schema_directory: Path = SCHEMA_DIRECTORY,
        key: bytes | None = None,
        is_synced: bool = True,
        overwrites: bool = True,
        page_octets: int = ENCRYPTED_PAGE_OCTETS,
    ) -> None:
        self._path = path
        self._overwrites = overwrites
        self._page_octets = page_octets
        self._schema = schema
        self._schema_directory = schema_directory
        self._key = key
        self._is_synced = is_synced
        self._threads = threads
        self._writes: Batch[Preparation] = Batch(threads, self._write_group)
        self._writer: apsw.Connection | None = None
        self._readers: deque[apsw.Connection] = deque()
        self._is_shared = str(path) == MEMORY  # then readers use the writer's connection
        self._writing = threading.Lock()

    async def open(self) -> None:
        """Open, create or upgrade. ``SchemaTooNew``, ``Corrupt``, ``Unavailable``."""
        await self._threads.run(self._open)

    async def close(self) -> None:
        """Finish the writes that wait, then close; whatever comes later is ``Unavailable``."""
        await self._writes.drained()
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._threads.run(lambda: self._close(writer))

    async def read(self, work: Callable[[Cursor], T]) -> T:
        """Call ``work`` in a snapshot."""
        return await self._threads.run(lambda: self._read(work))

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Call ``work`` in the next group; durable when it returns."""
        return cast(T, await self._writes.add(lambda: work))

    async def write_prepared(self, prepare: Callable[[], Callable[[Cursor], T]]) -> T:
        """The same with the work that ``prepare`` returns; it has no part in the transaction."""
        return cast(T, await self._writes.add(prepare))

    async def execute(self, statement: str, bindings: Sequence[Value] = ()) -> None:
        """Write with one statement; durable when it returns."""

        def work(cursor: Cursor) -> None:
            cursor.execute(statement, bindings)

        await self.write(work)

    def _open(self) -> None:
        with translated():
            connection = self._connect()
            try:
                migrate(connection, self._path, self._schema, self._schema_directory, self._key)
            except BaseException:
                connection.close()
                raise
            if not self._is_synced:
                connection.pragma("synchronous", 1)
        self._writer = connection

    def _connect(self) -> apsw.Connection:
        return open_connection(
            self._path,
            self._key,
            overwrites=self._overwrites,
            page_octets=self._page_octets,
        )

    def _close(self, writer: apsw.Connection) -> None:
        with self._writing:
            while self._readers:
                self._readers.popleft().close()
            writer.close()

    def _write_group(self, preparations: Sequence[Preparation]) -> Results:
        works = [_prepared(preparation) for preparation in preparations]
        writer = self._writer
        if writer is None:
            raise Unavailable
        with self._writing, translated():
            try:
                writer.execute("BEGIN IMMEDIATE")
                results = [
                    work if isinstance(work, Failure) else _call_in_savepoint(writer, work)
                    for work in works
                ]
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
        return results

    def _read(self, work: Callable[[Cursor], T]) -> T:
        with translated(), self._reader() as connection:
            connection.execute("BEGIN")
            try:
                return work(cast(Cursor, connection.cursor()))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[apsw.Connection]:
        writer = self._writer
        if writer is None:
            raise Unavailable
        if self._is_shared:
            with self._writing:
                yield writer
            return
        try:
            connection = self._readers.popleft()
        except IndexError:
            connection = self._connect()
            connection.pragma("query_only", True)
        try:
            yield connection
        finally:
            if self._writer is None or len(self._readers) >= MAX_IDLE_READERS:
                connection.close()
            else:
                self._readers.append(connection)


def _prepared(preparation: Preparation) -> Work | Failure:
    try:
        return preparation()
    except Exception:
        return Failure()


def _call_in_savepoint(connection: apsw.Connection, work: Work) -> Result:
    """The result of ``work``, or its Failure with everything undone that it did."""
    connection.execute("SAVEPOINT work")
    cursor = connection.cursor()
    try:
        result: Result = work(cast(Cursor, cursor))
    except Exception as error:
        if not connection.in_transaction:
            raise  # SQLite gave up the whole transaction (disk full, I/O error)
        connection.execute("ROLLBACK TO work")
        ours = translate(error) if isinstance(error, apsw.Error) else None
        if ours is not None:
            ours.__cause__ = error
        result = Failure(ours or error)
    finally:
        cursor.close(True)  # the rest of a SELECT would keep this snapshot for ever
    connection.execute("RELEASE work")
    return result
