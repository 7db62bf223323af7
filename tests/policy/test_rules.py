"""Tests of fe_mail.policy: tables read top to bottom, every rule counted by its name."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.status import Status
from fe_mail.policy import inbound, outbound
from fe_mail.policy.allowance import Allowance
from fe_mail.policy.rules import Rule, first_refusal
from tests.fakes import memory_counters

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
        counters = memory_counters(Clock())

        async def never(ip: str) -> bool:
            return False

        tables: tuple[Any, ...] = (
            inbound.connect_table(never),
            inbound.recipient_table(never),
            inbound.MESSAGE,
            outbound.SENDER,
            outbound.RECIPIENT,
            outbound.message_table(Allowance(counters)),
        )
        rules = [rule for table in tables for rule in table]
        self.assertEqual(len({rule.name for rule in rules}), len(rules))
        for each in rules:
            self.assertRegex(each.name, r"(inbound|outbound)\.[a-z]+\.[a-z-]+\Z")
            self.assertTrue(each.description.endswith("."))
            self.assertTrue(attrs.has(type(each)))
