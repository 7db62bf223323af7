"""The ``Blobs`` of a test: octets in a dictionary. A blob exists from its ``commit`` on."""

from fe_mail.model.errors import Conflict, NotFound
from fe_mail.model.ids import BlobId, new_id
from fe_mail.ports import BlobReader, BlobWriter

__all__ = ["MemoryBlobs", "MemoryReader"]


class MemoryBlobs:
    """Blobs in the memory of this process."""

    def __init__(self) -> None:
        self._contents: dict[BlobId, bytes] = {}

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close; the contents stay, as on a disk."""

    def create(self, now: float) -> BlobWriter:
        """Begin a blob."""
        return _Writer(self._contents, BlobId(new_id(now)))

    async def open(self, blob: BlobId) -> BlobReader:
        """Begin to read. ``NotFound``."""
        return MemoryReader(await self.read(blob))

    async def read(self, blob: BlobId) -> bytes:
        """All of it. ``NotFound``."""
        try:
            return self._contents[blob]
        except KeyError:
            raise NotFound("The blob does not exist.") from None

    async def delete(self, blob: BlobId) -> None:
        """Gone; an unknown blob is ignored."""
        self._contents.pop(blob, None)

    async def list(self) -> tuple[tuple[BlobId, float], ...]:
        """Every committed blob with the time it was created, in whole seconds, oldest first."""
        return tuple((blob, float(int(blob[:8], 16))) for blob in sorted(self._contents))


class _Writer:
    def __init__(self, contents: dict[BlobId, bytes], blob: BlobId) -> None:
        self._contents = contents
        self._blob = blob
        self._written = bytearray()
        self._size_octets = 0
        self._is_over = False

    @property
    def size_octets(self) -> int:
        """Octets written so far."""
        return self._size_octets

    async def write(self, data: bytes) -> None:
        """Add octets."""
        self._check_open()
        self._written += data
        self._size_octets += len(data)

    async def commit(self) -> BlobId:
        """From now on the blob exists."""
        self._check_open()
        self._contents[self._blob] = bytes(self._written)
        self._end()
        return self._blob

    async def abort(self) -> None:
        """Forget everything; after ``commit`` nothing happens."""
        self._end()

    def _check_open(self) -> None:
        if self._is_over:
            raise Conflict("The blob was committed or aborted already.")

    def _end(self) -> None:
        self._is_over = True
        self._written = bytearray()


class MemoryReader:
    """A ``BlobReader`` of octets in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def size_octets(self) -> int:
        """Size of the content."""
        return len(self._content)

    async def read(self, size_octets: int) -> bytes:
        """The next octets, empty at the end."""
        start = self._position
        self._position = min(len(self._content), start + size_octets)
        return self._content[start : self._position]

    async def close(self) -> None:
        """Nothing is held."""
