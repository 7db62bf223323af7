"""What every ``MailboxStore`` must do: locks, sealed mail, quotas. See the suites beside this."""

from typing import Any

from fe_mail.adapters import mailbox_rules
from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import (
    AuthenticationFailed,
    Conflict,
    Corrupt,
    Locked,
    MailboxGone,
    Missing,
    NotFound,
    OverQuota,
    TooBig,
)
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import DEFAULT_FOLDERS, Want
from tests.contracts.mailbox_case import ALICE, BOB, KEY, MailboxCase, delivery, letter, new

__all__ = ["MailboxStoreContract"]


class MailboxStoreContract(MailboxCase):
    """Creating, unlocking, delivering, destroying."""

    def test_new_mailbox(self: Any) -> None:
        """A new mailbox has the default folders, INBOX first, and is empty and sound."""
        folders = self.now(self.mailbox.folders())
        self.assertEqual(folders[0].name, "INBOX")
        self.assertEqual({(f.name, f.special_use) for f in folders}, set(DEFAULT_FOLDERS))
        self.assertEqual(len({f.uidvalidity for f in folders}), len(folders))
        self.assertEqual(self.mailbox.alias_id, ALICE)
        self.assertEqual(self.now(self.store.used_octets(ALICE)), 0)
        quota = self.now(self.store.quota(AliasId("nobody")))
        self.assertEqual((quota.used_octets, quota.limit_octets), (0, 0))
        self.is_sound()

    def test_create_twice(self: Any) -> None:
        """A mailbox is never silently replaced by an empty one."""
        self.fails(Conflict, self.store.create(ALICE, KEY))

    def test_unlock_refuses(self: Any) -> None:
        """A wrong key is refused, whether the mailbox is open or not; a missing one not found."""
        wrong = bytes(32)
        self.fails(AuthenticationFailed, self.store.unlock(ALICE, wrong))
        self.lock()
        self.fails(AuthenticationFailed, self.store.unlock(ALICE, wrong))
        self.fails(NotFound, self.store.unlock(BOB, KEY))

    def test_unlock_blames_the_file(self: Any) -> None:
        """Whoever has the sealing key of the mailbox has its own: what does not open is damaged."""
        wrong = bytes(32)
        self.lock()
        self.fails(Corrupt, self.store.unlock(ALICE, wrong, self.sealing_key))
        self.fails(AuthenticationFailed, self.store.unlock(ALICE, wrong, b"of another mailbox"))
        self.fails(Missing, self.store.unlock(BOB, KEY, b"of a mailbox that is gone"))
        self.now(self.store.settle(ALICE, 1))
        self.fails(NotFound, self.store.unlock(ALICE, KEY, self.sealing_key))

    def test_closed_handle(self: Any) -> None:
        """A handle that was given back opens nothing, twice or not; others stay."""
        other = self.unlocked()
        self.mailbox.close()
        self.mailbox.close()
        self.fails(Locked, self.mailbox.folders())
        self.clock.advance(120)
        self.assertTrue(self.now(other.folders()))

    def test_mail_survives_locking(self: Any) -> None:
        """What was stored is there after the next unlock."""
        self.append(new())
        self.lock()
        self.mailbox = self.unlocked()
        self.assertEqual(self.raw(1), letter())

    def test_deliver_to_open(self: Any) -> None:
        """With a session open, mail is in its folder at once, with flags, and says so."""
        hints = self.hints(f"mailbox:{ALICE}")
        raw = letter("To open")
        self.now(
            self.store.deliver(
                ALICE, self.sealing_key, delivery("d1", raw, "Junk", "\\Seen", "$Junk")
            )
        )
        self.clock.advance(0)
        view = self.now(self.mailbox.select("Junk"))
        self.assertEqual(self.raw(1, "Junk"), raw)
        self.assertEqual(view.flags_of(0), frozenset({"\\Seen", "$Junk"}))
        self.assertIn((ChangeKind.FOLDER, view.folder.id), self.told(hints))

    def test_deliver_to_locked(self: Any) -> None:
        """Without a session, mail waits sealed, in order, and unlocking takes it in."""
        self.lock()
        hints = self.hints(f"sealed:{ALICE}")
        letters = [letter(f"Number {number}") for number in range(3)]
        for number, raw in enumerate(letters):
            self.now(self.store.deliver(ALICE, self.sealing_key, delivery(f"d{number}", raw)))
        self.clock.advance(0)
        self.assertEqual(len(hints), 3)
        self.assertEqual(self.now(self.store.used_octets(ALICE)), sum(map(len, letters)))
        self.assertEqual(self.now(self.store.usage()), {ALICE: sum(map(len, letters))})
        self.mailbox = self.unlocked()
        self.assertEqual([self.raw(uid) for uid in self.uids()], letters)
        self.assertEqual(self.now(self.mailbox.take_in()), 0)
        self.assertEqual(self.now(self.store.used_octets(ALICE)), sum(map(len, letters)))
        self.is_sound()

    def test_delivery_is_idempotent(self: Any) -> None:
        """The same delivery id is one message, however often and in whatever state it comes."""
        deliver = lambda: self.now(  # noqa: E731  # three times the same call
            self.store.deliver(ALICE, self.sealing_key, delivery("same"))
        )
        deliver()
        deliver()
        self.lock()
        deliver()
        deliver()
        self.mailbox = self.unlocked()
        deliver()
        self.assertEqual(self.uids(), (1,))
        self.is_sound()

    def test_idempotent_when_full(self: Any) -> None:
        """A delivery that arrived is not refused the second time because it filled the mailbox."""
        self.now(self.store.set_quota(ALICE, len(letter())))
        for _ in range(2):
            self.now(self.store.deliver(ALICE, self.sealing_key, delivery("full")))
        self.assertEqual(self.uids(), (1,))

    def test_deliver_to_missing_folder(self: Any) -> None:
        """A folder that does not exist, or cannot, means INBOX: nothing is refused for it."""
        for number, folder in enumerate(("Nowhere", "", "a//b", "bad\x00name")):
            self.now(
                self.store.deliver(
                    ALICE, self.sealing_key, delivery(f"d{number}", None, folder, "\\Odd", "$ok")
                )
            )
        self.assertEqual(self.uids(), (1, 2, 3, 4))
        self.assertEqual(self.flags(4), frozenset({"$ok"}))

    def test_deliver_to_nobody(self: Any) -> None:
        """There is no mailbox of this alias."""
        self.fails(NotFound, self.store.deliver(BOB, self.sealing_key, delivery("d")))

    def test_quota(self: Any) -> None:
        """The limit holds for appends, copies and deliveries, open or locked; moves need none."""
        size = len(letter())
        self.now(self.store.set_quota(ALICE, 2 * size))
        self.append(new())
        self.fails(OverQuota, self.mailbox.append("INBOX", [new(), new()]))
        self.assertEqual(self.uids(), (1,))
        self.now(self.mailbox.copy(self.inbox, [1], "Archive"))
        self.fails(OverQuota, self.mailbox.copy(self.inbox, [1], "Archive"))
        self.fails(OverQuota, self.store.deliver(ALICE, self.sealing_key, delivery("d1")))
        self.now(self.mailbox.move(self.inbox, [1], "Trash"))
        quota = self.now(self.mailbox.quota())
        self.assertEqual((quota.used_octets, quota.limit_octets), (2 * size, 2 * size))
        self.lock()
        self.fails(OverQuota, self.store.deliver(ALICE, self.sealing_key, delivery("d2")))
        self.now(self.store.set_quota(ALICE, 3 * size))
        self.now(self.store.deliver(ALICE, self.sealing_key, delivery("d3")))
        quota = self.now(self.store.quota(ALICE))  # without a key, what is sealed included
        self.assertEqual((quota.used_octets, quota.limit_octets), (3 * size, 3 * size))
        self.fails(OverQuota, self.store.deliver(ALICE, self.sealing_key, delivery("d4")))
        self.mailbox = self.unlocked()
        self.assertEqual(self.now(self.mailbox.quota()).used_octets, 3 * size)
        self.now(self.store.set_quota(ALICE, 0))
        self.append(new())
        self.is_sound()

    def test_quota_of_nobody(self: Any) -> None:
        """A limit needs a mailbox; a missing one uses nothing."""
        self.fails(NotFound, self.store.set_quota(BOB, 1))
        self.assertEqual(self.now(self.store.used_octets(BOB)), 0)

    def test_too_big(self: Any) -> None:
        """A message over the limit is refused before anything is done with it."""
        self.patch(mailbox_rules, "MESSAGE_OCTETS_MAX", 100)
        big = letter("x" * 100)
        self.fails(TooBig, self.mailbox.append("INBOX", [new(big)]))
        self.fails(TooBig, self.store.deliver(ALICE, self.sealing_key, delivery("d", big)))

    def test_removed_while_open(self: Any) -> None:
        """Whoever still has it open can neither read nor keep anything there."""
        self.append(new())
        self.now(self.store.settle(ALICE, 1))
        self.fails(MailboxGone, self.mailbox.select("INBOX"))
        self.fails(MailboxGone, self.mailbox.append("INBOX", [new()]))
        self.fails(MailboxGone, self.mailbox.fetch(self.inbox, [1], Want.NOTHING))
        self.fails(MailboxGone, self.mailbox.quota())

    def test_settle(self: Any) -> None:
        """Everything goes, also what waits sealed; a new mailbox of the alias starts empty."""
        self.append(new())
        self.lock()
        self.now(self.store.deliver(ALICE, self.sealing_key, delivery("d")))
        self.now(self.store.settle(ALICE, 1))
        self.now(self.store.settle(ALICE, 1))
        self.assertEqual(self.now(self.store.used_octets(ALICE)), 0)
        self.fails(NotFound, self.store.unlock(ALICE, KEY))
        self.fails(Conflict, self.store.deliver(ALICE, self.sealing_key, delivery("d")))
        self.fails(Conflict, self.store.create(ALICE, bytes(32)))
        self.now(self.store.create(ALICE, bytes(32), 1))
        self.mailbox = self.now(self.store.unlock(ALICE, bytes(32)))
        self.assertEqual(self.uids(), ())

    def test_another_key(self: Any) -> None:
        """What was sealed to a key that is not the mailbox's is refused, and not kept."""
        self.lock()
        for epoch in (1, 2):
            key = self.now(self.store.create(ALICE, bytes([epoch]) * 32, epoch))
            self.fails(Conflict, self.store.deliver(ALICE, self.sealing_key, delivery("d")))
            self.assertTrue(self.now(self.store.has_key(ALICE, key)))
            self.assertFalse(self.now(self.store.has_key(ALICE, self.sealing_key)))
            self.sealing_key = key
            self.now(self.store.deliver(ALICE, key, delivery("d")))
        self.assertFalse(self.now(self.store.has_key(BOB, key)))
        self.mailbox = self.now(self.store.unlock(ALICE, bytes([2]) * 32))
        self.assertEqual(self.uids(), (1,))

    def test_settle_keeps(self: Any) -> None:
        """The mailbox of the key that is named stays, and so does what began later."""
        self.append(new())
        self.now(self.store.settle(ALICE, 5, self.sealing_key))
        self.now(self.store.settle(ALICE, 0))
        self.assertEqual(self.uids(), (1,))
        self.lock()
        key = self.now(self.store.create(ALICE, bytes(32), 6))
        self.now(self.store.settle(ALICE, 6))
        self.assertTrue(self.now(self.store.has_key(ALICE, key)))
        self.now(self.store.settle(ALICE, 7))
        self.assertFalse(self.now(self.store.has_key(ALICE, key)))
        self.fails(NotFound, self.store.unlock(ALICE, bytes(32)))

    def test_late_creation(self: Any) -> None:
        """Whoever comes after a later mailbox, or after the end, makes none."""
        self.now(self.store.settle(BOB, 3))
        self.fails(Conflict, self.store.create(BOB, KEY, 2))
        self.now(self.store.create(BOB, KEY, 4))
        self.fails(Conflict, self.store.create(BOB, bytes(32), 3))
        self.now(self.store.unlock(BOB, KEY)).close()
        self.now(self.store.settle(BOB, 1 << 62))
        self.fails(Conflict, self.store.create(BOB, KEY, 5))

    def test_aliases(self: Any) -> None:
        """Who has a mailbox."""
        self.assertEqual(self.now(self.store.aliases()), {ALICE})
        self.now(self.store.create(BOB, KEY, 3))
        self.assertEqual(self.now(self.store.aliases()), {ALICE, BOB})
        self.now(self.store.settle(BOB, 4))
        self.assertEqual(self.now(self.store.aliases()), {ALICE})

    def test_quota_from_the_beginning(self: Any) -> None:
        """A mailbox is never without the limit that it was made with."""
        self.now(self.store.create(BOB, KEY, 1, 10))
        mailbox = self.now(self.store.unlock(BOB, KEY))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, 10)
        self.fails(OverQuota, mailbox.append("INBOX", [new()]))

    def test_mailboxes_are_separate(self: Any) -> None:
        """What one alias has, another does not see."""
        self.now(self.store.create(BOB, bytes(32)))
        self.append(new())
        bob = self.now(self.store.unlock(BOB, bytes(32)))
        self.assertEqual(tuple(self.now(bob.select("INBOX")).uids), ())
        self.assertEqual(self.now(self.store.used_octets(BOB)), 0)
