"""Comments in structured fields, which nest (RFC 5322 §3.2.2)."""

import re

__all__ = ["comment_end"]

_PARENTHESES = re.compile(rb"\\.|[()]", re.DOTALL)


def comment_end(value: bytes, start: int) -> int:
    """Behind the comment whose parenthesis is at ``start``; -1 if it is never closed."""
    depth = 0
    for match in _PARENTHESES.finditer(value, start):
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return -1
