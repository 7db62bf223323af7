"""The store of large bodies, beside the queue."""

from typing import Protocol

from fe_mail.model.ids import BlobId

__all__ = ["BlobReader", "BlobWriter", "Blobs"]


class BlobWriter(Protocol):
    """One blob being written; what is still small stays in memory until ``commit``."""

    @property
    def size_octets(self) -> int:
        """Octets written so far."""

    async def write(self, data: bytes) -> None:
        """Add octets; awaiting it is the back-pressure."""

    async def commit(self) -> BlobId:
        """Durable (file and directory fsynced) when it returns."""

    async def abort(self) -> None:
        """Forget everything; never raises. Calling it after ``commit`` does nothing."""


class BlobReader(Protocol):
    """One blob being read."""

    @property
    def size_octets(self) -> int:
        """Size of the content."""

    async def read(self, size_octets: int) -> bytes:
        """The next octets, empty at the end. ``Corrupt`` when they were changed."""

    async def close(self) -> None:
        """Done."""


class Blobs(Protocol):
    """Large bodies that wait, encrypted with the server's key. A blob never changes."""

    def create(self, now: float) -> BlobWriter:
        """Begin a blob; once it is committed or aborted, writing to it is a ``Conflict``."""

    async def open(self, blob: BlobId) -> BlobReader:
        """Begin to read. ``NotFound``."""

    async def read(self, blob: BlobId) -> bytes:
        """All of it. ``NotFound``, ``Corrupt``."""

    async def delete(self, blob: BlobId) -> None:
        """Gone from the disk; an unknown blob is ignored."""

    async def list(self) -> tuple[tuple[BlobId, float], ...]:
        """Every committed blob with the second in which it was created, oldest first."""
