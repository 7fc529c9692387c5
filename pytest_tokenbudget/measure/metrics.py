"""The table of metrics: what each is called, its unit, and how it is computed from a stage's calls and spans."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.gate import TOOL_PREFIX, Metric, Unit, is_tool_metric
from pytest_tokenbudget.records.sample import Values
from pytest_tokenbudget.stats.statistic import mean

STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage, or the whole test, of one sample: a metric is computed from it.

    Attributes:
        calls: Successful calls, the stages inside included.
        attempts: Failed attempts, likewise.
        open_time: s in which the stage was open (union of its spans); for the whole test the call phase.
        model_time: s in which at least one call was running (union of the intervals).
        composition: What the input consists of.
        fresh_input_tokens: Input that is no common prefix with an earlier call, whichever stage inside made it.
        own_time: s of the agent's own code on the real clock, where that is known apart (replay); else ``None``.
        paid: Requests that cost money and are no calls.
    """

    calls: Sequence[Call]
    attempts: Sequence[Call]
    open_time: float
    model_time: float
    composition: StageComposition
    fresh_input_tokens: int
    own_time: float | None = None
    paid: Sequence[Call] = ()


Compute = Callable[[StageView], float | int | None]
OfCall = Callable[[Call], float | int | None]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: Its name.
        unit: Its unit.
        help: One line for the docs.
        compute: How it is computed.
        pooled: The value of one call, for metrics whose values are those of single calls, pooled over calls and samples;
            ``None`` for others.
        of_call: The value of one call or failed attempt, for metrics that are a sum over them; ``None`` for others. It
            lets ``stop_at`` keep a running sum.
    """

    name: str
    unit: Unit
    help: str
    compute: Compute
    pooled: Callable[[Call], float | None] | None = None
    of_call: OfCall | None = None

    @property
    def timed(self) -> bool:
        """Tell whether it is a time, which is noisy in live traffic."""
        return self.unit == "s"


def _sum_of_calls(name: str, text: str, of_call: OfCall, *, unit: Unit = "tokens", partial: bool = False) -> MetricSpec:
    """A metric that is a sum over the successful calls.

    Args:
        name: Its name.
        text: One line for the docs.
        of_call: The value of one call, ``None`` where it is unknown.
        unit: Its unit.
        partial: Whether the sum is known where some call's value is; else one unknown value makes it unknown.
    """

    def compute(view: StageView) -> float | int | None:
        values = [of_call(call) for call in view.calls]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) or (partial and known) else None

    return MetricSpec(name, unit, text, compute, of_call=_of_success(of_call))


def _sum_of_known(name: str, text: str) -> MetricSpec:
    """A part of the usage, which is known where some call tells it."""
    return _sum_of_calls(name, text, attrgetter(f"usage.{name}"), partial=True)


def _of_success(of_call: OfCall) -> OfCall:
    return lambda call: of_call(call) if call.succeeded else 0


def _output(call: Call) -> int | None:
    """An embedding writes nothing, whatever its usage says."""
    return 0 if call.operation == "embeddings" else call.usage.output_tokens


def _both(call: Call) -> int | None:
    read, written = call.usage.input_tokens, _output(call)
    return None if read is None or written is None else read + written


def _parts(name: str, text: str, *names: str) -> MetricSpec:
    """A metric that is the sum of parts of the composition."""

    def compute(view: StageView) -> int | None:
        if view.calls and not view.composition.parts:
            return None
        return sum(part.tokens for part in view.composition.parts if part.part in names)

    def of_call(call: Call) -> int | None:
        if call.composition is None:
            return None
        return sum(piece.tokens for piece in call.composition.pieces if piece.part in names)

    return MetricSpec(name, "tokens", text, compute, of_call=_of_success(of_call))


def _fresh(view: StageView) -> int | None:
    return None if view.calls and not view.composition.parts else view.fresh_input_tokens


def _cost(view: StageView) -> float | None:
    """Added as decimals, as which prices are written: three calls at $0.0022 cost $0.0066, not $0.006599999999999999."""
    total = Decimal(0)
    for call in (*view.calls, *view.paid):
        if call.cost is None:
            return None
        total += Decimal(repr(float(call.cost)))
    return float(total)


def _own_time(view: StageView) -> float:
    return clock_time(view.own_time if view.own_time is not None else max(0.0, view.open_time - view.model_time))


def _per_output_token(view: StageView) -> float | None:
    written = _OUTPUT.compute(view)
    return view.model_time / written if written else None


def _single_calls(name: str, text: str, time_of: Callable[[Call], float | None]) -> MetricSpec:
    """A time of single calls, pooled over calls and samples."""

    def of_call(call: Call) -> float | None:
        time = time_of(call)
        return None if time is None else clock_time(time)

    def compute(view: StageView) -> float | None:
        values = [value for value in map(of_call, view.calls) if value is not None]
        return mean(values) if values else None

    return MetricSpec(name, "s", text, compute, of_call)


def clock_time(seconds: float) -> float:
    """Drop the dust of adding floats: no clock tells less than a nanosecond, and projected times are compared exactly."""
    return round(seconds, 9)


_OUTPUT = _sum_of_calls("output_tokens", "All that the model wrote, reasoning included.", _output)

PROVIDER_PACE = "provider_pace"
"""The one metric that is no figure of a sample: only beside a baseline is it known what a call should have taken."""

BUILTIN_METRICS: tuple[MetricSpec, ...] = (
    _sum_of_calls("input_tokens", "All that the model read, cached tokens included.", attrgetter("usage.input_tokens")),
    _OUTPUT,
    _sum_of_calls("total_tokens", "Input plus output.", _both),
    _sum_of_known("cached_input_tokens", "Input read from a cache."),
    _sum_of_known("cache_write_tokens", "Input written to a cache."),
    _sum_of_known("reasoning_tokens", "Output that is reasoning."),
    _parts("tool_schema_tokens", "Input that is tool schemas.", "tools"),
    _parts("system_tokens", "Input that is system prompt.", "system"),
    _parts("history_tokens", "Input that is history.", "assistant", "tool_results"),
    MetricSpec("fresh_input_tokens", "tokens", "Input that no provider cache can serve.", _fresh),
    _sum_of_calls("calls", "Model calls that succeeded.", lambda call: 1, unit="count"),
    MetricSpec(
        "failed_attempts",
        "count",
        "Attempts that failed.",
        lambda view: len(view.attempts),
        of_call=lambda call: int(not call.succeeded),
    ),
    _sum_of_calls("tool_calls", "Tools that the model called.", lambda call: len(call.tool_calls), unit="count"),
    MetricSpec(
        "latency",
        "s",
        "The time that the run would take at the baseline's speed: what the code decides.",
        attrgetter("open_time"),
    ),
    MetricSpec(
        "measured_latency",
        "s",
        "The time it took: the test's call phase; a stage's time open.",
        attrgetter("open_time"),
    ),
    MetricSpec("model_time", "s", "Union of the calls' intervals.", attrgetter("model_time")),
    _single_calls("call_latency", "Duration of single calls, pooled.", attrgetter("latency")),
    _single_calls("ttft", "Time to first generated chunk of single calls, pooled.", attrgetter("ttft")),
    MetricSpec("own_time", "s", "The agent's own code.", _own_time),
    MetricSpec(
        PROVIDER_PACE,
        "ratio",
        "Measured over expected time of live calls: 1.6 is slower by 60 % than in the baseline.",
        lambda view: None,
    ),
    MetricSpec("latency_per_output_token", "s", "Model time per output token.", _per_output_token),
    MetricSpec("cost", "USD", "What the calls cost.", _cost, of_call=_of_success(attrgetter("cost"))),
)

RENAMED = {"attempts": "failed_attempts"}
"""Old names of metrics and their names of now; the old ones are read with a deprecation warning."""

OPEN_TIMES = ("latency", "measured_latency")
"""The time in which a stage was open, at the baseline's speed and as it was measured: the same where nothing is live."""

