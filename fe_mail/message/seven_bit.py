"""
A message in a form that every transport carries unchanged: ASCII, lines of at most 998 octets.

Who signs a message converts it first, for a host on its way that takes no 8-bit content or cuts
long lines would break the signature (RFC 6376 §5.3). Only parts that need it are encoded, text
as quoted-printable, all else as base64; a multipart says anew what it holds. What is signed or
encrypted inside (RFC 1847) is nobody's but its author's to change, nor is what has an encoding
that we do not know. The body is worked on in pieces, so that no call keeps other threads waiting.
RFC 2045 §2.8, §6 (encodings; §6.7, §6.8); RFC 2046 §5.2.1; RFC 1428 §3 (unknown-8bit); RFC 6532.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable, Iterator

from fe_mail.message.header_lines import has_long_line, plain_lines
from fe_mail.message.headers import HeaderField, first_value, header_fields
from fe_mail.message.scanner import MAX_PARTS, scan
from fe_mail.message.transfer import decoded_pieces
from fe_mail.model.errors import Malformed
from fe_mail.model.structure import Part

__all__ = ["is_ascii", "seven_bit"]

PIECE_OCTETS = 1 << 16
_BASE64_OCTETS = 57 * 1024  # whole lines of 76 characters

_IDENTITY = (b"7bit", b"8bit", b"binary")
_SEALED = (b"signed", b"encrypted")
_LINE_END = re.compile(rb"\r\n|\r|\n")


def is_ascii(raw: bytes, start: int = 0, end: int | None = None) -> bool:
    """Is ``raw[start:end]`` ASCII?"""
    end = len(raw) if end is None else end
    return all(
        raw[at : min(end, at + PIECE_OCTETS)].isascii() for at in range(start, end, PIECE_OCTETS)
    )


def seven_bit(raw: bytes) -> bytes:
    """The message, encoded where it must be. ``Malformed`` when that cannot be done."""
    if _is_plain(raw, 0, len(raw)):
        return raw
    message = scan(raw)
    if _count(message) >= MAX_PARTS:  # the last one may hold more that was not looked at
        return raw
    return b"".join(_Encoding(raw).entity(message))


def _count(part: Part) -> int:
    return 1 + sum(map(_count, part.parts))


def _is_plain(raw: bytes, start: int, end: int) -> bool:
    return is_ascii(raw, start, end) and not has_long_line(raw, start, end)


class _Encoding:
    """One message being encoded: each part as pieces, in order."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def entity(self, part: Part) -> list[bytes]:
        """The part with its header."""
        if _is_plain(self._raw, part.header_start, part.body_end):
            return [self._raw[part.header_start : part.body_end]]
        encoding, body = self._body(part)
        return [self._header(part, encoding), *body]

    def _body(self, part: Part) -> tuple[bytes, list[bytes]]:
        """The encoding to be declared, empty if that stays as it is, and the body in it."""
        if part.type == b"multipart" and part.subtype in _SEALED:
            return b"", [self._sealed(part)]
        if part.parts:
            body = self._children(part)
            was_8bit = part.encoding in (b"8bit", b"binary")
            return b"7bit" if was_8bit and all(map(is_ascii, body)) else b"", body
        as_it_is = (b"", [self._raw[part.body_start : part.body_end]])
        is_readable = _has_end(self._raw[part.header_start : part.body_start])
        is_leaf = is_readable and not self._is_broken_container(part)
        return (self._leaf(part) if is_leaf else None) or as_it_is

    def _fields(self, part: Part) -> tuple[HeaderField, ...]:
        return header_fields(self._raw[part.header_start : part.body_start])

    def _is_broken_container(self, part: Part) -> bool:
        """It should have parts, and the scanner found none: it may not be encoded."""
        declared = first_value(self._fields(part), b"content-type") or b""
        return declared.lower().startswith((b"multipart/", b"message/rfc822"))

    def _sealed(self, part: Part) -> bytes:
        if has_long_line(self._raw, part.body_start, part.body_end):
            raise Malformed("A line of a signed part is too long, and encoding it would break it.")
        return self._raw[part.body_start : part.body_end]

    def _children(self, part: Part) -> list[bytes]:
        """The parts and what stands between them; lines that nobody reads go if they must."""
        pieces: list[bytes] = []
        position = part.body_start
        for child in part.parts:
            pieces.append(_between(self._raw[position : child.header_start]))
            pieces += self.entity(child)
            position = child.body_end
        pieces.append(_between(self._raw[position : part.body_end]))
        return pieces

    def _leaf(self, part: Part) -> tuple[bytes, list[bytes]] | None:
        """The new encoding and the body in it; None if the part stays as it is."""
        raw, start, end = self._raw, part.body_start, part.body_end
        if _is_plain(raw, start, end) or (part.type == b"message" and not _is_global(part)):
            return None
        if part.encoding in _IDENTITY:
            pieces: Iterable[bytes] = (
                raw[at : min(end, at + PIECE_OCTETS)] for at in range(start, end, PIECE_OCTETS)
            )
        elif part.encoding in (b"base64", b"quoted-printable"):
            pieces = decoded_pieces(raw, part.encoding, start, end)
        else:
            return None
        if part.type == b"text" and part.encoding != b"base64":
            return b"quoted-printable", list(_quoted_printable(pieces))
        return b"base64", list(_base64(pieces, is_last=end == len(raw)))

    def _header(self, part: Part, encoding: bytes) -> bytes:
        """The header with the new encoding; a message that said nothing of its content does now."""
        header = self._raw[part.header_start : part.body_start]
        lines = header.removesuffix(b"\r\n") if _has_end(header) else header
        fields = plain_lines(lines if lines.endswith(b"\r\n") or not lines else lines + b"\r\n")
        if encoding:
            found = header_fields(fields)
            names = {field.key for field in found}
            kept = [each.raw for each in found if each.key != b"content-transfer-encoding"]
            if part.header_start == 0 and b"mime-version" not in names:
                kept.append(b"MIME-Version: 1.0\r\n")
            if b"content-type" not in names and (charset := self._charset(part)):
                kept.append(b"Content-Type: text/plain; charset=%b\r\n" % charset)
            kept.append(b"Content-Transfer-Encoding: %b\r\n" % encoding)
            fields = b"".join(kept)
        if _has_end(header):
            return fields + b"\r\n"
        return fields if header.endswith(b"\r\n") else fields.removesuffix(b"\r\n")

    def _charset(self, part: Part) -> bytes:
        """Of text that does not say; empty for ASCII, which need not."""
        if is_ascii(self._raw, part.body_start, part.body_end):
            return b""
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for at in range(part.body_start, part.body_end, PIECE_OCTETS):
                decoder.decode(self._raw[at : min(part.body_end, at + PIECE_OCTETS)])
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return b"unknown-8bit"
        return b"utf-8"


