"""
The scanner: reads tokens of a request from left to right (RFC 9051 §9).

Every method either returns a value and moves on, or raises ``Malformed``; nothing else is
raised for any octets. Literals are taken from the request's pieces, never copied.

Harmless spellings that clients really send are understood: more spaces than one, a date with a
one-digit day in APPEND (several phones, libraries and webmails), a blank before it or quotes
around it in SEARCH, month names in any case, system flags that do not exist.
"""

import calendar
import datetime
import re
from typing import Final

from fe_mail.imap.utf7 import decode_name
from fe_mail.model.errors import Invalid
from fe_mail.model.sequence import STAR, SequenceSet

__all__ = ["BadCharset", "Malformed", "Scanner"]

MAX_RANGES: Final = 100_000  # of one sequence set
MAX_FLAGS: Final = 200  # of one flag list
MAX_FLAG_OCTETS: Final = 255
MAX_PATTERN_OCTETS: Final = 2000  # of LIST
MAX_WILDCARDS: Final = 20  # of its reference and itself
MAX_NUMBER: Final = 2**32 - 1
MAX_MODSEQ: Final = 2**63 - 1  # RFC 7162 §7

ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
LIST_PATTERN = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}")
WORD = re.compile(rb"[A-Za-z0-9.\-=+_:]+")
QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
QUOTED_PAIR = re.compile(rb"\\(.)")
LITERAL_HEAD = re.compile(rb"~?\{[0-9]{1,20}\+?\}\Z")
SPACES = re.compile(rb" +")
END = re.compile(rb" *\Z")
DIGITS = re.compile(rb"[0-9]{1,20}")
FLAG = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
SEQUENCE_SET = re.compile(
    rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?"
    rb"(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*"
)
DATE = re.compile(rb" *([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4}) *")
DATE_TIME = re.compile(
    rb'" *([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4}) +'
    rb'([0-9]{1,2}):([0-9]{2}):([0-9]{2}) +([+-])([0-9]{2})([0-9]{2}) *"'
)
MONTHS: Final = {
    name: number
    for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}

SYSTEM_FLAGS: Final = {
    name.lower(): name for name in ("\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen")
}


class Malformed(Invalid):
    """The command breaks the grammar: BAD."""

    default = "Syntax error."


class BadCharset(Malformed):
    """SEARCH in a character set that we do not have (RFC 9051 §6.4.4)."""

    default = "Only US-ASCII and UTF-8 are supported."


