"""
How often somebody may be wrong.

Two counts over an hour, in ``Counters``, under keyed hashes that name nobody:

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

The limit is asked before an attempt, which writes nothing, and again after it: of a crowd that
came at once nobody hears whether he was right once the limit is reached, whichever it was.
"""

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.fresh_counters import FreshCounters
from fe_mail.model.counting import Claim, Count, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.model.network import network_of
from fe_mail.ports import Counters, Keyring

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

WINDOW_SECONDS = float(Window.HOUR)
ADDRESS_BUDGET = 60
PASSWORD_COST = 6
PROOF_COST = 1
PAIR_LIMIT = 10  # failures of one name from one address
GUESSED_FAILURES = 50  # failures of one name from everywhere
GUESSED_PAIR_LIMIT = 3
SLOW_SECONDS = 2.0
KNOWN_SECONDS = float(Window.MONTH)
KNOWN_AGAIN_SECONDS = float(Window.DAY)  # a success is noted once a day
_PURPOSE = "login-limits"


@attrs.frozen
class _Standing:
    """What was counted of an attempt's address, of its name there, and of its name everywhere."""

    network: str
    address: Count
    pair: Count
    name: Count
    known: Count

    @property
    def is_guessed(self) -> bool:
        """Others try this name, and its owner was never seen here."""
        return self.name.value >= GUESSED_FAILURES and not self.known.value

    def check(self) -> None:
        """``RateLimited`` when a limit is reached."""
        if self.network and self.address.value >= ADDRESS_BUDGET:
            raise _limited(self.address)
        if self.pair.value >= (GUESSED_PAIR_LIMIT if self.is_guessed else PAIR_LIMIT):
            raise _limited(self.pair)


class FailureLimits:
    """The counts of one kind of login; ``kind`` keeps mail logins and web logins apart."""

    def __init__(
        self, counters: Counters, keyring: Keyring, clock: IReactorTime, kind: str
    ) -> None:
        self._counters = counters
        self._fresh = FreshCounters(counters)
        self._keyring = keyring
        self._clock = clock
        self._kind = kind

    async def check(self, ip: str, name: str) -> None:
        """``RateLimited`` when over; returns late when the name is being guessed at."""
        standing = await self._standing(network_of(ip), name)
        standing.check()
        if standing.is_guessed:
            await self._pause()

    async def failed(self, ip: str, name: str, password: str | None) -> None:
        """
        Count a failure; ``password`` is None when only a proof was seen.

        ``RateLimited`` when the limit was reached while the attempt was looked at.
        """
        network = network_of(ip)
        cost = PROOF_COST if password is None else PASSWORD_COST
        costs = (cost, 1, 1, 0)
        claims = [
            Claim(counter, by)
            for counter, by in zip(self._asked(network, name), costs, strict=True)
        ]
        if password is not None:
            claims.append(Claim(self._counter("tried", network, name, password), most=1))
        taken = await self._fresh.take(*claims)
        if taken.refused is not None:
            return  # the same wrong password again
        _Standing(network, *_before(taken.counts, costs)).check()

    async def succeeded(self, ip: str, name: str) -> None:
        """
        Remember the address as the owner's and clear the name's count there.

        ``RateLimited`` when the limit was reached while the attempt was looked at.
        """
        network = network_of(ip)
        standing = await self._standing(network, name)
        standing.check()
        _, pair, _, known = self._asked(network, name)
        if standing.pair.value:
            await self._counters.forget(pair)
        if standing.known.seconds_left < KNOWN_SECONDS - KNOWN_AGAIN_SECONDS:
            await self._counters.forget(known)
            await self._counters.take(Claim(known))

    async def _standing(self, network: str, name: str) -> _Standing:
        return _Standing(network, *await self._fresh.read(*self._asked(network, name)))

    def _asked(self, network: str, name: str) -> tuple[Counter, Counter, Counter, Counter]:
        return (
            self._counter("address", network),
            self._counter("pair", network, name),
            self._counter("name", name),
            self._counter("known", network, name),
        )

    def _counter(self, *parts: str) -> Counter:
        text = "\0".join((self._kind, *parts)).encode("utf-8", "backslashreplace")
        name = f"{self._kind}-{parts[0]}:{self._keyring.mac(text, _PURPOSE)[:16].hex()}"
        return Counter(name, Window.MONTH if parts[0] == "known" else Window.HOUR)

    async def _pause(self) -> None:
        done: Deferred[None] = Deferred()
        self._clock.callLater(SLOW_SECONDS, done.callback, None)
        await done


def _before(counts: Sequence[Count], costs: Sequence[int]) -> list[Count]:
    """What they were without this attempt; more were counted than ``costs`` names."""
    return [
        attrs.evolve(count, value=count.value - cost)
        for count, cost in zip(counts, costs, strict=False)
    ]


def _limited(count: Count) -> RateLimited:
    return RateLimited(
        "Too many failed logins. Try again later.", retry_after_seconds=int(count.seconds_left) + 1
    )
