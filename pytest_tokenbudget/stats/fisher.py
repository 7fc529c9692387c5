"""Fisher's exact test of two proportions, one-sided."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from pytest_tokenbudget.stats.robust import median


def fisher_exact(base_hits: int, base_count: int, new_hits: int, new_count: int) -> float:
    """P of at least ``new_hits`` hits among the new values, given all the margins (Fisher, 1935).

    Args:
        base_hits: Hits in the baseline.
        base_count: Size of the baseline.
        new_hits: Hits among the new values.
        new_count: Number of new values.

    Returns:
        The hypergeometric upper tail; 1.0 where there is nothing to compare.
    """
    hits = base_hits + new_hits
    total = math.comb(base_count + new_count, hits)
    ways = sum(
        math.comb(new_count, k) * math.comb(base_count, hits - k) for k in range(new_hits, min(hits, new_count) + 1)
    )
    return ways / total


def exceedance_of_middle(base: Sequence[float], new: Sequence[float]) -> float:
    """Fisher's test on the values above the middle of the two medians.

    Keeps a loop that sometimes runs once more, and so gives values in two clusters with hardly any spread inside
    each, from looking impossibly significant to a test that assumes one cluster.

    Args:
        base: Ascending baseline values.
        new: Ascending new values.

    Returns:
        The one-sided p-value; 1.0 where a sample is empty.
    """
    if not base or not new:
        return 1.0
    middle = 0.5 * (median(base) + median(new))
    return fisher_exact(
        len(base) - bisect_right(base, middle), len(base), len(new) - bisect_right(new, middle), len(new)
    )
