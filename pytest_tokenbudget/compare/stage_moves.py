"""Work that moved from one stage to another is no improvement: the whole test has gained nothing by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_tokenbudget.compare.values import sample_values, stored_sessions
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, Number
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Gate, Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.stats.statistic import falls_short, mean, rational


@dataclass(frozen=True, slots=True)
class Move:
    """The gain of other stages in a metric while one stage lost it.

    Attributes:
        amount: The gain, at most what the stage lost, in the metric's unit.
        stages: The stages that gained, the one with the most first.
    """

    amount: Number
    stages: tuple[str, ...]


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
    move = _move(gate.metric, base - value, spec, samples, entry)
    if move is None:
        return result
    if not _is_less(gate, value, base) or _is_less(gate, value + move.amount, base):
        return result
    where = " and ".join(move.stages)
    reason = f"moved to {where}, not saved: {_shown(move.amount)} of {_shown(base - value)} {spec.unit} are there now"
    return replace(result, verdict="target_missed" if gate.kind == "reduce" else "ok", reason=reason)


def _is_less(gate: Gate, value: Number, base: Number) -> bool:
    """Tell whether a value is below the baseline by what a gate wants, or by more than it allows upwards."""
    if gate.kind == "reduce":
        assert gate.reduction is not None
        return value <= base * (1 - gate.reduction)
    return falls_short(rational(value), rational(base), gate.rule.fraction, gate.rule.slack)


def _move(
    metric: Metric, lost: Number, spec: MetricSpec, samples: Sequence[Sample], entry: BaselineEntry
) -> Move | None:
    """Find what other stages gained; ``None`` where nothing moved."""
    gains: dict[str, Number] = {}
    for stage in _unrelated(metric.stage, samples, entry):
        other = Metric(stage, metric.name)
        now, then = sample_values(samples, other, spec), stored_sessions(entry, other, spec)
        if now:
            gain = mean(now) - (mean(then[-1]) if then else 0)
            if gain > 0:
                gains[stage] = gain
    if not gains or lost <= 0:
        return None
    return Move(min(lost, sum(gains.values())), tuple(sorted(gains, key=lambda stage: -gains[stage])[:3]))


def _unrelated(stage: str, samples: Sequence[Sample], entry: BaselineEntry) -> list[str]:
    """The outermost stages that neither hold a stage nor lie in it: their figures do not overlap."""
    known: Mapping[str, None] = dict.fromkeys(
        [path for sample in samples for path in sample.stages] + list(entry.stages)
    )
    apart = [path for path in known if not inside(path, stage) and not inside(stage, path)]
    return [path for path in apart if not any(other != path and inside(path, other) for other in apart)]


def _shown(amount: Number) -> str:
    return f"{amount:,.0f}" if isinstance(amount, int) or amount >= 100 else f"{amount:,.4g}"
