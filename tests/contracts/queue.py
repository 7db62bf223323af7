"""
What every ``Queue`` does, whatever it is made of.

A test class mixes ``QueueContract`` in and returns a fresh, started queue from ``store()``; its
leases count by ``self.clock``, its large bodies are in ``self.large``.
"""

from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.model.account import LogEntry
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import AlreadyExists, Conflict, Invalid, NotFound
from fe_mail.model.ids import AliasId, BlobId, DomainId
from fe_mail.model.lane import KINDS, lane_of
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueFilter,
    Room,
    Target,
)
from fe_mail.ports import Acceptance, BlobReader, Queue, Settlement

__all__ = [
    "BODY",
    "DELIVERED",
    "LARGE",
    "LATER",
    "NEVER",
    "QueueContract",
    "delivery",
    "message",
    "rooms",
]

T = TypeVar("T")
BODY = b"Subject: x\r\n\r\nbody\r\n"
LARGE = bytes(range(256)) * (SMALL_OCTETS // 256) + b"more"
DELIVERED, LATER, NEVER = Outcome.delivered("ok"), Outcome.deferred(), Outcome.failed()


def message(name: str = "m1", **changes: Any) -> QueuedMessage:
    """A message from outside."""
    values: dict[str, Any] = {
        "id": name,
        "size_octets": 1234,
        "reverse_path": "sender@example.org",
        "created_at": 100.0,
        "source": "mx",
    }
    return QueuedMessage(**{**values, **changes})


def delivery(message_id: str = "m1", number: int = 1, **changes: Any) -> QueuedDelivery:
    """A delivery that is due at 100, each to another host."""
    values: dict[str, Any] = {
        "message_id": message_id,
        "number": number,
        "recipient": f"rcpt{number}@example.com",
        "target": Target(courier="remote", address=f"rcpt@{number}.example.com"),
        "next_attempt_at": 100.0,
    }
    return QueuedDelivery(**{**values, **changes})


def rooms(places: int = 10, kinds: Collection[str] = KINDS, **changes: Any) -> tuple[Room, ...]:
    """Room for everything, but for the changes."""
    values = {"places": places, "per_lane": 100, "per_owner": 100, **changes}
    return tuple(Room(kind=kind, **values) for kind in kinds)


class QueueContract:
    """The tests; ``store`` is the hook."""

    def store(self) -> Queue:
        """A fresh, started queue."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def prepare(self) -> None:
        """A clock for the leases, a store for large bodies."""
        self.clock = Clock()
        self.clock.advance(5000.0)
        self.large = MemoryBlobs()
        self.opened: list[Any] = []

    def setUp(self) -> None:
        self.prepare()
        self.queue = self.store()
        self.addCleanup(self.end)

    def end(self) -> None:
        """Whatever was done, no invariant is broken."""
        try:
            self.assertEqual(self.get(self.queue.check()), ())
        finally:
            for queue in self.opened:
                self.get(queue.stop())

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, object], *errors: type[Exception]) -> Exception:
        """The error of what fails at once."""
        return self.failureResultOf(Deferred.fromCoroutine(work), *errors).value

    def acceptance(
        self, queued: QueuedMessage, *deliveries: QueuedDelivery, body: bytes = BODY
    ) -> Acceptance:
        """A message that can be accepted."""
        writer = self.queue.body(100.0)
        for start in range(0, len(body), 10_000):
            self.get(writer.write(body[start : start + 10_000]))
        self.assertEqual(writer.size_octets, len(body))
        chosen = deliveries or (delivery(queued.id),)
        return Acceptance(message=queued, deliveries=chosen, body=writer)

    def put(
        self,
        queued: QueuedMessage | None = None,
        *deliveries: QueuedDelivery,
        body: bytes = BODY,
        leased: Collection[int] = (),
    ) -> tuple[Claim, ...]:
        """Accept a message."""
        acceptance = self.acceptance(queued or message(), *deliveries, body=body)
        return self.get(self.queue.accept(acceptance, 60.0, leased))

    def claim(
        self, now: float = 200.0, lease_seconds: float = 60.0, limit: int = 10, **more: Any
    ) -> tuple[Claim, ...]:
        """Claim at a time when everything is due."""
        return self.get(self.queue.claim(now, lease_seconds, rooms(limit, **more)))

    def finish(self, claim: Claim, *outcomes: Outcome, now: float = 210.0, **more: Any) -> bool:
        """Record these outcomes; False if the lease was lost."""
        settlement = Settlement(claim=claim, outcomes=outcomes, **more)
        return not self.get(self.queue.finish([settlement], now))

    def names(self, claims: Collection[Claim]) -> list[tuple[str, int]]:
        """Message and number of every delivery that was claimed."""
        return [(claim.message.id, one.number) for claim in claims for one in claim.deliveries]

    def entry(self, message_id: str = "m1") -> Any:
        """A message with its deliveries."""
        (entry,) = self.get(self.queue.find(QueueFilter(message_id=message_id)))
        return entry

    def one(self, message_id: str = "m1") -> QueuedDelivery:
        """The only delivery of a message."""
        (only,) = self.entry(message_id).deliveries
        return only

    def ids(self) -> list[str]:
        """The messages that are there."""
        return [entry.message.id for entry in self.get(self.queue.find(QueueFilter()))]

    def large_count(self) -> int:
        """Large bodies that are stored."""
        return len(self.get(self.large.list()))

    # -- accepting ------------------------------------------------------------------------------

    def test_everything_comes_back(self) -> None:
        """Every attribute of a message and its deliveries survives the store."""
        queued = message(
            alias_id="a1",
            domain_id="d1",
            envelope_id="QQ314159",
            dsn_return="HDRS",
            is_8bit=True,
            is_utf8=True,
            requires_tls=True,
            message_id="<1@example.org>",
            reverse_path="",
            peer=Peer(ip="192.0.2.1", port=25, helo="mx", tls="TLSv1.3", session_id="s"),
        )
        first = delivery(
            number=1,
            target=Target(courier="local", address="a@b.test", alias_id="a1", domain_id="d2"),
            notify=("FAILURE", "DELAY"),
            original_recipient="rfc822;a@example.com",
        )
        second = delivery(
            number=2,
            state=DeliveryState.HELD,
            hold_reason="demo",
            attempts=3,
            last_status="451 4.4.1 no",
            last_attempt_at=50.0,
            delayed_notice_at=60.0,
        )
        self.put(queued, first, second)
        entry = self.entry()
        self.assertEqual(entry.message, queued)
        self.assertEqual(entry.deliveries, (first, second))
        self.assertEqual(entry.deliveries[0].target.domain_id, "d2")

    def test_body(self) -> None:
        """What was written is read, at once and piece by piece, whatever its size."""
        sizes = (0, 1, SMALL_OCTETS - 1, SMALL_OCTETS, SMALL_OCTETS + 1, len(LARGE))
        for size in sizes:
            name, body = f"m{size}", LARGE[:size]
            self.put(message(name), delivery(name), body=body)
            queued = self.entry(name).message
            self.assertEqual(self.get(self.queue.read_body(queued)), body)
            reader = self.get(self.queue.open_body(queued))
            self.assertEqual(reader.size_octets, size)
            self.assertEqual(self.whole(reader), body)
        self.assertEqual(self.large_count(), 2, "only what is large is elsewhere")

    def whole(self, reader: BlobReader) -> bytes:
        """All that a reader gives."""
        pieces = []
        while piece := self.get(reader.read(50_001)):
            pieces.append(piece)
        self.get(reader.close())
        return b"".join(pieces)

    def test_body_of_a_claim(self) -> None:
        """A claim leads to the body, however it was come by."""
        for body in (BODY, LARGE):
            claims = [*self.put(body=body, leased=[1])]
            self.get(self.queue.give_back(claims))
            claims += self.claim()
            for claim in claims:
                self.assertEqual(self.get(self.queue.read_body(claim.message)), body)
            self.get(self.queue.drop("m1"))
            self.fails(self.queue.read_body(claim.message), NotFound)
            self.fails(self.queue.open_body(claim.message), NotFound)

    def test_nothing_before_it_is_accepted(self) -> None:
        """A body that was aborted leaves nothing, and takes nothing more."""
        for body in (BODY, LARGE):
            acceptance = self.acceptance(message(), body=body)
            self.get(acceptance.body.abort())
            self.get(acceptance.body.abort())
            self.fails(acceptance.body.write(b"more"), Conflict)
            self.fails(acceptance.body.complete(), Conflict)
            self.fails(self.queue.accept(acceptance), Conflict)
            self.assertEqual((self.ids(), self.large_count()), ([], 0))

    def test_complete(self) -> None:
        """A complete body takes no more octets, and is accepted as it is."""
        for body in (BODY, LARGE):
            acceptance = self.acceptance(message(), body=body)
            self.get(acceptance.body.complete())
            self.fails(acceptance.body.write(b"more"), Conflict)
            self.get(self.queue.accept(acceptance))
            self.assertEqual(self.get(self.queue.read_body(self.entry().message)), body)
            self.get(self.queue.drop("m1"))

    def test_abort_when_accepted(self) -> None:
        """A late abort does nothing, and the body belongs to one message."""
        for body in (BODY, LARGE):
            acceptance = self.acceptance(message(), body=body)
            self.get(self.queue.accept(acceptance))
            self.get(acceptance.body.abort())
            self.assertEqual(self.get(self.queue.read_body(self.entry().message)), body)
            other = attrs.evolve(acceptance, message=message("m2"), deliveries=(delivery("m2"),))
            self.fails(self.queue.accept(other), Conflict)
            self.fails(acceptance.body.write(b"more"), Conflict)
            self.assertEqual(self.get(self.queue.read_body(self.entry().message)), body)
            self.get(self.queue.drop("m1"))

    def test_accepted_twice(self) -> None:
        """The second of an id is refused, and its body goes; the first is as it was."""
        for body in (BODY, LARGE):
            self.put(body=body)
            again = self.acceptance(message(reverse_path="other@x.test"), body=body + b"!")
            self.fails(self.queue.accept(again), AlreadyExists)
            self.assertEqual(self.entry().message.reverse_path, "sender@example.org")
            self.assertEqual(self.get(self.queue.read_body(self.entry().message)), body)
            self.assertEqual(self.large_count(), int(body is LARGE))
            self.get(self.queue.drop("m1"))

    def test_nonsense(self) -> None:
        """A message that could never be settled is refused, and nothing of it stays."""
        for deliveries in (
            (delivery("other"),),
            (delivery(), delivery()),
            (delivery(state=DeliveryState.DELIVERED),),
        ):
            self.fails(self.queue.accept(self.acceptance(message(), *deliveries)), Invalid)
        nothing = Acceptance(message=message(), deliveries=(), body=self.queue.body(1.0))
        self.fails(self.queue.accept(nothing), Invalid)
        self.assertEqual(self.ids(), [])

    def test_leased_at_once(self) -> None:
        """What the runner has room for is its own from the first moment, nothing else is."""
        two = delivery(number=2, next_attempt_at=90.0)
        (claim,) = self.put(None, delivery(), two, leased=[1])
        self.assertEqual((claim.message, claim.deliveries), (message(), (delivery(),)))
        self.assertEqual((claim.lane, claim.owner), ("smtp:1.example.com", "mx:example.com"))
        self.assertFalse(claim.is_hurried)
        self.assertEqual(self.names(self.claim()), [("m1", 2)])
        self.assertTrue(self.finish(claim, DELIVERED))

    def test_leased_only_what_waits(self) -> None:
        """What is held is claimed by nobody."""
        held = delivery(number=2, state=DeliveryState.HELD)
        claims = self.put(None, delivery(), held, leased=[1])
        self.assertEqual(self.names(claims), [("m1", 1)])
        self.assertEqual(self.claim(), ())

    # -- claiming -------------------------------------------------------------------------------

    def test_claim_is_exclusive(self) -> None:
        """A leased delivery is not claimed again until the lease runs out."""
        self.put()
        (claim,) = self.claim()
        self.assertEqual((claim.message, claim.delivery), (message(), delivery()))
        self.clock.advance(59.0)
        self.assertEqual(self.claim(), ())
        self.clock.advance(1.0)
        (again,) = self.claim()
        self.assertNotEqual(again.token, claim.token)

    def test_time_of_day_ends_no_lease(self) -> None:
        """A step of the time of day, forward or back, changes what is due and no lease."""
        self.put()
        self.claim(now=200.0)
        for now in (1e9, 0.0, 200.0):
            self.assertEqual(self.claim(now=now), ())

    def test_claim_only_what_is_due(self) -> None:
        """Neither what is due later nor what is held or settled is claimed."""
        self.put(
            None,
            delivery(number=1, next_attempt_at=200.1),
            delivery(number=2, state=DeliveryState.HELD),
            delivery(number=3, state=DeliveryState.FAILED),
            delivery(number=4, next_attempt_at=200.0),
        )
        self.assertEqual(self.names(self.claim(now=200.0)), [("m1", 4)])

    def test_oldest_of_a_lane_first(self) -> None:
        """Within a lane the oldest due comes first, then as accepted; no more than the places."""
        same = Target(courier="webhook", address="https://w.test/")
        self.put(
            None,
            delivery(number=1, next_attempt_at=90.0, target=same),
            delivery(number=2, target=same),
        )
        self.put(
            message("m0"),
            delivery("m0", 1, target=same),
            delivery("m0", 2, next_attempt_at=80.0, target=same),
        )
        claims = (*self.claim(limit=3), *self.claim(limit=3))
        self.assertEqual(self.names(claims), [("m0", 2), ("m1", 1), ("m1", 2), ("m0", 1)])
        self.assertEqual(self.claim(limit=0), ())

    def test_one_connection_for_one_host(self) -> None:
        """Recipients of a message behind one host are one claim, if the same courier goes there."""

        def to(number: int, courier: str, address: str) -> QueuedDelivery:
            return delivery(number=number, target=Target(courier=courier, address=address))

        deliveries = (
            to(1, "remote", "a@far.test"),
            to(2, "remote", "b@near.test"),
            to(3, "remote", "c@FAR.test"),
            to(4, "forward", "d@far.test"),
            to(5, "webhook", "https://far.test/"),
            to(6, "webhook", "https://far.test/"),
        )
        expected = [[1, 3], [2], [4], [5], [6]]
        leased = self.put(None, *deliveries, leased=range(1, 7))
        self.assertEqual(sorted(self.numbers(leased)), expected)
        self.get(self.queue.give_back(leased))
        claimed = self.claim()
        self.assertEqual(sorted(self.numbers(claimed)), expected)
        self.assertEqual(len({claim.token for claim in claimed}), 5)

    def numbers(self, claims: Collection[Claim]) -> list[list[int]]:
        """The deliveries of each claim."""
        return [[one.number for one in claim.deliveries] for claim in claims]

    def test_connection_of_what_is_due(self) -> None:
        """A recipient of the same host that waits for later is not in the claim."""
        target = Target(courier="remote", address="a@far.test")
        later = delivery(number=2, target=target, next_attempt_at=900.0)
        held = delivery(number=3, target=target, state=DeliveryState.HELD)
        self.put(None, delivery(target=target), later, held)
        self.assertEqual(self.numbers(self.claim()), [[1]])

    def test_alone_after_failures(self) -> None:
        """What failed together twice is tried alone: a host may break off at a second RCPT."""
        targets = [Target(courier="remote", address=f"{n}@far.test") for n in range(3)]
        self.put(None, *(delivery(number=n, target=target) for n, target in enumerate(targets)))
        for now in (200.0, 300.0):
            (claim,) = self.claim(now=now)
            self.assertEqual(self.numbers([claim]), [[0, 1, 2]])
            outcomes = [Outcome.deferred(451, "4.4.2", "Lost")] * 3
            self.assertTrue(self.finish(claim, *outcomes, now=now, next_attempt_at=now + 100.0))
        claimed = self.claim(now=400.0)
        self.assertEqual(sorted(self.numbers(claimed)), [[0], [1], [2]])

    def test_many_recipients(self) -> None:
        """No transaction has more recipients than every host must take (RFC 5321 §4.5.3.1.8)."""
        targets = [Target(courier="remote", address=f"{n}@far.test") for n in range(230)]
        several = [delivery(number=n, target=target) for n, target in enumerate(targets)]
        leased = self.put(None, *several, leased=range(230))
        self.assertEqual([len(claim.deliveries) for claim in leased], [100, 100, 30])
        self.get(self.queue.give_back(leased))
        claimed = self.claim()
        self.assertEqual([len(claim.deliveries) for claim in claimed], [100, 100, 30])
        self.assertEqual(len(set(self.names(claimed))), 230)

    def test_rooms(self) -> None:
        """Each kind has room of its own, each lane its limit; what is full is left alone."""
        for number in range(4):
            name = f"m{number}"
            address = f"x@{'same' if number < 3 else 'other'}.test"
            remote = Target(courier="remote", address=address)
            local = Target(courier="local", address="a@b.test", alias_id="a")
            self.put(
                message(name),
                delivery(name, 1, target=remote),
                delivery(name, 2, target=local),
            )
        self.assertEqual(len(self.claim(kinds=["webhook"])), 0)
        full = frozenset({"smtp:other.test"})
        claims = self.claim(kinds=["smtp"], per_lane=2, full_lanes=full)
        self.assertEqual([claim.lane for claim in claims], ["smtp:same.test"] * 2)
        self.assertEqual(self.claim(kinds=["smtp"], full_owners=frozenset({"mx:example.com"})), ())
        self.assertEqual(len(self.claim(kinds=["local"], limit=3)), 3)
        self.assertEqual(len(self.claim()), 3)

    def test_owners_take_turns(self) -> None:
        """Whoever came first with mail for a hundred hosts does not take all places."""
        for user in ("early", "late"):
            for number in range(20):
                name = f"{user}{number:02}"
                queued = message(name, source="submission", alias_id=user)
                due = 100.0 if user == "early" else 150.0
                target = Target(courier="remote", address=f"x@{name}.test")
                self.put(queued, delivery(name, target=target, next_attempt_at=due))
        claims = self.claim(limit=10, kinds=["smtp"])
        owners = [claim.owner for claim in claims]
        self.assertEqual(owners, ["submission:early"] * 5 + ["submission:late"] * 5)
        (one,) = self.claim(limit=10, kinds=["smtp"], per_owner=1, full_owners={"submission:late"})
        self.assertEqual(one.owner, "submission:early")
        rest = self.claim(limit=100, kinds=["smtp"])
        self.assertEqual(len(rest), 29, "what one does not need, the other may have")

    def test_lease_that_ran_out(self) -> None:
        """It is due from then on; whose it was changes nothing once another has it."""
        self.put()
        (lost,) = self.claim(lease_seconds=50.0)
        self.clock.advance(50.0)
        (taken,) = self.claim()
        self.assertEqual(self.get(self.queue.renew([lost, taken], 60.0)), (lost,))
        self.get(self.queue.give_back([lost]))
        self.assertFalse(self.finish(lost, NEVER))
        self.assertEqual(self.one().state, DeliveryState.WAITING)
        self.assertEqual(self.claim(), (), "the other's lease is whole")
        self.assertTrue(self.finish(taken, DELIVERED))
        self.assertFalse(self.finish(taken, DELIVERED))

    # -- leases ---------------------------------------------------------------------------------

    def test_renew(self) -> None:
        """A longer lease keeps others away for longer, also one that was late."""
        self.put()
        (claim,) = self.claim(lease_seconds=60.0)
        self.assertEqual(self.get(self.queue.renew([], 60.0)), ())
        for _ in range(3):
            self.clock.advance(59.0)
            self.assertEqual(self.get(self.queue.renew([claim], 60.0)), ())
        self.clock.advance(100.0)
        self.assertEqual(self.claim(full_lanes=frozenset({claim.lane})), ())
        self.assertEqual(self.get(self.queue.renew([claim], 60.0)), ())
        self.assertEqual(self.claim(), ())

    def test_late_outcome(self) -> None:
        """A late 2xx counts as long as nobody else claimed, whoever looked at the queue."""
        self.put()
        (claim,) = self.claim(lease_seconds=1.0)
        self.clock.advance(1000.0)
        self.put(message("m2"), delivery("m2", 2))
        others = self.claim(now=1200.0, full_lanes=frozenset({claim.lane}))
        self.assertEqual(self.names(others), [("m2", 2)])
        self.assertTrue(self.finish(claim, DELIVERED, now=1200.0))
        self.assertEqual(self.ids(), ["m2"])

    def test_give_back(self) -> None:
        """It is due as before, and no attempt; the claim is worth nothing any more."""
        self.put()
        claims = self.claim()
        self.get(self.queue.give_back([]))
        self.get(self.queue.give_back(claims))
        self.assertEqual(self.one(), delivery())
        (again,) = self.claim()
        self.assertEqual(again.delivery.attempts, 0)
        self.assertFalse(self.finish(claims[0], NEVER))
        self.get(self.queue.give_back(claims))
        self.assertEqual(self.claim(), ())

    def test_give_back_a_part(self) -> None:
        """Some recipients of a connection go back, the others stay."""
        target = Target(courier="remote", address="x@far.test")
        (claim,) = self.put(
            None, *(delivery(number=n, target=target) for n in (1, 2)), leased=[1, 2]
        )
        self.get(self.queue.give_back([attrs.evolve(claim, deliveries=claim.deliveries[:1])]))
        self.assertEqual(self.numbers(self.claim()), [[1]])
        ours = attrs.evolve(claim, deliveries=claim.deliveries[1:])
        self.assertTrue(self.finish(ours, DELIVERED))

    def test_renew_a_part(self) -> None:
        """Of a claim that was lost in part, the rest is kept; what was lost is named."""
        target = Target(courier="remote", address="x@far.test")
        three = [delivery(number=n, target=target) for n in (1, 2, 3)]
        (claim,) = self.put(None, *three, leased=[1, 2, 3])
        lost = attrs.evolve(claim, deliveries=claim.deliveries[1:2])
        self.get(self.queue.give_back([lost]))
        self.assertEqual(self.get(self.queue.renew([claim], 600.0)), (lost,))
        self.clock.advance(300.0)
        self.assertEqual(self.numbers(self.claim()), [[2]])
        self.assertTrue(self.finish(claim, DELIVERED, DELIVERED, DELIVERED))
        states = [one.state.value for one in self.entry().deliveries]
        self.assertEqual(states, ["delivered", "waiting", "delivered"])

    def test_end_leases(self) -> None:
        """What a killed process had claimed is due again; its claims count no more."""
        self.put()
        self.put(message("m2"), delivery("m2"))
        (lost,) = self.claim(limit=1)
        self.assertEqual(self.get(self.queue.end_leases()), 1)
        self.assertEqual(len(self.claim()), 2)
        self.assertFalse(self.finish(lost, DELIVERED))
        self.assertEqual(self.get(self.queue.end_leases()), 2)
        self.assertEqual(self.get(self.queue.end_leases()), 0)

    def test_rest(self) -> None:
        """A lane that does not answer rests, for every owner, also with what comes meanwhile."""
        target = Target(courier="remote", address="x@down.test")
        for user in "ab":
            queued = message(f"m{user}", source="submission", alias_id=user)
            self.put(queued, delivery(queued.id, target=target))
        self.put(message("other"), delivery("other"))
        self.get(self.queue.rest("smtp:down.test", 500.0))
        self.get(self.queue.rest("smtp:down.test", 300.0))
        self.get(self.queue.rest("smtp:nothing.test", 900.0))
        self.put(message("new", source="submission", alias_id="a"), delivery("new", target=target))
        self.assertEqual([claim.message.id for claim in self.claim(now=499.0)], ["other"])
        self.assertEqual(self.get(self.queue.next_due(499.0)), 500.0)
        self.get(self.queue.release("ma", 499.0))
        self.assertEqual(self.claim(now=499.0), ())
        self.assertEqual(len(self.claim(now=500.0)), 3)

    # -- the date -------------------------------------------------------------------------------

    def planned(self, name: str, **changes: Any) -> None:
        """A message to a host of its own that came at 1000 and was deferred for 300 seconds."""
        target = Target(courier="remote", address=f"x@{name}.test")
        queued = message(name, created_at=1000.0, **changes)
        self.put(queued, delivery(name, target=target, next_attempt_at=1000.0))
        (claim,) = self.claim(now=1000.0)
        settlement = Settlement(claim=claim, outcomes=(LATER,), next_attempt_at=1300.0)
        self.assertEqual(self.get(self.queue.finish([settlement], 1000.0)), ())

    def due(self) -> dict[str, float]:
        """When each message's delivery is due."""
        entries = self.get(self.queue.find(QueueFilter()))
        return {entry.message.id: entry.deliveries[0].next_attempt_at for entry in entries}

    def test_set_back(self) -> None:
        """What was planned in a future that never came waits for its own pause from now."""
        self.planned("tried")
        target = Target(courier="remote", address="x@new.test")
        new = message("new", created_at=1000.0)
        self.put(new, delivery("new", target=target, next_attempt_at=1000.0))
        self.assertEqual(self.claim(now=400.0), ())
        self.assertEqual(self.get(self.queue.set_back(400.0, 5000.0, 300.0)), 2)
        self.assertEqual(self.due(), {"tried": 700.0, "new": 400.0})
        self.assertEqual(self.get(self.queue.next_due(400.0)), 700.0)
        entries = self.get(self.queue.find(QueueFilter()))
        self.assertEqual([entry.message.created_at for entry in entries], [400.0, 400.0])
        self.assertEqual(max(e.deliveries[0].last_attempt_at for e in entries), 400.0)
        self.assertEqual(self.get(self.queue.set_back(400.0, 5000.0, 300.0)), 0, "once is enough")
        self.assertEqual([claim.message.id for claim in self.claim(now=400.0)], ["new"])
        self.assertEqual([claim.message.id for claim in self.claim(now=700.0)], ["tried"])

    def test_set_back_too_far(self) -> None:
        """Nothing waits for longer than the longest pause, whatever its dates say."""
        self.planned("tried")
        self.get(self.queue.release("tried", 90_000.0))
        self.assertEqual(self.get(self.queue.set_back(1100.0, 5000.0, 300.0)), 1)
        self.assertEqual(self.due(), {"tried": 1100.0})
        self.put(message("m9"), delivery("m9", next_attempt_at=90_000.0))
        self.get(self.queue.set_back(90.0, 5000.0, 300.0))
        self.assertEqual(self.due()["m9"], 5090.0)

    def test_set_back_lets_be(self) -> None:
        """What was planned right stays, and what is held, and what somebody has a lease on."""
        self.planned("tried")
        self.put(message("held"), delivery("held"))
        self.get(self.queue.hold("held", "test"))
        self.put(message("leased"), delivery("leased"))
        (claim,) = self.claim(now=200.0)
        before = self.due()
        self.assertEqual(self.get(self.queue.set_back(1100.0, 5000.0, 300.0)), 0)
        self.assertEqual(self.due(), before)
        self.get(self.queue.set_back(50.0, 5000.0, 300.0))
        self.assertTrue(self.finish(claim, DELIVERED))

    def test_set_back_of_a_rest(self) -> None:
        """A lane rests for as long as lanes do, from now."""
        target = Target(courier="remote", address="x@down.test")
        self.put(None, delivery(target=target))
        self.get(self.queue.rest("smtp:down.test", 90_000.0))
        self.get(self.queue.set_back(200.0, 5000.0, 300.0))
        self.assertEqual(self.claim(now=499.0), ())
        self.assertEqual(self.get(self.queue.next_due(200.0)), 500.0)
        self.assertEqual(len(self.claim(now=500.0)), 1)

    # -- outcomes -------------------------------------------------------------------------------

    def test_delivered(self) -> None:
        """The last outcome takes the message and its body away."""
        for body in (BODY, LARGE):
            self.put(None, delivery(number=1), delivery(number=2), body=body)
            first, second = self.claim()
            self.assertTrue(self.finish(first, DELIVERED))
            settled = self.entry().deliveries[0]
            self.assertEqual(settled.state, DeliveryState.DELIVERED)
            self.assertEqual(settled.last_status, "250 2.0.0 ok")
            self.assertEqual((settled.attempts, settled.last_attempt_at), (1, 210.0))
            self.assertEqual(self.get(self.queue.read_body(second.message)), body)
            self.assertTrue(self.finish(second, NEVER))
            self.assertEqual((self.ids(), self.large_count()), ([], 0))
            self.fails(self.queue.read_body(second.message), NotFound)

    def test_deferred(self) -> None:
        """A deferral waits for its time, counts, and remembers when a delay was reported."""
        self.put()
        (claim,) = self.claim()
        deferred = Outcome.deferred(451, "4.4.1", "Connection timed out")
        self.finish(claim, deferred, next_attempt_at=500.0, delayed_notice_at=210.0)
        now = self.one()
        self.assertEqual(now.state, DeliveryState.WAITING)
        self.assertEqual((now.attempts, now.next_attempt_at), (1, 500.0))
        self.assertEqual(now.last_status, "451 4.4.1 Connection timed out")
        self.assertEqual(self.claim(now=499.0), ())
        (claim,) = self.claim(now=500.0)
        self.assertEqual(claim.delivery, now)
        self.finish(claim, deferred, next_attempt_at=900.0)
        self.assertEqual(self.one().delayed_notice_at, 210.0)
        self.assertEqual(self.one().attempts, 2)

    def test_each_its_own(self) -> None:
        """Recipients of one connection have each their own outcome."""
        target = Target(courier="remote", address="x@far.test")
        self.put(None, *(delivery(number=n, target=target) for n in (1, 2, 3)))
        (claim,) = self.claim()
        self.assertTrue(self.finish(claim, DELIVERED, LATER, NEVER, next_attempt_at=500.0))
        states = [one.state.value for one in self.entry().deliveries]
        self.assertEqual(states, ["delivered", "waiting", "failed"])
        (again,) = self.claim(now=500.0)
        self.assertEqual(self.numbers([again]), [[2]])

    def test_many_at_once(self) -> None:
        """Settlements of one call stand for themselves: the lost are named, the others recorded."""
        for name in ("m1", "m2", "m3"):
            self.put(message(name), delivery(name))
        one, two, three = self.claim()
        self.get(self.queue.drop("m2"))
        settlements = [Settlement(claim=each, outcomes=(DELIVERED,)) for each in (one, two, three)]
        self.assertEqual(self.get(self.queue.finish(settlements, 210.0)), (two,))
        self.assertEqual(self.ids(), [])
        self.assertEqual(self.get(self.queue.finish([], 210.0)), ())

    def test_settled_twice(self) -> None:
        """A token is good for one outcome, and no forged empty one for any."""
        self.put()
        (claim,) = self.claim()
        self.assertTrue(self.finish(claim, LATER, next_attempt_at=500.0))
        self.assertFalse(self.finish(claim, DELIVERED))
        forged = attrs.evolve(claim, token="")
        self.assertFalse(self.finish(forged, DELIVERED))
        self.assertEqual(self.get(self.queue.renew([forged], 60.0)), (forged,))
        self.assertEqual(self.one().state, DeliveryState.WAITING)

    def test_report_with_its_outcome(self) -> None:
        """The report is there when the failure is; of a lost claim there is none."""
        for body in (BODY, LARGE):
            self.put()
            (claim,) = self.claim()
            report = self.acceptance(message("r1", source="bounce"), body=body)
            self.assertTrue(self.finish(claim, NEVER, reports=(report,)))
            self.assertEqual(self.ids(), ["r1"])
            self.assertEqual(self.get(self.queue.read_body(self.entry("r1").message)), body)
            again = self.acceptance(message("r2", source="bounce"), body=body)
            self.assertFalse(self.finish(claim, NEVER, reports=(again,)))
            self.assertEqual(self.ids(), ["r1"])
            (waiting,) = self.claim()
            self.assertEqual((waiting.message.id, waiting.owner), ("r1", "bounce:"))
            self.get(self.queue.drop("r1"))

    def two_claims(self) -> tuple[Claim, Claim]:
        """Of one message."""
        targets = [Target(courier="remote", address=f"x@{host}.test") for host in "ab"]
        self.put(None, *(delivery(number=n, target=one) for n, one in enumerate(targets, 1)))
        first, second = self.claim()
        return first, second

    def test_several_claims_with_one_report(self) -> None:
        """What came of claims of one message is recorded as a whole."""
        first, second = self.two_claims()
        report = self.acceptance(message("r1", source="bounce"))
        self.assertTrue(self.finish(first, NEVER, NEVER, also=(second,), reports=(report,)))
        self.assertEqual(self.ids(), ["r1"])

    def test_several_claims_lost_in_part(self) -> None:
        """What is still held is recorded, with the report; if nothing is, no report is sent."""
        first, second = self.two_claims()
        for lost in (first, second):
            gone = attrs.evolve(lost, token="of another")
            both = (gone, second) if lost is first else (gone, attrs.evolve(first, token="old"))
            report = self.acceptance(message(f"r-{lost.lane}", source="bounce"))
            is_held = self.finish(both[0], NEVER, NEVER, also=both[1:], reports=(report,))
            self.assertIs(is_held, lost is first)
        self.assertEqual(self.ids(), ["m1", f"r-{first.lane}"])
        states = [one.state.value for one in self.entry().deliveries]
        self.assertEqual(states, ["waiting", "failed"])

    def test_report_under_the_next_lease(self) -> None:
        """What was refused for an old lease is recorded under the new one, report and all."""
        for body in (BODY, LARGE):
            self.put()
            (claim,) = self.claim()
            report = self.acceptance(message("r1", source="bounce"), body=body)
            forged = attrs.evolve(claim, token="of another")
            self.assertFalse(self.finish(forged, NEVER, reports=(report,)))
            self.assertTrue(self.finish(claim, NEVER, reports=(report,)))
            self.assertEqual(self.ids(), ["r1"])
            self.assertEqual(self.get(self.queue.read_body(self.entry("r1").message)), body)
            self.get(self.queue.drop("r1"))

    def test_entries(self) -> None:
        """What owners of domains read is recorded once, with the outcome."""
        entry = LogEntry(
            id="e1",
            created_at=210.0,
            kind="delivered",
            domain_id=DomainId("d"),
            alias_id=AliasId("a"),
            remote="mx.far.test",
            detail={"recipient": "x@far.test"},
        )
        self.put()
        (claim,) = self.claim()
        self.assertTrue(self.finish(claim, DELIVERED, entries=(entry,)))
        other = attrs.evolve(entry, id="e2")
        self.assertFalse(self.finish(claim, DELIVERED, entries=(other,)))
        self.assertEqual(self.journal(), [entry])

    def journal(self) -> list[LogEntry]:
        """The entries that were recorded."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    # -- what operators do ----------------------------------------------------------------------

    def test_hold_and_release(self) -> None:
        """Held deliveries wait for somebody; released ones are due at once."""
        self.put(None, delivery(number=1), delivery(number=2))
        self.get(self.queue.hold("m1", "demo", [2]))
        self.assertEqual(self.names(self.claim()), [("m1", 1)])
        (entry,) = self.get(self.queue.find(QueueFilter(state=DeliveryState.HELD)))
        self.assertEqual(entry.deliveries[1].hold_reason, "demo")
        self.get(self.queue.release("m1", 400.0, [2]))
        (claim,) = self.claim(now=400.0)
        self.assertEqual(claim.delivery.next_attempt_at, 400.0)
        self.assertEqual(claim.delivery.hold_reason, "")

    def test_release_makes_waiting_due(self) -> None:
        """The operator's retry does not wait for the backoff."""
        self.put(None, delivery(next_attempt_at=9000.0))
        self.get(self.queue.release("m1", 200.0))
        self.assertEqual(len(self.claim(now=200.0)), 1)

    def test_hold_during_an_attempt(self) -> None:
        """A hold neither loses an outcome nor is undone by a deferral, even of a late attempt."""
        self.put(None, delivery(number=1), delivery(number=2))
        first, second = self.claim()
        self.get(self.queue.hold("m1", "stop"))
        self.assertEqual(self.get(self.queue.renew([first, second], 60.0)), ())
        self.clock.advance(100.0)
        self.assertEqual(self.claim(), ())
        self.assertTrue(self.finish(first, LATER, next_attempt_at=500.0))
        self.assertTrue(self.finish(second, DELIVERED))
        states = [one.state for one in self.entry().deliveries]
        self.assertEqual(states, [DeliveryState.HELD, DeliveryState.DELIVERED])
        self.assertEqual(self.claim(now=999.0), ())

    def test_release_during_an_attempt(self) -> None:
        """Releasing does not let a second courier at a delivery that is being attempted."""
        self.put()
        self.claim()
        self.get(self.queue.hold("m1", "stop"))
        self.get(self.queue.release("m1", 201.0))
        self.assertEqual(self.claim(now=202.0), ())

    def test_unknown(self) -> None:
        """A message or a number that is not there is ``NotFound``, and nothing changes."""
        self.put()
        for work in (
            self.queue.hold("m2", "x"),
            self.queue.hold("m1", "x", [1, 7]),
            self.queue.release("m2", 1.0),
            self.queue.release("m1", 1.0, [7]),
            self.queue.drop("m2"),
        ):
            self.fails(work, NotFound)
        self.assertEqual(self.one(), delivery())

    def test_drop(self) -> None:
        """A dropped message is gone with its deliveries and body, and its claims are lost."""
        for body in (BODY, LARGE):
            self.put(body=body)
            (claim,) = self.claim()
            self.get(self.queue.drop("m1"))
            self.assertFalse(self.finish(claim, DELIVERED))
            self.assertEqual(self.get(self.queue.renew([claim], 300.0)), (claim,))
            self.assertEqual((self.ids(), self.large_count()), ([], 0))
            self.assertIsNone(self.get(self.queue.next_due(0.0)))

    def test_find(self) -> None:
        """Each condition narrows; deliveries that do not match are shown all the same."""
        self.put(message("m3", created_at=3.0, alias_id="a1", domain_id="d1"), delivery("m3"))
        self.put(
            message("m2", created_at=2.0, alias_id="a1"),
            delivery("m2", 1, recipient="Ann@Example.com"),
            delivery("m2", 2, recipient="100%_ok@example.com", state=DeliveryState.HELD),
        )
        self.put(message("m1", created_at=3.0), delivery("m1"))

        def found(**conditions: Any) -> list[str]:
            entries = self.get(self.queue.find(QueueFilter(**conditions)))
            return [entry.message.id for entry in entries]

        self.assertEqual(found(), ["m2", "m1", "m3"])
        self.assertEqual(found(limit=2), ["m2", "m1"])
        self.assertEqual(found(message_id="m3"), ["m3"])
        self.assertEqual(found(alias_id="a1"), ["m2", "m3"])
        self.assertEqual(found(alias_id="a1", domain_id="d1"), ["m3"])
        self.assertEqual(found(recipient="ann@EXAMPLE"), ["m2"])
        self.assertEqual(found(recipient="0%_o"), ["m2"])
        self.assertEqual(found(recipient="1_0"), [])
        self.assertEqual(found(state=DeliveryState.HELD), ["m2"])
        self.assertEqual(found(state=DeliveryState.HELD, recipient="ann"), [])
        self.assertEqual(found(message_id="m4"), [])
        (entry,) = self.get(self.queue.find(QueueFilter(recipient="ann")))
        self.assertEqual([one.number for one in entry.deliveries], [1, 2])

    def test_find_by_pages(self) -> None:
        """Each once, whatever came at one time, and although the last of a page is gone."""
        for name in ("m5", "m1", "m4", "m2", "m3"):
            self.put(message(name, created_at=3.0), delivery(name))
        self.put(message("m0", created_at=2.5), delivery("m0"))
        found: list[str] = []
        after = (0.0, "")
        while page := self.get(self.queue.find(QueueFilter(limit=2, after=after))):
            last = page[-1].message
            found += [entry.message.id for entry in page]
            after = (last.created_at, last.id)
            self.get(self.queue.drop(last.id))
        self.assertEqual(found, ["m0", "m1", "m2", "m3", "m4", "m5"])

    def test_next_due(self) -> None:
        """The runner learns when to look again: at nothing that is due now, held or claimed."""
        self.assertIsNone(self.get(self.queue.next_due(0.0)))
        self.put(None, delivery(next_attempt_at=300.0), delivery(number=2, next_attempt_at=400.0))
        self.put(message("m2"), delivery("m2", next_attempt_at=250.0, state=DeliveryState.HELD))
        self.assertEqual(self.get(self.queue.next_due(200.0)), 300.0)
        self.assertEqual(self.get(self.queue.next_due(300.0)), 400.0)
        self.claim(now=400.0)
        self.assertIsNone(self.get(self.queue.next_due(200.0)))

    def test_counts(self) -> None:
        """What waits, also under way, and what is held."""

        def counts() -> tuple[int, int]:
            found = self.get(self.queue.counts())
            return found[DeliveryState.WAITING], found[DeliveryState.HELD]

        self.assertEqual(counts(), (0, 0))
        self.put(None, *(delivery(number=number) for number in range(4)))
        self.get(self.queue.hold("m1", "x", [3]))
        self.assertEqual(counts(), (3, 1))
        claims = self.claim(limit=2)
        self.assertEqual(counts(), (3, 1))
        self.finish(claims[0], DELIVERED)
        self.finish(claims[1], LATER, next_attempt_at=500.0)
        self.assertEqual(counts(), (2, 1))
        self.get(self.queue.drop("m1"))
        self.assertEqual(counts(), (0, 0))

    def test_waiting_octets(self) -> None:
        """What waits in a lane, claimed or not; what is settled, held or elsewhere does not."""
        lane = lane_of(delivery().target)
        octets = lambda: self.get(self.queue.waiting_octets(lane))  # noqa: E731  # a value
        self.assertEqual(octets(), 0)
        for number in range(3):
            self.put(message(f"m{number}", size_octets=1000), delivery(f"m{number}"))
        other = Target(courier="remote", address="x@far.test")
        self.put(message("m4", size_octets=1000), delivery("m4", target=other))
        self.assertEqual(octets(), 3000)
        claim = next(one for one in self.claim() if one.message.id == "m0")
        self.assertEqual(octets(), 3000)
        self.finish(claim, DELIVERED)
        self.assertEqual(octets(), 2000)
        self.get(self.queue.hold("m1", "why"))
        self.assertEqual(octets(), 1000)

    def test_sweep(self) -> None:
        """Large bodies that no message has go when they are old; what is needed stays."""
        self.put(body=LARGE)
        for now in (100.0, 900.0):
            writer = self.queue.body(now)
            self.get(writer.write(LARGE))
            self.get(writer.complete())  # and killed
        self.assertEqual(self.large_count(), 3)
        self.assertEqual(self.get(self.queue.sweep(900.0)), 1)
        self.assertEqual(self.get(self.queue.sweep(900.0)), 0)
        self.assertEqual(self.get(self.queue.sweep(1000.0)), 1)
        self.assertEqual(self.large_count(), 1)
        self.assertEqual(self.get(self.queue.read_body(self.entry().message)), LARGE)

    def test_sweep_while_accepting(self) -> None:
        """Bodies are listed before messages: one that is accepted in between keeps its own."""
        acceptance = self.acceptance(message(), body=LARGE)
        self.get(acceptance.body.complete())
        listed = self.large.list

        async def list_and_accept() -> tuple[tuple[BlobId, float], ...]:
            found = await listed()
            await self.queue.accept(acceptance)
            return found

        self.patch(self.large, "list", list_and_accept)
        self.assertEqual(self.get(self.queue.sweep(1000.0)), 0)
        self.assertEqual(self.get(self.queue.read_body(self.entry().message)), LARGE)

    def test_check(self) -> None:
        """A large body that is gone is named; a message that went meanwhile is no problem."""
        self.put(body=LARGE)
        blob = self.entry().message.blob
        opened = self.large.open

        async def drop_and_open(name: BlobId) -> BlobReader:
            await self.queue.drop("m1")
            return await opened(name)

        with_problem = self.patch(self.large, "open", drop_and_open)
        self.assertEqual(self.get(self.queue.check()), ())
        with_problem.restore()
        self.put(body=LARGE)
        blob = self.entry().message.blob
        self.get(self.large.delete(blob))
        (problem,) = self.get(self.queue.check())
        self.assertIn(f"The body {blob} cannot be read", problem)
        self.get(self.queue.drop("m1"))

    def test_values_are_not_shared(self) -> None:
        """What a caller got does not change under its hands."""
        self.put()
        (claim,) = self.claim()
        before = attrs.evolve(claim.delivery)
        self.finish(claim, LATER, next_attempt_at=500.0)
        self.assertEqual(claim.delivery, before)
