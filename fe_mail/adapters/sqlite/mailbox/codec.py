"""
Envelope and structure as compact JSON: lists in a fixed order, octets as Latin-1 text.

What is stored is read back by every later version, so new elements only go to the ends of lists.
"""

import json
from collections.abc import Iterable
from typing import Any

from fe_mail.model.structure import Mailbox, MessageEnvelope, Part

__all__ = ["decode_envelope", "decode_structure", "encode_envelope", "encode_structure"]

_ADDRESSES = ("from_", "sender", "reply_to", "to", "cc", "bcc")
_STRINGS = ("date", "subject", "in_reply_to", "message_id")


def encode_envelope(envelope: MessageEnvelope) -> str:
    """An envelope as text."""
    return _dump(_envelope(envelope))


def decode_envelope(text: str) -> MessageEnvelope:
    """The envelope that ``encode_envelope`` was given."""
    return _read_envelope(json.loads(text))


def encode_structure(part: Part) -> str:
    """A tree of parts as text."""
    return _dump(_part(part))


def decode_structure(text: str) -> Part:
    """The tree that ``encode_structure`` was given."""
    return _read_part(json.loads(text))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode("latin-1")


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _some(text: str) -> bytes:
    return text.encode("latin-1")


def _envelope(envelope: MessageEnvelope) -> list[Any]:
    strings = [_text(getattr(envelope, name)) for name in _STRINGS]
    lists = [
        [[_text(m.name), _text(m.mailbox), _text(m.host), _text(m.route)] for m in mailboxes]
        for mailboxes in (getattr(envelope, name) for name in _ADDRESSES)
    ]
    return [strings, lists]


def _read_envelope(value: list[Any]) -> MessageEnvelope:
    strings, lists = value
    date, subject, in_reply_to, message_id = map(_octets, strings)
    from_, sender, reply_to, to, cc, bcc = map(_read_mailboxes, lists)
    return MessageEnvelope(
        date=date,
        subject=subject,
        from_=from_,
        sender=sender,
        reply_to=reply_to,
        to=to,
        cc=cc,
        bcc=bcc,
        in_reply_to=in_reply_to,
        message_id=message_id,
    )


def _read_mailboxes(value: list[list[str | None]]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(*map(_octets, fields)) for fields in value)


def _params(params: Iterable[tuple[bytes, bytes]]) -> list[list[str | None]]:
    return [[_text(name), _text(value)] for name, value in params]


def _read_params(value: list[list[str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((_some(name), _some(text)) for name, text in value)


def _part(part: Part) -> list[Any]:
    disposition = part.disposition
    return [
        _text(part.type),
        _text(part.subtype),
        _params(part.params),
        _text(part.encoding),
        [part.header_start, part.body_start, part.body_end, part.lines],
        [_part(child) for child in part.parts],
        [_text(x) for x in (part.content_id, part.description, part.md5, part.location)],
        None if disposition is None else [_text(disposition[0]), _params(disposition[1])],
        [_text(language) for language in part.language],
        None if part.envelope is None else _envelope(part.envelope),
    ]


def _read_part(value: list[Any]) -> Part:
    kind, subtype, params, encoding, numbers, parts, strings, disposition, language, envelope = (
        value
    )
    header_start, body_start, body_end, lines = numbers
    content_id, description, md5, location = map(_octets, strings)
    return Part(
        type=_some(kind),
        subtype=_some(subtype),
        params=_read_params(params),
        encoding=_some(encoding),
        header_start=header_start,
        body_start=body_start,
        body_end=body_end,
        lines=lines,
        parts=tuple(map(_read_part, parts)),
        content_id=content_id,
        description=description,
        md5=md5,
        location=location,
        disposition=disposition and (_some(disposition[0]), _read_params(disposition[1])),
        language=tuple(map(_some, language)),
        envelope=None if envelope is None else _read_envelope(envelope),
    )
