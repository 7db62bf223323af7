"""
How the cost of work grows with its size: a ratio, which a slow or busy machine does not change.

Time is the processor's, not the wall's, and the best of several runs; doubled input may cost three
times as much at most, where something quadratic would need four.
"""

import time
from collections.abc import Callable
from typing import Any

__all__ = ["MAX_GROWTH", "assert_linear"]

MAX_GROWTH = 3.0
NOISE_SECONDS = 0.02  # below it a comparison says nothing, and the input is not worth one
RUNS = 3


def assert_linear(case: Any, work: Callable[[int], object], size: int, what: object = "") -> None:
    """``work(size)`` costs at most three times what ``work(size // 2)`` does."""
    whole = _cost(work, size)
    if whole > NOISE_SECONDS:
        half = _cost(work, size // 2)
        case.assertLess(whole, MAX_GROWTH * max(half, NOISE_SECONDS / MAX_GROWTH), what)


def _cost(work: Callable[[int], object], size: int) -> float:
    best = float("inf")
    for _ in range(RUNS):
        began = time.process_time()
        work(size)
        best = min(best, time.process_time() - began)
    return best
