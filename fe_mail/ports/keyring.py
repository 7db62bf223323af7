"""Keys and hashes."""

from typing import Protocol

__all__ = ["Keyring"]


class Keyring(Protocol):
    """
    Keys and hashes. Costly work runs in a small thread pool of its own with a bounded queue,
    which raises ``Unavailable`` when full, so that a storm of logins cannot stop mail.
    """

    async def salted_password(self, password: str, salt: bytes, iterations: int) -> bytes:
        """SaltedPassword of SCRAM-SHA-256 (RFC 7677, RFC 5802 §3), 32 octets."""

    def wrap(self, mailbox_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """Wrap a mailbox key under HKDF(ClientKey), bound to the alias."""

    def unwrap(self, wrapped_key: bytes, client_key: bytes, alias_id: str) -> bytes:
        """The mailbox key. ``AuthenticationFailed`` for a wrong key or a changed slot."""

    def protect(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt a secret of the server at rest, bound to its purpose."""

    def reveal(self, protected: bytes, purpose: str) -> bytes:
        """The secret. ``Corrupt`` when it was changed or protected by another key."""

    def mac(self, data: bytes, purpose: str) -> bytes:
        """A keyed hash, 32 octets, different for each purpose."""

    async def hash_password(self, password: str) -> str:
        """argon2id of a web account's password, as a PHC string."""

    def is_outdated(self, password_hash: str) -> bool:
        """Was it made with other costs than ``hash_password`` takes now?"""

    async def verify_password(self, password_hash: str, password: str) -> bool:
        """Compare; an empty hash costs the same time and is False."""
