"""The exact one-sided Mann-Whitney test."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

_EXACT_UP_TO = 2500


@lru_cache(maxsize=512)
def _tails(m: int, n: int) -> tuple[float, ...]:
    """P(U >= u) for u = 0 .. mn when both samples come from one continuous distribution.

    The counts of orderings are the coefficients of the Gaussian binomial coefficient (Mann and Whitney, *Ann. Math.
    Stat.* 18:50, 1947), built up factor by factor in integers.
    """
    counts = [1]
    for i in range(1, n + 1):
        shift = m + i
        product = counts + [0] * shift
        for k, count in enumerate(counts):
            product[k + shift] -= count
        for k in range(i, len(product)):
            product[k] += product[k - i]
        counts = product[: m * i + 1]
    total = math.comb(m + n, n)
    tails = []
    running = 0
    for count in reversed(counts):
        running += count
        tails.append(running / total)
    return tuple(reversed(tails))


def wins(base: Sequence[float], new: Sequence[float]) -> int:
    """Mann and Whitney's U: pairs in which the new value is the larger one. Ties count as losses.

    Args:
        base: Ascending values.
        new: Ascending values.
    """
    return sum(bisect_left(base, value) for value in new)


def mann_whitney(base: Sequence[float], new: Sequence[float]) -> float:
    """p-value against ``new`` not being larger than ``base``, whatever the distribution.

    Exact and one-sided. Ties are broken against the alternative, so they make the test conservative. Above a size of
    2,500 pairs the normal approximation with continuity correction is used.

    Args:
        base: Ascending values of the baseline.
        new: Ascending new values.

    Returns:
        The p-value; 1.0 where a sample is empty.
    """
    m, n = len(base), len(new)
    if not m or not n:
        return 1.0
    u = wins(base, new)
    if m * n <= _EXACT_UP_TO:
        return _tails(m, n)[u] if m >= n else _tails(n, m)[u]
    z = (u - 0.5 - 0.5 * m * n) / math.sqrt(m * n * (m + n + 1) / 12.0)
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def smallest_p(m: int, n: int) -> float:
    """The smallest p-value that two samples of these sizes can give: complete separation."""
    return 1.0 / math.comb(m + n, n)
