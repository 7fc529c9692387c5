"""Rule B: live times are judged by the moderated robust log-ratio test with an exact guard."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tokenbudget.compare.terms import NON_INFERIORITY_MARGIN, Judged, Terms, change
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.distributions import exceedance_of_middle, upper_quantile
from pytest_tokenbudget.stats.log_ratio import LogRatio, fit, moderated_variance
from pytest_tokenbudget.stats.ranks import mann_whitney, smallest_p
from pytest_tokenbudget.wording import counted

Ordered = Sequence[float]
"""Ascending values."""

_REACH = 2.0
"""Standard deviations that an estimate is given to move until the cap, before sampling stops as hopeless."""

_FORESEEN = 200
"""Furthest number of new values for which it is said that they would decide it."""


@dataclass(frozen=True, slots=True)
class LogRatioEvidence:
    """The evidence of the log-ratio test.

    Attributes:
        terms: The terms of the test.
        sessions: Sessions that the baseline comes from.
        increase: Estimate with the uncertainty that counts for calling an increase.
        passing: The same with the uncertainty that counts for calling it ``ok``.
        log_allowed: Allowed log-ratio, the slack included.
        log_excluded: Log-ratio that ``ok`` must rule out.
        base: Ascending logarithms of the baseline.
        new: Ascending logarithms of the new values.
        decided: Whether there is a verdict.
    """

    terms: Terms
    sessions: int
    increase: LogRatio
    passing: LogRatio
    log_allowed: float
    log_excluded: float
    base: Ordered
    new: Ordered
    decided: bool

    @property
    def exact(self) -> bool:
        """Never: the values are noisy."""
        return False

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
        return exp(self.increase.bound(0.99))

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio; ``inf`` where a single value on each side shows no noise."""
        return exp(self.passing.bound(0.05)) if self.increase.m + self.increase.n > 2 else math.inf

    @property
    def upper_99(self) -> float:
        """99 % upper bound of the ratio, with the caution of the increase."""
        return exp(self.increase.bound(0.01))

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %; ``inf`` where too few values can show none."""
        m, n = self.increase.m, self.increase.n
        if n < self.terms.plan.minimum or not guard_attainable(self.terms, m, n, n):
            return math.inf
        return exp(self.increase.detectable(self.log_allowed, self.terms.level())) - 1.0

    @property
    def suspicious(self) -> bool:
        """Tell whether the estimate is above what is allowed and chance alone would seldom put it there."""
        return self.increase.estimate > self.log_allowed and self.increase.p_increase() < self.terms.screen

    @property
    def words(self) -> str:
        """The change and its bounds; where it is not decided, what would decide it."""
        if not self.decided:
            return self._would_decide()
        samples = counted(self.increase.n, "sample")
        return f"{change(exp(self.increase.estimate))}, {change(self.lower)} to {change(self.upper)} from {samples}"

    def _would_decide(self) -> str:
        """Say how many more samples would decide it, or what else would."""
        terms, fitted, passing = self.terms, self.increase, self.passing
        m, n = fitted.m, fitted.n
        if fitted.estimate > self.log_allowed and not guard_attainable(terms, m, n, max(n, terms.plan.cap)):
            return f"{counted(m, 'baseline sample')} cannot show a regression: record at least 5"

        def decides(at: int) -> bool:
            """Tell whether that many values would, if estimate and noise stay: more of them never decide less."""
            if at >= terms.plan.minimum and fitted.estimate > self.log_allowed:
                needed = upper_quantile(terms.level(), fitted.nu_at(at)) * fitted.error_at(at)
                if fitted.estimate > needed and guard_attainable(terms, m, n, at):
                    return True
            margin = upper_quantile(terms.passing(at), passing.nu_at(at)) * passing.error_at(at)
            return fitted.estimate + margin < self.log_excluded

        if n < _FORESEEN and decides(_FORESEEN):
            sizes = range(n + 1, _FORESEEN + 1)
            at = sizes[bisect_left(sizes, True, key=decides)]
            more = counted(at - n, "more sample")
            return f"{more} would decide it, if the change of {change(exp(fitted.estimate))} stays"
        if fitted.session_variance:
            return (
                f"the model's speed differs from day to day by as much, and the baseline has seen only "
                f"{counted(self.sessions, 'session')}: record more sessions, or compare with `tokenbudget ab`"
            )
        return f"the values vary too much (sigma {fitted.sigma:.2f}): more than {_FORESEEN - n} more samples are needed"


def exp(value: float) -> float:
    """The exponential function, ``inf`` where it would overflow."""
    return math.exp(value) if value < 700.0 else math.inf


def guard_p(terms: Terms, base: Ordered, new: Ordered) -> float:
    """p-value of the exact test that guards the model: Fisher's for counts, Mann and Whitney's for times."""
    return exceedance_of_middle(base, new) if terms.kind == "count" else mann_whitney(base, new)


def guard_attainable(terms: Terms, m: int, n: int, at: int) -> bool:
    """Tell whether the guard can be significant at all with ``at`` new values."""
    return smallest_p(at if terms.paired and m == n else m, at) <= terms.guard(at)


def is_increase(terms: Terms, fitted: LogRatio, log_allowed: float, base: Ordered, new: Ordered) -> bool:
    """Tell whether the estimate is above what is allowed, and significantly above no change by both tests."""
    return fitted.estimate > log_allowed and _is_significant(terms, fitted, fitted.estimate, base, new)


def is_decrease(terms: Terms, fitted: LogRatio, log_allowed: float, base: Ordered, new: Ordered) -> bool:
    """Tell whether the estimate is as far below, and significantly so."""
    return -fitted.estimate > log_allowed and _is_significant(terms, fitted, -fitted.estimate, new, base)


def _is_significant(terms: Terms, fitted: LogRatio, distance: float, low: Ordered, high: Ordered) -> bool:
    if fitted.n < terms.plan.minimum or distance <= upper_quantile(terms.level(), fitted.nu) * fitted.error:
        return False
    return guard_p(terms, low, high) <= terms.guard(fitted.n)


def judge_latency(base: Ordered, new: Ordered, sessions: int, terms: Terms) -> Judged:
    """Judge live times.

    Two conditions make a regression: the estimate is above what is allowed, and it is significantly above no change,
    by a t test that assumes little about the noise and by an exact rank test that assumes nothing about the shape.

    Args:
        base: Ascending logarithms of the baseline, at least one.
        new: Ascending logarithms of the new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        The result.
    """
    noise = terms.noise
    fitted, squares = fit(base, new, sessions, noise, terms.shift)
    m, n, estimate = fitted.m, fitted.n, fitted.estimate
    log_allowed, log_excluded = _allowed(terms, base)
    passing_df = terms.passing_df
    variance = moderated_variance(squares, noise.scale, passing_df)
    passing = LogRatio(estimate, math.sqrt(variance), fitted.session_variance, 1.0, m, n, passing_df + m + n - 2)
    verdict: Verdict = "inconclusive"
    if is_increase(terms, fitted, log_allowed, base, new):
        verdict = "regression"
    elif is_decrease(terms, fitted, log_allowed, base, new):
        verdict = "improved"
    elif estimate < log_excluded and passing.bound(terms.passing(n)) < log_excluded:
        verdict = "ok"
    decided = verdict != "inconclusive"
    evidence = LogRatioEvidence(terms, sessions, fitted, passing, log_allowed, log_excluded, base, new, decided)
    more = terms.more(n) if verdict == "inconclusive" and _is_worth_sampling(evidence) else 0
    return Judged(verdict, exp(estimate), n, m, sessions, terms, evidence, more)


def _allowed(terms: Terms, base: Ordered) -> tuple[float, float]:
    """Allowed and excluded log-ratio; an absolute slack counts as the share of the median that it is."""
    share = float(terms.increase)
    if terms.slack:
        share = max(share, float(terms.slack) / exp(base[len(base) >> 1]))
    return math.log1p(share), math.log1p(NON_INFERIORITY_MARGIN * share)


def _is_worth_sampling(evidence: LogRatioEvidence) -> bool:
    """Tell whether more samples are wanted: a suspicion, or interleaved arms, and an end that the cap can still reach."""
    terms, fitted, passing = evidence.terms, evidence.increase, evidence.passing
    n, estimate = fitted.n, fitted.estimate
    cap = terms.plan.cap if terms.cap is None else min(terms.cap, terms.plan.cap)
    if terms.fixed or n >= cap or not (terms.paired or evidence.suspicious):
        return False
    arms = 2.0 if terms.paired else 1.0
    move = _REACH * fitted.sigma * math.sqrt(arms * fitted.deff * (1.0 / n - 1.0 / cap))
    failing = max(evidence.log_allowed, upper_quantile(terms.level(), fitted.nu_at(cap)) * fitted.error_at(cap))
    margin = upper_quantile(terms.passing(cap), passing.nu_at(cap)) * passing.error_at(cap)
    return estimate + move > failing or estimate - move < evidence.log_excluded - margin
