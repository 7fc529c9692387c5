"""The statistics that a gate may ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

LEVELS: dict[str, Fraction] = {
    "p50": Fraction(1, 2),
    "p75": Fraction(3, 4),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "max": Fraction(1),
}
"""Level of each quantile; ``max`` is the quantile at 1."""


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


def statistic(values: Sequence[float], name: str) -> float:
    """The statistic ``name`` (``mean``, ``p50``, ``p75``, ``p90``, ``p95``, ``p99`` or ``max``) of at least one value.

    Raises:
        ValueError: if there are no values, or the name is unknown.
    """
    if not values:
        msg = f"the {name} of no values is not defined"
        raise ValueError(msg)
    if name == "mean":
        return math.fsum(values) / len(values)
    return quantile(sorted(values), level_of(name))


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
