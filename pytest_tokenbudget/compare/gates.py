"""From a budget to the gates of one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from pytest_tokenbudget.records.gate import ANY_TOOL, TOOL_PREFIX, Budget, Gate, Metric, Rule

T = TypeVar("T")


def expand(
    budget: Budget, *, stages: Collection[str], default_metrics: Iterable[str], tools: Collection[tuple[str, str]] = ()
) -> tuple[Gate, ...]:
    """All gates of a run: the default ones for the whole test and each stage, and those that the user named.

    Args:
        budget: What the test's markers say.
        stages: Paths of all stages that the run opened or that the baseline knows.
        default_metrics: Names of the metrics that are gated by default.
        tools: Stage and name of each tool that was or is offered; what ``tools.*`` stands for.

    Returns:
        The gates, in the order limits, targets, increases; each sorted by stage and metric. A rule for a metric beats
        one for ``*``, which beats the default one; ``off`` removes a gate.
    """
    return _expanded(_with_tools(budget, tools), tuple(stages), tuple(default_metrics))


def names_any_tool(budget: Budget) -> bool:
    """Whether a budget has a rule for each tool."""
    return any(metric.name == ANY_TOOL for pairs in (budget.rules, budget.limit, budget.reduce) for metric, _ in pairs)


def _with_tools(budget: Budget, tools: Collection[tuple[str, str]]) -> Budget:
    """The budget with each ``tools.*`` replaced by the tools that are known; a rule for a tool by its name stays."""
    if not names_any_tool(budget):
        return budget

    def each(pairs: tuple[tuple[Metric, T], ...]) -> tuple[tuple[Metric, T], ...]:
        found: list[tuple[Metric, T]] = []
        own = {metric for metric, _ in pairs}
        for metric, value in pairs:
            if metric.name != ANY_TOOL:
                found.append((metric, value))
                continue
            for stage, tool in sorted(tools):
                one = Metric(stage, f"{TOOL_PREFIX}{tool}", metric.statistic)
                if metric.stage in (stage, "*") and one not in own:
                    found.append((one, value))
        return tuple(found)

    return replace(budget, rules=each(budget.rules), limit=each(budget.limit), reduce=each(budget.reduce))


@lru_cache(maxsize=256)
def _expanded(budget: Budget, stages: tuple[str, ...], default_metrics: tuple[str, ...]) -> tuple[Gate, ...]:
    """The same, once for all tests of a session that have the same marker and stages."""
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
        *(Gate(metric, "limit", ceiling=ceiling) for metric, ceiling in _expand_stars(budget.stop_at, stages)),
        *(Gate(metric, "limit", ceiling=ceiling) for metric, ceiling in _expand_stars(budget.limit, stages)),
        *(Gate(metric, "reduce", reduction=reduction) for metric, reduction in _expand_stars(budget.reduce, stages)),
        *(
            Gate(metric, "max_increase", rule=rule, explicit=explicit)
            for metric, (_, rule, explicit) in sorted(increases.items(), key=lambda pair: pair[0])
            if not rule.off
        ),
    ]
    return tuple(gates)


def _expand_stars(pairs: Iterable[tuple[Metric, Fraction]], stages: Collection[str]) -> list[tuple[Metric, Fraction]]:
    expanded: dict[Metric, Fraction] = {}
    for metric, value in pairs:
        if metric.stage == "*":
            for stage in stages:
                expanded.setdefault(replace(metric, stage=stage), value)
        else:
            expanded[metric] = value
    return sorted(expanded.items(), key=lambda pair: pair[0])
