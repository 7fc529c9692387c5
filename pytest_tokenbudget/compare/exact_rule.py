"""Rule A: values that carry no noise are compared exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.compare.terms import Evidence, Judged, Terms, change, quotient
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.statistic import Number, exceeds, falls_short, level_of, quantile, rational, rational_mean


def comparison(ratio: float, terms: Terms, *, suspicious: bool = False, p: float | None = None) -> Evidence:
    """The evidence of a comparison of two numbers: every bound is the ratio itself, and any increase beyond the allowed is seen.

    Args:
        ratio: New over base, ``nan`` where a side has no values.
        terms: The terms.
        suspicious: Whether a live count grew beyond what is allowed, and is to be confirmed.
        p: p-value against no increase, where the numbers are means of noisy values.
    """
    detectable = math.inf if math.isnan(ratio) else float(terms.increase)
    words = f"compared exactly: {change(ratio)}"
    return Evidence(words, p is None, ratio, ratio, ratio, detectable, p, suspicious=suspicious)


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
    return Judged(verdict, ratio, len(new), len(base), sessions, terms, comparison(ratio, terms))


def exact_statistic(ordered: Sequence[Number], name: str) -> Fraction:
    """A statistic of at least one ascending value, without rounding."""
    if name != "mean":
        return rational(quantile(ordered, level_of(name)))  # type: ignore[arg-type]  # a Fraction sorts like a float
    if ordered[0] == ordered[-1]:
        return rational(ordered[0])
    return rational_mean(ordered)


def nothing_to_compare(terms: Terms, m: int, n: int, sessions: int, note: str, more: int = 0) -> Judged:
    """The result where a side has no values."""
    evidence = comparison(math.nan, terms, suspicious=more > 0)
    return Judged("inconclusive", math.nan, n, m, sessions, terms, evidence, more, note)
