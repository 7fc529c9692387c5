"""Shares of a difference that do not depend on the order in which its factors are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from math import factorial

Value = Callable[..., Fraction]


def shapley(value: Value, before: Sequence[Fraction], after: Sequence[Fraction]) -> list[Fraction]:
    """Split ``value(*after) - value(*before)`` among its factors.

    Each factor's share is its effect when it alone is moved from before to after, averaged over all orders in which the
    factors can be moved (L. S. Shapley, "A Value for n-Person Games", 1953). For a product of two factors that is the
    change of one times the mean of the other: ``Δ(n·s) = Δn·(s0 + s1)/2 + Δs·(n0 + n1)/2``.

    Args:
        value: The quantity as a function of its factors.
        before: The factors before, at most a handful: the work grows with the factorial of their number.
        after: The factors after.

    Returns:
        The shares, one a factor. They add up exactly to the difference.
    """
    shares = [Fraction(0)] * len(before)
    for order in permutations(range(len(before))):
        factors = list(before)
        standing = value(*factors)
        for moved in order:
            factors[moved] = after[moved]
            reached = value(*factors)
            shares[moved] += reached - standing
            standing = reached
    return [share / factorial(len(before)) for share in shares]


def product(*factors: Fraction) -> Fraction:
    """The product of the factors, as a value for :func:`shapley`."""
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result
