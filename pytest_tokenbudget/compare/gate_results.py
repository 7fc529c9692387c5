"""The gates of one test meet its samples and its baseline: each becomes a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from pytest_tokenbudget.compare.exact_part import METRICS, decided_by_the_prompt, exact_part
from pytest_tokenbudget.compare.other_model import WhoAnswers, cost_gates, who_answers
from pytest_tokenbudget.compare.rules import expand, names_any_tool, why_absent
from pytest_tokenbudget.compare.values import (
    is_far_from_origin,
    offered_tools,
    sample_values,
    sources,
    stored_sessions,
    why_unknown,
)
from pytest_tokenbudget.measure.constant_speed import CLOCK_NOISE_S, clock_noise_of, has_unusual_own_time
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, OPEN_TIMES, PROVIDER_PACE, MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, Number, Session
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Budget, Gate, GateKind, is_tool_metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import ExactPart, GateResult, Verdict
from pytest_tokenbudget.stats.log_ratio import ScalePrior
from pytest_tokenbudget.stats.statistic import as_number, exceeds, falls_short, rational, statistic

if TYPE_CHECKING:
    from pytest_tokenbudget.compare.terms import Kind

_NUMBERS_OF_CALLS = frozenset({"calls", "failed_attempts"})
"""Metrics that the code alone decides: they are never estimated."""

_UNKNOWN: Mapping[GateKind, Verdict] = {
    "limit": "over_limit",
    "reduce": "target_missed",
    "max_increase": "regression",
}
"""Verdicts of gates that were named by the user and whose value is not known."""


class Suite(Protocol):
    """The other tests of a session, as far as live times are judged by them; asked for only where such times are judged."""

    @property
    def family(self) -> int:
        """Number of gates in the session that compare live times, among which the level is shared out."""

    @property
    def noise(self) -> ScalePrior | None:
        """The noise of live times that the baselines of the tests teach; ``None`` where they say too little."""


@dataclass(frozen=True, slots=True)
class Alone:
    """No suite: a test by itself, or one whose number of gates is known beforehand."""

    family: int = 1
    noise: ScalePrior | None = None


@dataclass(frozen=True, slots=True)
class GateInput:
    """The input of the judgement of a test's gates.

    Attributes:
        budget: What the test's markers say.
        samples: The samples of this run, at least one.
        entry: The stored baseline or reference; ``None`` where there is none.
        may_create: Whether a missing baseline is created by this run, as opposed to being a failure.
        table: The known metrics.
        suite: What the other tests of the session say of live times.
        fixed: Whether the number of samples is fixed, as opposed to adaptive.
        paired: Whether the baseline's samples were taken in this very run, interleaved with the new ones.
        confirms_improvements: Whether a decrease is worth more samples, because improvements are kept.
        brief: Whether no result is wanted where all gates hold and none has anything to say.
    """

    budget: Budget
    samples: Sequence[Sample]
    entry: BaselineEntry | None
    may_create: bool
    table: Mapping[str, MetricSpec]
    suite: Suite = Alone()
    fixed: bool = True
    paired: bool = False
    confirms_improvements: bool = False
    brief: bool = False


def judge_gates(given: GateInput) -> tuple[GateResult, ...]:
    """Judge every gate of a test.

    Args:
        given: What they are judged on.

    Returns:
        A result for each gate: limits first, then targets, then increases.
    """
    judging = _Gates(given)
    gates = judging.gates()
    if given.brief and judging.is_same_code() and all(map(judging.is_unmoved, gates)):
        return ()
    return tuple(judging.result(gate) for gate in (*gates, *judging.cost_gates(gates)))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What all gates of a stage are judged by beside its figures.

    Attributes:
        answering: Who answers, set against the baseline.
        part: What the code alone decides of live input; ``None`` where that is not known.
        read: How input tokens were obtained where not from the provider.
        written: How output tokens were.
        estimated: Whether an answer is that of another call.
    """

    answering: WhoAnswers
    part: ExactPart | None
    read: str
    written: str
    estimated: bool