DEFAULT_GATES = ("input_tokens", "output_tokens", "calls", "latency")
OPTIONAL_USAGE = frozenset({"cached_input_tokens", "cache_write_tokens", "reasoning_tokens"})
"""Figures that many providers do not report beside input and output."""


class MetricTable(dict[str, MetricSpec]):
    """The known metrics by name. Each tool's schema is a metric too, ``tools.NAME``, without a row of its own."""

    def __missing__(self, name: str) -> MetricSpec:
        if not is_tool_metric(name):
            raise KeyError(name)
        tool = name.removeprefix(TOOL_PREFIX)
        text = "One tool's schema, per call that offers it."
        return MetricSpec(name, "tokens", text, lambda view: tool_tokens(view.composition, tool))


def tool_tokens(composition: StageComposition, tool: str) -> int:
    """Tokens of a tool's schema in the call in which it is largest; 0 where no call offers it.

    By the local count, which depends on nothing that stands beside the schema.
    """
    return max((part.largest for part in composition.counted if part.part == "tools" and part.name == tool), default=0)


def metric_table(extra: Iterable[MetricSpec] = ()) -> MetricTable:
    """The built-in metrics and those that hooks add, by name; a project's own of the same name wins."""
    own = {spec.name: spec for spec in extra}
    return MetricTable({spec.name: own.pop(spec.name, spec) for spec in BUILTIN_METRICS} | own)


