"""Tests of mail to what our SRS made, when the domain of SRS is hosted with a catch-all."""

from twisted.internet.defer import Deferred

from fe_mail.mailauth.srs import SRS
from fe_mail.model.address import Address, parse_address
from fe_mail.model.queue import Target
from tests.queue.base import PEER, PostOfficeTestCase

DAY = 86_400.0
CAROL = "carol@elsewhere.test"


class SRSTestCase(PostOfficeTestCase):
    """``mail.example.net``, which SRS uses, is hosted: every address of it goes to alice."""

    def setUp(self) -> None:
        """A catch-all to a mailbox."""
        super().setUp()
        self.hosted = self.add_domain("mail.example.net")
        self.add_alias(self.hosted, "*", "alice@example.org")
        self.ours = self.srs.forward(parse_address(CAROL), self.clock.seconds())

    def answer(self, address: Address | str, sender: str = "") -> tuple[int, str] | None:
        """Code and enhanced status of a refusal at RCPT."""
        reverse_path = parse_address(sender) if sender else None
        recipient = parse_address(str(address))
        work = self.reception.recipient(PEER, None, reverse_path, recipient)
        waiting = Deferred.fromCoroutine(work)
        self.clock.pump([1.0] * 10)
        refusal = self.successResultOf(waiting)
        return (refusal.code, refusal.enhanced) if refusal else None

    def queued(self) -> list[tuple[str, str]]:
        """Courier and address of what is in the queue."""
        targets = [each.target for entry in self.entries() for each in entry.deliveries]
        return [(target.courier, target.address) for target in targets]


class ReportTests(SRSTestCase):
    """Genuine reports, and what only looks like one."""

    def test_genuine(self) -> None:
        """To the one who wrote, not to the catch-all; also when its case was lost on the way."""
        for address in (str(self.ours), str(self.ours).lower(), str(self.ours).upper()):
            self.assertIsNone(self.answer(address))
            route = self.now(self.reception.route(parse_address(address), None))
            (target,) = route.targets
            self.assertEqual((target.courier, target.address.lower()), ("remote", CAROL))
        self.assertEqual(self.hand_in(self.envelope(str(self.ours), sender="")).code, 250)
        self.assertEqual(self.queued(), [("remote", CAROL)])

    def test_forged(self) -> None:
        """Refused, not caught by the catch-all."""
        local = self.ours.local
        for bad in (
            "SRS0=AAAAAA=AA=elsewhere.test=carol",
            local[:-1],
            local.replace("carol", "mallory"),
            "SRS0=",
            "srs1=x",
            "SRS1=AAAAAA=mail.example.net==AAAAAA=AA=elsewhere.test=carol",
            "srs0-news",
            '"SRS0=AAAAAA=AA=elsewhere.test=carol x"',
        ):
            self.setUp()
            self.assertEqual(self.answer(Address(bad, "mail.example.net")), (550, "5.1.1"), bad)

    def test_expired(self) -> None:
        """After three weeks nobody waits for a report."""
        self.clock.advance(30 * DAY)
        self.assertEqual(self.answer(self.ours), (550, "5.1.1"))

    def test_with_a_sender(self) -> None:
        """Only reports: whoever learned the address cannot write to carol through us."""
        self.assertEqual(self.answer(self.ours, sender="dave@elsewhere.test"), (550, "5.7.1"))
        self.assertEqual(self.hand_in(self.envelope(str(self.ours))).code, 550)
        self.assertEqual(self.queued(), [])

    def test_before_a_named_alias(self) -> None:
        """An alias that somebody called like this takes nothing."""
        self.add_alias(self.hosted, self.ours.local.lower(), "thief@t.test")
        route = self.now(self.reception.route(self.ours, None))
        self.assertEqual(route.targets, (Target(courier="remote", address=CAROL),))

    def test_others_go_on(self) -> None:
        """The catch-all takes what is no SRS, and SRS of other domains of ours is an address."""
        self.assertIsNone(self.answer("hello@mail.example.net", sender=CAROL))
        self.assertIsNone(self.answer("srs@mail.example.net", sender=CAROL))
        self.add_alias(self.domain, "*", "x@t.test")
        self.assertIsNone(self.answer("SRS0=a=b=c.test=d@example.org", sender=CAROL))

    def test_sender_who_lives_here(self) -> None:
        """A report about forwarded mail of a hosted address goes into its mailbox."""
        ours = self.srs.forward(parse_address("alice@example.org"), self.clock.seconds())
        self.assertEqual(self.hand_in(self.envelope(str(ours), sender="")).code, 250)
        self.assertEqual(self.queued(), [("local", "alice@example.org")])

    def test_not_hosted(self) -> None:
        """The same where the domain of SRS is not hosted: forged, with a sender, and genuine."""
        self.now(self.accounts.delete_domain(self.hosted.id))
        self.assertIsNone(self.answer(self.ours))
        self.assertEqual(self.answer(self.ours, sender=CAROL), (550, "5.7.1"))
        self.assertEqual(self.answer("SRS0=A=AA=x.test=y@mail.example.net"), (550, "5.1.1"))


class RoundTripTests(SRSTestCase):
    """Mail that we forwarded, that comes back, and is forwarded again."""

    def setUp(self) -> None:
        """Another forwarder."""
        super().setUp()
        self.other = SRS([b"theirs"], "other.test")

    def test_all_the_way(self) -> None:
        """A to B to A: the report to our SRS1 goes to carol, not from us to us."""
        now = self.clock.seconds()
        ours_again = self.srs.forward(self.other.forward(self.ours, now), now)
        self.assertTrue(ours_again.local.startswith("SRS1="))
        self.assertEqual(self.hand_in(self.envelope(str(ours_again), sender="")).code, 250)
        self.assertEqual(self.queued(), [("remote", CAROL)])
        self.clock.advance(30 * DAY)
        self.assertEqual(self.answer(ours_again), (550, "5.1.1"))

    def test_forged_inside(self) -> None:
        """Whoever makes us wrap a forged SRS0 of ours gains nothing."""
        now = self.clock.seconds()
        forged = Address("SRS0=AAAAAA=AA=victim.test=x", "mail.example.net")
        wrapped = self.srs.forward(self.other.forward(forged, now), now)
        self.assertEqual(self.answer(wrapped), (550, "5.1.1"))

    def test_of_others(self) -> None:
        """An SRS0 of somebody else goes back to them."""
        now = self.clock.seconds()
        theirs = self.other.forward(parse_address(CAROL), now)
        wrapped = self.srs.forward(theirs, now)
        self.assertEqual(self.hand_in(self.envelope(str(wrapped), sender="")).code, 250)
        self.assertEqual(self.queued(), [("remote", str(theirs))])
