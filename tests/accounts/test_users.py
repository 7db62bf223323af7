"""Tests of fe_mail.accounts.users: registration, sessions, tokens."""

import hashlib
from collections.abc import Coroutine
from typing import Any

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred

from fe_mail.accounts.limits import GUESSED_FAILURES, PAIR_LIMIT, SLOW_SECONDS
from fe_mail.accounts.users import SESSION_SECONDS, Users
from fe_mail.model.account import User
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Invalid,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.page import Query
from tests.accounts.fakes import AccountsTestCase
from tests.fakes import MemoryAccountStore

PASSWORD = "mulled otter 84 quay"


class UsersTestCase(AccountsTestCase):
    """A registered person."""

    def setUp(self) -> None:
        """``eva@example.net``."""
        super().setUp()
        self.users = Users(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins
        )
        self.eva = self.now(
            self.users.register("Eva@Example.net", PASSWORD, "da", is_by_operator=True)
        )


class RegisterTests(UsersTestCase):
    """New accounts."""

    def add(self, *fields: str) -> Coroutine[Any, Any, User]:
        """As the operator does."""
        return self.users.register(*fields, is_by_operator=True)

    def test_closed(self) -> None:
        """After the first account nobody registers, until the operator opens; it can be closed."""
        registration = self.users.registration
        self.fails(PermissionDenied, self.users.register("new@example.net", PASSWORD))
        self.now(registration.decide("open"))
        made = self.now(self.users.register("new@example.net", PASSWORD))
        self.assertFalse(made.has_verified_email)
        self.now(registration.decide("closed"))
        self.fails(PermissionDenied, self.users.register("later@example.net", PASSWORD))
        self.fails(Invalid, registration.decide("ajar"))

    def test_open_for_the_first(self) -> None:
        """On a server that nobody owns everybody may try; the first one's address is believed."""
        accounts = MemoryAccountStore()
        users = Users(accounts, self.keyring, self.counters, self.clock, self.failed_logins)
        self.assertTrue(self.now(users.registration.is_open()))
        owner = self.now(users.register("owner@example.net", PASSWORD))
        self.assertEqual((owner.group, owner.has_verified_email), ("admin", True))
        self.assertFalse(self.now(users.registration.is_open()))
        self.fails(PermissionDenied, users.register("second@example.net", PASSWORD))

    def test_crowd_at_the_first(self) -> None:
        """Of several who register on a fresh server at once only the one who owns it stays."""
        accounts = MemoryAccountStore()
        users = Users(accounts, self.keyring, self.counters, self.clock, self.failed_logins)
        hashing: list[Deferred[str]] = [Deferred(), Deferred()]
        waiting = iter(hashing)
        self.patch(self.keyring, "hash_password", lambda _: next(waiting))
        crowd = [
            Deferred.fromCoroutine(users.register(f"u{n}@example.net", PASSWORD)) for n in range(2)
        ]
        for each in hashing:
            each.callback("hash")
        owner = self.successResultOf(crowd[0])
        self.failureResultOf(crowd[1], PermissionDenied)
        self.assertEqual(self.now(accounts.users(Query())).items, (owner,))

    def test_first_owns_the_server(self) -> None:
        """The first account is the server's admin, the next ones are not."""
        self.assertEqual((self.admin.group, self.eva.group), ("admin", "user"))
        self.assertTrue(self.now(self.users.has_admin()))

    def test_stored(self) -> None:
        """Address in lower case, language kept, password nowhere."""
        self.assertEqual((self.eva.email, self.eva.locale), ("eva@example.net", "da"))
        self.assertNotIn(PASSWORD, repr(self.eva) + self.eva.password_hash)

    def test_taken(self) -> None:
        """One account per address, whatever its case."""
        self.fails(AlreadyExists, self.add("EVA@example.net", PASSWORD))

    def test_invalid(self) -> None:
        """No address, no account; no good password, neither."""
        for email in ("", "eva", "eva@localhost", "a b@example.net", "x" * 400 + "@example.net"):
            error = self.fails(Invalid, self.add(email, PASSWORD))
            self.assertEqual(error.field, "email")
        for password in ("", "short", "eva@example.net", "password1234"):
            error = self.fails(Invalid, self.add("new@example.net", password))
            self.assertEqual(error.field, "password")

    def test_unknown_language(self) -> None:
        """A language without a catalog becomes English."""
        self.assertEqual(self.now(self.add("x@y.test", PASSWORD, "xx")).locale, "")


