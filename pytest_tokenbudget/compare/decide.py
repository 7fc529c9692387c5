"""The gates of one test meet its samples and its baseline: the verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from pytest_tokenbudget.compare.gates import expand
from pytest_tokenbudget.compare.increase import Evidence, judge_increase, judge_reduction
from pytest_tokenbudget.compare.origin import ORIGIN_MULTIPLE, judge_origin
from pytest_tokenbudget.compare.values import Number, as_number, sample_values, statistic, stored_sessions
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, OPTIONAL_USAGE, MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import Compositions, inside, within
from pytest_tokenbudget.records.gate import Budget, Gate
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, SEVERITY, GateResult, Verdict
from pytest_tokenbudget.stats.exact import rational
from pytest_tokenbudget.stats.moderation import Prior


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided.

    Attributes:
        budget: What the test's markers say.
        samples: The samples of this run, at least one.
        entry: The stored baseline or reference; ``None`` where there is none.
        may_create: Whether a missing baseline is created by this run, as opposed to being a failure.
        table: The known metrics.
        family: Number of latency gates in the session, among which the level is shared out.
        fixed: Whether the number of samples is fixed, as opposed to adaptive.
        paired: Whether the baseline's samples were taken in this very run, interleaved with the new ones.
        spread: What the suite's baselines say about the spread of live times, if they say enough.
    """

    budget: Budget
    samples: Sequence[Sample]
    entry: BaselineEntry | None
    may_create: bool
    table: Mapping[str, MetricSpec]
    family: int = 1
    fixed: bool = True
    paired: bool = False
    spread: Prior | None = None


def decide(question: Question) -> tuple[GateResult, ...]:
    """Judge every gate of a test.

    Args:
        question: What is to be decided.

    Returns:
        A result for each gate: limits first, then targets, then increases.
    """
    opened = {stage for sample in question.samples for stage in sample.stages}
    known = set(question.entry.stages) if question.entry else set()
    gates = expand(question.budget, stages=sorted(opened | known), default_metrics=DEFAULT_GATES)
    unique = {(gate.metric, gate.kind, gate.text): gate for gate in gates}
    others = _others(question, {gate.metric.stage for gate in unique.values()})
    return tuple(_judge(gate, question, opened, others) for gate in unique.values())


def _others(question: Question, stages: Collection[str]) -> Mapping[str, str]:
    """How those who answer have changed, by stage. Interleaved runs are there to compare them."""
    entry = question.entry
    if entry is None or question.paired:
        return {}
    return {stage: answered_by_others(entry, question.samples, stage) for stage in stages}


def worst(results: Sequence[GateResult]) -> Verdict:
    """The worst verdict of a test's gates; ``improved`` only where something improved and nothing is worse."""
    return worst_verdict([result.verdict for result in results])


