"""Location and scale that a few outliers do not move.

All functions take values in ascending order: sums over sorted values do not depend on the order in which samples
came, and the values inside an interval are a slice that :mod:`bisect` finds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

HUBER_K = 1.5
"""Huber's tuning constant: 96 % efficiency under normality (Huber and Ronchetti, *Robust Statistics*, 2009, ch. 4)."""

WINSORISED_VARIANCE = 0.9205
"""Mean of min(z^2, 4) for a standard normal z: what winsorising at two standard deviations leaves of the variance."""

STARTING_INFLATION = 1.5
"""The prior scale is multiplied by it before the first step, so that the first winsorising is a mild one."""


def median(ordered: Sequence[float]) -> float:
    """Median of ascending values, the mean of the middle two where their number is even.

    Raises:
        ValueError: if there are none.
    """
    count = len(ordered)
    if not count:
        msg = "the median of no values is not defined"
        raise ValueError(msg)
    half = count >> 1
    return ordered[half] if count & 1 else 0.5 * (ordered[half - 1] + ordered[half])


def moderated_variance(
    squares: Sequence[float], prior_scale: float, prior_df: float, *, centres: int = 2, rounds: int = 3
) -> float:
    """Variance inside samples, winsorised at two standard deviations and moderated by a prior.

    The prior counts as ``prior_df`` further observations of variance ``prior_scale**2``, which is
    the posterior mean of an inverse chi-square prior (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3:3, 2004).

    Args:
        squares: Ascending squared deviations of the values of all samples, each from the centre of its own.
        prior_scale: Scale that is expected before any value is seen, > 0.
        prior_df: What the prior counts for, > 0.
        centres: Number of samples, each of which has spent a degree of freedom on its centre.
        rounds: Steps of the iteration; three are enough.

    Returns:
        The variance; with one value in each sample it is the prior's.
    """
    count = len(squares)
    df = prior_df + count - centres
    prior = prior_df * prior_scale * prior_scale
    whole = sum(squares)
    largest = squares[-1] if count else 0.0
    variance = (STARTING_INFLATION * prior_scale) ** 2
    for _ in range(rounds):
        ceiling = 4.0 * variance
        total = whole
        if largest > ceiling:
            inside = bisect_right(squares, ceiling)
            total = sum(squares[:inside]) + (count - inside) * ceiling
        variance = (prior + total / WINSORISED_VARIANCE) / df
    return variance


def huber_location(ordered: Sequence[float], centre: float, scale: float, steps: int = 2) -> float:
    """Huber's M-estimate of location for a known scale, by a few Newton steps from ``centre``.

    Args:
        ordered: Ascending values, at least one.
        centre: Where to start: the median.
        scale: Scale, > 0.
        steps: Number of Newton steps; two bring it within rounding of the limit for samples of this size.

    Returns:
        The location.
    """
    reach = HUBER_K * scale
    count = len(ordered)
    for _ in range(steps):
        low, high = centre - reach, centre + reach
        if ordered[0] >= low and ordered[-1] <= high:
            centre = sum(ordered) / count
            continue
        first = bisect_left(ordered, low)
        last = bisect_right(ordered, high)
        inside = last - first
        if not inside:
            break
        centre += (sum(ordered[first:last]) - inside * centre + reach * (count - last - first)) / inside
    return centre
