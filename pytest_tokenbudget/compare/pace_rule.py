"""The provider's part of latency, gated by name: was each model as fast as in the baseline?

Drift between sessions is no noise here, it is what is asked for. So the ratio of measured to expected time is judged by its
own interval, which comes from the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_tokenbudget.compare.sequential import STORED
from pytest_tokenbudget.compare.terms import NON_INFERIORITY_MARGIN
from pytest_tokenbudget.measure.constant_speed import pool_paces, provider_paces
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Gate
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, ProviderPace, Verdict
from pytest_tokenbudget.wording import counted


def judge_pace(
    said: GateResult, gate: Gate, samples: Sequence[Sample], entry: BaselineEntry | None, *, fixed: bool, most: int
) -> GateResult:
    """Judge how fast the models of a stage were.

    Args:
        said: What is known of the gate beforehand: it compares with 1.
        gate: The gate.
        samples: The samples of this run.
        entry: The baseline, whose speeds say what a call should have taken.
        fixed: Whether no more samples can come.
        most: Most samples that will be taken.

    Returns:
        A regression needs a ratio above what is allowed, an interval above 1, and three samples: an incident slows all
        calls of one. ``ok`` rules out three times what is allowed.
    """
    if all(sample.traffic != "live" for sample in samples):
        return replace(said, verdict="ok" if gate.kind != "reduce" else "target_missed", value=1.0)
    said = replace(said, exact=False)
    if entry is None or not entry.speeds:
        reason = "the baseline holds no speed of its models: `pytest --tokenbudget-update` adds it"
        return replace(said, verdict="no_baseline", reason=reason)
    paces = provider_paces([_of_stage(sample, gate.metric.stage) for sample in samples], entry.speeds)
    if not paces:
        return replace(said, reason="no call of this run is one whose model and stage the baseline timed")
    pace = pool_paces(paces)
    verdict = _verdict(gate, pace, enough=len(samples) >= STORED.minimum)
    said = replace(said, verdict=verdict, value=pace.ratio, lower=pace.lower - 1, upper=pace.upper - 1)
    if verdict != "inconclusive":
        return said
    suspicious = pace.ratio > 1 + _allowed(gate) or gate.kind == "reduce"
    following = STORED.following(len(samples), most)
    more = 0 if fixed or not suspicious or following is None else following - len(samples)
    wanted = f"{counted(more, 'more sample')} may decide it" if more else "more calls would decide it"
    between = f"{pace.lower:.2g} to {pace.upper:.2g} times the expected time in {counted(pace.calls, 'call')}"
    return replace(said, reason=f"{between}: {wanted}", more=more)


def _verdict(gate: Gate, pace: ProviderPace, *, enough: bool) -> Verdict:
    if gate.kind == "limit":
        return "over_limit" if gate.ceiling is not None and pace.ratio > gate.ceiling else "ok"
    if gate.kind == "reduce":
        wanted = 1.0 - float(gate.reduction or 0)
        if pace.ratio <= wanted and pace.upper < 1.0:
            return "improved"
        return "target_missed" if pace.lower > wanted else "inconclusive"
    allowed = _allowed(gate)
    if pace.ratio > 1.0 + allowed and pace.lower > 1.0:
        return "regression" if enough else "inconclusive"
    if pace.ratio < 1.0 - allowed and pace.upper < 1.0 and enough:
        return "improved"
    return "ok" if pace.upper < 1.0 + NON_INFERIORITY_MARGIN * allowed else "inconclusive"


def _allowed(gate: Gate) -> float:
    return float(max(gate.rule.fraction, gate.rule.slack))


def _of_stage(sample: Sample, stage: str) -> Sample:
    return replace(sample, calls=tuple(call for call in sample.calls if inside(call.stage, stage)))
