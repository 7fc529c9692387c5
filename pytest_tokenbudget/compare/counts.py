"""Exact values and live counts (rules A and C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.compare.judgement import Judgement, Ordered, Outcome, count, planned, quotient
from pytest_tokenbudget.compare.latency import LogRatioJudgement, guard_p
from pytest_tokenbudget.compare.looks import QUIET
from pytest_tokenbudget.compare.tails import judge_by_ranks
from pytest_tokenbudget.compare.terms import Terms
from pytest_tokenbudget.stats.exact import Number, exceeds, falls_short, rational, rational_mean
from pytest_tokenbudget.stats.log_ratio import LogRatio, fit
from pytest_tokenbudget.stats.quantiles import level_of, quantile
from pytest_tokenbudget.stats.ranks import smallest_p
from pytest_tokenbudget.stats.robust import median
from pytest_tokenbudget.stats.student import upper_quantile

_SEPARATED_FROM = 10
_SEPARATED_BY = 0.75
"""Share of the new values' range. Without it a low first value of a noisy count gives up to 4 % false alarms, with it
0.5 % (1.6 % where the count is as small as a Poisson of 4)."""


def judge_exact(base: Sequence[Number], new: Sequence[Number], sessions: int, terms: Terms) -> Judgement:
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
    verdict: Outcome = "ok"
    if exceeds(now, then, terms.increase, terms.slack):
        verdict = "regression"
    elif falls_short(now, then, terms.increase, terms.slack):
        verdict = "improved"
    return Judgement(verdict, quotient(float(now), float(then)), len(new), len(base), sessions, terms)


def exact_statistic(ordered: Sequence[Number], name: str) -> Fraction:
    """A statistic of at least one ascending value, without rounding."""
    if name != "mean":
        return rational(quantile(ordered, level_of(name)))  # type: ignore[arg-type]  # a Fraction sorts like a float
    if ordered[0] == ordered[-1]:
        return rational(ordered[0])
    return rational_mean(ordered)


def judge_counts(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judgement:
    """Judge live counts: exactly while nothing shows noise, else by the log-ratio test.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        The judgement.
    """
    if base[0] == base[-1] and new[0] == new[-1]:
        return _quiet(base, new, sessions, terms)
    if base[0] <= 0 or new[0] <= 0 or terms.statistic != "mean":
        return judge_by_ranks(base, new, sessions, terms)
    return _noisy(base, new, sessions, terms)


def _quiet(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judgement:
    """No noise has been seen: an increase is believed when three values agree, anything else at once."""
    judged = judge_exact(base, new, sessions, terms)
    n = len(new)
    if judged.verdict in ("ok", "improved") or terms.fixed or n >= QUIET.minimum:
        return judged
    more = planned(terms, n, QUIET.minimum)
    missing = count(QUIET.minimum - n, "more sample")
    note = f"{missing} would decide it: an increase in live traffic is confirmed before it fails"
    return Judgement("inconclusive", judged.ratio, n, len(base), sessions, terms, more, note)


def _noisy(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judgement:
    base_logs, new_logs = [math.log(v) for v in base], [math.log(v) for v in new]
    fitted, _ = fit(base_logs, new_logs, sessions, terms.model)
    m, n = fitted.m, fitted.n
    allowed = terms.log_allowed
    if terms.slack:
        allowed = max(allowed, math.log1p(float(terms.slack) / median(base)))
    verdict: Outcome = "inconclusive"
    note = ""
    if fitted.estimate <= allowed:
        verdict = "improved" if _is_lower(terms, fitted, allowed, base_logs, new_logs) else "ok"
    elif _is_higher(terms, fitted, base_logs, new_logs):
        verdict = "regression"
    elif n < terms.plan.minimum:
        if terms.fixed and exceeds(rational(median(new)), rational(base[-1]), terms.increase, terms.slack):
            verdict = "regression"
        else:
            note = f"{count(terms.plan.minimum - n, 'more sample')} would decide it: these counts vary"
    more = planned(terms, n) if verdict == "inconclusive" else 0
    return LogRatioJudgement(
        verdict,
        math.exp(fitted.estimate),
        n,
        m,
        sessions,
        terms,
        more,
        note,
        increase=fitted,
        passing=fitted,
        log_allowed=allowed,
        log_excluded=allowed,
        base=base_logs,
        new=new_logs,
    )


def _is_higher(terms: Terms, fitted: LogRatio, base: Ordered, new: Ordered) -> bool:
    if fitted.n < terms.plan.minimum:
        return False
    if fitted.estimate <= upper_quantile(terms.level(), fitted.nu) * fitted.error:
        return False
    guard = terms.guard(fitted.n)
    if guard_p(terms, base, new) <= guard:
        return True
    # A baseline of one or two values can never be significant by itself: many new ones that lie well apart from it, as
    # measured by how far they lie apart from each other, stand in.
    too_few = smallest_p(fitted.m, fitted.n) > guard
    gap = new[0] - base[-1]
    return too_few and fitted.n >= _SEPARATED_FROM and gap > max(terms.log_allowed, _SEPARATED_BY * (new[-1] - new[0]))


def _is_lower(terms: Terms, fitted: LogRatio, allowed: float, base: Ordered, new: Ordered) -> bool:
    drop = -fitted.estimate
    if drop <= allowed or fitted.n < terms.plan.minimum:
        return False
    significant = drop > upper_quantile(terms.level(), fitted.nu) * fitted.error
    return significant and guard_p(terms, new, base) <= terms.guard(fitted.n)
