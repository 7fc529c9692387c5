"""Unions of time intervals."""

from __future__ import annotations

from collections.abc import Iterable


def union_length(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals.

    Args:
        intervals: Pairs ``(start, end)`` in s, in any order; overlapping and nested ones count once.

    Returns:
        s that at least one of them covers.
    """
    total = 0.0
    covered_until = float("-inf")
    for start, end in sorted(intervals):
        if end <= covered_until:
            continue
        total += end - max(start, covered_until)
        covered_until = end
    return total
