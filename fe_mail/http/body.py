"""
The body of one request: asked for when somebody wants it, kept small, or on disk.

Until ``receive`` is called nothing was promised to the client: what it sent unasked stays where
it is, a little of it here and the rest in the network. Above ``KEPT_OCTETS``, or when the memory
of all connections is used up, a body goes into a temporary file without a name, encrypted with a
key that exists in memory only.
"""

import os
import tempfile
from collections.abc import Callable
from typing import IO, Protocol, TypeVar

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from twisted.internet.defer import Deferred

from fe_mail.budget import Budget, Share
from fe_mail.model.errors import TooBig, Unavailable
from fe_mail.ports import Offload

__all__ = ["KEPT_OCTETS", "Body", "ClientLeft", "Flow", "Room"]

KEPT_OCTETS = 16_384  # in memory, and parsed without a thread
DISK_OCTETS = 1_073_741_824  # of all bodies that wait on the disk

T = TypeVar("T")


class ClientLeft(Exception):
    """The connection ended while its body was waited for: there is nobody to answer."""


class Flow(Protocol):
    """The connection, as a body sees it."""

    def ask(self) -> None:
        """Let the client send; from now on it is waited for."""

    def hold(self) -> None:
        """Take nothing more, for the moment."""

    def go_on(self) -> None:
        """Take more."""

    def cannot_keep(self, reason: str) -> None:
        """Tell who runs the server that the disk does not take a body."""


@attrs.frozen
class Room:
    """Where the bodies of all connections of a process have room, and the threads that help."""

    run: Offload
    memory: Budget = attrs.field(factory=Budget)
    disk: Budget = attrs.field(factory=lambda: Budget(DISK_OCTETS))


class Body:
    """Octets on their way."""

    def __init__(self, room: Room, length: int | None, flow: Flow) -> None:
        self.is_complete = False  # all of it was sent
        self.is_taken = False  # and somebody has it
        self._room = room
        self._length = length
        self._flow: Flow | None = flow
        self._size = 0
        self._memory = bytearray()
        self._share = Share(room.memory)
        self._disk = Share(room.disk)
        self._file: _Hidden | None = None
        self._is_asked = self._is_starved = self._is_in_thread = False
        self._waiting: Deferred[None] | None = None

    # The connection's side

    def take(self, octets: bytes) -> None:
        """Some more."""
        self._size += len(octets)
        if self._flow is None or self._is_starved:
            return
        self._memory += octets
        has_room = self._share.resize(len(self._memory))
        if not has_room and not self._is_asked:
            self._is_starved = True
            self._memory.clear()
        if not has_room or len(self._memory) > KEPT_OCTETS:
            self._flow.hold()
        self._wake()

    def end(self) -> None:
        """That was all."""
        self.is_complete = True
        self._wake()

    def close(self) -> None:
        """The request is answered, or the client left."""
        self._flow = None
        self._memory.clear()
        self._share.release()
        self._close_file()
        self._wake()

    def _close_file(self) -> None:
        if self._file is not None and not self._is_in_thread:
            self._file.close()
            self._file = None
            self._disk.release()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    # The request's side

    async def receive(self, limit: int, use: Callable[[bytes], T]) -> T:
        """What ``use`` makes of all of it; ``TooBig``, ``Unavailable``, ``ClientLeft``."""
        if self._length is not None and self._length > limit:
            raise TooBig("The request is too large.")
        self._is_asked = True
        self._open().ask()
        while True:
            if self._size > limit:
                raise TooBig("The request is too large.")
            if self._is_starved:
                raise Unavailable("The server is busy. Try again later.")
            if len(self._memory) > KEPT_OCTETS or self._share.held < len(self._memory):
                await self._spill()
            elif self.is_complete:
                break
            else:
                self._waiting = Deferred()
                await self._waiting
            self._open()
        self.is_taken = True
        if self._file is None:
            return use(bytes(self._memory))
        file, rest = self._file, bytes(self._memory)
        return await self._in_thread(lambda: use(file.read() + rest))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Nobody closes the file under the thread."""
        self._is_in_thread = True
        try:
            return await self._room.run(work)
        finally:
            self._is_in_thread = False
            if self._flow is None:
                self._close_file()

    def _open(self) -> Flow:
        if self._flow is None:
            raise ClientLeft
        return self._flow

    async def _spill(self) -> None:
        """Write down what is here; nothing more is asked for meanwhile."""
        if not self._disk.resize(self._disk.held + len(self._memory)):
            raise Unavailable("The server is busy. Try again later.")
        file = self._file = self._file or _Hidden()
        octets = bytes(self._memory)
        self._memory.clear()
        self._share.release()
        try:
            await self._in_thread(lambda: file.write(octets))
        except OSError as error:
            self._open().cannot_keep(error.strerror or type(error).__name__)
            raise Unavailable("The server is busy. Try again later.") from None
        self._open().go_on()


class _Hidden:
    """A temporary file that nobody else can find or read. Blocks: for threads."""

    def __init__(self) -> None:
        self._cipher = Cipher(ChaCha20(os.urandom(32), bytes(16)), mode=None)
        self._encryptor = self._cipher.encryptor()
        self._file: IO[bytes] | None = None

    def write(self, octets: bytes) -> None:
        """Append."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``
        self._file.write(self._encryptor.update(octets))

    def read(self) -> bytes:
        """All of it."""
        assert self._file is not None
        self._file.seek(0)
        return self._cipher.decryptor().update(self._file.read())

    def close(self) -> None:
        """Nothing is left."""
        if self._file is not None:
            self._file.close()
