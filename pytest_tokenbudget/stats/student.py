"""Student's t distribution with any positive number of degrees of freedom."""

from __future__ import annotations

import math
from functools import lru_cache

from pytest_tokenbudget.stats.special import incomplete_beta

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
def t_quantile(probability: float, nu: float) -> float:
    """The value that Student's t exceeds with probability 1 - ``probability``.

    Newton's method on the tail, kept inside a bracket. Results are cached: a run asks for few different pairs.

    Args:
        probability: In (0, 1).
        nu: Degrees of freedom, > 0.

    Returns:
        The quantile, to a relative accuracy of about 1e-12.

    Raises:
        ValueError: if ``probability`` is not inside (0, 1).
    """
    if not 0.0 < probability < 1.0:
        msg = f"a quantile needs a probability between 0 and 1, not {probability}"
        raise ValueError(msg)
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -upper_quantile(probability, nu)
    return upper_quantile(1.0 - probability, nu)


@lru_cache(maxsize=4096)
def upper_quantile(level: float, nu: float) -> float:
    """The value that Student's t exceeds with probability ``level`` in (0, 0.5].

    The same as ``t_quantile(1 - level, nu)``, without the loss of digits that the subtraction costs at small levels.
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
