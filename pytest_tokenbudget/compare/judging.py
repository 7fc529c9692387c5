"""Judge one metric of one test against its baseline: the public way to the statistics.

Which rule judges it depends on its kind and on what the values show:

* ``exact``: rational comparison (rule A);
* ``count``: the same while nothing shows noise, else the log-ratio test with Fisher's guard (rule C);
* ``latency``: the moderated robust log-ratio test with an exact rank guard (rule B), and for quantiles the exceedance
  test of pooled calls (rule D). Where half of the times are 0, ranks decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import cast

from pytest_tokenbudget.compare.counts import judge_counts, judge_exact
from pytest_tokenbudget.compare.improvements import Improvement, improvement
from pytest_tokenbudget.compare.judgement import Judgement, count, undecided
from pytest_tokenbudget.compare.latency import judge_latency
from pytest_tokenbudget.compare.origin import judge_origin
from pytest_tokenbudget.compare.rules import parse_reduction
from pytest_tokenbudget.compare.tails import judge_by_ranks, judge_tail
from pytest_tokenbudget.compare.terms import ALPHA, Allowance, Kind, Terms, terms
from pytest_tokenbudget.stats.multiplicity import SCREENING_LEVEL
from pytest_tokenbudget.stats.robust import median

Sessions = Iterable[Iterable[float]] | Iterable[float]
"""The values of each session of a baseline; a flat series is one session."""

__all__ = ["Improvement", "Judgement", "Sessions", "judge", "judge_improvement", "judge_origin"]


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
) -> Judgement:
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
        paired_run: Whether base and new values were drawn interleaved, so that no drift lies between them.
        statistic: ``mean`` (for times: a robust location), or ``p50``, ``p75``, ``p90``, ``p95``, ``p99``, ``max``.
        slack: Allowed absolute increase; a regression passes both allowances.
        alpha: Probability of a false alarm.
        beta: Probability of passing an excluded increase at any look; ``None`` for the plan's.
        s0: Expected standard deviation of a logarithm, e.g. a learned one.
        d0: Number of values that ``s0`` counts for.
        deff: Variance inflation by correlation inside a session.
        tau: Standard deviation of drift between sessions, log scale; by default 0.12, 0 for interleaved arms, 0.02
            where ``shift`` is known.
        shift: Log-ratio that the whole suite moved by, which is taken off.
        look: Index of the look from 0, where the number of new values does not tell it.
        fixed: Whether the number of values was fixed beforehand and is judged only once. A count then gets a verdict
            from fewer values than its rule wants: a regression is what passes the allowance over the worst baseline
            value.
        family: Number of latency gates in the session, among which a level of 5 % is shared out.
        max_samples: Most new values that will ever be drawn; by default the plan's cap.
        screen: p-value below which an increase against a stored baseline is suspected, and worth more samples.

    Returns:
        The judgement: ``verdict``, ``ratio``, its bounds ``lower`` (99 %) and ``upper`` (95 %), ``detectable``, ``n``,
        ``m``, ``sessions``, ``sigma``, ``p``, ``more`` and ``reason``.

    Raises:
        ValueError: if an argument is out of its range.
    """
    stated = terms(
        max_increase, kind, paired_run, statistic, alpha, beta, s0, d0, deff, tau, shift is not None, slack,
        look, fixed, family, max_samples, screen,
    )  # fmt: skip
    base, sessions = _pooled(baseline_sessions)
    new = new_values if isinstance(new_values, list) else list(new_values)
    if kind == "latency" and statistic == "mean":
        judged = _by_logarithms(base, new, sessions, stated, shift or 0.0)
        if judged is not None:
            return judged
    return _by_values(base, new, sessions, stated, shift or 0.0)


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


def _by_logarithms(
    base: Sequence[float], new: Sequence[float], sessions: int, stated: Terms, shift: float
) -> Judgement | None:
    """The usual case; ``None`` where a value is missing, not finite or not positive."""
    try:
        base_logs, new_logs = sorted(map(math.log, base)), sorted(map(math.log, new))
    except (TypeError, ValueError, OverflowError):
        return None
    if not base_logs or not new_logs or not math.isfinite(sum(base_logs) + sum(new_logs)):
        return None
    return judge_latency(base_logs, new_logs, sessions, stated, shift)


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


def _by_values(base: Sequence[float], new: Sequence[float], sessions: int, stated: Terms, shift: float) -> Judgement:
    """Judge values as they are: counts, exact values, quantiles, and times that have no logarithm."""
    then, now = numbers(base), numbers(new)
    m, n = len(then), len(now)
    if not m:
        return undecided(stated, m, n, sessions, "the baseline has no values to compare with")
    if not n:
        first = stated.plan.looks[0]
        return undecided(stated, m, n, sessions, f"no new values: {count(first, 'sample')} would be a start", first)
    if stated.kind == "exact":
        return judge_exact(then, now, sessions, stated)
    if stated.kind == "count":
        return judge_counts(then, now, sessions, stated)
    if stated.statistic != "mean":
        return judge_tail(then, now, sessions, stated)
    if median(then) <= 0 or median(now) <= 0:
        return judge_by_ranks(then, now, sessions, stated)
    # A time of 0 is one below the clock's resolution: as short as the shortest that was measured.
    least = min(value for value in (*then, *now) if value > 0)
    base_logs, new_logs = ([math.log(max(value, least)) for value in values] for values in (then, now))
    return judge_latency(base_logs, new_logs, sessions, stated, shift)


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
) -> Improvement:
    """Judge whether a metric fell by as much as it should.

    Args:
        baseline_sessions: Values of each session of the reference; a flat sequence is one session.
        new_values: New values, in the same unit.
        reduce: Wanted reduction: 0.3, ``"30%"`` or a fraction.
        kind: ``latency``, ``count`` or ``exact``, as in :func:`judge`.
        paired_run: Whether reference and new values were drawn interleaved.
        statistic: ``mean`` or a quantile, as in :func:`judge`.
        s0: Expected standard deviation of a logarithm.
        d0: Number of values that ``s0`` counts for.
        tau: Standard deviation of drift between sessions, log scale.
        fixed: Whether no more values can come.
        max_samples: Most new values that will ever be drawn.

    Returns:
        What became of it, and by which standard: *demonstrated* (the estimate reaches the target, and that there is an
        improvement is 99 % sure) or *proven* (that the target is reached is 95 % sure).

    Raises:
        ValueError: if an argument is out of its range.
    """
    stated = terms(
        Fraction(0), kind, paired_run, statistic, ALPHA, None, s0, d0, None, tau, False, 0,
        None, fixed, 1, max_samples, SCREENING_LEVEL,
    )  # fmt: skip
    base, sessions = _pooled(baseline_sessions)
    return improvement(numbers(base), numbers(new_values), sessions, parse_reduction(reduce), stated)
