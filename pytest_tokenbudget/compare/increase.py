"""One gate against its baseline: which rule decides, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite

from pytest_tokenbudget.compare.judgement import count
from pytest_tokenbudget.compare.judging import judge, judge_improvement
from pytest_tokenbudget.compare.looks import PAIRED, STORED
from pytest_tokenbudget.compare.terms import Kind
from pytest_tokenbudget.compare.values import Number, as_number
from pytest_tokenbudget.records.gate import Gate
from pytest_tokenbudget.records.verdict import GateResult, Verdict
from pytest_tokenbudget.stats.exact import exceeds, falls_short, rational
from pytest_tokenbudget.stats.moderation import Prior
from pytest_tokenbudget.stats.quantiles import level_of
from pytest_tokenbudget.stats.tails import values_needed


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate is judged on.

    Attributes:
        values: The values of this run.
        sessions: The stored sessions, oldest first.
        base: The gate's statistic of the baseline.
        timed: Whether the metric is a time.
        pooled: Whether the values are those of single calls.
        projected: Whether the traffic was replayed or scripted, so that values are exact.
        family: Number of latency gates among which the level is shared out.
        fixed: Whether the number of samples is fixed, as opposed to adaptive.
        max_samples: Most samples that will be taken.
        paired: Whether the sessions were drawn interleaved with the values, so that no drift lies between them.
        spread: The learned spread of live times.
        runs: Samples that the values come from.
    """

    values: Sequence[Number]
    sessions: Sequence[Sequence[Number]]
    base: Number
    timed: bool
    pooled: bool
    projected: bool
    family: int
    fixed: bool
    max_samples: int
    paired: bool = False
    spread: Prior | None = None
    runs: int = 1

    @property
    def unmoved(self) -> bool:
        """Whether every value of now and of then is the same: what most gates of most runs find."""
        return not self.timed and all(
            value == self.base for values in (self.values, *self.sessions) for value in values
        )

    @property
    def kind(self) -> Kind:
        """What kind of values the statistics are told that they are."""
        return "latency" if self.timed else "count"


def judge_increase(blank: GateResult, gate: Gate, evidence: Evidence) -> GateResult:
    """Judge a ``max_increase`` gate: exactly where nothing is noisy, by statistics else."""
    if evidence.unmoved:
        return replace(blank, allowed=_ceiling(rational(evidence.base), gate))
    if evidence.projected:
        return exact_increase(blank, gate)
    judged = judge(
        evidence.sessions,
        evidence.values,
        max_increase=gate.rule,
        kind=evidence.kind,
        paired_run=evidence.paired,
        s0=evidence.spread.scale if evidence.spread else None,
        d0=evidence.spread.df if evidence.spread else None,
        statistic=gate.metric.statistic,
        fixed=evidence.fixed,
        family=evidence.family,
        max_samples=None if evidence.pooled else evidence.max_samples,
    )
    if judged.exact and judged.verdict != "inconclusive":
        return exact_increase(blank, gate)
    verdict, more, reason = judged.verdict, judged.more, judged.reason
    missing = STORED.minimum - evidence.runs
    if evidence.pooled:
        more = _further_runs(evidence, gate.metric.statistic, wanted=judged.more > 0)
        if verdict == "regression" and missing > 0:
            # Calls of one run resemble each other: an incident of the provider slows them all.
            verdict, more = "inconclusive", 0 if evidence.fixed else missing
            reason = f"{count(missing, 'more sample')} would confirm it: calls of one sample resemble each other"
    shown = verdict != "ok"
    return replace(
        blank,
        verdict=verdict,
        exact=judged.exact,
        lower=finite(judged.lower - 1) if shown else None,
        upper=finite(judged.upper - 1) if shown else None,
        detectable=finite(judged.detectable) if shown else None,
        sigma=judged.sigma,
        p=judged.p if shown else None,
        reason=reason if verdict == "inconclusive" else "",
        allowed=_ceiling(rational(blank.baseline or 0), gate),
        more=more if verdict == "inconclusive" else 0,
    )


def _further_runs(evidence: Evidence, statistic: str, *, wanted: bool) -> int:
    """Samples until the next look at pooled calls: where it is wanted, or enough of them to pass will come."""
    if evidence.fixed:
        return 0
    plan = PAIRED if evidence.paired else STORED
    needed = None if statistic == "mean" else values_needed(level_of(statistic))
    most = len(evidence.values) * min(evidence.max_samples, plan.cap) // evidence.runs
    if not wanted and not (evidence.paired and needed is not None and needed <= most):
        return 0
    following = plan.following(evidence.runs, evidence.max_samples)
    return 0 if following is None else following - evidence.runs


def finite(value: float | None) -> float | None:
    """A number that JSON can hold, else ``None``."""
    return value if value is not None and isfinite(value) else None


def exact_increase(blank: GateResult, gate: Gate) -> GateResult:
    """Compare exactly: a regression is an increase beyond the allowed share and beyond the slack."""
    assert blank.value is not None
    assert blank.baseline is not None
    now, base, rule = rational(blank.value), rational(blank.baseline), gate.rule
    verdict: Verdict = "ok"
    if exceeds(now, base, rule.fraction, rule.slack):
        verdict = "regression"
    elif falls_short(now, base, rule.fraction, rule.slack):
        verdict = "improved"
    return replace(blank, verdict=verdict, allowed=_ceiling(base, gate))


def _ceiling(base: Fraction, gate: Gate) -> Number:
    """The largest value that a rule allows."""
    relative = base * (1 + gate.rule.fraction)
    return as_number(max(relative, base + gate.rule.slack) if gate.rule.slack else relative)


def judge_reduction(blank: GateResult, gate: Gate, evidence: Evidence) -> GateResult:
    """Judge a ``reduce`` gate: at least that share below what it is compared with."""
    assert blank.value is not None
    assert blank.baseline is not None
    assert gate.reduction is not None
    wanted = rational(blank.baseline) * (1 - gate.reduction)
    met = rational(blank.value) <= wanted
    blank = replace(blank, allowed=as_number(wanted))
    if evidence.projected:
        return replace(blank, verdict="improved" if met else "target_missed")
    judged = judge_improvement(
        evidence.sessions,
        evidence.values,
        reduce=gate.reduction,
        kind=evidence.kind,
        paired_run=evidence.paired,
        s0=evidence.spread.scale if evidence.spread else None,
        d0=evidence.spread.df if evidence.spread else None,
        statistic=gate.metric.statistic,
        fixed=evidence.fixed,
        max_samples=None if evidence.pooled else evidence.max_samples,
    )
    verdict: Verdict = judged.verdict
    if verdict == "inconclusive" and not judged.more:
        verdict = "target_missed"
    return replace(
        blank,
        verdict=verdict,
        exact=not evidence.timed,
        lower=finite(judged.lower - 1),
        upper=finite(judged.upper - 1),
        reason=judged.reason,
        more=judged.more,
    )
