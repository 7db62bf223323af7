"""
Address lists in headers, tolerantly and strictly.

``parse_mailboxes`` reads anything into the entries that IMAP shows; broken input gives odd
entries, never an exception. ``sole_author`` is for policy: it accepts exactly one From field
with exactly one plain address, so that what is verified is what people see.

RFC 5322 §3.4, §4.4 (obsolete routes); RFC 9051 §7.5.2 (address structure); RFC 6854 (groups).
"""

import re
from collections.abc import Iterator, Sequence

from fe_mail.message.headers import HeaderField, unfold
from fe_mail.model.address import Address, parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.structure import Mailbox

__all__ = [
    "MAX_ADDRESSES",
    "MAX_FIELD_OCTETS",
    "parse_mailboxes",
    "plain_address",
    "sole_author",
]

# Entries of one field beyond this many are left out of the envelope.
MAX_ADDRESSES = 2_000
# No more than this much of one address field is read.
MAX_FIELD_OCTETS = 256 * 1024
# A From field with one address and its name; read on the reactor's thread.
MAX_AUTHOR_OCTETS = 8 * 1024

# What other servers show where an address lacks a half.
MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_DOMAIN = b"MISSING_DOMAIN"

_TOKEN = re.compile(
    rb'"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)\\?"?'
    rb"|(?P<literal>\[[^\]]*\]?)"
    rb"|(?P<special>[<>@,;:(])"
    rb'|(?P<atom>[^\s"()\[<>@,;:]+)',
    re.DOTALL,
)
_PARENTHESES = re.compile(rb"\\.|[()]", re.DOTALL)
# Line ends that are no folding, and NUL.
_STRAY = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n|\r\n(?![ \t]|\Z)")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_Token = tuple[str, bytes]


def _tokens(value: bytes) -> Iterator[_Token]:
    """(kind, text): ``quoted`` unescaped, ``literal``, ``special``, ``atom``, ``comment``."""
    position = 0
    while match := _TOKEN.search(value, position):
        kind = match.lastgroup or "quoted"
        text = match[kind]
        position = match.end()
        if text == b"(" and kind == "special":
            position, text = _comment(value, position)
            kind = "comment"
        elif kind == "quoted":
            text = _ESCAPE.sub(rb"\1", text)
        yield kind, text


def _comment(value: bytes, start: int) -> tuple[int, bytes]:
    """The end of a nested comment and what it says."""
    depth = 1
    for match in _PARENTHESES.finditer(value, start):
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if not depth:
            return match.end(), _ESCAPE.sub(rb"\1", value[start : match.start()]).strip()
    return len(value), value[start:].strip()


