"""Student's t distribution with any positive number of degrees of freedom, Fisher's exact test, and the functions they need."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

from pytest_tokenbudget.stats.statistic import median

_TINY = 1e-300
_EPSILON = 1e-16
_MAX_TERMS = 500
_ASYMPTOTIC_FROM = 12.0


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function, by Lentz's method as modified by Thompson and Barnett."""
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    fraction = d
    for term in range(1, _MAX_TERMS):
        twice = 2 * term
        for numerator in (
            term * (b - term) * x / ((a + twice - 1.0) * (a + twice)),
            -(a + term) * (a + b + term) * x / ((a + twice) * (a + twice + 1.0)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            step = c * d
            fraction *= step
        if abs(step - 1.0) < _EPSILON:
            break
    return fraction


def incomplete_beta(a: float, b: float, x: float, complement: float | None = None) -> float:
    """Regularised incomplete beta function I_x(a, b).

    Source: Press et al., *Numerical Recipes*, 3rd ed., section 6.4; NIST DLMF 8.17.22.

    Args:
        a: First shape, > 0.
        b: Second shape, > 0.
        x: Upper limit in [0, 1].
        complement: 1 - x where the caller knows it more exactly than the subtraction would give it.

    Returns:
        The probability in [0, 1].
    """
    y = 1.0 - x if complement is None else complement
    if x <= 0.0:
        return 0.0
    if y <= 0.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, y) / b


def digamma(x: float) -> float:
    """Derivative of log Gamma at ``x`` > 0: recurrence up, then the asymptotic series (NIST DLMF 5.11.2)."""
    value = 0.0
    while x < _ASYMPTOTIC_FROM:
        value -= 1.0 / x
        x += 1.0
    inverse = 1.0 / (x * x)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132))))
    return value + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Second derivative of log Gamma at ``x`` > 0: recurrence up, then the asymptotic series (NIST DLMF 5.15)."""
    value = 0.0
    while x < _ASYMPTOTIC_FROM:
        value += 1.0 / (x * x)
        x += 1.0
    inverse = 1.0 / (x * x)
    series = inverse * (1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse * (1 / 30 - inverse * 5 / 66))))
    return value + 1.0 / x + 0.5 * inverse + series / x


def inverse_trigamma(y: float) -> float:
    """The ``x`` > 0 at which :func:`trigamma` is ``y`` > 0, by bisection on a log scale.

    Raises:
        ValueError: if ``y`` is not positive (trigamma is positive everywhere).
    """
    if not y > 0.0:
        msg = f"trigamma never takes the value {y}"
        raise ValueError(msg)
    low, high = 1e-8, 1e8
    if y >= trigamma(low):
        return low
    if y <= trigamma(high):
        return high
    for _ in range(200):
        middle = math.sqrt(low * high)
        if middle in (low, high):
            break
        if trigamma(middle) > y:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


_NEWTON_STEPS = 100
_ACCURACY = 1e-14


def tail(t: float, nu: float) -> float:
    """Upper tail P(T > t) of Student's t.

    Through the incomplete beta function (Abramowitz and Stegun 26.7.1), so that small tails keep their relative
    accuracy.

    Args:
        t: The statistic; infinities are understood.
        nu: Degrees of freedom, > 0.

    Returns:
        The probability in [0, 1].

    Raises:
        ValueError: if ``nu`` is not positive.
    """
    if not nu > 0.0:
        msg = f"Student's t needs positive degrees of freedom, not {nu}"
        raise ValueError(msg)
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    square = t * t
    half = 0.5 * incomplete_beta(0.5 * nu, 0.5, nu / (nu + square), square / (nu + square))
    return half if t >= 0.0 else 1.0 - half


def _density(t: float, nu: float) -> float:
    log_density = (
        math.lgamma(0.5 * (nu + 1.0))
        - math.lgamma(0.5 * nu)
        - 0.5 * math.log(nu * math.pi)
        - 0.5 * (nu + 1.0) * math.log1p(t * t / nu)
    )
    return math.exp(log_density)


@lru_cache(maxsize=4096)
def upper_quantile(level: float, nu: float) -> float:
    """The value that Student's t exceeds with a small probability, to a relative accuracy of about 1e-12.

    Newton's method on the tail, kept inside a bracket. Results are cached: a run asks for few different pairs.

    Args:
        level: The probability, in (0, 0.5].
        nu: Degrees of freedom, > 0.

    Raises:
        ValueError: if ``level`` is out of its range.
    """
    if not 0.0 < level <= 0.5:
        msg = f"an upper quantile needs a level in (0, 0.5], not {level}"
        raise ValueError(msg)
    low, high = 0.0, 1.0
    while tail(high, nu) > level and high < 1e150:
        low, high = high, high * 2.0
    t = 0.5 * (low + high)
    for _ in range(_NEWTON_STEPS):
        excess = tail(t, nu) - level
        if excess > 0.0:
            low = t
        else:
            high = t
        density = _density(t, nu)
        following = t + excess / density if density > 0.0 else low
        if not low < following < high:
            following = 0.5 * (low + high)
        if abs(following - t) <= _ACCURACY * max(1.0, abs(following)):
            return following
        t = following
    return t


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
