"""
Sections of a message: which octets ``BODY[1.2.HEADER]`` means (RFC 9051 §6.4.5.1, §6.4.5).

``locate`` gives a span of the raw message, found from the offsets of its parts, so a big
message is never taken apart again. ``pick_fields`` cuts header fields out byte for byte, in
their order, duplicates and folding included.
"""

import re
from typing import Final

import attrs

from fe_mail.imap.fetch_item import Section, SectionText
from fe_mail.model.structure import Outline

__all__ = ["Span", "locate", "needs_outline", "pick_fields", "wants_header_only"]

FIELD = re.compile(rb"^([^\x00-\x20:\x7f-\xff]+)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*\n?", re.MULTILINE)
HEADER_TEXTS: Final = (SectionText.HEADER, SectionText.FIELDS, SectionText.FIELDS_NOT)


@attrs.frozen
class Span:
    """Octets ``start:end`` of the raw message."""

    start: int
    end: int


def wants_header_only(section: Section) -> bool:
    """The message's own header is enough to answer."""
    return not section.part and section.text in HEADER_TEXTS


def needs_outline(section: Section) -> bool:
    """The offsets of the parts are needed."""
    return bool(section.part) or section.text is SectionText.TEXT


def locate(section: Section, root: Outline | None, size_octets: int) -> Span | None:
    """The octets of a section before fields are picked, None if there is no such part."""
    if not section.part and section.text is SectionText.ALL:
        return Span(0, size_octets)
    if root is None:
        return None
    if not section.part:
        return _of_message(root, section.text)
    part = _find(root, section.part)
    if part is None:
        return None
    if section.text is SectionText.ALL:
        return Span(part.body_start, part.body_end)
    if section.text is SectionText.MIME:
        return Span(part.header_start, part.body_start)
    if part.is_message and part.parts:
        return _of_message(part.parts[0], section.text)
    return None


def _of_message(message: Outline, text: SectionText) -> Span:
    if text is SectionText.TEXT:
        return Span(message.body_start, message.body_end)
    return Span(message.header_start, message.body_start)


def _find(root: Outline, numbers: tuple[int, ...]) -> Outline | None:
    """
    The part of a number. A part that is no multipart has exactly one, itself: number 1; below a
    message/rfc822 the numbers are those of the message in it.
    """
    part = root
    for depth, number in enumerate(numbers):
        if depth and part.is_message and part.parts:
            part = part.parts[0]
        elif depth and not part.is_multipart:
            return None
        if part.is_multipart and part.parts:
            if number > len(part.parts):
                return None
            part = part.parts[number - 1]
        elif number != 1:
            return None
    return part


def pick_fields(header: bytes, names: tuple[bytes, ...], others: bool) -> bytes:
    """The fields of these names (or all but these), then the empty line."""
    picked = [
        found[0] for found in FIELD.finditer(header) if (found[1].lower() in names) is not others
    ]
    if picked and not picked[-1].endswith(b"\n"):
        picked.append(b"\r\n")
    return b"".join(picked) + b"\r\n"
