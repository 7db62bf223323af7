"""
SQLite's queue under whatever sequence of calls: Hypothesis makes them up.

Beside it runs a model of a few lines: which deliveries there are, and who holds each. After every
step all invariants hold, nobody got what another holds, and nothing was lost.
"""

import contextlib
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.errors import MailError
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    OutcomeKind,
    QueueFilter,
    Target,
)
from fe_mail.ports import Acceptance, Settlement
from tests.contracts.queue import delivery, message, rooms
from tests.fakes import queue_in_memory

NAMES = st.sampled_from(["m1", "m2", "m3", "m4"])
TIMES = st.sampled_from([float(time) for time in range(0, 60, 10)])
INDEX = st.integers(0, 5)
NUMBERS = st.lists(st.integers(1, 3), max_size=2)
STATES = st.sampled_from([DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.FAILED])
TARGETS = st.sampled_from(
    [
        Target(courier="remote", address="a@one.test"),
        Target(courier="remote", address="b@one.test"),
        Target(courier="remote", address="c@two.test"),
        Target(courier="local", address="x@our.test", alias_id="x"),
    ]
)
OUTCOMES = st.sampled_from([Outcome.delivered(), Outcome.deferred(), Outcome.failed()])
ROWS = st.lists(st.tuples(STATES, TIMES, TARGETS), max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("accept"), NAMES, ROWS, st.booleans()),
    st.tuples(st.just("claim"), TIMES, st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("renew"), INDEX),
    st.tuples(st.just("give_back"), INDEX),
    st.tuples(st.just("finish"), INDEX, OUTCOMES, TIMES),
    st.tuples(st.just("rest"), st.sampled_from(["smtp:one.test", "local:x"]), TIMES),
    st.tuples(st.just("hold"), NAMES, NUMBERS),
    st.tuples(st.just("release"), NAMES, TIMES, NUMBERS),
    st.tuples(st.just("drop"), NAMES),
    st.tuples(st.just("end_leases")),
    st.tuples(st.just("pass_time"), TIMES),
)
LEASE_SECONDS = 25.0

Key = tuple[str, int]


