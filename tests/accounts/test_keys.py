"""
Tests of fe_mail.accounts.keys and aftermath: two processes, late answers, and kills in between.

What must be true in every order: whoever is shown a password and a recovery code can use both, and
nobody is told that mail was delivered which nobody can read.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from fe_mail.accounts.keys import CLAIM_SECONDS, GeneratedPassword
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import Conflict, Invalid, MailError, NotFound, Unavailable
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.model.page import Query
from fe_mail.model.queue import (
    Claim,
    Outcome,
    OutcomeKind,
    QueuedDelivery,
    QueuedMessage,
    Target,
)
from fe_mail.ports import Acceptance
from tests.accounts.processes import Process, ProcessesTestCase

RAW = b"Subject: Hello\r\n\r\nGood morning.\r\n"


class KeysTestCase(ProcessesTestCase):
    """Short ways to make and use passwords."""

    def making(self, process: Process, **how: Any) -> "Deferred[GeneratedPassword]":
        """Begin to make a password."""
        alice = self.now(self.onlooker.accounts.alias(self.alice.id))
        return process.run(process.aliases.generate_password(self.eva, self.domain, alice, **how))

    def made(self, **how: Any) -> GeneratedPassword:
        """A password, made at once."""
        return self.successResultOf(self.making(self.onlooker, **how))

    def result(self, making: "Deferred[Any]") -> Any:
        """What came of it: a value, or one of our errors."""
        making.addErrback(lambda failure: failure.trap(MailError) and failure.value)
        return self.successResultOf(making)

    def inbox(self, password: str) -> list[bytes]:
        """What the owner of the password reads."""
        identity = self.now(
            self.onlooker.login.authenticate("alice@example.org", password, Peer(), "imap")
        )
        mailboxes = self.onlooker.mailboxes
        mailbox = self.now(mailboxes.unlock(self.alice.id, identity.mailbox_key))
        view = self.now(mailbox.select("INBOX"))
        raws = [self.now(mailbox.read(view.folder.id, uid, 0, 1 << 20)) for uid in view.uids]
        mailbox.close()
        self.clock.advance(60)
        return raws

    def at_every_step(self, attempt: Callable[[int], int]) -> None:
        """Call it with 0, 1, 2, ... until it takes fewer steps than it was told."""
        count = 0
        while attempt(count) == count:
            count += 1
        self.assertGreater(count, 1)

    def in_every_order(self, attempt: Callable[[int, int], tuple[int, int]]) -> None:
        """The same with the steps of two processes."""

        def first(mine: int) -> int:
            used = [mine]

            def second(theirs: int) -> int:
                used[0], taken = attempt(mine, theirs)
                return taken

            self.at_every_step(second)
            return used[0]

        self.at_every_step(first)

    def is_usable(self, made: GeneratedPassword) -> None:
        """Both the password and the recovery code open the mailbox."""
        self.inbox(made.password)
        again = self.made(password=made.recovery_code)
        self.assertTrue(again.mailbox_kept)
        self.inbox(again.password)

    def is_sound(self, count: int = 1) -> None:
        """Nothing is left over anywhere."""
        self.assertEqual(len(self.files()), count, self.files())
        self.assertEqual(self.now(self.onlooker.mailboxes.check()), ())
        self.assertEqual(self.now(self.onlooker.accounts.check()), ())
        self.assertEqual(self.now(self.onlooker.accounts.unsettled(float("inf"))), ())


class TwoFirstPasswordsTests(KeysTestCase):
    """Two processes make the first password of one alias."""

    def in_order(self, mine: int, theirs: int) -> tuple[int, int]:
        """One begins, the other interrupts it, and is interrupted; returns what they used."""
        self.begin_anew()
        one, other = self.process(), self.process()
        first, second = self.making(one), self.making(other)
        used = one.steps(mine), other.steps(theirs)
        one.finish()
        other.finish()
        one.finish()
        results = [self.result(each) for each in (first, second)]
        winners = [each for each in results if isinstance(each, GeneratedPassword)]
        self.assertEqual(len(winners), 1, (mine, theirs, results))
        (loser,) = (each for each in results if each is not winners[0])
        self.assertIsInstance(loser, Conflict | Invalid, (mine, theirs))
        self.assertEqual(getattr(loser, "code", ""), _code(loser))
        self.is_usable(winners[0])
        self.is_sound()
        return used

    def test_every_order(self) -> None:
        """One wins, however they interrupt each other; the other is told."""
        self.in_every_order(self.in_order)


class ChangesTests(KeysTestCase):
    """Other changes at once."""

    def test_two_begin_anew(self) -> None:
        """Of two who throw the mailbox away at once, only one gets a new one."""
        self.made()
        one, other = self.process(), self.process()
        first, second = (self.making(each, is_override=True) for each in (one, other))
        while one.waits or other.waits:
            one.steps(1)
            other.steps(1)
        results = [self.result(each) for each in (first, second)]
        (winner,) = (each for each in results if isinstance(each, GeneratedPassword))
        self.assertEqual([type(each) for each in results if each is not winner], [Conflict])
        self.is_usable(winner)
        self.is_sound()

    def test_two_changes(self) -> None:
        """Of two who change the password at once, one is told that it did not happen."""
        before = self.made()
        self.now(self._deliver())
        one, other = self.process(), self.process()
        first, second = (self.making(each, password=before.password) for each in (one, other))
        while one.waits or other.waits:
            one.steps(1)
            other.steps(1)
        results = [self.result(each) for each in (first, second)]
        (winner,) = (each for each in results if isinstance(each, GeneratedPassword))
        self.assertEqual([type(each) for each in results if each is not winner], [Conflict])
        self.assertEqual(self.inbox(winner.password), [RAW])
        self.is_sound()

    async def _deliver(self) -> None:
        alias = await self.onlooker.accounts.alias(self.alice.id)
        await self.onlooker.mailboxes.deliver(
            alias.id,
            alias.sealing_key,
            Delivery(id="d", message=NewMessage(raw=RAW, received_at=1.0)),
        )

    def test_change_while_the_mailbox_is_replaced(self) -> None:
        """No new password for a key that goes; the mailbox that is begun anew stands."""
        before = self.made()
        process = self.process()
        changing = self.making(process, password=before.password)
        process.steps(1)
        fresh = self.made(is_override=True)
        process.finish()
        self.assertIsInstance(self.result(changing), Conflict)
        self.is_usable(fresh)

    def test_epoch_alone_is_no_obstacle(self) -> None:
        """Somebody settled the alias meanwhile: the keys are the same, so the change happens."""
        before = self.made()
        process = self.process()
        changing = self.making(process, password=before.password)
        process.steps(1)
        self.now(self.onlooker.accounts.fence(self.alice.id))
        process.finish()
        made = self.successResultOf(changing)
        self.assertTrue(made.mailbox_kept)
        self.assertEqual(self.inbox(made.password), [])
        self.is_sound()

    def deleted_after(self, count: int) -> int:
        """The alias is deleted after so many steps of the one who makes its mailbox."""
        self.begin_anew()
        process = self.process()
        making = self.making(process)
        taken = process.steps(count)
        alice = self.now(self.onlooker.accounts.alias(self.alice.id))
        self.now(self.onlooker.aliases.delete(self.eva, self.domain, alice))
        process.finish()
        self.assertIsInstance(self.result(making), Conflict | NotFound | GeneratedPassword)
        self.is_sound(0)
        return taken

    def test_deleted_meanwhile(self) -> None:
        """An alias that is deleted while its mailbox is made leaves nothing."""
        self.at_every_step(self.deleted_after)


class DeliveryTests(KeysTestCase):
    """Mail that arrives while its mailbox is replaced."""

    def claim(self, process: Process) -> Claim:
        """A message from outside, spooled in the process."""
        body = process.queue.body(0.0)
        self.now(body.write(RAW))
        message = QueuedMessage(
            id="m",
            size_octets=len(RAW),
            reverse_path="bob@elsewhere.test",
            created_at=0.0,
            source="mx",
        )
        target = Target(courier="local", address="alice@example.org", alias_id=self.alice.id)
        delivery = QueuedDelivery(
            message_id="m", number=0, recipient="alice@example.org", target=target
        )
        acceptance = Acceptance(message=message, deliveries=(delivery,), body=body)
        (claim,) = self.now(process.queue.accept(acceptance, 60.0, [0]))
        return claim

    def in_order(self, mine: int, theirs: int, *, is_open: bool) -> tuple[int, int]:
        """The courier is interrupted by the replacement, and the other way round."""
        self.begin_anew()
        before = self.made()
        old = self.now(self.onlooker.accounts.alias(self.alice.id))
        courier, replacer = self.process(), self.process()
        if is_open:
            self._open(courier, before)
        delivering = courier.run(courier.courier.deliver(self.claim(courier)))
        was_there: list[bool] = []
        delivering.addCallback(self._look, old.sealing_key, was_there)
        replacing = self.making(replacer, is_override=True)
        used = courier.steps(mine), replacer.steps(theirs)
        courier.finish()
        replacer.finish()
        (outcome,) = self.successResultOf(delivering)
        made = self.successResultOf(replacing)
        arrived = any(raw.endswith(RAW) for raw in self.inbox(made.password))
        if outcome.kind is OutcomeKind.DELIVERED:
            self.assertTrue(arrived or was_there[0], (mine, theirs))
        else:
            self.assertIs(outcome.kind, OutcomeKind.DEFERRED)
            self.assertFalse(arrived, (mine, theirs))
        return used

    def _open(self, process: Process, made: GeneratedPassword) -> None:
        login = self.onlooker.login.authenticate("alice@example.org", made.password, Peer(), "imap")
        key = self.now(login).mailbox_key
        opening = process.run(process.mailboxes.unlock(self.alice.id, key))
        process.finish()
        self.successResultOf(opening)

    def _look(
        self, outcomes: tuple[Outcome, ...], key: bytes, was_there: list[bool]
    ) -> tuple[Outcome, ...]:
        """Was the old mailbox still there when the courier said so? Then it went with it."""
        has_row = self.now(self.onlooker.mailboxes.has_key(self.alice.id, key))
        was_there.append(has_row or "alice.1.sqlite" in self.files())
        return outcomes

    def test_sealed(self) -> None:
        """Nothing that nobody can read is ever called delivered."""
        self.in_every_order(partial(self.in_order, is_open=False))

    def test_open(self) -> None:
        """Nor is what goes into a file that another process is about to remove."""
        self.in_every_order(partial(self.in_order, is_open=True))

    def test_second_look(self) -> None:
        """A courier whose key is gone reads the alias again, and delivers at once."""
        self.made()
        process = self.process()
        delivering = process.run(process.courier.deliver(self.claim(process)))
        process.steps(1)
        fresh = self.made(is_override=True)
        process.finish()
        (outcome,) = self.successResultOf(delivering)
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        self.assertEqual(len(self.inbox(fresh.password)), 1)

    def test_never_the_right_key(self) -> None:
        """An alias whose mailbox is lost makes the courier try again later, not for ever now."""
        self.made()
        self.now(self.onlooker.mailboxes.settle(self.alice.id, 99))
        (outcome,) = self.now(self.onlooker.courier.deliver(self.claim(self.onlooker)))
        self.assertEqual((outcome.code, outcome.enhanced), (450, "4.2.1"))


class KilledTests(KeysTestCase):
    """A process that gets no further."""

    def job(self) -> None:
        """What another process does a while later."""
        self.clock.advance(CLAIM_SECONDS)
        self.now(self.onlooker.aftermath.follow_all(self.clock.seconds()))

    def killed_after(self, count: int, *, had_mailbox: bool) -> int:
        """Kill the one who begins a mailbox after so many steps; how many it took."""
        self.begin_anew()
        if had_mailbox:
            self.made()
        process = self.process()
        making = self.making(process, is_override=had_mailbox)
        taken = process.steps(count)
        making.addErrback(lambda _: None)
        self.job()
        keys = self.now(self.onlooker.accounts.keys(self.alice.id))
        self.is_sound(1 if keys.sealing_key else 0)
        self.is_usable(self.made(is_override=bool(keys.credentials)))
        return taken

    def test_beginning(self) -> None:
        """At whatever step: no file and no sealed mail stays for ever, and the next one works."""
        for had_mailbox in (False, True):
            self.at_every_step(partial(self.killed_after, had_mailbox=had_mailbox))

    def stalled_after(self, count: int) -> int:
        """Somebody comes back after the job has swept."""
        self.begin_anew()
        process = self.process()
        making = self.making(process)
        taken = process.steps(count)
        self.job()
        process.finish()
        made = self.result(making)
        self.job()
        if isinstance(made, GeneratedPassword):
            self.is_usable(made)
            self.is_sound()
        else:
            self.assertIsInstance(made, Conflict)
            self.is_sound(0)
        return taken

    def test_stalled(self) -> None:
        """Who comes back after the job has swept gets no mailbox, and leaves nothing."""
        self.at_every_step(self.stalled_after)

    def deleted_until(self, count: int, what: str) -> int:
        """Kill the one who deletes after so many steps."""
        self.begin_anew()
        self.made()
        process = self.process()
        deleting = process.run(self._deletion(process, what))
        deleting.addErrback(lambda _: None)
        taken = process.steps(count)
        self.job()
        aliases = self.now(self.onlooker.accounts.aliases(self.domain.id, Query()))
        self.is_sound(len(aliases.items))
        return taken

    def test_deleting(self) -> None:
        """An alias, a domain, an account: what hung on it goes, whenever the process was killed."""
        for what in ("alias", "domain", "user"):
            self.at_every_step(partial(self.deleted_until, what=what))

    async def _deletion(self, process: Process, what: str) -> None:
        if what == "alias":
            await process.aliases.delete(self.eva, self.domain, self.alice)
        elif what == "domain":
            await process.aftermath.follow(await process.accounts.delete_domain(self.domain.id))
        else:
            await process.aftermath.follow(await process.accounts.delete_user(self.eva.id))


class AftermathTests(KeysTestCase):
    """The outbox, when what follows fails."""

    def test_failure_is_made_good(self) -> None:
        """The deletion stands; the job removes the mailbox, once it can be removed."""
        self.made()
        heard: list[object] = []
        self.bus.subscribe(f"credentials:{self.alice.id}", heard.append)

        async def fail(*_: object) -> None:
            raise Unavailable

        patched = self.patch(self.onlooker.mailboxes, "settle", fail)
        self.now(self.onlooker.aliases.delete(self.eva, self.domain, self.alice))
        self.assertEqual(len(self.files()), 1)
        self.now(self.onlooker.aftermath.follow_all(0.0))
        patched.restore()
        self.assertEqual(len(self.files()), 1)
        self.now(self.onlooker.aftermath.follow_all(0.0))
        self.is_sound(0)
        self.clock.advance(0)
        self.assertEqual(len(heard), 3)

    def test_one_failure_stops_nothing(self) -> None:
        """Behind one whose mailbox cannot be removed the others are."""
        self.made()
        settled: list[str] = []
        original = self.onlooker.mailboxes.settle

        async def settle(alias_id: Any, *words: Any) -> None:
            settled.append(alias_id)
            if alias_id == "alice":
                raise Unavailable
            await original(alias_id, *words)

        self.patch(self.onlooker.mailboxes, "settle", settle)
        accounts = self.onlooker.accounts
        bob = self.evolve_alias("bob")
        self.now(accounts.add_alias(bob))
        for alias in (self.alice, bob):
            keys = self.now(accounts.keys(alias.id))
            self.now(accounts.set_keys(keys, 0.0, 0.0))
        self.now(self.onlooker.aftermath.follow_all(0.0))
        self.assertEqual(settled, ["alice", "bob"])
        self.assertEqual(self.now(accounts.unsettled(0.0)), ("alice",))

    def evolve_alias(self, name: str) -> Any:
        """Another alias of the domain."""
        return attrs.evolve(self.alice, id=AliasId(name), name=name)


class WebhookKeyTests(KeysTestCase):
    """The key of a domain, made by two deliveries in two processes."""

    def first_key(self, count: int) -> int:
        """One is interrupted by the other after so many steps."""
        self.begin_anew()
        one, other = self.process(), self.process()
        both = [each.run(each.webhook_keys.key(self.domain.id)) for each in (one, other)]
        taken = one.steps(count)
        other.finish()
        one.finish()
        keys = {self.successResultOf(each) for each in both}
        keys.add(self.now(self.onlooker.webhook_keys.key(self.domain.id)))
        self.assertEqual(len(keys), 1)
        return taken

    def test_first(self) -> None:
        """Both sign with the same key, in every order."""
        self.at_every_step(self.first_key)

    def test_replaced(self) -> None:
        """Of two who replace it at once one is told; the one who is not has the valid key."""
        one, other = self.process(), self.process()
        first, second = (
            each.run(each.webhook_keys.replace(self.domain.id)) for each in (one, other)
        )
        one.steps(1)
        other.finish()
        one.finish()
        self.assertIsInstance(self.result(first), Conflict)
        valid = self.now(self.onlooker.webhook_keys.key(self.domain.id))
        self.assertEqual(self.result(second), valid)


def _code(error: MailError) -> str:
    return "ALIAS_OVERRIDE_REQUIRED" if isinstance(error, Invalid) else ""
