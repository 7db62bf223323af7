"""
The ``Blobs`` for a queue of many small messages: those share a SQLite file, big ones go on.

An fsync takes longer than everything else that accepting a small message costs. As files, bodies
need one each; as rows of one encrypted database, all that arrive together need one. A blob that
outgrows ``SMALL_OCTETS`` while it is written goes on to ``large``.

What was committed a moment ago is about to be delivered, so the newest bodies are kept in memory,
``RECENT_OCTETS`` of them at most, until they are deleted.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from fe_mail.adapters.memory.blobs import MemoryReader
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.threads import Threads
from fe_mail.model.errors import Conflict
from fe_mail.model.ids import BlobId, new_id
from fe_mail.ports import BlobReader, Blobs, BlobWriter

__all__ = ["RECENT_OCTETS", "SMALL_OCTETS", "LargeBlobs", "SQLiteBlobs"]

SMALL_OCTETS = 64 * 1024
RECENT_OCTETS = 8 * 1024 * 1024


class LargeBlobs(Blobs, Protocol):
    """Where big blobs go: a store that has a life, and can check itself."""

    async def start(self) -> None:
        """Open."""

    async def stop(self) -> None:
        """Close."""

    async def check(self) -> tuple[str, ...]:
        """Every blob that cannot be read back, one sentence each."""


class SQLiteBlobs:
    """Small blobs in the file at ``path``, encrypted with ``key``; processes may share it."""

    def __init__(
        self, path: str | Path, threads: Threads, large: LargeBlobs, *, key: bytes | None = None
    ) -> None:
        self._database = Database(path, "spool", threads, key=key)
        self._large = large
        self._recent: OrderedDict[BlobId, bytes] = OrderedDict()
        self._recent_octets = 0

    async def start(self) -> None:
        """Open both."""
        await self._database.open()
        await self._large.start()

    async def stop(self) -> None:
        """Finish and close both."""
        self._recent.clear()
        self._recent_octets = 0
        await self._large.stop()
        await self._database.close()

    def create(self, now: float) -> BlobWriter:
        """Begin a blob; small until proven otherwise."""
        return _Writer(self, now)

    async def add(self, blob: BlobId, content: bytes) -> None:
        """Keep a small blob; durable when it returns."""
        await self._database.execute("INSERT INTO blob VALUES (?, ?)", (blob, content))
        self._recent[blob] = content
        self._recent_octets += len(content)
        while self._recent_octets > RECENT_OCTETS:
            self._forget(next(iter(self._recent)))

    def _forget(self, blob: BlobId) -> None:
        self._recent_octets -= len(self._recent.pop(blob, b""))

    async def _small(self, blob: BlobId) -> bytes | None:
        """The content if it is here."""
        content = self._recent.get(blob)
        if content is not None:
            return content
        return await self._database.read(lambda cursor: _content(cursor, blob))

    async def open(self, blob: BlobId) -> BlobReader:
        """Begin to read. ``NotFound``, ``Corrupt``."""
        content = await self._small(blob)
        return await self._large.open(blob) if content is None else MemoryReader(content)

    async def read(self, blob: BlobId) -> bytes:
        """All of it. ``NotFound``, ``Corrupt``."""
        content = await self._small(blob)
        return await self._large.read(blob) if content is None else content

    async def delete(self, blob: BlobId) -> None:
        """Gone from the disk; an unknown blob is ignored."""
        self._forget(blob)

        def work(cursor: Cursor) -> bool:
            statement = "DELETE FROM blob WHERE id = ? RETURNING 1"
            return bool(cursor.execute(statement, (blob,)).fetchall())

        if not await self._database.write(work):
            await self._large.delete(blob)

    async def list(self) -> tuple[tuple[BlobId, float], ...]:
        """Every committed blob with the second in which it was created, oldest first."""
        rows = await self._database.read(lambda c: c.execute("SELECT id FROM blob").fetchall())
        small = ((BlobId(name), float(int(name[:8], 16))) for (name,) in rows)
        return tuple(sorted({*small, *await self._large.list()}))

    async def check(self) -> tuple[str, ...]:
        """Everything that is damaged, one sentence each."""
        lines = await self._database.read(
            lambda cursor: cursor.execute("PRAGMA integrity_check").fetchall()
        )
        small = (f"The spool's file is damaged: {line}." for (line,) in lines if line != "ok")
        return (*small, *await self._large.check())

    @property
    def large(self) -> LargeBlobs:
        """Where a writer goes on that has outgrown us."""
        return self._large


def _content(cursor: Cursor, blob: BlobId) -> bytes | None:
    row = cursor.execute("SELECT content FROM blob WHERE id = ?", (blob,)).fetchone()
    return None if row is None else row[0]


class _Writer:
    """Gathers a small blob; passes on what becomes a large one."""

    def __init__(self, blobs: SQLiteBlobs, now: float) -> None:
        self._blobs = blobs
        self._now = now
        self._gathered = bytearray()
        self._onward: BlobWriter | None = None
        self._is_over = False

    @property
    def size_octets(self) -> int:
        """Octets written so far."""
        return len(self._gathered) if self._onward is None else self._onward.size_octets

    async def write(self, data: bytes) -> None:
        """Add octets."""
        self._check_open()
        if self._onward is None and len(self._gathered) + len(data) <= SMALL_OCTETS:
            self._gathered += data
            return
        if self._onward is None:
            self._onward = self._blobs.large.create(self._now)
            data = bytes(self._gathered) + data
            self._gathered.clear()
        await self._onward.write(data)

    async def commit(self) -> BlobId:
        """Durable when it returns."""
        self._check_open()
        self._is_over = True
        if self._onward is not None:
            return await self._onward.commit()
        blob = BlobId(new_id(self._now))
        await self._blobs.add(blob, bytes(self._gathered))
        return blob

    async def abort(self) -> None:
        """Forget everything; after ``commit`` nothing happens."""
        self._is_over = True
        if self._onward is not None:
            await self._onward.abort()

    def _check_open(self) -> None:
        if self._is_over:
            raise Conflict("The blob was committed or aborted already.")
