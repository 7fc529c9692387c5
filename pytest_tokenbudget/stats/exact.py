"""Comparison of numbers that carry no noise, in rational arithmetic.

Logarithms and floats round; a gate that allows 10 % must let 110 pass against 100 and stop 111 against 100.
"""

from __future__ import annotations

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
    """Whether ``new`` passes both ``base * (1 + increase)`` and ``base + slack``.

    A baseline of 0 is no special case: whatever is above the slack is an increase.

    Args:
        new: Value now.
        base: Value of the baseline.
        increase: Allowed relative increase.
        slack: Allowed absolute increase, in the unit of the values.
    """
    return new > base * (1 + increase) and new > base + slack


def falls_short(new: Fraction | int, base: Fraction | int, decrease: Fraction, slack: Fraction | int = 0) -> bool:
    """Whether ``new`` is below both ``base * (1 - decrease)`` and ``base - slack``."""
    return new < base * (1 - decrease) and new < base - slack
