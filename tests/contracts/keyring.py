"""What every ``Keyring`` must do; a mixin for ``SynchronousTestCase``."""

import base64
import hashlib
import hmac
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from fe_mail.model.errors import AuthenticationFailed, Corrupt, Invalid
from fe_mail.ports import Keyring

__all__ = ["KeyringContract"]

T = TypeVar("T")

MAILBOX_KEY = bytes(range(32))
CLIENT_KEY = b"c" * 32


class KeyringContract:
    """Run on every adapter: ``keyring()`` makes one from a secret, without using threads."""

    def keyring(self, secret: bytes = b"s" * 32) -> Keyring:
        """A keyring with this secret."""
        raise AssertionError("the test case says which keyring")

    def run_now(self: Any, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that never waits."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def fails_now(self: Any, kind: type[Exception], coroutine: Coroutine[Any, Any, T]) -> None:
        """The coroutine raises this error."""
        self.failureResultOf(Deferred.fromCoroutine(coroutine), kind)

    def test_salted_password(self: Any) -> None:
        """SaltedPassword is PBKDF2, as the example of RFC 7677 §3 needs it."""
        salted = self.run_now(self.keyring().salted_password("pencil", b"salt", 4096))
        self.assertEqual(salted, hashlib.pbkdf2_hmac("sha256", b"pencil", b"salt", 4096))

    def test_salted_password_counts(self: Any) -> None:
        """The number of iterations is the one that was asked for: it is what guessing costs."""
        keyring = self.keyring()
        for iterations in (1, 4095, 4096, 15_000):
            salted = self.run_now(keyring.salted_password("pencil", b"salt", iterations))
            expected = hashlib.pbkdf2_hmac("sha256", b"pencil", b"salt", iterations)
            self.assertEqual(salted, expected, iterations)

    def test_salted_password_rfc_vector(self: Any) -> None:
        """StoredKey and ServerKey of RFC 7677 §3's exchange verify the client's proof."""
        salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        salted = self.run_now(self.keyring().salted_password("pencil", salt, 4096))
        auth = (
            b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        )
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        signature = base64.b64encode(hmac.digest(server_key, auth, "sha256"))
        self.assertEqual(signature, b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")

    def test_salted_password_limits(self: Any) -> None:
        """A password without end and senseless iterations are refused before any work."""
        self.fails_now(Invalid, self.keyring().salted_password("x" * 2000, b"s", 4096))
        self.fails_now(Invalid, self.keyring().salted_password("x", b"s", 0))
        self.fails_now(Invalid, self.keyring().salted_password("x", b"s", 10**9))

    def test_wrap(self: Any) -> None:
        """A wrapped key comes back, does not show, and never looks the same twice."""
        keyring = self.keyring()
        slot = keyring.wrap(MAILBOX_KEY, CLIENT_KEY, "a1")
        self.assertEqual(keyring.unwrap(slot, CLIENT_KEY, "a1"), MAILBOX_KEY)
        self.assertNotIn(MAILBOX_KEY, slot)
        self.assertNotEqual(keyring.wrap(MAILBOX_KEY, CLIENT_KEY, "a1"), slot)

    def test_wrap_needs_no_server_secret(self: Any) -> None:
        """The slot depends on the password alone: another server can open a restored mailbox."""
        slot = self.keyring().wrap(MAILBOX_KEY, CLIENT_KEY, "a1")
        self.assertEqual(self.keyring(b"t" * 32).unwrap(slot, CLIENT_KEY, "a1"), MAILBOX_KEY)

    def test_unwrap_refuses(self: Any) -> None:
        """A wrong key, another alias, and any changed octet are one error."""
        keyring = self.keyring()
        slot = keyring.wrap(MAILBOX_KEY, CLIENT_KEY, "a1")
        refused = [(slot, b"d" * 32, "a1"), (slot, CLIENT_KEY, "a2"), (b"", CLIENT_KEY, "a1")]
        for position in range(len(slot)):
            changed = bytearray(slot)
            changed[position] ^= 1
            refused.append((bytes(changed), CLIENT_KEY, "a1"))
            refused.append((slot[:position], CLIENT_KEY, "a1"))
        for wrapped, client_key, alias_id in refused:
            with self.assertRaises(AuthenticationFailed):
                keyring.unwrap(wrapped, client_key, alias_id)

    def test_protect(self: Any) -> None:
        """A protected secret comes back, of any length, and does not show."""
        keyring = self.keyring()
        for secret in (b"", b"secret", b"x" * 100_000):
            protected = keyring.protect(secret, "dkim")
            self.assertEqual(keyring.reveal(protected, "dkim"), secret)
        self.assertNotIn(b"secret", keyring.protect(b"secret", "dkim"))

    def test_reveal_refuses(self: Any) -> None:
        """Another purpose, another server's secret and a changed octet are ``Corrupt``."""
        protected = self.keyring().protect(b"secret", "dkim")
        changed = protected[:-1] + bytes([protected[-1] ^ 1])
        for keyring, value, purpose in (
            (self.keyring(), protected, "srs"),
            (self.keyring(b"t" * 32), protected, "dkim"),
            (self.keyring(), changed, "dkim"),
            (self.keyring(), b"", "dkim"),
        ):
            with self.assertRaises(Corrupt):
                keyring.reveal(value, purpose)

    def test_mac(self: Any) -> None:
        """The same data and purpose give the same 32 octets, anything else others."""
        keyring = self.keyring()
        value = keyring.mac(b"data", "csrf")
        self.assertEqual(len(value), 32)
        self.assertEqual(keyring.mac(b"data", "csrf"), value)
        others = {
            keyring.mac(b"other", "csrf"),
            keyring.mac(b"data", "srs"),
            self.keyring(b"t" * 32).mac(b"data", "csrf"),
        }
        self.assertEqual(len(others - {value}), 3)

    def test_password_hash(self: Any) -> None:
        """A web password is an argon2id PHC string that only its password verifies."""
        keyring = self.keyring()
        hashed = self.run_now(keyring.hash_password("correct horse"))
        self.assertTrue(hashed.startswith("$argon2id$"))
        self.assertNotIn("horse", hashed)
        self.assertTrue(self.run_now(keyring.verify_password(hashed, "correct horse")))
        self.assertFalse(self.run_now(keyring.verify_password(hashed, "wrong horse")))

    def test_outdated(self: Any) -> None:
        """A hash of other costs is to be made again; one of today's costs and nonsense are not."""
        keyring = self.keyring()
        hashed = self.run_now(keyring.hash_password("correct horse"))
        self.assertFalse(keyring.is_outdated(hashed))
        self.assertTrue(keyring.is_outdated(hashed.replace(",p=", ",p=1", 1)))
        self.assertFalse(keyring.is_outdated(""))
        self.assertFalse(keyring.is_outdated("nonsense"))

    def test_no_password_hash(self: Any) -> None:
        """An account without a password, or with a damaged hash, lets nobody in."""
        keyring = self.keyring()
        self.assertFalse(self.run_now(keyring.verify_password("", "anything")))
        self.assertFalse(self.run_now(keyring.verify_password("nonsense", "anything")))
