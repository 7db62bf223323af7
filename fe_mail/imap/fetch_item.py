"""
What FETCH asks for, and the grammar of it (RFC 9051 §6.4.5, §6.4.5.1; RFC 3501 §6.4.5).

``parse_items`` gives the items in the order asked for, each once, macros expanded. A section
carries the label under which its answer goes out, so formatting needs no grammar.
"""

import enum
from typing import Final

import attrs

from fe_mail.imap.scanner import MAX_NUMBER, Malformed, Scanner

__all__ = ["Attribute", "FetchItem", "Section", "SectionText", "parse_items"]

MAX_ITEMS: Final = 200  # of one FETCH
MAX_PART_DEPTH: Final = 100  # numbers of one section, 1.2.3...
MAX_HEADER_FIELDS: Final = 200  # of one HEADER.FIELDS


class Attribute(enum.Enum):
    """An item without arguments."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"
    EMAILID = b"EMAILID"  # RFC 8474 §5
    THREADID = b"THREADID"


class SectionText(enum.Enum):
    """Which text of a part."""

    ALL = b""
    HEADER = b"HEADER"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


@attrs.frozen
class Section:
    """Octets of a message: ``BODY[1.2.HEADER]<0.100>``, ``RFC822.TEXT`` ..."""

    label: bytes
    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()  # lower case
    partial: tuple[int, int] | None = None  # first octet, at most so many
    peek: bool = False


FetchItem = Attribute | Section

ATTRIBUTES: Final = {item.value: item for item in Attribute}
RFC822: Final = {
    b"RFC822": Section(b"RFC822"),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", text=SectionText.TEXT),
}
FAST: Final = (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)
MACROS: Final = {
    b"FAST": FAST,
    b"ALL": (*FAST, Attribute.ENVELOPE),
    b"FULL": (*FAST, Attribute.ENVELOPE, Attribute.BODY),
}


def parse_items(scan: Scanner) -> tuple[FetchItem, ...]:
    """The items of a FETCH: a macro, one item, or a parenthesized list."""
    if scan.peek() != b"(":
        word = scan.word()
        return MACROS.get(word) or (_item(scan, word),)
    items: list[FetchItem] = []
    goes_on = scan.opens()
    while goes_on or not items:
        items.append(_item(scan, scan.word()))
        if len(items) > MAX_ITEMS:
            raise Malformed("Too many items.")
        goes_on = scan.goes_on()
    return tuple(dict.fromkeys(items))


def _item(scan: Scanner, word: bytes) -> FetchItem:
    if word in (b"BODY", b"BODY.PEEK") and scan.accept(b"["):
        return _section(scan, peek=word == b"BODY.PEEK")
    found = ATTRIBUTES.get(word) or RFC822.get(word)
    if found is None:
        raise Malformed("Unknown item of FETCH.")
    return found


def _section(scan: Scanner, peek: bool) -> Section:
    part = _part(scan)
    text = SectionText.ALL
    fields: tuple[bytes, ...] = ()
    names = b""
    if scan.peek() != b"]":
        text = _text(scan, part)
        if text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            scan.space()
            fields, names = _fields(scan)
    elif part and scan.text[scan.at - 1 : scan.at] == b".":
        raise Malformed("A section ends with a period.")
    scan.expect(b"]")
    dot = b"." if part and text is not SectionText.ALL else b""
    label = b"BODY[" + b".".join(b"%d" % n for n in part) + dot + text.value + names + b"]"
    partial = _partial(scan)
    if partial is not None:
        label += b"<%d>" % partial[0]
    return Section(label, part, text, fields, partial, peek)


def _part(scan: Scanner) -> tuple[int, ...]:
    part: list[int] = []
    while scan.peek().isdigit():
        part.append(scan.number())
        if part[-1] == 0 or len(part) > MAX_PART_DEPTH:
            raise Malformed("There is no such part.")
        if not scan.accept(b"."):
            break
    return tuple(part)


def _text(scan: Scanner, part: tuple[int, ...]) -> SectionText:
    if part and scan.text[scan.at - 1 : scan.at] != b".":
        raise Malformed("Expected a section.")
    try:
        text = SectionText(scan.word())
    except ValueError:
        raise Malformed("Expected a section.") from None
    if text is SectionText.MIME and not part:
        raise Malformed("MIME needs a part number.")
    return text


def _fields(scan: Scanner) -> tuple[tuple[bytes, ...], bytes]:
    """Names of header fields, in lower case, and as they are echoed."""
    names: list[bytes] = []
    goes_on = scan.opens()
    while goes_on or not names:
        name = scan.astring()
        if not name or b":" in name or any(octet <= 32 or octet > 126 for octet in name):
            raise Malformed("Expected the name of a header field.")
        names.append(name)
        if len(names) > MAX_HEADER_FIELDS:
            raise Malformed("Too many header fields.")
        goes_on = scan.goes_on()
    echoed = b" ".join(map(_echo, names))
    return tuple(name.lower() for name in names), b" (" + echoed + b")"


def _echo(name: bytes) -> bytes:
    if any(octet in b'(){%*"\\]' for octet in name):
        return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return name


def _partial(scan: Scanner) -> tuple[int, int] | None:
    if not scan.accept(b"<"):
        return None
    start = scan.number()
    scan.expect(b".")
    count = scan.number(MAX_NUMBER)
    if count == 0:
        raise Malformed("A partial fetch of nothing.")
    scan.expect(b">")
    return start, count
