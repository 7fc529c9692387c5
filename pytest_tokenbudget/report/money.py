"""What a change costs in a month, where the project says how often its agents run."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import signed
from pytest_tokenbudget.report.means import now_value


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
