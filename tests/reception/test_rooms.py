"""Tests of fe_mail.reception.rooms: a full mailbox is told of before mail is accepted."""

from typing import Any

from twisted.internet.defer import Deferred

from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.local import LocalCourier
from fe_mail.model.address import parse_address
from fe_mail.model.errors import Unavailable
from fe_mail.model.mailbox import NewMessage, Quota
from fe_mail.model.queue import OutcomeKind
from fe_mail.model.route import Route
from fe_mail.model.status import Status
from fe_mail.reception import rooms
from fe_mail.reception.rooms import KNOWN_SECONDS, Rooms
from tests.fakes import give_keys
from tests.queue.base import KEY, MESSAGE, PEER, PostOfficeTestCase

FULL = (452, "4.2.2")


class RoomsTestCase(PostOfficeTestCase):
    """Alice's mailbox has a quota."""

    def limit(self, octets: int) -> None:
        """Of her mailbox."""
        self.now(self.mailboxes.set_quota(self.alice.id, octets))
        self.clock.advance(KNOWN_SECONDS)

    def recipient(self, address: str = "alice@example.org", size_octets: int = 0) -> Any:
        """The answer to RCPT."""
        work = self.reception.recipient(PEER, None, None, parse_address(address), size_octets)
        refusal = self.now(work)
        return refusal and (refusal.code, refusal.enhanced)

    def deliver(self) -> list[OutcomeKind]:
        """What becomes of all that waits."""
        courier = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)
        claims = [one for one in self.claims() if one.delivery.target.courier == "local"]
        return [self.now(courier.deliver(claim))[0].kind for claim in claims]


class RecipientTests(RoomsTestCase):
    """RCPT."""

    def test_size(self) -> None:
        """What MAIL FROM said of the size counts; without it, whether there is room at all."""
        self.limit(1000)
        self.assertIsNone(self.recipient())
        self.assertIsNone(self.recipient(size_octets=1000))
        self.assertEqual(self.recipient(size_octets=1001), FULL)
        self.assertEqual(self.counted, ["inbound.recipient.full"])

    def test_no_quota(self) -> None:
        """0 is no limit."""
        self.limit(0)
        self.assertIsNone(self.recipient(size_octets=50_000_000))

    def test_full(self) -> None:
        """Nothing fits any more, however small; when there is room again, it is taken."""
        self.limit(len(MESSAGE))
        mailbox = self.now(self.mailboxes.unlock(self.alice.id, KEY))
        self.now(mailbox.append("INBOX", [self.new_message()]))
        self.clock.advance(KNOWN_SECONDS)
        self.assertEqual(self.recipient(), FULL)
        self.now(mailbox.remove(self.now(mailbox.select("INBOX")).folder.id, [1]))
        self.clock.advance(KNOWN_SECONDS)
        self.assertIsNone(self.recipient())
        mailbox.close()

    def new_message(self) -> Any:
        """To append."""
        return NewMessage(raw=MESSAGE, received_at=0.0)

    def test_each_its_own(self) -> None:
        """One is full, the others are not; an unknown one is unknown."""
        self.limit(10)
        self.add_alias(self.domain, "bob", "bob@elsewhere.test")
        answers = [self.recipient(f"{who}@example.org", 100) for who in ("alice", "bob", "nobody")]
        self.assertEqual(answers, [FULL, None, (550, "5.1.1")])

    def test_elsewhere_too(self) -> None:
        """An address that leads to a full mailbox and elsewhere is taken."""
        self.limit(10)
        self.add_alias(self.domain, "team", "alice@example.org", "x@elsewhere.test")
        self.add_alias(self.domain, "only", "alice@example.org")
        self.add_alias(self.domain, "*", "alice@example.org")
        answers = [self.recipient(f"{who}@example.org", 100) for who in ("team", "only", "any")]
        self.assertEqual(answers, [None, FULL, FULL])

    def test_asked_once(self) -> None:
        """A burst costs one question."""
        self.limit(10)
        asked: list[object] = []
        quota = self.mailboxes.quota

        async def counted(alias_id: Any) -> Quota:
            asked.append(alias_id)
            return await quota(alias_id)

        self.patch(self.mailboxes, "quota", counted)
        for _ in range(100):
            self.recipient(size_octets=100)
        self.assertEqual(len(asked), 1)
        self.clock.advance(KNOWN_SECONDS)
        self.recipient()
        self.assertEqual(len(asked), 2)

    def test_cannot_be_asked(self) -> None:
        """The courier decides; nobody is refused for a disk of ours."""
        self.limit(10)

        async def fails(alias_id: Any) -> Quota:
            raise Unavailable

        self.patch(self.mailboxes, "quota", fails)
        self.assertIsNone(self.recipient(size_octets=100))

    def test_bounded(self) -> None:
        """What is known of very many is forgotten."""
        self.patch(rooms, "MAX_KNOWN", 3)
        for number in range(10):
            alias = self.add_alias(self.domain, f"a{number}", has_imap=True)
            key = self.now(self.mailboxes.create(alias.id, KEY, limit_octets=10))
            self.now(give_keys(self.accounts, alias.id, [], key))
            self.assertEqual(self.recipient(f"a{number}@example.org", 100), FULL)
        self.assertLessEqual(len(self.rooms._known), 3)

    def test_late(self) -> None:
        """The store answers late: the same, asked by two at once."""
        self.limit(1000)
        answers: list[Deferred[None]] = []
        quota = self.mailboxes.quota

        async def later(alias_id: Any) -> Quota:
            answers.append(Deferred())
            await answers[-1]
            return await quota(alias_id)

        self.patch(self.mailboxes, "quota", later)
        route = self.now(self.router.route(parse_address("alice@example.org")))
        first, second = (
            Deferred.fromCoroutine(self.rooms.take([route], 600, "")) for _ in range(2)
        )
        while answers:
            answers.pop().callback(None)
        self.assertEqual(
            sorted([self.successResultOf(first), self.successResultOf(second)]), [False, True]
        )