def _has_end(header: bytes) -> bool:
    """The empty line is there."""
    return header == b"\r\n" or header.endswith(b"\r\n\r\n")


def _is_global(part: Part) -> bool:
    """Messages of SMTPUTF8 may be encoded (RFC 6532 §3.7, RFC 6533 §4)."""
    return part.subtype.startswith(b"global")


def _between(octets: bytes) -> bytes:
    """Delimiters with the text around them, which is no part (RFC 2046 §5.1.1)."""
    if _is_plain(octets, 0, len(octets)):
        return octets
    lines = octets.splitlines(keepends=True)
    return b"".join(
        line for line in lines if line.startswith(b"--") or _is_plain(line, 0, len(line))
    )


def _quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 2045 §6.7: the line ends stay, a line without one is broken softly."""
    held = b""
    for piece in pieces:
        text = held + piece
        cut = text.rfind(b"\n") + 1
        if not cut and len(text) >= PIECE_OCTETS:
            cut = len(text) - text.endswith(b"\r")
        held = text[cut:]
        if cut:
            yield _quoted(text[:cut], is_broken=not text.endswith(b"\n", 0, cut))
    if held:
        yield _quoted(held, is_broken=False)


def _quoted(text: bytes, is_broken: bool) -> bytes:
    lines = _LINE_END.sub(b"\r\n", text)
    encoded = binascii.b2a_qp(lines, istext=True)
    if b"\r\n" not in lines:
        encoded = encoded.replace(b"=\n", b"=\r\n")
    if not is_broken:
        return encoded
    start = encoded.rfind(b"\n") + 1
    if len(encoded) - start > 75:  # no room for the soft break
        cut = start + 72
        cut -= next((back for back in (1, 2) if encoded[cut - back] == 0x3D), 0)
        encoded = encoded[:cut] + b"=\r\n" + encoded[cut:]
    return encoded + b"=\r\n"


def _base64(pieces: Iterable[bytes], is_last: bool) -> Iterator[bytes]:
    """RFC 2045 §6.8; the line end before a delimiter belongs to the delimiter."""
    held = b""
    for piece in pieces:
        octets = held + piece
        cut = len(octets) - len(octets) % _BASE64_OCTETS
        held = octets[cut:]
        if cut:
            yield _base64_lines(octets[:cut])
    last = _base64_lines(held)
    yield last if is_last else last.removesuffix(b"\r\n")


def _base64_lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")
