"""Many gates in one run: how a level is shared out, and what is called out of a finished list."""

from __future__ import annotations

from collections.abc import Sequence

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


def benjamini_hochberg(p_values: Sequence[float], rate: float = FAMILY_LEVEL) -> tuple[bool, ...]:
    """Which of many tests are called while the false discovery rate stays at ``rate``.

    For a finished report of fixed samples, where nothing can be confirmed any more (Benjamini and Hochberg, *J. R.
    Stat. Soc. B* 57:289, 1995).

    Args:
        p_values: One p-value per gate.
        rate: Expected share of false ones among those that are called.

    Returns:
        For each gate, in the order given, whether it is called.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    called = 0
    for rank, index in enumerate(order, start=1):
        if p_values[index] <= rate * rank / count:
            called = rank
    chosen = set(order[:called])
    return tuple(index in chosen for index in range(count))
