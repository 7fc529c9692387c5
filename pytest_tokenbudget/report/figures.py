"""Means over the samples of a test, and how numbers are written for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import floor, isfinite, log10

from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.records.verdict import GateResult, TestResult
from pytest_tokenbudget.stats.statistic import mean
from pytest_tokenbudget.wording import counted

STAGE_METRICS = ("input_tokens", "output_tokens", "calls", "failed_attempts", "latency", "cost")
"""The metrics of a table with a row a stage."""

_UNITS = {spec.name: spec.unit for spec in BUILTIN_METRICS}


def number(value: float | int | None, unit: Unit = "count") -> str:
    """A value in its unit: ``12,410``, ``41.2 s``, ``850 ms``, ``$0.0123``; a dash where it is unknown."""
    if value is None:
        return "-"
    if unit == "USD":
        return dollars(value)
    if unit == "s":
        return seconds(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def unit_of(metric: str) -> Unit:
    """The unit of a built-in metric, by its full name; ``count`` for a metric of a hook, whose gates know their own."""
    return _UNITS.get(metric.rpartition(".")[2], "count")


def is_seconds(metric: str) -> bool:
    """Tell whether a metric is a time in s."""
    return unit_of(metric) == "s"


def dollars(value: float) -> str:
    """An amount: ``$0.0123``, ``$0.0000123``, never in powers of ten."""
    if value == 0:
        return "$0"
    digits = max(4, 2 - floor(log10(abs(value)))) if isfinite(value) else 4
    text = f"{value:,.{min(digits, 12)}f}"
    return "$" + (text if digits == 4 else text.rstrip("0"))


def seconds(value: float) -> str:
    """A duration: ``41.2 s``, ``850 ms``, ``120 µs``."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f} s"
    if size >= 1 or size == 0:
        return f"{value:.3g} s"
    if size >= 0.001:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.3g} µs"


def percent(fraction: float | None, *, digits: int = 1) -> str:
    """A relative change: ``+29.1 %``; a dash where it has no meaning."""
    if fraction is None:
        return "-"
    shown = fraction * 100
    return f"{shown:+,.{digits if abs(shown) < 1000 else 0}f} %"


def bound(fraction: float) -> str:
    """A bound of a change; one that bounds nothing that matters is not spelt out."""
    return percent(fraction) if fraction < 100 else "more than 100 times as much"


def interval(gate: GateResult) -> str:
    """Say between what a gate's change lies; ``""`` where nothing is left to chance."""
    if gate.exact or gate.lower is None or gate.upper is None:
        return ""
    return f"between {bound(gate.lower)} (99 % bound) and {bound(gate.upper)} (95 % bound)"


def change(gate: GateResult) -> str:
    """A gate's change; a ceiling has none. With as many digits as tell it from what is allowed."""
    if gate.kind == "limit":
        return ""
    if gate.change is None or gate.allowed is None or not gate.baseline or gate.value == gate.allowed:
        return percent(gate.change)
    allowed = gate.allowed / gate.baseline - 1
    for digits in range(1, 6):
        text = percent(gate.change, digits=digits)
        if text != percent(allowed, digits=digits):
            return text
    return percent(gate.change)


def signed(value: float, unit: Unit = "count") -> str:
    """A difference with its sign: ``+3,120``."""
    shown = number(abs(value), unit)
    return f"{'-' if value < 0 else '+'}{shown}"


def terminal_encoding() -> str | None:
    """Encoding of what the process prints to, which pytest's capturing hides; a worker's is the same by inheritance."""
    return getattr(sys.__stdout__, "encoding", None)


_ASCII = str.maketrans({"→": "->", "µ": "u", "…": "...", "·": "|"})


def for_terminal(text: str, encoding: str | None) -> str:
    """Text that a terminal can show: our own signs in ASCII where its encoding lacks them (a Windows console's, C's)."""
    try:
        "→µ…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII)
    return text


def now_value(result: TestResult, metric: str) -> float | int | None:
    """The mean of a metric of the whole test over its samples; ``None`` where it is unknown."""
    known = [value for sample in result.samples if (value := sample.total.get(metric)) is not None]
    return mean(known) if known and len(known) == len(result.samples) else None


def summed(values: Sequence[float | int | None]) -> float | int | None:
    """The sum; ``None`` where a value is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None


def columns(figures: Sequence[Values]) -> dict[str, list[float | int] | None]:
    """The values of each metric over the samples; ``None`` where one is unknown; 0 where a sample did not open the stage."""
    found: dict[str, list[float | int] | None] = {}
    for name in {name: None for values in figures for name in values}:
        known = [value for values in figures if (value := values.get(name) if values else 0) is not None]
        found[name] = known if len(known) == len(figures) else None
    return found


def mean_values(figures: Sequence[Values]) -> Values:
    """Mean of each metric over the samples; unknown where one is unknown; 0 where a stage was not opened."""
    if len(figures) == 1:
        return dict(figures[0])
    return {name: None if values is None else mean(values) for name, values in columns(figures).items()}


def by_stage(samples: Sequence[Sample]) -> dict[str, list[Values]]:
    """The figures of each sample, of the whole test (``""``) and then of each stage; empty where a stage was not opened."""
    stages = sorted({stage for sample in samples for stage in sample.stages})
    return {"": [sample.total for sample in samples]} | {
        stage: [sample.stages.get(stage, {}) for sample in samples] for stage in stages
    }


def spent(samples: Iterable[Sample]) -> list[str]:
    """What samples spent: calls, tokens, and money where a price is known."""
    calls = [call for sample in samples for call in sample.calls if call.succeeded]
    tokens = sum([(call.usage.input_tokens or 0) + (call.usage.output_tokens or 0) for call in calls])
    costs = [call.cost for call in calls if call.cost is not None]
    return [counted(len(calls), "call"), counted(tokens, "token"), *([dollars(sum(costs))] if costs else [])]


def month_change(results: Iterable[TestResult]) -> float | None:
    """USD a month more or less than before, by the runs a month that the project says; ``None`` where it says none."""
    changes = []
    for result in results:
        if result.runs_per_month is None or result.before is None:
            continue
        now, then = now_value(result, "cost"), result.before.total.get("cost")
        if now is not None and then is not None:
            changes.append((now - then) * result.runs_per_month)
    return sum(changes) if changes else None


def money_a_month(amount: float) -> str:
    """A change of money as managers read it: ``+$1,240 a month``."""
    if abs(amount) < 0.005:
        return f"{signed(amount, 'USD')} a month" if amount else "±$0 a month"
    return f"{'-' if amount < 0 else '+'}${abs(amount):,.{0 if abs(amount) >= 100 else 2}f} a month"
