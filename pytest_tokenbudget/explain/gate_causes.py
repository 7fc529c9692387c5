"""Explains the gates that fail, and the outcomes that differ."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.explain.latency_causes import latency_causes
from pytest_tokenbudget.measure.metrics import OPEN_TIMES
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.gate import Metric, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL


def outcome_notes(entry: BaselineEntry, samples: Sequence[Sample]) -> list[str]:
    """Outcomes that differ from the baseline's."""
    lines = []
    for sample in samples:
        for name in sorted({*entry.outcomes, *sample.outcomes}):
            then, now = entry.outcomes.get(name), sample.outcomes.get(name)
            if then != now:
                lines.append(f"outcome {name!r} was {then!r}, is {now!r}")
    return list(dict.fromkeys(lines))


def explain_gates(
    gates: Sequence[GateResult], entry: BaselineEntry | None, samples: Sequence[Sample]
) -> tuple[Cause, ...]:
    """The causes of every gate that is not within its bounds, or is suspected not to be."""
    causes: dict[tuple[str, str, str], Cause] = {}
    if entry is None:
        return ()
    for gate in gates:
        if gate.value is None or gate.baseline is None or not _calls_for_causes(gate):
            continue
        stage, name = split_key(gate.metric)
        timed = latency_causes(Metric(stage, name), entry, samples) if name in OPEN_TIMES else None
        for cause in timed or explain(
            name,
            stage,
            entry.composition,
            samples[-1].composition,
            before_value=gate.baseline,
            after_value=gate.value,
        ):
            causes.setdefault((cause.metric, f"{cause.stage}:{cause.part}", cause.name + cause.text), cause)
    return tuple(causes.values())


def _calls_for_causes(gate: GateResult) -> bool:
    """Whether it is outside its bounds, or undecided and suspected: what chance does is not explained."""
    if gate.verdict == "inconclusive":
        above = gate.value is not None and gate.allowed is not None and gate.value > gate.allowed
        return above and (gate.p is None or gate.p < SCREENING_LEVEL)
    return gate.verdict not in ("ok", "new")
