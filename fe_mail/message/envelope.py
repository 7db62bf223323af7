"""
The ENVELOPE of a header, as IMAP shows it: raw octets, unfolded.

Absent Sender and Reply-To take the value of From, and so do empty ones.
RFC 9051 §7.5.2; RFC 5322 §3.6.
"""

from collections.abc import Sequence

from fe_mail.message.addresses import MAX_ADDRESSES, parse_mailboxes
from fe_mail.message.headers import HeaderField
from fe_mail.model.structure import Mailbox, MessageEnvelope

__all__ = ["parse_envelope"]

_TEXTS = frozenset({b"date", b"subject", b"in-reply-to", b"message-id"})
_LISTS = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"})


def parse_envelope(fields: Sequence[HeaderField]) -> MessageEnvelope:
    """The envelope of a header's fields; the first of a text, all of an address list."""
    texts: dict[bytes, bytes] = {}
    lists: dict[bytes, tuple[Mailbox, ...]] = {}
    for field in fields:
        key = field.key
        if key in _TEXTS:
            texts.setdefault(key, field.value)
        elif key in _LISTS and len(lists.get(key, ())) < MAX_ADDRESSES:
            lists[key] = lists.get(key, ()) + parse_mailboxes(field.value)
    authors = lists.get(b"from", ())
    return MessageEnvelope(
        date=texts.get(b"date"),
        subject=texts.get(b"subject"),
        from_=authors,
        sender=lists.get(b"sender") or authors,
        reply_to=lists.get(b"reply-to") or authors,
        to=lists.get(b"to", ()),
        cc=lists.get(b"cc", ()),
        bcc=lists.get(b"bcc", ()),
        in_reply_to=texts.get(b"in-reply-to"),
        message_id=texts.get(b"message-id"),
    )
