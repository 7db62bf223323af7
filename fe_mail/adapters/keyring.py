"""
Keys and hashes of the server: key slots of mailboxes, secrets at rest, passwords.

A wrapped or protected value is one octet of version, a random nonce of 12 octets, and the
ChaCha20-Poly1305 ciphertext (RFC 8439). Every use derives a key of its own with HKDF-SHA256
(RFC 5869), so that a value cannot be taken for one of another purpose or another alias. The costly
hashes (PBKDF2, argon2id of RFC 9106) run in the thread pool that is handed in; it bounds how many
wait, so that a storm of logins ends in ``Unavailable`` and not in a server that stands still.
"""

import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fe_mail.adapters.threads import Threads
from fe_mail.model.errors import AuthenticationFailed, Corrupt, Invalid

__all__ = ["ServerKeyring"]

KEY_OCTETS = 32
SECRET_OCTETS_MIN = 16
PASSWORD_OCTETS_MAX = 1024  # hashing takes time in proportion to nothing else a peer chooses
ITERATIONS_MAX = 10_000_000

_VERSION = b"\x01"
_NONCE_OCTETS = 12


class ServerKeyring:
    """``fe_mail.ports.Keyring`` from one secret of the server."""

    def __init__(self, secret: bytes, kdf_threads: Threads) -> None:
        if len(secret) < SECRET_OCTETS_MIN:
            raise Invalid("The server's secret is too short.", field="secret")
        self._secret = secret
        self._threads = kdf_threads
        self._hasher = PasswordHasher()
        self._no_hash = ""  # of a password that nobody knows, made when it is first needed

    async def salted_password(self, password: str, salt: bytes, iterations: int) -> bytes:
        """SaltedPassword of SCRAM-SHA-256 (RFC 7677, RFC 5802 §3), 32 octets."""
        octets = _password_octets(password)
        if not 1 <= iterations <= ITERATIONS_MAX:
            raise Invalid("The number of iterations is out of range.", field="iterations")
        return await self._threads.run(
            lambda: hashlib.pbkdf2_hmac("sha256", octets, salt, iterations)
        )

    def wrap(self, mailbox_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """Wrap a mailbox key under HKDF(ClientKey), bound to the alias."""
        return _encrypt(_slot_key(client_key, alias_id), mailbox_key, alias_id.encode())

    def unwrap(self, wrapped_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """The mailbox key. ``AuthenticationFailed`` for a wrong key or a changed slot."""
        try:
            return _decrypt(_slot_key(client_key, alias_id), wrapped_key, alias_id.encode())
        except InvalidTag:
            raise AuthenticationFailed from None

    def protect(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt a secret of the server at rest, bound to its purpose."""
        return _encrypt(self._key("protect", purpose), secret, purpose.encode())

    def reveal(self, protected: bytes, purpose: str) -> bytes:
        """The secret. ``Corrupt`` when it was changed or protected by another key."""
        try:
            return _decrypt(self._key("protect", purpose), protected, purpose.encode())
        except InvalidTag:
            raise Corrupt("A stored secret cannot be read with the server's key.") from None

    def mac(self, data: bytes, purpose: str) -> bytes:
        """A keyed hash, 32 octets, different for each purpose."""
        return hmac.digest(self._key("mac", purpose), data, "sha256")

    async def hash_password(self, password: str) -> str:
        """argon2id of a web account's password, as a PHC string."""
        octets = _password_octets(password)
        return await self._threads.run(lambda: self._hasher.hash(octets))

    def is_outdated(self, password_hash: str) -> bool:
        """Was it made with other costs than ``hash_password`` takes now?"""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except (Argon2Error, InvalidHashError):
            return False

    async def verify_password(self, password_hash: str, password: str) -> bool:
        """Compare; an empty hash costs the same time and is False."""
        octets = _password_octets(password)
        return await self._threads.run(lambda: self._verify(password_hash, octets))

    def _verify(self, password_hash: str, octets: bytes) -> bool:
        if not password_hash and not self._no_hash:
            self._no_hash = self._hasher.hash(secrets.token_bytes(KEY_OCTETS))
        try:
            self._hasher.verify(password_hash or self._no_hash, octets)
        except (Argon2Error, InvalidHashError):
            return False
        return bool(password_hash)

    def _key(self, use: str, purpose: str) -> bytes:
        return _derive(self._secret, f"fe-mail {use} {purpose}".encode())


def _password_octets(password: str) -> bytes:
    octets = password.encode("utf-8", "surrogatepass")
    if len(octets) > PASSWORD_OCTETS_MAX:
        raise Invalid("The password is too long.", field="password")
    return octets


def _slot_key(client_key: bytes, alias_id: str) -> bytes:
    return _derive(client_key, b"fe-mail mailbox key " + alias_id.encode())


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_OCTETS, salt=None, info=info).derive(key)


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_OCTETS)
    return _VERSION + nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, value: bytes, bound_to: bytes) -> bytes:
    version, nonce, cipher = value[:1], value[1 : 1 + _NONCE_OCTETS], value[1 + _NONCE_OCTETS :]
    if version != _VERSION or len(nonce) != _NONCE_OCTETS:
        raise InvalidTag
    return ChaCha20Poly1305(key).decrypt(nonce, cipher, bound_to)