class DataTests(RoomsTestCase):
    """The end of data."""

    def send(self, *names: str, octets: int = 0) -> Status:
        """A message of a little more than this size."""
        addresses = [f"{name}@example.org" for name in names or ("alice",)]
        return self.hand_in(self.envelope(*addresses), MESSAGE + b"x" * octets)

    def test_true_size(self) -> None:
        """What did not say its size is measured."""
        self.limit(2000)
        self.assertIsNone(self.recipient())
        answer = self.send(octets=2000)
        self.assertEqual((answer.code, answer.enhanced), FULL)
        self.assertEqual(self.counted, ["inbound.message.full"])
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.send(octets=100).code, 250)

    def test_what_is_taken_fits(self) -> None:
        """At the edge: whatever is answered 250 is delivered, with all that is put on top."""
        for octets in range(0, 800, 13):
            used = self.now(self.mailboxes.quota(self.alice.id)).used_octets
            self.limit(used + 800)
            answer = self.send(octets=octets)
            expected = [OutcomeKind.DELIVERED] if answer.code == 250 else []
            self.assertEqual(self.deliver(), expected, octets)
            for entry in self.entries():
                self.now(self.queue.drop(entry.message.id))
        self.assertIn("inbound.message.full", self.counted)

    def test_burst(self) -> None:
        """Many at once take no more than there is."""
        self.limit(5000)
        codes = [self.send(octets=1000).code for _ in range(10)]
        self.assertEqual((codes.count(250), codes.count(452)), (3, 7))
        self.assertEqual(self.deliver(), [OutcomeKind.DELIVERED] * 3)

    def test_on_the_way(self) -> None:
        """What waits in the queue counts, and what is sealed."""
        self.limit(3000)
        self.assertEqual(self.send(octets=1000).code, 250)
        self.clock.advance(KNOWN_SECONDS)
        self.assertEqual(self.recipient(size_octets=2000), FULL)
        self.assertEqual(self.deliver(), [OutcomeKind.DELIVERED])
        self.now(self.queue.drop(self.entries()[0].message.id))
        self.clock.advance(KNOWN_SECONDS)
        self.assertEqual(self.recipient(size_octets=2000), FULL)
        self.assertIsNone(self.recipient(size_octets=1000))

    def test_some(self) -> None:
        """Where somebody gets it, it is taken; for the full mailbox it waits."""
        self.limit(10)
        self.assertEqual(self.send("alice", "fan").code, 250)
        (entry,) = self.entries()
        self.assertEqual([one.target.courier for one in entry.deliveries], ["local", "forward"])
        self.assertEqual(self.deliver(), [OutcomeKind.DEFERRED])

    def test_unknown_meanwhile(self) -> None:
        """Of a full recipient and one that is gone meanwhile the sender begins again."""
        self.limit(10)
        self.assertEqual(self.send("alice", "nobody").code // 100, 4)


class RouteTests(RoomsTestCase):
    """What a route means."""

    def test_nothing(self) -> None:
        """What is dropped on purpose has room."""
        route = Route(address="x@example.org", is_hosted=True)
        fresh = Rooms(self.mailboxes, self.queue, self.clock)
        self.assertFalse(self.now(fresh.is_full(route, 100)))
        self.assertTrue(self.now(fresh.take([route], 100, "")))