class SignInTests(UsersTestCase):
    """Passwords and sessions."""

    def test_sign_in(self) -> None:
        """The right password, whatever the case of the address."""
        user = self.now(self.users.sign_in(" EVA@example.net ", PASSWORD, "192.0.2.1"))
        self.assertEqual(user.id, self.eva.id)

    def outdated(self) -> str:
        """Give Eva a hash as an older server made it."""
        hasher = PasswordHasher(time_cost=1, memory_cost=16, parallelism=1)
        hashed = hasher.hash(PASSWORD.encode())
        self.eva = self.change_user(self.eva, password_hash=hashed)
        return hashed

    def test_costs_of_today(self) -> None:
        """Signing in makes the hash again when its costs are not today's; the password stays."""
        old = self.outdated()
        self.fails(AuthenticationFailed, self.users.sign_in("eva@example.net", "x", ""))
        self.assertEqual(self.now(self.accounts.user(self.eva.id)).password_hash, old)
        changed = self.now(self.users.sign_in("eva@example.net", PASSWORD, ""))
        self.assertNotEqual(changed.password_hash, old)
        self.assertEqual(self.now(self.accounts.user(self.eva.id)), changed)
        self.assertFalse(self.keyring.is_outdated(changed.password_hash))
        self.assertEqual(self.now(self.users.sign_in("eva@example.net", PASSWORD, "")), changed)
        token = self.now(self.users.start_session(changed, ""))
        self.assertEqual(self.now(self.users.session_user(token)).id, self.eva.id)

    def test_password_changed_while_it_is_hashed_again(self) -> None:
        """The new password is not overwritten by the old one."""
        self.outdated()
        hashing: Deferred[str] = Deferred()
        self.patch(self.keyring, "hash_password", lambda _: hashing)
        signing = Deferred.fromCoroutine(self.users.sign_in("eva@example.net", PASSWORD, ""))
        self.assertNoResult(signing)
        self.change_user(self.eva, password_hash="of the new password")
        hashing.callback("of the old password")
        self.successResultOf(signing)
        stored = self.now(self.accounts.user(self.eva.id)).password_hash
        self.assertEqual(stored, "of the new password")

    def test_crowd_on_a_closed_account(self) -> None:
        """Of many guesses at once none learns that it was right once the limit is reached."""
        self.change_user(self.eva, is_banned=True)
        verifying: Deferred[bool] = Deferred()
        self.patch(self.keyring, "verify_password", lambda *_: verifying)
        right = Deferred.fromCoroutine(self.users.sign_in("eva@example.net", PASSWORD, "192.0.2.1"))
        for n in range(PAIR_LIMIT):
            self.now(self.users._limits.failed("192.0.2.1", "eva@example.net", f"p{n}"))
        verifying.callback(True)
        self.failureResultOf(right, RateLimited)

    def test_same_wrong_password(self) -> None:
        """A browser that sends the same one all day is one line of what the owner reads."""
        for _ in range(3):
            self.fails(
                AuthenticationFailed, self.users.sign_in("eva@example.net", "x", "192.0.2.1")
            )
        self.clock.advance(0)
        self.assertEqual(len(self.now(self.failed_logins.of_user(self.eva))), 1)

    def test_refused(self) -> None:
        """Unknown address and wrong password say the same."""
        words = {
            self.fails(AuthenticationFailed, self.users.sign_in(email, password, "")).message
            for email, password in (
                ("eva@example.net", "wrong"), ("nobody@example.net", PASSWORD),
                ("eva@example.net", ""), ("eva@example.net", "x" * 5000), ("\ud800", "\ud800"),
            )
        }  # fmt: skip
        self.assertEqual(words, {AuthenticationFailed.default})

    def test_limited(self) -> None:
        """Ten distinct wrong passwords an hour from one address."""
        for n in range(10):
            work = self.users.sign_in("eva@example.net", f"wrong {n}", "192.0.2.1")
            self.fails(AuthenticationFailed, work)
        self.fails(RateLimited, self.users.sign_in("eva@example.net", PASSWORD, "192.0.2.1"))
        self.now(self.users.sign_in("eva@example.net", PASSWORD, "192.0.2.2"))

    def test_owner_reads_it(self) -> None:
        """Each failed sign-in to an account that exists leaves an entry."""
        for email in ("Eva@example.net", "nobody@example.net"):
            self.fails(AuthenticationFailed, self.users.sign_in(email, "wrong", "192.0.2.1"))
        self.clock.advance(0)
        (entry,) = self.now(self.failed_logins.of_user(self.eva))
        self.assertEqual((entry.remote, entry.detail["protocol"]), ("192.0.2.1", "web"))
        self.assertEqual(self.now(self.failed_logins.of_user(self.admin)), ())

    def test_operator_lifts(self) -> None:
        """By the account's address, or by where the failures came from."""
        for who, ip in (("EVA@example.net", "192.0.2.1"), ("192.0.2.2", "192.0.2.2")):
            for n in range(10):
                work = self.users.sign_in("eva@example.net", f"wrong {n}", ip)
                self.fails(AuthenticationFailed, work)
            self.fails(RateLimited, self.users.sign_in("eva@example.net", PASSWORD, ip))
            self.now(self.users.lift(who))
        self.now(self.users.sign_in("eva@example.net", PASSWORD, "192.0.2.2"))

    def test_spellings_are_one_name(self) -> None:
        """Who guesses gains nothing by writing the address in other ways."""
        for n in range(GUESSED_FAILURES):
            spelling = ("eva@example.net", "EVA@example.net.", '"eva"@example.net')[n % 3]
            work = self.users.sign_in(spelling, f"wrong {n}", f"192.0.2.{n}")
            self.fails(AuthenticationFailed, work)
        waiting = Deferred.fromCoroutine(
            self.users.sign_in("eva@example.net.", PASSWORD, "198.51.100.7")
        )
        self.assertNoResult(waiting)
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(self.successResultOf(waiting).id, self.eva.id)

    def test_banned(self) -> None:
        """A closed account hears so after the right password only; its sessions end."""
        token = self.now(self.users.start_session(self.eva, ""))
        self.change_user(self.eva, is_banned=True)
        self.fails(PermissionDenied, self.users.sign_in("eva@example.net", PASSWORD, ""))
        self.fails(AuthenticationFailed, self.users.sign_in("eva@example.net", "wrong", ""))
        self.fails(NotFound, self.users.session_user(token))

    def test_session_is_bound_to_the_password(self) -> None:
        """One that begins while the password changes, too late to be ended, is worth nothing."""
        token = self.now(self.users.start_session(self.eva, ""))
        changed = self.now(self.keyring.hash_password("another otter 85 quay"))
        self.change_user(self.eva, password_hash=changed)
        self.fails(NotFound, self.users.session_user(token))
        self.change_user(self.eva, password_hash=self.eva.password_hash)
        self.assertEqual(self.now(self.users.session_user(token)).id, self.eva.id)

    def test_session(self) -> None:
        """A session lasts thirty days or until one signs out; the store knows no token."""
        token = self.now(self.users.start_session(self.eva, "192.0.2.1"))
        self.assertEqual(self.now(self.users.session_user(token)).id, self.eva.id)
        digest = hashlib.sha256(token.partition(".")[0].encode()).hexdigest()
        session, _ = self.now(self.accounts.session(digest, self.clock.seconds()))
        self.assertEqual(session.remote, "192.0.2.1")
        self.clock.advance(SESSION_SECONDS)
        self.fails(NotFound, self.users.session_user(token))

    def test_sign_out(self) -> None:
        """Signing out ends one session; nonsense is nobody's."""
        token = self.now(self.users.start_session(self.eva, ""))
        self.now(self.users.sign_out(token))
        self.now(self.users.sign_out(token))
        for nonsense in (token, "", ".", "x" * 1000, "\ud800"):
            self.fails(NotFound, self.users.session_user(nonsense))

    def test_change_password(self) -> None:
        """With the old one, to a good one."""
        other = "another fine 77 quilt"
        self.fails(AuthenticationFailed, self.users.change_password(self.eva, "wrong", other))
        self.fails(Invalid, self.users.change_password(self.eva, PASSWORD, "weak"))
        self.now(self.users.change_password(self.eva, PASSWORD, other))
        self.now(self.users.sign_in("eva@example.net", other, ""))
        self.fails(AuthenticationFailed, self.users.sign_in("eva@example.net", PASSWORD, ""))

    def test_new_password_ends_sessions(self) -> None:
        """Whoever stole a session loses it when the password changes."""
        token = self.now(self.users.start_session(self.eva, ""))
        eva = self.now(self.users.change_password(self.eva, PASSWORD, "another fine 77 quilt"))
        self.fails(NotFound, self.users.session_user(token))
        self.fails(NotFound, self.users.session_user(token.partition(".")[0]))
        token = self.now(self.users.start_session(eva, ""))
        self.assertEqual(self.now(self.users.session_user(token)).id, eva.id)

    def test_change_password_is_limited(self) -> None:
        """A stolen session is no place to guess the password."""
        for n in range(10):
            work = self.users.change_password(self.eva, f"wrong {n}", PASSWORD)
            self.fails(AuthenticationFailed, work)
        self.fails(RateLimited, self.users.change_password(self.eva, PASSWORD, PASSWORD))

    def test_judged_elsewhere(self) -> None:
        """Judging a password goes through the thread that it was given."""
        ran: list[object] = []

        async def run(work):  # type: ignore[no-untyped-def]
            ran.append(work)
            return work()

        users = Users(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, run=run
        )
        self.fails(Invalid, users.register("new@example.net", "password", is_by_operator=True))
        self.now(users.set_password(self.eva, "another fine 77 quilt"))
        self.assertEqual(2, len(ran))

    def test_sign_out_everywhere(self) -> None:
        """All sessions of one user end."""
        tokens = [self.now(self.users.start_session(self.eva, "")) for _ in range(2)]
        admins = self.now(self.users.start_session(self.admin, ""))
        self.now(self.users.sign_out_everywhere(self.eva))
        for token in tokens:
            self.fails(NotFound, self.users.session_user(token))
        self.assertEqual(self.now(self.users.session_user(admins)).id, self.admin.id)