def worst_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of some verdicts, ``ok`` where there are none."""
    return next((verdict for verdict in SEVERITY if verdict in verdicts), "ok")


def fails(verdict: Verdict, *, strict: bool) -> bool:
    """Whether a verdict fails its test."""
    return verdict in FAILING or (strict and verdict == "inconclusive")


def needs_baseline(budget: Budget) -> bool:
    """Whether any gate of a budget compares with a stored value."""
    rules = [rule for _, rule in budget.rules]
    if budget.default_rule is not None:
        rules.append(budget.default_rule)
    return bool(budget.reduce) or any(not rule.off for rule in rules)


def _judge(gate: Gate, question: Question, opened: Collection[str], others: Mapping[str, str]) -> GateResult:
    stage, spec = gate.metric.stage, question.table[gate.metric.name]
    absent = bool(gate.explicit and stage and stage not in opened)
    values = None if absent else sample_values(question.samples, gate.metric, spec)
    blank = GateResult(
        metric=gate.metric.key,
        statistic=gate.metric.statistic,
        rule=gate.text,
        kind=gate.kind,
        baseline=None,
        value=statistic(values, gate.metric.statistic) if values else None,
        verdict="ok",
        samples=len(values or question.samples),
        source=_source(question.samples, stage, spec),
        allowed=None if gate.ceiling is None else as_number(gate.ceiling),
    )
    if absent:
        names = ", ".join(sorted(opened)) or "none"
        return replace(blank, verdict="no_calls", reason=f"stage {stage!r} was never opened; opened: {names}")
    if not values:
        return _unknown(blank, gate, spec)
    if gate.kind == "limit":
        return _limit(blank, gate)
    return _against_baseline(blank, gate, question, values, spec, others.get(stage, ""))


def _source(samples: Sequence[Sample], stage: str, spec: MetricSpec) -> str:
    """How a token metric was obtained where not from the provider: ``counted`` or ``calibrated``, else ``""``."""
    if spec.unit not in ("tokens", "USD"):
        return ""
    found: set[str] = set()
    for sample in samples:
        for call in sample.calls:
            if call.succeeded and inside(call.stage, stage):
                if spec.name != "output_tokens" and call.input_source:
                    found.add(call.input_source)
                if spec.name not in ("input_tokens", "fresh_input_tokens") and call.output_source:
                    found.add(call.output_source)
    return "counted" if "counted" in found else "calibrated" if "calibrated" in found else ""


def _unknown(blank: GateResult, gate: Gate, spec: MetricSpec) -> GateResult:
    """A value that is not known fails what the user asked for by name, and leaves a default gate undecided."""
    reason = f"{gate.metric.key} is not known"
    if spec.unit == "USD":
        reason += ": the price of a model is unknown; name it in the ini option tokenbudget_prices"
    elif spec.pooled is not None:
        reason += ": no call has it" + (" (ttft needs a streamed call)" if spec.name == "ttft" else "")
    elif spec.name in OPTIONAL_USAGE:
        reason += ": the provider's usage does not say it"
    else:
        reason += ": a call carried no usage and could not be counted"
    if not gate.explicit:
        return replace(blank, verdict="inconclusive", reason=reason)
    verdicts: dict[str, Verdict] = {"limit": "over_limit", "reduce": "target_missed", "max_increase": "regression"}
    return replace(blank, verdict=verdicts[gate.kind], reason=reason)


def _limit(blank: GateResult, gate: Gate) -> GateResult:
    assert gate.ceiling is not None
    assert blank.value is not None
    return replace(blank, verdict="over_limit" if rational(blank.value) > gate.ceiling else "ok")


def _against_baseline(
    blank: GateResult, gate: Gate, question: Question, values: Sequence[Number], spec: MetricSpec, other: str
) -> GateResult:
    entry = question.entry
    sessions = stored_sessions(entry, gate.metric, spec) if entry is not None else ()
    if entry is None or not sessions:
        if gate.kind == "reduce":
            return replace(blank, verdict="no_baseline", reason=f"{question.budget.against!r} has no {gate.metric.key}")
        if question.may_create or (entry is not None and not gate.explicit):
            kept = "" if entry is None else "the baseline does not have it yet: --tokenbudget-update adds it"
            return replace(blank, verdict="new", reason=kept)
        return replace(blank, verdict="no_baseline", reason=f"{question.budget.against!r} has no {gate.metric.key}")
    base = statistic(sessions[-1] if spec.pooled is None else [v for s in sessions for v in s], gate.metric.statistic)
    evidence = Evidence(
        values=values,
        sessions=sessions,
        base=base,
        timed=spec.timed,
        pooled=spec.pooled is not None,
        projected=_projected(question, spec),
        family=question.family,
        fixed=question.fixed,
        max_samples=question.budget.max_samples,
        paired=question.paired,
        spread=question.spread if spec.timed else None,
        runs=len(question.samples),
    )
    if other:
        return replace(
            blank,
            baseline=base,
            verdict="inconclusive" if question.may_create else "no_baseline",
            reason=f"{other}: not compared; `pytest {_keeping(question.budget)}` keeps the new numbers",
        )
    if gate.kind == "reduce":
        return judge_reduction(replace(blank, baseline=base), gate, evidence)
    judged = judge_increase(replace(blank, baseline=base), gate, evidence)
    creep = _creep(judged, gate, entry, evidence)
    return judged if creep is None else replace(judged, creep=creep)


def _creep(judged: GateResult, gate: Gate, entry: BaselineEntry, evidence: Evidence) -> float | None:
    """How far a metric has crept since its origin: many updates, each within the rule, add up."""
    record = entry.metrics.get(gate.metric.key)
    if record is None or record.origin is None or gate.metric.statistic != "mean":
        return None
    # What shows no noise needs no average over the last sessions: this run says how far it has come.
    recent = [evidence.values] if judged.exact else [*evidence.sessions, evidence.values]
    # No mean is beyond what none of its values reaches.
    if max(map(max, recent)) < record.origin * (1 + ORIGIN_MULTIPLE * float(gate.rule.fraction)):
        return None
    creep = judge_origin(
        record.origin, recent, max_increase=gate.rule, kind="exact" if evidence.projected else evidence.kind
    )
    return creep.ratio - 1 if creep.verdict == "regression" and isfinite(creep.ratio) else None


def _projected(question: Question, spec: MetricSpec) -> bool:
    """Whether the values come from replayed or scripted traffic on both sides, so that they are exact."""
    if spec.name == "own_time":
        return False
    assert question.entry is not None
    now_live = any(sample.traffic == "live" for sample in question.samples)
    if spec.timed:
        return not now_live and question.entry.traffic != "live"
    return not now_live


def _keeping(budget: Budget) -> str:
    """The option that replaces what a budget is compared with."""
    return "--tokenbudget-update" if budget.against == "baseline" else f"--tokenbudget-reference={budget.against}"


def answered_by_others(entry: BaselineEntry, samples: Sequence[Sample], stage: str = "") -> str:
    """How the models or the providers that answer now differ from those of a baseline.

    Args:
        entry: The baseline.
        samples: The samples of this run.
        stage: Path of a stage, ``""`` for the whole test.

    Returns:
        ``the model changed from A to B`` where none of the models, or of the providers, is the same; else ``""``.
        Numbers of one say nothing about those of the other.
    """
    models = {model for sample in samples for model in _stage_models(sample.composition, stage)}
    providers = {call.provider for sample in samples for call in sample.calls if call.succeeded}
    for what, then, now in (
        ("model", set(_stage_models(entry.composition, stage)), models),
        ("provider", set(entry.providers), providers),
    ):
        if then and now and not then & now:
            return f"the {what} changed from {', '.join(sorted(then))} to {', '.join(sorted(now))}"
    return ""


def _stage_models(composition: Compositions, stage: str) -> Sequence[str]:
    found = within(composition, stage)
    return found.models if found is not None else ()
