"""
Address lists in headers, tolerantly and strictly.

``parse_mailboxes`` reads anything into the entries that IMAP shows; broken input gives odd
entries, never an exception, and never an address that stands nowhere in the field: only what is
written together, or with a dot between (RFC 5322 §4.4), becomes one half of an address. Words in
front of one are a name. ``sole_author`` is for policy: it accepts exactly one From field with
exactly one plain address, so that what is verified is what people see.

RFC 5322 §3.4, §4.4 (obsolete forms); RFC 9051 §7.5.2 (address structure); RFC 6854 (groups).
"""

import re
from collections.abc import Iterator, Sequence

from fe_mail.message.comments import comment_end
from fe_mail.message.headers import HeaderField, unfold
from fe_mail.message.words import ENCODED_WORD
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
# Words of a name; of more of them the last ones are left out.
MAX_WORDS = 2_000
# A From field with one address and its name; read on the reactor's thread.
MAX_AUTHOR_OCTETS = 8 * 1024

# What other servers show where an address lacks a half.
MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_DOMAIN = b"MISSING_DOMAIN"

# Groups without a name must not hide what kind of token was found.
_UNNAMED = re.compile(rb"(?<!\\)\((?!\?)")
_TOKEN = re.compile(
    rb'(?P<apart>[\s)]+)?(?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)\\?"?'
    rb"|(?P<literal>\[[^\]]*\]?)"
    rb"|(?P<encoded>%s)"
    rb"|(?P<special>[<>@,;:(])"
    rb'|(?P<atom>[^\s"()\[<>@,;:]+))' % _UNNAMED.sub(b"(?:", ENCODED_WORD.pattern),
    re.DOTALL | re.ASCII,
)
# In an encoded word, where others may see an address or the end of one.
_SPECIALS = re.compile(rb'["\[<>@,;:]')
# Line ends that are no folding, and NUL.
_STRAY = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n|\r\n(?![ \t]|\Z)")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
# What most programs write, which needs no tokens: a name or none, an address, a comma or the end.
_ATOM = rb"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+"
_WORD = rb"(?:[A-Za-z0-9'_\x80-\xff-]+\.?|=\?[A-Za-z0-9-]+\?[bBqQ]\?[A-Za-z0-9+/=_.-]*\?=)"
_USUAL = re.compile(
    rb'(?:(?:"([^"\\]*)"|(%(word)b(?: %(word)b)*))?[ \t]*<(%(dots)b)@(%(dots)b)>'
    rb"|(%(dots)b)@(%(dots)b))[ \t]*(?:,[ \t]*|\Z)"
    % {b"word": _WORD, b"dots": rb"%b(?:\.%b)*" % (_ATOM, _ATOM)}
)
MAX_USUAL_OCTETS = 4096
_Token = tuple[str, bytes, bool]


def _tokens(value: bytes) -> Iterator[_Token]:
    """
    (kind, text, white space before it): ``quoted`` unescaped, ``literal``, ``special``, ``atom``,
    ``encoded``, ``comment``.
    """
    position = 0
    while match := _TOKEN.match(value, position):
        kind = match.lastgroup or "quoted"
        text = match[kind]
        position = match.end()
        if text == b"(" and kind == "special":
            position, text = _comment(value, position - 1)
            kind = "comment"
        elif kind == "quoted":
            text = _ESCAPE.sub(rb"\1", text)
        yield kind, text, match["apart"] is not None


def _comment(value: bytes, start: int) -> tuple[int, bytes]:
    """The end of the comment that begins there, and what it says."""
    end = comment_end(value, start)
    if end < 0:
        return len(value), value[start + 1 :].strip()
    return end, _ESCAPE.sub(rb"\1", value[start + 1 : end - 1]).strip()


