"""The statistics that a gate may ask for: the mean, quantiles and the maximum of some values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.stats.exact import as_number, rational_mean

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
