"""The statistics that a gate may ask for, their exact comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

Number = int | float | Fraction

_DIGITS = 800
"""More than lie between the first digit of the largest double and the last one of the smallest: sums are exact."""


def rational(value: Number) -> Fraction:
    """The rational number that ``value`` is written as: 0.1 is one tenth, not the double next to it.

    Args:
        value: A finite number.

    Raises:
        ValueError: if it is not finite.
        OverflowError: if it is infinite.
    """
    if isinstance(value, float):
        return Fraction(repr(float(value)))
    return Fraction(value)


def as_number(value: Fraction) -> float | int:
    """A whole number where it is one, else the nearest float."""
    return int(value) if value.denominator == 1 else float(value)


def rational_mean(values: Sequence[Number]) -> Fraction:
    """Mean of at least one value, without rounding.

    Raises:
        ValueError: if there are none.
    """
    if not values:
        msg = "the mean of no values is not defined"
        raise ValueError(msg)
    kinds = set(map(type, values))
    if kinds == {int}:
        return Fraction(int(sum(values)), len(values))
    if kinds == {float}:
        with localcontext(prec=_DIGITS):
            return Fraction(sum(map(Decimal, map(repr, values)))) / len(values)
    return sum((rational(value) for value in values), Fraction(0)) / len(values)


def exceeds(new: Fraction | int, base: Fraction | int, increase: Fraction, slack: Fraction | int = 0) -> bool:
    """Tell whether ``new`` passes both ``base * (1 + increase)`` and ``base + slack``.

    A baseline of 0 is no special case: whatever is above the slack is an increase.

    Args:
        new: Value now.
        base: Value of the baseline.
        increase: Allowed relative increase.
        slack: Allowed absolute increase, in the unit of the values.
    """
    return new > base * (1 + increase) and new > base + slack


def falls_short(new: Fraction | int, base: Fraction | int, decrease: Fraction, slack: Fraction | int = 0) -> bool:
    """Tell whether ``new`` is below both ``base * (1 - decrease)`` and ``base - slack``."""
    return new < base * (1 - decrease) and new < base - slack


LEVELS: dict[str, Fraction] = {
    "p50": Fraction(1, 2),
    "p75": Fraction(3, 4),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "max": Fraction(1),
}
"""Level of each quantile; ``max`` is the quantile at 1."""


def mean(values: Sequence[float]) -> float | int:
    """Arithmetic mean, rounded once at the end: ``mean([0.1, 0.2])`` is 0.15.

    Args:
        values: At least one value.

    Returns:
        A whole number where all values and their mean are whole, so that ``12410`` stays ``12410``; else a float.

    Raises:
        ValueError: if there are no values.
    """
    if len(values) == 1:
        return values[0]
    exact = rational_mean(values)
    return as_number(exact) if all(isinstance(value, int) for value in values) else float(exact)


def quantile(ordered: Sequence[float], level: Fraction) -> float:
    """Quantile by nearest rank: the smallest value that at least that share of the values does not pass.

    It is always one of the values (definition 1 of Hyndman and Fan, *Am. Stat.* 50:361, 1996), so integers stay
    integers and what is exact stays exact.

    Args:
        ordered: Ascending values, at least one.
        level: In [0, 1].

    Raises:
        ValueError: if there are no values.
    """
    if not ordered:
        msg = "a quantile of no values is not defined"
        raise ValueError(msg)
    return ordered[max(1, math.ceil(len(ordered) * level)) - 1]


def statistic(values: Sequence[float], name: str) -> float | int:
    """The statistic ``name`` (``mean``, ``p50``, ``p75``, ``p90``, ``p95``, ``p99`` or ``max``) of at least one value.

    Raises:
        ValueError: if there are no values, or the name is unknown.
    """
    if not values:
        msg = f"the {name} of no values is not defined"
        raise ValueError(msg)
    return mean(values) if name == "mean" else quantile(sorted(values), level_of(name))


def level_of(name: str) -> Fraction:
    """Level of the quantile ``name``.

    Raises:
        ValueError: if there is none of that name.
    """
    level = LEVELS.get(name)
    if level is None:
        msg = f"unknown statistic {name!r}; known: mean, {', '.join(LEVELS)}"
        raise ValueError(msg)
    return level


FAMILY_LEVEL = 0.05
"""Probability that a whole clean session raises any false alarm."""

SCREENING_LEVEL = 0.15
"""p below which a gate whose estimate is above what is allowed is suspected, and sampled again.

A suspicion costs samples and nothing else, since the level of the verdict does not depend on it. At 0.05 one value of
a metric with a sigma of 0.2 would have to double before a second one is taken.
"""


def shared_level(alpha: float, family: int, family_level: float = FAMILY_LEVEL) -> float:
    """Level of one gate among ``family``: its own alpha, or its share of the family's (Bonferroni) if that is less.

    Args:
        alpha: Level of a gate that stands alone.
        family: Number of gates that are judged by statistics in the session, at least 1.
        family_level: Level of the family.
    """
    return min(alpha, family_level / max(1, family))


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
