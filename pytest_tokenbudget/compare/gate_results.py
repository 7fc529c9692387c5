"""The gates of one test meet its samples and its baseline: each becomes a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import isfinite
from typing import Protocol

from pytest_tokenbudget.compare.dispatch import judge_reduction, judge_values
from pytest_tokenbudget.compare.drift_rule import ORIGIN_MULTIPLE, judge_drift
from pytest_tokenbudget.compare.exact_part import METRICS, decided_by_the_prompt, exact_part
from pytest_tokenbudget.compare.other_model import WhoAnswers, cost_gates, who_answers
from pytest_tokenbudget.compare.rules import expand, names_any_tool, why_absent
from pytest_tokenbudget.compare.sequential import PAIRED, STORED
from pytest_tokenbudget.compare.stage_moves import without_moves
from pytest_tokenbudget.compare.terms import Judged, Kind, Terms, allowed_value, clock_noise, noise_prior
from pytest_tokenbudget.compare.values import (
    all_equal,
    has_estimates,
    offered_tools,
    sample_values,
    stored_sessions,
    token_sources,
    why_unknown,
)
from pytest_tokenbudget.measure.constant_speed import has_unusual_own_time
from pytest_tokenbudget.measure.metrics import DEFAULT_GATES, OPEN_TIMES, PROVIDER_PACE, MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, Number, Session
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Budget, Gate, GateKind, is_tool_metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import ExactPart, GateResult, Verdict
from pytest_tokenbudget.stats.log_ratio import ScalePrior
from pytest_tokenbudget.stats.ranks import values_needed
from pytest_tokenbudget.stats.statistic import exceeds, falls_short, level_of, rational, statistic
from pytest_tokenbudget.wording import counted

LEARNED_SESSIONS = 5
"""Sessions of measured times that a default latency gate waits for."""

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


def judge_gates(given: GateInput) -> tuple[GateResult, ...]:
    """Judge every gate of a test.

    Args:
        given: What they are judged on.

    Returns:
        A result for each gate: limits first, then targets, then increases.
    """
    opened = {stage for sample in given.samples for stage in sample.stages}
    known = set(given.entry.stages) if given.entry else set()
    stages = tuple(sorted(opened | known))
    tools = offered_tools(given.samples, given.entry) if names_any_tool(given.budget) else ()
    replayed = all(sample.traffic != "live" for sample in given.samples)
    judging = _Gates(given, frozenset(opened), stages, replayed)
    defaults = (*DEFAULT_GATES, "measured_latency") if given.paired and not judging.replayed else DEFAULT_GATES
    gates = expand(given.budget, stages=stages, default_metrics=defaults, tools=tools)
    gates = tuple(gate for gate in gates if gate.explicit or not judging.is_timeless(gate))
    added = [stage for stage in {gate.metric.stage for gate in gates} if judging.who_answers(stage).added]
    if added:
        gates = (*gates, *cost_gates(given.budget, gates, added))
    return tuple(judging.result(gate) for gate in gates)


@dataclass(frozen=True, slots=True)
class _Gates:
    """The gates of one test, while they are judged.

    Attributes:
        given: What they are judged on.
        opened: Stages that the run opened.
        stages: These, and those that the baseline knows.
        replayed: Whether no sample is live.
        sources: How input and output tokens were obtained, by stage, as far as it was asked for.
        answering: Who answers, set against the baseline, by stage, likewise.
        parts: What the code alone decides of the input, by stage, likewise.
    """

    given: GateInput
    opened: frozenset[str]
    stages: tuple[str, ...]
    replayed: bool
    sources: dict[str, tuple[str, str]] = field(default_factory=dict)
    answering: dict[str, WhoAnswers] = field(default_factory=dict)
    parts: dict[str, ExactPart | None] = field(default_factory=dict)

    def is_timeless(self, gate: Gate) -> bool:
        """Tell whether a gate is on a latency where nothing that answered has one: mocks, or a script without a pace."""
        if gate.metric.name not in OPEN_TIMES or gate.kind != "max_increase":
            return False
        calls = [
            call for sample in self.given.samples for call in sample.calls if inside(call.stage, gate.metric.stage)
        ]
        return bool(calls) and all(call.answered_by == "mock" or _has_no_pace(call) for call in calls)

    def result(self, gate: Gate) -> GateResult:
        """The result of one gate."""
        spec = self.given.table[gate.metric.name]
        if gate.explicit and (absent := why_absent(gate, self.opened, self.given.samples)):
            return self._say(gate, spec, "no_calls", reason=absent)
        if spec.name == PROVIDER_PACE:
            return self._pace(gate, spec)
        values = sample_values(self.given.samples, gate.metric, spec)
        if not values:
            verdict = _UNKNOWN[gate.kind] if gate.explicit else "inconclusive"
            return self._say(gate, spec, verdict, reason=why_unknown(gate.metric.key, spec))
        if gate.kind == "limit":
            assert gate.ceiling is not None
            value = statistic(values, gate.metric.statistic)
            return self._say(gate, spec, "over_limit" if rational(value) > gate.ceiling else "ok", values, value=value)
        return self._against_baseline(gate, spec, values)

    def _pace(self, gate: Gate, spec: MetricSpec) -> GateResult:
        """Give the provider's speed beside the baseline's, which the gate's rule compares with 1."""
        from pytest_tokenbudget.compare.pace_rule import judge_pace

        given = self.given
        if given.entry is None and gate.kind != "limit":
            verdict, reason = self._without_baseline(gate)
            return self._say(gate, spec, verdict, reason=reason)
        found = judge_pace(gate, given.samples, given.entry, fixed=given.fixed, most=given.budget.max_samples)
        return self._say(
            gate,
            spec,
            found.verdict,
            value=found.ratio,
            baseline=None if gate.kind == "limit" else 1.0,
            reason=found.reason,
            exact=found.exact,
            lower=None if found.lower is None else found.lower - 1,
            upper=None if found.upper is None else found.upper - 1,
            more=found.more,
        )

    def _against_baseline(self, gate: Gate, spec: MetricSpec, values: Sequence[Number]) -> GateResult:
        entry = self.given.entry
        sessions = stored_sessions(entry, gate.metric, spec) if entry is not None else ()
        value = statistic(values, gate.metric.statistic)
        if entry is None or not sessions:
            verdict, reason = self._without_baseline(gate)
            return self._say(gate, spec, verdict, values, value=value, reason=reason)
        other = self.who_answers(gate.metric.stage).change if spec.unit != "USD" else ""
        if other:
            verdict = "inconclusive" if self.given.may_create else "no_baseline"
            reason = f"{other}: only the cost is compared; `pytest {_keeping(self.given.budget)}` keeps the new numbers"
            base = _shown_base(gate, spec, sessions)
            return self._say(gate, spec, verdict, values, value=value, baseline=base, reason=reason)
        part = self._exact_part(gate, entry)
        if part is not None and (decided := self._decided_by_the_prompt(gate, spec, values, sessions, part)):
            return decided
        timed = spec.timed and not (spec.name == "latency" and entry.speeds)
        equal = gate.kind == "max_increase" and not timed and all_equal(values, sessions)
        if equal and not _is_far_from_origin(gate, [values], entry):
            forgiven = clock_noise(gate, entry, self.given.samples)
            return self._say(gate, spec, "ok", values, value=value, baseline=value, part=part, forgiven=forgiven)
        result = self._judged(gate, spec, values, sessions, entry)
        return without_moves(
            gate, result if part is None else replace(result, exact_part=part), spec, self.given.samples, entry
        )

    def _exact_part(self, gate: Gate, entry: BaselineEntry) -> ExactPart | None:
        """Give the part of a live token metric that the code alone decides."""
        metric = gate.metric
        if self.replayed or gate.kind != "max_increase" or metric.name not in METRICS or metric.statistic != "mean":
            return None
        stage = self._scope(metric.stage)
        if stage not in self.parts:
            self.parts[stage] = exact_part(entry.composition, self.given.samples, stage)
        return self.parts[stage]

    def _scope(self, stage: str) -> str:
        """Give the stage, or the whole test where all of it lies within that stage: both have the same calls."""
        return "" if self.stages and all(inside(path, stage) for path in self.stages) else stage

    def _decided_by_the_prompt(
        self, gate: Gate, spec: MetricSpec, values: Sequence[Number], sessions: Sequence[Session], part: ExactPart
    ) -> GateResult | None:
        """The result where the exact part alone leaves what is allowed, at the baseline's number of calls."""
        base, value = _shown_base(gate, spec, sessions), statistic(values, gate.metric.statistic)
        then, moved = rational(base), rational(base) + part.value - part.baseline
        verdict: Verdict = "regression"
        if not exceeds(moved, then, gate.rule.fraction, gate.rule.slack):
            if value > base or not falls_short(moved, then, gate.rule.fraction, gate.rule.slack):
                return None
            verdict = "improved"
        reason = decided_by_the_prompt(part)
        return self._say(gate, spec, verdict, values, value=value, baseline=base, reason=reason, part=part)

    def _without_baseline(self, gate: Gate) -> tuple[Verdict, str]:
        given = self.given
        missing = f"{given.budget.against!r} has no {gate.metric.key}"
        if gate.kind == "reduce":
            return "no_baseline", missing
        if given.may_create or (given.entry is not None and not gate.explicit):
            return (
                "new",
                "" if given.entry is None else "the baseline does not have it yet: --tokenbudget-update adds it",
            )
        return "no_baseline", missing

    def _judged(
        self, gate: Gate, spec: MetricSpec, values: Sequence[Number], sessions: Sequence[Session], entry: BaselineEntry
    ) -> GateResult:
        terms = self._terms(gate, spec, entry)
        default = not gate.explicit and gate.metric.name in DEFAULT_GATES
        compared = sessions[-1:] if terms.kind == "exact" else sessions
        if gate.kind == "reduce":
            assert gate.reduction is not None
            judged = judge_reduction(compared, values, gate.reduction, terms)
        else:
            judged = judge_values(compared, values, terms)
        verdict, more = judged.verdict, judged.more
        reason = judged.reason if gate.kind == "reduce" or verdict == "inconclusive" else ""
        learning = default and not self.given.paired and verdict == "inconclusive"
        learning = learning and (terms.kind == "latency" or judged.baseline_missing > 0)
        if learning and terms.kind == "latency":
            reason = _what_comes_by_itself(sessions)
        if spec.pooled is not None:
            verdict, more, reason = self._pooled(gate, judged, values, reason)
        shown = verdict != "ok" and not judged.exact
        return self._say(
            gate,
            spec,
            verdict,
            values,
            value=statistic(values, gate.metric.statistic),
            baseline=_shown_base(gate, spec, sessions),
            exact=judged.exact,
            lower=_finite(judged.lower - 1) if shown else None,
            upper=_finite(judged.upper - 1) if shown else None,
            detectable=_finite(judged.detectable) if shown else None,
            sigma=judged.sigma,
            p=judged.p if shown else None,
            reason=reason,
            more=more if verdict == "inconclusive" else 0,
            learning=learning,
            drift=_drift(gate, values, sessions, entry, terms, exact=judged.exact),
            forgiven=clock_noise(gate, entry, self.given.samples),
        )

    def _terms(self, gate: Gate, spec: MetricSpec, entry: BaselineEntry) -> Terms:
        given = self.given
        kind: Kind = "latency" if spec.timed else "count"
        if spec.name == "latency" and entry.speeds:
            # At constant speed it is what the code decides, with the noise of counts; but the agent's own code is measured
            # on a real clock, and a process that starts is slower than one that runs.
            unusual = any(has_unusual_own_time(sample, entry) for sample in given.samples)
            kind = "latency" if unusual else "count"
        # Of times both sides must be projected; the agent's own code is measured on the real clock always.
        if self.replayed and spec.name != "own_time" and (not spec.timed or entry.traffic != "live"):
            kind = "exact"
        if is_tool_metric(spec.name):
            kind = "exact"  # the code alone decides the schema of a tool
        prior = given.suite.noise if kind == "latency" else None
        return Terms(
            kind=kind,
            increase=gate.rule.fraction,
            slack=max(gate.rule.slack, clock_noise(gate, entry, given.samples)),
            statistic=gate.metric.statistic,
            noise=noise_prior(
                kind, paired=given.paired, s0=prior.scale if prior else None, d0=prior.df if prior else None
            ),
            learned=prior is not None,
            paired=given.paired,
            fixed=given.fixed,
            family=given.suite.family if kind == "latency" else 1,
            cap=None if spec.pooled is not None else given.budget.max_samples,
            confirms_improvements=given.confirms_improvements,
        )

    def _pooled(self, gate: Gate, judged: Judged, values: Sequence[Number], reason: str) -> tuple[Verdict, int, str]:
        """Verdict, further samples and reason of pooled calls, which grow by several with each sample."""
        given, runs = self.given, len(self.given.samples)
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

    def _say(
        self,
        gate: Gate,
        spec: MetricSpec,
        verdict: Verdict,
        values: Sequence[Number] = (),
        *,
        value: Number | None = None,
        baseline: Number | None = None,
        reason: str = "",
        exact: bool = True,
        lower: float | None = None,
        upper: float | None = None,
        detectable: float | None = None,
        sigma: float | None = None,
        p: float | None = None,
        more: int = 0,
        drift: float | None = None,
        part: ExactPart | None = None,
        learning: bool = False,
        forgiven: Fraction = Fraction(0),
    ) -> GateResult:
        """The result of a gate: the one place where it is made."""
        allowed, text = allowed_value(gate, baseline, forgiven)
        return GateResult(
            metric=gate.metric.key,
            statistic=gate.metric.statistic,
            rule=text,
            kind=gate.kind,
            unit=spec.unit,
            baseline=baseline,
            value=value,
            verdict=verdict,
            exact=exact,
            lower=lower,
            upper=upper,
            detectable=detectable,
            samples=len(values) or len(self.given.samples),
            sigma=sigma,
            p=p,
            reason=reason,
            source=self._source(gate.metric.stage, spec),
            allowed=allowed,
            more=more,
            drift=drift,
            exact_part=part,
            learning=learning,
        )

    def _source(self, stage: str, spec: MetricSpec) -> str:
        """Say how a metric was obtained where not from the provider: ``estimated``, ``counted``, ``calibrated``, else ``""``."""
        if spec.name not in _NUMBERS_OF_CALLS and has_estimates(self.given.samples, stage):
            return "estimated"
        if spec.unit not in ("tokens", "USD"):
            return ""
        stage = self._scope(stage)
        if stage not in self.sources:
            self.sources[stage] = token_sources(self.given.samples, stage)
        read, written = self.sources[stage]
        if spec.name in ("input_tokens", "fresh_input_tokens"):
            return read
        if spec.name == "output_tokens":
            return written
        return "counted" if "counted" in (read, written) else read or written

    def who_answers(self, stage: str) -> WhoAnswers:
        """Compare the models that answer in a stage with the baseline's; interleaved runs are there to compare models."""
        if self.given.entry is None or self.given.paired:
            return WhoAnswers()
        stage = self._scope(stage)
        if stage not in self.answering:
            self.answering[stage] = who_answers(self.given.entry, self.given.samples, stage)
        return self.answering[stage]


