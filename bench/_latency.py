"""Latencies of one turn, as the questions about many tasks at once report them: quantiles, in nanoseconds.

Called by `mixed.py` and `ticker.py`.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from _harness import Measure

P50: Final[Measure] = "p50"
P99: Final[Measure] = "p99"
LONGEST: Final[Measure] = "longest"


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest of the values that so great a part of them does not exceed.

    Args:
        ordered: At least one value, smallest first.
        part: More than 0, at most 1.
    """
    return ordered[max(0, ceil(part * len(ordered)) - 1)]


def summary(latencies: Sequence[float]) -> dict[Measure, float]:
    """Return median, 99th percentile and longest of at least one value."""
    ordered = sorted(latencies)
    return {P50: quantile(ordered, 0.5), P99: quantile(ordered, 0.99), LONGEST: ordered[-1]}
