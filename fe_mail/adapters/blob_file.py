"""
The format of a blob's file, and how one comes to be.

A file is named by its blob's id and never changes::

    "FEB1"  salt(32)  chunk  chunk  ...  chunk

Its key is HMAC-SHA256(server key, "fe-mail blob" + id + salt), so that neither files nor parts of
them can be exchanged. Every chunk is 64 KiB of content, the last one at most that, sealed with
ChaCha20-Poly1305 (RFC 8439); the nonce is the chunk's number and, for the last one, a mark, so
that chunks cannot be reordered, cut off or added. Nothing readable touches the disk.

Unfinished files end in ``.part`` and are locked by their writer, so that one left by a killed
process can be told from one that another process is writing.
"""

import errno
import fcntl
import hmac
import io
import os
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fe_mail.model.errors import Corrupt
from fe_mail.model.ids import BlobId

__all__ = [
    "CHUNK_OCTETS",
    "SALT_OCTETS",
    "UNFINISHED_SUFFIX",
    "BlobContent",
    "UnfinishedBlob",
    "derive_cipher",
    "open_content",
    "remove_abandoned",
]

CHUNK_OCTETS = 64 * 1024
SALT_OCTETS = 32
TAG_OCTETS = 16
SEALED_OCTETS = CHUNK_OCTETS + TAG_OCTETS
MAGIC = b"FEB1"
HEADER_OCTETS = len(MAGIC) + SALT_OCTETS
UNFINISHED_SUFFIX = ".part"


def derive_cipher(key: bytes, blob: BlobId, salt: bytes) -> ChaCha20Poly1305:
    """The cipher of one file."""
    label = b"fe-mail blob" + blob.encode("ascii")
    return ChaCha20Poly1305(hmac.digest(key, label + salt, "sha256"))


def open_content(path: Path, key: bytes) -> "BlobContent":
    """Open a finished file. ``FileNotFoundError``, ``Corrupt``, ``InvalidTag``."""
    file = io.FileIO(path)
    header = os.pread(file.fileno(), HEADER_OCTETS, 0)
    sealed_octets = os.fstat(file.fileno()).st_size - HEADER_OCTETS
    last_octets = sealed_octets % SEALED_OCTETS
    if header[:4] != MAGIC or sealed_octets < TAG_OCTETS or 0 < last_octets < TAG_OCTETS:
        file.close()
        raise Corrupt("A blob is damaged.")
    cipher = derive_cipher(key, BlobId(path.name), header[4:])
    content = BlobContent(file=file, cipher=cipher, sealed_octets=sealed_octets)
    if not content.size_octets:
        content.chunk(0)  # nobody will read it, so this is when a cut shows
    return content


@attrs.define(kw_only=True, eq=False)
class UnfinishedBlob:
    """A blob on its way to the disk. Its methods run in a thread, one at a time."""

    path: Path
    salt: bytes = attrs.field(repr=False)
    cipher: ChaCha20Poly1305 = attrs.field(repr=False)
    buffer: bytearray = attrs.field(factory=bytearray, repr=False)
    chunk_count: int = 0
    descriptor: int = -1

    @property
    def part(self) -> Path:
        """Where the file is as long as it is not finished."""
        return self.path.with_name(self.path.name + UNFINISHED_SUFFIX)

    def spill(self) -> None:
        """Write the whole chunks; at least one octet stays for the last one."""
        self._open()
        with memoryview(bytes(self.buffer)) as content:
            position = 0
            while len(content) - position > CHUNK_OCTETS:
                self._write_chunk(content[position : position + CHUNK_OCTETS], is_last=False)
                position += CHUNK_OCTETS
        del self.buffer[:position]

    def finish(self) -> None:
        """Write the rest."""
        self.spill()
        self._write_chunk(bytes(self.buffer), is_last=True)
        self.buffer.clear()

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self.descriptor)

    def publish(self) -> None:
        """Give it its name."""
        self.part.rename(self.path)
        self._close()

    def discard(self) -> None:
        """Remove what was written, also when the commit failed after the renaming."""
        self.buffer.clear()
        self.path.unlink(missing_ok=True)
        if self.descriptor >= 0:
            self.part.unlink(missing_ok=True)
            self._close()

    def _open(self) -> None:
        while self.descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self.descriptor = os.open(self.part, flags, 0o600)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            if not os.fstat(self.descriptor).st_nlink:
                self._close()  # another process took it for abandoned before we had the lock
                continue
            _write_all(self.descriptor, MAGIC + self.salt)

    def _write_chunk(self, content: bytes | memoryview, *, is_last: bool) -> None:
        nonce = _nonce(self.chunk_count, is_last=is_last)
        _write_all(self.descriptor, self.cipher.encrypt(nonce, content, None))
        self.chunk_count += 1

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)


@attrs.frozen(kw_only=True, eq=False)
class BlobContent:
    """An open blob. Its methods run in a thread."""

    file: io.FileIO
    cipher: ChaCha20Poly1305 = attrs.field(repr=False)
    sealed_octets: int

    @property
    def chunk_count(self) -> int:
        """At least one."""
        return -(-self.sealed_octets // SEALED_OCTETS)

    @property
    def size_octets(self) -> int:
        """Octets of the content."""
        return self.sealed_octets - self.chunk_count * TAG_OCTETS

    def chunk(self, number: int) -> bytes:
        """The content of one chunk. ``InvalidTag`` when anything was changed."""
        position = HEADER_OCTETS + number * SEALED_OCTETS
        sealed = os.pread(self.file.fileno(), SEALED_OCTETS, position)
        nonce = _nonce(number, is_last=number == self.chunk_count - 1)
        return self.cipher.decrypt(nonce, sealed, None)

    def close(self) -> None:
        """Done."""
        self.file.close()


def remove_abandoned(path: Path) -> None:
    """Remove an unfinished file unless its writer still holds the lock."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
    finally:
        os.close(descriptor)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _write_all(descriptor: int, octets: bytes) -> None:
    with memoryview(octets) as rest:
        position = 0
        while position < len(rest):
            position += os.write(descriptor, rest[position:])
