"""What every ``UserStore`` does."""

import attrs

from fe_mail.model.account import (
    WebSession,
)
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound
from fe_mail.model.ids import AliasId, DomainId, UserId
from tests.contracts.account_case import AccountCase, alias, domain, user
from tests.fakes import give_keys

__all__ = ["UsersContract"]


class UsersContract(AccountCase):
    """People with a web login."""

    def test_user_comes_back(self) -> None:
        """Every attribute survives, and every way to look a user up finds it."""
        self.get(self.accounts.add_user(user("first")))
        full = user(
            email="Jürgen@Mail.test",
            plan="free",
            api_token_hash="ab" * 32,
            api_token_sealed=b"\0\xff",
            has_verified_email=False,
            is_banned=True,
            given_name="Jürgen",
            family_name="Ö'Neil",
            locale="da",
            timezone="Europe/Copenhagen",
            max_quota_per_alias=10**13,
            created_at=12.5,
            updated_at=13.5,
        )
        self.assertEqual(self.get(self.accounts.add_user(full)), full)
        self.assertEqual(self.get(self.accounts.user(full.id)), full)
        self.assertEqual(self.get(self.accounts.user_by_email("JÜRGEN@mail.TEST")), full)
        self.assertEqual(self.get(self.accounts.user_by_token("ab" * 32)), full)

    def test_first_user_is_admin(self) -> None:
        """The first user runs the server, later ones do not."""
        self.assertEqual(self.get(self.accounts.add_user(user("u1"))).group, "admin")
        self.assertEqual(self.get(self.accounts.add_user(user("u2"))).group, "user")
        self.assertEqual(self.get(self.accounts.user(UserId("u1"))).group, "admin")

    def test_nobody_comes_first_again(self) -> None:
        """When all who came are gone, the next one does not own the server."""
        self.get(self.accounts.add_user(user("u1")))
        self.get(self.accounts.delete_user(UserId("u1")))
        self.assertEqual(self.get(self.accounts.add_user(user("u2"))).group, "user")

    def test_user_is_unique(self) -> None:
        """Neither id, address (without case) nor token can be taken twice."""
        self.get(self.accounts.add_user(user("u1", api_token_hash="t")))
        self.fails(self.accounts.add_user(user("u1", email="x@y")), AlreadyExists)
        self.fails(self.accounts.add_user(user("u2", email="U1@MAIL.test")), AlreadyExists)
        self.fails(self.accounts.add_user(user("u2", api_token_hash="t")), AlreadyExists)
        self.get(self.accounts.add_user(user("u2")))
        work = self.accounts.update_user(UserId("u2"), 1.0, email="U1@mail.test")
        self.fails(work, AlreadyExists)
        self.assertEqual(self.get(self.accounts.user(UserId("u2"))).email, "u2@mail.test")

    def test_unknown_user(self) -> None:
        """Who is not there is not found; an empty token is nobody's."""
        self.get(self.accounts.add_user(user()))
        for work in (
            self.accounts.user(UserId("u9")),
            self.accounts.user_by_email("u9@mail.test"),
            self.accounts.user_by_token(""),
            self.accounts.user_by_token("u9"),
            self.accounts.update_user(UserId("u9"), 1.0, locale="da"),
            self.accounts.delete_user(UserId("u9")),
        ):
            self.fails(work, NotFound)

    def test_update_user(self) -> None:
        """The changes, ``updated_at`` and nothing else; the new address is found, not the old."""
        before = self.get(self.accounts.add_user(user()))
        after = self.get(self.accounts.update_user(before.id, 9.0, email="New@x.test", plan="p"))
        expected = attrs.evolve(before, email="New@x.test", plan="p", updated_at=9.0)
        self.assertEqual(after, expected)
        self.assertEqual(self.get(self.accounts.user_by_email("new@X.test")), expected)
        self.fails(self.accounts.user_by_email("u1@mail.test"), NotFound)

    def test_update_mistakes(self) -> None:
        """What is no attribute, or not the caller's to change, is a mistake in the program."""
        self.fill()
        for changes in ({"nonsense": 1}, {"id": "x"}, {"updated_at": 1.0}):
            self.fails(self.accounts.update_user(UserId("u1"), 1.0, **changes), TypeError)
            self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, **changes), TypeError)
            self.fails(self.accounts.update_alias(AliasId("id-alice"), 1.0, **changes), TypeError)
        self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, members=()), TypeError)
        self.fails(self.accounts.update_domain(DomainId("d1"), 1.0, alias_count=3), TypeError)
        work = self.accounts.update_alias(AliasId("id-alice"), 1.0, domain_name="x")
        self.fails(work, TypeError)

    def test_delete_user(self) -> None:
        """What only the user had goes, what others share stays, and mail is not lost."""
        self.fill()
        self.get(self.accounts.add_domain(domain("d2", "u2")))
        self.get(self.accounts.add_alias(alias("own", domain_id="d2", user_id="u2")))
        self.get(self.accounts.add_alias(alias("bob", user_id="u2")))
        session = WebSession(id="s", user_id=UserId("u2"), created_at=1.0, expires_at=9.0)
        self.get(self.accounts.add_session(session))
        self.get(give_keys(self.accounts, AliasId("id-own"), [], b"k"))
        self.assertEqual(self.get(self.accounts.delete_user(UserId("u2"))), ("id-own",))
        self.fails(self.accounts.user(UserId("u2")), NotFound)
        self.fails(self.accounts.domain(DomainId("d2")), NotFound)
        self.fails(self.accounts.session("s", 2.0), NotFound)
        members = self.get(self.accounts.domain(DomainId("d1"))).members
        self.assertEqual([member.user_id for member in members], ["u1"])
        self.assertEqual(self.get(self.accounts.alias(AliasId("id-bob"))).user_id, "u1")
        self.assertEqual(self.get(self.accounts.check()), ())

    def test_last_admin(self) -> None:
        """Who asks for it keeps the server's last admin; others go, and admins who are not last."""
        self.get(self.accounts.add_user(user("u1")))
        self.get(self.accounts.add_user(user("u2")))
        self.fails(self.accounts.delete_user(UserId("u1"), keeps_an_admin=True), Conflict)
        self.assertEqual(self.get(self.accounts.user(UserId("u1"))).group, "admin")
        self.get(self.accounts.update_user(UserId("u2"), 1.0, group="admin"))
        self.get(self.accounts.add_user(user("u3")))
        for name in ("u3", "u1"):
            self.get(self.accounts.delete_user(UserId(name), keeps_an_admin=True))
        self.fails(self.accounts.delete_user(UserId("u2"), keeps_an_admin=True), Conflict)

    def test_owned(self) -> None:
        """From the first user on, for ever."""
        self.assertFalse(self.get(self.accounts.is_owned()))
        self.get(self.accounts.add_user(user("u1")))
        self.assertTrue(self.get(self.accounts.is_owned()))
        self.get(self.accounts.delete_user(UserId("u1")))
        self.assertTrue(self.get(self.accounts.is_owned()))
