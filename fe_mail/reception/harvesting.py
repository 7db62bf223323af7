"""
Address harvesting: how many recipients that do not exist a network may ask for. RFC 5321 §7.8.

Only such questions are counted and written. Whether a network is shut out is asked at every
connection and message, so the answer is kept for a few seconds in the ``Cache``: that of this
process is exact, what another one counted is seen ``RECENT_SECONDS`` later at the most. A store
of counters that fails stops no mail.
"""

from twisted.logger import Logger

from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import MailError
from fe_mail.model.network import network_of
from fe_mail.policy.limits import TARPIT_AFTER, TARPIT_MAX_SECONDS, UNKNOWN_MAX
from fe_mail.ports import Cache, Counters

__all__ = ["RECENT_SECONDS", "Harvesting", "tarpit_seconds"]

RECENT_SECONDS = 10.0
_OPEN, _SHUT = b"open", b"shut"


class Harvesting:
    """The unknown recipients that each network asked for lately."""

    log = Logger()

    def __init__(self, counters: Counters, cache: Cache) -> None:
        self._counters = counters
        self._cache = cache

    async def is_over(self, ip: str) -> bool:
        """Has this address's network asked for too many?"""
        if not ip:
            return False  # mail of our own making
        key = _key(ip)
        known = await self._cache.get(key)
        if known is None:
            found = await self._read(ip)
            known = await self._cache.get(key) or found  # it may have been shut meanwhile
            await self._cache.set(key, known, RECENT_SECONDS)
        return known == _SHUT

    async def note(self, ip: str) -> int:
        """Count an unknown recipient; how many there were."""
        if not ip:
            return 0
        try:
            (count,) = (await self._counters.take(Claim(_counter(ip)))).counts
        except MailError:
            self.log.failure("An unknown recipient could not be counted.")
            return 0
        if count.value >= UNKNOWN_MAX:
            await self._cache.set(_key(ip), _SHUT, count.seconds_left)
        return count.value

    async def _read(self, ip: str) -> bytes:
        try:
            (count,) = await self._counters.read(_counter(ip))
        except MailError:
            self.log.failure("The unknown recipients of a network could not be read.")
            return _OPEN
        return _SHUT if count.value >= UNKNOWN_MAX else _OPEN


def tarpit_seconds(count: int) -> float:
    """For how long the answer to the unknown recipient of this number is delayed."""
    return min(TARPIT_MAX_SECONDS, float(max(0, count - TARPIT_AFTER)))


def _counter(ip: str) -> Counter:
    return Counter(_key(ip), Window.HOUR)


def _key(ip: str) -> str:
    return f"unknown:{network_of(ip)}"
