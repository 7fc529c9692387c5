"""Calls and spans become a :class:`~pytest_tokenbudget.records.sample.Sample`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.measure.metrics import MetricSpec, StageView, clock_time, pooled_values, values
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition, all_stages, inside, within
from pytest_tokenbudget.records.sample import Span, Values

Compose = Callable[[Sequence[Call], float], StageComposition]
"""Sums the compositions of a stage's calls; it is told when the model first answered in the sample."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one sample: of the whole test, and of each stage by its path.

    Attributes:
        total: Metrics of the whole test.
        stages: Metrics by stage path.
        composition: Compositions of the stages' own calls by stage path.
        pooled: Single calls' values by stage path and metric; the whole test's under ``""``.
        windows: Start and end of each time in which a stage was open, by stage path, s since the sample's start; the whole
            test's call phase under ``""``.
    """

    total: Values
    stages: dict[str, Values]
    composition: dict[str, StageComposition]
    pooled: dict[str, dict[str, tuple[float, ...]]]
    windows: dict[str, tuple[tuple[float, float], ...]]


def union_length(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals.

    Args:
        intervals: Pairs ``(start, end)`` in s, in any order; overlapping and nested ones count once.

    Returns:
        s that at least one of them covers.
    """
    total = 0.0
    covered_until = float("-inf")
    for start, end in sorted(intervals):
        if end <= covered_until:
            continue
        total += end - max(start, covered_until)
        covered_until = end
    return total


def measure(
    calls: Sequence[Call],
    spans: Sequence[Span],
    *,
    call_phase: float,
    begun: float = 0.0,
    own_time: float | None,
    table: Mapping[str, MetricSpec],
    compose: Compose,
    paid: Sequence[Call] = (),
) -> Measured:
    """Compute the metrics of the whole test and of each stage.

    Args:
        calls: Calls and failed attempts, in order of their starts; times in s since the sample's start.
        spans: The times in which stages were open, on the same clock.
        call_phase: Duration of the test's call phase, s.
        begun: Its start, s since the sample's start.
        own_time: s of the agent's own code where it is known apart (replay), else ``None``.
        table: The known metrics.
        compose: Sums the compositions of a stage's calls.
        paid: Requests that cost money and are no calls.

    Returns:
        The figures. A stage that only a rule opened (no code) is open while its calls run.
    """
    answered = min((call.started + (call.ttft or call.latency) for call in calls if call.succeeded), default=math.inf)
    paths = all_stages([*(call.stage for call in calls), *(span.stage for span in spans)])
    own = {path: compose([call for call in calls if call.stage == path], answered) for path in paths}
    windows: dict[str, tuple[tuple[float, float], ...]] = {"": ((begun, begun + call_phase),)}
    views: dict[str, StageView] = {}
    for path in ("", *paths):
        mine = [call for call in calls if inside(call.stage, path)]
        composition = within(own, path) or StageComposition(calls=0)
        # Calls of several stages can share a prefix, which their compositions do not know of each other.
        several = sum(inside(other, path) for other in paths) > 1
        fresh = (compose(mine, answered) if several else composition).fresh_input_tokens
        if path and (opened := tuple((span.started, span.ended) for span in spans if inside(span.stage, path))):
            windows[path] = opened
        model_time = union_length([(call.started, call.started + call.latency) for call in mine])
        # A stage that only a rule opened (no code) is open while its calls run.
        open_time = union_length(windows[path]) if path in windows else model_time
        views[path] = StageView(
            calls=[call for call in mine if call.succeeded],
            attempts=[call for call in mine if not call.succeeded],
            open_time=clock_time(open_time),
            model_time=clock_time(model_time),
            composition=composition,
            fresh_input_tokens=fresh,
            own_time=None if path else own_time,
            paid=[request for request in paid if inside(request.stage, path)],
        )
    whole = views[""]
    total, pooled = values(whole, table), {"": pooled_values(whole, table)}
    stages = {}
    for path in paths:
        view = views[path]
        sizes = [(len(each.calls), len(each.attempts), len(each.paid)) for each in (view, whole)]
        has_all = sizes[0] == sizes[1]
        stages[path] = values(view, table, same_calls=total if has_all else None)
        pooled[path] = pooled[""] if has_all else pooled_values(view, table)
    return Measured(total, stages, own, pooled, windows)
