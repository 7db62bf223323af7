"""
The open connections of a listener: counted, limited, and ended.

They are counted in all, by the network of the client, and by alias after login. A connection
that is refused counts too until it is closed, because it holds a socket no less. Why one may not
begin or not go on is a ``Reason``; the words for it are each protocol's own.

The last places are for networks that hold few, so that some who hold many cannot shut out the
rest. When even those are taken, a newcomer gets the place of whoever waits for his client
longest, in the network that holds most (``yields`` says which connections may be cut so).

There are three ways for a connection to end from our side: it belongs to an alias whose
credentials changed; the listener drains (``finish``: nothing new begins, what is running is done
first); and draining takes too long (``cut``).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.connection.repeated import RepeatedLog
from fe_mail.connection.turns import Turns
from fe_mail.model.network import network_of
from fe_mail.ports import Bus

__all__ = ["DRAIN_SECONDS", "Connection", "Connections", "Limits", "Reason"]

DRAIN_SECONDS = 30.0  # for what is running, before it is cut
FEW = 8  # connections of one network, which may use the last places
RESERVED = 10  # one place of so many is among the last
GOODBYE_SECONDS = 3.0  # for a client with nothing running: many never answer the end of TLS


class Reason(Enum):
    """Why a connection may not begin, or may not go on."""

    STOPPING = "stopping"
    FULL = "full"
    ADDRESS = "address"  # too many from one network
    ALIAS = "alias"  # too many of one alias
    REVOKED = "revoked"  # the credentials of the alias changed
    TIMEOUT = "timeout"
    STRANGER = "stranger"  # too much before login
    CLEAR_TEXT = "clear text"  # behind STARTTLS
    DEFECT = "defect"  # of ours


class Connection(Protocol):
    """What is asked of a connection here."""

    def finish(self, why: Reason) -> bool:
        """
        Take nothing new; close as soon as nothing is running.

        True if that is now, and only the client's hanging up is waited for.
        """

    def cut(self) -> None:
        """Close whatever is running."""


@attrs.frozen(kw_only=True)
class Limits:
    """How many connections there may be; 0 means any number."""

    in_all: int
    per_address: int
    per_alias: int = 0


@attrs.define
class _Place:
    """Where a connection is counted, and the end of its subscription."""

    network: str
    alias_id: str = ""
    unsubscribe: Callable[[], None] | None = None


class Connections:
    """
    The open connections of the listener ``name``.

    With a ``bus``, those of an alias end when its credentials change. ``yields`` says whether a
    connection may be cut to make room. ``turns`` is where those wait who ask for much at once.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        limits: Limits,
        *,
        clock: IReactorTime,
        bus: Bus | None = None,
        yields: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self.limits = limits
        self.turns = Turns(clock)
        self.octets_in_hand = 0  # of big messages that are being received
        self._clock = clock
        self._bus = bus
        self._yields = yields
        self._repeated = RepeatedLog(self.log, clock)
        self._places: dict[Connection, _Place] = {}
        self._networks: Counter[str] = Counter()
        self._aliases: Counter[str] = Counter()
        self._is_draining = False
        self._waiting: list[Deferred[None]] = []  # for the last one to leave

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._places))

    def admit(self, connection: Connection, host: str) -> Reason | None:
        """Count a connection, until it leaves; the refusal is for it to tell its client."""
        network = network_of(host)
        why = self._refusal(network)
        if why is Reason.FULL and self._make_room(network):
            why = None
        if why in (Reason.FULL, Reason.ADDRESS):
            self._repeated.info(
                "Too many {listener} connections ({limit}) for {network}",
                listener=self.name,
                limit=why.value,
                network=network,
            )
        self._places[connection] = _Place(network)
        self._networks[network] += 1
        return why

    def _refusal(self, network: str) -> Reason | None:
        limits, held = self.limits, self._networks[network] if network else 0
        if self._is_draining:
            return Reason.STOPPING
        if _reached(len(self), limits.in_all):
            return Reason.FULL
        if _reached(held, limits.per_address):
            return Reason.ADDRESS
        reserved = limits.in_all // RESERVED if limits.per_address else 0
        if held >= FEW and _reached(len(self) + reserved, limits.in_all):
            return Reason.FULL
        return None

    def _make_room(self, network: str) -> bool:
        """Cut one that holds more than the newcomer; behind one proxy all are equal."""

        def held(connection: Connection) -> int:
            return self._networks[self._places[connection].network]

        # The first of the biggest is the oldest: places are in the order of coming.
        victim = max(filter(self._yields, self._places), key=held, default=None)
        if victim is None or (self.limits.per_address and held(victim) <= self._networks[network]):
            return False
        self.leave(victim)
        victim.cut()
        return True

    def signed_in(self, connection: Connection, alias_id: str) -> Reason | None:
        """It belongs to an alias from now on, and ends when the credentials of that change."""
        place = self._places.get(connection)
        if place is None or place.alias_id:
            return None
        place.alias_id = alias_id
        self._aliases[alias_id] += 1
        if self._bus is not None:

            def revoke(_: Mapping[str, str]) -> None:
                connection.finish(Reason.REVOKED)

            place.unsubscribe = self._bus.subscribe(f"credentials:{alias_id}", revoke)
        is_over = _reached(self._aliases[alias_id] - 1, self.limits.per_alias)
        return Reason.ALIAS if is_over else None

    def leave(self, connection: Connection) -> None:
        """It is closed. One that is not here is ignored."""
        place = self._places.pop(connection, None)
        if place is None:
            return
        if place.unsubscribe is not None:
            place.unsubscribe()
        _decrease(self._networks, place.network)
        if place.alias_id:
            _decrease(self._aliases, place.alias_id)
        if not self._places:
            waiting, self._waiting = self._waiting, []
            for done in waiting:
                done.callback(None)

    async def drain(self) -> None:
        """Let in nobody, let what is running finish, cut what takes too long."""
        self._is_draining = True
        idle = [connection for connection in self if connection.finish(Reason.STOPPING)]
        if not self._places:
            return
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        timers = [
            self._clock.callLater(GOODBYE_SECONDS, self._hang_up, idle),
            self._clock.callLater(DRAIN_SECONDS, self._cut),
        ]
        try:
            await done
        finally:
            for timer in timers:
                if timer.active():
                    timer.cancel()

    def _hang_up(self, idle: list[Connection]) -> None:
        for connection in idle:
            if connection in self._places:
                connection.cut()

    def _cut(self) -> None:
        if self._places:
            self.log.warn(
                "{count} {listener} connections did not finish in time",
                count=len(self),
                listener=self.name,
            )
        for connection in self:
            connection.cut()


def _reached(count: int, limit: int) -> bool:
    return 0 < limit <= count


def _decrease(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
