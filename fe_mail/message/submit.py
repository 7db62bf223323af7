"""
What a submission server completes in a header: Date, Message-ID, no Bcc.

Only the header block is touched; all that stays keeps its octets. RFC 6409 §8; RFC 5322 §3.6.
"""

import re

from fe_mail.message.compose import date_field, id_field
from fe_mail.message.headers import header_bounds, header_fields
from fe_mail.model.errors import Invalid, TooBig

__all__ = ["complete_header", "complete_message"]

# Fields that are the sender's business only, or ours to write.
_DROPPED = re.compile(
    rb"^(?:(?:resent-)?bcc|return-path)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)


def complete_message(raw: bytes, *, now: float, message_id: str) -> bytes:
    """
    The message with a complete header. ``message_id`` is taken when it has none of its own.

    ``TooBig`` when the header has no end within its limit, so that a Bcc can never slip through.
    """
    body_start, is_whole = header_bounds(raw)
    if not is_whole:
        raise TooBig("The header of the message is too big.")
    return complete_header(raw[:body_start], now=now, message_id=message_id) + raw[body_start:]


def complete_header(header: bytes, *, now: float, message_id: str) -> bytes:
    """A header with its empty line (added if absent); for receivers that stream the body."""
    fields, empty_line = _split(_DROPPED.sub(b"", header))
    present = {field.key for field in header_fields(fields)}
    added = b""
    if b"date" not in present:
        added += date_field(now)
    if b"message-id" not in present:
        added += id_field("Message-ID", [message_id])
        if not added.lower().count(b"message-id"):
            raise Invalid("The Message-ID is not valid.", field="message_id")
    if fields and not fields.endswith(b"\n"):
        fields += b"\r\n"
    return fields + added + (empty_line or b"\r\n")


def _split(header: bytes) -> tuple[bytes, bytes]:
    """The fields and the empty line, which may be absent."""
    for empty_line in (b"\r\n", b"\n"):
        if header == empty_line or header.endswith(b"\n" + empty_line):
            return header[: len(header) - len(empty_line)], empty_line
    return header, b""
