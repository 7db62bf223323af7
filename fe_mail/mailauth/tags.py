"""
Tag lists of DKIM: ``v=1; a=rsa-sha256; ...`` in signatures and in key records.

RFC 6376 §3.2, §3.5, §3.6.1; RFC 8301 (keys and hashes); RFC 8463 (Ed25519).
"""

import base64
import binascii
import re

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Invalid

__all__ = [
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "KeyRecord",
    "PublicKey",
    "SignatureTags",
    "parse_key_record",
    "parse_signature",
    "parse_tags",
]

MIN_RSA_BITS = 1_024  # RFC 8301 §3.2
MAX_RSA_BITS = 8_192
MAX_TAGS = 64
MAX_TAG_LIST_OCTETS = 32 * 1024
MAX_SIGNED_FIELDS = 500

PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_SPACE = re.compile(r"[ \t\r\n]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_NUMBER = re.compile(r"[0-9]{1,12}\Z")
_SELECTOR = re.compile(
    r"[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?(?:\.[a-z0-9_]"
    r"(?:[a-z0-9_\-]*[a-z0-9_])?)*\Z",
    re.IGNORECASE,
)
_ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


@attrs.frozen(kw_only=True)
class SignatureTags:
    """A DKIM-Signature that makes sense. ``identity`` is ``i=``, or its default."""

    algorithm: str
    signature: bytes
    body_hash: bytes
    domain: str
    selector: str
    identity: str
    fields: tuple[bytes, ...]  # lower case, in the order of h=
    relaxed_header: bool
    relaxed_body: bool
    body_limit: int | None = None
    signed_at: int | None = None
    expires_at: int | None = None


@attrs.frozen(kw_only=True)
class KeyRecord:
    """A public key as published."""

    key: PublicKey
    is_testing: bool = False
    is_strict: bool = False  # t=s: i= must have exactly the domain of d=


def parse_tags(text: str) -> dict[str, str]:
    """The tags; ``Invalid`` for a malformed list or a name that comes twice (RFC 6376 §3.2)."""
    if len(text) > MAX_TAG_LIST_OCTETS:
        raise Invalid("The tag list is too long.")
    tags: dict[str, str] = {}
    for item in text.split(";"):
        if not item.strip(" \t\r\n"):
            continue
        name, equals, value = item.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _NAME.match(name) or name in tags or len(tags) >= MAX_TAGS:
            raise Invalid("The tag list is malformed.")
        tags[name] = value.strip(" \t\r\n")
    return tags


def parse_signature(value: bytes) -> SignatureTags:
    """The value of a DKIM-Signature field. ``Invalid`` says what is wrong (RFC 6376 §6.1.1)."""
    tags = parse_tags(_text(value))
    if tags.get("v") != "1":
        raise Invalid("The version of the signature is not 1.")
    if missing := [name for name in ("a", "b", "bh", "d", "h", "s") if not tags.get(name)]:
        raise Invalid(f"The signature has no {missing[0]}= tag.")
    algorithm = tags["a"].lower()
    if algorithm not in _ALGORITHMS:
        raise Invalid("The algorithm of the signature is not supported.")
    if "q" in tags and "dns/txt" not in _items(tags["q"].lower()):
        raise Invalid("The query method of the signature is not supported.")
    header, body = _canonicalization(tags.get("c", "simple/simple").lower())
    domain = normalize_domain(tags["d"])
    return SignatureTags(
        algorithm=algorithm,
        signature=_base64(tags["b"]),
        body_hash=_base64(tags["bh"]),
        domain=domain,
        selector=_selector(tags["s"]),
        identity=_identity(tags.get("i", ""), domain),
        fields=_fields(tags["h"]),
        relaxed_header=header,
        relaxed_body=body,
        body_limit=_number(tags, "l"),
        signed_at=_number(tags, "t"),
        expires_at=_number(tags, "x"),
    )


def parse_key_record(text: str, algorithm: str) -> KeyRecord:
    """A key record for a signature's algorithm. ``Invalid`` says why it cannot be used."""
    tags = parse_tags(text)
    if tags.get("v", "DKIM1") != "DKIM1":
        raise Invalid("The key record is none of DKIM.")
    if not tags.get("p"):
        raise Invalid("The key has been revoked." if "p" in tags else "The record has no key.")
    kind = tags.get("k", "rsa").lower()
    if kind != _ALGORITHMS.get(algorithm):
        raise Invalid("The key is of another kind than the signature.")
    if "h" in tags and "sha256" not in _items(tags["h"].lower()):
        raise Invalid("The key does not allow the hash of the signature.")
    if not {"*", "email"} & set(_items(tags.get("s", "*").lower())):
        raise Invalid("The key is not for e-mail.")
    flags = _items(tags.get("t", "").lower())
    return KeyRecord(
        key=_public_key(kind, _base64(tags["p"])),
        is_testing="y" in flags,
        is_strict="s" in flags,
    )


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The signature is not valid UTF-8.") from None


def _items(text: str) -> list[str]:
    return [item.strip(" \t\r\n") for item in text.split(":")]


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(_SPACE.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("The base64 is malformed.") from None


def _canonicalization(text: str) -> tuple[bool, bool]:
    header, _, body = text.partition("/")
    body = body or "simple"
    if header not in ("simple", "relaxed") or body not in ("simple", "relaxed"):
        raise Invalid("The canonicalization of the signature is not supported.")
    return header == "relaxed", body == "relaxed"


def _selector(text: str) -> str:
    if len(text) > 190 or not _SELECTOR.match(text):
        raise Invalid("The selector of the signature is not valid.")
    return text.lower()


def _identity(text: str, domain: str) -> str:
    """RFC 6376 §3.5: the domain of i= is d= or below it."""
    if not text:
        return f"@{domain}"
    local, at, host = text.rpartition("@")
    if not at:
        raise Invalid("The identity of the signature is not valid.")
    host = normalize_domain(host)
    if host != domain and not host.endswith(f".{domain}"):
        raise Invalid("The identity of the signature is of another domain.")
    return f"{local}@{host}"


def _fields(text: str) -> tuple[bytes, ...]:
    names = tuple(name.lower().encode("utf-8") for name in _items(text) if name)
    if b"from" not in names:
        raise Invalid("The signature does not cover the From field.")
    if len(names) > MAX_SIGNED_FIELDS:
        raise Invalid("The signature covers too many fields.")
    return names


def _number(tags: dict[str, str], name: str) -> int | None:
    if name not in tags:
        return None
    if not _NUMBER.match(tags[name]):
        raise Invalid(f"The {name}= tag of the signature is not a number.")
    return int(tags[name])


def _public_key(kind: str, octets: bytes) -> PublicKey:
    try:
        if kind == "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(octets)
        key = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Invalid("The key cannot be read.") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise Invalid("The key is of another kind than its record says.")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise Invalid(
            "The key is too weak." if key.key_size < MIN_RSA_BITS else "The key is too big."
        )
    return key
