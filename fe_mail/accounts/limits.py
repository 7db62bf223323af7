"""
How often somebody may be wrong.

Two counts over an hour, in the cache, under keyed hashes so that the cache names nobody:

* An address (an IPv6 /64 counts as one) has a budget of ten distinct wrong passwords. The same
  wrong password for the same name counts once, so that one forgotten device locks nobody out. A
  failed SCRAM proof cannot be told from another one, so it costs a sixth of a password, and one
  name may fail ten times from one address.
* A name that fails much from everywhere is being guessed at. Then an address from which it never
  signed in gets three failures instead of ten, and waits two seconds for each answer. An address
  where the owner signed in during the last month is not touched, and any other still has its
  three, so nobody can lock an owner out.

A success clears the count of that name at that address; not the address's budget, or one own
account would buy endless guesses at others. Names that do not exist are treated alike.
"""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from fe_mail.model.errors import RateLimited
from fe_mail.model.network import network_of
from fe_mail.ports import Cache, Keyring

__all__ = [
    "ADDRESS_BUDGET",
    "GUESSED_FAILURES",
    "GUESSED_PAIR_LIMIT",
    "KNOWN_SECONDS",
    "PAIR_LIMIT",
    "PASSWORD_COST",
    "PROOF_COST",
    "SLOW_SECONDS",
    "WINDOW_SECONDS",
    "FailureLimits",
]

WINDOW_SECONDS = 3600.0
ADDRESS_BUDGET = 60
PASSWORD_COST = 6
PROOF_COST = 1
PAIR_LIMIT = 10  # failures of one name from one address
GUESSED_FAILURES = 50  # failures of one name from everywhere
GUESSED_PAIR_LIMIT = 3
SLOW_SECONDS = 2.0
KNOWN_SECONDS = 30 * 86400.0
_PURPOSE = "login-limits"


class FailureLimits:
    """The counts of one kind of login; ``kind`` keeps mail logins and web logins apart."""

    def __init__(self, cache: Cache, keyring: Keyring, clock: IReactorTime, kind: str) -> None:
        self._cache = cache
        self._keyring = keyring
        self._clock = clock
        self._kind = kind

    async def check(self, ip: str, name: str) -> None:
        """``RateLimited`` when over; returns late when the name is being guessed at."""
        network = network_of(ip)
        if await self._count("address", network) >= ADDRESS_BUDGET and network:
            raise await self._limited("address", network)
        failures = await self._count("pair", network, name)
        if failures >= PAIR_LIMIT:
            raise await self._limited("pair", network, name)
        if await self._count("name", name) < GUESSED_FAILURES:
            return
        if await self._cache.get(self._key("known", network, name)) is not None:
            return
        if failures >= GUESSED_PAIR_LIMIT:
            raise await self._limited("pair", network, name)
        await self._pause()

    async def failed(self, ip: str, name: str, password: str | None) -> None:
        """Count a failure; ``password`` is None when only a proof was seen."""
        network = network_of(ip)
        cost = PROOF_COST
        if password is not None:
            tried = self._key("tried", network, name, password)
            if not await self._cache.add(tried, b"1", WINDOW_SECONDS):
                return
            cost = PASSWORD_COST
        await self._add(cost, "address", network)
        await self._add(1, "pair", network, name)
        await self._add(1, "name", name)

    async def succeeded(self, ip: str, name: str) -> None:
        """Remember the address as the owner's and clear the name's count there."""
        network = network_of(ip)
        await self._cache.set(self._key("known", network, name), b"1", KNOWN_SECONDS)
        await self._cache.delete(self._key("pair", network, name))

    async def _count(self, *parts: str) -> int:
        return await self._cache.increment(self._key(*parts), WINDOW_SECONDS, 0)

    async def _add(self, cost: int, *parts: str) -> None:
        await self._cache.increment(self._key(*parts), WINDOW_SECONDS, cost)

    async def _limited(self, *parts: str) -> RateLimited:
        left = await self._cache.ttl(self._key(*parts))
        return RateLimited(
            "Too many failed logins. Try again later.", retry_after_seconds=int(left) + 1
        )

    def _key(self, *parts: str) -> str:
        text = "\0".join((self._kind, *parts)).encode("utf-8", "backslashreplace")
        return f"{self._kind}-{parts[0]}:{self._keyring.mac(text, _PURPOSE)[:16].hex()}"

    async def _pause(self) -> None:
        done: Deferred[None] = Deferred()
        self._clock.callLater(SLOW_SECONDS, done.callback, None)
        await done
