"""
A message as programs like it: decoded header fields, texts and attachments, ready for JSON.

The names are those that the mailparser library for Node.js made known, so that what reads its
output reads ours. Nothing here raises, whatever the bytes. What it costs is bounded by the
scanner's limits, by ``MAX_TEXT_OCTETS`` of all texts together (what is beyond is cut), and by
``MAX_CONTENT_OCTETS``: if all attachments together are bigger, as transferred, none carries its
``content``; name, type, size and checksum are there in any case.

RFC 5322 §3.6; RFC 2045; RFC 2183; RFC 2392 (Content-ID).
"""

import functools
import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence

import attrs

from fe_mail.message.addresses import MISSING_DOMAIN, MISSING_MAILBOX, parse_mailboxes
from fe_mail.message.charsets import decode_octets
from fe_mail.message.dates import format_iso_date, parse_date
from fe_mail.message.digest import MAX_TEXT_OCTETS, attachment_name, leaves, text_charset
from fe_mail.message.headers import HeaderField, field_values, first_value
from fe_mail.message.html import html_to_text
from fe_mail.message.json_pieces import Buffer, JSONValue
from fe_mail.message.scanner import scan_message
from fe_mail.message.transfer import decode_body, decoded_pieces
from fe_mail.message.words import decode_words
from fe_mail.model.structure import Mailbox, Part

__all__ = ["MAX_CONTENT_OCTETS", "parsed_message"]

MAX_CONTENT_OCTETS = 10 << 20  # of all attachments as transferred; their JSON is 2.7 times as big
MAX_REFERENCES = 1_000

_ADDRESS_FIELDS = {
    "from": b"from",
    "to": b"to",
    "cc": b"cc",
    "bcc": b"bcc",
    "replyTo": b"reply-to",
}


def parsed_message(raw: bytes, with_attachments: bool = True) -> dict[str, JSONValue]:
    """Everything; a field that the message does not have is left out."""
    structure, headers = scan_message(raw)
    fields = headers[0]
    charset = text_charset(leaves(structure))
    contents = tuple(_contents(structure))
    parsed: dict[str, JSONValue] = {
        "headers": _headers(fields, charset),
        "headerLines": [_header_line(field) for field in fields],
        "subject": decode_words(first_value(fields, b"subject") or b"", charset),
    }
    for name, key in _ADDRESS_FIELDS.items():
        if values := field_values(fields, key):
            parsed[name] = _addresses(values, charset)
    parsed.update(_identification(fields))
    parsed.update(_texts(raw, [content.part for content in contents if content.is_text]))
    if with_attachments:
        attachments = [content for content in contents if not content.is_text]
        parsed["attachments"] = _attachments(raw, attachments, charset)
    return parsed


# The header ------------------------------------------------------------------------------------


def _headers(fields: Sequence[HeaderField], charset: str) -> dict[str, JSONValue]:
    """By lower-case name: text, or a list of texts where there are several fields."""
    found: dict[str, list[str]] = {}
    for field in fields:
        name = field.key.decode("ascii", "replace")
        found.setdefault(name, []).append(decode_words(field.value, charset))
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


def _header_line(field: HeaderField) -> dict[str, JSONValue]:
    """A field as it stands, folding included."""
    line = field.raw.rstrip(b"\r\n").decode("utf-8", "replace")
    return {"key": field.key.decode("ascii", "replace"), "line": line}


def _identification(fields: Sequence[HeaderField]) -> Iterator[tuple[str, JSONValue]]:
    sent = parse_date(first_value(fields, b"date") or b"")
    if sent is not None:
        yield "date", format_iso_date(sent.seconds)
    for name, key in (("messageId", b"message-id"), ("inReplyTo", b"in-reply-to")):
        value = first_value(fields, key)
        if value is not None:
            yield name, decode_words(value)
    references = decode_words(first_value(fields, b"references") or b"").split()[:MAX_REFERENCES]
    if references:
        yield "references", references[0] if len(references) == 1 else references


