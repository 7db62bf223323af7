"""
Records beside the messages of a mailbox: calendars, contacts, scripts, subscriptions and states.

A *collection* has a kind ("calendar", "sieve", ...) and a name; an *item* in it has a name,
octets that nobody here looks into, an ETag, and values that it is found by. Changes of items have
ModSeqs out of the mailbox's one counter, so that mail and records can be synchronized alike.
RFC 6578 (what ``RecordChanges`` must tell), RFC 9110 §13.1 (preconditions), RFC 8620 §5.2.
"""

from collections.abc import Mapping

import attrs

__all__ = ["Collection", "Item", "NewItem", "Range", "RecordChanges", "Removal", "Updated"]


@attrs.frozen(kw_only=True)
class Collection:
    """A collection without its items. Its id is never used again."""

    id: int
    kind: str
    name: str
    properties: Mapping[str, str]
    modseq: int  # of its latest change
    items: int
    size_octets: int


@attrs.frozen(kw_only=True)
class Item:
    """A stored item; ``octets`` is None where only the rest was asked for, or was too much."""

    name: str
    etag: str  # the same as long as the octets are
    modseq: int
    size_octets: int
    octets: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class NewItem:
    """
    An item to be stored, if its precondition holds.

    ``values`` are pairs of key and value; a key may have several. Values compare as text: who
    wants numbers or times pads them.
    """

    name: str
    octets: bytes = attrs.field(repr=False)
    values: tuple[tuple[str, str], ...] = ()
    if_match: str | None = None  # only if the item is there with this ETag
    if_absent: bool = False  # only if there is none (If-None-Match: *)


@attrs.frozen(kw_only=True)
class Removal:
    """An item to be removed, if it has this ETag, or any."""

    name: str
    if_match: str | None = None


@attrs.frozen(kw_only=True)
class Updated:
    """The collection is at ``modseq``; ``items`` are those that were put, in their order."""

    modseq: int
    items: tuple[Item, ...] = ()


@attrs.frozen(kw_only=True)
class RecordChanges:
    """
    Everything in one collection after a ModSeq, as of ``modseq``.

    ``gone`` are the names of items that are not there any more. When that is forgotten already,
    ``is_complete`` is False: only who compares all items knows what went.
    """

    modseq: int
    changed: tuple[Item, ...] = ()
    gone: tuple[str, ...] = ()
    is_complete: bool = True


@attrs.frozen(kw_only=True)
class Range:
    """Items that have a value of this key between the two, both inclusive; None: no bound."""

    key: str
    low: str | None = None
    high: str | None = None
