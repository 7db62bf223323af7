"""
Remove large bodies that no queued message has.

A large body is on the disk before its message is accepted, so a crash between the two leaves it
behind; nobody was answered 250 for it. Young ones are left alone: their message may be on its way.
"""

from twisted.logger import Logger

from fe_mail.ports import Queue

__all__ = ["MIN_AGE_SECONDS", "sweep_bodies"]

MIN_AGE_SECONDS = 3600.0
log = Logger()


async def sweep_bodies(queue: Queue, now: float) -> None:
    """Delete orphans older than ``MIN_AGE_SECONDS``."""
    count = await queue.sweep(now - MIN_AGE_SECONDS)
    if count:
        log.info("Removed {count} bodies that no message has.", count=count)
