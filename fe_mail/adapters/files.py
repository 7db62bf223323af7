"""
The ``Blobs`` as encrypted files in one directory.

Small blobs stay in memory until ``commit``; large ones are written as they come. Commits that
meet share one thread hop: all their files are written, then fsynced, renamed, and the directory
is fsynced once. The format of a file: ``fe_mail/adapters/blob_file.py``.
"""

import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from fe_mail.adapters.batch import Batch, Results
from fe_mail.adapters.blob_file import (
    CHUNK_OCTETS,
    SALT_OCTETS,
    UNFINISHED_SUFFIX,
    BlobContent,
    UnfinishedBlob,
    derive_cipher,
    open_content,
    remove_abandoned,
)
from fe_mail.adapters.durability import sync
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.system import of_system
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Troubles
from fe_mail.model.errors import Conflict, Corrupt, MailError, Missing, NotFound, Unavailable
from fe_mail.model.ids import BlobId, is_id, new_id
from fe_mail.ports import BlobReader, BlobWriter

__all__ = ["CHUNK_OCTETS", "KEY_OCTETS", "SPILL_OCTETS", "FileBlobs"]

KEY_OCTETS = 32
SPILL_OCTETS = 4 * CHUNK_OCTETS  # more than this of a blob is not kept in memory
STORE = "spool"  # what operators call it
PROBE_OCTETS = CHUNK_OCTETS  # as much as the smallest large body
MAX_GROUP_FILES = 100  # open at the same time in one group of commits

T = TypeVar("T")
log = Logger()


class FileBlobs:
    """Blobs in ``directory``, encrypted with ``key``; several processes may share it."""

    def __init__(
        self,
        directory: str | Path,
        key: bytes,
        threads: Threads,
        troubles: Troubles | None = None,
    ) -> None:
        if len(key) != KEY_OCTETS:
            raise ValueError(f"The key has {KEY_OCTETS} octets.")
        self._directory = Path(directory)
        self._key = key
        self._threads = threads
        self._troubles = troubles or Troubles()
        self._watch = self._troubles.watch(STORE, self._directory)
        self._commits: Batch[UnfinishedBlob] = Batch(threads, self._commit_group, MAX_GROUP_FILES)

    async def start(self, opening: Opening = Opening.NEW) -> None:
        """Make the directory, remove what a killed process did not finish."""
        await self._run(lambda: self._start(opening))

    async def stop(self) -> None:
        """Finish the commits that run."""
        await self._commits.drained()

    def create(self, now: float) -> BlobWriter:
        """Begin a blob."""
        blob = BlobId(new_id(now))
        salt = secrets.token_bytes(SALT_OCTETS)
        unfinished = UnfinishedBlob(
            path=self._directory / blob, salt=salt, cipher=derive_cipher(self._key, blob, salt)
        )
        return _Writer(blob, unfinished, self._run, self._commits)

    async def open(self, blob: BlobId) -> BlobReader:
        """Begin to read. ``NotFound``, ``Corrupt``."""
        content = await self._run(lambda: self._open(blob), blob)
        return _Reader(content, lambda work: self._run(work, blob))

    async def read(self, blob: BlobId) -> bytes:
        """All of it. ``NotFound``, ``Corrupt``."""

        def work() -> bytes:
            content = self._open(blob)
            try:
                return b"".join(content.chunk(number) for number in range(content.chunk_count))
            finally:
                content.close()

        return await self._run(work, blob)

    async def delete(self, blob: BlobId) -> None:
        """Gone from the disk; an unknown blob is ignored."""
        if is_id(blob):
            path = self._directory / blob
            await self._run(lambda: path.unlink(missing_ok=True))

    async def list(self) -> tuple[tuple[BlobId, float], ...]:
        """Every committed blob with the second in which it was created, oldest first."""
        names = await self._run(lambda: sorted(os.listdir(self._directory)))
        return tuple((BlobId(name), float(int(name[:8], 16))) for name in names if is_id(name))

    async def check(self) -> tuple[str, ...]:
        """Every blob that cannot be read back, one sentence each."""
        found = []
        for blob, _ in await self.list():
            try:
                await self._check(blob)
            except NotFound:
                continue  # settled meanwhile
            except Corrupt:
                found.append(f"Blob {blob} is damaged.")
        return tuple(found)

    async def _check(self, blob: BlobId) -> None:
        reader = await self.open(blob)
        try:
            while await reader.read(SPILL_OCTETS):
                pass
        finally:
            await reader.close()

    async def probe(self) -> None:
        """Write a file and remove it, so that a full disk shows before a large message comes."""
        await self._run(self._probe)
        self._watch.written()

    def _probe(self) -> None:
        path = self._directory / f"{secrets.token_hex(8)}{UNFINISHED_SUFFIX}"
        try:
            with path.open("xb") as file:
                file.write(bytes(PROBE_OCTETS))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    async def _run(self, work: Callable[[], T], blob: BlobId | None = None) -> T:
        return await self._threads.run(lambda: self._watched(work, blob))

    def _watched(self, work: Callable[[], T], blob: BlobId | None = None) -> T:
        """Call it; the operator hears of what the disk did, and of a blob that is damaged."""
        try:
            return _translated(work)
        except Corrupt as error:
            path = self._directory / blob if blob else self._directory
            self._troubles.watch(STORE, path, is_wide=blob is None).failed(error)
            raise
        except MailError as error:
            self._watch.failed(error)
            raise

    def _start(self, opening: Opening) -> None:
        if opening is Opening.NEW:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        elif not self._directory.is_dir():
            raise Missing("It is missing.")
        if opening is Opening.LOOK:
            return
        for path in self._directory.glob(f"*{UNFINISHED_SUFFIX}"):
            remove_abandoned(path)

    def _open(self, blob: BlobId) -> BlobContent:
        if not is_id(blob):
            raise NotFound("The blob does not exist.")
        try:
            return open_content(self._directory / blob, self._key)
        except FileNotFoundError:
            raise NotFound("The blob does not exist.") from None

    def _commit_group(self, group: Sequence[UnfinishedBlob]) -> Results:
        """Write all, fsync all, rename all, fsync the directory: each waits for less."""
        results: Results = [None] * len(group)
        for step in (UnfinishedBlob.finish, UnfinishedBlob.sync, UnfinishedBlob.publish):
            for index, unfinished in enumerate(group):
                if results[index] is None:
                    results[index] = self._failure_of(step, unfinished)
        self._watched(lambda: sync(self._directory))
        if None in results:
            self._watch.written()
        return results

    def _failure_of(
        self, step: Callable[[UnfinishedBlob], None], unfinished: UnfinishedBlob
    ) -> Failure | None:
        try:
            self._watched(lambda: step(unfinished))
        except Unavailable:
            return Failure()
        return None


