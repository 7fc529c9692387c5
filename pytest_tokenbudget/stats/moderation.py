"""Empirical Bayes: what the variances of many gates say about the variance of the next one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_tokenbudget.stats.special import digamma, inverse_trigamma, trigamma

ENOUGH_GATES = 20
"""Fewer variances than this teach nothing: their own variance is too uncertain."""

DF_RANGE = (2.0, 40.0)
"""Bounds of a learned prior's weight: never less sceptical than two values, never deaf to a gate's own values."""

SCALE_RANGE = (0.02, 1.0)
"""Bounds of a learned standard deviation of logarithms; outside lies a clock's resolution, or a broken series."""


@dataclass(frozen=True, slots=True)
class ScalePrior:
    """Prior of a standard deviation (log scale): its scale s0, and the d0 observations that it counts for."""

    scale: float
    df: float


def learn_prior(variances: Iterable[tuple[float, float]]) -> ScalePrior | None:
    """Fit a scaled F distribution to the variances of many gates.

    Moments of log s^2 (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3:3, 2004, section 6.2).

    Args:
        variances: For each gate its variance (log scale) and that variance's degrees of freedom.

    Returns:
        The prior; ``None`` where fewer than 20 gates have a positive variance on at least one degree of freedom.
    """
    usable = [(v, df) for v, df in variances if v > 0.0 and df >= 1.0 and math.isfinite(v)]
    count = len(usable)
    if count < ENOUGH_GATES:
        return None
    scores = [math.log(v) - digamma(0.5 * df) + math.log(0.5 * df) for v, df in usable]
    mean = math.fsum(scores) / count
    variance = math.fsum((score - mean) ** 2 for score in scores) / (count - 1)
    excess = variance - math.fsum(trigamma(0.5 * df) for _, df in usable) / count
    low, high = DF_RANGE
    df = high if excess <= 0.0 else min(high, max(low, 2.0 * inverse_trigamma(excess)))
    log_variance = mean + digamma(0.5 * df) - math.log(0.5 * df)
    scale = min(SCALE_RANGE[1], max(SCALE_RANGE[0], math.exp(0.5 * log_variance)))
    return ScalePrior(scale, df)
