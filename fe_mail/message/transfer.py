"""
Content-Transfer-Encoding of a part's body, decoded for reading; never raises.

``decode_body`` takes at most a given number of transferred octets, so that the cost is bounded
by the caller; ``decoded_pieces`` takes all of it, a little at a time, so that no single call
keeps other threads waiting. Malformed input decodes as far as it can. RFC 2045 §6.7, §6.8.
"""

import binascii
import string
from collections.abc import Iterator

__all__ = ["decode_body", "decoded_pieces"]

_PIECE_OCTETS = 1 << 16

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


def decoded_pieces(raw: bytes, encoding: bytes, start: int, end: int) -> Iterator[bytes]:
    """The content of ``raw[start:end]``, in pieces of at most 64 KiB."""
    left = b""
    while start < end:
        stop = min(end, start + _PIECE_OCTETS - len(left))
        octets = left + raw[start:stop]
        start, left = stop, b""
        if start < end and encoding == b"quoted-printable":
            cut = _quoted_printable_cut(octets)
            octets, left = octets[:cut], octets[cut:]
        elif encoding == b"base64":
            octets = octets.translate(None, _NOT_BASE64)
            cut = len(octets) - len(octets) % 4 if start < end else len(octets)
            octets, left = octets[:cut], octets[cut:]
        if decoded := decode_body(octets, encoding, 0, len(octets), len(octets)):
            yield decoded


def _quoted_printable_cut(octets: bytes) -> int:
    """Behind the last line end if there is any, and never inside an escape."""
    line_end = octets.rfind(b"\n") + 1
    if line_end:
        return line_end
    escape = octets.rfind(b"=", len(octets) - 3)
    return escape if escape > 0 else len(octets)
