"""
The formatter: values become the octets of IMAP responses (RFC 9051 §7, §9).

Strings go out quoted when they are short printable ASCII, else as literals, so whatever a
message contains can never break out of its place. Nothing here knows a session.
"""

import datetime
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from fe_mail.imap.utf7 import encode_name
from fe_mail.model.structure import Mailbox, MessageEnvelope, Part

__all__ = [
    "astring",
    "body",
    "envelope",
    "flag_list",
    "folder_name",
    "internal_date",
    "nstring",
    "object_id",
    "sequence_set",
    "string",
]

MAX_QUOTED_OCTETS: Final = 1000
DAY_SECONDS: Final = 86_400
EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

QUOTABLE: Final = bytes(octet for octet in range(0x20, 0x7F) if octet not in b'"\\')
ASTRING_OCTETS: Final = bytes(octet for octet in range(0x21, 0x7F) if octet not in b'(){%*"\\')
SYSTEM_ORDER: Final[tuple[str, ...]] = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


def string(octets: bytes) -> bytes:
    """A quoted string, or a literal where that cannot be."""
    if not octets.translate(None, QUOTABLE) and len(octets) <= MAX_QUOTED_OCTETS:
        return b'"%s"' % octets
    if len(octets) <= MAX_QUOTED_OCTETS and not octets.translate(None, QUOTABLE + b'"\\'):
        return b'"%s"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b"{%d}\r\n%s" % (len(octets), octets)


def nstring(octets: bytes | None) -> bytes:
    """A string or NIL."""
    return b"NIL" if octets is None else string(octets)


def astring(octets: bytes) -> bytes:
    """An atom where possible, else a string; never the atom NIL."""
    if octets and not octets.translate(None, ASTRING_OCTETS) and octets.upper() != b"NIL":
        return octets
    return string(octets)


def folder_name(name: str) -> bytes:
    """A folder name, always quoted or a literal, as most clients expect it."""
    return string(encode_name(name))


@lru_cache(maxsize=1024)
def flag_list(flags: frozenset[str], recent: bool = False) -> bytes:
    """``(\\Seen $Forwarded)``; system flags first, so the same flags look the same."""
    names: list[str] = [flag for flag in SYSTEM_ORDER if flag in flags]
    names += sorted(flags.difference(SYSTEM_ORDER))
    if recent:
        names.append("\\Recent")
    return b"(%s)" % " ".join(names).encode("ascii", "replace")


def internal_date(seconds: int) -> bytes:
    """``"17-Jul-1996 02:44:25 +0000"``, in UTC."""
    days, second = divmod(seconds, DAY_SECONDS)
    minute, second = divmod(second, 60)
    return b'"%s %02d:%02d:%02d +0000"' % (_day(days), *divmod(minute, 60), second)


@lru_cache(maxsize=4096)
def _day(days: int) -> bytes:
    """A day since the epoch, or before it; messages share few of them."""
    ordinal = min(max(1, EPOCH_DAY + days), datetime.date.max.toordinal())
    day = datetime.date.fromordinal(ordinal)
    return b"%2d-%s-%04d" % (day.day, MONTHS[day.month - 1], day.year)


def object_id(number: str | None) -> bytes:
    """An id of RFC 8474 in parentheses, or NIL."""
    return b"NIL" if number is None else b"(%s)" % number.encode("ascii")


def sequence_set(numbers: Iterable[int]) -> bytes:
    """Numbers in the given order; ascending neighbors become a range."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in ranges)


def envelope(values: MessageEnvelope) -> bytes:
    """ENVELOPE (RFC 9051 §7.5.2); Sender and Reply-To default to From."""
    sender = values.sender or values.from_
    reply_to = values.reply_to or values.from_
    lists = (values.from_, sender, reply_to, values.to, values.cc, values.bcc)
    return b"(%s %s %s %s %s)" % (
        nstring(values.date),
        nstring(values.subject),
        b" ".join(map(_addresses, lists)),
        nstring(values.in_reply_to),
        nstring(values.message_id),
    )


def _addresses(entries: tuple[Mailbox, ...]) -> bytes:
    if not entries:
        return b"NIL"
    return b"(%s)" % b"".join(
        b"(%s %s %s %s)"
        % (nstring(each.name), nstring(each.route), nstring(each.mailbox), nstring(each.host))
        for each in entries
    )


def body(part: Part, extended: bool) -> bytes:
    """BODYSTRUCTURE, or BODY without the extension fields (RFC 9051 §7.5.2)."""
    if part.is_multipart and part.parts:
        children = b"".join(body(child, extended) for child in part.parts)
        fields = [children, string(part.subtype.upper())]
        if extended:
            fields += [_params(part.params), *_extension(part)]
        return b"(%s)" % b" ".join(fields)
    fields = [
        string(part.type.upper()),
        string(part.subtype.upper()),
        _params(part.params),
        nstring(part.content_id),
        nstring(part.description),
        string(part.encoding.upper()),
        b"%d" % part.size_octets,
    ]
    if part.is_message and part.envelope is not None and part.parts:
        fields += [envelope(part.envelope), body(part.parts[0], extended)]
        fields.append(b"%d" % part.lines)
    elif part.type == b"text":
        fields.append(b"%d" % part.lines)
    if extended:
        fields += [nstring(part.md5), *_extension(part)]
    return b"(%s)" % b" ".join(fields)


def _extension(part: Part) -> list[bytes]:
    """Disposition, language, location."""
    disposition = b"NIL"
    if part.disposition is not None:
        name, params = part.disposition
        disposition = b"(%s %s)" % (string(name.upper()), _params(params))
    languages = part.language
    language = b"(%s)" % b" ".join(map(string, languages)) if languages else b"NIL"
    return [disposition, language, nstring(part.location)]


def _params(params: tuple[tuple[bytes, bytes], ...]) -> bytes:
    if not params:
        return b"NIL"
    return b"(%s)" % b" ".join(
        b"%s %s" % (string(name.upper()), string(value)) for name, value in params
    )
