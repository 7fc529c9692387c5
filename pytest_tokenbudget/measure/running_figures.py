"""The figures of a sample while its calls come in, kept up to date call by call.

A ceiling is compared after each call. To measure all calls anew each time would take a time that is quadratic in their
number; here a call costs the same however many there were before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

from pytest_tokenbudget.measure.metrics import MetricSpec, OfCall
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import inside
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.stats.statistic import level_of, quantile, rational

Number = float | int | Fraction


class OpenSpan(Protocol):
    """A time in which a stage is open, on the sample's clock; ``ended`` is ``None`` while it is."""

    stage: str
    started: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The facts beside the calls that figures depend on.

    Attributes:
        now: Gives the time, s on the sample's clock.
        call_phase: Gives the duration of the call phase so far, s.
        spans_since: Gives the spans that were opened from a number on, in their order.
        recompute: Measures a metric from all calls so far, where only its whole computation is known (metrics of hooks).
    """

    now: Callable[[], float]
    call_phase: Callable[[], float]
    spans_since: Callable[[int], Sequence[OpenSpan]]
    recompute: Callable[[Metric], Number | None]


class RunningFigures:
    """The values so far of some metrics.

    Args:
        metrics: The metrics; the stage ``*`` stands for each stage that has a call.
        table: The known metrics.
        around: What they need to know beside the calls.
    """

    def __init__(self, metrics: Iterable[Metric], table: Mapping[str, MetricSpec], around: Surroundings) -> None:
        self._table = table
        self._around = around
        self._each_stage = [metric for metric in metrics if metric.stage == "*"]
        self._figures = {metric: self._figure(metric) for metric in metrics if metric.stage != "*"}

    def add(self, call: Call) -> None:
        """Add a call or failed attempt that has ended."""
        path = call.stage
        while self._each_stage and path:
            for metric in self._each_stage:
                named = replace(metric, stage=path)
                if named not in self._figures:
                    self._figures[named] = self._figure(named)
            path = path.rpartition("/")[0]
        for metric, figure in self._figures.items():
            if inside(call.stage, metric.stage):
                figure.add(call)

    def values(self, named: Metric) -> Iterable[tuple[Metric, Number]]:
        """Values of a metric so far, one for each stage where it is of each; 0 where nothing is known yet."""
        for metric, figure in self._figures.items():
            if metric == named or (named.stage == "*" and replace(metric, stage="*") == named):
                yield metric, figure.value() or 0

    def _figure(self, metric: Metric) -> Figure:
        spec = self._table[metric.name]
        if spec.of_call is not None:
            return Sum(spec.of_call)
        if spec.pooled is not None:
            return Pool(spec.pooled, metric.statistic)
        if metric.name == "fresh_input_tokens":
            return FreshInput()
        if metric.name in _TIMES:
            return _TIMES[metric.name](metric.stage, self._around)
        return Recomputed(metric, self._around)


class Figure(Protocol):
    """One value that grows call by call."""

    def add(self, call: Call) -> None:
        """Add a call or failed attempt."""

    def value(self) -> Number | None:
        """Give the value so far."""


class Sum:
    """The sum of what is known of each call."""

    def __init__(self, of_call: OfCall) -> None:
        self._of_call = of_call
        self._total: Number = 0

    def add(self, call: Call) -> None:
        """Add a call."""
        value = self._of_call(call)
        if value:
            self._total += value if isinstance(value, int) else rational(value)

    def value(self) -> Number:
        """Give the sum."""
        return self._total


class Pool:
    """A statistic of single calls' values."""

    def __init__(self, of_call: OfCall, statistic: str) -> None:
        self._of_call = of_call
        self._statistic = statistic
        self._total = 0.0
        self._ordered: list[float] = []

    def add(self, call: Call) -> None:
        """Add a call; a failed attempt has no value."""
        value = self._of_call(call) if call.succeeded else None
        if value is not None:
            self._total += value
            insort(self._ordered, value)

    def value(self) -> Number | None:
        """Give the statistic."""
        if not self._ordered:
            return None
        if self._statistic == "mean":
            return self._total / len(self._ordered)
        return quantile(self._ordered, level_of(self._statistic))


