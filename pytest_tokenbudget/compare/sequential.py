"""Plans of sequential tests: when growing samples are looked at, at which level, and when to stop.

A sequence of looks at the same growing sample would raise the rate of false alarms if each of them used the whole
level. So each look has a share of it. The shares depend on the number of new values alone, so that a caller who looks
once at n values and one who looks after each batch are both held to the level.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The looks at a growing sample.

    Attributes:
        looks: Numbers of new values at which to judge, ascending; the last one is the cap.
        level: Share of alpha of the test that assumes a model, at each look. The shares may add up to more than 1,
            because an estimate above the allowed increase is asked for as well and the guard's shares add up.
        guards: Share of alpha of the exact test that guards the model, look by look.
        passing: Probability, look by look, of calling a threefold allowed increase ``ok``.
        minimum: New values below which nothing is called a regression.
    """

    looks: tuple[int, ...]
    level: float
    guards: tuple[float, ...]
    passing: tuple[float, ...]
    minimum: int

    @property
    def cap(self) -> int:
        """The last look."""
        return self.looks[-1]

    def position(self, n: int) -> int:
        """Index of the last look that ``n`` values have reached, 0 before the first."""
        return max(0, bisect_right(self.looks, n) - 1)

    def following(self, n: int, cap: int | None = None) -> int | None:
        """The next look after ``n`` values, at most ``cap``; ``None`` where ``n`` is the last."""
        last = self.cap if cap is None else min(cap, self.cap)
        if n >= last:
            return None
        return min(self.looks[bisect_right(self.looks, n)], last)


STORED = Plan(
    looks=(1, 3, 5, 8, 12, 20),
    level=0.6,
    guards=(0.1, 0.1, 0.4, 0.2, 0.3, 0.4),
    passing=(0.025, 0.025, 0.025, 0.025, 0.025, 0.025),
    minimum=3,
)
"""Live times against a stored baseline."""

PAIRED = Plan(
    looks=(3, 5, 8, 12, 20, 30),
    level=0.6,
    guards=(0.1, 0.4, 0.2, 0.2, 0.3, 0.4),
    passing=(0.014, 0.009, 0.004, 0.002, 0.001, 0.001),
    minimum=3,
)
"""Live times of two interleaved arms. Three against three can pass, but never fail: one arrangement in twenty is
completely separated by chance."""

COUNTS = Plan(
    looks=(1, 5, 10, 20),
    level=0.4,
    guards=(0.4, 0.4, 0.4, 0.4),
    passing=(0.025, 0.025, 0.025, 0.025),
    minimum=5,
)
"""Counts that show noise."""

QUIET = Plan(looks=(1, 3), level=1.0, guards=(1.0, 1.0), passing=(0.0, 0.0), minimum=3)
"""Counts that show no noise: a suspicion is confirmed twice."""
