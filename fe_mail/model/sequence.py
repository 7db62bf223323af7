"""
Sequence sets as a client writes them, before a folder gives them a meaning (RFC 9051 §9).
"""

import attrs

__all__ = ["STAR", "SequenceSet"]

STAR = 0  # "*": the highest number in use


@attrs.frozen
class SequenceSet:
    """Ranges as written, ``STAR`` for ``*``; a range may be given in either order."""

    ranges: tuple[tuple[int, int], ...]
