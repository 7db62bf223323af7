"""
Limits that the web UI and the API share, so that nobody gets twice as much by using both doors.

Registrations that come to nothing have a wider limit, so that nobody asks for every address whether
it is registered.
"""

import attrs

from fe_mail.model.counting import Claim, Count, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.ports import Counters

__all__ = [
    "ACCOUNTS",
    "ACCOUNTS_PER_DAY",
    "ATTEMPTS_PER_DAY",
    "CHECKS",
    "Limit",
    "limit_counter",
    "refuse_spent",
    "take",
    "take_account",
    "undo_account",
]

ACCOUNTS = "register"
ACCOUNTS_PER_DAY = 5
ATTEMPTS_PER_DAY = 50
_ATTEMPTS = "register-attempts"


@attrs.frozen
class Limit:
    """At most ``calls`` of the routes that share ``name`` within a ``window``."""

    name: str
    calls: int
    window: Window = Window.DAY


CHECKS = Limit("dns-checks", 60, Window.HOUR)  # of domains: each asks the DNS some 30 questions


def limit_counter(name: str, who: str, window: Window = Window.DAY) -> Counter:
    """The counter of a limit: of a user, an alias or a network."""
    return Counter(f"limit:{name}:{who}", window)


async def take(counters: Counters, limit: Limit, who: str) -> None:
    """Count, or ``RateLimited``."""
    counter = limit_counter(limit.name, who, limit.window)
    taken = await counters.take(Claim(counter, most=limit.calls))
    if taken.refused is not None:
        raise _limited(taken.refused)


async def refuse_spent(counters: Counters, limit: Limit, who: str) -> None:
    """``RateLimited`` if the limit, which is counted later, is reached already."""
    (count,) = await counters.read(limit_counter(limit.name, who, limit.window))
    if count.value >= limit.calls:
        raise _limited(count)


async def take_account(counters: Counters, network: str) -> None:
    """Count a registration before it is tried, since many may run at once. ``RateLimited``."""
    taken = await counters.take(
        Claim(limit_counter(_ATTEMPTS, network), most=ATTEMPTS_PER_DAY),
        Claim(limit_counter(ACCOUNTS, network), most=ACCOUNTS_PER_DAY),
    )
    if taken.refused is not None:
        raise _limited(taken.refused)


async def undo_account(counters: Counters, network: str) -> None:
    """The registration came to nothing."""
    await counters.give_back(Claim(limit_counter(ACCOUNTS, network)))


def _limited(count: Count) -> RateLimited:
    return RateLimited(retry_after_seconds=max(1, round(count.seconds_left)))
