"""
Bringing in the small bodies of version 0.1, which had a file of their own, ``spool.sqlite``.

Each goes into the row of its message, in batches; a body whose message went stays behind. When all
are durable in their new place the file is set aside beside the copy of the queue that was made
before its upgrade, which needs it. A process that is killed on the way begins again: what is in its
row already is not taken twice. Leaves a directory of today alone.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from fe_mail.adapters.durability import sync
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Cursor, Database
from fe_mail.adapters.threads import Threads
from fe_mail.model.ids import BlobId

__all__ = ["BATCH_BODIES", "bring_in_spool"]

BATCH_BODIES = 100  # of at most 64 KiB each

_Bodies = list[tuple[BlobId, bytes]]


async def bring_in_spool(
    queue: Database, path: Path, key: bytes, threads: Threads, opening: Opening = Opening.NEW
) -> int:
    """How many bodies came in. With ``Opening.LOOK``, into a copy of the queue, all stays there."""
    if not await threads.run(path.exists):
        return 0
    spool = Database(path, "spool", threads, key=key)
    await spool.open(opening)
    count, last = 0, ""
    while bodies := await spool.read(_after(last)):
        count += await queue.write(_taking(bodies))
        last = bodies[-1][0]
    await spool.close()
    if opening is Opening.LOOK:
        return count
    # Of an empty one nothing is kept: opening it has made it, if another process was quicker.
    await threads.run(lambda: _set_aside(path) if last else path.unlink(missing_ok=True))
    return count


def _after(last: str) -> Callable[[Cursor], _Bodies]:
    statement = "SELECT id, content FROM blob WHERE id > ? ORDER BY id LIMIT ?"

    def work(cursor: Cursor) -> _Bodies:
        rows = cursor.execute(statement, (last, BATCH_BODIES)).fetchall()
        return [(BlobId(blob), content) for blob, content in rows]

    return work


def _taking(bodies: _Bodies) -> Callable[[Cursor], int]:
    statement = "UPDATE messages SET body = ?, blob = '' WHERE blob = ? RETURNING 1"

    def work(cursor: Cursor) -> int:
        return sum(
            len(cursor.execute(statement, (content, blob)).fetchall()) for blob, content in bodies
        )

    return work


def _set_aside(path: Path) -> None:
    """Closing has left one file, with all that was in its log; another process may be quicker."""
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_name(f"{path.stem}.before-v2.sqlite"))
    sync(path.parent)
