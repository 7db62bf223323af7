"""
Bodies of queued messages: small ones in the row of their message, large ones as blobs.

An fsync takes longer than everything else that accepting a small message costs, so a small body
is written by the transaction that accepts its message. One that outgrows ``SMALL_OCTETS`` while it
is received goes on as a blob, which is durable before the row names it.

What was accepted a moment ago is about to be delivered, so the newest small bodies are kept in
memory, ``RECENT_OCTETS`` of them at most, until an outcome of their message is recorded.
"""

from collections import OrderedDict

import attrs

from fe_mail.adapters.memory.blobs import MemoryReader
from fe_mail.model.errors import Conflict, NotFound
from fe_mail.model.ids import BlobId
from fe_mail.model.queue import QueuedMessage
from fe_mail.ports import BlobReader, Blobs, BlobWriter

__all__ = ["RECENT_OCTETS", "SMALL_OCTETS", "Body", "RecentBodies", "StoredBody"]

SMALL_OCTETS = 64 * 1024
RECENT_OCTETS = 8 * 1024 * 1024


@attrs.frozen
class StoredBody:
    """How a body goes into a row: one of both."""

    content: bytes | None = None
    blob: BlobId | None = None

    def reader(self) -> BlobReader:
        """Of the content. ``NotFound`` when the row has none."""
        if self.content is None:
            raise NotFound("The message has no body.")
        return MemoryReader(self.content)


class Body:
    """A ``BodyWriter``; small until proven otherwise."""

    def __init__(self, blobs: Blobs, now: float) -> None:
        self._blobs = blobs
        self._now = now
        self._gathered = bytearray()
        self._onward: BlobWriter | None = None
        self._stored: StoredBody | None = None
        self._is_over = False

    @property
    def size_octets(self) -> int:
        """Octets written so far."""
        return len(self._gathered) if self._onward is None else self._onward.size_octets

    async def write(self, data: bytes) -> None:
        """Add octets."""
        if self._is_over or self._stored is not None:
            raise Conflict("The body is complete already.")
        if self._onward is None:
            if len(self._gathered) + len(data) <= SMALL_OCTETS:
                self._gathered += data
                return
            self._onward = self._blobs.create(self._now)
            data = bytes(self._gathered) + data
            self._gathered.clear()
        await self._onward.write(data)

    async def complete(self) -> None:
        """The end of it; a blob is durable when it returns."""
        await self.stored()

    async def stored(self) -> StoredBody:
        """What the row gets, and gets again when writing the row failed."""
        if self._is_over:
            raise Conflict("The body was accepted or aborted already.")
        if self._stored is None:
            self._stored = await self._store()
        return self._stored

    async def _store(self) -> StoredBody:
        if self._onward is None:
            return StoredBody(content=bytes(self._gathered))
        return StoredBody(blob=await self._onward.commit())

    def accepted(self) -> None:
        """It belongs to its message now."""
        self._is_over = True

    async def abort(self) -> None:
        """Forget everything; a blob that is durable already stays: a row may name it."""
        self._is_over = True
        self._gathered.clear()
        if self._onward is not None:
            await self._onward.abort()


class RecentBodies:
    """Small bodies by their message's id, the newest ``limit_octets`` of them."""

    def __init__(self, limit_octets: int = RECENT_OCTETS) -> None:
        self._limit_octets = limit_octets
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._octets = 0

    def keep(self, message_id: str, stored: StoredBody) -> None:
        """Remember a small one."""
        if stored.content is None:
            return
        self.forget(message_id)
        self._kept[message_id] = stored.content
        self._octets += len(stored.content)
        while self._octets > self._limit_octets:
            self.forget(next(iter(self._kept)))

    def get(self, message: QueuedMessage) -> bytes | None:
        """The body if it is here."""
        return self._kept.get(message.id)

    def forget(self, message_id: str) -> None:
        """Its message is gone, or has had its first attempt."""
        self._octets -= len(self._kept.pop(message_id, b""))
