"""Samples of one run become one session of each metric: the form in which runs are compared and stored."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from pytest_tokenbudget.baselines.derive import ONLY_STAGE, add, quotient, subtract
from pytest_tokenbudget.measure.constant_speed import at_speed_of, complete, fit_speeds, with_own_code
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, OPEN_TIMES
from pytest_tokenbudget.records.baseline import (
    LARGEST,
    MAX_POOLED,
    MAX_SAMPLES,
    BaselineEntry,
    MetricRecord,
    Number,
    Session,
    Speed,
    bounded,
)
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition, all_stages, inside
from pytest_tokenbudget.records.gate import key_of
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 50
_LARGEST = 2**63


def storable(value: object, *, depth: int = 0) -> Any:
    """A value as plain JSON, the same for the same value in every session.

    Args:
        value: Whatever an agent's test called an outcome.
        depth: Levels above it.

    Returns:
        Text, finite numbers, booleans, ``None``, lists and dictionaries with text keys. Sets become sorted lists; what
        JSON has no word for becomes its ``repr`` without memory addresses. Compare outcomes in this form only.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", str(value))
    if isinstance(value, (int, float)):
        return _outcome_number(value)
    return _container(value, depth + 1) if depth < _DEEPEST else _described_outcome(value)


def _outcome_number(value: float) -> Any:
    if isinstance(value, int):
        return int(value) if abs(value) < _LARGEST else _described_outcome(value)
    return float(value) if math.isfinite(value) else repr(float(value))


def _container(value: object, depth: int) -> Any:
    if isinstance(value, Mapping):
        pairs = ((_key(key), storable(item, depth=depth)) for key, item in value.items())
        return dict(sorted(pairs, key=lambda pair: pair[0]))
    if isinstance(value, (list, tuple)):
        return [storable(item, depth=depth) for item in value]
    if isinstance(value, Set):
        return sorted((storable(item, depth=depth) for item in value), key=repr)
    return _described_outcome(value)


def _key(key: object) -> str:
    text = key if isinstance(key, str) else _described_outcome(key)
    return str(storable(text))


def _described_outcome(value: object) -> str:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # a repr of somebody else's class may raise anything, and the test must not suffer for it
        text = f"<{type(value).__name__}>"
    return str(storable(text))


_SOURCES = ("provider", "calibrated", "counted")
"""From the surest to the least sure."""

TIMES = frozenset(spec.name for spec in BUILTIN_METRICS if spec.timed)

LIVE_DIGITS = 3
"""Significant digits of a live time. Live times vary by 5 % and more; the third digit is worth 0.5 % at the most."""

