"""Rule D: quantiles of pooled calls are judged by an exceedance test and distribution-free bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pytest_tokenbudget.compare.judged import Judged, change, quotient
from pytest_tokenbudget.compare.rank_rule import RankEvidence, known_lower
from pytest_tokenbudget.compare.terms import NON_INFERIORITY_MARGIN, Terms
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.ranks import exceedance_test, upper_bound, values_needed
from pytest_tokenbudget.stats.statistic import exceeds, falls_short, level_of, quantile, rational
from pytest_tokenbudget.wording import counted

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
    evidence = RankEvidence(ratio, n, p, highest, wanted, known_lower(p))
    return Judged(verdict, ratio, n, len(base), sessions, terms, evidence, 1 if wanted else 0, note)


def _what_is_missing(name: str, n: int, ratio: float, p: float) -> str:
    needed = values_needed(level_of(name))
    if needed is None:
        return f"no number of calls bounds the {name}: gate p95 instead"
    if n < needed:
        return f"{name} needs {needed} pooled calls, have {n}"
    return f"{change(ratio)} at {name}, p = {p:.2g} from {counted(n, 'call')}: more calls would decide it"


def _is_within(bound: float, base: float, terms: Terms) -> bool:
    """Whether a bound rules out three times what is allowed."""
    margin = NON_INFERIORITY_MARGIN
    return not exceeds(rational(bound), rational(base), margin * terms.increase, margin * Fraction(terms.slack))
