"""
SQLite's queue against the specification: whatever is done to both, both answer the same.

Hypothesis makes up the sequences; only the tokens of leases may differ.
"""

from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.queue import MemoryQueue
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import MailError
from fe_mail.model.queue import Claim, DeliveryState, Outcome, QueueFilter
from fe_mail.ports import Queue
from tests.contracts.queue import delivery, message

NAMES = st.sampled_from(["m1", "m2", "m3"])
TIMES = st.sampled_from([float(time) for time in range(0, 60, 10)])
NUMBERS = st.lists(st.integers(1, 3), max_size=2)
STATES = st.sampled_from([DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.FAILED])
OUTCOMES = st.sampled_from([Outcome.delivered(), Outcome.deferred(), Outcome.failed()])
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.lists(st.tuples(STATES, TIMES), max_size=3)),
    st.tuples(st.just("claim"), TIMES, TIMES, st.integers(0, 3)),
    st.tuples(st.just("renew"), st.integers(0, 9), TIMES),
    st.tuples(st.just("settle"), st.integers(0, 9), OUTCOMES, TIMES, TIMES, TIMES),
    st.tuples(st.just("hold"), NAMES, st.just("why"), NUMBERS),
    st.tuples(st.just("release"), NAMES, TIMES, NUMBERS),
    st.tuples(st.just("drop"), NAMES),
)


class Actor:
    """One queue, and the claims that were ever made on it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.claims: list[Claim] = []

    async def act(self, step: tuple[Any, ...]) -> object:
        """What the queue answers, without tokens; an error is its class."""
        try:
            return await getattr(self, step[0])(*step[1:])
        except MailError as error:
            return type(error)

    async def put(self, name: str, rows: list[tuple[DeliveryState, float]]) -> object:
        """Put a message with these deliveries."""
        deliveries = [
            delivery(name, number, state=state, next_attempt_at=time)
            for number, (state, time) in enumerate(rows, start=1)
        ]
        return await self.queue.put(message(name), deliveries)

    async def claim(self, now: float, lease_seconds: float, limit: int) -> object:
        """Claim and remember."""
        claims = await self.queue.claim(now, lease_seconds, limit)
        self.claims.extend(claims)
        return [(claim.message, claim.delivery, claim.lease_until) for claim in claims]

    async def renew(self, index: int, lease_until: float) -> object:
        """Renew one of the claims, however old it is."""
        if index >= len(self.claims):
            return None
        return await self.queue.renew(self.claims[index], lease_until)

    async def settle(self, index: int, outcome: Outcome, *times: float) -> object:
        """Settle one of the claims, however old it is."""
        if index >= len(self.claims):
            return None
        return await self.queue.settle(self.claims[index], outcome, *times)

    async def hold(self, name: str, reason: str, numbers: list[int]) -> object:
        """Hold."""
        return await self.queue.hold(name, reason, numbers)

    async def release(self, name: str, now: float, numbers: list[int]) -> object:
        """Release."""
        return await self.queue.release(name, now, numbers)

    async def drop(self, name: str) -> object:
        """Drop."""
        return await self.queue.drop(name)

    async def state(self) -> object:
        """Everything that can be seen."""
        held = QueueFilter(state=DeliveryState.HELD)
        return (
            await self.queue.find(QueueFilter()),
            [entry.message.id for entry in await self.queue.find(held)],
            await self.queue.next_due(),
            await self.queue.blobs(),
            await self.queue.check(),
        )


class QueueModelTests(SynchronousTestCase):
    """Both queues side by side."""

    def get(self, work: Coroutine[Any, Any, object]) -> object:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(STEPS, max_size=25))
    def test_same_answers(self, steps: list[tuple[Any, ...]]) -> None:
        """Answers and states agree after every step, and no invariant breaks."""
        durable = SQLiteQueue(":memory:", InlineThreads())
        self.get(durable.start())
        specified, tested = Actor(MemoryQueue()), Actor(durable)
        try:
            for step in steps:
                self.assertEqual(self.get(tested.act(step)), self.get(specified.act(step)), step)
                self.assertEqual(self.get(tested.state()), self.get(specified.state()), step)
            self.assertEqual(self.get(durable.check()), ())
        finally:
            self.get(durable.stop())
