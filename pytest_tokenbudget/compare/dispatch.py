"""Judge values against a baseline: the public way to the statistics, and the one place that chooses the rule.

Which rule judges depends on the kind of the values and on what they show:

* ``exact``: rational comparison (rule A);
* ``count``: the same while nothing shows noise, else the log-ratio test with Fisher's guard (rule C);
* ``latency``: the moderated robust log-ratio test with an exact rank guard (rule B), and for quantiles the exceedance
  test of pooled calls (rule D). Where half of the times are 0, ranks decide.

A rule is imported when it is first needed: many suites gate exact values and counts alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

from pytest_tokenbudget.compare.count_rule import judge_counts
from pytest_tokenbudget.compare.drift_rule import judge_drift
from pytest_tokenbudget.compare.exact_rule import judge_exact, nothing_to_compare
from pytest_tokenbudget.compare.rules import parse_reduction
from pytest_tokenbudget.compare.terms import ALPHA, Allowance, Judged, Kind, Terms, allowance, noise_prior
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL, median
from pytest_tokenbudget.wording import counted

Sessions = Iterable[Iterable[float]] | Iterable[float]
"""The values of each session of a baseline; a flat series is one session."""


def judge(
    baseline_sessions: Sessions,
    new_values: Iterable[float],
    *,
    max_increase: Allowance,
    kind: Kind = "latency",
    paired_run: bool = False,
    statistic: str = "mean",
    slack: float = 0,
    alpha: float = ALPHA,
    beta: float | None = None,
    s0: float | None = None,
    d0: float | None = None,
    deff: float | None = None,
    tau: float | None = None,
    shift: float | None = None,
    look: int | None = None,
    fixed: bool = False,
    family: int = 1,
    max_samples: int | None = None,
    screen: float = SCREENING_LEVEL,
) -> Judged:
    """Judge whether a metric grew by more than it may.

    It may be called once with all values, or again and again with a growing ``new_values`` (and, for interleaved arms,
    a growing baseline): an unchanged metric is called a regression in at most 1 % of gates either way. Where the number
    of values was fixed beforehand and this is the only call, ``fixed=True`` buys the whole level for it.

    The verdict does not depend on the order of the values. Values that are no finite numbers are left out.

    Args:
        baseline_sessions: Values of each session of the baseline, in the metric's unit; a flat sequence is one session.
        new_values: New values, in the same unit.
        max_increase: Allowed increase: 0.2, ``"20%"``, ``"10% +0.5"``, ``Fraction(1, 5)`` or a parsed rule.
        kind: ``latency`` for live times, ``count`` for live tokens and calls, ``exact`` for what carries no noise.
        paired_run: Whether base and new values were drawn interleaved, so that no session lies between them.
        statistic: ``mean`` (for times: a robust location), or ``p50``, ``p75``, ``p90``, ``p95``, ``p99``, ``max``.
        slack: Allowed absolute increase; a regression passes both allowances.
        alpha: Probability of a false alarm.
        beta: Probability of passing an excluded increase at any look; ``None`` for the plan's.
        s0: Expected standard deviation of a logarithm, e.g. a learned one.
        d0: Number of values that ``s0`` counts for.
        deff: Variance inflation by correlation inside a session.
        tau: Standard deviation of the level from session to session, log scale; by default 0.12, 0 for interleaved
            arms, 0.02 where ``shift`` is known.
        shift: Log-ratio that the whole suite moved by, which is taken off.
        look: Index of the look from 0, where the number of new values does not tell it.
        fixed: Whether the number of values was fixed beforehand and is judged only once. A count then gets a verdict
            from fewer values than its rule wants: a regression is what passes the allowance over the worst baseline
            value.
        family: Number of latency gates in the session, among which a level of 5 % is shared out.
        max_samples: Most new values that will ever be drawn; by default the plan's cap.
        screen: p-value below which an increase against a stored baseline is suspected, and worth more samples.

    Returns:
        The result: ``verdict``, ``ratio``, its bounds ``lower`` (99 %) and ``upper`` (95 %), ``detectable``, ``n``,
        ``m``, ``sessions``, ``sigma``, ``p``, ``more`` and ``reason``.

    Raises:
        ValueError: if an argument is out of its range.
    """
    terms = _stated(
        max_increase,
        kind,
        slack=slack,
        s0=s0,
        d0=d0,
        deff=deff,
        tau=tau,
        shift=shift,
        paired=paired_run,
        statistic=statistic,
        alpha=alpha,
        beta=beta,
        look=look,
        fixed=fixed,
        family=family,
        cap=max_samples,
        screen=screen,
    )
    return judge_values(baseline_sessions, new_values, terms)


@lru_cache(maxsize=1024)
def _stated(
    max_increase: Allowance,
    kind: Kind,
    *,
    slack: float,
    s0: float | None,
    d0: float | None,
    deff: float | None,
    tau: float | None,
    shift: float | None,
    paired: bool,
    **stated: Any,
) -> Terms:
    """The terms that the arguments of :func:`judge` mean: a run has few different ones, and many values."""
    increase, absolute = allowance(max_increase, kind, slack)
    noise = noise_prior(kind, paired=paired, s0=s0, d0=d0, deff=deff, tau=tau, shifted=shift is not None)
    return Terms(kind, noise, increase, absolute, learned=d0 is not None, paired=paired, shift=shift or 0.0, **stated)


def judge_values(baseline_sessions: Sessions, new_values: Iterable[float], terms: Terms) -> Judged:
    """Judge an increase on given terms: see :func:`judge`."""
    pooled, sessions = _pooled(baseline_sessions)
    base, new = numbers(pooled), numbers(new_values)
    m, n = len(base), len(new)
    if not m:
        return nothing_to_compare(terms, m, n, sessions, "the baseline has no values to compare with")
    if not n:
        first = terms.plan.looks[0]
        note = f"no new values: {counted(first, 'sample')} would be a start"
        return nothing_to_compare(terms, m, n, sessions, note, first)
    if terms.kind == "exact":
        return judge_exact(base, new, sessions, terms)
    if terms.kind == "count":
        return judge_counts(base, new, sessions, terms)
    if terms.statistic != "mean" or median(base) <= 0 or median(new) <= 0:
        from pytest_tokenbudget.compare.tail_rule import judge_by_ranks, judge_tail

        judge_ranks = judge_by_ranks if terms.statistic == "mean" else judge_tail
        return judge_ranks(base, new, sessions, terms)
    from pytest_tokenbudget.compare.latency_rule import judge_latency

    # A time of 0 is one below the clock's resolution: as short as the shortest that was measured.
    least = min([value for value in (*base, *new) if value > 0])
    base_logs, new_logs = [[math.log(max(value, least)) for value in values] for values in (base, new)]
    return judge_latency(base_logs, new_logs, sessions, terms)


def _pooled(sessions: Sessions) -> tuple[list[float], int]:
    """All values of a baseline, and the number of sessions that they come from."""
    pooled: list[float] = []
    filled = 0
    rest = iter(sessions)
    for session in rest:
        if not hasattr(session, "__iter__"):
            return [*pooled, cast("float", session), *cast("Iterator[float]", rest)], filled + 1
        before = len(pooled)
        pooled += session
        filled += len(pooled) > before
    return pooled, filled


def numbers(values: Iterable[object]) -> list[float]:
    """The finite numbers among some values, ascending; integers stay integers."""
    found: list[float] = []
    for value in values:
        if not isinstance(value, (int, float, Fraction)):
            if value is None or isinstance(value, str) or not hasattr(value, "__float__"):
                continue
            value = float(value)  # noqa: PLW2901  # a Decimal or an array's scalar becomes the number that it is
        if math.isfinite(value):
            found.append(value)  # type: ignore[arg-type]  # a Fraction sorts and compares like a float
    found.sort()
    return found


def judge_improvement(
    baseline_sessions: Sessions,
    new_values: Iterable[float],
    *,
    reduce: float | str | Fraction,
    kind: Kind = "latency",
    paired_run: bool = False,
    statistic: str = "mean",
    s0: float | None = None,
    d0: float | None = None,
    tau: float | None = None,
    fixed: bool = False,
    max_samples: int | None = None,
) -> Judged:
    """Judge whether a metric fell by as much as it should (rule F).

    Args:
        baseline_sessions: Values of each session of the reference; a flat sequence is one session.
        new_values: New values, in the same unit.
        reduce: Wanted reduction: 0.3, ``"30%"`` or a fraction.
        kind: ``latency``, ``count`` or ``exact``, as in :func:`judge`.
        paired_run: Whether reference and new values were drawn interleaved.
        statistic: ``mean`` or a quantile, as in :func:`judge`.
        s0: Expected standard deviation of a logarithm.
        d0: Number of values that ``s0`` counts for.
        tau: Standard deviation of the level from session to session, log scale.
        fixed: Whether no more values can come.
        max_samples: Most new values that will ever be drawn.

    Returns:
        The result, with ``standard``: *demonstrated* (the estimate reaches the target, and that there is an improvement
        is 99 % sure) or *proven* (that the target is reached is 95 % sure). ``target_missed`` needs evidence as well:
        the lower bound of the ratio is above the target.

    Raises:
        ValueError: if an argument is out of its range.
    """
    terms = Terms(
        kind=kind,
        statistic=statistic,
        noise=noise_prior(kind, paired=paired_run, s0=s0, d0=d0, tau=tau),
        learned=d0 is not None,
        paired=paired_run,
        fixed=fixed,
        cap=max_samples,
    )
    return judge_reduction(baseline_sessions, new_values, parse_reduction(reduce), terms)


def judge_reduction(
    baseline_sessions: Sessions, new_values: Iterable[float], reduction: Fraction, terms: Terms
) -> Judged:
    """Judge a wanted reduction on given terms: see :func:`judge_improvement`."""
    from pytest_tokenbudget.compare.target_rule import judge_target

    base, sessions = _pooled(baseline_sessions)
    return judge_target(numbers(base), numbers(new_values), sessions, reduction, terms)


def judge_origin(
    origin: float,
    recent_sessions: Sequence[Sequence[float]],
    *,
    max_increase: Allowance,
    kind: Kind = "latency",
    origin_samples: int = 1,
    tau: float | None = None,
) -> Judged:
    """Compare the mean of the last five sessions with the origin, at twice the allowance (rule G).

    Ten updates of +4 % each pass a gate of 5 % ten times; against the origin they are +48 %.

    Args:
        origin: Value with which the metric was first stored or last accepted: the mean of that session.
        recent_sessions: Values of each session, oldest first, the newest one included.
        max_increase: Allowed increase of the gate itself.
        kind: ``latency``, ``count`` or ``exact``.
        origin_samples: Values that the origin is the mean of, where known.
        tau: Standard deviation of the level from session to session, log scale.

    Returns:
        The result; ``ok`` with a ratio of ``nan`` where there is no session.

    Raises:
        ValueError: if an argument is out of its range.
    """
    increase, slack = allowance(max_increase, kind)
    terms = Terms(kind=kind, increase=increase, slack=slack, noise=noise_prior(kind, paired=False, tau=tau))
    return judge_drift(origin, recent_sessions, terms, origin_samples)