class Model:
    """The queue, and what must be true of it."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.queue = queue_in_memory(self.clock)
        self.claims: list[Claim] = []
        self.open: set[Key] = set()  # deliveries that wait or are held
        self.holders: dict[Key, str] = {}  # the last token
        self.ends: dict[Key, float] = {}  # when its lease ends

    async def act(self, step: tuple[Any, ...]) -> None:
        """Do it, then look."""
        with contextlib.suppress(MailError):
            await getattr(self, step[0])(*step[1:])
        await self.look(step)

    async def look(self, step: object) -> None:
        """Everything that is always true."""
        case, queue = self.case, self.queue
        case.assertEqual(await queue.check(), (), step)
        entries = await queue.find(QueueFilter())
        states = {
            (entry.message.id, one.number): one.state
            for entry in entries
            for one in entry.deliveries
        }
        waits = (DeliveryState.WAITING, DeliveryState.HELD)
        case.assertEqual({key for key, state in states.items() if state in waits}, self.open, step)
        counts = await queue.counts()
        for state in waits:
            case.assertEqual(counts[state], list(states.values()).count(state), step)
        for entry in entries:
            body = await queue.read_body(entry.message)
            case.assertEqual(body, entry.message.id.encode(), step)

    def take(self, claims: tuple[Claim, ...]) -> None:
        """Nobody else holds these."""
        now = self.clock.seconds()
        for claim in claims:
            self.claims.append(claim)
            for one in claim.deliveries:
                key = claim.message.id, one.number
                self.case.assertIn(key, self.open)
                self.case.assertLessEqual(self.ends.get(key, 0.0), now, "leased twice")
                self.holders[key], self.ends[key] = claim.token, now + LEASE_SECONDS

    def keys(self, claim: Claim) -> list[Key]:
        """Of the deliveries that this claim still holds."""
        keys = [(claim.message.id, one.number) for one in claim.deliveries]
        return [key for key in keys if self.holders.get(key) == claim.token]

    def forget(self, *keys: Key) -> None:
        """Their leases are over."""
        for key in keys:
            self.holders.pop(key, None)
            self.ends.pop(key, None)

    # -- steps ----------------------------------------------------------------------------------

    async def accept(self, name: str, rows: list[Any], is_leased: bool) -> None:
        """A message; perhaps claimed at once."""
        deliveries = tuple(
            delivery(name, number, state=state, next_attempt_at=time, target=target)
            for number, (state, time, target) in enumerate(rows, start=1)
        )
        body = self.queue.body(1.0)
        await body.write(name.encode())
        leased = [
            one.number
            for one in deliveries
            if is_leased and one.state is DeliveryState.WAITING and one.number != 2
        ]
        acceptance = Acceptance(message=message(name), deliveries=deliveries, body=body)
        claims = await self.queue.accept(acceptance, LEASE_SECONDS, leased)
        self.open |= {
            (name, one.number) for one in deliveries if one.state is not DeliveryState.FAILED
        }
        self.take(claims)
        claimed = [one.number for claim in claims for one in claim.deliveries]
        self.case.assertEqual(sorted(claimed), leased)

    async def claim(self, now: float, limit: int, per_lane: int) -> None:
        """What is due."""
        chosen = rooms(limit, per_lane=per_lane, per_owner=2)
        claims = await self.queue.claim(now, LEASE_SECONDS, chosen)
        for claim in claims:
            self.case.assertTrue(all(one.next_attempt_at <= now for one in claim.deliveries))
        for kind in ("local", "smtp"):
            lanes = [claim.lane for claim in claims if claim.lane.startswith(kind)]
            self.case.assertLessEqual(len(lanes), limit)
            self.case.assertTrue(all(lanes.count(lane) <= per_lane for lane in lanes))
        self.take(claims)

    async def renew(self, index: int) -> None:
        """One of the claims, however old."""
        for claim in self.claims[index : index + 1]:
            held = self.keys(claim)
            lost = await self.queue.renew([claim], LEASE_SECONDS)
            self.case.assertEqual(lost == (), len(held) == len(claim.deliveries))
            if not lost:
                self.ends.update(dict.fromkeys(held, self.clock.seconds() + LEASE_SECONDS))

    async def give_back(self, index: int) -> None:
        """One of the claims, however old."""
        for claim in self.claims[index : index + 1]:
            await self.queue.give_back([claim])
            self.forget(*self.keys(claim))

    async def finish(self, index: int, outcome: Outcome, later: float) -> None:
        """One of the claims, however old: it counts if nobody else has it."""
        for claim in self.claims[index : index + 1]:
            held = self.keys(claim)
            outcomes = (outcome,) * len(claim.deliveries)
            settlement = Settlement(claim=claim, outcomes=outcomes, next_attempt_at=later)
            lost = await self.queue.finish([settlement], 1.0)
            self.case.assertEqual(lost == (), bool(held))
            self.forget(*held)
            if outcome.kind is not OutcomeKind.DEFERRED:
                self.open -= set(held)

    async def rest(self, lane: str, until: float) -> None:
        """Nothing of the lane before then."""
        await self.queue.rest(lane, until)

    async def hold(self, name: str, numbers: list[int]) -> None:
        """Whoever runs keeps his lease."""
        await self.queue.hold(name, "why", numbers)

    async def release(self, name: str, now: float, numbers: list[int]) -> None:
        """Whoever runs keeps his lease."""
        await self.queue.release(name, now, numbers)

    async def drop(self, name: str) -> None:
        """Gone."""
        await self.queue.drop(name)
        gone = {key for key in self.open if key[0] == name}
        self.open -= gone
        self.forget(*gone)

    async def end_leases(self) -> None:
        """Nobody holds anything."""
        await self.queue.end_leases()
        self.forget(*list(self.holders))

    async def pass_time(self, seconds: float) -> None:
        """Leases may end."""
        self.clock.advance(seconds)


class QueueModelTests(SynchronousTestCase):
    """Any sequence."""

    def get(self, work: Coroutine[Any, Any, object]) -> object:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    @settings(max_examples=150, deadline=None)
    @given(st.lists(STEPS, max_size=25))
    def test_invariants(self, steps: list[tuple[Any, ...]]) -> None:
        """Whatever is done, in whatever order; and at the end everything can be claimed."""
        model = Model(self)
        try:
            for step in steps:
                self.get(model.act(step))
            self.get(model.end_leases())
            for name in {name for name, _ in model.open}:
                self.get(model.release(name, 0.0, []))
            claims = self.get(model.queue.claim(100.0, LEASE_SECONDS, rooms(100)))
            keys = [(one.message.id, each.number) for one in claims for each in one.deliveries]
            self.assertEqual(sorted(keys), sorted(model.open), "nothing stays behind")
        finally:
            self.get(model.queue.stop())
