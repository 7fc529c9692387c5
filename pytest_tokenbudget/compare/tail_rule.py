"""Rule D: quantiles of pooled calls, and values without a logarithm, are judged without assuming a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.compare.terms import NON_INFERIORITY_MARGIN, Evidence, Judged, Terms, change, quotient
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.ranks import exceedance_test, mann_whitney, upper_bound, values_needed
from pytest_tokenbudget.stats.statistic import exceeds, falls_short, level_of, quantile, rational, statistic
from pytest_tokenbudget.wording import counted

_ENOUGH_FOR_RANKS = 5


def _by_ranks(ratio: float, n: int, p: float, upper: float, *, suspicious: bool) -> Evidence:
    """The evidence of a test that assumes nothing about the distribution: what can be seen depends on that.

    Args:
        ratio: New over base. Its lower bound is 1 where an increase is significant at 1 %, else 0, as no more is known.
        n: New values.
        p: p-value against no increase.
        upper: 95 % upper bound of the ratio, ``inf`` where there are too few values for one.
        suspicious: Whether more values are wanted because it looks like an increase.
    """
    words = f"{change(ratio)}, p = {p:.2g} from {counted(n, 'value')}"
    return Evidence(words, False, 1.0 if p < 0.01 else 0.0, upper, math.inf, p=p, suspicious=suspicious)


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
    evidence = _by_ranks(ratio, n, p, highest, suspicious=more > 0)
    return Judged(verdict, ratio, n, len(base), sessions, terms, evidence, more, note)


REPEATED = 0.4
"""Share of alpha at each look: pooled calls grow with every sample, and are judged again."""

_SESSION_MARGIN = 1.5
"""Standard deviations of the variation between sessions that are taken off before exceedances are counted."""


def session_factor(sessions: int, terms: Terms) -> float:
    """Factor by which a session may be slower than the baseline's without any change of the code."""
    return math.exp(_SESSION_MARGIN * terms.noise.tau * math.sqrt(1.0 / max(1, sessions) + 1.0))


def judge_tail(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judged:
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
    ratio = quotient(now, then)
    factor = session_factor(sessions, terms)
    p = exceedance_test([factor * value for value in base], new, level)
    alpha = terms.own_alpha if terms.fixed else REPEATED * terms.own_alpha
    above = exceeds(rational(now), rational(then), terms.increase, terms.slack)
    bound = upper_bound(new, level)
    verdict: Verdict = "inconclusive"
    note = ""
    if above and p < alpha:
        verdict = "regression"
    elif falls_short(rational(now), rational(then), terms.increase, terms.slack) and (
        exceedance_test([factor * value for value in new], base, level) < alpha
    ):
        verdict = "improved"
    elif bound is not None and not above and _is_within(bound, then, terms):
        verdict = "ok"
    else:
        note = _what_is_missing(name, n, ratio, p)
    highest = math.inf if bound is None else quotient(bound, then)
    wanted = verdict == "inconclusive" and above and p < terms.screen and not terms.fixed
    evidence = _by_ranks(ratio, n, p, highest, suspicious=wanted)
    return Judged(verdict, ratio, n, len(base), sessions, terms, evidence, 1 if wanted else 0, note)


def _what_is_missing(name: str, n: int, ratio: float, p: float) -> str:
    needed = values_needed(level_of(name))
    if needed is None:
        return f"no number of calls bounds the {name}: gate p95 instead"
    if n < needed:
        return f"{name} needs {needed} pooled calls, have {n}"
    return f"{change(ratio)} at {name}, p = {p:.2g} from {counted(n, 'call')}: more calls would decide it"


def _is_within(bound: float, base: float, terms: Terms) -> bool:
    """Tell whether a bound rules out three times what is allowed."""
    margin = NON_INFERIORITY_MARGIN
    return not exceeds(rational(bound), rational(base), margin * terms.increase, margin * Fraction(terms.slack))
