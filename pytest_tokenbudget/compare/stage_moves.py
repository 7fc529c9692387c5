"""Work that moved from one stage to another is no improvement: the whole test has gained nothing by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_tokenbudget.compare.values import sample_values, stored_sessions
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, Number
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Gate, Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.stats.statistic import falls_short, mean, rational


def without_moves(
    gate: Gate,
    result: GateResult,
    spec: MetricSpec,
    samples: Sequence[Sample],
    entry: BaselineEntry,
) -> GateResult:
    """Take back an improvement of a stage that is only a move to other stages, and say where its work went.

    Args:
        gate: The gate.
        result: What it says of the stage alone.
        spec: The gate's metric.
        samples: The samples of this run.
        entry: The baseline.

    Returns:
        The result itself where the stage did improve; else one that says where its work went.
    """
    value, base = result.value, result.baseline
    if (
        result.verdict not in ("improved", "ok")
        or not gate.metric.stage
        or value is None
        or base is None
        or spec.pooled is not None
    ):
        return result
    lost = base - value
    gains = _gains(gate.metric, spec, samples, entry)
    moved = min(lost, sum(gains.values()))
    if not gains or lost <= 0 or not _is_less(gate, value, base) or _is_less(gate, value + moved, base):
        return result
    where = " and ".join(sorted(gains, key=lambda stage: -gains[stage])[:3])
    reason = f"moved to {where}, not saved: {_shown(moved)} of {_shown(lost)} {spec.unit} are there now"
    return replace(result, verdict="target_missed" if gate.kind == "reduce" else "ok", reason=reason)


def _is_less(gate: Gate, value: Number, base: Number) -> bool:
    """Tell whether a value is below the baseline by what a gate wants, or by more than it allows upwards."""
    if gate.kind == "reduce":
        assert gate.reduction is not None
        return value <= base * (1 - gate.reduction)
    return falls_short(rational(value), rational(base), gate.rule.fraction, gate.rule.slack)


def _gains(metric: Metric, spec: MetricSpec, samples: Sequence[Sample], entry: BaselineEntry) -> dict[str, Number]:
    """Give the amount that other stages gained in a metric, in its unit."""
    gains: dict[str, Number] = {}
    for stage in _unrelated(metric.stage, samples, entry):
        other = Metric(stage, metric.name)
        now, then = sample_values(samples, other, spec), stored_sessions(entry, other, spec)
        gain = mean(now) - (mean(then[-1]) if then else 0) if now else 0
        if gain > 0:
            gains[stage] = gain
    return gains


def _unrelated(stage: str, samples: Sequence[Sample], entry: BaselineEntry) -> list[str]:
    """The outermost stages that neither hold a stage nor lie in it: their figures do not overlap."""
    known = dict.fromkeys([path for sample in samples for path in sample.stages] + list(entry.stages))
    apart = [path for path in known if not inside(path, stage) and not inside(stage, path)]
    return [path for path in apart if not any(other != path and inside(path, other) for other in apart)]


def _shown(amount: Number) -> str:
    return f"{amount:,.0f}" if isinstance(amount, int) or amount >= 100 else f"{amount:,.4g}"