class Scanner:
    """A position in a request."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces = pieces
        self._index = 0
        self.text = pieces[0]
        self.at = 0

    def peek(self) -> bytes:
        """The next octet, empty at the end."""
        return self.text[self.at : self.at + 1]

    def at_end(self) -> bool:
        """Nothing is left but spaces."""
        is_last = self._index == len(self._pieces) - 1
        return is_last and END.match(self.text, self.at) is not None

    def end(self) -> None:
        """Demand the end."""
        if not self.at_end():
            raise Malformed("Unexpected text at the end of the command.")

    def accept(self, octets: bytes) -> bool:
        """Move over exactly these octets if they are next."""
        if not self.text.startswith(octets, self.at):
            return False
        self.at += len(octets)
        return True

    def expect(self, octets: bytes) -> None:
        """Demand exactly these octets."""
        if not self.accept(octets):
            raise Malformed(f"Expected {octets.decode('ascii')!r}.")

    def space(self) -> None:
        """Demand a space, and take all that follow."""
        if not self._spaces():
            raise Malformed("Expected a space.")

    def _spaces(self) -> bool:
        found = SPACES.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found is not None

    def opens(self) -> bool:
        """Demand the beginning of a parenthesized list; is there something in it?"""
        self.expect(b"(")
        self._spaces()
        return not self.accept(b")")

    def goes_on(self) -> bool:
        """Demand the end of a list, or the space before its next item: is there one?"""
        is_spaced = self._spaces()
        if self.accept(b")"):
            return False
        if not is_spaced:
            raise Malformed("Expected a space.")
        return True

    def match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """Demand a match of the pattern here."""
        found = pattern.match(self.text, self.at)
        if found is None:
            raise Malformed(f"Expected {what}.")
        self.at = found.end()
        return found

    def tag(self) -> bytes:
        """The tag of a command."""
        return self.match(TAG, "a tag")[0]

    def word(self) -> bytes:
        """A keyword of the protocol, in upper case."""
        return self.match(WORD, "a keyword")[0].upper()

    def accept_word(self, word: bytes) -> bool:
        """Move over this keyword (given in upper case) if it is next."""
        found = WORD.match(self.text, self.at)
        if found is None or found[0].upper() != word:
            return False
        self.at = found.end()
        return True

    def atom(self) -> bytes:
        """An atom."""
        return self.match(ATOM, "an atom")[0]

    def number(self, limit: int = MAX_NUMBER) -> int:
        """A number, at most ``limit``."""
        value = int(self.match(DIGITS, "a number")[0])
        if value > limit:
            raise Malformed("A number is too big.")
        return value

    def literal(self) -> bytes:
        """A literal."""
        found = self._take_literal()
        if found is None:
            raise Malformed("Expected a literal.")
        return found

    def _take_literal(self) -> bytes | None:
        index = self._index
        if index + 2 >= len(self._pieces) or not LITERAL_HEAD.match(self.text, self.at):
            return None
        self._index += 2
        self.text = self._pieces[self._index]
        self.at = 0
        return self._pieces[index + 1]

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.peek() == b'"':
            value = self.match(QUOTED, "a quoted string")[1]
            return QUOTED_PAIR.sub(rb"\1", value) if b"\\" in value else value
        value = self.literal()
        if b"\0" in value:
            raise Malformed("NUL is not allowed in a string.")
        return value

    def astring(self) -> bytes:
        """An atom or a string."""
        if self._is_at_string():
            return self.string()
        return self.match(ASTRING, "a string")[0]

    def _is_at_string(self) -> bool:
        """A ``~`` alone begins an atom: ``~/mail`` is a name of folders on many servers."""
        return self.peek() in (b'"', b"{") or self.text.startswith(b"~{", self.at)

    def nstring(self) -> bytes | None:
        """A string or NIL."""
        return None if self.accept_word(b"NIL") else self.string()

    def utf8(self) -> str:
        """An astring as text."""
        try:
            return self.astring().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("A string is not UTF-8.") from None

    def folder_name(self) -> str:
        """The name of a folder, in modified UTF-7; INBOX in any case is ``INBOX``."""
        return self._name(self.astring())

    def list_pattern(self, reference: str) -> str:
        """
        A pattern of LIST; it is matched with every name, so it has limits of its own. The
        reference goes before it, so its wildcards count, too.
        """
        if self._is_at_string():
            pattern = self.string()
        else:
            pattern = self.match(LIST_PATTERN, "a pattern")[0]
        wildcards = sum(reference.count(each) + pattern.count(each.encode()) for each in "*%")
        if len(pattern) > MAX_PATTERN_OCTETS or wildcards > MAX_WILDCARDS:
            raise Malformed("The pattern is too complex.")
        return self._name(pattern)

    def _name(self, octets: bytes) -> str:
        name = decode_name(octets)
        if name is None:
            raise Malformed("A folder name is not modified UTF-7.")
        head, slash, tail = name.partition("/")
        return "INBOX" + slash + tail if head.upper() == "INBOX" else name

    def flag(self) -> str | None:
        """
        A flag; system flags as RFC 9051 §2.3.2 spells them. None for one that nobody can set
        (\\Recent, and what is not known): PERMANENTFLAGS does not have it, so it is ignored.
        """
        flag = self.match(FLAG, "a flag")[0].decode("ascii")
        if not flag.startswith("\\"):
            if len(flag) > MAX_FLAG_OCTETS:
                raise Malformed("A flag is too long.")
            return flag
        return SYSTEM_FLAGS.get(flag.lower())

    def flags(self) -> frozenset[str]:
        """A parenthesized list of flags, or flags up to the end."""
        flags: list[str | None] = []
        is_list = self.peek() == b"("
        goes_on = self.opens() if is_list else True
        while goes_on:
            flags.append(self.flag())
            if len(flags) > MAX_FLAGS:
                raise Malformed("Too many flags.")
            goes_on = self.goes_on() if is_list else not self.at_end()
            if goes_on and not is_list:
                self.space()
        return frozenset(flag for flag in flags if flag is not None)

    def sequence_set(self) -> SequenceSet:
        """Numbers and ranges."""
        text = self.match(SEQUENCE_SET, "a sequence set")[0]
        if self.peek().isdigit() or self.peek() in (b":", b",", b"*"):
            raise Malformed("Expected a sequence set.")
        if text.count(b",") >= MAX_RANGES:
            raise Malformed("Too many ranges.")
        ranges = []
        for part in text.split(b","):
            low, colon, high = part.partition(b":")
            first = STAR if low == b"*" else int(low)
            last = first if not colon else STAR if high == b"*" else int(high)
            if first > MAX_NUMBER or last > MAX_NUMBER:
                raise Malformed("A number is too big.")
            ranges.append((first, last))
        return SequenceSet(tuple(ranges))

    def day(self) -> int:
        """A date as a proleptic ordinal."""
        text = self.string() if self._is_at_string() else self.atom()
        found = DATE.fullmatch(text)
        if found is None:
            raise Malformed("Expected a date.")
        year, month, day = _date(found[3], found[2], found[1])
        return datetime.date(year, month, day).toordinal()

    def date_time(self) -> float:
        """A quoted date-time, in seconds since the epoch."""
        found = self.match(DATE_TIME, "a date and time")
        year, month, day = _date(found[3], found[2], found[1])
        hour, minute, second = int(found[4]), int(found[5]), int(found[6])
        east, minutes = int(found[8]), int(found[9])
        if hour > 23 or minute > 59 or second > 60 or east > 23 or minutes > 59:
            raise Malformed("There is no such time.")
        offset = (east * 60 + minutes) * 60
        seconds = calendar.timegm((year, month, day, hour, minute, second))
        return float(seconds - offset if found[7] == b"+" else seconds + offset)


def _date(year: bytes, month: bytes, day: bytes) -> tuple[int, int, int]:
    number = MONTHS.get(month.lower())
    if number is None or int(year) == 0:
        raise Malformed("There is no such date.")
    if not 1 <= int(day) <= calendar.monthrange(int(year), number)[1]:
        raise Malformed("There is no such date.")
    return int(year), number, int(day)
