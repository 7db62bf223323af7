"""
Everything about a message that is computed once, at arrival.

``digest`` never raises. What it costs is bounded by the constants below and by those of the
scanner: of a message of 50 MB only the headers and ``MAX_TEXT_OCTETS`` of its texts are looked
at in Python. A search therefore sees the first 4 MiB (as transferred) of all text together,
which is more than any letter; beyond that only a raw scan would find words.

RFC 9051 §6.4.4 (what BODY and TEXT search), §7.5.2; RFC 2183 (attachments); RFC 8621 §4.1.4.
"""

from collections.abc import Iterator, Sequence

from fe_mail.message.dates import parse_date
from fe_mail.message.envelope import parse_envelope
from fe_mail.message.headers import HeaderField, header_fields
from fe_mail.message.html import html_to_text
from fe_mail.message.parameters import decoded_parameter
from fe_mail.message.scanner import scan_message
from fe_mail.message.sorting import sort_values
from fe_mail.message.transfer import decode_body
from fe_mail.message.words import decode_octets, decode_words
from fe_mail.model.structure import Digest, Part

__all__ = ["MAX_TEXT_OCTETS", "MIN_ATTACHMENT_OCTETS", "attachment_name", "digest", "leaves"]

# Transferred octets of text parts that are decoded for ``Digest.text``, in all.
MAX_TEXT_OCTETS = 4 << 20
# A body smaller than this is not worth storing apart from its message.
MIN_ATTACHMENT_OCTETS = 4_096
# Octets of one field that are decoded for ``Digest.header``.
MAX_FIELD_TEXT_OCTETS = 64 * 1024

PREVIEW_CHARACTERS = 256

_SIGNATURES = frozenset({b"pgp-signature", b"pkcs7-signature", b"x-pkcs7-signature"})


def digest(raw: bytes) -> Digest:
    """Scan a message and read what lists, searches and IMAP need."""
    structure, fields = scan_message(raw)
    envelope = parse_envelope(fields)
    sent = parse_date(envelope.date or b"")
    parts = tuple(leaves(structure))
    text = _readable_text(raw, parts)
    subject = decode_words((envelope.subject or b"")[:MAX_FIELD_TEXT_OCTETS])
    return Digest(
        envelope=envelope,
        structure=structure,
        header=header_text(fields),
        text=text,
        subject=subject,
        preview=preview(text),
        sort=sort_values(envelope, subject, fields),
        sent_at=sent.seconds if sent else 0.0,
        sent_day=sent.day if sent else 0,
        has_attachment=any(_is_attachment(part) for part in parts),
        attachments=tuple(
            (part.body_start, part.body_end)
            for part in parts
            if part.type not in (b"text", b"message", b"multipart")
            and part.size_octets >= MIN_ATTACHMENT_OCTETS
        ),
    )


def header_text(fields: Sequence[HeaderField]) -> str:
    """All fields decoded and unfolded, one ``Name: value`` a line."""
    return "".join(
        f"{field.name.decode('ascii', 'replace')}: "
        f"{decode_words(field.value[:MAX_FIELD_TEXT_OCTETS])}\n"
        for field in fields
    )


def preview(text: str) -> str:
    """How a text begins, on one line (RFC 8621 §4.1.4)."""
    return " ".join(text[: 4 * PREVIEW_CHARACTERS].split())[:PREVIEW_CHARACTERS]


def leaves(part: Part) -> Iterator[Part]:
    """The part and all below it that carry content: leaves, and messages before theirs."""
    if not part.is_multipart:
        yield part
    for child in part.parts:
        yield from leaves(child)


def attachment_name(part: Part) -> str:
    """The file name of a part, decoded; empty if it has none."""
    params = part.disposition[1] if part.disposition else ()
    return decoded_parameter(params, b"filename") or decoded_parameter(part.params, b"name") or ""


def _is_attachment(part: Part) -> bool:
    if part.disposition and part.disposition[0] == b"attachment":
        return True
    if part.type in (b"text", b"multipart") or part.subtype in _SIGNATURES:
        return False
    if part.is_message:
        return True
    return part.content_id is None or (
        bool(part.disposition) and part.type not in (b"image", b"message")
    )


def _readable_text(raw: bytes, parts: Sequence[Part]) -> str:
    pieces: list[str] = []
    left = MAX_TEXT_OCTETS
    for part in parts:
        if left <= 0:
            break
        if part.is_message and part.parts:
            inner = raw[part.body_start : min(part.parts[0].body_start, part.body_start + left)]
            pieces.append(header_text(header_fields(inner)))
            left -= len(inner)
        elif part.type == b"text":
            pieces.append(_part_text(raw, part, left))
            left -= min(part.size_octets, left)
    return "\n".join(pieces)


def _part_text(raw: bytes, part: Part, max_octets: int) -> str:
    octets = decode_body(raw, part.encoding, part.body_start, part.body_end, max_octets)
    charset = (part.param(b"charset") or b"utf-8").decode("ascii", "replace")
    text = decode_octets(octets, charset).replace("\0", " ")
    return html_to_text(text) if part.subtype in (b"html", b"xhtml+xml") else text
