"""Rule G: the last sessions are compared with the origin, so that many small steps are seen as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from pytest_tokenbudget.compare.exact_rule import comparison, nothing_to_compare
from pytest_tokenbudget.compare.terms import Judged, Terms, change, quotient
from pytest_tokenbudget.compare.values import ORIGIN_MULTIPLE
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.distributions import tail
from pytest_tokenbudget.stats.log_ratio import DF_PER_VALUE, moderated_variance
from pytest_tokenbudget.stats.statistic import exceeds, mean, median, rational, rational_mean

RECENT_SESSIONS = 5
ORIGIN_ALPHA = 0.001


def judge_drift(origin: float, recent: Sequence[Sequence[float]], terms: Terms, origin_samples: int = 1) -> Judged:
    """Compare the mean of the last five sessions with the origin, at twice the allowance.

    Args:
        origin: Value with which the metric was first stored or last accepted: the mean of that session.
        recent: Values of each session, oldest first, the newest one included.
        terms: The terms of the gate itself.
        origin_samples: Values that the origin is the mean of, where known.

    Returns:
        ``regression`` where it is beyond twice the allowance and chance does not explain it, else ``ok``.
    """
    terms = replace(terms, increase=ORIGIN_MULTIPLE * terms.increase, slack=ORIGIN_MULTIPLE * terms.slack)
    sessions = [session for session in recent if len(session)][-RECENT_SESSIONS:]
    if not sessions:
        return replace(nothing_to_compare(terms, 1, 0, 0, "no session to compare with the origin"), verdict="ok")
    then = rational(origin)
    now = sum((rational_mean(session) for session in sessions), Fraction(0)) / len(sessions)
    above = exceeds(now, then, terms.increase, terms.slack)
    p = None
    if terms.kind != "exact" and origin > 0 and all(value > 0 for session in sessions for value in session):
        p = _p_value(origin, sessions, terms, origin_samples)
    ratio = quotient(float(now), float(then))
    verdict: Verdict = "regression" if above and (p is None or p < ORIGIN_ALPHA) else "ok"
    note = f"{change(ratio)} since the origin, allowed {change(1.0 + float(terms.increase))}"
    n = sum(map(len, sessions))
    evidence = comparison(ratio, terms, p=p)
    return Judged(verdict, ratio, n, origin_samples, len(sessions), terms, evidence, note=note)


def _p_value(origin: float, sessions: Sequence[Sequence[float]], terms: Terms, origin_samples: int) -> float | None:
    """p-value against no increase; ``None`` where nothing shows noise.

    The noise is that inside the sessions, so that the drift itself does not count as noise. A series of single values
    that only ever rises is drift as well.
    """
    centres = [median(sorted(session)) for session in sessions]
    rising = all(later >= earlier for earlier, later in pairwise(centres))
    repeated = any(len(session) > 1 for session in sessions)
    if terms.kind == "count" and all(min(s) == max(s) for s in sessions) and (repeated or rising):
        return None
    middle = math.log(median(sorted(centres)))
    squares = sorted(
        (math.log(value / (centre if repeated else math.exp(middle)))) ** 2
        for session, centre in zip(sessions, centres, strict=True)
        for value in session
    )
    noise = terms.noise
    spent = len(sessions) if repeated else 1
    variance = moderated_variance(squares, noise.scale, noise.df, centres=spent)
    # The level of the origin's one session varies, and so do those of the recent ones, which their mean has averaged.
    between = noise.tau**2 * (1.0 + 1.0 / len(sessions))
    error = math.sqrt(noise.deff * variance * (1.0 / max(1, origin_samples) + 1.0 / len(squares)) + between)
    # The plain mean of the session means, since the origin is a plain mean as well.
    centre = math.log(sum(mean(session) for session in sessions) / len(sessions))
    return tail((centre - math.log(origin)) / error, noise.df + DF_PER_VALUE * (len(squares) - spent))
