"""
The ``Queue`` in one SQLite file (schema ``queue``), large bodies beside it.

Every method is one transaction, and those that meet share a commit: accepting a message is one
fsync for body, rows and lease, and so is finishing it, with the journal and the report that
belong to it. Several processes may share the file. The statements of leases are in
``queue_claims``, those of the operator's list in ``queue_list``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.sqlite.queue_bodies import Body, RecentBodies, StoredBody
from fe_mail.adapters.sqlite.queue_claims import (
    end_expired,
    group,
    insert,
    is_any_due,
    renewed,
    returned,
    settle,
    take,
)
from fe_mail.adapters.sqlite.queue_dates import set_back
from fe_mail.adapters.sqlite.queue_list import (
    broken_invariants,
    counts,
    drop,
    find,
    hold,
    large_bodies,
    release,
    waiting_octets,
)
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch
from fe_mail.model.errors import AlreadyExists, Invalid, MailError, NotFound
from fe_mail.model.ids import BlobId
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    QueuedDelivery,
    QueuedMessage,
    QueueEntry,
    QueueFilter,
    Room,
)
from fe_mail.ports import Acceptance, BlobReader, Blobs, BodyWriter, Settlement

__all__ = ["SQLiteQueue"]

log = Logger()

PAGE_OCTETS = 4096
READ_OCTETS = 1 << 20  # of a large body at once, when it is checked

_OPEN = frozenset({DeliveryState.WAITING, DeliveryState.HELD})
_REST = """
    UPDATE turns SET rest_until = max(rest_until, ?1), due_at = max(due_at, ?1) WHERE lane = ?2
