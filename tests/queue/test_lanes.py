"""Tests of fe_mail.queue.lanes and places: who is next, and who may take how much."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.lane import LOCAL, SMTP, lane_of, owner_of
from fe_mail.model.queue import Claim, QueuedDelivery, QueuedMessage, Room, Target
from fe_mail.queue.lanes import Lane, Lanes, Work
from fe_mail.queue.places import Places
from fe_mail.queue.schedule import FIRST_CONCURRENCY, LOCAL_CONCURRENCY, REMOTE_CONCURRENCY

MESSAGE = QueuedMessage(id="m", size_octets=1, reverse_path="", created_at=1.0, source="submission")


class LanesTests(SynchronousTestCase):
    """Eight places for others, two for local mail."""

    def setUp(self) -> None:
        """Nothing waits."""
        self.lanes = Lanes({SMTP: 8, LOCAL: 2})
        self.number = 0

    def claim(self, address: str, courier: str = "remote", user: str = "u") -> Claim:
        """One delivery of a user."""
        self.number += 1
        target = Target(courier=courier, address=address, alias_id=address)
        delivery = QueuedDelivery(
            message_id="m", number=self.number, recipient=address, target=target
        )
        message = attrs.evolve(MESSAGE, alias_id=user)
        owner = owner_of(message, delivery)
        return Claim(
            message=message, deliveries=(delivery,), token="", lane=lane_of(target), owner=owner
        )

    def lane_of(self, claim: Claim) -> Lane:
        """Its lane."""
        return self.lanes.lane(claim.lane, claim.delivery.target)

    def add(self, address: str, courier: str = "remote", user: str = "u") -> bool:
        """Let one wait if there is room."""
        claim = self.claim(address, courier, user)
        lane = self.lane_of(claim)
        if not self.lanes.has_room(lane, claim.owner):
            return False
        self.lanes.add(Work(claim, lane))
        return True

    def start(self) -> list[Work]:
        """Start all that may."""
        found = []
        while (work := self.lanes.next()) is not None:
            found.append(work)
        return found

    def started(self) -> list[str]:
        """Their addresses."""
        return [work.claim.delivery.target.address for work in self.start()]

    def room(self, kind: str) -> Room:
        """What may be claimed of a kind."""
        (room,) = (room for room in self.lanes.rooms() if room.kind == kind)
        return room

    def test_turns(self) -> None:
        """Destinations take turns; none has more than its start allows."""
        self.lanes = Lanes({SMTP: 16})
        for address in ("1@a.test", "2@a.test", "1@b.test"):
            self.assertTrue(self.add(address))
        self.assertEqual(self.started(), ["1@a.test", "1@b.test", "2@a.test"])
        for address in ("3@a.test", "2@b.test"):
            self.add(address)
        self.assertEqual(self.started(), ["2@b.test"])
        self.assertEqual(FIRST_CONCURRENCY, 2)

    def test_kinds(self) -> None:
        """Mail to others never takes the places of local mail."""
        for number in range(8):
            self.add(f"1@{number}.test", user=f"u{number}")
        self.assertEqual(len(self.started()), 6)
        self.add("alias", "local")
        self.assertEqual(self.started(), ["alias"])

    def test_lane_has_its_share(self) -> None:
        """A lane that has its share is full; a new destination still finds room."""
        for user in "ab":
            self.add("1@a.test", user=user)
            self.start()
        added = [self.add("1@a.test", user=user) for user in "cdef"]
        self.assertEqual(added, [True] * 2 + [False] * 2)
        self.assertTrue(self.add("1@b.test"))
        self.assertEqual(self.room(SMTP).full_lanes, {"smtp:a.test"})

    def test_owner_has_its_share(self) -> None:
        """What one user has waiting takes no room from others, however many hosts it is for."""
        taken = [self.add(f"1@{number}.test") for number in range(400)]
        self.assertEqual(taken.count(True), 2)
        self.assertEqual(self.room(SMTP).full_owners, {"submission:u"})
        self.assertTrue(self.add("1@a.test", user="v"))
        self.assertEqual(len(self.start()), 3)
        self.assertEqual(self.room(SMTP).full_owners, frozenset())

    def test_room_comes_back(self) -> None:
        """Counts are those of the beginning when all is done."""
        empty = self.lanes.rooms()
        for address in ("1@a.test", "1@b.test"):
            self.add(address)
        (first, second) = self.start()
        self.assertTrue(self.add("2@a.test"))
        self.assertNotEqual(self.lanes.rooms(), empty)
        self.assertEqual(len(list(self.lanes.drain())), 1)
        self.lanes.done(first)
        self.lanes.done(second)
        self.assertEqual(self.lanes.rooms(), empty)
        self.assertEqual(empty[0].per_lane, REMOTE_CONCURRENCY)
        self.assertEqual(self.room(LOCAL).per_lane, LOCAL_CONCURRENCY)

    def test_full(self) -> None:
        """No places are never less than none."""
        for number in range(40):
            self.lanes.add(
                Work(claim := self.claim(f"1@{number}.test", user=f"{number}"), self.lane_of(claim))
            )
        self.assertEqual(self.room(SMTP).places, 0)
        self.assertEqual(self.room(LOCAL).places, 8)
        self.assertFalse(self.add("1@new.test", user="new"))

    def test_drain(self) -> None:
        """What waits can be taken out, lane by lane and all; what runs stays."""
        for address in ("1@a.test", "2@a.test", "1@b.test"):
            claim = self.claim(address)
            self.lanes.add(Work(claim, self.lane_of(claim)))
        work = self.lanes.next()
        assert work is not None
        self.assertEqual(len(self.lanes.drain_lane(work.lane)), 1)
        self.assertEqual(len(list(self.lanes.drain())), 1)
        self.assertIsNone(self.lanes.next())
        self.assertEqual(work.lane.active, 1)
        self.assertFalse(self.lanes.remove(work), "it runs")

    def test_hurried(self) -> None:
        """When few places are left, those who take them must not wait long."""
        for number in range(8):
            claim = self.claim(f"1@{number}.test", user=f"u{number}")
            lane = self.lane_of(claim)
            lane.state = lane.state.answered()
            self.lanes.add(Work(claim, lane))
        hurried = [work.claim.is_hurried for work in self.start()]
        self.assertEqual(hurried, [False] * 6 + [True] * 2)


class PlacesTests(SynchronousTestCase):
    """Sixteen places."""

    def setUp(self) -> None:
        """All free."""
        self.places = Places(16)

    def fill(self, owner: str, *, is_proven: bool = False) -> int:
        """Take all that an owner can have; how many."""
        count = 0
        while self.places.may_start(owner, is_proven=is_proven):
            self.places.start(owner, is_proven=is_proven)
            count += 1
        return count

    def test_owner(self) -> None:
        """One user has a quarter for hosts that nobody knows, half in all."""
        self.assertEqual(self.fill("submission:a"), 4)
        self.assertEqual(self.fill("submission:a", is_proven=True), 4)

    def test_sources(self) -> None:
        """What strangers can cause takes less than what users send."""
        self.assertEqual(self.fill("bounce:"), 4)
        self.assertEqual(self.fill("bounce:", is_proven=True), 0)
        self.assertEqual(sum(self.fill(f"mx:{name}.test") for name in "abc"), 8)

    def test_reserve(self) -> None:
        """However many send to unknown hosts: hosts that answered lately have places left."""
        unproven = sum(self.fill(f"submission:{name}") for name in "abcdef")
        self.assertEqual(unproven, 12)
        self.assertEqual(self.fill("submission:g"), 0)
        self.assertEqual(self.fill("submission:g", is_proven=True), 4)

    def test_no_owner(self) -> None:
        """Mail into our own mailboxes has no shares."""
        self.assertEqual(self.fill(""), 16)

    def test_given_back(self) -> None:
        """A place that is given back can be taken again, as it was taken."""
        self.fill("submission:a")
        self.places.end("submission:a", is_proven=False)
        self.assertEqual(self.fill("submission:a"), 1)
        self.assertFalse(self.places.is_scarce)

    def test_small(self) -> None:
        """With a single place everybody can have it."""
        self.places = Places(1)
        self.assertEqual(self.fill("bounce:"), 1)
