"""Values that have no logarithm, and statistics of which nothing is assumed: judged by exact rank tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tokenbudget.compare.judged import Judged, change, quotient
from pytest_tokenbudget.compare.terms import Terms
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.ranks import mann_whitney, upper_bound
from pytest_tokenbudget.stats.statistic import exceeds, falls_short, level_of, rational, statistic
from pytest_tokenbudget.wording import counted

_ENOUGH_FOR_RANKS = 5


@dataclass(frozen=True, slots=True)
class RankEvidence:
    """What a test that assumes nothing about the distribution rests on.

    Attributes:
        ratio: New over base.
        n: New values.
        p: p-value against no increase.
        upper: 95 % upper bound of the ratio, ``inf`` where there are too few values for one.
        suspicious: Whether more values are wanted because it looks like an increase.
        lower: Lower bound of the ratio.
        upper_99: 99 % upper bound of the ratio, where it is known.
    """

    ratio: float
    n: int
    p: float
    upper: float
    suspicious: bool
    lower: float
    upper_99: float = math.inf

    @property
    def exact(self) -> bool:
        """Never: the values are noisy."""
        return False

    @property
    def sigma(self) -> None:
        """None was assumed."""

    @property
    def detectable(self) -> float:
        """Not known without a distribution: ``nan``."""
        return math.nan

    def in_words(self) -> str:
        """The change and its p-value."""
        return f"{change(self.ratio)}, p = {self.p:.2g} from {counted(self.n, 'value')}"

    def would_decide(self) -> str:
        """More values."""
        return self.in_words()


def known_lower(p: float) -> float:
    """Lower bound of a ratio: 1 where an increase is significant at 1 %, else 0, as no more is known."""
    return 1.0 if p < 0.01 else 0.0


def judge_by_ranks(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judged:
    """Judge values most of which have no logarithm (zeros of a clock that stood still), or a quantile of counts.

    The statistic (the median for times, the mean for counts) is compared with what is allowed; the exact rank test
    says whether chance can explain it.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        The result.
    """
    name = "p50" if terms.kind == "latency" and terms.statistic == "mean" else terms.statistic
    then, now = statistic(base, name), statistic(new, name)
    n = len(new)
    p = mann_whitney(base, new)
    guard = terms.guard(n)
    above = exceeds(rational(now), rational(then), terms.increase, terms.slack)
    below = falls_short(rational(now), rational(then), terms.increase, terms.slack)
    enough = n >= terms.plan.minimum
    bound = None if name == "mean" else upper_bound(new, level_of(name))
    verdict: Verdict = "inconclusive"
    if above and enough and p <= guard:
        verdict = "regression"
    elif below and enough and mann_whitney(new, base) <= guard:
        verdict = "improved"
    elif not above and (terms.kind != "latency" or n >= _ENOUGH_FOR_RANKS):
        verdict = "ok"
    more = terms.more(n) if verdict == "inconclusive" and (above or terms.paired) else 0
    ratio = quotient(now, then)
    note = ""
    if verdict == "inconclusive":
        wanted = counted(more, "more sample") if more else "more samples"
        note = f"{change(ratio)}, p = {p:.2g}: {wanted} may decide it"
    highest = math.inf if bound is None else quotient(bound, then)
    evidence = RankEvidence(ratio, n, p, highest, more > 0, known_lower(p))
    return Judged(verdict, ratio, n, len(base), sessions, terms, evidence, more, note)