class _Gates:
    """The gates of one test, while they are judged."""

    def __init__(self, given: GateInput) -> None:
        self._given = given
        self._opened = {stage for sample in given.samples for stage in sample.stages}
        self._stages = sorted(self._opened.union(given.entry.stages if given.entry is not None else ()))
        self._replayed = all(sample.traffic != "live" for sample in given.samples)
        self._facts: dict[str, _Facts] = {}

    def gates(self) -> list[Gate]:
        """The gates that the budget means, without those on the latency of stages where nothing that answers has one."""
        given = self._given
        tools = offered_tools(given.samples, given.entry) if names_any_tool(given.budget) else ()
        defaults = (*DEFAULT_GATES, "measured_latency") if given.paired and not self._replayed else DEFAULT_GATES
        gates = expand(given.budget, stages=self._stages, default_metrics=defaults, tools=tools)
        return [gate for gate in gates if gate.explicit or not self._is_timeless(gate)]

    def _is_timeless(self, gate: Gate) -> bool:
        """Tell whether a gate is on a latency where nothing that answered has one: mocks, or a script without a pace."""
        if gate.metric.name not in OPEN_TIMES or gate.kind != "max_increase":
            return False
        stage = gate.metric.stage
        calls = [call for sample in self._given.samples for call in sample.calls if inside(call.stage, stage)]
        return bool(calls) and all(
            call.answered_by == "mock" or (call.answered_by == "script" and call.latency == 0) for call in calls
        )

    def cost_gates(self, gates: Sequence[Gate]) -> list[Gate]:
        """Gates on the cost of the stages in which others answer than in the baseline."""
        stages = {gate.metric.stage for gate in gates}
        added = [stage for stage in stages if self._known(stage).answering.added]
        return cost_gates(self._given.budget, gates, added) if added else []

    def is_same_code(self) -> bool:
        """Tell whether the same models answer in the same stages, and the code's own part of each prompt is what it was."""
        entry = self._given.entry
        if entry is None:
            return False
        stored, providers = entry.composition, set(entry.providers)
        for sample in self._given.samples:
            if sample.composition.keys() != stored.keys():
                return False
            for stage, own in sample.composition.items():
                if own.fixed != stored[stage].fixed or own.models != stored[stage].models:
                    return False
            if not providers.issuperset([call.provider for call in sample.calls if call.succeeded]):
                return False
        return True

    def is_unmoved(self, gate: Gate) -> bool:
        """Tell whether a gate plainly holds and has nothing to say. Where it answers no, the gate is judged in full."""
        given, metric = self._given, gate.metric
        spec = given.table[metric.name]
        if spec.name == PROVIDER_PACE or is_tool_metric(spec.name) or given.entry is None:
            return False
        if metric.stage and gate.explicit and metric.stage not in self._opened:
            return False
        values = sample_values(given.samples, metric, spec)
        if gate.kind == "limit":
            return bool(values) and not _is_over(gate, values)
        sessions = stored_sessions(given.entry, metric, spec)
        return bool(values and sessions) and self._is_within(gate, spec, values, sessions, given.entry)

    def _is_within(
        self, gate: Gate, spec: MetricSpec, values: Sequence[Number], sessions: Sequence[Session], entry: BaselineEntry
    ) -> bool:
        """Tell whether neither side varies and the value has not left what a rule allows: then there is nothing to judge."""
        if gate.kind != "max_increase" or len({*values}) > 1 or len({value for each in sessions for value in each}) > 1:
            return False
        value, base = values[0], sessions[0][0]
        is_same_figure = value == base and (not spec.timed or (spec.name == "latency" and bool(entry.speeds)))
        if not is_same_figure:
            if spec.pooled is not None or self._kind(spec, entry) == "latency":
                return False
            now, then, rule = rational(value), rational(base), gate.rule
            least = CLOCK_NOISE_S if _forgives_clock(gate, entry) else Fraction(0)
            if exceeds(now, then, rule.fraction, max(rule.slack, least)):
                return False
            if falls_short(now, then, rule.fraction, rule.slack):
                return False
        return not is_far_from_origin(gate, [values], entry)

    def result(self, gate: Gate) -> GateResult:
        """The result of one gate."""
        given, spec = self._given, self._given.table[gate.metric.name]
        if gate.explicit and (absent := why_absent(gate, self._opened, given.samples)):
            return self._say(gate, "no_calls", reason=absent)
        if spec.name == PROVIDER_PACE:
            return self._pace(gate)
        values = sample_values(given.samples, gate.metric, spec)
        if not values:
            verdict = _UNKNOWN[gate.kind] if gate.explicit else "inconclusive"
            return self._say(gate, verdict, reason=why_unknown(gate.metric.key, spec))
        if gate.kind == "limit":
            value = statistic(values, gate.metric.statistic)
            return self._say(gate, "over_limit" if _is_over(gate, values) else "ok", values, value)
        return self._against_baseline(gate, spec, values)

    def _pace(self, gate: Gate) -> GateResult:
        """Give the provider's speed beside the baseline's, which the gate's rule compares with 1."""
        from pytest_tokenbudget.compare.pace_rule import judge_pace

        given = self._given
        if given.entry is None and gate.kind != "limit":
            return self._without_baseline(gate, (), None)
        said = self._say(gate, "inconclusive", baseline=None if gate.kind == "limit" else 1.0)
        return judge_pace(said, gate, given.samples, given.entry, fixed=given.fixed, most=given.budget.max_samples)

    def _against_baseline(self, gate: Gate, spec: MetricSpec, values: Sequence[Number]) -> GateResult:
        entry = self._given.entry
        sessions = stored_sessions(entry, gate.metric, spec) if entry is not None else ()
        value = statistic(values, gate.metric.statistic)
        if entry is None or not sessions:
            return self._without_baseline(gate, values, value)
        # The baseline as it is shown: of the last session, or of all pooled calls.
        last = sessions[-1] if spec.pooled is None else [value for session in sessions for value in session]
        base = statistic(last, gate.metric.statistic)
        known = self._known(gate.metric.stage)
        if known.answering.change and spec.unit != "USD":
            verdict: Verdict = "inconclusive" if self._given.may_create else "no_baseline"
            keeping = _keeping(self._given.budget)
            reason = f"{known.answering.change}: only the cost is compared; `pytest {keeping}` keeps the new numbers"
            return self._say(gate, verdict, values, value, baseline=base, reason=reason)
        forgiven = Fraction(0)
        if _forgives_clock(gate, entry):
            forgiven = clock_noise_of(self._given.samples, gate.metric.stage)
        said = self._say(gate, "ok", values, value, baseline=base, forgiven=forgiven)
        if (
            gate.kind == "max_increase"
            and gate.metric.name in METRICS
            and gate.metric.statistic == "mean"
            and known.part
        ):
            said = replace(said, exact_part=known.part)
            if decided := _verdict_of_the_prompt(gate, base, value, known.part):
                return replace(said, verdict=decided, reason=decided_by_the_prompt(known.part))
        if self._is_within(gate, spec, values, sessions, entry):
            return said
        from pytest_tokenbudget.compare.moved_gate import judge_moved

        kind = self._kind(spec, entry)
        return judge_moved(said, gate, values, sessions, self._given, entry, kind=kind, forgiven=forgiven)

    def _without_baseline(self, gate: Gate, values: Sequence[Number], value: Number | None) -> GateResult:
        given = self._given
        if gate.kind != "reduce" and (given.may_create or (given.entry is not None and not gate.explicit)):
            reason = "" if given.entry is None else "the baseline does not have it yet: --tokenbudget-update adds it"
            return self._say(gate, "new", values, value, reason=reason)
        return self._say(
            gate, "no_baseline", values, value, reason=f"{given.budget.against!r} has no {gate.metric.key}"
        )

    def _kind(self, spec: MetricSpec, entry: BaselineEntry) -> Kind:
        """Give the kind of values that a metric has in this run."""
        if is_tool_metric(spec.name):
            return "exact"  # the code alone decides the schema of a tool
        # Of times both sides must be projected; the agent's own code is measured on the real clock always.
        if self._replayed and spec.name != "own_time" and (not spec.timed or entry.traffic != "live"):
            return "exact"
        if spec.name == "latency" and entry.speeds:
            # At constant speed it is what the code decides, with the noise of counts; but the agent's own code is measured
            # on a real clock, and a process that starts is slower than one that runs.
            unusual = any(has_unusual_own_time(sample, entry) for sample in self._given.samples)
            return "latency" if unusual else "count"
        return "latency" if spec.timed else "count"

    def _say(
        self,
        gate: Gate,
        verdict: Verdict,
        values: Sequence[Number] = (),
        value: Number | None = None,
        *,
        baseline: Number | None = None,
        reason: str = "",
        forgiven: Fraction = Fraction(0),
    ) -> GateResult:
        """The result of a gate that compares exactly."""
        allowed, text = _allowed(gate, baseline, forgiven)
        return GateResult(
            metric=gate.metric.key,
            statistic=gate.metric.statistic,
            rule=text,
            kind=gate.kind,
            unit=self._given.table[gate.metric.name].unit,
            baseline=baseline,
            value=value,
            verdict=verdict,
            samples=len(values) or len(self._given.samples),
            reason=reason,
            source=self._source(gate),
            allowed=allowed,
        )

    def _source(self, gate: Gate) -> str:
        """Say how a metric was obtained where not from the provider: ``estimated``, ``counted``, ``calibrated``, else ``""``."""
        name, known = gate.metric.name, self._known(gate.metric.stage)
        if known.estimated and name not in _NUMBERS_OF_CALLS:
            return "estimated"
        if self._given.table[name].unit not in ("tokens", "USD"):
            return ""
        if name in ("input_tokens", "fresh_input_tokens"):
            return known.read
        if name == "output_tokens":
            return known.written
        return "counted" if "counted" in (known.read, known.written) else known.read or known.written

    def _known(self, stage: str) -> _Facts:
        """Give the facts that the gates of a stage share, worked out once."""
        scope, given, entry = self._scope(stage), self._given, self._given.entry
        if scope not in self._facts:
            answering, part = WhoAnswers(), None
            if entry is not None and not given.paired:  # interleaved runs are there to compare models
                answering = who_answers(entry, given.samples, scope)
            if entry is not None and not self._replayed:
                part = exact_part(entry.composition, given.samples, scope)
            self._facts[scope] = _Facts(answering, part, *sources(given.samples, scope))
        return self._facts[scope]

    def _scope(self, stage: str) -> str:
        """Give the stage, or the whole test where all of it lies within that stage: both have the same calls."""
        return "" if self._stages and all(inside(path, stage) for path in self._stages) else stage