"""


class SQLiteQueue:
    """
    A durable queue in a file that processes may share; encrypted if it has a key.

    ``steady`` is the clock of leases, in seconds: the same for all processes of the machine, and
    set by nobody. Leases of another ``boot_id`` belonged to programs that are gone.
    """

    def __init__(
        self,
        path: str | Path,
        threads: Threads,
        blobs: Blobs,
        *,
        steady: Callable[[], float],
        boot_id: str = "",
        key: bytes | None = None,
        watch: Watch | None = None,
    ) -> None:
        # Bodies come and go. To overwrite them would double what is written, and the key stays
        # here; small pages are filled by them, so that little else is written with them.
        self.database = Database(
            path,
            "queue",
            threads,
            key=key,
            overwrites=key is None,
            page_octets=PAGE_OCTETS,
            watch=watch,
            is_lasting=True,
        )
        self._blobs = blobs
        self._recent = RecentBodies()
        self._steady = steady
        self._boot_id = boot_id

    async def start(self, opening: Opening = Opening.NEW) -> None:
        """Open, create or upgrade the file; leases from before the machine's start end."""
        await self.database.open(opening)
        if opening is not Opening.LOOK:
            await self.database.write(lambda cursor: _begin_boot(cursor, self._boot_id))

    async def stop(self) -> None:
        """Finish and close."""
        await self.database.close()

    # -- into the queue and out of it -----------------------------------------------------------

    def body(self, now: float) -> BodyWriter:
        """Begin a body."""
        return Body(self._blobs, now)

    async def accept(
        self, acceptance: Acceptance, lease_seconds: float = 0.0, leased: Collection[int] = ()
    ) -> tuple[Claim, ...]:
        """Durable when it returns, body and all; those ``leased`` are claimed."""
        prepared = await self._prepared(acceptance)

        def work(cursor: Cursor) -> tuple[Claim, ...]:
            return prepared.insert(cursor, leased, self._steady() + lease_seconds)

        claims = await self._inserted(prepared, work)
        prepared.writer.accepted()
        if claims:
            self._recent.keep(acceptance.message.id, prepared.body)
        return claims

    async def _prepared(self, acceptance: Acceptance) -> "_Prepared":
        _check(acceptance)
        assert isinstance(acceptance.body, Body)
        groups = group(acceptance.deliveries)
        body = await acceptance.body.stored()
        message = attrs.evolve(acceptance.message, blob=body.blob)
        return _Prepared(message, groups, acceptance.body, body)

    async def _inserted(
        self, prepared: "_Prepared", work: Callable[[Cursor], tuple[Claim, ...]]
    ) -> tuple[Claim, ...]:
        """Of a message that is refused, the large body goes; after a mere failure it is swept."""
        try:
            return await self.database.write(work)
        except AlreadyExists:
            await self._drop_blobs([prepared.message.blob])
            raise

    async def claim(
        self, now: float, lease_seconds: float, rooms: Sequence[Room]
    ) -> tuple[Claim, ...]:
        """Lease what is due and has room."""
        if not await self.database.read(
            lambda cursor: is_any_due(cursor, now, self._steady(), rooms)
        ):
            return ()  # nothing to write: polling costs no fsync

        def work(cursor: Cursor) -> tuple[Claim, ...]:
            steady_now = self._steady()
            end_expired(cursor, steady_now)
            until = steady_now + lease_seconds
            return tuple(claim for room in rooms for claim in take(cursor, now, until, room))

        return await self.database.write(work)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> tuple[Claim, ...]:
        """Extend leases; returns those that were lost."""

        def work(cursor: Cursor) -> tuple[Claim, ...]:
            until = self._steady() + lease_seconds
            return tuple(lost for claim in claims if (lost := renewed(cursor, claim, until)))

        return await self.database.write(work) if claims else ()

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """End leases without an attempt."""

        def work(cursor: Cursor) -> None:
            for claim in claims:
                returned(cursor, claim)

        if claims:
            await self.database.write(work)

    async def rest(self, lane: str, until: float) -> None:
        """Nothing that waits in the lane is due before ``until``."""
        await self.database.execute(_REST, (until, lane))

    async def set_back(self, now: float, longest_seconds: float, rest_seconds: float) -> int:
        """Let what was planned under a later date wait from now."""
        return await self.database.write(
            lambda cursor: set_back(cursor, now, longest_seconds, rest_seconds)
        )

    async def end_leases(self) -> int:
        """End every lease; how many deliveries they held."""
        return await self.database.write(_end_leases)

    async def finish(self, settlements: Sequence[Settlement], now: float) -> tuple[Claim, ...]:
        """Record outcomes, journal entries and reports; returns the claims that were lost."""
        prepared = [
            [await self._prepared(report) for report in settlement.reports]
            for settlement in settlements
        ]
        lost: list[Claim] = []
        blobs: list[BlobId | None] = []

        def work(cursor: Cursor) -> None:
            lost.clear()
            blobs.clear()
            for settlement, reports in zip(settlements, prepared, strict=True):
                is_held, blob = settle(cursor, settlement, now)
                blobs.append(blob)
                if not is_held:
                    lost.append(settlement.claim)  # a large report of it is swept
                    continue
                for report in reports:
                    report.insert(cursor, (), 0.0)

        await self.database.write(work)
        for settlement, reports in zip(settlements, prepared, strict=True):
            self._recent.forget(settlement.claim.message.id)
            if any(settlement.claim is claim for claim in lost):
                continue  # its reports may come again with another lease
            for report in reports:
                report.writer.accepted()
        await self._drop_blobs(blobs)
        return tuple(lost)

    async def _drop_blobs(self, blobs: Iterable[BlobId | None]) -> None:
        """What cannot be deleted now is swept later."""
        for blob in blobs:
            if blob is None:
                continue
            try:
                await self._blobs.delete(blob)
            except MailError:
                log.failure("a large body could not be deleted: {blob}", blob=blob)

    # -- bodies ---------------------------------------------------------------------------------

    async def read_body(self, message: QueuedMessage) -> bytes:
        """All of it."""
        if message.blob is not None:
            return await self._blobs.read(message.blob)
        return (await self._small_body(message)).content or b""

    async def open_body(self, message: QueuedMessage) -> BlobReader:
        """Begin to read."""
        if message.blob is not None:
            return await self._blobs.open(message.blob)
        return (await self._small_body(message)).reader()

    async def _small_body(self, message: QueuedMessage) -> StoredBody:
        recent = self._recent.get(message)
        if recent is not None:
            return StoredBody(content=recent)
        rows = await self.database.read(
            lambda cursor: cursor.execute(
                "SELECT body FROM messages WHERE id = ?", (message.id,)
            ).fetchall()
        )
        if not rows or rows[0][0] is None:
            raise NotFound("The message has no body here.")
        return StoredBody(content=rows[0][0])

    async def sweep(self, before: float) -> int:
        """Remove large bodies that no message has. They are listed before the messages are."""
        old = [blob for blob, created_at in await self._blobs.list() if created_at < before]
        if not old:
            return 0
        rows = await self.database.read(
            lambda cursor: cursor.execute("SELECT blob FROM messages WHERE blob <> ''").fetchall()
        )
        needed = {blob for (blob,) in rows}
        orphans = [blob for blob in old if blob not in needed]
        for blob in orphans:
            await self._blobs.delete(blob)
        return len(orphans)

    # -- what operators do ----------------------------------------------------------------------

    async def hold(self, message_id: str, reason: str, numbers: Sequence[int] = ()) -> None:
        """Hold waiting deliveries (all, or those numbered). ``NotFound``."""
        await self.database.write(lambda cursor: hold(cursor, message_id, reason, numbers))

    async def release(self, message_id: str, now: float, numbers: Sequence[int] = ()) -> None:
        """Make held or waiting deliveries due as soon as their lane does not rest. ``NotFound``."""
        await self.database.write(lambda cursor: release(cursor, message_id, now, numbers))

    async def drop(self, message_id: str) -> None:
        """Remove a message with all deliveries and its body. ``NotFound``."""
        blob = await self.database.write(lambda cursor: drop(cursor, message_id))
        self._recent.forget(message_id)
        await self._drop_blobs([blob])

    async def find(self, which: QueueFilter) -> tuple[QueueEntry, ...]:
        """Messages that match, oldest first."""
        return await self.database.read(lambda cursor: find(cursor, which))

    async def next_due(self, now: float) -> float | None:
        """When the next waiting delivery becomes due after ``now``, None if none does."""
        return await self.database.read(
            lambda cursor: cursor.execute(
                "SELECT min(due_at) FROM turns WHERE due_at > ?", (now,)
            ).fetchall()[0][0]
        )

    async def waiting_octets(self, lane: str) -> int:
        """The sizes of what waits in a lane."""
        return await self.database.read(lambda cursor: waiting_octets(cursor, lane))

    async def counts(self) -> Mapping[DeliveryState, int]:
        """How many deliveries wait and are held: from the lines, however long they are."""
        return await self.database.read(counts)

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        broken, blobs = await self.database.read(
            lambda cursor: (broken_invariants(cursor), large_bodies(cursor))
        )
        problems = [await self._problem_of(blob) for blob in blobs]
        return (*broken, *filter(None, problems))

    async def _problem_of(self, blob: BlobId) -> str:
        """Why a large body cannot be read; empty if it can, or is needed no more."""
        try:
            reader = await self._blobs.open(blob)
            try:
                while await reader.read(READ_OCTETS):
                    pass
            finally:
                await reader.close()
        except MailError as error:
            statement = "SELECT 1 FROM messages WHERE blob = ?"
            still = await self.database.read(lambda c: c.execute(statement, (blob,)).fetchall())
            return f"The body {blob} cannot be read: {error.message}" if still else ""
        return ""


