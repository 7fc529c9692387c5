"""The values that a gate compares: of the samples of this run, and of the stored sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil

from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.records.verdict import Before
from pytest_tokenbudget.stats.exact import rational_mean

Number = float | int


def as_number(value: Fraction) -> Number:
    """A whole number where it is one, else the nearest float."""
    return int(value) if value.denominator == 1 else float(value)


def sample_values(samples: Sequence[Sample], metric: Metric, spec: MetricSpec) -> list[Number] | None:
    """The metric's values in this run.

    Args:
        samples: The samples of this run.
        metric: The metric.
        spec: Its row in the table; single calls are pooled over the samples where it says so.

    Returns:
        A value a sample (or a call, for pooled metrics); 0 where the stage was not opened in a sample; ``None`` where a
        sample's value is unknown.
    """
    if spec.pooled is not None:
        return [value for sample in samples for value in sample.pooled.get(metric.stage, {}).get(metric.name, ())]
    values: list[Number] = []
    for sample in samples:
        figures = sample.stages.get(metric.stage) if metric.stage else sample.total
        value = 0 if figures is None else figures.get(metric.name)
        if value is None:
            return None
        values.append(value)
    return values


def stored_sessions(entry: BaselineEntry, metric: Metric, spec: MetricSpec) -> tuple[tuple[Number, ...], ...]:
    """The stored sessions of a metric, oldest first; empty where the baseline does not know it.

    A stage that the baseline does not know at all was not opened then, which is no value of 0: there is nothing to
    compare with.
    """
    records: Mapping[str, object] = entry.pooled if spec.pooled is not None else entry.metrics
    record = records.get(metric.key)
    sessions = getattr(record, "sessions", ())
    return tuple(tuple(session) for session in sessions if session)


def statistic(values: Sequence[Number], name: str) -> Number:
    """A statistic of some values.

    Args:
        values: At least one value.
        name: ``mean``, ``max`` or ``p50`` ... ``p99``.

    Returns:
        For ``mean`` of whole numbers the exact mean (a whole number where it is one). For percentiles the nearest rank:
        the smallest value that at least that share of the values does not pass.
    """
    if name == "max":
        return max(values)
    if name == "mean":
        if len(values) == 1:
            return values[0]
        mean = rational_mean(values)
        return as_number(mean) if all(isinstance(v, int) for v in values) else float(mean)
    rank = ceil(len(values) * int(name[1:]) / 100)
    return sorted(values)[max(rank, 1) - 1]


def before_of(entry: BaselineEntry) -> Before:
    """The means of all that is stored of a test, and its composition: the side that a report draws as *before*."""
    total: Values = {}
    stages: dict[str, Values] = {}
    for key, record in (*entry.metrics.items(), *entry.pooled.items()):
        stage, _, name = key.rpartition(".")
        if record.values:
            figures = stages.setdefault(stage, {}) if stage else total
            figures[name] = statistic(record.values, "mean")
    return Before(total, stages, entry.composition)
