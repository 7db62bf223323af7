"""
Lanes: one per destination, so that a slow one never stops the others.

A lane keeps the claims that wait for its destination and how many run. Lanes with a backlog
take turns (fairness); a kind of courier has a limit over all its lanes, so that mail to slow
hosts never takes the places of local delivery. Claims that find their lane full are given back
to the queue by the runner.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping

import attrs

from fe_mail.model.queue import Claim, Target
from fe_mail.queue.schedule import LOCAL_CONCURRENCY, Destination

__all__ = ["MAX_BACKLOG", "MAX_IDLE_LANES", "WAITING_FACTOR", "Lane", "Lanes", "destination_of"]

MAX_BACKLOG = 2 * LOCAL_CONCURRENCY  # claims that wait in one lane
WAITING_FACTOR = 3  # claims of a kind that wait, for each place
MAX_IDLE_LANES = 10_000  # remembered states of destinations


def destination_of(target: Target) -> str:
    """Deliveries with the same destination share a lane: a mailbox, a domain, a web host."""
    if target.courier == "local":
        return f"local:{target.alias_id}"
    if target.courier == "webhook":
        return f"webhook:{target.address.partition('://')[2].partition('/')[0].lower()}"
    return f"smtp:{target.address.rpartition('@')[2].lower()}"


@attrs.define
class Lane:
    """One destination: its state, what waits, how many run."""

    key: str
    kind: str  # of courier: one that has places of its own, or empty
    state: Destination
    backlog: deque[Claim] = attrs.field(factory=deque)
    active: int = 0

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing waits."""
        return not self.active and not self.backlog


class Lanes:
    """All lanes. ``limits`` are the places of each kind of courier, ``""`` for all others."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._lanes: dict[str, Lane] = {}
        self._turn: dict[str, Lane] = {}  # lanes with a backlog, in the order of their turn
        self._active: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    def lane(self, target: Target) -> Lane:
        """The lane of a target."""
        key = destination_of(target)
        lane = self._lanes.get(key)
        if lane is None:
            self._forget_some()
            lane = self._lanes[key] = Lane(key, self._kind(target.courier), _fresh(target))
        return lane

    def _kind(self, courier: str) -> str:
        return courier if courier in self._limits else ""

    def has_room(self, lane: Lane) -> bool:
        """
        May one more wait here? The last third of the room of a kind is for destinations of which
        nothing is in hand yet, so that a few slow ones cannot keep the others out. Mailboxes are
        our own disk: there the window of the runner is limit enough.
        """
        if lane.kind == "local":
            return True
        limit, waiting = self._limits[lane.kind], self._waiting[lane.kind]
        if lane.is_idle:
            return waiting < WAITING_FACTOR * limit
        backlog = min(MAX_BACKLOG, 4 * lane.state.maximum, limit)
        return len(lane.backlog) < backlog and waiting < (WAITING_FACTOR - 1) * limit

    def add(self, lane: Lane, claim: Claim) -> None:
        """Let it wait for its turn."""
        lane.backlog.append(claim)
        self._waiting[lane.kind] += 1
        self._turn.setdefault(lane.key, lane)

    def next(self) -> tuple[Lane, Claim] | None:
        """The next delivery that may start; it counts as running from now on."""
        for lane in list(self._turn.values()):
            if lane.active < lane.state.limit and self._active[lane.kind] < self._limits[lane.kind]:
                return lane, self._take(lane)
        return None

    def _take(self, lane: Lane) -> Claim:
        claim = lane.backlog.popleft()
        del self._turn[lane.key]
        if lane.backlog:
            self._turn[lane.key] = lane  # behind all others
        self._waiting[lane.kind] -= 1
        lane.active += 1
        self._active[lane.kind] += 1
        return claim

    def done(self, lane: Lane) -> None:
        """A delivery ended."""
        lane.active -= 1
        self._active[lane.kind] -= 1

    def drain(self) -> Iterator[Claim]:
        """Take out everything that only waits."""
        for lane in self._turn.values():
            self._waiting[lane.kind] -= len(lane.backlog)
            yield from lane.backlog
            lane.backlog.clear()
        self._turn.clear()

    def drain_lane(self, lane: Lane) -> list[Claim]:
        """Take out what waits for a destination that does not answer."""
        claims = list(lane.backlog)
        lane.backlog.clear()
        self._waiting[lane.kind] -= len(claims)
        self._turn.pop(lane.key, None)
        return claims

    def remove(self, claim: Claim) -> None:
        """Forget a claim that waits: its lease was lost."""
        lane = self._lanes.get(destination_of(claim.delivery.target))
        if lane is not None and claim in lane.backlog:
            lane.backlog.remove(claim)
            self._waiting[lane.kind] -= 1
            if not lane.backlog:
                self._turn.pop(lane.key, None)

    def _forget_some(self) -> None:
        if len(self._lanes) < MAX_IDLE_LANES:
            return
        idle = [key for key, lane in self._lanes.items() if lane.is_idle]
        for key in idle[: MAX_IDLE_LANES // 2]:
            del self._lanes[key]


def _fresh(target: Target) -> Destination:
    if target.courier == "local":
        return Destination(maximum=LOCAL_CONCURRENCY, limit=LOCAL_CONCURRENCY)
    return Destination()
