"""
What a submission server completes in a header: Date, Message-ID, no Bcc.

A Date or Message-ID that is none is replaced, one that others may not be able to read is written
anew; of a message that is resent, which is somebody else's, only the Resent- fields are
completed. Lines are made fit for every transport, and all that is left keeps its octets.
RFC 6409 §8; RFC 5322 §3.3, §3.6, §3.6.4, §3.6.6.
"""

import re
from collections.abc import Collection, Sequence

import attrs

from fe_mail.message.compose import date_field, id_field
from fe_mail.message.dates import parse_date
from fe_mail.message.header_lines import plain_lines
from fe_mail.message.headers import HeaderField, first_value, header_bounds, header_fields
from fe_mail.message.opening import without_mbox_line
from fe_mail.message.resent import latest_resent
from fe_mail.message.results import without_results
from fe_mail.message.seven_bit import is_ascii, seven_bit
from fe_mail.model.errors import Invalid, TooBig

__all__ = ["Completed", "Completion", "complete_header", "complete_message", "own_message_id"]

_COMMENT = re.compile(rb"\([^()]*\)")
_MESSAGE_ID = re.compile(rb"<[!-;=?A-~]+@[!-;=?A-~]+>\Z")
MAX_MESSAGE_ID_OCTETS = 900
# As RFC 5322 §3.3 and §4.3 have it: old zones, short years and comments may be read by everybody.
_DATE = re.compile(
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\s*,)?\s*\d{1,2}\s+"
    rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{2,4}\s+"
    rb"\d{2}\s*:\s*\d{2}(?:\s*:\s*\d{2})?\s+(?:[+-]\d{4}|UT|GMT|[ECMP][SD]T|[A-IK-Z])\s*\Z",
    re.IGNORECASE,
)
# Fields of which RFC 5322 §3.6 allows none that is empty.
_EMPTY = re.compile(
    rb"^(?:to|cc|reply-to|references|in-reply-to):[ \t]*\r?\n(?![ \t])",
    re.IGNORECASE | re.MULTILINE,
)
FIRST_ORDINAL = 693596  # 1900-01-01: RFC 5322 §3.3 knows no earlier year


@attrs.frozen(kw_only=True)
class Completion:
    """
    What to complete with. ``message_id`` is taken when there is none; ``names`` are those by
    which we sign results.
    """

    now: float
    message_id: str
    keeps_sender: bool = True
    is_resent: bool = False
    names: Collection[str] = ()


@attrs.frozen(kw_only=True)
class Completed:
    """A message that is ready to be signed, and what it asks of the hosts that carry it."""

    raw: bytes = attrs.field(repr=False)
    is_8bit: bool
    has_utf8_header: bool


def complete_message(raw: bytes, completion: Completion) -> Completed:
    """
    The message with a complete header, in ASCII and short lines wherever that is possible.

    ``TooBig`` when the header has no end within its limit, so that a Bcc can never slip through;
    ``Malformed`` when it cannot be made valid.
    """
    body_start, is_whole = header_bounds(raw)
    if not is_whole:
        raise TooBig("The header of the message is too big.")
    complete = complete_header(raw[:body_start], completion) + raw[body_start:]
    if not completion.is_resent:  # its author may have signed it
        complete = seven_bit(complete)
    return Completed(
        raw=complete,
        is_8bit=not is_ascii(complete),
        has_utf8_header=not is_ascii(complete, 0, header_bounds(complete)[0]),
    )


def complete_header(header: bytes, completion: Completion) -> bytes:
    """A header with its empty line (added if absent)."""
    fields, empty_line = _split(without_results(without_mbox_line(header), completion.names))
    dropped = {b"bcc", b"resent-bcc", b"return-path"}
    if fields and not fields.endswith(b"\n"):
        fields += b"\r\n"
    if completion.is_resent:
        return _resent(_without(fields, dropped), completion) + (empty_line or b"\r\n")
    added = b""
    found = header_fields(fields)
    if not completion.keeps_sender:
        dropped.add(b"sender")
    if (date := _new_date(first_value(found, b"date"), completion.now)) is not None:
        dropped.add(b"date")
        added += date_field(date)
    if not own_message_id(found):
        dropped.add(b"message-id")
        added += _id_field("Message-ID", completion)
    kept = _EMPTY.sub(b"", plain_lines(_without(fields, dropped)))
    return kept + added + (empty_line or b"\r\n")


def own_message_id(fields: Sequence[HeaderField]) -> str:
    """The Message-ID, if there is one that is valid; empty if not (RFC 5322 §3.6.4)."""
    value = _COMMENT.sub(b"", first_value(fields, b"message-id") or b"").strip()
    is_valid = len(value) <= MAX_MESSAGE_ID_OCTETS and _MESSAGE_ID.match(value)
    return value.decode("ascii") if is_valid else ""


def _new_date(value: bytes | None, now: float) -> float | None:
    """The moment to write into a new field; None when the field is good as it is."""
    date = parse_date(value or b"")
    if value is None or date is None or date.day < FIRST_ORDINAL:
        return now
    return None if _DATE.match(_COMMENT.sub(b" ", value).strip()) else date.seconds


def _id_field(name: str, completion: Completion) -> bytes:
    field = id_field(name, [completion.message_id])
    if not field:
        raise Invalid("The Message-ID is not valid.", field="message_id")
    return field


def _resent(fields: bytes, completion: Completion) -> bytes:
    """Resent-Date must be there, Resent-Message-ID should (RFC 5322 §3.6.6)."""
    block = latest_resent(header_fields(fields))
    present = {field.key for field in block}
    added = b""
    if b"resent-date" not in present:
        added += date_field(completion.now, "Resent-Date")
    if b"resent-message-id" not in present:
        added += _id_field("Resent-Message-ID", completion)
    above = re.search(rb"^" + re.escape(block[0].raw), fields, re.MULTILINE) if block else None
    start = above.start() if above else 0
    return fields[:start] + added + fields[start:]


def _without(fields: bytes, names: Collection[bytes]) -> bytes:
    """The header without the fields of these (lower-case) names."""
    pattern = rb"^(?:%b)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)" % b"|".join(sorted(names))
    return re.sub(pattern, b"", fields, flags=re.IGNORECASE | re.MULTILINE)


def _split(header: bytes) -> tuple[bytes, bytes]:
    """The fields and the empty line, which may be absent."""
    for empty_line in (b"\r\n", b"\n"):
        if header == empty_line or header.endswith(b"\n" + empty_line):
            return header[: len(header) - len(empty_line)], empty_line
    return header, b""
