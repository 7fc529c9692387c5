"""What a rule says of some values: one result type for all rules.

Only the verdict is computed at once. Bounds, p-value, power and the sentence that explains it are computed when they
are asked for, because most gates of most runs are fine and nobody asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pytest_tokenbudget.compare.terms import Terms
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.wording import counted

Standard = Literal["proven", "demonstrated"]


class Evidence(Protocol):
    """What a verdict rests on. Each rule has a class of its own, which computes only what is asked for."""

    @property
    def exact(self) -> bool:
        """Whether values were compared exactly, as opposed to statistically."""

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a single logarithm that was assumed; ``None`` where none was."""

    @property
    def p(self) -> float | None:
        """p-value against no increase; ``None`` where none was computed."""

    @property
    def lower(self) -> float:
        """Lower bound of the ratio."""

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio."""

    @property
    def upper_99(self) -> float:
        """99 % upper bound of the ratio."""

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %, as a fraction."""

    @property
    def suspicious(self) -> bool:
        """Whether the values look like an increase that chance would seldom make."""

    def in_words(self) -> str:
        """What a decided verdict rests on."""

    def would_decide(self) -> str:
        """What would decide it; empty where only more samples would."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on some values.

    Attributes:
        verdict: ``ok``, ``improved``, ``regression``, ``target_missed`` or ``inconclusive``.
        ratio: Estimate of new over base: 1.2 is an increase by 20 %. ``inf`` over a base of 0; ``nan`` where a side
            has no values.
        n: New values.
        m: Baseline values.
        sessions: Sessions that they come from.
        terms: The terms on which they were judged.
        evidence: What the verdict rests on.
        more: Further new values that are wanted to decide it; 0 where it is decided or cannot be.
        note: The reason, where it is known at once.
        standard: For a wanted reduction: ``proven`` or ``demonstrated``; ``None`` where neither is met.
        target: For a wanted reduction: 1 - R, the ratio that is wanted at most; else ``nan``.
        baseline_missing: Further baseline values without which no number of new ones decides it; 0 where there are enough.
    """

    verdict: Verdict
    ratio: float
    n: int
    m: int
    sessions: int
    terms: Terms = field(repr=False)
    evidence: Evidence = field(repr=False, compare=False)
    more: int = 0
    note: str = ""
    standard: Standard | None = None
    target: float = math.nan
    baseline_missing: int = 0

    @property
    def exact(self) -> bool:
        """Whether values were compared exactly, as opposed to statistically."""
        return self.evidence.exact

    @property
    def confirmed(self) -> bool:
        """Whether variation between sessions cannot explain it: exact, from interleaved arms, or a count."""
        return self.evidence.exact or self.terms.paired or self.terms.kind != "latency"

    @property
    def allowed(self) -> float:
        """Ratio that is allowed, 1 + X."""
        return 1.0 + float(self.terms.increase)

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a single logarithm that was assumed; ``None`` where none was."""
        return self.evidence.sigma

    @property
    def p(self) -> float | None:
        """p-value against no increase; ``None`` where none was computed."""
        return self.evidence.p

    @property
    def lower(self) -> float:
        """Lower bound of the ratio: 99 % for an increase, 97.5 % for a wanted reduction."""
        return self.evidence.lower

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio."""
        return self.evidence.upper

    @property
    def upper_99(self) -> float:
        """99 % upper bound of the ratio."""
        return self.evidence.upper_99

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %, as a fraction (0.35: +35 %).

        What is compared exactly sees any increase beyond the allowed one. ``inf`` where no increase can be seen,
        ``nan`` where it depends on a distribution that nothing is assumed of.
        """
        return self.evidence.detectable

    @property
    def suspected(self) -> bool:
        """Whether it looks like a regression and is not decided."""
        return self.verdict == "inconclusive" and self.evidence.suspicious

    @property
    def reason(self) -> str:
        """One sentence: what would decide it where it is inconclusive, else what it rests on."""
        if self.note:
            return self.note
        if self.verdict != "inconclusive":
            return self.evidence.in_words()
        return self.evidence.would_decide() or f"{counted(self.more, 'more sample')} would decide it"


def change(ratio: float) -> str:
    """A ratio in words: ``+29.1 %``."""
    if math.isnan(ratio):
        return "unknown"
    return "from 0" if math.isinf(ratio) else f"{100.0 * (ratio - 1.0):+.1f} %"


def quotient(new: float, base: float) -> float:
    """Ratio of two statistics; 1 for 0 over 0, ``inf`` over 0 else, ``nan`` where the signs make it meaningless."""
    if base < 0 or new < 0:
        return math.nan
    if base == 0:
        return 1.0 if new == 0 else math.inf
    return float(new / base)
