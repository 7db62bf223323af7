"""
The table: fe-mail beside a peer, measured in turns.

These machines are noisy and get slower or faster while a benchmark runs, so whatever is compared
is measured alternately, several rounds of it, and the ratio of the medians is what counts. The
spread is the smallest and the largest ratio of one round.
"""

import statistics
from collections.abc import Callable

__all__ = ["Report"]

Measure = Callable[[], float]


class Report:
    """Prints each row as soon as it is known. ``rounds`` of each pair."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    @staticmethod
    def head() -> str:
        """The first line."""
        return f"{'':<58} {'fe-mail':>10} {'peer':>10} {'ratio':>6}  {'spread':<12} unit"

    def compare(self, what: str, unit: str, ours: Measure, peer: Measure | None) -> None:
        """Measure both in turns; without a peer only ours."""
        pairs = [(ours(), peer() if peer else None) for _ in range(self.rounds)]
        self.add(what, unit, pairs)

    def add(self, what: str, unit: str, pairs: list[tuple[float, float | None]]) -> None:
        """A row from what was measured already, one pair for each round."""
        ours = statistics.median(mine for mine, _ in pairs)
        both = [(mine, other) for mine, other in pairs if other]
        line = f"{what:<58} {ours:>10,.1f} "
        if both:
            other = statistics.median(their for _, their in both)
            ratios = [mine / their for mine, their in both]
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
            line += f"{other:>10,.1f} {ours / other:>6.2f}  {spread:<12} {unit}"
        else:
            line += f"{'-':>10} {'-':>6}  {'-':<12} {unit}"
        print(line, flush=True)