class FreshInput:
    """Input that no earlier call began with."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], Any] = {}
        self._total = 0

    def add(self, call: Call) -> None:
        """Add a call; a failed attempt has read nothing."""
        node = self._seen
        for piece in call.composition.pieces if call.succeeded and call.composition is not None else ():
            step = (piece.part, piece.name, piece.digest)
            if step not in node:
                node[step] = {}
                self._total += piece.tokens
            node = node[step]

    def value(self) -> int:
        """Give the tokens."""
        return self._total


class Union:
    """The length of a union of intervals, s."""

    def __init__(self) -> None:
        self.length = 0.0
        self._starts: list[float] = []
        self._ends: list[float] = []

    def add(self, start: float, end: float) -> None:
        """Add an interval; those that touch become one."""
        first = last = bisect_left(self._ends, start)
        while last < len(self._starts) and self._starts[last] <= end:
            self.length -= self._ends[last] - self._starts[last]
            start, end = min(start, self._starts[last]), max(end, self._ends[last])
            last += 1
        self._starts[first:last], self._ends[first:last] = [start], [end]
        self.length += end - start

    def until(self, start: float, now: float) -> float:
        """The length with one more interval, which is open since ``start``."""
        covered = 0.0
        for at in range(len(self._ends) - 1, -1, -1):
            if self._ends[at] <= start:
                break
            covered += self._ends[at] - max(start, self._starts[at])
        return self.length + max(0.0, now - start) - covered


class ModelTime:
    """The union of the calls' intervals."""

    def __init__(self, stage: str, around: Surroundings) -> None:
        self._union = Union()

    def add(self, call: Call) -> None:
        """Add a call or failed attempt."""
        self._union.add(call.started, call.started + call.latency)

    def value(self) -> float:
        """Give the time."""
        return self._union.length


class Latency:
    """The time that a stage has been open; of the whole test, the time of its call phase."""

    def __init__(self, stage: str, around: Surroundings) -> None:
        self._stage = stage
        self._around = around
        self._model_time = ModelTime(stage, around)
        self._closed = Union()
        self._open: list[OpenSpan] = []
        self._seen = 0

    def add(self, call: Call) -> None:
        """Add a call: a stage that no code opens is open while its calls run."""
        self._model_time.add(call)

    def value(self) -> float:
        """Give the time until now."""
        if not self._stage:
            return self._around.call_phase()
        for span in self._around.spans_since(self._seen):
            self._seen += 1
            if inside(span.stage, self._stage):
                self._open.append(span)
        ended = [span for span in self._open if span.ended is not None]
        self._open = [span for span in self._open if span.ended is None]
        since = min((span.started for span in self._open), default=None)
        for span in ended:
            # What lies within a span that is open still is added with that one.
            if since is None or span.started < since:
                self._closed.add(span.started, span.ended or span.started)
        if since is not None:
            return self._closed.until(since, self._around.now())
        return self._closed.length if self._seen and self._closed.length else self._model_time.value()


class OwnTime(Latency):
    """The part of the latency beside the calls."""

    def value(self) -> float:
        """Give the time until now."""
        return max(0.0, super().value() - self._model_time.value())


class Recomputed:
    """A metric of which only the whole computation is known."""

    def __init__(self, metric: Metric, around: Surroundings) -> None:
        self._metric = metric
        self._around = around

    def add(self, call: Call) -> None:
        """Do nothing: the calls are kept elsewhere."""

    def value(self) -> Number | None:
        """Measure it from all calls."""
        return self._around.recompute(self._metric)


_TIMES: Mapping[str, Callable[[str, Surroundings], Figure]] = {
    "latency": Latency,
    "model_time": ModelTime,
    "own_time": OwnTime,
}
