"""The moderated robust log-ratio test of two samples.

With y the logarithms of the baseline and x those of the new values, the estimate is the difference of two Huber
locations on a common scale s, which is winsorised, pooled and moderated by a prior, and::

    se^2 = deff * s^2 * (1/m + 1/n) + tau^2 * (1/S + 1)        t = e / se with nu = d0 + 0.8 (m + n - 2)

``deff`` is the design effect of correlation inside a session, ``tau`` the standard deviation of the levels of
sessions (log scale), S the number of sessions in the baseline. The factor 0.8 pays for the winsorising.

Sources: Huber and Ronchetti, *Robust Statistics*, 2009, chapters 4 and 6; Smyth, *Stat. Appl. Genet. Mol. Biol.* 3:3,
2004 (moderation); Kish, *Survey Sampling*, 1965 (design effect). The parameters come from simulations, see
``docs/statistics.md``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_tokenbudget.stats.distributions import digamma, inverse_trigamma, tail, trigamma, upper_quantile
from pytest_tokenbudget.stats.statistic import median

HUBER_K = 1.5
"""Huber's tuning constant: 96 % efficiency under normality (Huber and Ronchetti, *Robust Statistics*, 2009, ch. 4)."""

WINSORISED_VARIANCE = 0.9205
"""Mean of min(z^2, 4) for a standard normal z: what winsorising at two standard deviations leaves of the variance."""

STARTING_INFLATION = 1.5
"""The prior scale is multiplied by it before the first step, so that the first winsorising is a mild one."""


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


DF_PER_VALUE = 0.8
"""Degrees of freedom that a value keeps when it may be winsorised."""


@dataclass(frozen=True, slots=True)
class NoisePrior:
    """The assumptions on the noise before any value is seen.

    Attributes:
        scale: Expected standard deviation of a logarithm, s0.
        df: Observations that the expectation counts for, d0.
        deff: Design effect, variance inflation by correlation inside a session.
        tau: Standard deviation of the level from session to session, log scale; 0 for interleaved arms.
    """

    scale: float = 0.40
    df: float = 4.0
    deff: float = 1.4
    tau: float = 0.12


class LogRatio(NamedTuple):
    """Estimate of a log-ratio with its uncertainty.

    Attributes:
        estimate: Log of new over base, the known shift taken off.
        sigma: Standard deviation of a single logarithm.
        session_variance: Variance of the estimate that no number of samples removes, tau^2 (1/S + 1).
        deff: Factor of sigma^2 (1/m + 1/n) in the variance: the design effect.
        m: Baseline values.
        n: New values.
        nu: Degrees of freedom.
    """

    estimate: float
    sigma: float
    session_variance: float
    deff: float
    m: int
    n: int
    nu: float

    @property
    def error(self) -> float:
        """Standard error of the estimate."""
        return self.error_at(self.n)

    def error_at(self, n: int) -> float:
        """Standard error with ``n`` new values of the same noise (interleaved arms grow together)."""
        m = self.m if self.session_variance or self.m != self.n else n
        return math.sqrt(self.deff * self.sigma * self.sigma * (1.0 / m + 1.0 / n) + self.session_variance)

    def nu_at(self, n: int) -> float:
        """Degrees of freedom with ``n`` new values."""
        grown = n - self.n if self.session_variance or self.m != self.n else 2 * (n - self.n)
        return self.nu + DF_PER_VALUE * grown

    def p_increase(self) -> float:
        """p-value against no increase."""
        return tail(self.estimate / self.error, self.nu)

    def bound(self, level: float) -> float:
        """Upper confidence bound of the log-ratio, missed with probability ``level``; lower bound if above 0.5."""
        if level > 0.5:
            return self.estimate - upper_quantile(1.0 - level, self.nu) * self.error
        return self.estimate + upper_quantile(level, self.nu) * self.error

    def detectable(self, allowed: float, level: float, power: float = 0.8) -> float:
        """Smallest true log-ratio that would be called an increase beyond ``allowed`` with probability ``power``."""
        error = self.error
        return max(allowed, upper_quantile(level, self.nu) * error) + upper_quantile(1.0 - power, self.nu) * error


def fit(
    base: Sequence[float], new: Sequence[float], sessions: int, prior: NoisePrior, shift: float = 0.0
) -> tuple[LogRatio, list[float]]:
    """Estimate the log-ratio of two samples.

    Args:
        base: Ascending logarithms of the baseline, at least one.
        new: Ascending logarithms of the new values, at least one.
        sessions: Sessions that the baseline comes from, at least 1.
        prior: What is assumed beforehand.
        shift: Known log-ratio of the whole suite, which is taken off the estimate.

    Returns:
        The estimate, and the ascending squared deviations of all values from the median of their sample.
    """
    m, n = len(base), len(new)
    base_centre, new_centre = median(base), median(new)
    squares = [(value - base_centre) ** 2 for value in base]
    squares += [(value - new_centre) ** 2 for value in new]
    squares.sort()
    sigma = math.sqrt(moderated_variance(squares, prior.scale, prior.df))
    estimate = huber_location(new, new_centre, sigma) - huber_location(base, base_centre, sigma) - shift
    session_variance = prior.tau * prior.tau * (1.0 / sessions + 1.0)
    nu = prior.df + DF_PER_VALUE * (m + n - 2)
    return LogRatio(estimate, sigma, session_variance, prior.deff, m, n, nu), squares


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
