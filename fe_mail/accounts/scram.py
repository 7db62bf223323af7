"""
SCRAM-SHA-256, the server's messages and arithmetic; no state, no store, no clock.

The client proves that it has ClientKey without sending the password. What the server needs for
that (salt, iterations, StoredKey, ServerKey) cannot open a mailbox; ClientKey, learned from a
good proof, can (see ``fe_mail.model.account.Credential``).

RFC 5802 §3 (algorithm), §5 (attributes), §7 (grammar); RFC 7677 (SHA-256). Channel binding:
``n`` and ``y`` are accepted, ``p`` is not, since the -PLUS mechanism is not offered.
"""

import base64
import binascii
import hashlib
import hmac
import re

import attrs

from fe_mail.model.errors import AuthenticationFailed, Invalid

__all__ = [
    "MAX_MESSAGE_OCTETS",
    "MAX_NONCE_LENGTH",
    "ClientFinal",
    "ClientFirst",
    "Keys",
    "client_key_of",
    "derive_keys",
    "parse_client_final",
    "parse_client_first",
    "server_final",
    "server_first",
]

MAX_MESSAGE_OCTETS = 4096
MAX_NONCE_LENGTH = 512
PROOF_OCTETS = 32

_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+\Z")  # printable without comma
_EXTENSION = re.compile(r"[A-Za-z]=[^,\x00]+\Z")
_SASLNAME = re.compile(r"(?:[^,=\x00]|=2C|=3D)+\Z")


@attrs.frozen(kw_only=True)
class Keys:
    """ClientKey, StoredKey and ServerKey of one password (RFC 5802 §3)."""

    client_key: bytes = attrs.field(repr=False)
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ClientFirst:
    """client-first-message: ``gs2_header`` must come back in the final one; ``bare`` is signed."""

    gs2_header: str
    authzid: str
    username: str
    nonce: str
    bare: str


@attrs.frozen(kw_only=True)
class ClientFinal:
    """client-final-message; ``without_proof`` is what the client signed."""

    channel_binding: bytes
    nonce: str
    proof: bytes = attrs.field(repr=False)
    without_proof: str


def derive_keys(salted_password: bytes) -> Keys:
    """The three keys of a SaltedPassword."""
    client_key = _hmac(salted_password, b"Client Key")
    return Keys(
        client_key=client_key,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=_hmac(salted_password, b"Server Key"),
    )


def parse_client_first(message: bytes) -> ClientFirst:
    """Parse ``n,[a=authzid],n=user,r=nonce``. ``Invalid``; ``AuthenticationFailed`` for ``p``."""
    parts = _text(message).split(",", 2)
    if len(parts) != 3:
        raise Invalid("The SCRAM message is incomplete.")
    binding, authzid, bare = parts
    if binding.startswith("p="):
        raise AuthenticationFailed("Channel binding is not supported.")
    if binding not in ("n", "y"):
        raise Invalid("The SCRAM channel binding flag is not valid.")
    fields = bare.split(",")
    if len(fields) < 2 or not all(_EXTENSION.match(field) for field in fields[2:]):
        raise Invalid("The SCRAM message is incomplete.")
    return ClientFirst(
        gs2_header=f"{binding},{authzid},",
        authzid=_saslname(_attribute("a", authzid)) if authzid else "",
        username=_saslname(_attribute("n", fields[0])),
        nonce=_nonce(_attribute("r", fields[1])),
        bare=bare,
    )


def server_first(nonce: str, salt: bytes, iterations: int) -> str:
    """``nonce`` is the client's and the server's together."""
    return f"r={nonce},s={_b64(salt)},i={iterations}"


def parse_client_final(message: bytes) -> ClientFinal:
    """Parse ``c=binding,r=nonce,p=proof``. ``Invalid`` for anything else."""
    without_proof, comma, proof_field = _text(message).rpartition(",")
    fields = without_proof.split(",")
    if not comma or len(fields) < 2 or not all(_EXTENSION.match(f) for f in fields[2:]):
        raise Invalid("The SCRAM message is incomplete.")
    proof = _decode(_attribute("p", proof_field))
    if len(proof) != PROOF_OCTETS:
        raise Invalid("The SCRAM proof has the wrong length.")
    return ClientFinal(
        channel_binding=_decode(_attribute("c", fields[0])),
        nonce=_nonce(_attribute("r", fields[1])),
        proof=proof,
        without_proof=without_proof,
    )


def client_key_of(proof: bytes, stored_key: bytes, auth_message: str) -> bytes | None:
    """The ClientKey that the proof reveals, None if it is not the one of ``stored_key``."""
    signature = _hmac(stored_key, auth_message.encode())
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    known = hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)
    return client_key if known else None


def server_final(server_key: bytes, auth_message: str) -> str:
    """The server's own proof."""
    return "v=" + _b64(_hmac(server_key, auth_message.encode()))


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _text(message: bytes) -> str:
    if len(message) > MAX_MESSAGE_OCTETS:
        raise Invalid("The SCRAM message is too long.")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The SCRAM message is not valid UTF-8.") from None


def _attribute(name: str, field: str) -> str:
    if not field.startswith(f"{name}="):
        # A mandatory extension (m=) ends here too, as RFC 5802 §5.1 asks.
        raise Invalid("The SCRAM message has an unexpected attribute.")
    return field[2:]


def _nonce(text: str) -> str:
    if len(text) > MAX_NONCE_LENGTH or not _NONCE.match(text):
        raise Invalid("The SCRAM nonce is not valid.")
    return text


def _saslname(text: str) -> str:
    if not _SASLNAME.match(text):
        raise Invalid("The SCRAM user name is not valid.")
    return text.replace("=2C", ",").replace("=3D", "=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise Invalid("The SCRAM message has bad base64.") from None
