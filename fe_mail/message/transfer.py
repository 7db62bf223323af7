"""
Content-Transfer-Encoding of a part's body, decoded for reading; never raises.

``decode_body`` takes at most a given number of transferred octets, so that the cost is bounded
by the caller. Malformed input decodes as far as it can. RFC 2045 §6.7, §6.8.
"""

import binascii
import string

__all__ = ["decode_body"]

_BASE64 = (string.ascii_letters + string.digits + "+/").encode("ascii")
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _BASE64)


def decode_body(raw: bytes, encoding: bytes, start: int, end: int, max_octets: int) -> bytes:
    """The content of ``raw[start:end]``, from at most ``max_octets`` of it."""
    body = raw[start : min(end, start + max_octets)]
    if encoding == b"base64":
        return _decode_base64(body)
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    return body


def _decode_base64(body: bytes) -> bytes:
    clean = body.translate(None, _NOT_BASE64)
    # A single left-over character carries no whole octet.
    usable = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))
