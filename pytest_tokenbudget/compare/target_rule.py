"""Rule F: a wanted reduction is reached, or missed, only where there is evidence for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.compare.exact_rule import exact_statistic
from pytest_tokenbudget.compare.sequential import QUIET
from pytest_tokenbudget.compare.tail_rule import REPEATED, session_factor
from pytest_tokenbudget.compare.terms import Evidence, Judged, Standard, Terms, change, quotient
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.log_ratio import fit
from pytest_tokenbudget.stats.ranks import exceedance_test, mann_whitney, upper_bound, values_needed
from pytest_tokenbudget.stats.statistic import level_of, quantile, rational
from pytest_tokenbudget.wording import counted


def judge_target(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Judged:
    """Judge a wanted reduction by the rule that fits the kind of the values.

    Args:
        base: Ascending baseline values.
        new: Ascending new values.
        sessions: Sessions that the baseline comes from.
        reduction: R, the share by which the new values are to be lower.
        terms: The terms.

    Returns:
        ``improved`` where a standard is met; ``target_missed`` where the lower bound of the ratio is above the target;
        else ``inconclusive``.
    """
    if not base or not new:
        missing = "there are no new values" if base else "there are no baseline values"
        nothing = Evidence(missing, True, math.nan, math.nan, math.nan)
        more = terms.plan.looks[0] if base else 0
        return _result("inconclusive", math.nan, (len(base), len(new), sessions), reduction, terms, nothing, more=more)
    quiet = base[0] == base[-1] and new[0] == new[-1]
    if terms.kind == "exact" or (terms.kind == "count" and quiet):
        return _judge_exactly(base, new, sessions, reduction, terms)
    if terms.statistic != "mean" or base[0] <= 0 or new[0] <= 0:
        return _judge_quantile(base, new, sessions, reduction, terms)
    return _judge_log_ratio(base, new, sessions, reduction, terms)


def _result(
    verdict: Verdict,
    ratio: float,
    sizes: tuple[int, int, int],
    reduction: Fraction,
    terms: Terms,
    evidence: Evidence,
    *,
    standard: Standard | None = None,
    more: int = 0,
) -> Judged:
    m, n, sessions = sizes
    return Judged(verdict, ratio, n, m, sessions, terms, evidence, more, standard=standard, target=float(1 - reduction))


def _judge_exactly(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Judged:
    then, now = exact_statistic(base, terms.statistic), exact_statistic(new, terms.statistic)
    met = now <= then * (1 - reduction)
    ratio, n = quotient(float(now), float(then)), len(new)
    more = terms.more(n, QUIET.minimum) if terms.kind == "count" and n < QUIET.minimum else 0
    verdict: Verdict = "inconclusive" if more else "improved" if met else "target_missed"
    words = f"{_wanted(ratio, reduction)}, compared exactly"
    if more:
        words = f"{change(ratio)}: {counted(more, 'more sample')} would confirm it"
    standard: Standard | None = "proven" if verdict == "improved" else None
    evidence = Evidence(words, True, ratio, ratio, ratio)
    return _result(verdict, ratio, (len(base), n, sessions), reduction, terms, evidence, standard=standard, more=more)


def _judge_log_ratio(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Judged:
    fitted, _ = fit([math.log(v) for v in base], [math.log(v) for v in new], sessions, terms.noise)
    n, target, ratio = fitted.n, float(1 - reduction), math.exp(fitted.estimate)
    levels = (1.0 - terms.missing(n), 0.05, min(0.01, terms.level()))
    lower, upper, upper_99 = (math.exp(fitted.bound(level)) for level in levels)
    enough = n >= terms.plan.minimum
    standard = standard_met(ratio, upper_99, upper, target) if enough else None
    missed = enough and lower > target
    verdict: Verdict = "improved" if standard else "target_missed" if missed else "inconclusive"
    more = terms.more(n) if verdict == "inconclusive" else 0
    text = _wanted(ratio, reduction)
    if standard:
        text += f": {standard}"
    elif missed:
        text += f", at best {change(lower)} with {counted(n, 'sample')}"
    elif more:
        text += f", between {change(lower)} and {change(upper)}: {counted(more, 'more sample')} may decide it"
    else:
        text += f", between {change(lower)} and {change(upper)} with {counted(n, 'sample')}: neither reached nor missed for sure"
    evidence = Evidence(text, False, lower, upper, upper_99, sigma=fitted.sigma)
    return _result(verdict, ratio, (fitted.m, n, sessions), reduction, terms, evidence, standard=standard, more=more)


def standard_met(estimate: float, upper_99: float, upper_95: float, target: float) -> Standard | None:
    """Name the standard that an improvement meets.

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


def _judge_quantile(
    base: Sequence[float], new: Sequence[float], sessions: int, reduction: Fraction, terms: Terms
) -> Judged:
    name = "p50" if terms.statistic == "mean" else terms.statistic
    level = level_of(name)
    then, now = quantile(base, level), quantile(new, level)
    ratio, target = quotient(now, then), float(1 - reduction)
    n, m = len(new), len(base)
    bound = upper_bound(new, level)
    upper = math.inf if bound is None else quotient(bound, then)
    met = rational(now) <= rational(then) * (1 - reduction)
    factor = session_factor(sessions, terms)
    alpha = terms.own_alpha if terms.fixed else min(terms.guard(n), REPEATED * terms.own_alpha)
    improved = _p_larger([factor * value for value in new], base, level) < alpha
    wanted = [target * factor * value for value in base]
    missed = not met and _p_larger(wanted, new, level) < terms.missing(n)
    standard: Standard | None = None
    if met and improved:
        standard = "proven" if upper * factor < target else "demonstrated"
    verdict: Verdict = "improved" if standard else "target_missed" if missed else "inconclusive"
    more = terms.more(n) if verdict == "inconclusive" else 0
    words = f"{name} {_wanted(ratio, reduction)}"
    if standard:
        words += f": {standard}"
    elif missed:
        words += f": not reached in {counted(n, 'value')}"
    else:
        words += f": not shown with {counted(n, 'value')}" + _needs(name, n)
    evidence = Evidence(
        words, False, target if missed else 0.0, upper, math.nextafter(1.0, 0.0) if improved else math.inf
    )
    return _result(verdict, ratio, (m, n, sessions), reduction, terms, evidence, standard=standard, more=more)


def _p_larger(low: Sequence[float], high: Sequence[float], level: Fraction) -> float:
    """p-value against ``high`` not being larger at a quantile; at the median all ranks tell of it."""
    return mann_whitney(low, high) if level == Fraction(1, 2) else exceedance_test(low, high, level)


def _needs(name: str, n: int) -> str:
    needed = values_needed(level_of(name))
    return f", {name} needs {needed}" if needed is not None and n < needed else ""


def _wanted(ratio: float, reduction: Fraction) -> str:
    return f"{change(ratio)} where {change(float(1 - reduction))} is wanted"
