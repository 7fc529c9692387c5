"""Rule C: live counts are compared exactly while nothing shows noise, and judged by the log-ratio test else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_tokenbudget.compare.exact_rule import comparison, judge_exact
from pytest_tokenbudget.compare.sequential import QUIET
from pytest_tokenbudget.compare.terms import Judged, Terms
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.statistic import exceeds, median, rational
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    from pytest_tokenbudget.compare.latency_rule import Ordered
    from pytest_tokenbudget.stats.log_ratio import LogRatio

_MOST_MISSING = 10
"""Baseline values that are looked for at most: ten make every test significant that can be."""

_SEPARATED_FROM = 10
_SEPARATED_BY = 0.75
"""Share of the new values' range. Without it a low first value of a noisy count gives up to 4 % false alarms, with it
0.5 % (1.6 % where the count is as small as a Poisson of 4)."""


def judge_counts(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judged:
    """Judge live counts.

    Args:
        base: Ascending baseline values, at least one.
        new: Ascending new values, at least one.
        sessions: Sessions that the baseline comes from.
        terms: The terms.

    Returns:
        The result.
    """
    if base[0] == base[-1] and new[0] == new[-1]:
        return _judge_quiet(base, new, sessions, terms)
    if base[0] <= 0 or new[0] <= 0 or terms.statistic != "mean":
        from pytest_tokenbudget.compare.tail_rule import judge_by_ranks

        return judge_by_ranks(base, new, sessions, terms)
    return _judge_noisy(base, new, sessions, terms)


def _judge_quiet(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judged:
    """No noise has been seen: a change beyond the allowance is believed when three values agree, anything else at once.

    An increase asks for them. A decrease is within the budget, and asks only where improvements are looked for.
    """
    judged = judge_exact(base, new, sessions, terms)
    n = len(new)
    if judged.verdict == "ok" or terms.fixed or n >= QUIET.minimum:
        return judged
    missing = counted(QUIET.minimum - n, "more sample")
    if judged.verdict == "improved" and not terms.confirms_improvements:
        return replace(judged, verdict="ok", note=f"{missing} would tell an improvement from chance")
    # One at a time: where the next one differs from this one, the values vary, and the third decides nothing.
    more = min(1, terms.more(n, QUIET.minimum))
    what = "an increase in live traffic is confirmed before it fails"
    if judged.verdict == "improved":
        what = "an improvement in live traffic is confirmed before it is kept"
    evidence = comparison(judged.ratio, terms, suspicious=more > 0)
    return replace(
        judged, verdict="inconclusive", evidence=evidence, more=more, note=f"{missing} would decide it: {what}"
    )


def _judge_noisy(base: Sequence[float], new: Sequence[float], sessions: int, terms: Terms) -> Judged:
    from pytest_tokenbudget.compare.latency_rule import LogRatioEvidence, is_decrease, is_increase
    from pytest_tokenbudget.stats.log_ratio import fit

    base_logs, new_logs = [math.log(v) for v in base], [math.log(v) for v in new]
    fitted, _ = fit(base_logs, new_logs, sessions, terms.noise)
    n = fitted.n
    allowed = terms.log_allowed
    if terms.slack:
        allowed = max(allowed, math.log1p(float(terms.slack) / median(base)))
    verdict: Verdict = "inconclusive"
    note, more, missing = "", 0, 0
    if fitted.estimate <= allowed:
        verdict = "improved" if is_decrease(terms, fitted, allowed, base_logs, new_logs) else "ok"
    elif (
        is_increase(terms, fitted, allowed, base_logs, new_logs)
        or _is_separated(terms, fitted, base_logs, new_logs)
        or (
            terms.fixed
            and n < terms.plan.minimum
            and exceeds(rational(median(new)), rational(base[-1]), terms.increase, terms.slack)
        )
    ):
        verdict = "regression"
    elif missing := baseline_samples_missing(terms, fitted.m, n):
        # Another value may still separate the new ones from a baseline of few: all of them have to lie above.
        can_separate = new_logs[0] - base_logs[-1] > terms.log_allowed and terms.more(n, _SEPARATED_FROM) > 0
        more = int(can_separate)
        has = counted(fitted.m, "baseline sample")
        note = f"these counts vary, and {has} cannot tell a change from chance: `tokenbudget calibrate` records more"
    else:
        more = terms.more(n)
        if n < terms.plan.minimum:
            note = f"{counted(terms.plan.minimum - n, 'more sample')} would decide it: these counts vary"
    decided = verdict != "inconclusive"
    evidence = LogRatioEvidence(terms, sessions, fitted, fitted, allowed, allowed, base_logs, new_logs, decided)
    return Judged(
        verdict, math.exp(fitted.estimate), n, fitted.m, sessions, terms, evidence, more, note, baseline_missing=missing
    )


def baseline_samples_missing(terms: Terms, m: int, n: int) -> int:
    """Tell how many values a baseline lacks, so that a test of counts that vary can be significant at the last look."""
    from pytest_tokenbudget.compare.latency_rule import guard_attainable

    if terms.paired:
        return 0
    at = max(n, terms.plan.cap if terms.cap is None else min(terms.cap, terms.plan.cap))
    return next((more for more in range(_MOST_MISSING) if guard_attainable(terms, m + more, n, at)), _MOST_MISSING)


def _is_separated(terms: Terms, fitted: LogRatio, base: Ordered, new: Ordered) -> bool:
    """Tell whether many new values lie well apart from a baseline of so few that no test can be significant.

    How far apart is measured by how far they lie apart from each other.
    """
    from pytest_tokenbudget.stats.distributions import upper_quantile
    from pytest_tokenbudget.stats.ranks import smallest_p

    n = fitted.n
    if n < _SEPARATED_FROM or smallest_p(fitted.m, n) <= terms.guard(n):
        return False
    if fitted.estimate <= upper_quantile(terms.level(), fitted.nu) * fitted.error:
        return False
    return new[0] - base[-1] > max(terms.log_allowed, _SEPARATED_BY * (new[-1] - new[0]))
