"""
How often somebody may be wrong.

Counts over an hour, in ``Counters``, under keyed hashes that name nobody:

* A name at an address (an IPv6 /64 counts as one) may be wrong ten times. The same wrong password
  counts once, so that one forgotten device stops nobody; of a failed SCRAM proof nobody can tell
  whether it is another one. Then this name is refused there, and no other is.
* An address as a whole, with ten distinct wrong passwords or sixty wrong proofs for whatever names,
  is only slowed down: answers leave one after the other (``SlowLanes``), whether good or bad. A
  family or an office behind one address goes on.
* Where the owner of a name signed in during the last month, strangers stop nobody: neither does the
  address as a whole slow that name down there, nor is it ever refused; over its ten it is slowed.
* A name that fails much from everywhere is being guessed at. Then an address from which it never
  signed in gets three failures instead of ten, and waits two seconds for each answer.

A success clears the count of that name at that address; not the address's budget, or one own
account would buy endless guesses at others. Names that do not exist are treated alike. The operator
lifts what stands against a name or an address.

The limit is asked before an attempt, which writes nothing, and again after it: of a crowd that
came at once nobody hears whether he was right once the limit is reached, whichever it was, or hears
it as late as everybody else.
"""

from collections.abc import Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.fresh_counters import FreshCounters
from fe_mail.accounts.slow_lanes import SlowLanes
from fe_mail.model.counting import Claim, Count, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.model.network import network_of
from fe_mail.ports import Counters, Keyring
from fe_mail.waiting import pause

__all__ = [
    "ADDRESS_BUDGET",
    "GUESSED_FAILURES",
    "GUESSED_PAIR_LIMIT",
    "KNOWN_SECONDS",
    "LANE_SECONDS",
    "PAIR_LIMIT",
    "PASSWORD_COST",
    "PROOF_COST",
    "SLOW_SECONDS",
    "WINDOW_SECONDS",
    "Failure",
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
LANE_SECONDS = 2.0  # from one answer to the next, of an address that is slowed down
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
    def is_known(self) -> bool:
        """The owner of the name was seen here."""
        return bool(self.network and self.known.value)

    @property
    def is_guessed(self) -> bool:
        """Others try this name, and its owner was never seen here."""
        return self.name.value >= GUESSED_FAILURES and not self.is_known

    @property
    def is_over(self) -> bool:
        """The name was wrong here as often as it may be."""
        return self.pair.value >= (GUESSED_PAIR_LIMIT if self.is_guessed else PAIR_LIMIT)

    @property
    def is_slowed(self) -> bool:
        """Answers to it leave one after the other."""
        if self.is_known:
            return self.is_over
        return bool(self.network) and self.address.value >= ADDRESS_BUDGET

    def check(self) -> None:
        """``RateLimited`` when the name may not be tried here any more."""
        if self.is_over and not self.is_known:
            raise _limited(self.pair)


@attrs.frozen
class Failure:
    """
    What a failure was. ``is_new``: not the same wrong password again, which a forgotten device
    sends for months; ``is_last``: from now on the name is refused at that address.
    """

    is_new: bool
    is_last: bool


class FailureLimits:
    """The counts of one kind of login; ``kind`` keeps mail logins and web logins apart."""

    def __init__(
        self, counters: Counters, keyring: Keyring, clock: IReactorTime, kind: str
    ) -> None:
        self._counters = counters
        self._fresh = FreshCounters(counters)
        self._keyring = keyring
        self._clock = clock
        self._lanes = SlowLanes(clock, LANE_SECONDS)
        self._kind = kind

    async def check(self, ip: str, name: str) -> None:
        """``RateLimited`` when over; returns late when the name is being guessed at."""
        standing = await self._standing(network_of(ip), name)
        standing.check()
        if standing.is_slowed:
            self._lanes.check(self._lane(standing, name))
        if standing.is_guessed:
            await pause(self._clock, SLOW_SECONDS)

    async def failed(self, ip: str, name: str, password: str | None) -> Failure:
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
            tried = f"{network}\0{name}\0{password}"
            claims.append(Claim(self._counter("tried", tried), most=1))
        taken = await self._fresh.take(*claims)
        if taken.refused is not None:
            return Failure(is_new=False, is_last=False)
        await self._answer(_Standing(network, *_before(taken.counts, costs)), name)
        after = _Standing(network, *taken.counts[: len(costs)])
        return Failure(is_new=True, is_last=after.is_over and not after.is_known)

    async def succeeded(self, ip: str, name: str) -> None:
        """
        Remember the address as the owner's and clear the name's count there.

        ``RateLimited`` when the limit was reached while the attempt was looked at.
        """
        network = network_of(ip)
        standing = await self._standing(network, name)
        await self._answer(standing, name)
        _, pair, _, known = self._asked(network, name)
        if standing.pair.value:
            await self._counters.forget(pair)
        if standing.known.seconds_left < KNOWN_SECONDS - KNOWN_AGAIN_SECONDS:
            await self._counters.forget(known)
            await self._counters.take(Claim(known))

    async def lift_name(self, name: str) -> None:
        """Forget the failures of a name, wherever it was tried."""
        await self._counters.forget(self._counter("name", name))
        await self._counters.forget_all(f"{self._kind}-pair:{self._mark(name)}:")

    async def lift_address(self, ip: str) -> None:
        """Forget the failures of an address, whoever was tried from there."""
        network = network_of(ip)
        await self._counters.forget(self._counter("address", network))
        await self._counters.forget_all(f"{self._kind}-pair:", f":{self._mark(network)}")

    async def _answer(self, standing: _Standing, name: str) -> None:
        """Let the answer leave when it may. ``RateLimited``."""
        standing.check()
        if standing.is_slowed:
            await self._lanes.wait(self._lane(standing, name))

    def _lane(self, standing: _Standing, name: str) -> str:
        return f"{standing.network} {name}" if standing.is_known else standing.network

    async def _standing(self, network: str, name: str) -> _Standing:
        return _Standing(network, *await self._fresh.read(*self._asked(network, name)))

    def _asked(self, network: str, name: str) -> tuple[Counter, Counter, Counter, Counter]:
        return (
            self._counter("address", network),
            self._counter("pair", name, network),
            self._counter("name", name),
            self._counter("known", name, network),
        )

    def _counter(self, count: str, *of: str) -> Counter:
        marks = ":".join(self._mark(each) for each in of)
        window = Window.MONTH if count == "known" else Window.HOUR
        return Counter(f"{self._kind}-{count}:{marks}", window)

    def _mark(self, text: str) -> str:
        octets = f"{self._kind}\0{text}".encode("utf-8", "backslashreplace")
        return self._keyring.mac(octets, _PURPOSE)[:16].hex()


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
