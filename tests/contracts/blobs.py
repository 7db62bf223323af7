"""
What every ``Blobs`` does, whatever it is made of.

A test class mixes ``BlobsContract`` in and returns fresh, started blobs from ``store()``.
"""

import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from fe_mail.model.errors import Conflict, NotFound
from fe_mail.model.ids import BlobId
from fe_mail.ports import Blobs

__all__ = ["BlobsContract"]

T = TypeVar("T")
KIB = 1024
# Around every border of the formats: chunks of 64 KiB, four of them kept in memory.
SIZES_OCTETS = (0, 1, 100, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, 256 * KIB, 300 * KIB)


class BlobsContract:
    """The tests; ``store`` is the hook."""

    def store(self) -> Blobs:
        """Fresh, started blobs."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def setUp(self) -> None:
        self.blobs = self.store()

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, object], *errors: type[Exception]) -> Exception:
        """The error of what fails at once."""
        return self.failureResultOf(Deferred.fromCoroutine(work), *errors).value

    def add(self, content: bytes, piece_octets: int = 10_000, now: float = 1.0) -> BlobId:
        """Write a blob in pieces."""
        writer = self.blobs.create(now)
        for start in range(0, len(content), piece_octets):
            self.get(writer.write(content[start : start + piece_octets]))
        self.assertEqual(writer.size_octets, len(content))
        return self.get(writer.commit())

    def test_content(self) -> None:
        """What was written is read, whatever its size."""
        for size_octets in SIZES_OCTETS:
            content = os.urandom(size_octets)
            self.assertEqual(self.get(self.blobs.read(self.add(content))), content)

    def test_one_big_piece(self) -> None:
        """The size of the pieces does not matter."""
        content = os.urandom(1024 * KIB + 1)
        blob = self.add(content, piece_octets=len(content))
        self.assertEqual(self.get(self.blobs.read(blob)), content)

    def test_reader(self) -> None:
        """A reader gives the octets in order, in the sizes asked for, and then nothing."""
        for size_octets in SIZES_OCTETS:
            content = os.urandom(size_octets)
            reader = self.get(self.blobs.open(self.add(content)))
            self.assertEqual(reader.size_octets, size_octets)
            pieces = []
            while piece := self.get(reader.read(50_001)):
                self.assertLessEqual(len(piece), 50_001)
                pieces.append(piece)
            self.assertEqual(b"".join(pieces), content)
            self.assertEqual(self.get(reader.read(1)), b"")
            self.get(reader.close())

    def test_two_readers(self) -> None:
        """Readers do not disturb each other."""
        blob = self.add(b"0123456789")
        first, second = self.get(self.blobs.open(blob)), self.get(self.blobs.open(blob))
        self.assertEqual(self.get(first.read(4)), b"0123")
        self.assertEqual(self.get(second.read(100)), b"0123456789")
        self.assertEqual(self.get(first.read(100)), b"456789")
        self.get(first.close())
        self.get(second.close())

    def test_nothing_before_commit(self) -> None:
        """An unfinished blob does not exist, not even after an abort."""
        for content in (b"small", bytes(600 * KIB)):
            writer = self.blobs.create(1.0)
            self.get(writer.write(content))
            self.assertEqual(self.get(self.blobs.list()), ())
            self.get(writer.abort())
            self.assertEqual(self.get(self.blobs.list()), ())
            self.fails(writer.write(b"more"), Conflict)
            self.fails(writer.commit(), Conflict)
            self.get(writer.abort())

    def test_abort_after_commit(self) -> None:
        """A late abort does nothing, and what is committed cannot be changed."""
        writer = self.blobs.create(1.0)
        self.get(writer.write(b"content"))
        blob = self.get(writer.commit())
        self.get(writer.abort())
        self.fails(writer.write(b"more"), Conflict)
        self.fails(writer.commit(), Conflict)
        self.assertEqual(self.get(self.blobs.read(blob)), b"content")

    def test_delete(self) -> None:
        """A deleted blob is gone; deleting it again is no error."""
        blob = self.add(b"content")
        self.get(self.blobs.delete(blob))
        self.get(self.blobs.delete(blob))
        self.fails(self.blobs.read(blob), NotFound)
        self.fails(self.blobs.open(blob), NotFound)
        self.assertEqual(self.get(self.blobs.list()), ())

    def test_unknown(self) -> None:
        """No name leads out of the store."""
        for name in ("", "0" * 24, "../../etc/passwd", "/etc/passwd", "x\0y", "A" * 24):
            self.fails(self.blobs.read(BlobId(name)), NotFound)
            self.fails(self.blobs.open(BlobId(name)), NotFound)
            self.get(self.blobs.delete(BlobId(name)))

    def test_list(self) -> None:
        """Everything committed is listed with its second, oldest first."""
        late, early = self.add(b"late", now=2000.9), self.add(b"early", now=1000.0)
        self.assertEqual(self.get(self.blobs.list()), ((early, 1000.0), (late, 2000.0)))

    def test_many_writers(self) -> None:
        """Blobs that are written at the same time do not mix."""
        writers = [self.blobs.create(1.0) for _ in range(20)]
        for piece in range(5):
            for index, writer in enumerate(writers):
                self.get(writer.write(b"%d-%d " % (index, piece)))
        for index, writer in enumerate(writers):
            expected = b"".join(b"%d-%d " % (index, piece) for piece in range(5))
            self.assertEqual(self.get(self.blobs.read(self.get(writer.commit()))), expected)
