"""Tests of fe_mail.policy: tables read top to bottom, every rule counted by its name."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.model.envelope import Peer
from fe_mail.model.status import Status
from fe_mail.policy import inbound, outbound
from fe_mail.policy.limits import TARPIT_AFTER, TARPIT_MAX_SECONDS, UNKNOWN_MAX
from fe_mail.policy.rules import Rule, first_refusal

NO = Status(550, "5.7.1", "No.")


def rule(name: str, refusal: Status | None, asked: list[str]) -> Rule[int]:
    """A rule that notes that it was asked."""

    async def check(facts: int) -> Status | None:
        asked.append(f"{name}({facts})")
        return refusal

    return Rule(name, "A test.", check)


class TableTests(SynchronousTestCase):
    """How tables are read."""

    def now(self, work: Any) -> Any:
        """The result of a coroutine."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_first_refusal_ends(self) -> None:
        """Rules behind the one that refused are not asked, and it alone is counted."""
        asked: list[str] = []
        counted: list[str] = []
        table = (rule("a", None, asked), rule("b", NO, asked), rule("c", NO, asked))
        self.assertIs(self.now(first_refusal(table, 7, counted.append)), NO)
        self.assertEqual((asked, counted), (["a(7)", "b(7)"], ["b"]))

    def test_all_agree(self) -> None:
        """None, and nothing is counted."""
        self.assertIsNone(self.now(first_refusal((rule("a", None, []),), 1)))

    def test_names(self) -> None:
        """Every rule has a name of its own, with its table, and a sentence."""
        cache = MemoryCache(Clock())
        tables: tuple[Any, ...] = (
            inbound.connect_table(cache),
            inbound.RECIPIENT,
            inbound.MESSAGE,
            outbound.SENDER,
            outbound.RECIPIENT,
            outbound.message_table(cache),
        )
        rules = [rule for table in tables for rule in table]
        self.assertEqual(len({rule.name for rule in rules}), len(rules))
        for each in rules:
            self.assertRegex(each.name, r"(inbound|outbound)\.[a-z]+\.[a-z-]+\Z")
            self.assertTrue(each.description.endswith("."))
            self.assertTrue(attrs.has(type(each)))

    def test_tarpit(self) -> None:
        """Delays grow to a limit, then the address is shut out until the window ends."""
        clock = Clock()
        cache = MemoryCache(clock)
        delays = [self.now(inbound.note_unknown(cache, "192.0.2.1")) for _ in range(UNKNOWN_MAX)]
        self.assertEqual(delays[:TARPIT_AFTER], [0.0] * TARPIT_AFTER)
        self.assertEqual(delays[-1], TARPIT_MAX_SECONDS)
        facts = inbound.ConnectFacts(peer=Peer(ip="192.0.2.1"))
        table = inbound.connect_table(cache)
        self.assertIsNotNone(self.now(first_refusal(table, facts)))
        clock.advance(3601)
        self.assertIsNone(self.now(first_refusal(table, facts)))

    def test_one_subscriber_is_one_guesser(self) -> None:
        """Another address of the same IPv6 network has no allowance of its own."""
        cache = MemoryCache(Clock())
        for number in range(UNKNOWN_MAX):
            self.now(inbound.note_unknown(cache, f"2001:db8:1:2::{number:x}"))
        table = inbound.connect_table(cache)
        for ip, is_refused in (("2001:db8:1:2:ffff::1", True), ("2001:db8:1:3::1", False)):
            refusal = self.now(first_refusal(table, inbound.ConnectFacts(peer=Peer(ip=ip))))
            self.assertEqual(refusal is not None, is_refused, ip)

    def test_own_mail_is_not_counted(self) -> None:
        """Mail of our own making has no address."""
        self.assertEqual(self.now(inbound.note_unknown(MemoryCache(Clock()), "")), 0.0)
