"""
Lanes: one per destination, so that a slow one never stops the others.

A lane keeps the claims that wait for its destination and how many run. Lanes with a backlog take
turns (fairness); each kind of courier has places of its own, so that mail to slow hosts never
takes those of local delivery. ``rooms`` says what more could be claimed: a little more than can
start at once, so that the next delivery is at hand when one ends, and nothing for lanes and owners
that have enough of it. What stays unclaimed waits in the queue, where it costs nothing.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping

import attrs
from twisted.internet.defer import Deferred

from fe_mail.model.lane import LOCAL, kind_of
from fe_mail.model.queue import Claim, Outcome, Room, Target
from fe_mail.queue.places import Places
from fe_mail.queue.schedule import LOCAL_CONCURRENCY, Destination

__all__ = ["MAX_IDLE_LANES", "Lane", "Lanes", "Work"]

MAX_IDLE_LANES = 10_000  # remembered states of destinations
MAX_WAITING = 4  # claims that wait, for each place; an owner has a part of one


@attrs.define(eq=False)
class Lane:
    """One destination: its state, what waits, how many run."""

    key: str
    kind: str
    state: Destination
    backlog: "deque[Work]" = attrs.field(factory=deque)
    active: int = 0

    @property
    def has_room(self) -> bool:
        """May one more wait here?"""
        return len(self.backlog) < self.state.limit

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing waits."""
        return not self.active and not self.backlog


@attrs.define(eq=False)
class Work:
    """
    A claim in our hands, waiting or under way. The lease may get another token while it runs.
    """

    claim: Claim
    lane: Lane
    is_proven: bool = False  # when it took its place
    is_lost: bool = False
    attempt: "Deferred[tuple[Outcome, ...]] | None" = None

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Which deliveries it is about."""
        claim = self.claim
        return [(claim.message.id, delivery.number) for delivery in claim.deliveries]


class Lanes:
    """All lanes. ``places`` are those of each kind of courier."""

    def __init__(self, places: Mapping[str, int]) -> None:
        self._places = {kind: Places(total) for kind, total in places.items()}
        self._lanes: dict[str, Lane] = {}
        self._turn: dict[str, Lane] = {}  # lanes with a backlog, in the order of their turn
        self._busy: dict[str, Lane] = {}  # lanes that are not idle
        self._waiting: Counter[str] = Counter()  # by kind
        self._waiting_of: Counter[tuple[str, str]] = Counter()  # by kind and owner

    def lane(self, key: str, target: Target) -> Lane:
        """The lane of a target."""
        lane = self._lanes.get(key)
        if lane is None:
            self._forget_some()
            lane = self._lanes[key] = Lane(key, kind_of(target), _fresh(target))
        return lane

    # -- room -----------------------------------------------------------------------------------

    def rooms(self) -> list[Room]:
        """What more could be claimed, by kind."""
        return [
            Room(
                kind=kind,
                places=max(0, MAX_WAITING * places.total - self._waiting[kind]),
                per_lane=_per_lane(kind),
                per_owner=places.owner_waiting,
                full_lanes=frozenset(
                    key
                    for key, lane in self._busy.items()
                    if lane.kind == kind and not lane.has_room
                ),
                full_owners=frozenset(
                    owner
                    for (of_kind, owner), count in self._waiting_of.items()
                    if of_kind == kind and owner and count >= places.owner_waiting
                ),
            )
            for kind, places in self._places.items()
        ]

    def has_room(self, lane: Lane, owner: str) -> bool:
        """May a delivery that was just accepted wait here?"""
        places = self._places[lane.kind]
        return (
            lane.has_room
            and self._waiting[lane.kind] < MAX_WAITING * places.total
            and (not owner or self._waiting_of[lane.kind, owner] < places.owner_waiting)
        )

    # -- turns ----------------------------------------------------------------------------------

    def add(self, work: Work) -> None:
        """Let it wait for its turn."""
        lane = work.lane
        lane.backlog.append(work)
        self._busy[lane.key] = lane
        self._turn.setdefault(lane.key, lane)
        self._count_waiting(work, 1)

    def next(self) -> Work | None:
        """The next delivery that may start; it holds a place from now on."""
        for lane in self._turn.values():
            work = lane.backlog[0]
            if lane.active < lane.state.limit and self._places[lane.kind].may_start(
                work.claim.owner, is_proven=lane.state.is_proven
            ):
                return self._start(lane)
        return None

    def _start(self, lane: Lane) -> Work:
        work = lane.backlog.popleft()
        del self._turn[lane.key]
        if lane.backlog:
            self._turn[lane.key] = lane  # behind all others
        self._count_waiting(work, -1)
        lane.active += 1
        work.is_proven = lane.state.is_proven
        places = self._places[lane.kind]
        places.start(work.claim.owner, is_proven=work.is_proven)
        if places.is_scarce:
            work.claim = attrs.evolve(work.claim, is_hurried=True)
        return work

    def done(self, work: Work) -> None:
        """A delivery ended."""
        lane = work.lane
        lane.active -= 1
        self._places[lane.kind].end(work.claim.owner, is_proven=work.is_proven)
        self._let_go(lane)

    def _count_waiting(self, work: Work, by: int) -> None:
        kind, owner = work.lane.kind, work.claim.owner
        self._waiting[kind] += by
        self._waiting_of[kind, owner] += by
        if not self._waiting_of[kind, owner]:
            del self._waiting_of[kind, owner]

    def _let_go(self, lane: Lane) -> None:
        if lane.is_idle:
            self._busy.pop(lane.key, None)

    def drain(self) -> Iterator[Work]:
        """Take out everything that only waits."""
        for lane in list(self._turn.values()):
            yield from self.drain_lane(lane)

    def drain_lane(self, lane: Lane) -> list[Work]:
        """Take out what waits for one destination."""
        waiting = list(lane.backlog)
        for work in waiting:
            self.remove(work)
        return waiting

    def is_waiting(self, work: Work) -> bool:
        """Has it not begun?"""
        return work in work.lane.backlog

    def remove(self, work: Work) -> bool:
        """Take out one that waits; False if it runs already."""
        lane = work.lane
        if not self.is_waiting(work):
            return False
        lane.backlog.remove(work)
        self._count_waiting(work, -1)
        if not lane.backlog:
            self._turn.pop(lane.key, None)
        self._let_go(lane)
        return True

    def _forget_some(self) -> None:
        if len(self._lanes) < MAX_IDLE_LANES:
            return
        idle = [key for key, lane in self._lanes.items() if lane.is_idle]
        for key in idle[: MAX_IDLE_LANES // 2]:
            del self._lanes[key]


def _fresh(target: Target) -> Destination:
    if kind_of(target) == LOCAL:
        return Destination(maximum=LOCAL_CONCURRENCY, limit=LOCAL_CONCURRENCY)
    return Destination()


def _per_lane(kind: str) -> int:
    return LOCAL_CONCURRENCY if kind == LOCAL else Destination().maximum
