"""
Tag lists, as DKIM keys and DMARC policies are written: ``v=DKIM1; k=rsa; p=…``.

Values are kept without white space around them. A tag twice, or one without a value behind ``=``,
makes a list that verifiers refuse. RFC 6376 §3.2; RFC 7489 §6.4.
"""

import re
from collections.abc import Mapping

import attrs

__all__ = ["TagList", "read_tags"]

MAX_TAGS = 50

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@attrs.frozen
class TagList:
    """The tags in their order, and whether verifiers can read all of them."""

    tags: Mapping[str, str]
    is_valid: bool

    def get(self, name: str, default: str = "") -> str:
        """A value; the default if the tag is absent."""
        return self.tags.get(name, default)

    def begins_with(self, name: str, value: str) -> bool:
        """Is it the first tag, with this value?"""
        return next(iter(self.tags.items()), ("", "")) == (name, value)

    @property
    def names(self) -> tuple[str, ...]:
        """The tags that are there."""
        return tuple(self.tags)


def read_tags(text: str) -> TagList:
    """Whatever the text is."""
    tags: dict[str, str] = {}
    is_valid = True
    items = [item.strip() for item in text.split(";", MAX_TAGS)]
    if items and not items[-1]:
        items.pop()
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        is_valid = is_valid and bool(equals) and bool(_NAME.match(name)) and name not in tags
        tags.setdefault(name, value)
    return TagList(tags, is_valid)
