"""What every ``DomainStore`` does."""

import attrs

from fe_mail.model.account import (
    Domain,
    Member,
)
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.page import Query
from tests.contracts.account_case import AccountCase, alias, credential, domain, user
from tests.fakes import give_keys

__all__ = ["DomainsContract"]


class DomainsContract(AccountCase):
    """Domains and members."""

    def test_domain_comes_back(self) -> None:
        """Every attribute survives."""
        self.fill()
        flags = {field.name for field in attrs.fields(Domain) if field.type is bool}
        chosen = {name: not getattr(domain(), name) for name in flags} | {
            "has_catchall": False,
            "has_regex": False,
        }
        full = domain(
            "d2",
            **chosen,
            plan="free",
            verification_record="abc",
            dkim_selector="fe",
            dkim_private_key=b"\0sealed",
            dkim_public_key="MII",
            max_recipients_per_alias=5,
            max_quota_per_alias=6,
            smtp_port=2525,
            retention_days=7,
            bounce_webhook="https://x.test/",
            allowlist=("a.test", "ä"),
            denylist=('"quoted"',),
            restricted_alias_names=("root",),
            last_checked_at=1.5,
            smtp_verified_at=2.5,
            created_at=3.5,
            updated_at=4.5,
        )
        added = self.get(self.accounts.add_domain(full))
        members = (Member(user_id=UserId("u1"), group="admin", email="u1@mail.test"),)
        self.assertEqual(added, attrs.evolve(full, members=members))
        self.assertEqual(self.get(self.accounts.domain(full.id)), added)

    def test_counts(self) -> None:
        """What a list of domains shows is computed from the aliases."""
        self.fill()
        bare = self.get(self.accounts.domain(DomainId("d1")))
        self.assertEqual((bare.alias_count, bare.has_catchall, bare.has_regex), (1, False, False))
        self.get(self.accounts.add_alias(alias("*", storage_used=30)))
        self.get(self.accounts.add_alias(alias("/^a/i")))
        self.get(self.accounts.update_alias(AliasId("id-alice"), 1.0, storage_used=4))
        (full,) = self.get(self.accounts.domains(None, Query())).items
        self.assertEqual((full.alias_count, full.has_catchall, full.has_regex), (3, True, True))
        self.assertEqual(full.storage_used, 34)

    def test_claims(self) -> None:
        """Several accounts may claim a name, one account only once."""
        self.fill()
        self.get(self.accounts.add_user(user("u3")))
        self.fails(self.accounts.add_domain(domain("dx", "u2", name="d1.test")), AlreadyExists)
        self.fails(self.accounts.domain(DomainId("dx")), NotFound)
        rival = domain("d3", "u3", name="d1.test", created_at=-1.0)
        self.get(self.accounts.add_domain(rival))
        claims = self.get(self.accounts.domains_named("d1.test"))
        self.assertEqual([claim.id for claim in claims], ["d3", "d1"])
        member = Member(user_id=UserId("u2"))
        self.fails(self.accounts.set_member(rival.id, member), AlreadyExists)
        self.get(self.accounts.add_domain(domain("d4", "u3")))
        work = self.accounts.update_domain(DomainId("d4"), 1.0, name="d1.test")
        self.fails(work, AlreadyExists)
        self.assertEqual(self.get(self.accounts.domain(DomainId("d4"))).name, "d4.test")

    def test_domain_mistakes(self) -> None:
        """Taken ids, strangers and double members are refused, and nothing of them stays."""
        self.fill()
        twice = (Member(user_id=UserId("u1")), Member(user_id=UserId("u1")))
        self.fails(self.accounts.add_domain(domain("d1", name="other.test")), AlreadyExists)
        self.fails(self.accounts.add_domain(domain("d2", "u9")), NotFound)
        self.fails(self.accounts.add_domain(domain("d2", members=twice)), AlreadyExists)
        stranger = Member(user_id=UserId("u9"))
        self.fails(self.accounts.set_member(DomainId("d1"), stranger), NotFound)
        for work in (
            self.accounts.domain(DomainId("d2")),
            self.accounts.update_domain(DomainId("d2"), 1.0, plan="x"),
            self.accounts.set_member(DomainId("d2"), Member(user_id=UserId("u1"))),
            self.accounts.delete_domain(DomainId("d2")),
        ):
            self.fails(work, NotFound)
        self.assertEqual(self.get(self.accounts.domains(None, Query())).total, 1)

    def test_update_domain(self) -> None:
        """The changes, ``updated_at`` and nothing else."""
        self.fill()
        before = self.get(self.accounts.domain(DomainId("d1")))
        changes = {"has_mx_record": True, "allowlist": ("x.test",), "dkim_private_key": b"k"}
        after = self.get(self.accounts.update_domain(before.id, 9.0, **changes))
        self.assertEqual(after, attrs.evolve(before, updated_at=9.0, **changes))
        self.assertEqual(self.get(self.accounts.domain(before.id)), after)

    def test_set_member(self) -> None:
        """A new member comes last; one that is there keeps its place."""
        self.fill()
        self.get(self.accounts.add_user(user("u3")))
        self.get(self.accounts.set_member(DomainId("d1"), Member(user_id=UserId("u3"))))
        changed = Member(user_id=UserId("u2"), group="admin")
        after = self.get(self.accounts.set_member(DomainId("d1"), changed))
        groups = [(member.user_id, member.group, member.email) for member in after.members]
        self.assertEqual(
            groups,
            [
                ("u1", "admin", "u1@mail.test"),
                ("u2", "admin", "u2@mail.test"),
                ("u3", "user", "u3@mail.test"),
            ],
        )

    def test_delete_domain(self) -> None:
        """Its aliases and their credentials go with it; the caller learns which are unsettled."""
        self.fill()
        self.get(self.accounts.add_alias(alias("bob")))
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential()], b"key"))
        gone = self.get(self.accounts.delete_domain(DomainId("d1")))
        self.assertEqual(gone, ("id-alice",))
        self.fails(self.accounts.alias(alice), NotFound)
        self.assertEqual(self.get(self.accounts.credentials(alice)), ())
        self.fill_domain_again()

    def fill_domain_again(self) -> None:
        """Nothing of a deleted domain is in the way of a new one."""
        self.get(self.accounts.add_domain(domain()))
        self.get(self.accounts.add_alias(alias()))
        self.assertEqual(self.get(self.accounts.check()), ())

    def test_domains_of_a_user(self) -> None:
        """A user sees the domains of which it is a member, in any group."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2")))

        def seen(by: str | None) -> list[str]:
            return self.ids(self.get(self.accounts.domains(by and UserId(by), Query())))

        self.assertEqual(seen("u1"), ["d1", "d2"])
        self.assertEqual(seen("u2"), ["d1"])
        self.assertEqual(seen("u9"), [])
        self.assertEqual(seen(None), ["d1", "d2"])

    def test_compared_updates(self) -> None:
        """A change that says what it read fails when that is not so any more."""
        self.fill()
        owner, name = UserId("u1"), DomainId("d1")
        work = self.accounts.update_user(owner, 5.0, {"locale": "da"}, given_name="X")
        self.fails(work, Conflict)
        self.assertEqual(self.get(self.accounts.user(owner)).given_name, "")
        self.get(self.accounts.update_user(owner, 5.0, {"locale": ""}, given_name="Y"))
        self.assertEqual(self.get(self.accounts.user(owner)).given_name, "Y")
        for key in (b"first", b"second"):
            work = self.accounts.update_domain(name, 5.0, {"webhook_key": b""}, webhook_key=key)
            if key == b"first":
                self.get(work)
            else:
                self.fails(work, Conflict)
        self.assertEqual(self.get(self.accounts.domain(name)).webhook_key, b"first")
        self.fails(self.accounts.update_domain(DomainId("x"), 5.0, {"plan": "x"}), NotFound)
        alice, settings = AliasId("id-alice"), {"mail": {"sent_folder": "é"}}
        self.get(self.accounts.update_alias(alice, 5.0, {"settings": {}}, settings=settings))
        work = self.accounts.update_alias(alice, 6.0, {"settings": {}}, settings={})
        self.fails(work, Conflict)
        self.get(self.accounts.update_alias(alice, 7.0, {"settings": settings}, retention=7))
        self.assertEqual(self.get(self.accounts.alias(alice)).settings, settings)
