"""
The open connections of a listener: counted, limited, and ended.

They are counted in all, by the network of the client, and by alias after login. A connection
that is refused counts too until it is closed, because it holds a socket no less. Why one may not
begin or not go on is a ``Reason``; the words for it are each protocol's own.

There are three ways for a connection to end from our side: it belongs to an alias whose
credentials changed; the listener drains (``finish``: nothing new begins, what is running is done
first); and draining takes too long (``cut``).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.connection.turns import Turns
from fe_mail.model.network import network_of
from fe_mail.ports import Bus

__all__ = ["DRAIN_SECONDS", "Connection", "Connections", "Limits", "Reason"]

DRAIN_SECONDS = 30.0  # for what is running, before it is cut
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

    With a ``bus``, those of an alias end when its credentials change. ``turns`` is where those
    wait who ask for much at once.
    """

    log = Logger()

    def __init__(
        self, name: str, limits: Limits, *, clock: IReactorTime, bus: Bus | None = None
    ) -> None:
        self.name = name
        self.limits = limits
        self.turns = Turns(clock)
        self.octets_in_hand = 0  # of big messages that are being received
        self._clock = clock
        self._bus = bus
        self._places: dict[Connection, _Place] = {}
        self._networks: Counter[str] = Counter()
        self._aliases: Counter[str] = Counter()
        self._is_draining = False
        self._waiting: list[Deferred[None]] = []  # for the last one to leave

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._places))

    def refusal(self, host: str) -> Reason | None:
        """Why a client of this address could not come in now."""
        if self._is_draining:
            return Reason.STOPPING
        network = network_of(host)
        if _reached(len(self), self.limits.in_all):
            why = Reason.FULL
        elif network and _reached(self._networks[network], self.limits.per_address):
            why = Reason.ADDRESS
        else:
            return None
        self.log.info(
            "Too many {listener} connections ({limit}) for {network}",
            listener=self.name,
            limit=why.value,
            network=network,
        )
        return why

    def admit(self, connection: Connection, host: str) -> Reason | None:
        """Count a connection, until it leaves; the refusal is for it to tell its client."""
        why = self.refusal(host)
        place = self._places[connection] = _Place(network_of(host))
        self._networks[place.network] += 1
        return why

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
