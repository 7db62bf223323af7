"""
Alias names that are regular expressions: ``/^(sales|info)-(.+)$/i``.

RE2 matches in time linear in the input, whatever the expression, so that nobody's alias can
stop the server (look-behind and back-references do not exist in it). Case never matters. A
recipient may hold ``$1`` .. ``$99``, the groups of the match.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import re2

from fe_mail.model.errors import Invalid

__all__ = [
    "MAX_PATTERN_LENGTH",
    "compile_pattern",
    "holds_groups",
    "is_pattern",
    "is_wildcard",
    "match_pattern",
    "substitute",
]

MAX_PATTERN_LENGTH = 400
MAX_PATTERN_MEMORY_OCTETS = 1 << 20
_SHAPE = re.compile(r"/(?P<body>.+)/(?P<flags>g|i|gi|ig)?\Z", re.DOTALL)
_GROUP = re.compile(r"\$([1-9][0-9]?)")


def is_pattern(name: str) -> bool:
    """Is the alias a regular expression?"""
    return name.startswith("/")


def is_wildcard(name: str) -> bool:
    """Does the alias take many names: as a catch-all, or as a regular expression?"""
    return name == "*" or is_pattern(name)


def holds_groups(recipient: str) -> bool:
    """Does it depend on what the expression matched?"""
    return _GROUP.search(recipient) is not None


@functools.lru_cache(maxsize=1024)
def compile_pattern(name: str) -> Any:
    """The compiled expression. ``Invalid`` when RE2 does not take it."""
    shape = _SHAPE.match(name)
    if shape is None or len(name) > MAX_PATTERN_LENGTH:
        raise Invalid(
            "A regular expression is written /expression/ with optional flags g and i.",
            field="name",
            code="INVALID_REGEX",
        )
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY_OCTETS
    try:
        return re2.compile(shape["body"], options)
    except re2.error:
        raise Invalid(
            "The regular expression is not valid in RE2.", field="name", code="INVALID_REGEX"
        ) from None


def match_pattern(name: str, local: str) -> tuple[str, ...] | None:
    """The groups of a match anywhere in ``local``, ``None`` if there is none."""
    try:
        found = compile_pattern(name).search(local)
    except Invalid:
        return None  # stored by an older, laxer version: it matches nothing
    if found is None:
        return None
    return tuple(group or "" for group in found.groups())


def substitute(recipient: str, groups: tuple[str, ...], quote: Callable[[str], str] = str) -> str:
    """Fill ``$1`` .. with the groups, each through ``quote``; missing groups are empty."""

    def group(found: re.Match[str]) -> str:
        number = int(found[1])
        return quote(groups[number - 1]) if number <= len(groups) else ""

    return _GROUP.sub(group, recipient)
