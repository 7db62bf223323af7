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

import contextlib
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw
from twisted.python.failure import Failure

from fe_mail.adapters.batch import Batch, Result, Results
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.failures import translate, translated
from fe_mail.adapters.sqlite.schema import (
    ENCRYPTED_PAGE_OCTETS,
    MEMORY,
    SCHEMA_DIRECTORY,
    migrate,
    open_connection,
    upgraded_copy,
)
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Troubles, Watch
from fe_mail.model.errors import AuthenticationFailed, Corrupt, MailError, Missing, Unavailable

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
    never leaves the server. ``page_octets`` is for a new encrypted file. ``watch`` hears of what
    is wrong with the file. One that ``is_lasting`` is removed by nobody while it is open: what is
    written into one that was would be lost with it, and is refused.
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
        watch: Watch | None = None,
        is_lasting: bool = False,
    ) -> None:
        self._path = path
        self._is_lasting = is_lasting and str(path) != MEMORY
        self._identity = (0, 0)  # device and inode of the file that was opened
        self._watch = watch or Troubles().watch(schema, path)
        self._overwrites = overwrites
        self._page_octets = page_octets
        self._schema = schema
        self._schema_directory = schema_directory
        self._key = key
        self.is_key_proven = False  # then what it does not open is damaged
        self._is_synced = is_synced
        self._threads = threads
        self._writes: Batch[Preparation] = Batch(threads, self._write_group)
        self._writer: apsw.Connection | None = None
        self._readers: deque[apsw.Connection] = deque()
        self._is_shared = str(path) == MEMORY  # then readers use the writer's connection
        self._writing = threading.Lock()
        self._copies = contextlib.ExitStack()  # of what we look at in another place

    async def open(self, opening: Opening = Opening.NEW) -> None:
        """
        Open, create or upgrade. ``SchemaTooNew``, ``Corrupt``, ``Missing``, ``Unavailable``.

        With ``Opening.LOOK`` nothing can be written, and what an older program wrote is looked at
        in an upgraded copy.
        """
        await self._threads.run(lambda: self._open(opening))

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

    async def probe(self) -> None:
        """Write something: a disk that takes nothing shows before mail comes."""
        await self.execute("PRAGMA user_version = 0")
        self._watch.written()

    def _check_place(self) -> None:
        if self._is_lasting and _identity(self._path) != self._identity:
            raise Missing("It was removed while it was open.")

    def _open(self, opening: Opening) -> None:
        with self._watched():
            connection = self._connect(opening)
            try:
                with translated(lambda: connection.system_errno):
                    connection = self._brought_up_to_date(connection, opening)
            except BaseException:
                connection.close()
                raise
            if not self._is_synced:
                connection.pragma("synchronous", 1)
            if self._is_lasting:
                self._identity = _identity(self._path)
        self._writer = connection
        self.is_key_proven = True
        self._watch.opened()

    def _brought_up_to_date(self, connection: apsw.Connection, opening: Opening) -> apsw.Connection:
        schema, directory, key = self._schema, self._schema_directory, self._key
        if opening is not Opening.LOOK:
            migrate(connection, self._path, schema, directory, key, opening)
            return connection
        self._is_shared = True
        return upgraded_copy(connection, self._place_of_copies, schema, directory, key)

    def _place_of_copies(self) -> Path:
        """Until ``close``."""
        made = tempfile.TemporaryDirectory(prefix="fe-mail-")
        return Path(self._copies.enter_context(made))

    @contextlib.contextmanager
    def _watched(self, connection: apsw.Connection | None = None) -> Iterator[None]:
        """Errors become ours, and the operator hears of those that are the file's."""
        try:
            with translated(lambda: connection.system_errno if connection is not None else 0):
                yield
        except AuthenticationFailed as error:
            if not self.is_key_proven:
                raise
            damage = Corrupt("Its first page cannot be read.")
            self._watch.failed(damage)
            raise damage from error
        except MailError as error:
            self._watch.failed(error)
            raise

    def _connect(self, opening: Opening = Opening.KEPT) -> apsw.Connection:
        return open_connection(
            self._path,
            self._key,
            overwrites=self._overwrites,
            page_octets=self._page_octets,
            opening=opening,
        )

    def _close(self, writer: apsw.Connection) -> None:
        with self._writing:
            while self._readers:
                self._readers.popleft().close()
            writer.close()
            self._copies.close()
        self._watch.closed()

    def _write_group(self, preparations: Sequence[Preparation]) -> Results:
        works = [_prepared(preparation) for preparation in preparations]
        writer = self._writer
        if writer is None:
            raise Unavailable
        with self._writing, self._watched(writer):
            self._check_place()
            changes = writer.total_changes()
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
            if writer.total_changes() > changes:
                self._watch.written()
        for result in results:
            if isinstance(result, Failure) and result.value is not None:
                self._watch.failed(result.value)
        return results

    def _read(self, work: Callable[[Cursor], T]) -> T:
        with (
            self._watched(),
            self._reader() as connection,
            translated(lambda: connection.system_errno),
        ):
            connection.execute("BEGIN")
            try:
                return work(cast(Cursor, connection.cursor()))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextlib.contextmanager
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


def _identity(path: str | Path) -> tuple[int, int]:
    """Zeros if there is no such file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


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
        ours = None
        if isinstance(error, apsw.Error):
            ours = translate(error, connection.system_errno)
        if ours is not None:
            ours.__cause__ = error
        result = Failure(ours or error)
    finally:
        cursor.close(True)  # the rest of a SELECT would keep this snapshot for ever
    connection.execute("RELEASE work")
    return result
