"""From a budget to the gates of one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fractions import Fraction

from pytest_tokenbudget.records.gate import Budget, Gate, Metric, Rule


def expand(budget: Budget, *, stages: Collection[str], default_metrics: Iterable[str]) -> tuple[Gate, ...]:
    """All gates of a run: the default ones for the whole test and each stage, and those that the user named.

    Args:
        budget: What the test's markers say.
        stages: Paths of all stages that the run opened or that the baseline knows.
        default_metrics: Names of the metrics that are gated by default.

    Returns:
        The gates, in the order limits, targets, increases; each sorted by stage and metric. A rule for a metric beats
        one for ``*``, which beats the default one; ``off`` removes a gate.
    """
    increases: dict[Metric, tuple[int, Rule, bool]] = {}

    def put(metric: Metric, rule: Rule, rank: int, *, explicit: bool) -> None:
        if metric not in increases or increases[metric][0] <= rank:
            increases[metric] = (rank, rule, explicit)

    if budget.default_rule is not None:
        for name in default_metrics:
            for stage in ("", *stages):
                put(Metric(stage, name), budget.default_rule, 0, explicit=False)
    for metric, rule in budget.rules:
        if metric.stage == "*":
            for stage in stages:
                put(replace(metric, stage=stage), rule, 1, explicit=False)
        else:
            put(metric, rule, 2, explicit=True)
    gates = [
        *(Gate(metric, "limit", ceiling=ceiling) for metric, ceiling in _each(budget.stop_at, stages)),
        *(Gate(metric, "limit", ceiling=ceiling) for metric, ceiling in _each(budget.limit, stages)),
        *(Gate(metric, "reduce", reduction=reduction) for metric, reduction in _each(budget.reduce, stages)),
        *(
            Gate(metric, "max_increase", rule=rule, explicit=explicit)
            for metric, (_, rule, explicit) in sorted(increases.items(), key=lambda pair: pair[0])
            if not rule.off
        ),
    ]
    return tuple(gates)


def _each(pairs: Iterable[tuple[Metric, Fraction]], stages: Collection[str]) -> list[tuple[Metric, Fraction]]:
    expanded: dict[Metric, Fraction] = {}
    for metric, value in pairs:
        if metric.stage == "*":
            for stage in stages:
                expanded.setdefault(replace(metric, stage=stage), value)
        else:
            expanded[metric] = value
    return sorted(expanded.items(), key=lambda pair: pair[0])
