"""Means over the samples of a test, and what a change costs in a month. What is unknown in one sample is unknown in all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_tokenbudget.records.sample import Values
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import signed
from pytest_tokenbudget.stats.statistic import mean


def now_value(result: TestResult, metric: str) -> float | int | None:
    """The mean of a metric of the whole test over its samples; ``None`` where it is unknown."""
    known = [value for sample in result.samples if (value := sample.total.get(metric)) is not None]
    return mean(known) if known and len(known) == len(result.samples) else None


def summed(values: Sequence[float | int | None]) -> float | int | None:
    """The sum; ``None`` where a value is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None


def mean_values(figures: Sequence[Values]) -> Values:
    """Mean of each metric over the samples; unknown where one is unknown; 0 where a stage was not opened."""
    if len(figures) == 1:
        return dict(figures[0])
    names = {name: None for values in figures for name in values}
    shown: Values = {}
    for name in names:
        column = [values.get(name, 0 if not values else None) for values in figures]
        known = [value for value in column if value is not None]
        if len(known) < len(column):
            shown[name] = None
            continue
        shown[name] = mean(known)
    return shown


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
