"""Tests of fe_mail.policy: tables read top to bottom, every rule counted by its name."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.queue import Handling
from fe_mail.policy import inbound, outbound
from fe_mail.policy.allowance import Allowance
from fe_mail.policy.rules import (
    Accept,
    Action,
    Discard,
    File,
    Hold,
    Judgment,
    Rule,
    Tag,
    first_refusal,
    judge,
    refuse,
)
from tests.fakes import memory_counters

NO = refuse(550, "5.7.1", "No.")


def rule(name: str, action: Action | None, asked: list[str]) -> Rule[int, Any]:
    """A rule that notes that it was asked."""

    async def check(facts: int) -> Action | None:
        asked.append(f"{name}({facts})")
        return action

    return Rule(name, "A test.", check)


def ignore(name: str) -> None:
    """Count nothing."""


class TableTests(SynchronousTestCase):
    """How tables are read."""

    def now(self, work: Any) -> Any:
        """The result of a coroutine."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def judgment(self, *actions: Action | None) -> tuple[Judgment, str]:
        """Of a table of rules named a, b, c ..., with the names that were counted."""
        counted: list[str] = []
        table = tuple(rule(chr(97 + n), action, []) for n, action in enumerate(actions))
        return self.now(judge(table, 1, counted.append)), "".join(counted)

    def test_first_refusal_ends(self) -> None:
        """Rules behind the one that refused are not asked, and it alone is counted."""
        asked: list[str] = []
        counted: list[str] = []
        table = (rule("a", None, asked), rule("b", NO, asked), rule("c", NO, asked))
        self.assertIs(self.now(first_refusal(table, 7, counted.append)), NO.status)
        self.assertEqual((asked, counted), (["a(7)", "b(7)"], ["b"]))

    def test_all_agree(self) -> None:
        """None, and nothing is counted."""
        self.assertIsNone(self.now(first_refusal((rule("a", None, []),), 1, self.fail)))
        self.assertEqual(self.judgment(None, None), (Judgment(action=Accept()), ""))

    def test_first_decisive_action(self) -> None:
        """Whatever the rules behind would say."""
        for action in (NO, Hold("why"), Discard(), Accept()):
            judgment, counted = self.judgment(None, action, NO, Discard())
            self.assertEqual((judgment.action, counted), (action, "b"))
            self.assertEqual(judgment.refusal, NO.status if action is NO else None)

    def test_tags_accumulate(self) -> None:
        """Also those before a rule that decides; the first folder counts; all are counted."""
        judgment, counted = self.judgment(
            Tag(field="X-Spam: yes", keyword="$Junk"),
            File("Junk"),
            Tag(keyword="$Seen-Before"),
            File("Other"),
            Hold("look at it"),
            Tag(keyword="never"),
        )
        self.assertEqual(judgment.action, Hold("look at it"))
        self.assertEqual(
            judgment.handling,
            Handling(folder="Junk", keywords=("$Junk", "$Seen-Before"), fields=("X-Spam: yes",)),
        )
        self.assertEqual(counted, "abcde")

    def test_nonsense(self) -> None:
        """A tag is one field, so that nothing can be written below it; a hold has a reason."""
        for field in ("X-Spam", "X Spam: yes", "X: a\r\nBcc: b", "X: a\n", ": a"):
            self.assertRaises(ValueError, Tag, field=field)
        self.assertRaises(ValueError, Hold, "")

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
            outbound.message_table(),
            outbound.allowance_table(Allowance(counters)),
        )
        rules = [rule for table in tables for rule in table]
        self.assertEqual(len({rule.name for rule in rules}), len(rules))
        for each in rules:
            self.assertRegex(each.name, r"(inbound|outbound)\.[a-z]+\.[a-z-]+\Z")
            self.assertTrue(each.description.endswith("."))
            self.assertTrue(attrs.has(type(each)))
