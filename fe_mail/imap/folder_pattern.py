"""
Patterns of LIST: ``*`` matches anything, ``%`` anything but the separator (RFC 9051 §6.3.9.1).

Names are stored composed (NFC, RFC 5198 §3), so a pattern is composed before it is compared.
Matching follows all possibilities side by side, so its time is bounded by the product of the
lengths, whatever the pattern.
"""

import unicodedata

__all__ = ["matches"]


def matches(pattern: str, name: str) -> bool:
    """True if the whole name, which is in NFC, matches."""
    pattern = unicodedata.normalize("NFC", pattern)
    states = _skip(pattern, {0})
    for letter in name:
        following: set[int] = set()
        for at in states:
            if at == len(pattern):
                continue
            wild = pattern[at]
            if wild == "*" or (wild == "%" and letter != "/"):
                following.add(at)
            elif wild == letter:
                following.add(at + 1)
        states = _skip(pattern, following)
        if not states:
            return False
    return len(pattern) in states


def _skip(pattern: str, states: set[int]) -> set[int]:
    """Wildcards may match nothing."""
    reached = set(states)
    for at in states:
        while at < len(pattern) and pattern[at] in "*%":
            at += 1
            if at in reached:
                break  # somebody else goes on from there
            reached.add(at)
    return reached
