"""
Modified UTF-7: how folder names travel in IMAP4rev1 (RFC 3501 §5.1.3).

Decoding is strict, so that a name has exactly one spelling: no printable ASCII inside a shift,
no empty or superfluous bits, no lone surrogates; and no control characters at all.
"""

import base64
import binascii
import re

__all__ = ["decode_name", "encode_name"]

SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def encode_name(name: str) -> bytes:
    """A folder name as the client gets it."""
    if name.isascii() and name.isprintable():
        return name.encode("ascii").replace(b"&", b"&-")
    return UNPRINTABLE.sub(_shift, name.replace("&", "&-")).encode("ascii")


def _shift(found: re.Match[str]) -> str:
    octets = found[0].encode("utf-16-be", "surrogatepass")
    return "&" + base64.b64encode(octets, b"+,").decode("ascii").rstrip("=") + "-"


def decode_name(octets: bytes) -> str | None:
    """The folder name, None if it is not modified UTF-7."""
    try:
        name = "".join(_pieces(octets)) if b"&" in octets else octets.decode("ascii")
    except (UnicodeError, binascii.Error):
        return None
    return name if not CONTROL.search(name) and encode_name(name) == octets else None


def _pieces(octets: bytes) -> list[str]:
    pieces = []
    at = 0
    for found in SHIFTED.finditer(octets):
        pieces.append(octets[at : found.start()].decode("ascii"))
        pieces.append(_unshift(found[1]) if found[1] else "&")
        at = found.end()
    pieces.append(octets[at:].decode("ascii"))
    return pieces


def _unshift(text: bytes) -> str:
    padded = text + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, b"+,", validate=True).decode("utf-16-be")
