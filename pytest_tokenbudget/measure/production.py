"""Rows of production become distributions by stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from pytest_tokenbudget.records.production import METRICS, Distribution, Production, ProductionRow
from pytest_tokenbudget.stats.statistic import quantile

KEPT_VALUES = 60
"""Values of a distribution that are kept: a distribution-free bound on p95 needs 59."""


def summarize(rows: Iterable[ProductionRow], *, source: str) -> Production:
    """The distribution of each metric, by stage and for whole runs.

    Rows of the same run and stage are added up: a stage that called its model three times read the sum of what these calls
    read. Rows without a run are runs of their own. A metric that any row of a run leaves out is unknown for that run.

    Args:
        rows: The rows; they are read once.
        source: Kind of the source.
    """
    runs: dict[tuple[str, str], dict[str, float | int | None]] = {}
    models: set[str] = set()
    for number, row in enumerate(rows):
        run = row.run or f"row {number}"
        if row.model:
            models.add(row.model)
        values = {name: getattr(row, name) for name in METRICS}
        for stage in ("", *_around(row.stage)):
            _add(runs.setdefault((stage, run), {}), values)
    collected: dict[str, dict[str, list[float | int]]] = {}
    for (stage, _), totals in runs.items():
        metrics = collected.setdefault(stage, {})
        for name, value in totals.items():
            if value is not None:
                metrics.setdefault(name, []).append(value)
    stages = {
        stage: {name: distribution(values) for name, values in sorted(metrics.items())}
        for stage, metrics in sorted(collected.items())
    }
    return Production(source, stages, tuple(sorted(models)))


def _around(path: str) -> list[str]:
    """A stage and those around it: what ``worker/finalize`` spends is part of what ``worker`` spends."""
    parts = path.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _add(totals: dict[str, float | int | None], values: dict[str, float | int | None]) -> None:
    for name, value in values.items():
        if name not in totals:
            totals[name] = value
        else:
            before = totals[name]
            totals[name] = None if before is None or value is None else before + value


def distribution(values: Sequence[float | int]) -> Distribution:
    """Mean, quantiles and evenly spaced values of at least one value."""
    ordered = sorted(values)
    n = len(ordered)
    if n <= KEPT_VALUES:
        kept = tuple(ordered)
    else:
        kept = tuple(ordered[round(at * (n - 1) / (KEPT_VALUES - 1))] for at in range(KEPT_VALUES))
    return Distribution(
        n=n,
        mean=float(sum(map(Fraction, ordered)) / n),
        p50=quantile(ordered, Fraction(1, 2)),
        p95=quantile(ordered, Fraction(19, 20)),
        values=kept,
    )
