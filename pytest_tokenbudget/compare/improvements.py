"""Whether a wanted improvement was reached (rule F)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pytest_tokenbudget.compare.counts import exact_statistic
from pytest_tokenbudget.compare.judgement import change, count, planned, quotient
from pytest_tokenbudget.compare.looks import QUIET
from pytest_tokenbudget.compare.terms import Terms
from pytest_tokenbudget.stats.exact import rational
from pytest_tokenbudget.stats.improvement import Standard, standard_met
from pytest_tokenbudget.stats.log_ratio import LogRatio, fit
from pytest_tokenbudget.stats.quantiles import level_of, quantile
from pytest_tokenbudget.stats.tails import exceedance_test, upper_bound, values_needed

Reached = Literal["improved", "target_missed", "inconclusive"]

_RULED_OUT = 0.025
"""Probability with which a target that was reached is called missed before the last look."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """What became of a wanted reduction.

    Attributes:
        verdict: ``improved`` where a standard is met, ``target_missed``, or ``inconclusive``.
        standard: ``proven`` or ``demonstrated``; ``None`` where neither is met.
        ratio: Estimate of new over base; ``nan`` where a side has no values.
        target: 1 - R: the ratio that is wanted at most.
        lower: 97.5 % lower bound of the ratio.
        upper: 95 % upper bound of the ratio.
        upper_99: 99 % upper bound of the ratio.
        n: New values.
        m: Baseline values.
        more: Further new values that are wanted; 0 where it is decided or no more will come.
        reason: One sentence.
    """

    verdict: Reached
    standard: Standard | None
    ratio: float
    target: float
    lower: float
    upper: float
    upper_99: float
    n: int
    m: int
    more: int = 0
    reason: str = ""


def improvement(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Improvement:
    """Judge a wanted reduction by the rule that fits the kind of the values.

    Args:
        base: Ascending baseline values.
        new: Ascending new values.
        sessions: Sessions that the baseline comes from.
        reduction: R, the share by which the new values are to be lower.
        terms: The terms.

    Returns:
        What became of it.
    """
    if not base or not new:
        more = terms.plan.looks[0] if base else 0
        missing = "there are no new values" if base else "there are no baseline values"
        nan = math.nan
        return Improvement(
            "inconclusive", None, nan, float(1 - reduction), nan, nan, nan, len(new), len(base), more, missing
        )
    quiet = base[0] == base[-1] and new[0] == new[-1]
    if terms.kind == "exact" or (terms.kind == "count" and quiet):
        return _exact(base, new, reduction, terms)
    if terms.statistic != "mean" or base[0] <= 0 or new[0] <= 0:
        return _by_exceedance(base, new, reduction, terms)
    return _by_log_ratio(base, new, sessions, reduction, terms)


def _exact(base: Sequence[float], new: Sequence[float], reduction: Fraction, terms: Terms) -> Improvement:
    then, now = exact_statistic(base, terms.statistic), exact_statistic(new, terms.statistic)
    met = now <= then * (1 - reduction)
    ratio = quotient(float(now), float(then))
    n = len(new)
    more = planned(terms, n, QUIET.minimum) if terms.kind == "count" and n < QUIET.minimum else 0
    verdict: Reached = "inconclusive" if more else "improved" if met else "target_missed"
    reason = f"{change(ratio)} where {change(float(1 - reduction))} is wanted, compared exactly"
    if more:
        reason = f"{change(ratio)}: {count(more, 'more sample')} would confirm it"
    standard: Standard | None = "proven" if verdict == "improved" else None
    return Improvement(verdict, standard, ratio, float(1 - reduction), ratio, ratio, ratio, n, len(base), more, reason)


def _by_log_ratio(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Improvement:
    fitted, _ = fit([math.log(v) for v in base], [math.log(v) for v in new], sessions, terms.model)
    target = float(1 - reduction)
    ratio = math.exp(fitted.estimate)
    lower, upper, upper_99 = (
        math.exp(fitted.bound(level)) for level in (1 - _RULED_OUT, 0.05, min(0.01, terms.level()))
    )
    n = fitted.n
    standard = standard_met(ratio, upper_99, upper, target) if n >= terms.plan.minimum else None
    more = 0
    verdict: Reached = "improved"
    if standard is None:
        more = 0 if lower > target and n >= terms.plan.minimum else planned(terms, n)
        verdict = "inconclusive" if more or ratio <= target else "target_missed"
    return Improvement(
        verdict,
        standard,
        ratio,
        target,
        lower,
        upper,
        upper_99,
        n,
        fitted.m,
        more,
        _in_words(fitted, standard, target, more),
    )


def _in_words(fitted: LogRatio, standard: Standard | None, target: float, more: int) -> str:
    ratio = math.exp(fitted.estimate)
    text = f"{change(ratio)} where {change(target)} is wanted"
    if standard is not None:
        return f"{text}: {standard}"
    if more:
        return f"{text}, at most {change(math.exp(fitted.bound(0.05)))}: {count(more, 'more sample')} may decide it"
    return f"{text}, not shown with {count(fitted.n, 'sample')}"


def _by_exceedance(base: Sequence[float], new: Sequence[float], reduction: Fraction, terms: Terms) -> Improvement:
    name = "p50" if terms.statistic == "mean" else terms.statistic
    level = level_of(name)
    then, now = quantile(base, level), quantile(new, level)
    ratio, target = quotient(now, then), float(1 - reduction)
    n, m = len(new), len(base)
    bound = upper_bound(new, level)
    upper = math.inf if bound is None else quotient(bound, then)
    met = rational(now) <= rational(then) * (1 - reduction)
    significant = exceedance_test(new, base, level) < terms.level()
    standard: Standard | None = None
    if met and significant:
        standard = "proven" if upper < target else "demonstrated"
    needed = values_needed(level)
    verdict: Reached = "improved" if standard else "inconclusive" if met else "target_missed"
    if verdict == "target_missed" and not terms.fixed and needed is not None and n < needed:
        verdict = "inconclusive"
    more = 1 if verdict == "inconclusive" and not terms.fixed else 0
    reason = f"{name} {change(ratio)} where {change(target)} is wanted"
    if verdict == "inconclusive":
        reason += f": not shown with {n} calls" + (f", {name} needs {needed}" if needed and n < needed else "")
    elif standard:
        reason += f": {standard}"
    return Improvement(
        verdict, standard, ratio, target, 0.0, upper, math.inf if not significant else 1.0, n, m, more, reason
    )
