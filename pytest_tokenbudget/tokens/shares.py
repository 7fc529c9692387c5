"""Whole numbers that add up: a total split in proportion."""

from __future__ import annotations

from collections.abc import Sequence


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total in proportion to weights, by the largest remainder.

    Each share is its exact quota rounded down, and the units that are left go to the largest fractions, earlier ones
    first (Hamilton's method). A total equal to the weights' sum gives the weights back.

    Args:
        total: What to split, at least 0.
        weights: At least 0 each; where all are 0, all stands in the first share.

    Returns:
        Shares that add up to the total exactly; empty where there are no weights.
    """
    if not weights:
        return []
    whole = sum(weights)
    if whole <= 0:
        return [total, *[0] * (len(weights) - 1)]
    quotas = [divmod(total * weight, whole) for weight in weights]
    shares = [quota for quota, _ in quotas]
    missing = total - sum(shares)
    if missing:
        for index in sorted(range(len(quotas)), key=lambda at: -quotas[at][1])[:missing]:
            shares[index] += 1
    return shares
