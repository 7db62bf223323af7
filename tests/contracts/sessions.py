"""What every ``SessionStore`` does."""

import attrs

from fe_mail.model.account import (
    WebSession,
)
from fe_mail.model.errors import AlreadyExists, NotFound
from fe_mail.model.ids import UserId
from tests.contracts.account_case import AccountCase

__all__ = ["SessionsContract"]


class SessionsContract(AccountCase):
    """Sessions of browsers."""

    def test_sessions(self) -> None:
        """A session is good until it expires or is deleted."""
        self.fill()
        session = WebSession(
            id="s", user_id=UserId("u1"), created_at=1.0, expires_at=9.0, remote="192.0.2.1"
        )
        self.get(self.accounts.add_session(session))
        owner = self.get(self.accounts.user(UserId("u1")))
        self.assertEqual(self.get(self.accounts.session("s", 8.9)), (session, owner))
        self.fails(self.accounts.session("s", 9.0), NotFound)
        self.fails(self.accounts.session("t", 1.0), NotFound)
        self.fails(self.accounts.add_session(session), AlreadyExists)
        stranger = attrs.evolve(session, id="t", user_id=UserId("u9"))
        self.fails(self.accounts.add_session(stranger), NotFound)
        self.get(self.accounts.delete_session("s"))
        self.get(self.accounts.delete_session("s"))
        self.fails(self.accounts.session("s", 2.0), NotFound)

    def test_delete_sessions(self) -> None:
        """Every session of one user ends, nobody else's."""
        self.fill()
        for name, owner in (("a", "u1"), ("b", "u1"), ("c", "u2")):
            self.get(
                self.accounts.add_session(
                    WebSession(id=name, user_id=UserId(owner), created_at=1.0, expires_at=9.0)
                )
            )
        self.get(self.accounts.delete_sessions(UserId("u1")))
        self.get(self.accounts.delete_sessions(UserId("u9")))
        for gone in "ab":
            self.fails(self.accounts.session(gone, 2.0), NotFound)
        self.assertEqual(self.get(self.accounts.session("c", 2.0))[1].id, "u2")

    def test_purge(self) -> None:
        """What is over goes, what is not stays."""
        self.fill()
        for name, expires_at in (("old", 100.0), ("new", 101.0)):
            session = WebSession(
                id=name, user_id=UserId("u1"), created_at=1.0, expires_at=expires_at
            )
            self.get(self.accounts.add_session(session))
        self.get(self.accounts.purge_sessions(100.0))
        self.fails(self.accounts.session("old", 1.0), NotFound)
        self.get(self.accounts.session("new", 100.0))
