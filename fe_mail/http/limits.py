"""
Limits that the web UI and the API share.

New accounts are counted together, so that nobody gets the day's number twice by using both doors.
Attempts that come to nothing have a wider limit, so that nobody asks for every address whether it
is registered.
"""

from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.ports import Counters

__all__ = [
    "ACCOUNTS",
    "ACCOUNTS_PER_DAY",
    "ATTEMPTS_PER_DAY",
    "limit_counter",
    "take_account",
    "undo_account",
]

ACCOUNTS = "register"
ACCOUNTS_PER_DAY = 5
ATTEMPTS_PER_DAY = 50
_ATTEMPTS = "register-attempts"


def limit_counter(name: str, who: str, window: Window = Window.DAY) -> Counter:
    """The counter of a limit: of a user, an alias or a network."""
    return Counter(f"limit:{name}:{who}", window)


async def take_account(counters: Counters, network: str) -> None:
    """Count a registration before it is tried, since many may run at once. ``RateLimited``."""
    taken = await counters.take(
        Claim(limit_counter(_ATTEMPTS, network), most=ATTEMPTS_PER_DAY),
        Claim(limit_counter(ACCOUNTS, network), most=ACCOUNTS_PER_DAY),
    )
    if taken.refused is not None:
        raise RateLimited(retry_after_seconds=max(1, round(taken.refused.seconds_left)))


async def undo_account(counters: Counters, network: str) -> None:
    """The registration came to nothing."""
    await counters.give_back(Claim(limit_counter(ACCOUNTS, network)))