class _Half:
    """
    One half of an address, or a phrase: words, of which those that are written together, or with
    a dot between them, are one.
    """

    def __init__(self) -> None:
        self.words: list[list[bytes]] = []
        self._is_apart = True  # what comes next begins another word

    def part(self) -> None:
        """White space."""
        self._is_apart = True

    def add(self, text: bytes) -> None:
        """A token: joined to the last word next to a dot, or around a dot that stands alone."""
        word = self.words[-1] if self.words else [b""]
        touches = not self._is_apart and (word[-1].endswith(b".") or text.startswith(b"."))
        if word == [b"."] and len(self.words) > 1 and self._is_apart:
            self.words.pop()
            self.words[-1] += [b".", text]
        elif self.words and touches:
            word.append(text)
        elif len(self.words) < MAX_WORDS:
            self.words.append([text])
        else:
            self.words[-1] = [text]  # the one in front of an @ counts
        self._is_apart = False

    def texts(self) -> list[bytes]:
        """Each word."""
        return [b"".join(word) for word in self.words]


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
        self._local = _Half()  # or the phrase, as long as no @ or < was seen
        self._domain: _Half | None = None  # not None: an @ was seen
        self._angle = False
        self._closed = False
        self._name: list[bytes] = []  # what stands before <
        self._phrase: list[bytes] = []  # the words before an address that has no <
        # Addresses in front of this one, unless a < comes: then they are its name.
        self._earlier: list[tuple[list[bytes], bytes, bytes]] = []
        self._route: list[bytes] = []
        self._comment = b""
        self._said = b""  # an address that stands where the name should

    def feed(self, kind: str, text: bytes, is_apart: bool) -> None:
        """Take one token."""
        half = self._local if self._domain is None else self._domain
        if is_apart:
            half.part()
        if kind == "special":
            self._special(text)
        elif kind == "comment":
            self._comment = text
        elif self._closed:
            self.is_clean = False  # text behind > means nothing to us
        else:
            if kind == "encoded" and _SPECIALS.search(text):
                self.is_clean = False  # others see what is in it
            half.add(text)

    def _special(self, text: bytes) -> None:
        if not self._is_expected(text):
            self.is_clean = False
        if text == b"<":
            self._open_angle()
        elif text == b">":
            self._close_angle()
        elif text == b"@" and not self._closed:
            self._at()
        elif self._angle and not self._closed and self._is_route() and text in b",:":
            self._take_route()
        elif text == b",":
            self.finish_entry()
        elif text == b":":
            self._colon()
        elif text == b";":
            self.finish_entry()
            self.end_group()

    def _is_expected(self, text: bytes) -> bool:
        if text == b">":
            return self._angle and not self._closed
        return not (text == b"@" and self._closed) and not (text == b"<" and self._angle)

    def _open_angle(self) -> None:
        """Words before < are the name, also when an @ stands among them."""
        if self._angle:
            self._open_again()
            return
        words = self._local.texts()
        if self._domain is not None:
            self._said = b" ".join(words) + b"@" + b" ".join(self._domain.texts())
            words = [self._said]
        for phrase, local, domain in self._earlier:
            self._name += [*phrase, local + b"@" + domain]
        self._earlier = []
        self._name += [*self._phrase, *words]
        self._phrase, self._local, self._domain, self._angle = [], _Half(), None, True

    def _open_again(self) -> None:
        """A second <: the first was never closed, or what follows means nothing to us."""
        if self._closed:
            return
        if self._domain is not None and self._domain.words:
            self.finish_entry()
            self._open_angle()
        else:
            self._local, self._domain = _Half(), None

    def _close_angle(self) -> None:
        if self._angle:
            self._closed = True
        elif self._domain is not None:  # one that was never opened parts what is around it
            self.finish_entry()
        else:
            self._phrase += self._local.texts()
            self._local = _Half()

    def _at(self) -> None:
        """The last word so far is the local part; a second @ begins another address."""
        if self._domain is not None:
            self.is_clean = False
            self._second_at(self._domain)
        if len(self._local.words) > 1 and not self._angle:
            self._phrase += [b"".join(word) for word in self._local.words[:-1]]
            del self._local.words[:-1]
            self.is_clean = False
        self._domain = _Half()

    def _second_at(self, domain: _Half) -> None:
        """``a@b c@d`` lacks a comma; ``a@b@c`` is no address at all, and stays in one piece."""
        if len(domain.words) > 1:
            local = b" ".join(self._local.texts())
            self._earlier.append((self._phrase, local, b"".join(domain.words[0])))
            self._phrase, self._local = [], _Half()
            self._local.words = domain.words[1:]
            if len(self.found) + len(self._earlier) >= MAX_ADDRESSES:
                self._add_earlier()
            return
        if not self._local.words:
            self._local.words.append([])
        # In place: thousands of @ cost thousands.
        self._local.words[-1] += [b"@", *(domain.words[0] if domain.words else ())]

    def _is_route(self) -> bool:
        return not self._local.words and self._domain is not None

    def _take_route(self) -> None:
        if self._domain is not None and self._domain.words:
            self._route.append(b"@" + self._domain.texts()[0])
        self._domain = None

    def _colon(self) -> None:
        """Begins a group, or parts what does not belong together."""
        if self._angle or self._domain is not None or self._in_group:
            self.is_clean = False
            if self._angle and not self._closed and self._domain is None:
                self._local = _Half()  # mailto:
            elif self._domain is not None or not self._angle:
                self.finish_entry()
            return
        self.found.append(Mailbox(None, b" ".join(self._local.texts()), None))
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
        self._add_earlier()
        words, phrase = self._local.texts(), self._name + self._phrase
        domain = self._domain.texts() if self._domain is not None else []
        if self._angle and not words and self._domain is None:
            self._add(phrase, b"", b"")
        elif self._angle or self._domain is not None:
            local = b" ".join(words) if len(words) < MAX_WORDS else b""
            self._add(phrase, local, (domain or [b""])[0])
        elif len(words) == 1 and not phrase:
            self._add([], words[0], b"")
        elif words or phrase:  # several words without @ and < are more likely a name
            self._add(phrase + words, b"", b"")
        self._begin()

    def _add_earlier(self) -> None:
        for phrase, local, host in self._earlier:
            self._add(phrase, local, host)
        self._earlier = []

    def _is_one_address(self) -> bool:
        """Exactly one word on either side of the @, each written in one piece."""
        local = [text for word in self._local.words for text in word]
        domain = [text for word in (self._domain or _Half()).words for text in word]
        if len(local) != 1 or len(domain) != 1 or self._angle != self._closed:
            return False
        address = local[0] + b"@" + domain[0]
        return not self._said or self._said.lower() == address.lower()

    def _add(self, phrase: list[bytes], local: bytes, domain: bytes) -> None:
        name = b" ".join(phrase) or self._comment or None
        is_null = self._angle and not local and not domain and self._domain is None
        mailbox = local or (b"" if is_null else MISSING_MAILBOX)
        host = domain or (b"" if is_null else MISSING_DOMAIN)
        self.found.append(Mailbox(name, mailbox, host, b",".join(self._route) or None))


