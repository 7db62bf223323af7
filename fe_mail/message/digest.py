"""
Everything about a message that is computed once, at arrival.

``digest`` never raises. What it costs is bounded by the constants below and by those of the
scanner: of a message of 50 MB only the headers and ``MAX_TEXT_OCTETS`` of its texts are looked
at in Python. A search therefore sees the first 4 MiB (as transferred) of all text together,
which is more than any letter; beyond that only a raw scan would find words. Text is also what is
made of fields for people and programs to read: reports (message/delivery-status and the like) and
returned headers. ``mime`` is what only TEXT searches: the header fields of the parts.

Whoever changes how messages are read raises ``READING``: stores then read again what they keep.

RFC 9051 §6.4.4 (what BODY and TEXT search), §7.5.2; RFC 2183 (attachments); RFC 3464, RFC 8098,
RFC 5965 (reports); RFC 8621 §4.1.4.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from fe_mail.message.charsets import codec_of, decode_octets
from fe_mail.message.dates import parse_date
from fe_mail.message.envelope import parse_envelope
from fe_mail.message.headers import HeaderField
from fe_mail.message.html import html_to_text
from fe_mail.message.parameters import decoded_parameter
from fe_mail.message.scanner import Headers, scan_message
from fe_mail.message.sorting import sort_values
from fe_mail.message.transfer import decode_body
from fe_mail.message.words import decode_words
from fe_mail.model.structure import Digest, Part

__all__ = [
    "MAX_TEXT_OCTETS",
    "MIN_ATTACHMENT_OCTETS",
    "READING",
    "attachment_name",
    "digest",
    "leaves",
    "text_charset",
]

# The number of this way of reading; what was kept of another one is out of date.
READING = 2
# Transferred octets of text parts that are decoded for ``Digest.text``, in all.
MAX_TEXT_OCTETS = 4 << 20
# A body smaller than this is not worth storing apart from its message.
MIN_ATTACHMENT_OCTETS = 4_096
# Octets of headers of parts behind which no more of them are decoded for ``Digest.mime``.
MAX_MIME_OCTETS = 1 << 20
# Octets of the Subject field that are shown.
MAX_SUBJECT_OCTETS = 64 * 1024

PREVIEW_CHARACTERS = 256

_FOLDING = re.compile(rb"\r?\n(?=[ \t])")
_LINE = re.compile(rb"[^\r\n]+")
_SIGNATURES = frozenset({b"pgp-signature", b"pkcs7-signature", b"x-pkcs7-signature"})


def digest(raw: bytes) -> Digest:
    """Scan a message and read what lists, searches and IMAP need."""
    structure, headers = scan_message(raw)
    fields = headers[0]
    envelope = parse_envelope(fields)
    sent = parse_date(envelope.date or b"")
    parts = tuple(leaves(structure))
    text = _readable_text(raw, parts, headers)
    charset = text_charset(parts)
    subject = decode_words((envelope.subject or b"")[:MAX_SUBJECT_OCTETS], charset)
    return Digest(
        envelope=envelope,
        structure=structure,
        header=header_text(fields, charset),
        text=text,
        mime=_mime_text(structure, headers, charset),
        subject=subject,
        preview=preview(text),
        sort=sort_values(envelope, subject, fields, charset),
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


def header_text(fields: Sequence[HeaderField], charset: str = "") -> str:
    """All fields decoded and unfolded, one ``Name: value`` a line."""
    return "".join(
        f"{field.name.decode('ascii', 'replace')}: {decode_words(field.value, charset)}\n"
        for field in fields
    )


def text_charset(parts: Iterable[Part]) -> str:
    """What a message is written in, for fields of it that do not say; empty if nothing says so."""
    labels = ((part.param(b"charset") or b"").decode("ascii", "replace") for part in parts)
    return next(filter(codec_of, labels), "")


def preview(text: str) -> str:
    """How a text begins, on one line (RFC 8621 §4.1.4)."""
    return " ".join(text[: 4 * PREVIEW_CHARACTERS].split())[:PREVIEW_CHARACTERS]


def leaves(part: Part) -> Iterator[Part]:
    """The part and all below it that carry content: leaves, and messages before theirs."""
    if not part.is_multipart:
        yield part
    for child in part.parts:
        yield from leaves(child)


def attachment_name(part: Part, charset: str = "") -> str:
    """The file name of a part, decoded; empty if it has none."""
    return next(_file_names(part, charset), "")


def _file_names(part: Part, charset: str) -> Iterator[str]:
    params = part.disposition[1] if part.disposition else ()
    for among, name in ((params, b"filename"), (part.params, b"name")):
        if found := decoded_parameter(among, name, charset):
            yield found


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


def _readable_text(raw: bytes, parts: Sequence[Part], headers: Headers) -> str:
    pieces: list[str] = []
    left = MAX_TEXT_OCTETS
    for part in parts:
        if left <= 0:
            break
        if part.is_message and part.parts:
            (inner,) = part.parts
            charset = text_charset(leaves(inner))
            pieces.append(header_text(headers[inner.header_start], charset))
            left -= inner.body_start - inner.header_start
        elif part.type in (b"text", b"message"):
            pieces.append(_part_text(raw, part, left))
            left -= min(part.size_octets, left)
    return "\n".join(pieces)


def _part_text(raw: bytes, part: Part, max_octets: int) -> str:
    octets = decode_body(raw, part.encoding, part.body_start, part.body_end, max_octets)
    charset = (part.param(b"charset") or b"").decode("ascii", "replace")
    if part.type == b"message" or part.subtype == b"rfc822-headers":
        return _fields_text(octets, charset)
    text = decode_octets(octets, charset).removeprefix("\ufeff").replace("\0", " ")
    return html_to_text(text) if part.subtype in (b"html", b"xhtml+xml") else text


def _fields_text(octets: bytes, charset: str) -> str:
    """Groups of fields, as reports have them, each line unfolded and decoded."""
    lines = _LINE.findall(_FOLDING.sub(b"", octets))
    return "\n".join([decode_words(line, charset) for line in lines])


def _mime_text(root: Part, headers: Headers, charset: str) -> str:
    """The fields of all parts but the message itself, and the names of all files."""
    pieces: list[str] = []
    left = MAX_MIME_OCTETS
    for part in _below(root):
        if part is not root and left > 0:
            pieces.append(header_text(headers[part.header_start], charset))
            left -= part.body_start - part.header_start
        pieces += (f"{name}\n" for name in dict.fromkeys(_file_names(part, charset)))
    return "".join(pieces)


def _below(part: Part) -> Iterator[Part]:
    """The part and all in it, in order."""
    yield part
    for child in part.parts:
        yield from _below(child)