@attrs.frozen
class _Prepared:
    """A message on the way into the rows; a large body of it is durable."""

    message: QueuedMessage
    groups: tuple[tuple[QueuedDelivery, ...], ...]
    writer: Body
    body: StoredBody

    def insert(
        self, cursor: Cursor, leased: Collection[int], lease_until: float
    ) -> tuple[Claim, ...]:
        """Write it."""
        content = self.body.content
        return insert(cursor, self.message, self.groups, content, leased, lease_until)


def _check(acceptance: Acceptance) -> None:
    """``Invalid`` for a message that could never be settled."""
    message, deliveries = acceptance.message, acceptance.deliveries
    if any(delivery.message_id != message.id for delivery in deliveries):
        raise Invalid("A delivery belongs to another message.")
    if len({delivery.number for delivery in deliveries}) != len(deliveries):
        raise Invalid("Two deliveries of a message have the same number.")
    if not any(delivery.state in _OPEN for delivery in deliveries):
        raise Invalid("A message needs a delivery that is waiting or held.")


def _begin_boot(cursor: Cursor, boot_id: str) -> None:
    ((known,),) = cursor.execute("SELECT boot_id FROM boot").fetchall()
    if known != boot_id:
        _end_leases(cursor)
        cursor.execute("UPDATE boot SET boot_id = ?", (boot_id,))


def _end_leases(cursor: Cursor) -> int:
    return len(
        cursor.execute(
            "UPDATE deliveries SET token = '', lease_until = 0 WHERE token <> '' RETURNING 1"
        ).fetchall()
    )
