"""What every ``AliasStore`` does with aliases, and for routing."""

import attrs

from fe_mail.model.account import (
    VacationResponder,
)
from fe_mail.model.errors import AlreadyExists, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Query
from tests.contracts.account_case import AccountCase, alias, credential, domain, user
from tests.fakes import give_keys

__all__ = ["AliasesContract"]


class AliasesContract(AccountCase):
    """Aliases and claims."""

    def test_alias_comes_back(self) -> None:
        """Every attribute survives, and the store fills in domain and user."""
        self.fill()
        full = alias(
            "bob",
            description="Jürgen's",
            labels=("work", "ä,ö"),
            is_enabled=False,
            error_code_if_disabled=550,
            recipients=("a@x.test", "https://x.test/hook"),
            verified_recipients=("a@x.test",),
            pending_recipients=("b@x.test",),
            has_recipient_verification=True,
            has_imap=True,
            has_pgp=True,
            public_key="-----BEGIN",
            max_quota=10**12,
            retention=3,
            storage_used=5,
            vacation_responder=VacationResponder(is_enabled=True, subject="Væk", message="x\ny"),
            settings={"theme": "dark", "nested": {"list": [1, 2.5, None, True]}},
            sealing_key=b"\0key",
            created_at=1.5,
            updated_at=2.5,
        )
        expected = attrs.evolve(full, domain_name="d1.test", user_email="u1@mail.test")
        self.assertEqual(self.get(self.accounts.add_alias(full)), expected)
        self.assertEqual(self.get(self.accounts.alias(full.id)), expected)
        self.assertEqual(self.get(self.accounts.alias_named(DomainId("d1"), "bob")), expected)
        self.assertEqual(expected.address, "bob@d1.test")

    def test_alias_mistakes(self) -> None:
        """Taken names and strangers are refused; what is not there is not found."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        self.fails(self.accounts.add_alias(alias("carol", id="id-bob")), AlreadyExists)
        self.fails(self.accounts.add_alias(alias("bob", id="other")), AlreadyExists)
        self.fails(self.accounts.add_alias(alias("carol", domain_id="d9")), NotFound)
        self.fails(self.accounts.add_alias(alias("carol", user_id="u9")), NotFound)
        work = self.accounts.update_alias(AliasId("id-bob"), 1.0, name="alice")
        self.fails(work, AlreadyExists)
        for work in (
            self.accounts.alias(AliasId("x")),
            self.accounts.alias_named(DomainId("d1"), "carol"),
            self.accounts.alias_named(DomainId("d9"), "bob"),
            self.accounts.update_alias(AliasId("x"), 1.0, retention=1),
            self.accounts.delete_alias(AliasId("x")),
        ):
            self.fails(work, NotFound)

    def test_forms_of_a_name(self) -> None:
        """Names are equal in NFC: one that is stored in another form is found, and taken."""
        self.fill()
        old, new = "re\u0301my", "r\u00e9my"
        self.get(self.accounts.add_alias(alias(old, id="old")))
        for name in (old, new):
            found = self.get(self.accounts.alias_named(DomainId("d1"), name))
            (rows,) = self.get(self.accounts.route_rows(name, "d1.test"))
            self.assertEqual((found.id, rows.named), ("old", found))
        self.fails(self.accounts.add_alias(alias(new, id="new")), AlreadyExists)
        bob = self.accounts.update_alias(AliasId("id-alice"), 1.0, name=new)
        self.fails(bob, AlreadyExists)
        self.get(self.accounts.update_alias(AliasId("old"), 1.0, name=new))
        self.assertEqual(self.get(self.accounts.alias_named(DomainId("d1"), old)).name, new)

    def test_update_alias(self) -> None:
        """The changes, ``updated_at`` and nothing else."""
        self.fill()
        before = self.get(self.accounts.alias(AliasId("id-alice")))
        changes = {
            "recipients": ("x@y.test",),
            "has_imap": True,
            "settings": {"a": 1},
            "vacation_responder": VacationResponder(is_enabled=True),
        }
        after = self.get(self.accounts.update_alias(before.id, 9.0, **changes))
        self.assertEqual(after, attrs.evolve(before, updated_at=9.0, **changes))
        self.assertEqual(self.get(self.accounts.alias(before.id)), after)

    def test_note_storage(self) -> None:
        """What mailboxes use is noted for all; it is no change of the alias."""
        self.fill()
        for name in ("bob", "carol"):
            self.get(self.accounts.add_alias(alias(name, updated_at=1.0, storage_used=5)))
        self.get(self.accounts.note_storage({AliasId("id-bob"): 7, AliasId("nobody"): 9}))
        bob, carol = (self.get(self.accounts.alias(AliasId(f"id-{n}"))) for n in ("bob", "carol"))
        self.assertEqual((bob.storage_used, bob.updated_at), (7, 1.0))
        self.assertEqual(carol.storage_used, 0)
        self.assertEqual(self.get(self.accounts.domain(bob.domain_id)).storage_used, 7)

    def test_delete_alias(self) -> None:
        """The caller gets what it was; the name is free again."""
        self.fill()
        alice = self.get(self.accounts.alias(AliasId("id-alice")))
        keys = self.get(give_keys(self.accounts, alice.id, [credential()], b"k"))
        gone = self.get(self.accounts.delete_alias(alice.id))
        self.assertEqual(gone, attrs.evolve(alice, sealing_key=b"k", epoch=keys.epoch))
        self.assertEqual(self.get(self.accounts.credentials(alice.id)), ())
        self.get(self.accounts.add_alias(alias()))

    def test_aliases_of_a_user(self) -> None:
        """A list is of one domain, and perhaps of one user."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2")))
        self.get(self.accounts.add_alias(alias("other", domain_id="d2")))
        self.get(self.accounts.add_alias(alias("bob", user_id="u2")))
        listed = self.get(self.accounts.aliases(DomainId("d1"), Query()))
        self.assertEqual(self.ids(listed), ["id-alice", "id-bob"])
        mine = self.get(self.accounts.aliases(DomainId("d1"), Query(), UserId("u2")))
        self.assertEqual(self.ids(mine), ["id-bob"])

    def test_route_rows(self) -> None:
        """A claim comes with what may match: the name, all patterns, the catch-all."""
        self.fill()
        for name in ("/^x/", "*", "/^y/"):
            self.get(self.accounts.add_alias(alias(name, is_enabled=False)))
        (rows,) = self.get(self.accounts.route_rows("alice", "d1.test"))
        self.assertEqual(rows.domain, self.get(self.accounts.domain(DomainId("d1"))))
        self.assertEqual(rows.named, self.get(self.accounts.alias(AliasId("id-alice"))))
        self.assertEqual([row.name for row in rows.patterns], ["/^x/", "/^y/"])
        self.assertEqual(rows.catchall and rows.catchall.name, "*")
        self.assertTrue(rows.owner_is_admin)
        for local in ("nobody", "*", "/^x/", "Alice"):
            (rows,) = self.get(self.accounts.route_rows(local, "d1.test"))
            self.assertIsNone(rows.named)
        self.assertEqual(self.get(self.accounts.route_rows("alice", "d2.test")), ())

    def test_route_rows_without_aliases(self) -> None:
        """A domain without aliases is still ours."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2", "u2")))
        (rows,) = self.get(self.accounts.route_rows("x", "d2.test"))
        self.assertEqual((rows.named, rows.patterns, rows.catchall), (None, (), None))
        self.assertFalse(rows.owner_is_admin)

    def test_order_of_claims(self) -> None:
        """Verified first, then those of server admins, then by age."""
        self.fill()
        for index, group in enumerate(("user", "admin", "user", "user"), start=3):
            self.get(self.accounts.add_user(user(f"u{index}", group=group)))
        for name, admin, has_txt_record, created_at in (
            ("old", "u2", False, 1.0),
            ("new", "u3", False, 2.0),
            ("admins", "u4", False, 3.0),
            ("verified", "u5", True, 4.0),
        ):
            claim = domain(name, admin, name="x.test", has_txt_record=has_txt_record)
            self.get(self.accounts.add_domain(attrs.evolve(claim, created_at=created_at)))
            self.get(self.accounts.add_alias(alias("a", id=f"a-{name}", domain_id=name)))
        order = ["verified", "admins", "old", "new"]
        rows = self.get(self.accounts.route_rows("a", "x.test"))
        self.assertEqual([row.domain.id for row in rows], order)
