"""The values that a gate compares: of the samples of this run, and of the stored sessions."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from pytest_tokenbudget.measure.metrics import OPTIONAL_USAGE, PROVIDER_PACE, MetricSpec, tool_tokens
from pytest_tokenbudget.records.baseline import BaselineEntry, Number, Session
from pytest_tokenbudget.records.composition import inclusive, inside, within
from pytest_tokenbudget.records.gate import TOOL_PREFIX, Gate, Metric, is_tool_metric
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.records.verdict import Before
from pytest_tokenbudget.stats.statistic import mean


def sample_values(samples: Sequence[Sample], metric: Metric, spec: MetricSpec) -> list[Number]:
    """The metric's values in this run.

    Args:
        samples: The samples of this run.
        metric: The metric.
        spec: Its row in the table; single calls are pooled over the samples where it says so.

    Returns:
        A value a sample (or a call, for pooled metrics); 0 where the stage was not opened in a sample; none where a
        sample's value is unknown, or is no finite number.
    """
    if spec.pooled is not None:
        pooled = [sample.pooled.get(metric.stage, {}).get(metric.name, ()) for sample in samples]
        return [value for values in pooled for value in values if isfinite(value)]
    if is_tool_metric(metric.name):
        tool = metric.name.removeprefix(TOOL_PREFIX)
        return [tool_tokens(found, tool) for sample in samples if (found := within(sample.composition, metric.stage))]
    values: list[Number] = []
    for sample in samples:
        figures = sample.stages.get(metric.stage) if metric.stage else sample.total
        value = 0 if figures is None else figures.get(metric.name)
        if value is None or not isfinite(value):  # a metric of a hook may give anything
            return []
        values.append(value)
    return values


def stored_sessions(entry: BaselineEntry, metric: Metric, spec: MetricSpec) -> tuple[Session, ...]:
    """The stored sessions of a metric, oldest first; empty where the baseline does not know it.

    A stage that the baseline does not know at all was not opened then, which is no value of 0: there is nothing to
    compare with.
    """
    if metric.name == PROVIDER_PACE:
        return ((1.0,),) if entry.speeds else ()
    if is_tool_metric(metric.name):
        composition = within(entry.composition, metric.stage)
        tokens = 0 if composition is None else tool_tokens(composition, metric.name.removeprefix(TOOL_PREFIX))
        return ((tokens,),) if tokens else ()
    records = entry.pooled if spec.pooled is not None else entry.metrics
    record = records.get(metric.key)
    return () if record is None else tuple(filter(None, record.sessions))


def why_unknown(metric: str, spec: MetricSpec) -> str:
    """The reason why a metric has no value."""
    reason = f"{metric} is not known"
    if spec.unit == "USD":
        return f"{reason}: the price of a model is unknown; name it in the ini option tokenbudget_prices"
    if spec.pooled is not None:
        return f"{reason}: no call has it" + (" (ttft needs a streamed call)" if spec.name == "ttft" else "")
    if spec.name in OPTIONAL_USAGE:
        return f"{reason}: the provider's usage does not say it"
    return f"{reason}: a call carried no usage and could not be counted"


def sources(samples: Sequence[Sample], stage: str) -> tuple[str, str, bool]:
    """How the figures of a stage were obtained.

    Returns:
        The least sure source of its input tokens and of its output tokens (``counted``, ``calibrated`` or ``""``), and
        whether a replay had no answer to one of its calls, and gave that of another one.
    """
    read: set[str | None] = set()
    written: set[str | None] = set()
    estimated = False
    for sample in samples:
        for call in sample.calls:
            if inside(call.stage, stage):
                estimated = estimated or call.estimated
                if call.error is None:
                    read.add(call.input_source)
                    written.add(call.output_source)
    return _least_sure(read), _least_sure(written), estimated


def _least_sure(found: set[str | None]) -> str:
    return "counted" if "counted" in found else "calibrated" if "calibrated" in found else ""


def before_of(entry: BaselineEntry) -> Before:
    """The means of all that is stored of a test, and its composition: the side that a report draws as *before*."""
    total: Values = {}
    stages: dict[str, Values] = {}
    for key, record in (*entry.metrics.items(), *entry.pooled.items()):
        stage, _, name = key.rpartition(".")
        if record.values:
            figures = stages.setdefault(stage, {}) if stage else total
            figures[name] = mean(record.values)
    return Before(total, stages, entry.composition)


def offered_tools(samples: Sequence[Sample], entry: BaselineEntry | None) -> set[tuple[str, str]]:
    """Give stage and name of each tool that was or is offered."""
    compositions = [sample.composition for sample in samples] + ([entry.composition] if entry else [])
    return {
        (stage, part.name)
        for composition in compositions
        for stage, found in inclusive(composition).items()
        for part in found.parts
        if part.part == "tools"
    }


ORIGIN_MULTIPLE = 2
"""A metric may grow by twice what a gate allows, since its origin, before that is told."""


def is_far_from_origin(gate: Gate, recent: Sequence[Sequence[Number]], entry: BaselineEntry) -> bool:
    """Tell whether any value is beyond what the origin allows: no mean is, where none of its values is."""
    record = entry.metrics.get(gate.metric.key)
    if record is None or record.origin is None or gate.metric.statistic != "mean":
        return False
    highest, origin = max(map(max, recent)), record.origin
    return highest > origin and highest >= origin * (1 + ORIGIN_MULTIPLE * float(gate.rule.fraction))