class _ListReader:
    """
    Reads one address list, token by token.

    ``is_clean`` turns False at anything that another program might read as another address.
    """

    def __init__(self) -> None:
        self.found: list[Mailbox] = []
        self.is_clean = True
        self._in_group = False
        self._begin()

    def _begin(self) -> None:
        self._words: list[bytes] = []  # of the phrase, or of the local part
        self._domain: list[bytes] | None = None  # not None: an @ was seen
        self._angle = False
        self._closed = False
        self._phrase: list[bytes] = []  # the words before <
        self._route: list[bytes] = []
        self._comment = b""
        self._said = b""  # an address that stands where the name should

    def feed(self, kind: str, text: bytes) -> None:
        """Take one token."""
        if kind == "special":
            self._special(text)
        elif kind == "comment":
            self._comment = text
        elif self._closed:
            self.is_clean = False  # text behind > means nothing to us
        elif self._domain is None:
            self._words.append(text)
        else:
            self._domain.append(text)

    def _special(self, text: bytes) -> None:
        if not self._is_expected(text):
            self.is_clean = False
        if text == b"<" and not self._angle:
            self._open_angle()
        elif text == b">":
            self._closed = self._closed or self._angle
        elif text == b"@" and not self._closed:
            self._at()
        elif self._angle and not self._closed and self._is_route() and text in b",:":
            self._take_route()
        elif text == b",":
            self.finish_entry()
        elif text == b":" and not self._angle and self._domain is None and not self._in_group:
            self._start_group()
        elif text == b";":
            self.finish_entry()
            self.end_group()

    def _is_expected(self, text: bytes) -> bool:
        if text == b">":
            return self._angle and not self._closed
        return not (text == b"@" and self._closed) and not (text == b"<" and self._angle)

    def _open_angle(self) -> None:
        """Words before < are the name, also when an @ stands among them."""
        self._phrase = self._words
        if self._domain is not None:
            self._said = b" ".join(self._words) + b"@" + b"".join(self._domain)
            self._phrase = [self._said]
        self._words, self._domain, self._angle = [], None, True

    def _at(self) -> None:
        if self._domain:
            self._words += [b"@", *self._domain]  # in place: thousands of @ cost thousands
            self.is_clean = False
        self._domain = []

    def _is_route(self) -> bool:
        return not self._words and self._domain is not None

    def _take_route(self) -> None:
        if self._domain:
            self._route.append(b"@" + b"".join(self._domain))
        self._domain = None

    def _start_group(self) -> None:
        self.found.append(Mailbox(None, b" ".join(self._words), None))
        self._in_group = True
        self._begin()

    def end_group(self) -> None:
        """Close the group that is open, if any."""
        if self._in_group:
            self.found.append(Mailbox(None, None, None))
        self._in_group = False

    def finish_entry(self) -> None:
        """Make an entry of what was collected, if anything was."""
        if not self._is_one_address():
            self.is_clean = False
        if self._angle and not self._words and self._domain is None:
            self._add(self._phrase, b"", b"")
        elif self._angle or self._domain is not None:
            self._add(self._phrase, b"".join(self._words), b"".join(self._domain or ()))
        elif len(self._words) == 1:
            self._add([], self._words[0], b"")
        elif self._words:  # several words without @ and < are more likely a name
            self._add(self._words, b"", b"")
        self._begin()

    def _is_one_address(self) -> bool:
        words, domain = self._words, self._domain or ()
        if len(words) != 1 or len(domain) != 1 or self._angle != self._closed:
            return False
        address = words[0] + b"@" + domain[0]
        return not self._said or self._said.lower() == address.lower()

    def _add(self, phrase: list[bytes], local: bytes, domain: bytes) -> None:
        name = b" ".join(phrase) or self._comment or None
        is_null = self._angle and not local and not domain and not self._domain
        mailbox = local or (b"" if is_null else MISSING_MAILBOX)
        host = domain or (b"" if is_null else MISSING_DOMAIN)
        self.found.append(Mailbox(name, mailbox, host, b",".join(self._route) or None))


def _read(value: bytes) -> _ListReader:
    reader = _ListReader()
    for kind, text in _tokens(value[:MAX_FIELD_OCTETS]):
        reader.feed(kind, text)
        if len(reader.found) >= MAX_ADDRESSES:
            break
    else:
        reader.finish_entry()
    reader.end_group()
    return reader


def parse_mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """The entries of an unfolded address list; see ``Mailbox`` for groups."""
    return tuple(_read(value).found)


def plain_address(mailbox: Mailbox) -> Address:
    """The entry as an address. ``Invalid`` for group marks and whatever is no address."""
    if not mailbox.mailbox or not mailbox.host:
        raise Invalid("The address is incomplete.", code="INVALID_EMAIL")
    try:
        local, host = mailbox.mailbox.decode("utf-8"), mailbox.host.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The address is not valid UTF-8.", code="INVALID_EMAIL") from None
    try:
        return parse_address(f"{local}@{host}")
    except Invalid:
        escaped = local.replace("\\", "\\\\").replace('"', '\\"')
        return parse_address(f'"{escaped}"@{host}')


def sole_author(fields: Sequence[HeaderField]) -> Address:
    """
    The one address of the one From field.

    ``Invalid`` when there is no From field or more than one, when it holds a group, several
    addresses or one that is not valid, and when programs might disagree about which it is.
    """
    bodies = [field.body for field in fields if field.key == b"from"]
    if len(bodies) != 1:
        raise Invalid("A message needs exactly one From field.", field="from")
    if len(bodies[0]) > MAX_AUTHOR_OCTETS:
        raise Invalid("The From field is too long.", field="from")
    reader = _read(unfold(bodies[0]))
    if len(reader.found) != 1:
        raise Invalid("The From field needs exactly one address.", field="from")
    only = reader.found[0]
    if not reader.is_clean or only.route or _STRAY.search(bodies[0]):
        raise Invalid("The From field is ambiguous.", field="from")
    if b"=?" in (only.mailbox or b""):  # some programs decode words here, against RFC 2047 §5
        raise Invalid("The From field is ambiguous.", field="from")
    return plain_address(only)
