"""Special functions that the distributions need, to about 1e-13."""

from __future__ import annotations

import math

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
