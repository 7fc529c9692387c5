"""How the whole suite's live latencies moved together, at the end of a session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_tokenbudget.baselines.store import BaselineStore
from pytest_tokenbudget.compare.shared_shift import suite_shift
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.verdict import GateResult, TestResult, Verdict

Model = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """One latency gate: new over base, what is allowed of that, and the sessions that the base comes from."""

    ratio: float
    allowed: float
    sessions: int


def shifts(results: Sequence[TestResult], store: BaselineStore) -> list[tuple[Verdict, str]]:
    """Judge how the live latency gates of each provider and model moved together.

    The allowed increase is the median of what the gates allow; so is the number of sessions that they compare with.

    Args:
        results: What was said of each test.
        store: Where the baselines are.

    Returns:
        Verdict and sentence, sorted by provider and model; none below 20 gates.
    """
    groups: dict[Model, list[_Moved]] = defaultdict(list)
    for result in results:
        for gate in result.gates:
            model = _model(result, gate)
            if model is not None and gate.baseline and gate.value and gate.allowed is not None:
                allowed = gate.allowed / gate.baseline - 1
                groups[model].append(_Moved(gate.value / gate.baseline, allowed, _sessions(result, gate, store)))
    said: list[tuple[Verdict, str]] = []
    for (provider, name), gates in sorted(groups.items()):
        shift = suite_shift(
            [gate.ratio for gate in gates],
            max_increase=_middle([gate.allowed for gate in gates]),
            sessions=int(_middle([gate.sessions for gate in gates])),
        )
        if shift is not None:
            said.append((shift.verdict, f"{provider} {name}: {shift.reason}"))
    return said


def _model(result: TestResult, gate: GateResult) -> Model | None:
    """Find the model that answered in a live latency gate's stage, where that was one model of one provider."""
    stage, _, name = gate.metric.rpartition(".")
    if name != "measured_latency" or gate.exact or gate.kind != "max_increase" or gate.statistic != "mean":
        return None
    models = {
        (call.provider, call.model or call.request_model)
        for sample in result.samples
        for call in sample.calls
        if call.succeeded and inside(call.stage, stage)
    }
    return models.pop() if len(models) == 1 else None


def _sessions(result: TestResult, gate: GateResult, store: BaselineStore) -> int:
    if result.against != "baseline" or not result.baseline_file:
        return 1
    try:
        entry = store.read(Path(result.baseline_file)).get(result.key)
    except TokenBudgetError:
        return 1
    record = entry.metrics.get(gate.metric) if entry is not None else None
    return len(record.sessions) if record is not None else 1


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]
