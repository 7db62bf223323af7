"""
The lines of a header as every transport takes them: ASCII, short, none of white space alone.

Only what must change does. Names and texts beyond ASCII become encoded words, parameters the
form of RFC 2231; an address that needs SMTPUTF8 stays as it is, and so does the need. Long lines
are folded where they have blanks. RFC 5322 §2.1.1, §2.2.3, §3.2.2; RFC 2047; RFC 2231; RFC 6532.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from fe_mail.message.addresses import MAX_ADDRESSES, parse_mailboxes, plain_address
from fe_mail.message.charsets import decode_octets
from fe_mail.message.compose import (
    MAX_LINE_OCTETS,
    Correspondent,
    format_correspondent,
    text_field,
)
from fe_mail.message.headers import HeaderField, header_fields
from fe_mail.message.words import decode_words, encode_phrase
from fe_mail.model.errors import Invalid, Malformed
from fe_mail.model.structure import Mailbox

__all__ = ["has_long_line", "plain_lines"]

FOLD_OCTETS = 78  # RFC 5322 §2.1.1: lines that we break are as short as they should be
PARAMETER_OCTETS = 60  # of a value on one line
MAX_PARAMETER_OCTETS = 4096  # of a value that is encoded; no file name is longer

_ADDRESSES = frozenset(
    (
        *(b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-sender"),
        *(b"resent-to", b"resent-cc", b"disposition-notification-to", b"errors-to"),
        *(b"mail-followup-to", b"mail-reply-to", b"return-receipt-to"),
    )
)
_PARAMETERS = frozenset((b"content-type", b"content-disposition"))
_REFERENCES = frozenset((b"references", b"in-reply-to"))
# What has a grammar in which an encoded word has no place.
_STRUCTURED = frozenset(
    (
        *(b"date", b"message-id", b"in-reply-to", b"references", b"received", b"return-path"),
        *(b"mime-version", b"content-transfer-encoding", b"content-id", b"content-language"),
        *(b"content-location", b"resent-date", b"resent-message-id", b"dkim-signature"),
        *(b"authentication-results", b"arc-seal", b"arc-message-signature", b"autocrypt"),
        *(b"arc-authentication-results", b"list-id", b"list-unsubscribe", b"list-post"),
        *(b"list-help", b"list-archive", b"list-owner", b"list-subscribe"),
    )
)
_BLANK_LINES = re.compile(rb"(?:\r?\n[ \t]+)+(?=\r?\n)")
_IDS = re.compile(rb"<[^<>\s]+>")
_WORDS = re.compile(rb"[ \t]*[^ \t]+")
_PARAMETER = re.compile(
    rb';[ \t\r\n]*([^\s=;"*]{1,76})[ \t\r\n]*=[ \t\r\n]*("(?:[^"\\]|\\.)*"|[^";\r\n][^;\r\n]*)',
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def has_long_line(raw: bytes, start: int = 0, end: int | None = None) -> bool:
    """Is there a line of more than 998 octets in ``raw[start:end]``?"""
    end = len(raw) if end is None else end
    while end - start > MAX_LINE_OCTETS:
        line_end = raw.rfind(b"\n", start, min(end, start + MAX_LINE_OCTETS + 2))
        if line_end < 0:
            return True
        start = line_end + 1
    return False


def plain_lines(fields: bytes) -> bytes:
    """
    The fields of a header, each as every transport takes it.

    ``Malformed`` for a line that is too long and cannot be folded.
    """
    if fields.isascii() and not has_long_line(fields) and not _BLANK_LINES.search(fields):
        return fields
    return b"".join(map(_plain_field, header_fields(fields)))


def _plain_field(field: HeaderField) -> bytes:
    raw = field.raw if field.raw.isascii() else _in_ascii(field)
    raw = _BLANK_LINES.sub(b"", raw)
    if not has_long_line(raw):
        return raw
    for folded in (_folded(raw), _rebuilt(field, raw)):
        if not has_long_line(folded):
            return folded
    name = field.name.decode("ascii", "replace")
    raise Malformed(f"A line of the {name} field is too long, and cannot be folded.")


def _rebuilt(field: HeaderField, raw: bytes) -> bytes:
    """A field without blanks where it needs them, with some where they mean nothing."""
    if _is_text(field):
        return _as_text(field)
    if field.key in _ADDRESSES:
        return _with_encoded_names(field)
    if field.key in _REFERENCES:
        return _folded(raw.replace(b"><", b"> <"))
    return raw


def _folded(raw: bytes) -> bytes:
    lines = raw.rstrip(b"\r\n").split(b"\r\n")
    return b"".join(_folded_line(line) + b"\r\n" for line in lines)


def _folded_line(line: bytes) -> bytes:
    if len(line) <= MAX_LINE_OCTETS:
        return line
    lines = [b""]
    for word in _WORDS.findall(line.rstrip(b" \t")):  # blanks at its end would cost their square
        if len(word) > MAX_LINE_OCTETS and word[:1] in b" \t":
            word = b" " + word.lstrip(b" \t")
        if lines[-1] and len(lines[-1]) + len(word) > FOLD_OCTETS:
            lines.append(word)
        else:
            lines[-1] += word
    return b"\r\n".join(lines)


def _is_text(field: HeaderField) -> bool:
    return field.key not in _ADDRESSES | _PARAMETERS | _STRUCTURED


def _in_ascii(field: HeaderField) -> bytes:
    if field.key in _ADDRESSES:
        return _with_encoded_names(field)
    if field.key in _PARAMETERS:
        return _PARAMETER.sub(_encoded_parameter, field.raw)
    if field.key in _REFERENCES:
        return _without_foreign_ids(field)
    return _as_text(field) if _is_text(field) else field.raw


def _as_text(field: HeaderField) -> bytes:
    try:
        return text_field(field.name.decode("ascii", "replace"), decode_words(field.value))
    except Invalid:  # no name of a field
        return field.raw


def _with_encoded_names(field: HeaderField) -> bytes:
    """As it is when an address in it needs SMTPUTF8, or is none."""
    entries = parse_mailboxes(field.value)
    if not 0 < len(entries) < MAX_ADDRESSES:
        return field.raw
    try:
        value = ",\r\n ".join(_list_of(iter(entries)))
    except Invalid:
        return field.raw
    return field.name + f": {value}\r\n".encode() if value.isascii() else field.raw


def _list_of(entries: Iterator[Mailbox]) -> Iterator[str]:
    """Addresses and groups (RFC 5322 §3.4), up to the end of the group that we are in."""
    for entry in entries:
        if entry.host is not None:
            person = Correspondent(plain_address(entry), decode_words(entry.name or b""))
            yield format_correspondent(person)
        elif entry.mailbox is not None:
            members = ",\r\n ".join(_list_of(entries))
            yield f"{encode_phrase(decode_words(entry.mailbox))}: {members};"
        else:
            return


def _without_foreign_ids(field: HeaderField) -> bytes:
    """
    The identifiers that are ASCII; no others are worth a message that some hosts cannot take.
    """
    ids = b"\r\n ".join(each for each in _IDS.findall(field.value) if each.isascii())
    return field.name + b": " + ids + b"\r\n" if ids else b""


def _encoded_parameter(match: re.Match[bytes]) -> bytes:
    """RFC 2231 §3, §4."""
    name, value = match[1], match[2]
    if value.isascii() or len(value) > MAX_PARAMETER_OCTETS:
        return match[0]
    if value.startswith(b'"'):
        value = _ESCAPE.sub(rb"\1", value[1:-1])
    octets = decode_octets(value.strip()).encode("utf-8", "replace")
    encoded = [quote_from_bytes(bytes((octet,)), safe="").encode("ascii") for octet in octets]
    per_line = PARAMETER_OCTETS // 3
    lines = [b"".join(encoded[at : at + per_line]) for at in range(0, len(encoded), per_line)]
    if len(lines) == 1:
        return b";\r\n " + name + b"*=utf-8''" + lines[0]
    lines[0] = b"utf-8''" + lines[0]
    return b"".join(b";\r\n %b*%d*=%b" % (name, n, line) for n, line in enumerate(lines))