CLOCK_DECIMALS = 9
"""Decimals of a replayed time, s: those of a clock. Further ones are the dust of adding floats."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One session's figures of a test, in the form of a baseline entry.

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
        speeds: Speeds at which the latencies are those of a live run, by stage and model.
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
    speeds: dict[str, dict[str, Speed]]

    def entry(self, metrics: dict[str, MetricRecord], pooled: dict[str, MetricRecord]) -> BaselineEntry:
        """Make a baseline entry of records, with what this session tells of how they were obtained."""
        return BaselineEntry(
            metrics=metrics,
            pooled=pooled,
            composition=self.composition,
            outcomes=self.outcomes,
            traffic=self.traffic,
            sources=self.sources,
            models=self.models,
            providers=self.providers,
            speeds=self.speeds,
        )


def observe(samples: Sequence[Sample], standing: BaselineEntry | None = None) -> Observation:
    """Sum up the samples of one run.

    Args:
        samples: The samples, in the order in which they ran; at least one.
        standing: The entry whose speeds hold for them; ``None``, or one without speeds, where they give their own.

    Returns:
        What they say together. A metric that is pooled over calls stands in ``pooled`` only.

    Raises:
        ValueError: If there is no sample.
    """
    if not samples:
        raise ValueError("no sample to observe")
    at_speeds = standing if standing is not None and standing.speeds else None
    fitted = fit_speeds(samples) if at_speeds is None else complete(at_speeds.speeds, samples)
    speeds = with_own_code(fitted, samples, {} if at_speeds is None else at_speeds.speeds)
    samples = at_speed_of(at_speeds, samples)
    typical = _typical(samples)
    stages = all_stages(stage for sample in samples for stage in (*sample.stages, *sample.composition))
    pooled = _pooled(samples)
    metrics, unknown = _metrics(
        samples, without=pooled.keys(), rounded=lambda values: rounded_times(values, stages, typical.traffic)
    )
    calls = [call for sample in samples for call in sample.calls if call.succeeded]
    return Observation(
        metrics={name: session[:MAX_SAMPLES] if any(session) else (0,) for name, session in metrics.items()},
        pooled={
            name: tuple(sorted(_rounded(value, typical.traffic) for value in thinned(session)))
            for name, session in pooled.items()
            if session
        },
        unknown=unknown | {name for name, session in pooled.items() if not session},
        composition={stage: typical.composition.get(stage, _NO_CALLS) for stage in stages},
        outcomes={str(name): storable(value) for name, value in storable(typical.outcomes).items()},
        traffic=typical.traffic,
        sources=_sources(calls, {stage for sample in samples for stage in sample.stages}),
        models=tuple(sorted({call.model or call.request_model for call in calls} - {""})),
        providers=tuple(sorted({call.provider for call in calls} - {""})),
        speeds=speeds if typical.traffic == "live" else {},
    )


def thinned(values: Sequence[Number], most: int = MAX_POOLED) -> Session:
    """At most ``most`` values that keep the distribution: those at evenly spaced ranks."""
    if len(values) <= most:
        return tuple(values)
    ordered = sorted(values)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * most)] for i in range(most))


_NO_CALLS = StageComposition(calls=0)

Figures = dict[str, Number]
"""The known values of one sample by full metric name."""


def rounded_times(values: Figures, stages: Sequence[str], traffic: str) -> Figures:
    """Round the times of one sample to what their noise means.

    Times that add up before still add up afterwards: own and model time to the time that a stage was open, stages to the
    whole test. So rounding makes no figure one that a file must hold.

    Args:
        values: The sample's values by full metric name.
        stages: All its stages.
        traffic: ``live``, ``replay`` or ``scripted``.
    """
    found = {
        key: _rounded(value, traffic, own=key.rpartition(".")[2] == "own_time")
        if key.rpartition(".")[2] in TIMES
        else value
        for key, value in values.items()
    }
    top = [stage for stage in stages if "/" not in stage]
    for stage in stages:
        _keep_sum(values, found, key_of(stage, "measured_latency"), _parts_of(stage))
    summed = set()
    for name in (*OPEN_TIMES, "model_time") if stages != (ONLY_STAGE,) else ():
        parts = [key_of(stage, name) for stage in top]
        if _adds_up(values, name, parts):
            summed.add(name)
            found[name] = add(*(found[part] for part in parts))
    if "model_time" not in summed:
        _keep_sum(values, found, "measured_latency", _parts_of(""))
    elif _adds_up(values, "measured_latency", _parts_of("")):
        found["own_time"] = subtract(found["measured_latency"], found["model_time"])
    if stages == (ONLY_STAGE,):
        for name in (*OPEN_TIMES, "model_time"):
            if _adds_up(values, key_of(ONLY_STAGE, name), ["model_time"]):
                found[key_of(ONLY_STAGE, name)] = found["model_time"]
    for scope in ("", *stages):
        ratio, model, written = (
            key_of(scope, name) for name in ("latency_per_output_token", "model_time", "output_tokens")
        )
        if ratio in found and model in found and (each := quotient(found[model], found.get(written, 0))) is not None:
            found[ratio] = each
    return found


def _parts_of(stage: str) -> tuple[str, str]:
    return key_of(stage, "own_time"), key_of(stage, "model_time")


def _adds_up(values: Figures, whole: str, parts: Sequence[str]) -> bool:
    """Tell whether some times add up to another one, apart from the dust of adding floats."""
    if whole not in values or not parts or any(part not in values for part in parts):
        return False
    return math.isclose(values[whole], math.fsum(values[part] for part in parts), rel_tol=1e-9, abs_tol=1e-9)


def _keep_sum(values: Figures, found: Figures, whole: str, parts: tuple[str, str]) -> None:
    """Give the larger of two times what the smaller one leaves of their sum."""
    if _adds_up(values, whole, parts):
        smaller, larger = sorted(parts, key=lambda part: values[part])
        found[larger] = subtract(found[whole], found[smaller]) if found[smaller] else found[whole]


def _rounded(value: Number, traffic: str, *, own: bool = False) -> Number:
    """Round a time; the agent's own time is measured on a real clock in replayed runs too."""
    if type(value) is int:
        return value
    if traffic == "live" or own:
        return float(f"{value:.{LIVE_DIGITS}g}")
    return round(value, CLOCK_DECIMALS)


def _metrics(
    samples: Sequence[Sample], *, without: Iterable[str], rounded: Callable[[Figures], Figures] = dict
) -> tuple[dict[str, Session], frozenset[str]]:
    values: dict[str, list[Number]] = {}
    stages = {stage: dict.fromkeys(figures, 0) for sample in samples for stage, figures in sample.stages.items()}
    for sample in samples:
        figures = {name: _number(value) for name, value in _figures(sample, stages)}
        for name in figures:
            values.setdefault(name, [])
        for name, number in rounded({name: number for name, number in figures.items() if number is not None}).items():
            values[name].append(number)
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
                known = values.setdefault(key_of(stage, name), [])
                known.extend(number for value in single if (number := _number(value)) is not None)
    return {name: tuple(known) for name, known in values.items()}


def _number(value: object) -> Number | None:
    """Take a plain ``int`` or ``float`` of a plausible size; ``None`` for all else: a metric of a hook may return anything."""
    number: Number | None = None
    if type(value) in (int, float):
        number = value  # type: ignore[assignment]  # just checked
    else:
        try:
            if isinstance(value, Integral):
                number = int(value)
            elif isinstance(value, Real):
                number = float(value)
        except (ArithmeticError, TypeError, ValueError):
            return None
    if number is None or not abs(number) <= LARGEST:
        return None
    return number if bounded(number) else 0.0


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
                found[key_of(stage, name)] = _described(worst, mine, field)
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
