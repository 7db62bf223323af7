"""
DKIM: signing what we send.

``sign`` returns the field to put in front of a message: relaxed/relaxed, with every field that
matters named once more than it is there, so that nobody can add a second one. It hashes the body in
pieces; to keep the reactor free call it in a thread. RFC 6376 §5; RFC 8301; RFC 8463.
"""

import base64
from collections.abc import Sequence

import attrs
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fe_mail.mailauth.canonical import BodyHash, header_hash
from fe_mail.message.headers import HeaderField, header_bounds, header_fields
from fe_mail.model.errors import Invalid

__all__ = ["SigningKey", "generate_key", "sign", "sign_header"]

# Named once more than present, also when absent (RFC 6376 §8.15: nobody can add one).
_OVERSIGNED = (
    *("from", "to", "cc", "subject", "date", "reply-to", "message-id", "in-reply-to"),
    *("references", "mime-version", "content-type", "content-transfer-encoding"),
)
# Named as often as present.
_SIGNED = (
    *("sender", "content-disposition", "content-id", "content-description", "autocrypt"),
    *("resent-date", "resent-from", "resent-to", "resent-cc", "resent-message-id"),
    *("list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe"),
    *("list-post", "list-owner", "list-archive"),
)

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@attrs.frozen
class SigningKey:
    """A private key and its algorithm."""

    private: PrivateKey = attrs.field(repr=False)

    @classmethod
    def from_pem(cls, pem: bytes) -> "SigningKey":
        """An RSA or Ed25519 key in PEM. ``Invalid`` for anything else."""
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            raise Invalid("The private key cannot be read.") from None
        if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise Invalid("DKIM needs an RSA or Ed25519 key.")
        return cls(key)

    @property
    def algorithm(self) -> str:
        """``a=``."""
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    @property
    def public_base64(self) -> str:
        """``p=`` of the key record: SubjectPublicKeyInfo, or the raw 32 octets (RFC 8463 §4)."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(octets).decode("ascii")

    def sign_hash(self, digest: bytes) -> bytes:
        """The signature over a SHA-256 hash."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))
        return self.private.sign(digest)


def generate_key(rsa_bits: int = 2048) -> bytes:
    """A fresh private key in PEM (PKCS #8); 0 bits: Ed25519."""
    key: PrivateKey = (
        rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
        if rsa_bits
        else ed25519.Ed25519PrivateKey.generate()
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign(raw: bytes, key: SigningKey, *, domain: str, selector: str, now: float) -> bytes:
    """The DKIM-Signature field (with CRLF) to put in front of a message."""
    body_start = header_bounds(raw)[0]
    body = BodyHash()
    body.update(memoryview(raw)[body_start:])
    return sign_header(
        raw[:body_start], body.digest(), key, domain=domain, selector=selector, now=now
    )


def sign_header(
    header: bytes, body_hash: bytes, key: SigningKey, *, domain: str, selector: str, now: float
) -> bytes:
    """As ``sign``, for a body that was hashed with ``BodyHash()`` while it passed."""
    fields = header_fields(header)
    names = _names_to_sign(fields)
    unsigned = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; d={domain};\r\n"
        f"\ts={selector}; t={int(now)};\r\n"
        f"\th={_folded_names(names)};\r\n"
        f"\tbh={base64.b64encode(body_hash).decode('ascii')};\r\n"
        "\tb="
    ).encode("ascii")
    digest = header_hash(fields, [name.encode("ascii") for name in names], True, unsigned)
    signature = base64.b64encode(key.sign_hash(digest)).decode("ascii")
    lines = [signature[start : start + 70] for start in range(0, len(signature), 70)]
    return unsigned + "\r\n\t ".join(lines).encode("ascii") + b"\r\n"


def _names_to_sign(fields: Sequence[HeaderField]) -> list[str]:
    counts: dict[str, int] = {}
    for field in fields:
        name = field.key.decode("ascii", "replace")
        counts[name] = counts.get(name, 0) + 1
    names: list[str] = []
    for name in _OVERSIGNED:
        names += [name] * (counts.get(name, 0) + 1)
    for name in _SIGNED:
        names += [name] * counts.get(name, 0)
    return names


def _folded_names(names: Sequence[str]) -> str:
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) > 68:
            lines.append(name)
        else:
            lines[-1] += f":{name}"
    return ":\r\n\t ".join(lines)
