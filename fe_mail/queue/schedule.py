"""
When to try again, and how many at once: arithmetic only.

Retries follow the age of the message, not the number of attempts, so that giving a delivery
back because its destination is busy costs it nothing. Intervals start at five minutes (enough
for greylisting), grow with the age and stay under four hours; after five days the sender gets
the message back, after four hours a notice. A destination starts with few connections, earns
more with every success and falls back to one on failure; after some failures in a row it
rests. RFC 5321 §4.5.4.1; the words (slow start, fairness, dead destination) are Postfix's.
"""

import attrs

from fe_mail.model.queue import QueuedDelivery, QueuedMessage

__all__ = [
    "DEAD_AFTER_FAILURES",
    "DEAD_SECONDS",
    "DELAYED_NOTICE_AFTER_SECONDS",
    "FIRST_CONCURRENCY",
    "LATE_REPORT_WAIT_SECONDS",
    "LIFETIME_SECONDS",
    "LOCAL_CONCURRENCY",
    "MAX_PAUSE_SECONDS",
    "MAX_RETRY_SECONDS",
    "MIN_RETRY_SECONDS",
    "REMOTE_CONCURRENCY",
    "REPORT_WAIT_SECONDS",
    "Destination",
    "is_expired",
    "needs_delayed_notice",
    "next_attempt_at",
]

LIFETIME_SECONDS = 5 * 86400.0
DELAYED_NOTICE_AFTER_SECONDS = 4 * 3600.0
REPORT_WAIT_SECONDS = 60.0  # a failure, for others of the message that are under way
LATE_REPORT_WAIT_SECONDS = 900.0  # what is reported for its age; nobody expects that by the minute
MIN_RETRY_SECONDS = 300.0
MAX_RETRY_SECONDS = 4 * 3600.0
RETRY_GROWTH = 0.5  # the next interval is this part of the age
JITTER = 0.2  # plus or minus, so that a burst does not come back as a burst
MAX_PAUSE_SECONDS = MAX_RETRY_SECONDS * (1.0 + JITTER)  # nothing waits for longer

FIRST_CONCURRENCY = 2
REMOTE_CONCURRENCY = 10  # connections to one remote domain at most
LOCAL_CONCURRENCY = 64  # deliveries into one mailbox at once: the store commits them in groups
DEAD_AFTER_FAILURES = 3
DEAD_SECONDS = 300.0


def next_attempt_at(message: QueuedMessage, now: float, random: float) -> float:
    """
    When to try again; ``random`` from 0 to 1 is the jitter. Not after the lifetime's end, unless
    that is over already and what failed could not be reported.
    """
    age = max(0.0, now - message.created_at)
    interval = min(MAX_RETRY_SECONDS, max(MIN_RETRY_SECONDS, age * RETRY_GROWTH))
    interval *= 1.0 + JITTER * (2.0 * random - 1.0)
    end = message.created_at + LIFETIME_SECONDS
    return max(now + 1.0, min(now + interval, end)) if now < end else now + interval


def is_expired(message: QueuedMessage, now: float) -> bool:
    """True when the time for trying is over."""
    return now - message.created_at >= LIFETIME_SECONDS


def needs_delayed_notice(message: QueuedMessage, delivery: QueuedDelivery, now: float) -> bool:
    """True once, four hours after the message came."""
    late = now - message.created_at >= DELAYED_NOTICE_AFTER_SECONDS
    return late and not delivery.delayed_notice_at


@attrs.frozen(kw_only=True)
class Destination:
    """What we know of one destination: how many deliveries at once, how often it failed."""

    maximum: int = REMOTE_CONCURRENCY
    limit: int = FIRST_CONCURRENCY
    failures: int = 0
    dead_until: float = 0.0
    is_proven: bool = False  # the last attempt got an answer

    def is_dead(self, now: float) -> bool:
        """
        True while it rests. A rest that would last for longer than one is from before the date
        was set back.
        """
        return 0.0 < self.dead_until - now <= DEAD_SECONDS

    def answered(self) -> "Destination":
        """It spoke to us: one more at once, failures forgotten."""
        limit = min(self.maximum, self.limit + 1)
        return attrs.evolve(self, limit=limit, failures=0, dead_until=0.0, is_proven=True)

    def unreachable(self, now: float) -> "Destination":
        """Nobody answered: one at a time, and a rest after some in a row."""
        failures = self.failures + 1
        dead_until = now + DEAD_SECONDS if failures >= DEAD_AFTER_FAILURES else 0.0
        return attrs.evolve(
            self, limit=1, failures=failures, dead_until=dead_until, is_proven=False
        )