def values(view: StageView, table: Mapping[str, MetricSpec], *, same_calls: Values | None = None) -> Values:
    """All metrics of one stage of one sample; those of the same calls, where they are known, have the same sums."""
    return {
        name: spec.compute(view) if same_calls is None or spec.of_call is None else same_calls[name]
        for name, spec in table.items()
        if name != PROVIDER_PACE
    }


def pooled_values(view: StageView, table: Mapping[str, MetricSpec]) -> dict[str, tuple[float, ...]]:
    """The single calls' values of the pooled metrics."""
    return {
        name: tuple(v for v in map(spec.pooled, view.calls) if v is not None)
        for name, spec in table.items()
        if spec.pooled is not None
    }


def parse_metric(text: str, table: Mapping[str, MetricSpec]) -> Metric:
    """Parse ``[stage.]name[.statistic]``.

    Args:
        text: What the user wrote.
        table: The known metrics.

    Returns:
        The metric.

    Raises:
        ValueError: If no known metric stands in it; the message names the nearest ones.
    """
    if (tool := _TOOL_METRIC.fullmatch(text.strip())) and tool["tool"] not in table:
        return Metric(tool["stage"] or "", f"{TOOL_PREFIX}{tool['tool']}")
    parts = text.strip().split(".")
    statistic = "mean"
    if len(parts) > 1 and parts[-1] in STATISTICS and parts[-1] not in table:
        statistic = parts.pop()
    name = parts[-1]
    stage = ".".join(parts[:-1])
    if name in RENAMED and name not in table:
        warnings.warn(
            f"token_budget: the metric {name!r} is called {RENAMED[name]!r} now", DeprecationWarning, stacklevel=2
        )
        name = RENAMED[name]
    if name not in table:
        raise ValueError(_unknown_metric(text, parts, table))
    if any(not piece for piece in stage.split("/")) and stage:
        raise ValueError(f"metric {text!r}: the stage {stage!r} has an empty part")
    return Metric(stage, name, statistic)


_TOOL_METRIC = re.compile(r"(?:(?P<stage>[^.]+)\.)?tools\.(?P<tool>[^.]+)")


def _unknown_metric(text: str, parts: Sequence[str], table: Mapping[str, MetricSpec]) -> str:
    from difflib import get_close_matches

    name = parts[-1]
    if len(parts) > 1 and parts[-2] in table:
        near = get_close_matches(name, STATISTICS, n=3, cutoff=0.3) or list(STATISTICS)
        return f"unknown statistic {name!r} in {text!r}; nearest: {', '.join(near)}"
    near = get_close_matches(name, list(table), n=3, cutoff=0.4)
    known = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(table)}"
    return f"unknown metric {name!r} in {text!r}; {known}"
