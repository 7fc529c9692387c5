"""How a difference is shared out, exactly and whatever the order of its causes.

The tokens of a part are a product, calls times tokens a call. The Shapley value (L. S. Shapley, "A value for n-person
games", 1953) of the two factors of ``n * s`` is the mean over both orders in which they may change:
``(n1 - n0) * (s0 + s1) / 2`` for the calls and ``(s1 - s0) * (n0 + n1) / 2`` for the size. They add up to
``n1 * s1 - n0 * s0`` and neither depends on which is said to have come first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def product_shares(calls: tuple[int, int], tokens: tuple[int, int]) -> tuple[Fraction, Fraction]:
    """Share out the change of a part between the number of calls and its size in each.

    Args:
        calls: Calls before and now.
        tokens: Tokens of the part over all calls, before and now.

    Returns:
        The share of the calls and that of the size, in tokens; they add up to the change.
    """
    n0, n1 = calls
    if not n0 or not n1:
        return Fraction(0), Fraction(tokens[1] - tokens[0])
    s0, s1 = Fraction(tokens[0], n0), Fraction(tokens[1], n1)
    return (n1 - n0) * (s0 + s1) / 2, (s1 - s0) * Fraction(n0 + n1, 2)


def whole(shares: Mapping[Key, Fraction], total: int) -> dict[Key, int]:
    """Round shares to whole numbers that add up to the total, by the largest remainder.

    Args:
        shares: Shares that add up to ``total``.
        total: Their sum.
    """
    floors = {key: share.numerator // share.denominator for key, share in shares.items()}
    missing = total - sum(floors.values())
    by_remainder = sorted(shares, key=lambda key: (floors[key] - shares[key], str(key)))
    return {key: floor + (key in by_remainder[:missing]) for key, floor in floors.items()}
