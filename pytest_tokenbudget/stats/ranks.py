"""Procedures that rest on ranks alone: the exact Mann-Whitney test, and exceedance tests and bounds of quantiles."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
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


CORRELATION = 1.5
"""Calls inside one run resemble each other: 1.5 of them tell as much as one independent call."""


@lru_cache(maxsize=64)
def values_needed(level: Fraction | float, confidence: float = 0.95) -> int | None:
    """Smallest number of values whose maximum is an upper bound of the quantile at ``level``.

    All n values lie below the quantile with probability level^n (Wilks, *Ann. Math. Stat.* 12:91, 1941): 59 values
    for p95, 29 for p90, 11 for p75, 5 for p50.

    Args:
        level: Level of the quantile, in (0, 1].
        confidence: Probability with which the bound shall hold.

    Returns:
        The number; ``None`` for the maximum (level 1), which no number of values bounds.
    """
    if level >= 1:
        return None
    return max(1, math.ceil(math.log(1.0 - confidence) / math.log(float(level)) - 1e-9))


def upper_bound(ordered: Sequence[float], level: Fraction | float, confidence: float = 0.95) -> float | None:
    """Distribution-free upper bound of a quantile: the first order statistic that is above it often enough.

    Args:
        ordered: Ascending values.
        level: Level of the quantile.
        confidence: Probability with which the bound shall hold.

    Returns:
        The bound; ``None`` where there are too few values for any.
    """
    n = len(ordered)
    share = float(level)
    if share >= 1.0:
        return None
    missed = 1.0
    bound = None
    for rank in range(n, 0, -1):
        missed -= math.comb(n, rank) * share**rank * (1.0 - share) ** (n - rank)
        if missed < confidence - 1e-12:
            break
        bound = ordered[rank - 1]
    return bound


def exceedance_p(m: int, r: int, n: int, k: int) -> float:
    """P of at least ``k`` of ``n`` new values above the ``r``-th largest of ``m`` baseline values, nothing changed.

    The number of exceedances is negative hypergeometric (Gumbel and von Schelling, *Ann. Math. Stat.* 21:247, 1950)::

        sum over j >= k of C(j+r-1, j) C(n-j+m-r, n-j) / C(n+m, n)

    Args:
        m: Size of the baseline.
        r: Rank from above of the threshold, 1 <= r <= m.
        n: New values.
        k: New values above the threshold.
    """
    total = math.comb(n + m, n)
    ways = sum(math.comb(j + r - 1, j) * math.comb(n - j + m - r, n - j) for j in range(k, n + 1))
    return ways / total


def exceedance_test(
    base: Sequence[float], new: Sequence[float], level: Fraction | float, correlation: float = CORRELATION
) -> float:
    """p-value against the upper tail of ``new`` not being heavier than that of ``base``.

    All four counts are deflated by ``correlation``, the number of exceedances downwards and its threshold upwards, so
    that correlated calls do not count as independent ones.

    Args:
        base: Ascending baseline values.
        new: Ascending new values.
        level: Level of the quantile.
        correlation: Values that tell as much as one independent value.

    Returns:
        The p-value; 1.0 where a sample is empty.
    """
    m, n = len(base), len(new)
    if not m or not n:
        return 1.0
    r = max(1, round((1 - level) * m))
    threshold = base[m - r]
    k = sum(value > threshold for value in new)
    small_m, small_n = max(1, int(m / correlation)), max(1, int(n / correlation))
    small_r = min(small_m, max(1, math.ceil(r / correlation)))
    return exceedance_p(small_m, small_r, small_n, min(small_n, int(k / correlation)))
