"""
What messages are sorted and threaded by: base subject, first addresses, message ids.

Nothing here raises, whatever the bytes, and what it costs is bounded by the constants below.
RFC 5256 §2.1 (base subject), §3 (sort keys), §2.2 (ids); RFC 5957 (display names).
"""

import re
from collections.abc import Sequence

from fe_mail.message.headers import HeaderField, first_value
from fe_mail.message.words import decode_words
from fe_mail.model.structure import Mailbox, MessageEnvelope, SortValues

__all__ = ["MAX_MESSAGE_IDS", "base_subject", "message_ids", "sort_values"]

MAX_SUBJECT_CHARACTERS = 1_000
MAX_NAME_OCTETS = 1_000
MAX_MESSAGE_IDS = 100  # of one field: the newest, which stand last
MAX_IDS_OCTETS = 64 * 1024

_TRAILER = re.compile(r"(?:\(fwd\)|\s)+\Z", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*\]\s*")
_LEADER = re.compile(
    rf"\s*(?:{_BLOB.pattern})?(?:re|fwd?)\s*(?:{_BLOB.pattern})?:\s*", re.IGNORECASE
)
_FORWARD = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE)
_ID = re.compile(rb"<([^<>\s]+)>")


def sort_values(
    envelope: MessageEnvelope, subject: str, fields: Sequence[HeaderField], charset: str = ""
) -> SortValues:
    """Of a header that was parsed already; ``charset`` as for ``decode_words``."""
    ids = message_ids(envelope.message_id or b"")
    return SortValues(
        base_subject=base_subject(subject),
        from_mailbox=_mailbox(envelope.from_),
        to_mailbox=_mailbox(envelope.to),
        cc_mailbox=_mailbox(envelope.cc),
        from_display=_display(envelope.from_, charset),
        to_display=_display(envelope.to, charset),
        message_id=ids[0] if ids else "",
        in_reply_to=message_ids(envelope.in_reply_to or b""),
        references=message_ids(first_value(fields, b"references") or b""),
    )


def base_subject(subject: str) -> str:
    """The subject without ``Re:``, ``Fwd:``, ``[list]`` and ``(fwd)`` (RFC 5256 §2.1)."""
    text = " ".join(subject[:MAX_SUBJECT_CHARACTERS].split())
    while True:
        text = _without_leaders(_TRAILER.sub("", text))
        inner = _FORWARD.match(text)
        if inner is None:
            return text
        text = inner[1].strip()


def _without_leaders(text: str) -> str:
    while True:
        leader = _LEADER.match(text)
        if leader is None:
            leader = _BLOB.match(text)
            if leader is None or leader.end() == len(text):
                return text
        text = text[leader.end() :]


def message_ids(value: bytes) -> tuple[str, ...]:
    """The message ids in an unfolded field, without angle brackets."""
    found = _ID.findall(value[-MAX_IDS_OCTETS:])[-MAX_MESSAGE_IDS:]
    return tuple(each.decode("utf-8", "replace") for each in found)


def _mailbox(addresses: tuple[Mailbox, ...]) -> str:
    """addr-mailbox of the first address, empty without one."""
    return _octets(addresses[0].mailbox) if addresses else ""


def _display(addresses: tuple[Mailbox, ...], charset: str) -> str:
    if not addresses:
        return ""
    first = addresses[0]
    if first.name or first.host is None:  # a group's name stands where the mailbox does
        return _text(first.name or first.mailbox, charset)
    return f"{_octets(first.mailbox)}@{_octets(first.host)}"


def _octets(half: bytes | None) -> str:
    """Half of an address, in which there are no encoded words (RFC 2047 §5)."""
    return (half or b"")[:MAX_NAME_OCTETS].decode("utf-8", "replace")


def _text(octets: bytes | None, charset: str) -> str:
    return decode_words((octets or b"")[:MAX_NAME_OCTETS], charset)
