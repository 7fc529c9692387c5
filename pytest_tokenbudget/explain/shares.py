"""Splits a difference among its reasons, and rounds the shares so that the sum stays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from math import factorial

from pytest_tokenbudget.explain.phrases import say_tokens

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


@dataclass(frozen=True, slots=True)
class Share:
    """One reason and its exact share of a metric's difference.

    Attributes:
        part: As in :class:`~pytest_tokenbudget.records.composition.Cause`.
        name: Tool or stage name, else ``""``.
        delta: Its share, exact, in the metric's unit.
        text: The reason in words.
        stage: Path of the stage in which it lies.
        details: What it consists of, by word: shown behind the text, largest first.
    """

    part: str
    name: str
    delta: Fraction
    text: str
    stage: str = ""
    details: tuple[tuple[str, Fraction], ...] = ()

    def scaled(self, factor: Fraction) -> Share:
        """The same reason in another unit."""
        return replace(
            self, delta=self.delta * factor, details=tuple((word, size * factor) for word, size in self.details)
        )

    @property
    def words(self) -> str:
        """Text and, where there are several, the largest details."""
        shown = [(word, size) for word, size in merge_details(self.details) if abs(size) >= 1][:3]
        if len(shown) < 2:
            return self.text
        return f"{self.text}: {', '.join(f'{say_tokens(size)} {word}' for word, size in shown)}"


def merge_details(details: Iterable[tuple[str, Fraction]]) -> list[tuple[str, Fraction]]:
    """Details of the same word added up, the largest first."""
    sums: dict[str, Fraction] = {}
    for word, size in details:
        sums[word] = sums.get(word, Fraction(0)) + size
    return sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))


def merge_shares(shares: Iterable[Share]) -> list[Share]:
    """Shares of the same stage, part and name become one, with the text of the larger."""
    found: dict[tuple[str, str, str], Share] = {}
    for share in shares:
        key = (share.stage, share.part, share.name)
        other = found.get(key)
        if other is None:
            found[key] = share
            continue
        first = share if abs(share.delta) > abs(other.delta) else other
        found[key] = replace(first, delta=share.delta + other.delta, details=(*other.details, *share.details))
    return list(found.values())


def round_whole(deltas: Sequence[Fraction], total: int) -> list[int]:
    """Round shares to whole numbers that add up to ``total`` (largest remainder).

    Args:
        deltas: Exact shares that add up to ``total``.
        total: Their sum.

    Returns:
        One whole number a share, less than 1 away from it. Of equal remainders the first is rounded up.
    """
    floors = [math.floor(delta) for delta in deltas]
    missing = total - sum(floors)
    by_remainder = sorted(range(len(deltas)), key=lambda i: (floors[i] - deltas[i], i))
    for index in by_remainder[:missing]:
        floors[index] += 1
    return floors


def round_floats(deltas: Sequence[Fraction], total: Fraction) -> list[float]:
    """Round shares to floats whose sum, added up in any order, is ``total`` to the last digit where floats can do that.

    All but the smallest are rounded to a multiple of one power of two that is coarse enough for every partial sum to be
    exact; the smallest takes the rest.

    Args:
        deltas: Exact shares that add up to ``total``.
        total: Their sum.

    Returns:
        One float a share.
    """
    if not deltas:
        return []
    size = sum(abs(delta) for delta in deltas)
    step = Fraction(2) ** (math.frexp(float(size))[1] - 52)
    rounded = [round(delta / step) * step for delta in deltas]
    smallest = min(range(len(deltas)), key=lambda i: (abs(deltas[i]), i))
    rounded[smallest] += total - sum(rounded)
    return [float(value) for value in rounded]
