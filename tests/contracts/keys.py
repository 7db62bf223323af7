"""What every ``AliasStore`` does with the keys of mailboxes."""

import attrs

from fe_mail.model.account import (
    MailboxKeys,
)
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId
from fe_mail.ports.accounts import EPOCH_OF_THE_GONE, UNSETTLED_AT_ONCE
from tests.contracts.account_case import AccountCase, alias, credential
from tests.fakes import give_keys

__all__ = ["KeysContract"]


class KeysContract(AccountCase):
    """Keys, epochs, the outbox."""

    def test_keys(self) -> None:
        """Every attribute survives, oldest first; they are replaced in one step."""
        self.fill()
        alice = AliasId("id-alice")
        self.assertEqual(self.get(self.accounts.keys(alice)), MailboxKeys(alias_id=alice, epoch=0))
        first = credential("c1", description="Phone", created_at=2.0, last_used_at=3.0)
        second = credential("c2", kind="recovery", created_at=1.0)
        wanted = MailboxKeys(
            alias_id=alice, epoch=0, sealing_key=b"public", credentials=(first, second)
        )
        keys = self.get(self.accounts.set_keys(wanted, 5.0, 5.0))
        self.assertEqual(keys, attrs.evolve(wanted, epoch=1, credentials=(second, first)))
        self.assertEqual(self.get(self.accounts.keys(alice)), keys)
        self.assertEqual(self.get(self.accounts.credentials(alice)), (second, first))
        row = self.get(self.accounts.alias(alice))
        self.assertEqual((row.sealing_key, row.epoch, row.updated_at), (b"public", 1, 5.0))
        third = credential("c3")
        wanted = attrs.evolve(keys, credentials=(second, third), sealing_key=b"other")
        keys = self.get(self.accounts.set_keys(wanted, 6.0, 6.0))
        self.assertEqual(self.get(self.accounts.credentials(alice)), (third, second))
        self.assertEqual((keys.epoch, keys.sealing_key), (2, b"other"))

    def test_keys_are_compared(self) -> None:
        """Who read other keys than there are changes nothing, whatever the difference is."""
        self.fill()
        alice = AliasId("id-alice")
        read = self.get(self.accounts.keys(alice))
        mine = attrs.evolve(read, credentials=(credential("mine"),), sealing_key=b"mine")
        theirs = attrs.evolve(read, credentials=(credential("theirs"),), sealing_key=b"theirs")
        won = self.get(self.accounts.set_keys(mine, 1.0, 1.0))
        self.fails(self.accounts.set_keys(theirs, 2.0, 2.0), Conflict)
        self.assertEqual(self.get(self.accounts.keys(alice)), won)
        fenced = self.get(self.accounts.fence(alice))
        self.assertEqual(fenced, attrs.evolve(won, epoch=won.epoch + 1))
        self.fails(self.accounts.set_keys(won, 3.0, 3.0), Conflict)
        self.get(self.accounts.set_keys(fenced, 4.0, 4.0))

    def test_used_meanwhile(self) -> None:
        """A slot that stays keeps when it was used, whatever the caller knew of that."""
        self.fill()
        alice = AliasId("id-alice")
        keys = self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        self.get(self.accounts.touch_credential("c1", 77.0))
        wanted = attrs.evolve(keys, credentials=(*keys.credentials, credential("c2")))
        made = self.get(self.accounts.set_keys(wanted, 1.0, 1.0))
        self.assertEqual([row.last_used_at for row in made.credentials], [77.0, 0.0])

    def test_key_mistakes(self) -> None:
        """All or nothing; other aliases' credentials are out of reach."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        alice, bob = AliasId("id-alice"), AliasId("id-bob")
        self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        same = credential("c1", alias_id=bob)
        self.fails(give_keys(self.accounts, bob, [same], b"k"), AlreadyExists)
        self.fails(give_keys(self.accounts, bob, [credential("c2")], b"k"), NotFound)
        self.assertEqual(self.get(self.accounts.keys(bob)), MailboxKeys(alias_id=bob, epoch=0))
        self.assertEqual(len(self.get(self.accounts.credentials(alice))), 1)
        nobody = AliasId("x")
        self.fails(self.accounts.keys(nobody), NotFound)
        self.fails(self.accounts.fence(nobody), NotFound)
        self.fails(
            self.accounts.set_keys(MailboxKeys(alias_id=nobody, epoch=0), 1.0, 1.0), NotFound
        )

    def test_outbox(self) -> None:
        """Whatever changes keys or ends an alias leaves a note, until it is settled."""
        self.fill()
        for name in ("bob", "carol", "dan"):
            self.get(self.accounts.add_alias(alias(name)))
        alice, bob, carol = AliasId("id-alice"), AliasId("id-bob"), AliasId("id-carol")
        unsettled = lambda now, after="": self.get(self.accounts.unsettled(now, after))  # noqa: E731
        self.assertEqual(unsettled(9.0), ())
        for alias_id in (alice, bob, carol):
            keys = self.get(self.accounts.keys(alias_id))
            self.get(self.accounts.set_keys(attrs.evolve(keys, sealing_key=b"k"), 5.0, 7.0))
        self.assertEqual(unsettled(6.9), ())
        self.assertEqual(unsettled(7.0), (alice, bob, carol))
        self.assertEqual(unsettled(7.0, alice), (bob, carol))
        self.get(self.accounts.settled(alice, 0))
        self.get(self.accounts.settled(bob, 1))
        self.assertEqual(unsettled(7.0), (alice, carol))
        self.get(self.accounts.settled(alice, 1))
        self.get(self.accounts.delete_alias(carol))
        self.get(self.accounts.delete_domain(DomainId("d1")))
        self.assertEqual(unsettled(0.0), (alice, bob, carol))
        self.get(self.accounts.settled(carol, 5))
        self.get(self.accounts.settled(bob, EPOCH_OF_THE_GONE))
        self.assertEqual(unsettled(0.0), (alice, carol))

    def test_outbox_pages(self) -> None:
        """However many there are, asking from the last one on finds all."""
        self.fill()
        names = [f"n{number:03}" for number in range(UNSETTLED_AT_ONCE + 1)]
        for name in names:
            row = self.get(self.accounts.add_alias(alias(name)))
            self.get(self.accounts.set_keys(MailboxKeys(alias_id=row.id, epoch=0), 0.0, 0.0))
        first = self.get(self.accounts.unsettled(0.0))
        self.assertEqual(len(first), UNSETTLED_AT_ONCE)
        second = self.get(self.accounts.unsettled(0.0, first[-1]))
        self.assertEqual((*first, *second), tuple(f"id-{name}" for name in names))

    def test_touch_credential(self) -> None:
        """The time of use is kept; a credential that just went is no error."""
        self.fill()
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential("c1")], b"k"))
        self.get(self.accounts.touch_credential("c1", 77.0))
        self.get(self.accounts.touch_credential("gone", 77.0))
        (row,) = self.get(self.accounts.credentials(alice))
        self.assertEqual(row, credential("c1", last_used_at=77.0))
