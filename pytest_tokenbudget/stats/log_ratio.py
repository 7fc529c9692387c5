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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_tokenbudget.stats.robust import huber_location, median, moderated_variance
from pytest_tokenbudget.stats.student import tail, upper_quantile

DF_PER_VALUE = 0.8
"""Degrees of freedom that a value keeps when it may be winsorised."""


@dataclass(frozen=True, slots=True)
class NoisePrior:
    """What is assumed of the noise before any value is seen.

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
