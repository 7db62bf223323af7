"""Rules that every store of records keeps: names, sizes, counts. Names are in Unicode NFC."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fe_mail.model.errors import Invalid, TooBig
from fe_mail.model.records import NewItem, Range, Removal

__all__ = [
    "COLLECTIONS_MAX",
    "ITEMS_MAX",
    "PAGE_MAX",
    "READ_OCTETS_MAX",
    "check_properties",
    "check_ranges",
    "check_update",
    "record_name",
]

COLLECTIONS_MAX: Final = 1_000  # of one mailbox
ITEMS_MAX: Final = 100_000  # of one collection
UPDATE_ITEMS_MAX: Final = 1_000  # of one update
ITEM_OCTETS_MAX: Final = 20 * 1024 * 1024
NAME_OCTETS_MAX: Final = 500
PROPERTIES_OCTETS_MAX: Final = 64 * 1024  # of one collection, names included
VALUES_MAX: Final = 500  # of one item
VALUE_OCTETS_MAX: Final = 1_000  # of one value, or of its key
RANGES_MAX: Final = 20  # of one query
READ_OCTETS_MAX: Final = 32 * 1024 * 1024  # of one answer
PAGE_MAX: Final = 10_000  # items of one answer

_FORBIDDEN: Final = frozenset({"Cc", "Cs"})


def record_name(name: str) -> str:
    """The normalized name of a collection, its kind, or an item."""
    name = unicodedata.normalize("NFC", name)
    if not name or any(unicodedata.category(character) in _FORBIDDEN for character in name):
        raise Invalid("A name is empty or has a character that is not allowed.", field="name")
    if len(name.encode()) > NAME_OCTETS_MAX:
        raise TooBig("A name is too long.")
    return name


def check_properties(properties: Mapping[str, str]) -> None:
    """``TooBig`` or ``Invalid`` for what no collection may have."""
    _check_text(("".join(map("".join, properties.items())),), PROPERTIES_OCTETS_MAX)


def check_update(put: Sequence[NewItem], remove: Sequence[Removal]) -> None:
    """``TooBig`` or ``Invalid`` for an update that cannot be."""
    if len(put) + len(remove) > UPDATE_ITEMS_MAX:
        raise TooBig("Too many items at once.")
    names = [record_name(item.name) for item in put]
    names += [record_name(removal.name) for removal in remove]
    if len(set(names)) < len(names):
        raise Invalid("An item is named twice.", field="name")
    for item in put:
        if len(item.octets) > ITEM_OCTETS_MAX:
            raise TooBig("The item is too big.")
        if len(item.values) > VALUES_MAX:
            raise TooBig("The item has too many values.")
        _check_text((text for pair in item.values for text in pair), VALUE_OCTETS_MAX)


def check_ranges(ranges: Sequence[Range]) -> None:
    """``TooBig`` for a query of too many ranges."""
    if len(ranges) > RANGES_MAX:
        raise TooBig("Too many ranges.")
    texts = (text for each in ranges for text in (each.key, each.low, each.high))
    _check_text((text for text in texts if text is not None), VALUE_OCTETS_MAX)


def _check_text(texts: Iterable[str], octets_max: int) -> None:
    for text in texts:
        try:
            octets = text.encode()
        except UnicodeEncodeError:
            raise Invalid("A text has a character that is not allowed.", field="values") from None
        if len(octets) > octets_max:
            raise TooBig("A text is too long.")
        if b"\0" in octets:
            raise Invalid("A text has a character that is not allowed.", field="values")
