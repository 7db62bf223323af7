"""Tests of fe_mail.reception.checks: all at once, in time, and none of them can lose a message."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.budget import Budget
from fe_mail.mailauth.dkim import SigningKey, generate_key, sign
from fe_mail.model.envelope import Envelope
from fe_mail.model.errors import Unavailable
from fe_mail.model.verdicts import Result, Verdict, Verdicts
from fe_mail.policy.inbound import MESSAGE as TABLE
from fe_mail.policy.inbound import MessageFacts
from fe_mail.policy.rules import Action, Rule, refuse
from fe_mail.reception.checks import (
    CHECK_SECONDS,
    DEADLINE_SECONDS,
    Check,
    Found,
    check_table,
    collect,
)
from fe_mail.reception.inbound import InboundReception
from fe_mail.reception.letter import Letter
from tests.queue.base import MESSAGE, PostOfficeTestCase

PASS: Found = (Verdict(result=Result.PASS, domain="elsewhere.test"),)
LETTER = Letter(Envelope(reverse_path=None), 0.0, examines=False, memory=Budget())


class ChecksTestCase(PostOfficeTestCase):
    """Checks that answer when they are told to."""

    def setUp(self) -> None:
        """Nothing is asked yet."""
        super().setUp()
        self.asked: list[str] = []
        self.answers: dict[str, Deferred[Found]] = {}
        self.known: dict[str, Verdicts] = {}
        self.cancelled: list[str] = []

    def check(self, method: str, **more: Any) -> Check:
        """A check that waits for its answer."""

        async def ask(letter: Letter, known: Verdicts) -> Found:
            self.asked.append(method)
            self.known[method] = known
            answer = self.answers[method] = Deferred(lambda _: self.cancelled.append(method))
            return await answer

        return Check(method=method, ask=ask, **more)

    def collect(self, *checks: Check) -> "Deferred[Verdicts]":
        """Ask them."""
        return Deferred.fromCoroutine(collect(checks, LETTER, self.clock))

    def result(self, found: Found | None) -> str:
        """The one result."""
        assert found is not None
        (verdict,) = found
        return verdict.result.value


class CollectTests(ChecksTestCase):
    """The frame."""

    def test_at_once(self) -> None:
        """None waits for another; what was not asked is None; no timer stays."""
        done = self.collect(self.check("spf"), self.check("dkim"))
        self.assertEqual(self.asked, ["spf", "dkim"])
        self.answers["dkim"].callback(PASS)
        self.assertNoResult(done)
        self.answers["spf"].callback(())
        self.assertEqual(self.successResultOf(done), Verdicts(spf=(), dkim=PASS))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_to_ask(self) -> None:
        """No check, no wait."""
        self.assertEqual(self.successResultOf(self.collect()), Verdicts())

    def test_late(self) -> None:
        """A check beyond its budget is cancelled and cannot be told; the others count."""
        done = self.collect(self.check("spf", seconds=2.0), self.check("dkim"))
        self.answers["dkim"].callback(PASS)
        self.clock.advance(1.9)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        verdicts = self.successResultOf(done)
        self.assertEqual(self.cancelled, ["spf"])
        self.assertEqual((self.result(verdicts.spf), verdicts.dkim), ("temperror", PASS))

    def test_deadline(self) -> None:
        """All that is not known then cannot be told, what had not begun neither."""
        done = self.collect(
            self.check("spf", seconds=100.0), self.check("dmarc", needs=("spf",), seconds=100.0)
        )
        self.clock.advance(DEADLINE_SECONDS)
        verdicts = self.successResultOf(done)
        self.assertEqual(self.asked, ["spf"])
        self.assertEqual(self.cancelled, ["spf"])
        results = (self.result(verdicts.spf), self.result(verdicts.dmarc))
        self.assertEqual(results, ("temperror", "temperror"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_heedless(self) -> None:
        """One that swallows its cancellation holds up nobody, and what it says later is void."""
        later: Deferred[Found] = Deferred()

        async def ask(letter: Letter, known: Verdicts) -> Found:
            try:
                return await Deferred()
            except CancelledError:
                return await later

        done = self.collect(Check(method="spf", ask=ask))
        self.clock.advance(CHECK_SECONDS)
        self.assertEqual(self.result(self.successResultOf(done).spf), "temperror")
        later.callback(PASS)

    def test_failing(self) -> None:
        """Our own errors are temporary; a defect is logged; neither stops the others."""
        done = self.collect(self.check("spf"), self.check("iprev"), self.check("dkim"))
        self.answers["spf"].errback(Unavailable())
        self.answers["iprev"].errback(ZeroDivisionError())
        self.answers["dkim"].callback(PASS)
        verdicts = self.successResultOf(done)
        self.assertEqual(self.result(verdicts.spf), "temperror")
        self.assertEqual(self.result(verdicts.iprev), "temperror")
        self.assertEqual(verdicts.dkim, PASS)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_needs(self) -> None:
        """One that builds on others begins when they are done, however they ended."""
        done = self.collect(
            self.check("spf"), self.check("dkim"), self.check("dmarc", needs=("spf", "dkim"))
        )
        self.answers["spf"].callback(PASS)
        self.assertEqual(self.asked, ["spf", "dkim"])
        self.answers["dkim"].errback(Unavailable())
        self.assertEqual(self.asked[2:], ["dmarc"])
        known = self.known["dmarc"]
        self.assertEqual((known.spf, self.result(known.dkim)), (PASS, "temperror"))
        self.answers["dmarc"].callback(PASS)
        self.assertEqual(self.successResultOf(done).dmarc, PASS)


class ReceptionTests(ChecksTestCase):
    """Messages of which something is asked."""

    def receive(
        self,
        *checks: Check,
        message: bytes = MESSAGE,
        table: tuple[Rule[MessageFacts, Action], ...] = TABLE,
    ) -> "Deferred[Any]":
        """A message up to the end of its data."""
        reception = InboundReception(
            self.router,
            self.intake,
            self.rooms,
            self.harvesting,
            self.cache,
            self.clock,
            hostname="mx.example.net",
            count=self.counted.append,
            checks=checks,
            message_table=table,
        )
        spooling = reception.begin(self.envelope("alice@example.org"), None)
        self.now(spooling.write(message))
        return Deferred.fromCoroutine(spooling.finish())

    def test_before_the_tables(self) -> None:
        """A rule sees what the checks found."""
        seen: list[Verdicts] = []

        async def look(facts: MessageFacts) -> Action | None:
            seen.append(facts.verdicts)
            return refuse(550, "5.7.1", "No.")

        done = self.receive(self.check("spf"), table=(Rule("inbound.message.test", ".", look),))
        self.assertEqual(seen, [])
        self.answers["spf"].callback(PASS)
        self.assertEqual(self.successResultOf(done).code, 550)
        self.assertEqual(seen, [Verdicts(spf=PASS)])

    def test_no_message_is_lost(self) -> None:
        """Checks that are late, broken or silent: 250 at the deadline, and it is in the queue."""
        done = self.receive(
            self.check("spf"), self.check("dkim", seconds=100.0), self.check("iprev")
        )
        self.answers["iprev"].errback(ZeroDivisionError())
        self.clock.advance(CHECK_SECONDS)
        self.assertNoResult(done)
        self.clock.advance(DEADLINE_SECONDS - CHECK_SECONDS)
        self.assertEqual(self.successResultOf(done).code, 250)
        self.assertEqual(len(self.entries()), 1)
        self.assertEqual(self.cancelled, ["spf", "dkim"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def dkim(self, records: Sequence[str] | None, message: bytes) -> Found:
        """What the real check says."""
        name = "s._domainkey.elsewhere.test"
        failing = () if records is not None else (name,)
        resolver = TableResolver({(name, "TXT"): records or ()}, failing=failing)
        letter = Letter(
            self.envelope("alice@example.org"), self.clock.seconds(), examines=True, memory=Budget()
        )
        letter.feed(message)
        verdicts = self.now(collect(check_table(resolver), letter, self.clock))
        assert verdicts.dkim is not None
        return verdicts.dkim

    def test_dkim(self) -> None:
        """The signatures of a message, each with its domain."""
        key = SigningKey.from_pem(generate_key(0))
        now = self.clock.seconds()
        field = sign(MESSAGE, key, domain="elsewhere.test", selector="s", now=now)
        record = f"v=DKIM1; k=ed25519; p={key.public_base64}"
        (good,) = self.dkim([record], field + MESSAGE)
        self.assertEqual((good.result, good.domain), (Result.PASS, "elsewhere.test"))
        self.assertIn(("header.s", "s"), good.properties)
        self.assertEqual(self.result(self.dkim([record], field + MESSAGE + b"x\r\n")), "fail")
        self.assertEqual(self.result(self.dkim([], field + MESSAGE)), "permerror")
        self.assertEqual(self.result(self.dkim(None, field + MESSAGE)), "temperror")
        self.assertEqual(self.result(self.dkim([], MESSAGE)), "none")
