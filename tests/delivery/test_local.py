"""Tests of fe_mail.delivery.local: into a mailbox, once."""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS
from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.courier import outcome_of
from fe_mail.delivery.local import OFFLOAD_OCTETS, LocalCourier
from fe_mail.model.errors import (
    Corrupt,
    MailError,
    NotFound,
    OverQuota,
    RateLimited,
    TooBig,
    Unavailable,
)
from fe_mail.model.queue import Claim, Outcome, OutcomeKind
from tests.fakes import give_keys
from tests.queue.base import MESSAGE, PostOfficeTestCase

T = TypeVar("T")


class LocalCourierTests(PostOfficeTestCase):
    """One claim each."""

    def setUp(self) -> None:
        """The courier."""
        super().setUp()
        self.courier = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)

    def deliver(self, message: bytes = MESSAGE, to: str = "alice@example.org") -> Outcome:
        """Hand in, claim, deliver."""
        self.hand_in(self.envelope(to), message)
        return self.outcome(self.claim())

    def outcome(self, claim: Claim) -> Outcome:
        """What becomes of it."""
        (outcome,) = self.now(self.courier.deliver(claim))
        return outcome

    def test_delivered(self) -> None:
        """Trace fields on top, everything else byte for byte."""
        outcome = self.deliver()
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        (raw,) = self.inbox()
        self.assertTrue(
            raw.startswith(
                b"Return-Path: <carol@elsewhere.test>\r\n"
                b"Delivered-To: alice@example.org\r\nReceived:"
            )
        )
        self.assertTrue(raw.endswith(MESSAGE))

    def test_twice_is_once(self) -> None:
        """The same claim after a kill is the same message."""
        self.hand_in(self.envelope("alice@example.org"))
        claim = self.claim()
        for _ in range(3):
            self.assertIs(self.outcome(claim).kind, OutcomeKind.DELIVERED)
        self.assertEqual(len(self.inbox()), 1)

    def test_sent_again_is_once(self) -> None:
        """A sender that lost our 250 sends the same octets in another transaction."""
        self.assertIn(b"Message-ID", MESSAGE)
        for _ in range(2):
            self.assertIs(self.deliver(MESSAGE).kind, OutcomeKind.DELIVERED)
        self.assertEqual(len(self.inbox()), 1)
        self.deliver(MESSAGE + b"one octet more\r\n")
        self.assertEqual(len(self.inbox()), 2)

    def test_each_recipient_gets_one(self) -> None:
        """The same message to an alias and to its tagged address is there for each of them."""
        for to in ("alice@example.org", "alice+x@example.org", "alice+y@example.org") * 2:
            self.assertIs(self.deliver(MESSAGE, to).kind, OutcomeKind.DELIVERED)
        raws = self.inbox()
        self.assertEqual(len(raws), 3)
        for tag in (b"+x", b"+y"):
            field = b"X-Original-To: alice" + tag + b"@example.org\r\n"
            self.assertEqual(len([raw for raw in raws if field in raw]), 1)

    def test_from_two_senders_are_two(self) -> None:
        """The same octets under another reverse-path are another message."""
        for sender in ("carol@elsewhere.test", "list@elsewhere.test", ""):
            self.hand_in(self.envelope("alice@example.org", sender=sender), MESSAGE)
            self.assertIs(self.outcome(self.claim()).kind, OutcomeKind.DELIVERED)
        self.assertEqual(len(self.inbox()), 3)

    def test_equal_without_message_id_are_two(self) -> None:
        """What a script sends twice on purpose arrives twice."""
        without = MESSAGE.replace(b"Message-ID: <1@elsewhere.test>\r\n", b"")
        for _ in range(2):
            self.deliver(without)
        self.assertEqual(len(self.inbox()), 2)

    def test_big_messages_leave_the_reactor_alone(self) -> None:
        """Copying and hashing megabytes is given to ``run``, small messages are not."""
        given: list[object] = []

        def run(work: Callable[[], T]) -> "Deferred[T]":
            given.append(work)
            return InlineThreads().run(work)

        self.courier = LocalCourier(self.accounts, self.mailboxes, self.queue, run)
        self.deliver()
        self.assertEqual(len(given), 0)
        self.deliver(MESSAGE + b"x" * 70 * (OFFLOAD_OCTETS // 64))
        self.assertEqual(len(given), 1)
        self.assertEqual(len(self.inbox()), 2)

    def test_foreign_return_path(self) -> None:
        """A Return-Path that came along is dropped, also a folded one; one in the body stays."""
        forged = b"Return-Path:\r\n <evil@x.test>\r\nreturn-path: <two@x.test>\r\n"
        self.deliver(forged + MESSAGE + b"Return-Path: <body@x.test>\r\n")
        (raw,) = self.inbox()
        self.assertNotIn(b"evil@", raw)
        self.assertNotIn(b"two@", raw)
        self.assertTrue(raw.endswith(b"Hello Alice\r\nReturn-Path: <body@x.test>\r\n"))

    def test_return_path_inside_another_field(self) -> None:
        """Only the field itself is dropped, not the same words in the field before it."""
        quoting = b"X-Note: Return-Path: <a@x.test>\r\n"
        self.deliver(quoting + b"Return-Path: <a@x.test>\r\n" * 4_000 + MESSAGE)
        (raw,) = self.inbox()
        self.assertIn(quoting + MESSAGE, raw)

    def test_over_quota(self) -> None:
        """A mailbox that got full after the 250 may be emptied: 452 4.2.2, later."""
        self.hand_in(self.envelope("alice@example.org"))
        self.now(self.mailboxes.set_quota(self.alice.id, 10))
        outcome = self.outcome(self.claim())
        self.assertIs(outcome.kind, OutcomeKind.DEFERRED)
        self.assertEqual((outcome.code, outcome.enhanced), (452, "4.2.2"))

    def test_gone(self) -> None:
        """An alias that is gone, or has no mailbox any more, is permanent."""
        self.hand_in(self.envelope("alice@example.org"))
        claim = self.claim()
        self.change_alias(self.alice, has_imap=False)
        self.assertEqual(self.outcome(claim).enhanced, "5.1.1")
        self.now(self.accounts.delete_alias(self.alice.id))
        outcome = self.outcome(claim)
        self.assertIs(outcome.kind, OutcomeKind.FAILED)

    def test_not_ready(self) -> None:
        """A mailbox that got no password yet: later."""
        self.hand_in(self.envelope("alice@example.org"))
        self.now(give_keys(self.accounts, self.alice.id, [], b""))
        outcome = self.outcome(self.claim())
        self.assertEqual((outcome.code, outcome.enhanced), (450, "4.2.1"))

    def test_lost_body(self) -> None:
        """A body that cannot be read is our trouble, not the sender's."""
        self.hand_in(self.envelope("alice@example.org"), MESSAGE + b"x" * SMALL_OCTETS)
        claim = self.claim()
        assert claim.message.blob is not None
        self.now(self.blobs.delete(claim.message.blob))
        self.assertIs(self.outcome(claim).kind, OutcomeKind.DEFERRED)

    def test_errors(self) -> None:
        """
        Temporary unless proven permanent.

        A store that finds nothing proves nothing: the mailbox may just be replaced. Whether the
        alias is still there is asked at each attempt (``test_alias_gone`` and the like).
        """
        permanent = {
            kind: outcome_of(kind()).kind is OutcomeKind.FAILED
            for kind in (OverQuota, TooBig, NotFound, Corrupt, Unavailable, RateLimited, MailError)
        }
        self.assertEqual([kind for kind, is_so in permanent.items() if is_so], [TooBig])
