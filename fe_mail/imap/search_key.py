"""
The grammar of SEARCH (RFC 9051 §6.4.4; RFC 3501 §6.4.4; RFC 7162 §3.1.5).

Gives a ``Criterion``; whoever has the selected folder resolves it. Nesting and the number of
keys are limited, so that no search can exhaust the stack.
"""

import re
from collections.abc import Callable
from typing import Final

from fe_mail.imap.scanner import MAX_MODSEQ, BadCharset, Malformed, Scanner
from fe_mail.model.criteria import (
    BothOf,
    Criterion,
    EitherOf,
    InSequence,
    InUIDSet,
    NoneOf,
    Plain,
    Recent,
)
from fe_mail.model.search import (
    All,
    Before,
    BodyContains,
    EmailIs,
    Flagged,
    HeaderContains,
    Key,
    Larger,
    ModSeqSince,
    On,
    SentBefore,
    SentOn,
    SentSince,
    Since,
    Smaller,
    TextContains,
    ThreadIs,
)

__all__ = ["SearchParser"]

MAX_DEPTH: Final = 50
MAX_KEYS: Final = 1000

CHARSETS: Final = (b"US-ASCII", b"UTF-8")

FLAGS: Final = {
    b"ANSWERED": "\\Answered",
    b"DELETED": "\\Deleted",
    b"DRAFT": "\\Draft",
    b"FLAGGED": "\\Flagged",
    b"SEEN": "\\Seen",
}
FIXED: Final[dict[bytes, Criterion]] = {
    b"ALL": Plain(All()),
    b"RECENT": Recent(),
    b"OLD": NoneOf(Recent()),
    b"NEW": BothOf((Recent(), NoneOf(Plain(Flagged("\\Seen"))))),
    **{name: Plain(Flagged(flag)) for name, flag in FLAGS.items()},
    **{b"UN" + name: NoneOf(Plain(Flagged(flag))) for name, flag in FLAGS.items()},
}
DAYS: Final[dict[bytes, Callable[[int], Key]]] = {
    b"BEFORE": Before,
    b"ON": On,
    b"SINCE": Since,
    b"SENTBEFORE": SentBefore,
    b"SENTON": SentOn,
    b"SENTSINCE": SentSince,
}
SIZES: Final[dict[bytes, Callable[[int], Key]]] = {b"LARGER": Larger, b"SMALLER": Smaller}
HEADERS: Final = {
    b"BCC": "bcc",
    b"CC": "cc",
    b"FROM": "from",
    b"SUBJECT": "subject",
    b"TO": "to",
}
OBJECTS: Final[dict[bytes, Callable[[str], Key]]] = {b"EMAILID": EmailIs, b"THREADID": ThreadIs}
OBJECT_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}")  # RFC 8474 §7
TEXTS: Final[dict[bytes, Callable[[str], Key]]] = {b"BODY": BodyContains, b"TEXT": TextContains}


class SearchParser:
    """Reads one search program."""

    def __init__(self, scan: Scanner) -> None:
        self._scan = scan
        self._count = 0
        self.mentions_modseq = False

    def program(self) -> Criterion:
        """``[CHARSET name] key key ...`` to the end of the command."""
        scan = self._scan
        if scan.accept_word(b"CHARSET"):
            scan.space()
            if scan.astring().upper() not in CHARSETS:
                raise BadCharset
            scan.space()
        keys = [self._key(0)]
        while not scan.at_end():
            scan.space()
            keys.append(self._key(0))
        return keys[0] if len(keys) == 1 else BothOf(tuple(keys))

    def _key(self, depth: int) -> Criterion:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_KEYS:
            raise Malformed("The search is too complex.")
        scan = self._scan
        if scan.peek() == b"(":
            return self._list(depth + 1)
        if scan.peek().isdigit() or scan.peek() == b"*":
            return InSequence(scan.sequence_set())
        word = scan.word()
        fixed = FIXED.get(word)
        if fixed is not None:
            return fixed
        scan.space()
        return self._combined(word, depth) or Plain(self._plain(word))

    def _list(self, depth: int) -> Criterion:
        keys: list[Criterion] = []
        goes_on = self._scan.opens()
        while goes_on or not keys:
            keys.append(self._key(depth))
            goes_on = self._scan.goes_on()
        return keys[0] if len(keys) == 1 else BothOf(tuple(keys))

    def _combined(self, word: bytes, depth: int) -> Criterion | None:
        if word == b"NOT":
            return NoneOf(self._key(depth + 1))
        if word == b"OR":
            left = self._key(depth + 1)
            self._scan.space()
            return EitherOf(left, self._key(depth + 1))
        if word == b"UID":
            return InUIDSet(self._scan.sequence_set())
        if word == b"UNKEYWORD":
            return NoneOf(Plain(Flagged(self._keyword())))
        return None

    def _plain(self, word: bytes) -> Key:
        scan = self._scan
        if word in HEADERS:
            return HeaderContains(HEADERS[word], scan.utf8())
        if word in TEXTS:
            return TEXTS[word](scan.utf8())
        if word in DAYS:
            return DAYS[word](scan.day())
        if word in SIZES:
            return SIZES[word](scan.number())
        if word == b"HEADER":
            name = scan.utf8()
            scan.space()
            return HeaderContains(name.lower(), scan.utf8())
        if word in OBJECTS:
            return OBJECTS[word](self._object_id())
        if word == b"KEYWORD":
            return Flagged(self._keyword())
        if word == b"MODSEQ":
            return self._modseq()
        raise Malformed("Unknown search key.")

    def _object_id(self) -> str:
        octets = self._scan.astring()
        if not OBJECT_ID.fullmatch(octets):
            raise Malformed("Expected an object id.")
        return octets.decode("ascii")

    def _keyword(self) -> str:
        return self._scan.atom().decode("ascii")

    def _modseq(self) -> Key:
        """The entry name (a flag) is accepted and ignored: we keep one ModSeq per message."""
        scan = self._scan
        self.mentions_modseq = True
        if scan.peek() == b'"':
            scan.string()
            scan.space()
            if scan.word() not in (b"ALL", b"PRIV", b"SHARED"):
                raise Malformed("Expected ALL, PRIV or SHARED.")
            scan.space()
        return ModSeqSince(scan.number(MAX_MODSEQ))
