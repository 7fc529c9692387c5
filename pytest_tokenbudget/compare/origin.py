"""Slow creep: the last sessions against the origin (rule G)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from pytest_tokenbudget.compare.judgement import change, quotient
from pytest_tokenbudget.compare.terms import Allowance, Kind, Terms, allowance, terms
from pytest_tokenbudget.stats.exact import exceeds, rational_mean
from pytest_tokenbudget.stats.log_ratio import DF_PER_VALUE
from pytest_tokenbudget.stats.quantiles import statistic
from pytest_tokenbudget.stats.robust import median, moderated_variance
from pytest_tokenbudget.stats.student import tail

RECENT_SESSIONS = 5
ORIGIN_MULTIPLE = 2
ORIGIN_ALPHA = 0.001


@dataclass(frozen=True, slots=True)
class Creep:
    """How far a metric has moved since its origin.

    Attributes:
        verdict: ``regression`` where it is beyond twice the allowance and chance does not explain it, else ``ok``.
        ratio: Mean of the last sessions over the origin.
        allowed: Ratio that is allowed, 1 + 2X.
        sessions: Sessions that were averaged, at most 5.
        p: p-value against no increase; ``None`` where the values carry no noise.
        reason: One sentence: ``+31.0 % since the origin, allowed +20.0 %``.
    """

    verdict: Literal["ok", "regression"]
    ratio: float
    allowed: float
    sessions: int
    p: float | None
    reason: str


def judge_origin(
    origin: float,
    recent_sessions: Sequence[Sequence[float]],
    *,
    max_increase: Allowance,
    kind: Kind = "latency",
    origin_samples: int = 1,
    tau: float | None = None,
) -> Creep:
    """Compare the mean of the last five sessions with the origin, at twice the allowance.

    Ten updates of +4 % each pass a gate of 5 % ten times; against the origin they are +48 %.

    Args:
        origin: Value with which the metric was first stored or last accepted: the mean of that session.
        recent_sessions: Values of each session, oldest first, the newest one included.
        max_increase: Allowed increase of the gate itself.
        kind: ``latency``, ``count`` or ``exact``.
        origin_samples: Values that the origin is the mean of, where known.
        tau: Standard deviation of drift between sessions, log scale.

    Returns:
        How far it has moved; ``ok`` with a ratio of ``nan`` where there is no session.

    Raises:
        ValueError: if an argument is out of its range.
    """
    sessions = [session for session in recent_sessions if len(session)][-RECENT_SESSIONS:]
    increase, slack = allowance(max_increase, kind)
    doubled, allowed = ORIGIN_MULTIPLE * increase, 1.0 + ORIGIN_MULTIPLE * float(increase)
    if not sessions:
        return Creep("ok", math.nan, allowed, 0, None, "no session to compare with the origin")
    then = rational_mean([origin])
    now = sum((rational_mean(session) for session in sessions), Fraction(0)) / len(sessions)
    above = exceeds(now, then, doubled, ORIGIN_MULTIPLE * slack)
    p = None
    if kind != "exact" and origin > 0 and all(value > 0 for session in sessions for value in session):
        stated = terms(
            doubled, kind, False, "mean", ORIGIN_ALPHA, None, None, None, None, tau, False, 0,
            None, True, 1, None, 0.05,
        )  # fmt: skip
        p = _p_value(origin, sessions, stated, origin_samples)
    ratio = quotient(float(now), float(then))
    verdict: Literal["ok", "regression"] = "regression" if above and (p is None or p < ORIGIN_ALPHA) else "ok"
    reason = f"{change(ratio)} since the origin, allowed {change(allowed)}"
    return Creep(verdict, ratio, allowed, len(sessions), p, reason)


def _p_value(origin: float, sessions: Sequence[Sequence[float]], stated: Terms, origin_samples: int) -> float | None:
    """p-value against no increase; ``None`` where nothing shows noise.

    The spread is that inside the sessions, so that the creep itself does not count as noise. A series of single values
    that only ever rises is creep as well.
    """
    centres = [median(sorted(session)) for session in sessions]
    rising = all(later >= earlier for earlier, later in pairwise(centres))
    repeated = any(len(session) > 1 for session in sessions)
    if stated.kind == "count" and all(min(s) == max(s) for s in sessions) and (repeated or rising):
        return None
    middle = math.log(median(sorted(centres)))
    squares = sorted(
        (math.log(value / (centre if repeated else math.exp(middle)))) ** 2
        for session, centre in zip(sessions, centres, strict=True)
        for value in session
    )
    model = stated.model
    spent = len(sessions) if repeated else 1
    variance = moderated_variance(squares, model.prior_scale, model.prior_df, centres=spent)
    # Drift of the origin's one session, and of the recent ones, which their mean has averaged.
    drift = model.tau**2 * (1.0 + 1.0 / len(sessions))
    error = math.sqrt(model.deff * variance * (1.0 / max(1, origin_samples) + 1.0 / len(squares)) + drift)
    # The plain mean of the session means, since the origin is a plain mean as well.
    mean = math.log(sum(statistic(session, "mean") for session in sessions) / len(sessions))
    return tail((mean - math.log(origin)) / error, model.prior_df + DF_PER_VALUE * (len(squares) - spent))


def creep_in_words(now: float, since: float) -> str:
    """Both changes in one phrase: ``+4.0 % now, +31.0 % since the origin``."""
    return f"{change(now)} now, {change(since)} since the origin"
