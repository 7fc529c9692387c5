"""Samples of one run become one session of each metric: the form in which runs are compared and stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from pytest_tokenbudget.baselines.outcomes import storable
from pytest_tokenbudget.measure.measured import inside
from pytest_tokenbudget.records.baseline import MAX_POOLED, MAX_SAMPLES, Number, Session
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

_SOURCES = ("provider", "calibrated", "counted")
"""From the surest to the least sure."""

_LARGEST = 2**63
"""No count of tokens comes near it; beyond it other programs that read the file lose digits."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one session saw of a test, in the form of a baseline entry.

    Attributes:
        metrics: Values of the samples by full metric name, at most ``MAX_SAMPLES``; 0 for a sample that did not open the
            stage, unknown values left out.
        pooled: Values of single calls by full metric name, at most ``MAX_POOLED``, s.
        unknown: Metrics that the run has but whose value no sample knows.
        composition: Composition by stage path, of the sample that is the nearest to the mean.
        outcomes: Outcomes of the same sample, as plain JSON.
        traffic: Where the answers came from.
        sources: How input and output tokens were obtained where not from the provider, by full metric name.
        models: Models that answered, sorted.
        providers: Providers, sorted.
    """

    metrics: dict[str, Session]
    pooled: dict[str, Session]
    unknown: frozenset[str]
    composition: dict[str, StageComposition]
    outcomes: dict[str, Any]
    traffic: str
    sources: dict[str, str]
    models: tuple[str, ...]
    providers: tuple[str, ...]


def observe(samples: Sequence[Sample]) -> Observation:
    """Sum up the samples of one run.

    Args:
        samples: The samples, in the order in which they ran; at least one.

    Returns:
        What they say together. A metric that is pooled over calls stands in ``pooled`` only.

    Raises:
        ValueError: If there is no sample.
    """
    if not samples:
        raise ValueError("no sample to observe")
    pooled = _pooled(samples)
    metrics, unknown = _metrics(samples, without=pooled.keys())
    typical = _typical(samples)
    calls = [call for sample in samples for call in sample.calls if call.succeeded]
    return Observation(
        metrics={name: session[:MAX_SAMPLES] for name, session in metrics.items()},
        pooled={name: thinned(session) for name, session in pooled.items() if session},
        unknown=unknown | {name for name, session in pooled.items() if not session},
        composition=dict(typical.composition),
        outcomes={str(name): storable(value) for name, value in storable(typical.outcomes).items()},
        traffic=typical.traffic,
        sources=_sources(calls, {stage for sample in samples for stage in sample.stages}),
        models=tuple(sorted({call.model or call.request_model for call in calls} - {""})),
        providers=tuple(sorted({call.provider for call in calls} - {""})),
    )


def thinned(values: Sequence[Number], most: int = MAX_POOLED) -> Session:
    """At most ``most`` values that keep the distribution: those at evenly spaced ranks."""
    if len(values) <= most:
        return tuple(values)
    ordered = sorted(values)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * most)] for i in range(most))


def _metrics(samples: Sequence[Sample], *, without: Iterable[str]) -> tuple[dict[str, Session], frozenset[str]]:
    values: dict[str, list[Number]] = {}
    stages = {stage: dict.fromkeys(figures, 0) for sample in samples for stage, figures in sample.stages.items()}
    for sample in samples:
        for name, value in _figures(sample, stages):
            known = values.setdefault(name, [])
            if (number := _number(value)) is not None:
                known.append(number)
    for name in without:
        values.pop(name, None)
    return (
        {name: tuple(known) for name, known in values.items() if known},
        frozenset(name for name, known in values.items() if not known),
    )


def _figures(sample: Sample, stages: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, object]]:
    """Full name and value of each metric; zeros for the ``stages`` of other samples that this one did not open."""
    yield from sample.total.items()
    for stage, zeros in stages.items():
        for name, value in sample.stages.get(stage, zeros).items():
            yield f"{stage}.{name}", value


def _pooled(samples: Iterable[Sample]) -> dict[str, Session]:
    values: dict[str, list[Number]] = {}
    for sample in samples:
        for stage, metrics in sample.pooled.items():
            for name, single in metrics.items():
                known = values.setdefault(Metric(stage, name).key, [])
                known.extend(number for value in single if (number := _number(value)) is not None)
    return {name: tuple(known) for name, known in values.items()}


def _number(value: object) -> Number | None:
    """A plain finite ``int`` or ``float``; ``None`` for all else, since a metric of a hook may return anything."""
    if type(value) is int and abs(value) < _LARGEST:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else None
    try:
        if isinstance(value, Integral):
            return int(value) if abs(int(value)) < _LARGEST else None
        if isinstance(value, Real) and math.isfinite(value):
            return float(value)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return None


def _typical(samples: Sequence[Sample]) -> Sample:
    """The sample whose input is nearest to the mean, the first of equals: its composition stands for the run."""
    inputs = [_number(sample.total.get("input_tokens")) for sample in samples]
    known = [value for value in inputs if value is not None]
    if not known:
        return samples[0]
    middle = mean(known)
    distances = [math.inf if value is None else abs(value - middle) for value in inputs]
    return samples[distances.index(min(distances))]


def _sources(calls: Sequence[Call], stages: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for stage in ("", *stages):
        mine = [call for call in calls if inside(call.stage, stage)]
        for name, sources in (
            ("input_tokens", {call.input_source for call in mine}),
            ("output_tokens", {call.output_source for call in mine}),
        ):
            worst = max((source for source in sources if source), key=_SOURCES.index, default="provider")
            if worst != "provider":
                field = "input_source" if name == "input_tokens" else "output_source"
                found[Metric(stage, name).key] = _described(worst, mine, field)
    return found


def _described(source: str, calls: Iterable[Call], field: str) -> str:
    encodings = {
        call.composition.encoding for call in calls if call.composition is not None and getattr(call, field) == source
    }
    return " ".join([source, *sorted(encodings - {""})])


def session_values(samples: Sequence[Sample]) -> Mapping[str, Session]:
    """The values of a run by full metric name, as a gate compares them: no cap, pooled metrics by single calls."""
    pooled = _pooled(samples)
    metrics, _ = _metrics(samples, without=pooled.keys())
    return {**metrics, **{name: values for name, values in pooled.items() if values}}