def _what_comes_by_itself(sessions: Sequence[Session]) -> str:
    """The reason of a default latency gate that compares measured times: its baseline was written without a speed."""
    if len(sessions) < LEARNED_SESSIONS:
        return f"latency: {len(sessions)} of {LEARNED_SESSIONS} sessions; each `--tokenbudget-update` adds one"
    return "latency: the baseline holds no speed of its models; `--tokenbudget-update` adds it"


def _has_no_pace(call: Call) -> bool:
    """Tell whether a script answered without a pace."""
    return call.answered_by == "script" and call.latency == 0


def _shown_base(gate: Gate, spec: MetricSpec, sessions: Sequence[Session]) -> Number:
    """The baseline as it is shown: of the last session, or of all pooled calls."""
    values = sessions[-1] if spec.pooled is None else [value for session in sessions for value in session]
    return statistic(values, gate.metric.statistic)


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
    if gate.kind == "reduce" or not _is_far_from_origin(gate, recent, entry):
        return None
    origin = entry.metrics[gate.metric.key].origin
    assert origin is not None
    since = judge_drift(origin, recent, replace(terms, noise=noise_prior(terms.kind, paired=False)))
    return since.ratio - 1 if since.verdict == "regression" and isfinite(since.ratio) else None


def _is_far_from_origin(gate: Gate, recent: Sequence[Sequence[Number]], entry: BaselineEntry) -> bool:
    """Tell whether any value is beyond what the origin allows: no mean is, where none of its values is."""
    record = entry.metrics.get(gate.metric.key)
    if record is None or record.origin is None or gate.metric.statistic != "mean":
        return False
    return max(map(max, recent)) >= record.origin * (1 + ORIGIN_MULTIPLE * float(gate.rule.fraction))


def _finite(value: float | None) -> float | None:
    """A number that JSON can hold, else ``None``."""
    return value if value is not None and isfinite(value) else None


def _keeping(budget: Budget) -> str:
    """The option that replaces what a budget is compared with."""
    return "--tokenbudget-update" if budget.against == "baseline" else f"--tokenbudget-reference={budget.against}"
