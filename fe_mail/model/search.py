"""
SEARCH keys as values (RFC 9051 §6.4.4). Sequence numbers are already resolved to UIDs.

Strings match as substrings without regard to case, after decoding (RFC 9051 §6.4.4).
Days are proleptic ordinals (``datetime.date.toordinal``), compared without time zone.
"""

import attrs

__all__ = [
    "All",
    "And",
    "Before",
    "BodyContains",
    "EmailIs",
    "Flagged",
    "HeaderContains",
    "InUIDs",
    "Key",
    "Larger",
    "ModSeqSince",
    "Not",
    "On",
    "Or",
    "SentBefore",
    "SentOn",
    "SentSince",
    "Since",
    "Smaller",
    "TextContains",
    "ThreadIs",
]


@attrs.frozen
class All:
    """Every message."""


@attrs.frozen
class InUIDs:
    """The message's UID lies in one of the inclusive ranges, sorted and disjoint."""

    ranges: tuple[tuple[int, int], ...]


@attrs.frozen
class Flagged:
    """The message has the flag or keyword (compared without case)."""

    flag: str


@attrs.frozen
class HeaderContains:
    """A field of this name contains the text; empty text: the field is present."""

    name: str
    text: str


@attrs.frozen
class BodyContains:
    """The text of the body contains the text."""

    text: str


@attrs.frozen
class TextContains:
    """Header or body contains the text."""

    text: str


@attrs.frozen
class Before:
    """INTERNALDATE's day is earlier."""

    day: int


@attrs.frozen
class On:
    """INTERNALDATE's day is the same."""

    day: int


@attrs.frozen
class Since:
    """INTERNALDATE's day is the same or later."""

    day: int


@attrs.frozen
class SentBefore:
    """The Date field's day is earlier."""

    day: int


@attrs.frozen
class SentOn:
    """The Date field's day is the same."""

    day: int


@attrs.frozen
class SentSince:
    """The Date field's day is the same or later."""

    day: int


@attrs.frozen
class Larger:
    """RFC822.SIZE is greater."""

    octets: int


@attrs.frozen
class Smaller:
    """RFC822.SIZE is less."""

    octets: int


@attrs.frozen
class ModSeqSince:
    """The message's mod-sequence is at least this (RFC 7162 §3.1.5)."""

    modseq: int


@attrs.frozen
class EmailIs:
    """The message has this e-mail id (RFC 8474 §6)."""

    email_id: str


@attrs.frozen
class ThreadIs:
    """The message belongs to the thread of this id (RFC 8474 §6)."""

    thread_id: str


@attrs.frozen
class And:
    """All of them."""

    keys: tuple["Key", ...]


@attrs.frozen
class Or:
    """One of the two."""

    left: "Key"
    right: "Key"


@attrs.frozen
class Not:
    """The opposite."""

    key: "Key"


Key = (
    All
    | InUIDs
    | Flagged
    | HeaderContains
    | BodyContains
    | TextContains
    | Before
    | On
    | Since
    | SentBefore
    | SentOn
    | SentSince
    | Larger
    | Smaller
    | ModSeqSince
    | EmailIs
    | ThreadIs
    | And
    | Or
    | Not
)
