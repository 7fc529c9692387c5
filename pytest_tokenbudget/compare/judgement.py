"""What a judgement says: a verdict, with what it rests on.

Only the verdict is computed at once. Bounds, p-value, power and the sentence that explains it are computed when they
are asked for, because most gates of most runs are fine and nobody asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_tokenbudget.compare.terms import Terms

Outcome = Literal["ok", "improved", "regression", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one gate; this class itself is the exact comparison.

    Attributes:
        verdict: ``ok``, ``improved``, ``regression`` or ``inconclusive``.
        ratio: Estimate of new over base: 1.2 is an increase by 20 %. ``inf`` over a base of 0; ``nan`` where a side
            has no values.
        n: New values.
        m: Baseline values.
        sessions: Sessions that they come from.
        more: Further new values that are wanted to decide it; 0 where it is decided or cannot be.
        note: Why it is inconclusive, where that is known at once.
        terms: The terms of the judgement.
    """

    verdict: Outcome
    ratio: float
    n: int
    m: int
    sessions: int
    terms: Terms = field(repr=False)
    more: int = 0
    note: str = ""

    @property
    def exact(self) -> bool:
        """Whether values were compared exactly, as opposed to statistically."""
        return True

    @property
    def confirmed(self) -> bool:
        """Whether drift between sessions cannot explain it: exact, or from interleaved arms."""
        return True

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a single logarithm that was assumed; ``None`` where none was."""
        return None

    @property
    def p(self) -> float | None:
        """p-value against no increase; ``None`` where none was computed."""
        return None

    @property
    def lower(self) -> float:
        """99 % lower bound of the ratio."""
        return self.ratio

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio."""
        return self.ratio

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %, as a fraction (0.35: +35 %).

        What is compared exactly sees any increase beyond the allowed one. ``inf`` where no increase can be seen,
        ``nan`` where it depends on a distribution that nothing is assumed of.
        """
        return math.inf if math.isnan(self.ratio) else float(self.terms.increase)

    @property
    def suspected(self) -> bool:
        """Whether it looks like a regression and is not decided."""
        return self.verdict == "inconclusive" and self.more > 0

    @property
    def reason(self) -> str:
        """One sentence: what would decide it where it is inconclusive, else what it rests on."""
        if self.note:
            return self.note
        if self.verdict == "inconclusive":
            return f"{count(self.more, 'more sample')} would decide it"
        return f"compared exactly: {change(self.ratio)}"


def change(ratio: float) -> str:
    """A ratio in words: ``+29.1 %``."""
    if math.isnan(ratio):
        return "unknown"
    return "from 0" if math.isinf(ratio) else f"{100.0 * (ratio - 1.0):+.1f} %"


def count(number: int, noun: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def quotient(new: float, base: float) -> float:
    """Ratio of two statistics; 1 for 0 over 0, ``inf`` over 0 else, ``nan`` where the signs make it meaningless."""
    if base < 0 or new < 0:
        return math.nan
    if base == 0:
        return 1.0 if new == 0 else math.inf
    return float(new / base)


def undecided(terms: Terms, m: int, n: int, sessions: int, note: str, more: int = 0) -> Judgement:
    """A judgement without anything to compare."""
    return Judgement("inconclusive", math.nan, n, m, sessions, terms, more, note)


def planned(terms: Terms, n: int, wanted: int | None = None) -> int:
    """Further values until the next look (or until ``wanted``), 0 where no more will be drawn."""
    if terms.fixed:
        return 0
    target = terms.plan.following(n, terms.cap) if wanted is None else wanted
    if target is None or (terms.cap is not None and target > terms.cap):
        return 0
    return max(0, target - n)


Ordered = Sequence[float]