def _is_over(gate: Gate, values: Sequence[Number]) -> bool:
    """Tell whether a value is above the ceiling of a limit."""
    assert gate.ceiling is not None
    return rational(statistic(values, gate.metric.statistic)) > gate.ceiling


def _forgives_clock(gate: Gate, entry: BaselineEntry) -> bool:
    """Tell whether the noise of the clock is forgiven: in a default gate on the latency that the code decides.

    The agent's own code is measured on a real clock. A rule that somebody wrote holds as it is written.
    """
    return gate.metric.name == "latency" and bool(entry.speeds) and not gate.explicit


def _verdict_of_the_prompt(gate: Gate, base: Number, value: Number, part: ExactPart) -> Verdict | None:
    """The verdict where the exact part alone leaves what is allowed, at the baseline's number of calls."""
    if part.value == part.baseline:
        return None
    then, rule = rational(base), gate.rule
    moved = then + part.value - part.baseline
    if exceeds(moved, then, rule.fraction, rule.slack):
        return "regression"
    return "improved" if value <= base and falls_short(moved, then, rule.fraction, rule.slack) else None


def _allowed(gate: Gate, baseline: Number | None, forgiven: Fraction) -> tuple[Number | None, str]:
    """The largest value that a gate allows, and its rule as it is shown.

    Args:
        gate: The gate.
        baseline: The value of the baseline; ``None`` where there is none.
        forgiven: What is forgiven beside the rule, in s; it is shown where it allows more than the rule does.
    """
    if gate.ceiling is not None:
        return as_number(gate.ceiling), gate.text
    if baseline is None:
        return None, gate.text
    base, rule = rational(baseline), gate.rule
    if gate.reduction is not None:
        return as_number(base * (1 - gate.reduction)), gate.text
    allowed = base * (1 + rule.fraction)
    if rule.slack:
        allowed = max(allowed, base + rule.slack)
    if forgiven and base + forgiven > allowed:
        return as_number(base + forgiven), f"{gate.text} +{float(forgiven) * 1000:g} ms"
    return as_number(allowed), gate.text


def _keeping(budget: Budget) -> str:
    """The option that replaces what a budget is compared with."""
    return "--tokenbudget-update" if budget.against == "baseline" else f"--tokenbudget-reference={budget.against}"
