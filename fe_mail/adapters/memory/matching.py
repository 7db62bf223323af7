"""
Search keys decided one message at a time: the specification that faster stores must agree with.

RFC 9051 §6.4.4; RFC 7162 §3.1.5 (MODSEQ). Strings are substrings without regard to case.
"""

from collections.abc import Callable
from typing import Any, Protocol

from fe_mail.adapters.mailbox_rules import day_of, fold
from fe_mail.model import search
from fe_mail.model.search import Key
from fe_mail.model.structure import Digest

__all__ = ["Matchable", "matches"]


class Matchable(Protocol):
    """What a key can ask of a message."""

    @property
    def uid(self) -> int:
        """UID."""

    @property
    def flags(self) -> frozenset[str]:
        """Flags and keywords."""

    @property
    def modseq(self) -> int:
        """Mod-sequence."""

    @property
    def received_at(self) -> float:
        """INTERNALDATE."""

    @property
    def size_octets(self) -> int:
        """RFC822.SIZE."""

    @property
    def digest(self) -> Digest:
        """Decoded header and text."""


def matches(key: Key, message: Matchable) -> bool:
    """Does the message match?"""
    return _TESTS[type(key)](key, message)


def _sent(key: Any, message: Matchable, compare: Callable[[int, int], bool]) -> bool:
    day = message.digest.sent_day
    return day > 0 and compare(day, key.day)


def _header(key: Any, message: Matchable) -> bool:
    name, needle = fold(key.name), fold(key.text)
    fields = (line.split(":", 1) for line in fold(message.digest.header).split("\n") if ":" in line)
    return any(field.strip() == name and needle in value.strip() for field, value in fields)


def _text(key: Any, message: Matchable) -> bool:
    needle = fold(key.text)
    return needle in fold(message.digest.header) or needle in fold(message.digest.text)


_TESTS: dict[type, Callable[[Any, Matchable], bool]] = {
    search.All: lambda key, m: True,
    search.InUIDs: lambda key, m: any(low <= m.uid <= high for low, high in key.ranges),
    search.Flagged: lambda key, m: key.flag.lower() in {flag.lower() for flag in m.flags},
    search.HeaderContains: _header,
    search.BodyContains: lambda key, m: fold(key.text) in fold(m.digest.text),
    search.TextContains: _text,
    search.Before: lambda key, m: day_of(m.received_at) < key.day,
    search.On: lambda key, m: day_of(m.received_at) == key.day,
    search.Since: lambda key, m: day_of(m.received_at) >= key.day,
    search.SentBefore: lambda key, m: _sent(key, m, int.__lt__),
    search.SentOn: lambda key, m: _sent(key, m, int.__eq__),
    search.SentSince: lambda key, m: _sent(key, m, int.__ge__),
    search.Larger: lambda key, m: m.size_octets > key.octets,
    search.Smaller: lambda key, m: m.size_octets < key.octets,
    search.ModSeqSince: lambda key, m: m.modseq >= key.modseq,
    search.And: lambda key, m: all(matches(part, m) for part in key.keys),
    search.Or: lambda key, m: matches(key.left, m) or matches(key.right, m),
    search.Not: lambda key, m: not matches(key.key, m),
}