class TokenTests(UsersTestCase):
    """API tokens."""

    def test_token(self) -> None:
        """24 hex characters that can be shown again; the store has them encrypted."""
        token = self.now(self.users.api_token(self.eva))
        self.assertRegex(token, r"\A[0-9a-f]{24}\Z")
        self.assertEqual(self.now(self.users.by_token(token)).id, self.eva.id)
        self.assertNotIn(token.encode(), self.eva.api_token_sealed)
        self.assertEqual(self.now(self.users.api_token(self.eva)), token)

    def test_new_token(self) -> None:
        """The old one stops working."""
        old = self.now(self.users.api_token(self.eva))
        new = self.now(self.users.new_api_token(self.eva))
        self.fails(NotFound, self.users.by_token(old))
        self.assertEqual(self.now(self.users.by_token(new)).id, self.eva.id)

    def test_lost_key(self) -> None:
        """A token that the server cannot read any more is replaced."""
        eva = self.change_user(self.eva, api_token_sealed=b"x" * 60)
        token = self.now(self.users.api_token(eva))
        self.assertEqual(self.now(self.users.by_token(token)).id, self.eva.id)

    def test_nonsense(self) -> None:
        """No token is nobody's."""
        for token in ("", "x", "0" * 24, "x" * 10_000):
            self.fails(NotFound, self.users.by_token(token))


class UpdateTests(UsersTestCase):
    """Settings of a person."""

    def test_update(self) -> None:
        """Names lose markup, the address its case."""
        eva = self.now(
            self.users.update(
                self.eva, email="E@Example.net", given_name="<b>Eva</b>", timezone="Europe/Oslo"
            )
        )
        self.assertEqual((eva.email, eva.given_name), ("e@example.net", "Eva"))
        self.assertEqual(eva.timezone, "Europe/Oslo")

    def test_refused(self) -> None:
        """Wrong values name their field; privileges are no settings."""
        for field, value in (
            ("email", "nonsense"), ("given_name", "x" * 36), ("family_name", 7),
            ("locale", "xx"), ("timezone", "../etc/passwd"), ("group", "admin"),
            ("password_hash", "x"), ("is_banned", False),
        ):  # fmt: skip
            error = self.fails(Invalid, self.users.update(self.eva, **{field: value}))
            self.assertEqual(error.field, field)

    def test_taken_address(self) -> None:
        """Nobody takes another's address."""
        self.fails(AlreadyExists, self.users.update(self.eva, email="ADMIN@example.com"))
