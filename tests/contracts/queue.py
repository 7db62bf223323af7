"""
What every ``Queue`` does, whatever it is made of.

A test class mixes ``QueueContract`` in and returns a fresh, started queue from ``store()``.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from fe_mail.model.envelope import Peer
from fe_mail.model.errors import AlreadyExists, Conflict, Invalid, NotFound
from fe_mail.model.ids import BlobId
from fe_mail.model.queue import (
    Claim,
    DeliveryState,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueFilter,
    Target,
)
from fe_mail.ports import Queue

__all__ = ["QueueContract", "delivery", "message"]

T = TypeVar("T")


def message(name: str = "m1", **changes: Any) -> QueuedMessage:
    """A message; its blob is named after it."""
    values: dict[str, Any] = {
        "id": name,
        "blob": BlobId(f"blob-{name}"),
        "size_octets": 1234,
        "reverse_path": "sender@example.org",
        "created_at": 100.0,
        "source": "mx",
    }
    return QueuedMessage(**{**values, **changes})


def delivery(message_id: str = "m1", number: int = 1, **changes: Any) -> QueuedDelivery:
    """A delivery that is due at 100."""
    values: dict[str, Any] = {
        "message_id": message_id,
        "number": number,
        "recipient": f"rcpt{number}@example.com",
        "target": Target(courier="remote", address=f"rcpt{number}@example.com"),
        "next_attempt_at": 100.0,
    }
    return QueuedDelivery(**{**values, **changes})


class QueueContract:
    """The tests; ``store`` is the hook."""

    def store(self) -> Queue:
        """A fresh, started queue."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def setUp(self) -> None:
        self.queue = self.store()

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, object], *errors: type[Exception]) -> Exception:
        """The error of what fails at once."""
        return self.failureResultOf(Deferred.fromCoroutine(work), *errors).value

    def put(self, queued: QueuedMessage | None = None, *deliveries: QueuedDelivery) -> None:
        """Put a message that is not there yet."""
        queued = queued or message()
        chosen = deliveries or (delivery(queued.id),)
        self.assertTrue(self.get(self.queue.put(queued, chosen)))

    def claim(self, now: float = 200.0, lease_seconds: float = 60.0, limit: int = 10) -> Any:
        """Claim at a time when everything is due."""
        return self.get(self.queue.claim(now, lease_seconds, limit))

    def one(self, message_id: str = "m1") -> QueuedDelivery:
        """The only delivery of a message."""
        (entry,) = self.get(self.queue.find(QueueFilter(message_id=message_id)))
        (only,) = entry.deliveries
        return only

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
            target=Target(courier="local", address="a@example.com", alias_id="a1"),
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
        (entry,) = self.get(self.queue.find(QueueFilter()))
        self.assertEqual(entry.message, queued)
        self.assertEqual(entry.deliveries, (first, second))

    def test_put_twice(self) -> None:
        """The second put of an id changes nothing and says so."""
        self.put()
        again = message(reverse_path="other@example.org")
        self.assertFalse(self.get(self.queue.put(again, [delivery()])))
        (entry,) = self.get(self.queue.find(QueueFilter()))
        self.assertEqual(entry.message, message())

    def test_put_nonsense(self) -> None:
        """A message that could never be settled is refused, and nothing of it stays."""
        for deliveries in (
            [],
            [delivery("other")],
            [delivery(), delivery()],
            [delivery(state=DeliveryState.DELIVERED)],
        ):
            self.fails(self.queue.put(message(), deliveries), Invalid)
        self.assertEqual(self.get(self.queue.find(QueueFilter())), ())

    def test_blob_of_another(self) -> None:
        """A blob belongs to one message, for it is deleted with it."""
        self.put()
        other = message("m2", blob=message().blob)
        self.fails(self.queue.put(other, [delivery("m2")]), AlreadyExists)
        self.assertEqual(len(self.get(self.queue.find(QueueFilter()))), 1)

    def test_claim_is_exclusive(self) -> None:
        """A leased delivery is not claimed again until the lease runs out."""
        self.put()
        (claim,) = self.claim(now=200.0)
        self.assertEqual(claim.message, message())
        self.assertEqual(claim.delivery, delivery())
        self.assertEqual(claim.lease_until, 260.0)
        self.assertEqual(self.claim(now=259.0), ())
        (again,) = self.claim(now=260.0)
        self.assertNotEqual(again.token, claim.token)

    def test_claim_only_what_is_due(self) -> None:
        """Neither what is due later nor what is held or settled is claimed."""
        self.put(
            None,
            delivery(number=1, next_attempt_at=200.1),
            delivery(number=2, state=DeliveryState.HELD),
            delivery(number=3, state=DeliveryState.FAILED),
            delivery(number=4, next_attempt_at=200.0),
        )
        self.assertEqual([claim.delivery.number for claim in self.claim(now=200.0)], [4])

    def test_claim_in_order(self) -> None:
        """Oldest due first, then as put; no more than the limit."""
        self.put(None, delivery(number=1, next_attempt_at=90.0), delivery(number=2))
        self.put(message("m0"), delivery("m0", 1), delivery("m0", 2, next_attempt_at=80.0))
        claims = (*self.claim(limit=3), *self.claim(limit=3))
        order = [(claim.message.id, claim.delivery.number) for claim in claims]
        self.assertEqual(order, [("m0", 2), ("m1", 1), ("m1", 2), ("m0", 1)])
        self.assertEqual(self.claim(limit=0), ())

    def test_expired_lease_is_due_when_it_ran_out(self) -> None:
        """What was claimed and lost stands behind what waits since before that."""
        self.put()
        self.claim(now=200.0, lease_seconds=50.0)
        self.put(message("m2"), delivery("m2", next_attempt_at=240.0))
        self.assertEqual([c.message.id for c in self.claim(now=300.0)], ["m2", "m1"])

    def test_delivered(self) -> None:
        """The last outcome takes the message away and gives its blob to the caller."""
        self.put(None, delivery(number=1), delivery(number=2))
        first, second = self.claim()
        self.assertIsNone(self.get(self.queue.settle(first, Outcome.delivered("ok"), 210.0)))
        (entry,) = self.get(self.queue.find(QueueFilter()))
        settled = entry.deliveries[0]
        self.assertEqual(settled.state, DeliveryState.DELIVERED)
        self.assertEqual(settled.last_status, "250 2.0.0 ok")
        self.assertEqual((settled.attempts, settled.last_attempt_at), (1, 210.0))
        blob = self.get(self.queue.settle(second, Outcome.failed(), 211.0))
        self.assertEqual(blob, "blob-m1")
        self.assertEqual(self.get(self.queue.find(QueueFilter())), ())
        self.assertEqual(self.get(self.queue.blobs()), frozenset())

    def test_deferred(self) -> None:
        """A deferral waits for its time, counts, and remembers when a delay was reported."""
        self.put()
        (claim,) = self.claim()
        deferred = Outcome.deferred(451, "4.4.1", "Connection timed out")
        self.get(self.queue.settle(claim, deferred, 210.0, 500.0, delayed_notice_at=210.0))
        now = self.one()
        self.assertEqual(now.state, DeliveryState.WAITING)
        self.assertEqual((now.attempts, now.next_attempt_at), (1, 500.0))
        self.assertEqual(now.last_status, "451 4.4.1 Connection timed out")
        self.assertEqual(self.claim(now=499.0), ())
        (claim,) = self.claim(now=500.0)
        self.get(self.queue.settle(claim, deferred, 510.0, 900.0))
        self.assertEqual(self.one().delayed_notice_at, 210.0)
        self.assertEqual(self.one().attempts, 2)

    def test_lost_lease(self) -> None:
        """Whoever lost a lease to another changes nothing any more."""
        self.put()
        (lost,) = self.claim(now=200.0)
        (taken,) = self.claim(now=300.0)
        self.fails(self.queue.renew(lost, 900.0), Conflict)
        self.fails(self.queue.settle(lost, Outcome.failed(), 301.0), Conflict)
        self.assertEqual(self.one().state, DeliveryState.WAITING)
        self.get(self.queue.settle(taken, Outcome.delivered(), 302.0))
        self.fails(self.queue.settle(taken, Outcome.delivered(), 303.0), Conflict)

    def test_counts(self) -> None:
        """Every state is there; settled deliveries count as long as their message is there."""
        none = dict.fromkeys(DeliveryState, 0)
        self.assertEqual(self.get(self.queue.counts()), none)
        self.put(None, delivery(number=1), delivery(number=2), delivery(number=3))
        self.get(self.queue.hold("m1", "demo", [3]))
        first, _ = self.claim()
        self.get(self.queue.settle(first, Outcome.delivered(), 210.0))
        counts = {DeliveryState.WAITING: 1, DeliveryState.HELD: 1, DeliveryState.DELIVERED: 1}
        self.assertEqual(self.get(self.queue.counts()), {**none, **counts})

    def test_end_leases(self) -> None:
        """What a killed process had claimed is due again; its claims count no more."""
        self.put()
        self.put(message("m2"), delivery("m2"))
        (lost,) = self.claim(now=200.0, limit=1)
        self.assertEqual(self.get(self.queue.end_leases()), 1)
        self.assertEqual(len(self.claim(now=200.0)), 2)
        self.fails(self.queue.settle(lost, Outcome.delivered(), 201.0), Conflict)
        self.assertEqual(self.get(self.queue.end_leases()), 2)
        self.assertEqual(self.get(self.queue.end_leases()), 0)

    def test_settle_after_the_lease(self) -> None:
        """A late 2xx still counts as long as nobody else claimed."""
        self.put()
        (claim,) = self.claim(now=200.0, lease_seconds=1.0)
        blob = self.get(self.queue.settle(claim, Outcome.delivered(), 999.0))
        self.assertEqual(blob, "blob-m1")

    def test_settled_twice(self) -> None:
        """A token is good for one outcome, and no forged empty one for any."""
        self.put()
        (claim,) = self.claim()
        self.get(self.queue.settle(claim, Outcome.deferred(), 210.0, 500.0))
        self.fails(self.queue.settle(claim, Outcome.delivered(), 211.0), Conflict)
        forged = Claim(message=claim.message, delivery=claim.delivery, token="", lease_until=0.0)
        self.fails(self.queue.settle(forged, Outcome.delivered(), 212.0), Conflict)

    def test_renew(self) -> None:
        """A longer lease keeps others away for longer."""
        self.put()
        (claim,) = self.claim(now=200.0)
        self.get(self.queue.renew(claim, 1000.0))
        self.assertEqual(self.claim(now=999.0), ())
        self.assertEqual(len(self.claim(now=1000.0)), 1)

    def test_hold_and_release(self) -> None:
        """Held deliveries wait for somebody; released ones are due at once."""
        self.put(None, delivery(number=1), delivery(number=2))
        self.get(self.queue.hold("m1", "demo", [2]))
        self.assertEqual([c.delivery.number for c in self.claim()], [1])
        (entry,) = self.get(self.queue.find(QueueFilter(state=DeliveryState.HELD)))
        self.assertEqual(entry.deliveries[1].hold_reason, "demo")
        self.get(self.queue.release("m1", 400.0, [2]))
        (claim,) = (c for c in self.claim(now=400.0) if c.delivery.number == 2)
        self.assertEqual(claim.delivery.next_attempt_at, 400.0)
        self.assertEqual(claim.delivery.hold_reason, "")

    def test_release_makes_waiting_due(self) -> None:
        """The operator's retry does not wait for the backoff."""
        self.put(None, delivery(next_attempt_at=9000.0))
        self.get(self.queue.release("m1", 200.0))
        self.assertEqual(len(self.claim(now=200.0)), 1)

    def test_hold_during_an_attempt(self) -> None:
        """A hold neither loses an outcome nor is undone by a deferral."""
        self.put(None, delivery(number=1), delivery(number=2))
        first, second = self.claim()
        self.get(self.queue.hold("m1", "stop"))
        self.get(self.queue.settle(first, Outcome.deferred(), 210.0, 500.0))
        self.get(self.queue.settle(second, Outcome.delivered(), 210.0))
        (entry,) = self.get(self.queue.find(QueueFilter()))
        states = [one.state for one in entry.deliveries]
        self.assertEqual(states, [DeliveryState.HELD, DeliveryState.DELIVERED])
        self.assertEqual(self.claim(now=999.0), ())

    def test_release_during_an_attempt(self) -> None:
        """Releasing does not let a second courier at a delivery that is being attempted."""
        self.put()
        self.claim(now=200.0)
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
        """A dropped message is gone with its deliveries, and its claims are lost."""
        self.put()
        (claim,) = self.claim()
        self.assertEqual(self.get(self.queue.drop("m1")), "blob-m1")
        self.fails(self.queue.settle(claim, Outcome.delivered(), 210.0), Conflict)
        self.fails(self.queue.renew(claim, 300.0), Conflict)
        self.assertIsNone(self.get(self.queue.next_due()))
        self.put()  # the id and the blob are free again

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

        self.assertEqual(found(), ["m2", "m3", "m1"])
        self.assertEqual(found(limit=2), ["m2", "m3"])
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

    def test_next_due(self) -> None:
        """The runner learns when to look again, whether work waits or a lease may be lost."""
        self.assertIsNone(self.get(self.queue.next_due()))
        self.put(None, delivery(next_attempt_at=300.0))
        self.put(message("m2"), delivery("m2", next_attempt_at=250.0, state=DeliveryState.HELD))
        self.assertEqual(self.get(self.queue.next_due()), 300.0)
        self.claim(now=300.0, lease_seconds=60.0)
        self.assertEqual(self.get(self.queue.next_due()), 360.0)

    def test_blobs(self) -> None:
        """Every body that is still needed is named."""
        self.put()
        self.put(message("m2"), delivery("m2"))
        self.assertEqual(self.get(self.queue.blobs()), {"blob-m1", "blob-m2"})

    def test_check(self) -> None:
        """After all kinds of changes no invariant is broken."""
        for number in range(5):
            self.put(message(f"m{number}"), delivery(f"m{number}"), delivery(f"m{number}", 2))
        for index, claim in enumerate(self.claim(limit=7)):
            outcome = (Outcome.delivered(), Outcome.failed(), Outcome.deferred())[index % 3]
            self.get(self.queue.settle(claim, outcome, 200.0, 400.0))
        self.get(self.queue.hold("m4", "x"))
        self.assertEqual(self.get(self.queue.check()), ())

    def test_values_are_not_shared(self) -> None:
        """What a caller got does not change under its hands."""
        self.put()
        (claim,) = self.claim()
        before = attrs.evolve(claim.delivery)
        self.get(self.queue.settle(claim, Outcome.deferred(), 210.0, 500.0))
        self.assertEqual(claim.delivery, before)
