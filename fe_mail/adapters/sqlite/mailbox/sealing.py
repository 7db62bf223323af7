"""
Sealing: mail that arrives while nobody is logged in, readable only with the mailbox's own key.

HPKE (RFC 9180, base mode) with the hybrid post-quantum KEM MLKEM768-X25519, HKDF-SHA256 and
ChaCha20-Poly1305. One octet of version comes first; what is sealed is zlib of one line of JSON
(folder, flags, time of arrival, delivery id) and the message. The alias is bound in as ``info``.

Version 1 had the delivery id outside, where whoever had the disk could compare it with the hash of
a message that they knew; there it is bound in as ``info`` too. It is still opened, never written.
"""

import json
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from fe_mail.model.errors import Corrupt
from fe_mail.model.mailbox import Delivery, NewMessage

__all__ = ["new_key_pair", "open_sealed", "seal"]

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC_OCTETS = 1184
_MLKEM_SEED_OCTETS = 64
_VERSION = b"\x02"
_VERSION_WITH_ID_OUTSIDE = b"\x01"
_COMPRESSION_LEVEL = 1


def new_key_pair() -> tuple[bytes, bytes]:
    """The public and the private half, raw."""
    mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return public, mlkem.private_bytes_raw() + x25519.private_bytes_raw()


def seal(public: bytes, alias_id: str, delivery: Delivery) -> bytes:
    """Seal to the public half. ``Corrupt`` when that is no key."""
    message = delivery.message
    about = [delivery.folder, sorted(message.flags), message.received_at, delivery.id]
    plain = zlib.compress(json.dumps(about).encode() + b"\n" + message.raw, _COMPRESSION_LEVEL)
    key = _public_key(public)
    return _VERSION + _SUITE.encrypt(plain, key, info=_info(alias_id))


def open_sealed(private: bytes, alias_id: str, row_id: str, octets: bytes) -> Delivery:
    """
    What was sealed. ``Corrupt`` when it was changed or sealed to another key.

    ``row_id`` is what the row is called, which is the delivery's id in version 1 only.
    """
    version = octets[:1]
    try:
        if version not in (_VERSION, _VERSION_WITH_ID_OUTSIDE):
            raise ValueError("an unknown version")
        is_old = version == _VERSION_WITH_ID_OUTSIDE
        info = _info(alias_id, row_id) if is_old else _info(alias_id)
        plain = zlib.decompress(_SUITE.decrypt(octets[1:], _private_key(private), info=info))
        about, _, raw = plain.partition(b"\n")
        folder, flags, received_at, *inside = json.loads(about)
        delivery_id = row_id if is_old else str(inside[0])
    except (InvalidTag, ValueError, IndexError, zlib.error):
        raise Corrupt("Sealed mail cannot be opened.") from None
    message = NewMessage(raw=raw, flags=frozenset(flags), received_at=received_at)
    return Delivery(id=delivery_id, message=message, folder=folder)


def _info(*bound: str) -> bytes:
    return "\0".join(("fe-mail sealed mail", *bound)).encode()


def _public_key(raw: bytes) -> MLKEM768X25519PublicKey:
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_OCTETS]),
            X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_OCTETS:]),
        )
    except ValueError:
        raise Corrupt("The sealing key of the mailbox is damaged.") from None


def _private_key(raw: bytes) -> MLKEM768X25519PrivateKey:
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED_OCTETS]),
        X25519PrivateKey.from_private_bytes(raw[_MLKEM_SEED_OCTETS:]),
    )