class _Writer:
    """A ``BlobWriter``; the lock keeps ``abort`` away from a write that still runs."""

    def __init__(
        self,
        blob: BlobId,
        unfinished: UnfinishedBlob,
        run: Callable[[Callable[[], None]], Awaitable[None]],
        commits: Batch[UnfinishedBlob],
    ) -> None:
        self._blob = blob
        self._unfinished = unfinished
        self._run = run
        self._commits = commits
        self._lock = DeferredLock()
        self._size_octets = 0
        self._is_over = False

    @property
    def size_octets(self) -> int:
        """Octets written so far."""
        return self._size_octets

    async def write(self, data: bytes) -> None:
        """Add octets; a large blob goes to the disk as it comes."""
        self._check_open()
        self._unfinished.buffer += data
        self._size_octets += len(data)
        if len(self._unfinished.buffer) > SPILL_OCTETS:
            await self._spill()

    async def _spill(self) -> None:
        try:
            async with self._lock:
                await self._run(self._unfinished.spill)
        except Unavailable:
            await self.abort()  # what is on the disk now cannot be continued
            raise

    async def commit(self) -> BlobId:
        """Durable when it returns."""
        self._check_open()
        self._is_over = True
        try:
            await self._commits.add(self._unfinished)
        except BaseException:
            await self._discard()
            raise
        return self._blob

    async def abort(self) -> None:
        """Forget everything; after ``commit`` nothing happens."""
        if not self._is_over:
            self._is_over = True
            await self._discard()

    async def _discard(self) -> None:
        """What cannot be removed now is removed by the next ``start``."""
        try:
            async with self._lock:
                await self._run(self._unfinished.discard)
        except Unavailable:
            log.warn("An unfinished blob could not be removed: {blob}", blob=self._blob)

    def _check_open(self) -> None:
        if self._is_over:
            raise Conflict("The blob was committed or aborted already.")


class _Reader:
    """A ``BlobReader``; the last chunk is kept, so that small reads do not decrypt it again."""

    def __init__(
        self, content: BlobContent, run: Callable[[Callable[[], bytes]], Awaitable[bytes]]
    ) -> None:
        self._content = content
        self._run = run
        self._lock = DeferredLock()
        self._position = 0
        self._kept = (-1, b"")

    @property
    def size_octets(self) -> int:
        """Size of the content."""
        return self._content.size_octets

    async def read(self, size_octets: int) -> bytes:
        """The next octets, empty at the end. ``Corrupt`` when they were changed."""
        async with self._lock:
            end = min(self.size_octets, self._position + size_octets)
            if self._content.file.closed or end <= self._position:
                return b""
            octets = await self._run(lambda: self._read(self._position, end))
            self._position = end
            return octets

    async def close(self) -> None:
        """Done."""
        async with self._lock:
            self._content.close()

    def _read(self, start: int, end: int) -> bytes:
        first, last = start // CHUNK_OCTETS, (end - 1) // CHUNK_OCTETS
        octets = b"".join(self._chunk(number) for number in range(first, last + 1))
        offset = first * CHUNK_OCTETS
        return octets[start - offset : end - offset]

    def _chunk(self, number: int) -> bytes:
        if self._kept[0] != number:
            self._kept = (number, self._content.chunk(number))
        return self._kept[1]


def _translated(work: Callable[[], T]) -> T:
    """Call it, with our errors instead of the system's."""
    try:
        return work()
    except OSError as error:
        raise of_system(error.errno) from error
    except InvalidTag as error:
        raise Corrupt("A blob is damaged.") from error
