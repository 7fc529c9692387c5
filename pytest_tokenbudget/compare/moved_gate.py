"""A gate whose values moved, or vary, is judged by the rule of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING

from pytest_tokenbudget.compare.dispatch import judge_reduction, judge_values
from pytest_tokenbudget.compare.drift_rule import judge_drift
from pytest_tokenbudget.compare.sequential import PAIRED, STORED
from pytest_tokenbudget.compare.stage_moves import without_moves
from pytest_tokenbudget.compare.terms import Judged, Kind, Terms, noise_prior
from pytest_tokenbudget.compare.values import is_far_from_origin
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES
from pytest_tokenbudget.records.baseline import BaselineEntry, Number, Session
from pytest_tokenbudget.records.gate import Gate
from pytest_tokenbudget.records.verdict import GateResult, Verdict
from pytest_tokenbudget.stats.ranks import values_needed
from pytest_tokenbudget.stats.statistic import level_of
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    from pytest_tokenbudget.compare.gate_results import GateInput

LEARNED_SESSIONS = 5
"""Sessions of measured times that a default latency gate waits for."""


def judge_moved(
    said: GateResult,
    gate: Gate,
    values: Sequence[Number],
    sessions: Sequence[Session],
    given: GateInput,
    entry: BaselineEntry,
    *,
    kind: Kind,
    forgiven: Fraction,
) -> GateResult:
    """Judge a gate by the statistics of its kind.

    Args:
        said: What is known of the gate beforehand: its values and its rule.
        gate: The gate.
        values: The values of this run, at least one.
        sessions: The stored sessions, at least one.
        given: What the test is judged on.
        entry: The baseline.
        kind: The kind of the values.
        forgiven: What is forgiven beside the rule, in s.
    """
    spec = given.table[gate.metric.name]
    terms = _terms(gate, given, kind, forgiven)
    compared = sessions[-1:] if kind == "exact" else sessions
    if gate.kind == "reduce":
        assert gate.reduction is not None
        judged = judge_reduction(compared, values, gate.reduction, terms)
    else:
        judged = judge_values(compared, values, terms)
    verdict, more = judged.verdict, judged.more
    reason = judged.reason if gate.kind == "reduce" or verdict == "inconclusive" else ""
    default = not gate.explicit and gate.metric.name in DEFAULT_GATES
    learning = default and not given.paired and verdict == "inconclusive"
    learning = learning and (kind == "latency" or judged.baseline_missing > 0)
    if learning and kind == "latency":
        reason = _what_comes_by_itself(sessions)
    if spec.pooled is not None:
        verdict, more, reason = _pooled(gate, judged, values, given, reason)
    result = replace(
        said,
        verdict=verdict,
        exact=judged.exact,
        sigma=judged.sigma,
        reason=reason,
        more=more if verdict == "inconclusive" else 0,
        learning=learning,
        drift=_drift(gate, values, sessions, entry, terms, exact=judged.exact),
    )
    if verdict != "ok" and not judged.exact:
        result = replace(
            result,
            lower=_finite(judged.lower - 1),
            upper=_finite(judged.upper - 1),
            detectable=_finite(judged.detectable),
            p=judged.p,
        )
    return without_moves(gate, result, spec, given.samples, entry)


def _terms(gate: Gate, given: GateInput, kind: Kind, forgiven: Fraction) -> Terms:
    prior = given.suite.noise if kind == "latency" else None
    noise = noise_prior(kind, paired=given.paired, s0=prior.scale if prior else None, d0=prior.df if prior else None)
    return Terms(
        kind=kind,
        increase=gate.rule.fraction,
        slack=max(gate.rule.slack, forgiven),
        statistic=gate.metric.statistic,
        noise=noise,
        learned=prior is not None,
        paired=given.paired,
        fixed=given.fixed,
        family=given.suite.family if kind == "latency" else 1,
        cap=None if given.table[gate.metric.name].pooled is not None else given.budget.max_samples,
        confirms_improvements=given.confirms_improvements,
    )


def _pooled(
    gate: Gate, judged: Judged, values: Sequence[Number], given: GateInput, reason: str
) -> tuple[Verdict, int, str]:
    """Verdict, further samples and reason of pooled calls, which grow by several with each sample."""
    runs = len(given.samples)
    missing = STORED.minimum - runs
    if judged.verdict == "regression" and missing > 0:
        # Calls of one run resemble each other: an incident of the provider slows them all.
        reason = f"{counted(missing, 'more sample')} would confirm it: calls of one sample resemble each other"
        return "inconclusive", 0 if given.fixed else missing, reason
    if given.fixed:
        return judged.verdict, 0, reason
    plan = PAIRED if given.paired else STORED
    needed = None if gate.metric.statistic == "mean" else values_needed(level_of(gate.metric.statistic))
    most = len(values) * min(given.budget.max_samples, plan.cap) // runs
    wanted = judged.more > 0 or gate.kind == "reduce"
    if not wanted and not (given.paired and needed is not None and needed <= most):
        return judged.verdict, 0, reason
    following = plan.following(runs, given.budget.max_samples)
    return judged.verdict, 0 if following is None else following - runs, reason


def _what_comes_by_itself(sessions: Sequence[Session]) -> str:
    """The reason of a default latency gate that compares measured times: its baseline was written without a speed."""
    if len(sessions) < LEARNED_SESSIONS:
        return f"latency: {len(sessions)} of {LEARNED_SESSIONS} sessions; each `--tokenbudget-update` adds one"
    return "latency: the baseline holds no speed of its models; `--tokenbudget-update` adds it"


def _drift(
    gate: Gate,
    values: Sequence[Number],
    sessions: Sequence[Session],
    entry: BaselineEntry,
    terms: Terms,
    *,
    exact: bool,
) -> float | None:
    """Increase since the origin where it is beyond twice the allowance: many updates, each within the rule, add up."""
    # What shows no noise needs no average over the last sessions: this run says how far it has come.
    recent = [values] if exact else [*sessions, values]
    if gate.kind == "reduce" or not is_far_from_origin(gate, recent, entry):
        return None
    origin = entry.metrics[gate.metric.key].origin
    assert origin is not None
    since = judge_drift(origin, recent, replace(terms, noise=noise_prior(terms.kind, paired=False)))
    return since.ratio - 1 if since.verdict == "regression" and isfinite(since.ratio) else None


def _finite(value: float) -> float | None:
    """A number that JSON can hold, else ``None``."""
    return value if isfinite(value) else None
