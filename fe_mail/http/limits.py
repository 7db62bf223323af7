"""
Limits that the web UI and the API share, as counters in the cache.

New accounts are counted together, so that nobody gets the day's number twice by using both doors.
Attempts that come to nothing have a wider limit, so that nobody asks for every address whether it
is registered.
"""

import attrs

from fe_mail.model.errors import RateLimited
from fe_mail.ports import Cache

__all__ = [
    "ACCOUNTS",
    "ACCOUNTS_PER_DAY",
    "ATTEMPTS_PER_DAY",
    "DAY_SECONDS",
    "Limit",
    "limit_key",
    "refuse_spent",
    "take_account",
    "undo_account",
]

DAY_SECONDS = 86_400
ACCOUNTS = "register"
ACCOUNTS_PER_DAY = 5
ATTEMPTS_PER_DAY = 50
_ATTEMPTS = "register-attempts"


@attrs.frozen
class Limit:
    """At most ``calls`` of the routes that share ``name`` within ``seconds``."""

    name: str
    calls: int
    seconds: int = DAY_SECONDS


def limit_key(name: str, who: str) -> str:
    """The counter of a limit: a user, an alias or a network."""
    return f"limit:{name}:{who}"


async def refuse_spent(cache: Cache, limit: Limit, network: str) -> None:
    """``RateLimited`` if the limit, which is counted later, is reached already."""
    key = limit_key(limit.name, network)
    if int(await cache.get(key) or b"0") >= limit.calls:
        raise await _limited(cache, key)


async def take_account(cache: Cache, network: str) -> None:
    """Count a registration before it is tried, since many may run at once. ``RateLimited``."""
    attempts, key = limit_key(_ATTEMPTS, network), limit_key(ACCOUNTS, network)
    if await cache.increment(attempts, DAY_SECONDS) > ATTEMPTS_PER_DAY:
        raise await _limited(cache, attempts)
    if await cache.increment(key, DAY_SECONDS) > ACCOUNTS_PER_DAY:
        await undo_account(cache, network)
        raise await _limited(cache, key)


async def undo_account(cache: Cache, network: str) -> None:
    """The registration came to nothing."""
    await cache.increment(limit_key(ACCOUNTS, network), DAY_SECONDS, -1)


async def _limited(cache: Cache, key: str) -> RateLimited:
    return RateLimited(retry_after_seconds=max(1, round(await cache.ttl(key))))