def _addresses(values: Sequence[bytes], charset: str) -> dict[str, JSONValue]:
    """``value`` for programs, ``text`` and ``html`` for people."""
    entries: list[dict[str, JSONValue]] = []
    members: list[JSONValue] | None = None
    for mailbox in (entry for value in values for entry in parse_mailboxes(value)):
        if mailbox.host is None and mailbox.mailbox is None:
            members = None
        elif mailbox.host is None:
            members = []
            entries.append(
                {"name": decode_words(mailbox.mailbox or b"", charset), "group": members}
            )
        elif members is not None:
            members.append(_address(mailbox, charset))
        else:
            entries.append(_address(mailbox, charset))
    text = ", ".join(map(_shown, entries))
    return {"value": entries, "text": text, "html": html.escape(text)}


def _address(mailbox: Mailbox, charset: str) -> dict[str, JSONValue]:
    local = b"" if mailbox.mailbox == MISSING_MAILBOX else mailbox.mailbox or b""
    host = b"" if mailbox.host == MISSING_DOMAIN else mailbox.host or b""
    address = local + b"@" + host if host else local
    return {
        "address": address.decode("utf-8", "replace"),
        "name": decode_words(mailbox.name or b"", charset),
    }


def _shown(entry: Mapping[str, JSONValue]) -> str:
    group = entry.get("group")
    if isinstance(group, list):
        return f"{entry['name']}: {', '.join(map(_shown, group))};"
    if not entry["name"]:
        return str(entry["address"])
    name = str(entry["name"]).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{entry["address"]}>'


# The body --------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class _Content:
    """A part that is shown as text, or an attachment."""

    part: Part
    is_text: bool
    is_related: bool


def _contents(part: Part, is_related: bool = False) -> Iterator[_Content]:
    """The parts in order; what is inside an attached message belongs to that message."""
    if part.is_multipart:
        for child in part.parts:
            yield from _contents(child, part.subtype == b"related")
        return
    is_attached = part.disposition is not None and part.disposition[0] == b"attachment"
    is_text = part.type == b"text" and part.subtype in (b"plain", b"html") and not is_attached
    yield _Content(part=part, is_text=is_text, is_related=is_related)


def _texts(raw: bytes, parts: Sequence[Part]) -> dict[str, JSONValue]:
    """``text`` and ``html``; the former is made of the latter if need be."""
    found: dict[bytes, list[str]] = {b"plain": [], b"html": []}
    left = MAX_TEXT_OCTETS
    for part in parts:
        octets = decode_body(raw, part.encoding, part.body_start, part.body_end, left)
        left -= min(left, part.size_octets)
        charset = (part.param(b"charset") or b"").decode("ascii", "replace")
        found[part.subtype].append(decode_octets(octets, charset).removeprefix("\ufeff"))
    page = "\n".join(found[b"html"])
    text = "\n".join(found[b"plain"]) if found[b"plain"] else html_to_text(page)
    return {"text": text, "html": page if found[b"html"] else False}


def _attachments(raw: bytes, contents: Sequence[_Content], charset: str) -> list[JSONValue]:
    octets = sum(content.part.size_octets for content in contents)
    with_content = octets <= MAX_CONTENT_OCTETS
    return [_attachment(raw, content, with_content, charset) for content in contents]


def _attachment(
    raw: bytes, content: _Content, with_content: bool, charset: str
) -> dict[str, JSONValue]:
    part = content.part
    pieces = functools.partial(decoded_pieces, raw, part.encoding, part.body_start, part.body_end)
    # What mailparser calls a checksum; nobody takes it for more.
    checksum = hashlib.md5(usedforsecurity=False)
    size = 0
    for piece in pieces():
        checksum.update(piece)
        size += len(piece)
    disposition = part.disposition[0] if part.disposition else b"attachment"
    attachment: dict[str, JSONValue] = {
        "type": "attachment",
        "filename": attachment_name(part, charset) or None,
        "contentType": (part.type + b"/" + part.subtype).decode("utf-8", "replace"),
        "contentDisposition": disposition.decode("utf-8", "replace"),
        "related": content.is_related,
        "size": size,
        "checksum": checksum.hexdigest(),
    }
    if part.content_id:
        content_id = decode_words(part.content_id)
        attachment.update({"contentId": content_id, "cid": content_id.strip("<> ")})
    if with_content:
        attachment["content"] = Buffer(pieces)
    return attachment
