"""Rule A: values that carry no noise are compared exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_tokenbudget.compare.terms import Judged, Terms, change, quotient
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.statistic import Number, exceeds, falls_short, level_of, quantile, rational, rational_mean


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of two numbers: every bound is the ratio itself.

    Attributes:
        ratio: New over base, ``nan`` where a side has no values.
        increase: Allowed increase, beyond which any is seen.
        suspicious: Whether a live count grew beyond it, and is to be confirmed.
        p: p-value against no increase, where the numbers are means of noisy values.
    """

    ratio: float
    increase: float
    suspicious: bool = False
    p: float | None = None

    @property
    def exact(self) -> bool:
        """Tell whether the numbers carry no noise."""
        return self.p is None

    @property
    def sigma(self) -> None:
        """None was assumed."""

    @property
    def lower(self) -> float:
        """The ratio."""
        return self.ratio

    @property
    def upper(self) -> float:
        """The ratio."""
        return self.ratio

    @property
    def upper_99(self) -> float:
        """The ratio."""
        return self.ratio

    @property
    def detectable(self) -> float:
        """The allowed increase; ``inf`` where there was nothing to compare."""
        return math.inf if math.isnan(self.ratio) else self.increase

    def in_words(self) -> str:
        """The change."""
        return f"compared exactly: {change(self.ratio)}"

    def would_decide(self) -> str:
        """More samples."""
        return ""


def judge_exact(base: Sequence[Number], new: Sequence[Number], sessions: int, terms: Terms) -> Judged:
    """Compare what carries no noise, in rational numbers: one value suffices.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        ``regression`` where the statistic is above both the relative and the absolute allowance, ``improved`` where it
        is as far below, else ``ok``.
    """
    then, now = exact_statistic(base, terms.statistic), exact_statistic(new, terms.statistic)
    verdict: Verdict = "ok"
    if exceeds(now, then, terms.increase, terms.slack):
        verdict = "regression"
    elif falls_short(now, then, terms.increase, terms.slack):
        verdict = "improved"
    ratio = quotient(float(now), float(then))
    return Judged(verdict, ratio, len(new), len(base), sessions, terms, Comparison(ratio, float(terms.increase)))


def exact_statistic(ordered: Sequence[Number], name: str) -> Fraction:
    """A statistic of at least one ascending value, without rounding."""
    if name != "mean":
        return rational(quantile(ordered, level_of(name)))  # type: ignore[arg-type]  # a Fraction sorts like a float
    if ordered[0] == ordered[-1]:
        return rational(ordered[0])
    return rational_mean(ordered)


def nothing_to_compare(terms: Terms, m: int, n: int, sessions: int, note: str, more: int = 0) -> Judged:
    """The result where a side has no values."""
    return Judged(
        "inconclusive",
        math.nan,
        n,
        m,
        sessions,
        terms,
        Comparison(math.nan, float(terms.increase), more > 0),
        more,
        note,
    )
