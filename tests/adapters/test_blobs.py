"""The contract of ``Blobs`` on its adapters; encryption and crash safety of the files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters import blob_file
from fe_mail.adapters.blob_file import CHUNK_OCTETS, UNFINISHED_SUFFIX
from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import Corrupt, Unavailable
from fe_mail.model.ids import BlobId
from fe_mail.ports import Blobs
from tests.adapters.later import LaterThreads
from tests.contracts.blobs import BlobsContract

KEY = bytes(range(32))

# Commits blobs until it is killed, and says after each that it is durable.
WRITE_FOREVER = """
import sys
from twisted.internet.defer import Deferred
from fe_mail.adapters.files import FileBlobs
from fe_mail.adapters.threads import InlineThreads

async def main():
    blobs = FileBlobs(sys.argv[1], bytes(range(32)), InlineThreads())
    await blobs.start()
    while True:
        writer = blobs.create(1.0)
        for _ in range(4):
            await writer.write(bytes(100_000))
        print(await writer.commit(), flush=True)

Deferred.fromCoroutine(main())
"""


class MemoryBlobsTests(BlobsContract, SynchronousTestCase):
    """The specification."""

    def store(self) -> Blobs:
        return MemoryBlobs()


class FileBlobsTests(BlobsContract, SynchronousTestCase):
    """Encrypted files."""

    def store(self) -> Blobs:
        self.directory = Path(self.mktemp())
        return self.open()

    def open(self, key: bytes = KEY) -> FileBlobs:
        """Open the directory (again, as another process would)."""
        blobs = FileBlobs(self.directory, key, InlineThreads())
        self.get(blobs.start())
        return blobs

    def unfinished(self) -> list[Path]:
        """The files that are being written."""
        return list(self.directory.glob(f"*{UNFINISHED_SUFFIX}"))

    def change(self, blob: BlobId, edit: Callable[[bytes], bytes]) -> None:
        """Damage a file."""
        path = self.directory / blob
        path.write_bytes(edit(path.read_bytes()))

    def is_refused(self, blob: BlobId) -> None:
        """Neither way to read accepts it, and ``check`` names it."""
        self.fails(self.blobs.read(blob), Corrupt)
        self.assertEqual(self.get(self.blobs.check()), (f"Blob {blob} is damaged.",))

    def test_nothing_readable(self) -> None:
        """Neither finished nor unfinished files show what is in them."""
        needle = b"a sentence that nobody else may read "
        self.add(needle * 20_000)
        writer = self.blobs.create(1.0)
        self.get(writer.write(needle * 20_000))
        self.assertEqual(len(self.unfinished()), 1)
        for path in self.directory.iterdir():
            content = path.read_bytes()
            self.assertGreater(len(content), 256 * 1024)
            self.assertNotIn(needle, content)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.get(writer.abort())
        self.assertEqual(self.unfinished(), [])

    def test_small_blobs_touch_no_disk_before_commit(self) -> None:
        """What fits into memory stays there until it is wanted."""
        writer = self.blobs.create(1.0)
        self.get(writer.write(bytes(1000)))
        self.assertEqual(self.unfinished(), [])

    def test_same_content_differs(self) -> None:
        """Equal bodies do not look equal."""
        first, second = (self.add(b"x" * 1000) for _ in range(2))
        mine, other = ((self.directory / blob).read_bytes() for blob in (first, second))
        self.assertNotEqual(mine[36:], other[36:])

    def test_tampering(self) -> None:
        """Each changed octet shows, wherever it is."""
        blob = self.add(os.urandom(3 * CHUNK_OCTETS))
        sealed = (self.directory / blob).read_bytes()
        for position in (0, 4, 35, 36, 40_000, CHUNK_OCTETS + 60, len(sealed) - 1):
            changed = bytearray(sealed)
            changed[position] ^= 1
            self.change(blob, lambda _, changed=changed: bytes(changed))
            self.is_refused(blob)
        self.change(blob, lambda _: sealed)
        self.assertEqual(self.get(self.blobs.check()), ())

    def test_cut(self) -> None:
        """A file that was cut off or added to is refused, also at the borders of chunks."""
        sealed_chunk = CHUNK_OCTETS + 16
        blob = self.add(os.urandom(2 * CHUNK_OCTETS + 100))
        sealed = (self.directory / blob).read_bytes()
        for length in (0, 3, 36, 40, 52, 36 + sealed_chunk, 36 + 2 * sealed_chunk, len(sealed) - 1):
            self.change(blob, lambda _, length=length: sealed[:length])
            self.is_refused(blob)
        for more in (b"x", bytes(16), sealed[36 : 36 + sealed_chunk]):
            self.change(blob, lambda _, more=more: sealed + more)
            self.is_refused(blob)

    def test_chunks_stay_in_order(self) -> None:
        """Chunks cannot change places."""
        blob = self.add(os.urandom(3 * CHUNK_OCTETS))
        size = CHUNK_OCTETS + 16
        self.change(
            blob,
            lambda old: (
                old[:36]
                + old[36 + size : 36 + 2 * size]
                + old[36 : 36 + size]
                + old[36 + 2 * size :]
            ),
        )
        self.is_refused(blob)

    def test_files_stay_in_place(self) -> None:
        """One blob cannot be passed off as another."""
        first, second = self.add(b"first"), self.add(b"other")
        (self.directory / first).replace(self.directory / second)
        self.is_refused(second)

    def test_wrong_key(self) -> None:
        """Another key reads nothing."""
        blob = self.add(b"content")
        self.fails(self.open(key=b"k" * 32).read(blob), Corrupt)

    def test_key_size(self) -> None:
        """A short key is a mistake in the program."""
        self.assertRaises(ValueError, FileBlobs, self.directory, b"short", InlineThreads())

    def test_abandoned_files_go(self) -> None:
        """What nobody is writing any more is removed at the start, what somebody is, stays."""
        writer = self.blobs.create(1.0)
        content = os.urandom(500_000)
        self.get(writer.write(content))
        abandoned = self.directory / f"{'0' * 24}{UNFINISHED_SUFFIX}"
        abandoned.write_bytes(b"FEB1")
        self.open()
        self.assertFalse(abandoned.exists())
        self.assertEqual(len(self.unfinished()), 1)
        self.assertEqual(self.get(self.blobs.read(self.get(writer.commit()))), content)

    def test_taken_for_abandoned(self) -> None:
        """A writer that loses its file before it holds the lock makes a new one."""
        flock, taken = blob_file.fcntl.flock, []

        def take_first(descriptor: int, operation: int) -> None:
            if not taken:
                taken.extend(self.unfinished())
                taken[0].unlink()
            flock(descriptor, operation)

        self.patch(blob_file.fcntl, "flock", take_first)
        self.assertEqual(self.get(self.blobs.read(self.add(b"content"))), b"content")
        self.assertEqual(len(taken), 1)

    def test_killed(self) -> None:
        """What a killed process had called durable is whole; of the rest nothing stays."""
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(self.directory.absolute())],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        durable = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        process.communicate()
        again = self.open()
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(self.get(again.check()), ())
        for blob in durable:
            self.assertEqual(len(self.get(again.read(BlobId(blob)))), 400_000)

    def test_failing_disk(self) -> None:
        """When the disk fails, the caller hears it and nothing stays behind."""

        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        for content in (b"small", bytes(600_000)):
            writer = self.blobs.create(1.0)
            self.get(writer.write(content))
            with self.patched_fsync(fail):
                self.fails(writer.commit(), Unavailable)
            self.assertEqual(list(self.directory.iterdir()), [])

    def patched_fsync(self, replacement: Callable[[int], None]) -> "_Patched":
        """Another ``os.fsync`` for a while."""
        return _Patched(replacement)

    def test_failing_spill(self) -> None:
        """A blob of which a part could not be written is over."""
        writer = self.blobs.create(1.0)
        self.directory.rename(self.directory.with_suffix(".away"))
        self.fails(writer.write(bytes(600_000)), Unavailable)
        self.directory.with_suffix(".away").rename(self.directory)
        self.assertEqual(self.get(self.blobs.list()), ())


class GroupCommitTests(SynchronousTestCase):
    """Commits that meet share a hop."""

    def test_shared_hop(self) -> None:
        """Twenty commits are two hops: the first alone, the others together."""
        threads = LaterThreads()
        directory = Path(self.mktemp())
        directory.mkdir()
        blobs = FileBlobs(directory, KEY, threads)
        commits = []
        for _ in range(20):
            writer = blobs.create(1.0)
            self.successResultOf(Deferred.fromCoroutine(writer.write(b"content")))
            commits.append(Deferred.fromCoroutine(writer.commit()))
        everything = gatherResults(commits)
        threads.next()  # takes all that wait when it starts
        names = self.successResultOf(everything)
        self.assertEqual(threads.calls, [])
        self.assertEqual(sorted(os.listdir(directory)), sorted(names))

    def test_one_fails(self) -> None:
        """A commit that fails does not hurt the others of its group."""
        threads = LaterThreads()
        directory = Path(self.mktemp())
        directory.mkdir()
        blobs = FileBlobs(directory, KEY, threads)
        writers = [blobs.create(1.0) for _ in range(3)]
        commits = [Deferred.fromCoroutine(writer.commit()) for writer in writers]
        part = writers[1]._unfinished.part
        part.mkdir()  # in the way
        threads.next()
        threads.next()  # removes what there is of the second
        self.successResultOf(commits[0])
        self.failureResultOf(commits[1], Unavailable)
        self.successResultOf(commits[2])
        part.rmdir()
        self.assertEqual(len(os.listdir(directory)), 2)


class _Patched:
    def __init__(self, replacement: Callable[[int], None]) -> None:
        self._replacement = replacement

    def __enter__(self) -> None:
        self._original = os.fsync
        os.fsync = self._replacement

    def __exit__(self, *error: object) -> None:
        os.fsync = self._original
