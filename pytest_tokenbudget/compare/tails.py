"""Quantiles of pooled calls (rule D), and values that have no logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pytest_tokenbudget.compare.judgement import Judgement, Outcome, change, count, planned, quotient
from pytest_tokenbudget.compare.terms import PASSED_MULTIPLE, Terms
from pytest_tokenbudget.stats.exact import exceeds, falls_short, rational
from pytest_tokenbudget.stats.quantiles import level_of, quantile, statistic
from pytest_tokenbudget.stats.ranks import mann_whitney
from pytest_tokenbudget.stats.tails import exceedance_test, upper_bound, values_needed

_REPEATED = 0.4
"""Share of alpha at each look: pooled calls grow with every sample, and are judged again."""

_ENOUGH_FOR_RANKS = 5

_DRIFT_ALLOWED = 1.5
"""Standard deviations of drift between sessions that are taken off before exceedances are counted."""


@dataclass(frozen=True, slots=True)
class RankJudgement(Judgement):
    """A verdict that assumes nothing about the distribution.

    Attributes:
        p_value: p-value against no increase.
        highest: 95 % upper bound of the ratio, ``inf`` where there are too few values for one.
    """

    p_value: float = field(kw_only=True)
    highest: float = field(kw_only=True)

    @property
    def exact(self) -> bool:
        """Never: the values are noisy."""
        return False

    @property
    def confirmed(self) -> bool:
        """Whether drift between sessions cannot explain it."""
        return self.terms.paired or self.terms.kind != "latency"

    @property
    def p(self) -> float:
        """p-value against no increase."""
        return self.p_value

    @property
    def lower(self) -> float:
        """Lower bound of the ratio: 1 where an increase is significant at 1 %, else 0, as no more is known."""
        return 1.0 if self.p_value < 0.01 else 0.0

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio, distribution-free."""
        return self.highest

    @property
    def detectable(self) -> float:
        """Not known without a distribution: ``nan``."""
        return math.nan

    @property
    def reason(self) -> str:
        """One sentence: what would decide it where it is inconclusive, else what it rests on."""
        return self.note or f"{change(self.ratio)}, p = {self.p_value:.2g} from {count(self.n, 'value')}"


def judge_tail(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> RankJudgement:
    """Judge a quantile of pooled calls: it may fail at any size, and pass only with enough values.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms; their statistic names the quantile.

    Returns:
        ``regression`` where the ratio of the quantiles is above what is allowed and the exceedances are significant;
        ``ok`` where a distribution-free 95 % upper bound is within three times the allowance; else ``inconclusive``.
    """
    name, n = terms.statistic, len(new)
    level = level_of(name)
    then, now = quantile(base, level), quantile(new, level)
    drift = math.exp(_DRIFT_ALLOWED * terms.model.tau * math.sqrt(1.0 / sessions + 1.0))
    p = exceedance_test([drift * value for value in base], new, level)
    alpha = terms.alpha if terms.fixed else _REPEATED * terms.alpha
    above = exceeds(rational(now), rational(then), terms.increase, terms.slack)
    bound = upper_bound(new, level)
    verdict: Outcome = "inconclusive"
    note = ""
    if above and p < alpha:
        verdict = "regression"
    elif falls_short(rational(now), rational(then), terms.increase, terms.slack) and (
        exceedance_test([drift * value for value in new], base, level) < alpha
    ):
        verdict = "improved"
    elif bound is not None and not above and _within(bound, then, terms):
        verdict = "ok"
    else:
        needed = values_needed(level)
        if needed is None:
            note = f"no number of calls bounds the {name}: gate p95 instead"
        elif n < needed:
            note = f"{name} needs {needed} pooled calls, have {n}"
        else:
            note = f"{change(quotient(now, then))} at {name}, p = {p:.2g} from {count(n, 'call')}: more calls would decide it"
    highest = math.inf if bound is None else quotient(bound, then)
    wanted = above and p < terms.screen and not terms.fixed
    return RankJudgement(
        verdict,
        quotient(now, then),
        n,
        len(base),
        sessions,
        terms,
        1 if verdict == "inconclusive" and wanted else 0,
        note,
        p_value=p,
        highest=highest,
    )


def _within(bound: float, base: float, terms: Terms) -> bool:
    """Whether a bound rules out three times what is allowed."""
    return not exceeds(
        rational(bound), rational(base), PASSED_MULTIPLE * terms.increase, PASSED_MULTIPLE * Fraction(terms.slack)
    )


def judge_by_ranks(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> RankJudgement:
    """Judge values most of which have no logarithm (zeros of a clock that stood still), or a quantile of counts.

    The statistic (the median for times, the mean for counts) is compared with what is allowed; the exact rank test
    says whether chance can explain it.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        The judgement.
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
    verdict: Outcome = "inconclusive"
    if above and enough and p <= guard:
        verdict = "regression"
    elif below and enough and mann_whitney(new, base) <= guard:
        verdict = "improved"
    elif not above and (terms.kind != "latency" or n >= _ENOUGH_FOR_RANKS):
        verdict = "ok"
    more = planned(terms, n) if verdict == "inconclusive" and (above or terms.paired) else 0
    note = ""
    if verdict == "inconclusive":
        note = f"{change(quotient(now, then))}, p = {p:.2g}: {count(more, 'more sample') if more else 'more samples'} may decide it"
    highest = math.inf if bound is None else quotient(bound, then)
    return RankJudgement(
        verdict, quotient(now, then), n, len(base), sessions, terms, more, note, p_value=p, highest=highest
    )
