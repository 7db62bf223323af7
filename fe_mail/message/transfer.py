"""
Content-Transfer-Encoding of a part's body, decoded for reading; never raises.

``decode_body`` takes at most a given number of transferred octets, so that the cost is bounded
by the caller; ``decoded_pieces`` takes all of it, a little at a time, so that no single call
keeps other threads waiting. Malformed input decodes as far as it can: what is no base64 is
skipped, and padding ends a run of it, behind which another may begin, as in a letter to which a
mailing list added a footer. uuencode is no encoding of MIME and all the same in old mail.

RFC 2045 §6.7, §6.8.
"""

import binascii
import re
import string
from collections.abc import Callable, Iterator

__all__ = ["canonical_encoding", "decode_base64", "decode_body", "decoded_pieces"]

_PIECE_OCTETS = 1 << 16

_BASE64 = (string.ascii_letters + string.digits + "+/").encode("ascii")
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _BASE64 + b"=")

_UUENCODE = b"x-uuencode"
# What people write, by its letters and digits.
_SPELLINGS = {
    **{name.replace(b"-", b""): name for name in (b"7bit", b"8bit", b"binary", b"base64")},
    b"quotedprintable": b"quoted-printable",
    **dict.fromkeys((b"xuuencode", b"uuencode", b"xuue", b"uue"), _UUENCODE),
}
_NOT_OF_A_NAME = re.compile(rb"[^a-z0-9]+")
_UU_BEGIN = re.compile(rb"begin [0-7]{3,4} ")


def canonical_encoding(name: bytes) -> bytes | None:
    """The encoding that a name means, however it is spelled; None for one that nobody knows."""
    return _SPELLINGS.get(_NOT_OF_A_NAME.sub(b"", name.lower()))


def decode_body(raw: bytes, encoding: bytes, start: int, end: int, max_octets: int) -> bytes:
    """The content of ``raw[start:end]``, from at most ``max_octets`` of it."""
    return _decode(raw[start : min(end, start + max_octets)], encoding)


def _decode(body: bytes, encoding: bytes) -> bytes:
    if encoding == b"base64":
        return decode_base64(body)
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(_without_padding(body))
    if encoding == _UUENCODE:
        return b"".join(map(_uu_line, body.split(b"\n")))
    return body


def _without_padding(body: bytes) -> bytes:
    """White space that was added behind a soft line break is none of it (RFC 2045 §6.7)."""
    if b"= " not in body and b"=\t" not in body:
        return body
    lines = ((line, line.rstrip(b" \t\r")) for line in body.split(b"\n"))
    return b"\n".join([short if short.endswith(b"=") else line for line, short in lines])


def decode_base64(text: bytes) -> bytes:
    """Every run of it; a single character that is left over carries no whole octet."""
    clean = text.translate(None, _NOT_BASE64)
    return b"".join([_decode_run(run) for run in clean.split(b"=") if run])


def _decode_run(run: bytes) -> bytes:
    usable = run[:-1] if len(run) % 4 == 1 else run
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def _uu_line(line: bytes) -> bytes:
    """A line says its length first; some programs drop the spaces at its end, or pad it."""
    line = line.rstrip(b"\r")
    if not line or _UU_BEGIN.match(line) or line.rstrip() in (b"end", b"`"):
        return b""
    count = (line[0] - 32) & 63
    needed = 1 + 4 * -(-count // 3)
    try:
        return binascii.a2b_uu(line[:needed].ljust(needed))
    except binascii.Error:
        return b""


def decoded_pieces(raw: bytes, encoding: bytes, start: int, end: int) -> Iterator[bytes]:
    """The content of ``raw[start:end]``, in pieces of at most 64 KiB."""
    cut_of = _CUTS.get(encoding, len)
    left = b""
    while start < end:
        stop = min(end, start + _PIECE_OCTETS - len(left))
        octets = left + raw[start:stop]
        start, left = stop, b""
        if encoding == b"base64":
            octets = octets.translate(None, _NOT_BASE64)
        if start < end:
            cut = cut_of(octets)
            octets, left = octets[:cut], octets[cut:]
        if decoded := _decode(octets, encoding):
            yield decoded


def _base64_cut(octets: bytes) -> int:
    """Behind the last whole group of four of the run that may go on."""
    run = len(octets) - octets.rfind(b"=") - 1
    return len(octets) - run % 4


def _line_cut(octets: bytes) -> int:
    """Behind the last line end if there is any."""
    return octets.rfind(b"\n") + 1 or len(octets)


def _quoted_printable_cut(octets: bytes) -> int:
    """Behind the last line end if there is any, and never inside an escape."""
    line_end = octets.rfind(b"\n") + 1
    if line_end:
        return line_end
    escape = octets.rfind(b"=", len(octets) - 3)
    return escape if escape > 0 else len(octets)


_CUTS: dict[bytes, Callable[[bytes], int]] = {
    b"base64": _base64_cut,
    b"quoted-printable": _quoted_printable_cut,
    _UUENCODE: _line_cut,
}
