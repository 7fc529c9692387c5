"""When a wanted improvement counts."""

from __future__ import annotations

from typing import Literal

Standard = Literal["proven", "demonstrated"]


def standard_met(estimate: float, upper_99: float, upper_95: float, target: float) -> Standard | None:
    """Which standard an improvement meets.

    *demonstrated*: the estimate is at or below the target and the 99 % upper bound is below 1, so that there is an
    improvement and it looks large enough. *proven*: the 95 % upper bound is below the target, so that the improvement
    itself is large enough.

    Args:
        estimate: Ratio of new to old.
        upper_99: Its 99 % upper bound.
        upper_95: Its 95 % upper bound.
        target: 1 - R, the ratio that is wanted at most.

    Returns:
        The stronger standard that is met; ``None`` if neither is.
    """
    if estimate <= target and upper_95 < target:
        return "proven"
    if estimate <= target and upper_99 < 1.0:
        return "demonstrated"
    return None
