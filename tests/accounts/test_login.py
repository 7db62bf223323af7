"""Tests of fe_mail.accounts.login and sasl: who gets in, who does not, and what each learns."""

import base64
import hashlib
import hmac
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from fe_mail.accounts import scram
from fe_mail.accounts.limits import LANE_SECONDS, PAIR_LIMIT, SLOW_SECONDS
from fe_mail.accounts.login import REMEMBER_SECONDS, TOUCH_SECONDS, Login
from fe_mail.accounts.passwords import find_slot
from fe_mail.accounts.sasl import SASLExchange
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import (
    AuthenticationFailed,
    Invalid,
    MailError,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.identity import Identity
from fe_mail.model.page import Query
from tests.accounts.fakes import AccountsTestCase
from tests.fakes import give_keys

PASSWORD = "correct horse battery"
HERE = Peer(ip="192.0.2.1", session_id="s1")
THERE = Peer(ip="198.51.100.7")


class LoginTestCase(AccountsTestCase):
    """``alice@example.org`` with a mailbox and a password."""

    def setUp(self) -> None:
        """One alias that works."""
        super().setUp()
        self.login = Login(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, self.errands
        )
        self.domain = self.add_domain("example.org")
        self.alice = self.add_alias(self.domain, "alice", has_imap=True)
        self.credential = self.add_credential(self.alice, PASSWORD)
        self.keyring.derivations.clear()

    def enter(
        self,
        username: str = "alice@example.org",
        password: str = PASSWORD,
        peer: Peer = HERE,
        protocol: str = "imap",
    ) -> Identity:
        """Log in with a password."""
        return self.now(self.login.authenticate(username, password, peer, protocol))

    def refused(
        self,
        username: str = "alice@example.org",
        password: str = "wrong",
        peer: Peer = HERE,
        protocol: str = "imap",
        error: type[MailError] = AuthenticationFailed,
    ) -> MailError:
        """Fail to."""
        return self.fails(error, self.login.authenticate(username, password, peer, protocol))


class PasswordTests(LoginTestCase):
    """Plain passwords."""

    def test_mailbox_key(self) -> None:
        """The right password gives the alias, its domain and the key of the mailbox."""
        identity = self.enter()
        self.assertEqual(identity.alias.id, self.alice.id)
        self.assertEqual(identity.domain.id, self.domain.id)
        self.assertEqual(identity.credential_id, self.credential.id)
        self.assertEqual(identity.mailbox_key, b"k" * 32)

    def test_key_only_where_it_is_used(self) -> None:
        """Who sends mail or asks the API does not get the key, by password or by proof."""
        for protocol in ("smtp", "api"):
            for _ in range(2):  # the second time the password is remembered
                self.assertEqual(self.enter(protocol=protocol).mailbox_key, b"")
        candidate = self.now(self.login.candidate("alice@example.org", Peer(), "smtp"))
        slot = self.now(find_slot(self.keyring, candidate.credentials, PASSWORD))
        assert slot is not None
        self.assertEqual(self.now(self.login.prove(candidate, slot.client_key)).mailbox_key, b"")
        self.assertEqual(self.enter(protocol="imap").mailbox_key, b"k" * 32)

    def test_spellings(self) -> None:
        """Case, tags, blanks around and the dot of the domain do not matter."""
        for name in (
            "ALICE@Example.ORG",
            '"alice"@example.org',
            "alice+phone@example.org",
            " alice@example.org. ",
        ):
            self.assertEqual(self.enter(name).alias.id, self.alice.id)
        self.enter(password=f"  {PASSWORD} ")

    def test_saslprep(self) -> None:
        """A password means the same composed and decomposed (RFC 4013)."""
        added = self.add_credential(self.alice, "caf\u00e9 au lait au lit")
        identity = self.enter(password="cafe\u0301 au lait au lit")
        self.assertEqual(identity.credential_id, added.id)

    def test_wrong(self) -> None:
        """Wrong, empty, endless and unprintable passwords are refused with one wording."""
        for password in ("wrong", "", " ", "x" * 129, "x" * 100_000, "\0", "\ud800", "\u202eabc"):
            error = self.refused(password=password, peer=Peer())
            self.assertEqual(error.message, AuthenticationFailed.default)

    def test_names_that_are_none(self) -> None:
        """Odd names are refused like any other; none of them reaches a query as syntax."""
        for name in ("", "alice", "@", "' or 1=1 --", "*)(uid=*", "../x@example.org", "\0@a.b",
                     "*@example.org", "x" * 5000, "\udcff@example.org"):  # fmt: skip
            self.refused(name, peer=Peer())

    def test_disabled(self) -> None:
        """A disabled alias cannot sign in, and hears what a wrong password hears."""
        self.change_alias(self.alice, is_enabled=False)
        error = self.refused(password=PASSWORD)
        self.assertEqual(error.message, AuthenticationFailed.default)

    def test_banned(self) -> None:
        """The aliases of a banned user cannot sign in."""
        self.change_user(self.user, is_banned=True)
        self.refused(password=PASSWORD)

    def test_no_mailbox(self) -> None:
        """Without a mailbox IMAP is refused by name, submission is not."""
        self.change_alias(self.alice, has_imap=False)
        self.refused(password=PASSWORD, error=PermissionDenied)
        self.enter(protocol="smtp")

    def test_unverified_claim(self) -> None:
        """A claim that does not count does not let anybody in; an admin's counts."""
        self.now(self.accounts.update_domain(self.domain.id, 0.0, has_txt_record=False))
        self.refused(password=PASSWORD)
        rival = self.add_domain("example.org", self.admin, has_txt_record=False)
        theirs = self.add_alias(rival, "alice", has_imap=True)
        self.add_credential(theirs, "another good password")
        self.assertEqual(self.enter(password="another good password").alias.id, theirs.id)

    def test_recovery_code_is_no_login(self) -> None:
        """The recovery code opens the mailbox for a new password only."""
        self.add_credential(self.alice, "ABCD-EFGH", kind="recovery")
        self.refused(password="ABCD-EFGH")

    def test_several_passwords(self) -> None:
        """Each password of an alias opens it."""
        second = self.add_credential(self.alice, "a second password", iterations=600_000)
        self.assertEqual(self.enter(password="a second password").credential_id, second.id)
        self.assertEqual(self.enter().credential_id, self.credential.id)


class UnknownNameTests(LoginTestCase):
    """Nobody learns which addresses exist."""

    def test_same_work(self) -> None:
        """An unknown name costs one derivation, as a wrong password does."""
        self.refused("nobody@example.org")
        unknown = len(self.keyring.derivations)
        self.keyring.derivations.clear()
        self.refused()
        self.assertEqual(unknown, len(self.keyring.derivations))

    def test_stand_in_never_matches(self) -> None:
        """Whatever is tried, a stand-in lets nobody in."""
        for password in ("a", "b", "c"):
            self.refused("nobody@example.org", password, peer=Peer())

    def test_salt_is_stable(self) -> None:
        """SCRAM offers the same salt and iterations every time, others for other names."""
        offers = []
        for name in ("a@x.test", "A+b@x.test", "c@x.test"):
            candidate = self.now(self.login.candidate(name, HERE, "imap"))
            offers.append((candidate.credential.salt, candidate.credential.iterations))
        self.assertEqual(offers[0], offers[1])
        self.assertNotEqual(offers[0][0], offers[2][0])
        self.assertEqual(len(offers[0][0]), len(self.credential.salt))

    def test_iterations_prove_nothing(self) -> None:
        """Both iteration counts occur among names that do not exist."""
        seen = {
            self.now(self.login.candidate(f"u{n}@x.test", HERE, "imap")).credential.iterations
            for n in range(60)
        }
        self.assertEqual(seen, {4096, 600_000})


class RecentTests(LoginTestCase):
    """A client that reconnects is cheap."""

    def test_no_second_derivation(self) -> None:
        """The second login within minutes derives nothing and gives the same key."""
        self.enter()
        identity = self.enter()
        self.assertEqual(identity.mailbox_key, b"k" * 32)
        self.assertEqual(len(self.keyring.derivations), 1)

    def test_runs_out(self) -> None:
        """After a few minutes the password is derived again."""
        self.enter()
        self.clock.advance(REMEMBER_SECONDS)
        self.enter()
        self.assertEqual(len(self.keyring.derivations), 2)

    def test_changed_password(self) -> None:
        """A password that was taken away is refused at once."""
        self.enter()
        fresh = self.add_credential(self.alice, "the new password")
        keys = self.now(self.accounts.keys(self.alice.id))
        left = [each for each in keys.credentials if each.id != self.credential.id]
        self.now(give_keys(self.accounts, self.alice.id, left, keys.sealing_key))
        self.refused(password=PASSWORD)
        self.assertEqual(self.enter(password="the new password").credential_id, fresh.id)

    def test_disabled_meanwhile(self) -> None:
        """What is remembered does not outlive the permission."""
        self.enter()
        self.change_alias(self.alice, is_enabled=False)
        self.refused(password=PASSWORD)

    def test_nothing_readable(self) -> None:
        """Neither password nor key can be read from what is kept."""
        self.enter()
        kept = repr(vars(self.login)["_remembered"])
        for value in vars(self.login)["_remembered"].values():
            kept += repr(value.sealed)
        self.assertNotIn(PASSWORD, kept)
        self.assertNotIn("kkkkkkkk", kept)


class RecordTests(LoginTestCase):
    """What the owner can see afterwards."""

    def test_failure_is_logged(self) -> None:
        """A failed login is in the domain's log, without the password."""
        self.refused()
        self.clock.advance(0)
        (entry,) = self.now(self.log_book.logs(self.domain.id, Query())).items
        self.assertEqual((entry.kind, entry.remote), ("login-failed", HERE.ip))
        self.assertEqual(entry.alias_id, self.alice.id)
        self.assertNotIn("wrong", repr(entry))

    def test_touch(self) -> None:
        """The credential remembers when it was used, at most once an hour."""
        self.enter()
        self.clock.advance(0)
        first = self._used_at()
        self.clock.advance(TOUCH_SECONDS - 1)
        self.enter()
        self.clock.advance(0)
        self.assertEqual(self._used_at(), first)
        self.clock.advance(1)
        self.enter()
        self.clock.advance(0)
        self.assertEqual(self._used_at(), self.clock.seconds())

    def _used_at(self) -> float:
        (credential,) = self.now(self.accounts.credentials(self.alice.id))
        return credential.last_used_at

    def test_failing_log_is_reported(self) -> None:
        """A log that cannot be written changes no answer."""
        self.patch(self.log_book, "log", self._broken)
        self.refused()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def _broken(self, entry: object) -> None:
        raise ZeroDivisionError


class LimitTests(LoginTestCase):
    """How often one may be wrong."""

    def test_ten_wrong_passwords(self) -> None:
        """After ten distinct wrong passwords a name waits there, even with the right one."""
        for n in range(10):
            self.refused(password=f"wrong {n}")
        error = self.refused(password=PASSWORD, error=RateLimited)
        assert isinstance(error, RateLimited)
        self.assertTrue(3000 < error.retry_after_seconds <= 3601)
        self.enter(peer=THERE)
        self.clock.advance(3600)
        self.enter()

    def test_the_office_goes_on(self) -> None:
        """Ten wrong passwords for others delay a right one from the same address, no more."""
        for n in range(10):
            self.refused(f"u{n}@example.org", f"wrong {n}")
        waiting = Deferred.fromCoroutine(
            self.login.authenticate("alice@example.org", PASSWORD, HERE, "imap")
        )
        self.assertNoResult(waiting)
        self.clock.advance(LANE_SECONDS)
        self.assertEqual(self.successResultOf(waiting).alias.id, self.alice.id)
        self.enter()  # known there

    def test_crowd_on_what_has_no_mailbox(self) -> None:
        """Of many guesses at once none learns that it was right once the limit is reached."""
        self.change_alias(self.alice, has_imap=False)
        derive, deriving = self.keyring.salted_password, Deferred[None]()

        async def late(*of: Any) -> bytes:
            await deriving
            return await derive(*of)

        self.patch(self.keyring, "salted_password", late)
        right = Deferred.fromCoroutine(
            self.login.authenticate("alice@example.org", PASSWORD, HERE, "imap")
        )
        for n in range(PAIR_LIMIT):
            self.now(self.login._limits.failed(HERE.ip, "alice@example.org", f"wrong {n}"))
        deriving.callback(None)
        self.failureResultOf(right, RateLimited)

    def test_same_wrong_password_is_one_entry(self) -> None:
        """A forgotten device hides nothing else from the owner."""
        for _ in range(3):
            self.refused()
        self.clock.advance(0)
        self.assertEqual(len(self.now(self.failed_logins.of_alias(self.alice.id))), 1)

    def test_operator_lifts(self) -> None:
        """By any spelling of the name, or by the address."""
        for who, peer in (("Alice+x@Example.ORG", HERE), (THERE.ip, THERE)):
            for n in range(10):
                self.refused(password=f"wrong {n}", peer=peer)
            self.refused(password=PASSWORD, peer=peer, error=RateLimited)
            self.now(self.login.lift(who))
        self.enter(peer=THERE)
        self.now(self.login.lift(HERE.ip))
        self.enter()

    def test_owner_reads_it(self) -> None:
        """Each failure leaves an entry; the last one before the name is refused says so."""
        for n in range(10):
            self.refused(password=f"wrong {n}")
        self.refused(password="eleventh", error=RateLimited)
        self.clock.advance(0)
        entries = self.now(self.failed_logins.of_alias(self.alice.id))
        self.assertEqual(len(entries), 10)
        self.assertEqual({entry.remote for entry in entries}, {HERE.ip})
        self.assertEqual(["note" in entry.detail for entry in entries].count(True), 1)

    def test_forgotten_device(self) -> None:
        """The same wrong password counts once, however often it comes."""
        for _ in range(50):
            self.refused()
        self.enter()

    def test_ipv6_network(self) -> None:
        """The addresses of one /64 are one address."""
        for n in range(10):
            self.refused(password=f"wrong {n}", peer=Peer(ip=f"2001:db8::{n:x}"))
        self.refused(peer=Peer(ip="2001:db8::ffff"), error=RateLimited)
        self.enter(peer=Peer(ip="2001:db8:0:1::1"))

    def test_unknown_names_count_alike(self) -> None:
        """The limits tell nobody whether a name exists."""
        for n in range(10):
            self.refused("nobody@example.org", f"wrong {n}")
        self.refused("nobody@example.org", error=RateLimited)

    def test_owner_is_not_locked_out(self) -> None:
        """While a name is guessed at from everywhere, its owner gets in, known or not."""
        self.enter(peer=HERE)
        for n in range(60):
            peer = Peer(ip=f"203.0.113.{n}")
            self.refused(password=f"wrong {n}", peer=peer) if n < 50 else None
        self.enter(peer=HERE)
        waiting = Deferred.fromCoroutine(
            self.login.authenticate("alice@example.org", PASSWORD, THERE, "imap")
        )
        self.assertNoResult(waiting)
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(self.successResultOf(waiting).alias.id, self.alice.id)

    def test_guessers_are_slowed(self) -> None:
        """A new address gets three failures at a name that is guessed at, each answered late."""
        for n in range(50):
            self.refused(password=f"wrong {n}", peer=Peer(ip=f"203.0.113.{n}"))
        for n in range(3):
            waiting = Deferred.fromCoroutine(
                self.login.authenticate("alice@example.org", f"bad {n}", THERE, "imap")
            )
            self.assertNoResult(waiting)
            self.clock.advance(SLOW_SECONDS)
            self.failureResultOf(waiting, AuthenticationFailed)
        self.refused(peer=THERE, error=RateLimited)


class ExchangeTests(LoginTestCase):
    """PLAIN and LOGIN."""

    def step(self, exchange: SASLExchange, response: bytes | None) -> bytes | Identity:
        """One step."""
        return self.now(exchange.step(response))

    def test_plain(self) -> None:
        """With and without initial response."""
        message = f"\0alice@example.org\0{PASSWORD}".encode()
        exchange = self.login.begin("plain", HERE, "imap")
        self.assertEqual(self.step(exchange, None), b"")
        self.assertIsInstance(self.step(exchange, message), Identity)
        again = self.login.begin("PLAIN", HERE, "imap")
        self.assertIsInstance(self.step(again, b"alice@example.org" + message), Identity)

    def test_plain_for_somebody_else(self) -> None:
        """An authorization identity that is another's is refused."""
        message = f"bob@example.org\0alice@example.org\0{PASSWORD}".encode()
        self.fails(AuthenticationFailed, self.login.begin("PLAIN", HERE, "imap").step(message))

    def test_plain_malformed(self) -> None:
        """Too few or too many parts, no UTF-8, too long."""
        for message in (b"", b"a", b"\0a", b"\0\0p", b"\0a\0", b"\0a\0b\0c", b"\0\xff\0p",
                        b"\0a\0" + b"p" * 5000):  # fmt: skip
            self.fails(Invalid, self.login.begin("PLAIN", HERE, "imap").step(message))

    def test_login(self) -> None:
        """The old two questions, or one when the name came along."""
        exchange = self.login.begin("LOGIN", HERE, "smtp")
        self.assertEqual(self.step(exchange, None), b"Username:")
        self.assertEqual(self.step(exchange, b"alice@example.org"), b"Password:")
        self.assertIsInstance(self.step(exchange, PASSWORD.encode()), Identity)
        exchange = self.login.begin("LOGIN", HERE, "smtp")
        self.assertEqual(self.step(exchange, b"alice@example.org"), b"Password:")

    @settings(max_examples=100, deadline=None)
    @given(
        st.sampled_from(Login.mechanisms),
        st.lists(st.binary(max_size=60) | st.none(), min_size=1, max_size=4),
    )
    def test_any_octets(self, mechanism: str, responses: list[bytes | None]) -> None:
        """Whatever a client sends, it is a challenge or one of the errors of the contract."""
        exchange = self.login.begin(mechanism, Peer(), "imap")
        for response in responses:
            result = Deferred.fromCoroutine(exchange.step(response))
            result.addErrback(lambda f: f.trap(Invalid, AuthenticationFailed, RateLimited))
            answer = self.successResultOf(result)
            is_error = answer in (Invalid, AuthenticationFailed, RateLimited)
            self.assertTrue(is_error or isinstance(answer, bytes), answer)

    def test_unknown_mechanism(self) -> None:
        """Only what is advertised is spoken."""
        self.assertRaises(Invalid, self.login.begin, "CRAM-MD5", HERE, "imap")


class ScramExchangeTests(LoginTestCase):
    """SCRAM-SHA-256 against a client of our own."""

    def dialogue(
        self, password: str = PASSWORD, name: str = "alice@example.org", binding: str = "n,,"
    ) -> tuple[SASLExchange, bytes, bytes]:
        """The exchange, the client's last message, and what the server must prove."""
        exchange = self.login.begin("SCRAM-SHA-256", HERE, "imap")
        bare = f"n={name},r=client-nonce"
        challenge = self.now(exchange.step(f"{binding}{bare}".encode()))
        assert isinstance(challenge, bytes)
        nonce, salt, count = (field[2:] for field in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(salt), min(int(count), 4096)
        )
        keys = scram.derive_keys(salted)
        channel = base64.b64encode(binding.encode()).decode()
        without = f"c={channel},r={nonce}"
        signed = f"{bare},{challenge.decode()},{without}".encode()
        signature = hmac.digest(keys.stored_key, signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
        final = f"{without},p={base64.b64encode(proof).decode()}".encode()
        return exchange, final, hmac.digest(keys.server_key, signed, "sha256")

    def test_success(self) -> None:
        """The server proves itself, the empty answer brings the identity with the key."""
        for binding in ("n,,", "y,,", "n,a=alice@example.org,"):
            exchange, final, proof = self.dialogue(binding=binding)
            self.assertEqual(self.now(exchange.step(final)), b"v=" + base64.b64encode(proof))
            identity = self.now(exchange.step(b""))
            assert isinstance(identity, Identity)
            self.assertEqual(identity.mailbox_key, b"k" * 32)

    def test_without_initial_response(self) -> None:
        """The server asks first with an empty challenge."""
        exchange = self.login.begin("SCRAM-SHA-256", HERE, "imap")
        self.assertEqual(self.now(exchange.step(None)), b"")
        self.assertIsInstance(self.now(exchange.step(b"n,,n=a@b.test,r=x")), bytes)

    def test_wrong_password(self) -> None:
        """A wrong proof is refused and counted."""
        exchange, final, _ = self.dialogue("wrong")
        self.fails(AuthenticationFailed, exchange.step(final))
        self.fails(Invalid, exchange.step(b""))

    def test_unknown_name(self) -> None:
        """An unknown name goes the whole way and is refused at the same place."""
        exchange, final, _ = self.dialogue(name="nobody@example.org")
        self.fails(AuthenticationFailed, exchange.step(final))

    def test_other_binding_or_nonce(self) -> None:
        """A changed header or nonce is refused."""
        exchange, final, _ = self.dialogue()
        self.fails(AuthenticationFailed, exchange.step(final.replace(b"c=biws", b"c=eSws")))
        exchange, final, _ = self.dialogue()
        self.fails(AuthenticationFailed, exchange.step(final.replace(b"r=client", b"r=cliemt")))

    def test_authorization_identity(self) -> None:
        """Nobody signs in as somebody else."""
        exchange = self.login.begin("SCRAM-SHA-256", HERE, "imap")
        work = exchange.step(b"n,a=bob@example.org,n=alice@example.org,r=x")
        self.fails(AuthenticationFailed, work)

    def test_last_answer_must_be_empty(self) -> None:
        """Something after the server's proof is not SCRAM."""
        exchange, final, _ = self.dialogue()
        self.now(exchange.step(final))
        self.fails(Invalid, exchange.step(b"x"))

    def test_no_mailbox(self) -> None:
        """The reason is told only after the proof."""
        self.change_alias(self.alice, has_imap=False)
        exchange, final, _ = self.dialogue()
        self.fails(PermissionDenied, exchange.step(final))

    def test_proofs_are_limited(self) -> None:
        """Ten wrong proofs for one name, and the address waits; another name does not."""
        for _ in range(10):
            exchange, final, _ = self.dialogue("wrong")
            self.fails(AuthenticationFailed, exchange.step(final))
        exchange = self.login.begin("SCRAM-SHA-256", HERE, "imap")
        self.fails(RateLimited, exchange.step(b"n,,n=alice@example.org,r=x"))
        self.dialogue(name="bob@example.org")