def _read(value: bytes) -> _ListReader:
    reader = _ListReader()
    for token in _tokens(value[:MAX_FIELD_OCTETS]):
        reader.feed(*token)
        if len(reader.found) >= MAX_ADDRESSES:
            break
    else:
        if len(value) <= MAX_FIELD_OCTETS:  # else the last one may be half of an address
            reader.finish_entry()
    reader.end_group()
    return reader


def parse_mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """The entries of an unfolded address list; see ``Mailbox`` for groups."""
    return _usual(value) or tuple(_read(value).found)


def _usual(value: bytes) -> tuple[Mailbox, ...]:
    """The same of a list as most programs write it, in a third of the time; empty for others."""
    found: list[Mailbox] = []
    position = 0
    while position < len(value) <= MAX_USUAL_OCTETS:
        match = _USUAL.match(value, position)
        if match is None:
            return ()
        quoted, words, local, host, bare_local, bare_host = match.groups()
        found.append(Mailbox(quoted or words, local or bare_local, host or bare_host))
        position = match.end()
    return tuple(found)


def plain_address(mailbox: Mailbox) -> Address:
    """The entry as an address. ``Invalid`` for group marks and whatever is no address."""
    local, host = mailbox.mailbox, mailbox.host
    if not local or not host or local == MISSING_MAILBOX or host == MISSING_DOMAIN:
        raise Invalid("The address is incomplete.", code="INVALID_EMAIL")
    try:
        name, domain = local.decode("utf-8"), host.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The address is not valid UTF-8.", code="INVALID_EMAIL") from None
    try:
        return parse_address(f"{name}@{domain}")
    except Invalid:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return parse_address(f'"{escaped}"@{domain}')


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
