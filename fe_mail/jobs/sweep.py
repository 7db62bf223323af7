"""
Remove spooled bodies that no queued message needs.

A body is committed before its queue entry, so a crash between the two leaves it behind; nobody
was answered 250 for it. Young bodies are left alone: their queue entry may be on its way.
"""

from twisted.logger import Logger

from fe_mail.ports import Blobs, Queue

__all__ = ["MIN_AGE_SECONDS", "sweep_spool"]

MIN_AGE_SECONDS = 3600.0
log = Logger()


async def sweep_spool(queue: Queue, blobs: Blobs, now: float) -> None:
    """Delete orphaned blobs older than ``MIN_AGE_SECONDS``."""
    candidates = [
        blob for blob, created_at in await blobs.list() if now - created_at > MIN_AGE_SECONDS
    ]
    if not candidates:
        return
    needed = await queue.blobs()
    orphans = [blob for blob in candidates if blob not in needed]
    for blob in orphans:
        await blobs.delete(blob)
    if orphans:
        log.info("Removed {count} spooled bodies that nothing needed.", count=len(orphans))
