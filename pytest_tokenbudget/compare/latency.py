"""Live times against a baseline: the moderated robust log-ratio test with an exact guard (rule B)."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field

from pytest_tokenbudget.compare.judgement import Judgement, Ordered, Outcome, change, count, planned
from pytest_tokenbudget.compare.terms import PASSED_MULTIPLE, Terms
from pytest_tokenbudget.stats.fisher import exceedance_of_middle
from pytest_tokenbudget.stats.log_ratio import LogRatio, fit
from pytest_tokenbudget.stats.ranks import mann_whitney, smallest_p
from pytest_tokenbudget.stats.robust import moderated_variance
from pytest_tokenbudget.stats.student import upper_quantile

_REACH = 2.0
"""Standard deviations that an estimate is given to move until the cap, before sampling stops as hopeless."""

_FORESEEN = 200
"""Furthest number of new values for which it is said that they would decide it."""


@dataclass(frozen=True, slots=True)
class LogRatioJudgement(Judgement):
    """A verdict from the log-ratio test.

    Attributes:
        increase: Estimate with the uncertainty that counts for calling an increase.
        passing: The same with the uncertainty that counts for calling it ``ok``.
        log_allowed: Allowed log-ratio, the slack included.
        log_excluded: Log-ratio that ``ok`` must rule out.
        base: Ascending logarithms of the baseline.
        new: Ascending logarithms of the new values.
    """

    increase: LogRatio = field(kw_only=True, repr=False)
    passing: LogRatio = field(kw_only=True, repr=False)
    log_allowed: float = field(kw_only=True, repr=False)
    log_excluded: float = field(kw_only=True, repr=False)
    base: Ordered = field(kw_only=True, repr=False, compare=False)
    new: Ordered = field(kw_only=True, repr=False, compare=False)

    @property
    def exact(self) -> bool:
        """Never: times are noisy."""
        return False

    @property
    def confirmed(self) -> bool:
        """Whether drift between sessions cannot explain it: the arms were interleaved, or the values are counts."""
        return self.terms.paired or self.terms.kind == "count"

    @property
    def sigma(self) -> float:
        """Standard deviation of a single logarithm, moderated by the prior."""
        return self.increase.sigma

    @property
    def p(self) -> float:
        """p-value against no increase: the larger of the t test's and of the exact guard's."""
        return max(self.increase.p_increase(), guard_p(self.terms, self.base, self.new))

    @property
    def lower(self) -> float:
        """99 % lower bound of the ratio."""
        return _exp(self.increase.bound(0.99))

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio; ``inf`` where a single value on each side shows no spread."""
        return _exp(self.passing.bound(0.05)) if self.m + self.n > 2 else math.inf

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %; ``inf`` where too few values can show none."""
        if self.n < self.terms.plan.minimum or not _guard_attainable(self.terms, self.m, self.n, self.n):
            return math.inf
        return _exp(self.increase.detectable(self.log_allowed, self.terms.level())) - 1.0

    @property
    def suspected(self) -> bool:
        """Whether the estimate is above what is allowed and chance alone would seldom put it there."""
        return (
            self.verdict == "inconclusive"
            and self.increase.estimate > self.log_allowed
            and self.increase.p_increase() < self.terms.screen
        )

    @property
    def reason(self) -> str:
        """One sentence: what would decide it where it is inconclusive, else what it rests on."""
        if self.verdict != "inconclusive":
            return f"{change(self.ratio)}, {change(self.lower)} to {change(self.upper)} from {count(self.n, 'sample')}"
        return self.note or _what_would_decide(self)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf


def guard_p(terms: Terms, base: Ordered, new: Ordered) -> float:
    """p-value of the exact test that guards the model: Fisher's for counts, Mann and Whitney's for times."""
    return exceedance_of_middle(base, new) if terms.kind == "count" else mann_whitney(base, new)


def _guard_attainable(terms: Terms, m: int, n: int, at: int) -> bool:
    return smallest_p(at if terms.paired and m == n else m, at) <= terms.guard(at)


def _is_increase(terms: Terms, fitted: LogRatio, log_allowed: float, base: Ordered, new: Ordered) -> bool:
    estimate, n = fitted.estimate, fitted.n
    if estimate <= log_allowed or n < terms.plan.minimum:
        return False
    if estimate <= upper_quantile(terms.level(), fitted.nu) * fitted.error:
        return False
    return guard_p(terms, base, new) <= terms.guard(n)


def _is_decrease(terms: Terms, fitted: LogRatio, log_allowed: float, base: Ordered, new: Ordered) -> bool:
    drop, n = -fitted.estimate, fitted.n
    if drop <= log_allowed or n < terms.plan.minimum:
        return False
    significant = drop > upper_quantile(terms.level(), fitted.nu) * fitted.error
    return significant and guard_p(terms, new, base) <= terms.guard(n)


def judge_latency(base: Ordered, new: Ordered, sessions: int, terms: Terms, shift: float = 0.0) -> LogRatioJudgement:
    """Judge live times.

    Two conditions make a regression: the estimate is above what is allowed, and it is significantly above no change,
    by a t test that assumes little about the spread and by an exact rank test that assumes nothing about the shape.

    Args:
        base: Ascending logarithms of the baseline, at least one.
        new: Ascending logarithms of the new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.
        shift: Log-ratio of the whole suite, taken off the estimate.

    Returns:
        The judgement.
    """
    model = terms.model
    fitted, squares = fit(base, new, sessions, model, shift)
    m, n, estimate = fitted.m, fitted.n, fitted.estimate
    log_allowed, log_excluded = _allowed(terms, base)
    passing_df = terms.passing_df
    variance = moderated_variance(squares, model.prior_scale, passing_df)
    passing = LogRatio(estimate, math.sqrt(variance), fitted.drift, 1.0, m, n, passing_df + m + n - 2)
    verdict: Outcome = "inconclusive"
    if _is_increase(terms, fitted, log_allowed, base, new):
        verdict = "regression"
    elif _is_decrease(terms, fitted, log_allowed, base, new):
        verdict = "improved"
    elif estimate < log_excluded and passing.bound(terms.passing(n)) < log_excluded:
        verdict = "ok"
    more = 0
    if verdict == "inconclusive" and _worth_sampling(terms, fitted, passing, log_allowed, log_excluded):
        more = planned(terms, n)
    return LogRatioJudgement(
        verdict,
        _exp(estimate),
        n,
        m,
        sessions,
        terms,
        more,
        increase=fitted,
        passing=passing,
        log_allowed=log_allowed,
        log_excluded=log_excluded,
        base=base,
        new=new,
    )


def _allowed(terms: Terms, base: Ordered) -> tuple[float, float]:
    """Allowed and excluded log-ratio; an absolute slack counts as the share of the median that it is."""
    if not terms.slack:
        return terms.log_allowed, terms.log_excluded
    half = len(base) >> 1
    share = max(float(terms.increase), float(terms.slack) / _exp(base[half]))
    return math.log1p(share), math.log1p(PASSED_MULTIPLE * share)


def _worth_sampling(terms: Terms, fitted: LogRatio, passing: LogRatio, log_allowed: float, log_excluded: float) -> bool:
    """Whether more samples are wanted: a suspicion, or interleaved arms, and an end that the cap can still reach."""
    if terms.fixed:
        return False
    n, estimate = fitted.n, fitted.estimate
    cap = terms.plan.cap if terms.cap is None else min(terms.cap, terms.plan.cap)
    if n >= cap:
        return False
    suspected = estimate > log_allowed and fitted.p_increase() < terms.screen
    if not terms.paired and not suspected:
        return False
    arms = 2.0 if terms.paired else 1.0
    move = _REACH * fitted.sigma * math.sqrt(arms * fitted.spread * (1.0 / n - 1.0 / cap))
    failing = max(log_allowed, upper_quantile(terms.level(), fitted.nu_at(cap)) * fitted.error_at(cap))
    held = log_excluded - upper_quantile(terms.passing(cap), passing.nu_at(cap)) * passing.error_at(cap)
    return estimate + move > failing or estimate - move < held


def _what_would_decide(judged: LogRatioJudgement) -> str:
    terms, fitted, passing, m, n = judged.terms, judged.increase, judged.passing, judged.m, judged.n
    if fitted.estimate > judged.log_allowed and not _guard_attainable(terms, m, n, max(n, terms.plan.cap)):
        return f"{count(m, 'baseline sample')} cannot show a regression: record at least 5"

    def decides(at: int) -> bool:
        """Whether that many values would, if the estimate and the spread stay: more of them never decide less."""
        if at >= terms.plan.minimum and fitted.estimate > judged.log_allowed:
            needed = upper_quantile(terms.level(), fitted.nu_at(at)) * fitted.error_at(at)
            if fitted.estimate > needed and _guard_attainable(terms, m, n, at):
                return True
        margin = upper_quantile(terms.passing(at), passing.nu_at(at)) * passing.error_at(at)
        return fitted.estimate + margin < judged.log_excluded

    if n < _FORESEEN and decides(_FORESEEN):
        sizes = range(n + 1, _FORESEEN + 1)
        return _so_many_more(judged, sizes[bisect_left(sizes, True, key=decides)])
    if fitted.drift:
        return (
            f"drift between sessions hides it, whatever the number of samples: a baseline of more than "
            f"{count(judged.sessions, 'session')}, or base and head interleaved"
        )
    return f"its spread (sigma {judged.sigma:.2f}) hides it: more than {_FORESEEN - n} more samples"


def _so_many_more(judged: LogRatioJudgement, at: int) -> str:
    return f"{count(at - judged.n, 'more sample')} would decide it, if the change of {change(judged.ratio)} stays"
