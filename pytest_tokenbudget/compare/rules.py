"""Reads rules and quantities (``"10%"``, ``"10% +200"``, ``"30s"``, ``"$0.02"``), and gives the gates that a budget means."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from math import isfinite
from typing import TypeVar

from pytest_tokenbudget.records.composition import within
from pytest_tokenbudget.records.gate import ANY_TOOL, TOOL_PREFIX, Budget, Gate, Metric, Rule, is_tool_metric
from pytest_tokenbudget.records.sample import Sample

_NUMBER = r"\d[\d_]*(?:\.\d+)?|\.\d+"
_PERCENT = re.compile(rf"\+?\s*({_NUMBER})\s*%")
_QUANTITY = re.compile(rf"(\$)?\s*({_NUMBER})\s*(us|µs|ms|s|min|k|M|USD|tokens)?")
_UNIT_SCALE: dict[str, dict[str, Fraction]] = {
    "s": {
        "us": Fraction(1, 10**6),
        "µs": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
    },
    "USD": {"USD": Fraction(1)},
    "tokens": {"tokens": Fraction(1), "k": Fraction(1000), "M": Fraction(10**6)},
    "count": {"k": Fraction(1000), "M": Fraction(10**6)},
}
RULE_FORMS = '"10%", 0.10, "+200", "10% +200", "0" or "off"'


def parse_rule(value: object, *, unit: str) -> Rule:
    """Parse a rule of ``max_increase``.

    Args:
        value: ``"10%"``, ``0.10``, ``"+200"`` (absolute slack in the metric's unit), ``"10% +200"`` (both must be
            passed), ``"0"`` or ``"off"``.
        unit: Unit of the metric: ``tokens``, ``count``, ``s`` or ``USD``.

    Returns:
        The rule.

    Raises:
        ValueError: If it is none of these; the message says what is allowed.
    """
    refused = ValueError(f"{value!r} is no rule; write {RULE_FORMS}")
    if isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        if not isfinite(value) or value < 0:
            raise refused
        if isinstance(value, int) and value != 0:
            raise ValueError(f'{value!r} would mean +{value * 100} %; write "{value}%" or "+{value}"')
        return Rule(value if isinstance(value, Fraction) else Fraction(str(value)))
    if not isinstance(value, str):
        raise refused
    text = value.strip()
    if text == "off":
        return Rule(off=True)
    if text in ("0", "+0", "0%", "+0%"):
        return Rule()
    fraction, slack, rest = Fraction(0), Fraction(0), text
    if match := _PERCENT.match(rest):
        fraction = Fraction(match[1].replace("_", "")) / 100
        rest = rest[match.end() :].strip()
        if not rest:
            return Rule(fraction)
    if not rest.startswith("+"):
        raise refused
    slack = parse_quantity(rest[1:].strip(), unit=unit)
    return Rule(fraction, slack)


def parse_quantity(value: object, *, unit: str) -> Fraction:
    """Parse an absolute value of a metric: ``12000``, ``"30s"``, ``"1500ms"``, ``"$0.02"``, ``"12k"``.

    Args:
        value: What the user wrote.
        unit: Unit of the metric: ``tokens``, ``count``, ``s`` or ``USD``; another metric's unit is an error.

    Returns:
        The value in the metric's unit, exact.

    Raises:
        ValueError: If it cannot be understood or has the wrong unit.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        raise ValueError(f"{value!r} is no quantity in {unit}")
    if not isinstance(value, str):
        if not isfinite(value) or value < 0:
            raise ValueError(f"{value!r} is no quantity in {unit}: it must be finite and not negative")
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no quantity in {unit}")
    dollar, number, suffix = match[1], Fraction(match[2].replace("_", "")), match[3]
    if dollar and unit != "USD":
        raise ValueError(f"{value!r} is an amount of money, the metric's unit is {unit}")
    if suffix is None:
        return number
    scale = _UNIT_SCALE.get(unit, {}).get(suffix)
    if scale is None:
        raise ValueError(f"{value!r} has the unit {suffix}, the metric's unit is {unit}")
    return number * scale


def parse_reduction(value: object) -> Fraction:
    """Parse a wanted reduction: ``"30%"`` or ``0.30``, more than 0 and at most all of it.

    Raises:
        ValueError: If it is neither.
    """
    fraction: Fraction | None = None
    if isinstance(value, Fraction):
        fraction = value
    elif isinstance(value, float) and isfinite(value):
        fraction = Fraction(str(value))
    elif isinstance(value, str) and (match := re.fullmatch(rf"-?\s*({_NUMBER})\s*%", value.strip())):
        fraction = Fraction(match[1].replace("_", "")) / 100
    elif isinstance(value, str) and re.fullmatch(r"0?\.\d+", value.strip()):
        fraction = Fraction(value.strip())
    if fraction is None or not 0 < fraction <= 1:
        raise ValueError(f'{value!r} is no reduction; write "30%" or 0.30')
    return fraction


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
    if names_any_tool(budget):
        each = partial(_with_tools, tools=sorted(tools))
        budget = replace(budget, rules=each(budget.rules), limit=each(budget.limit), reduce=each(budget.reduce))
    return _expanded(budget, tuple(stages), tuple(default_metrics))


def names_any_tool(budget: Budget) -> bool:
    """Tell whether a budget has a rule for each tool."""
    return ANY_TOOL in [metric.name for metric, _ in (*budget.rules, *budget.limit, *budget.reduce)]


def _with_tools(pairs: tuple[tuple[Metric, T], ...], tools: Iterable[tuple[str, str]]) -> tuple[tuple[Metric, T], ...]:
    """Pairs with each ``tools.*`` replaced by the tools that are known; a rule for a tool by its name stays."""
    found: list[tuple[Metric, T]] = []
    own = {metric for metric, _ in pairs}
    for metric, value in pairs:
        if metric.name != ANY_TOOL:
            found.append((metric, value))
            continue
        for stage, tool in tools:
            one = Metric(stage, f"{TOOL_PREFIX}{tool}", metric.statistic)
            if metric.stage in (stage, "*") and one not in own:
                found.append((one, value))
    return tuple(found)


@lru_cache(maxsize=256)
def _expanded(budget: Budget, stages: tuple[str, ...], default_metrics: tuple[str, ...]) -> tuple[Gate, ...]:
    """Expand a budget, once for all tests of a session that have the same marker and stages."""
    increases: dict[Metric, tuple[Rule, bool]] = {}
    if budget.default_rule is not None:
        for name in default_metrics:
            increases |= {Metric(stage, name): (budget.default_rule, False) for stage in ("", *stages)}
    # A rule for each stage first, so that one for a stage by its name beats it.
    for metric, rule in sorted(budget.rules, key=lambda pair: pair[0].stage != "*"):
        if metric.stage == "*":
            increases |= {replace(metric, stage=stage): (rule, False) for stage in stages}
        else:
            increases[metric] = (rule, True)
    limits = [*_expand_stars(budget.stop_at, stages), *_expand_stars(budget.limit, stages)]
    return (
        *[Gate(metric, "limit", ceiling=ceiling) for metric, ceiling in limits],
        *[Gate(metric, "reduce", reduction=reduction) for metric, reduction in _expand_stars(budget.reduce, stages)],
        *[
            Gate(metric, "max_increase", rule=rule, explicit=explicit)
            for metric, (rule, explicit) in sorted(increases.items())
            if not rule.off
        ],
    )


def _expand_stars(pairs: Iterable[tuple[Metric, Fraction]], stages: Collection[str]) -> list[tuple[Metric, Fraction]]:
    expanded: dict[Metric, Fraction] = {}
    for metric, value in pairs:
        if metric.stage == "*":
            for stage in stages:
                expanded.setdefault(replace(metric, stage=stage), value)
        else:
            expanded[metric] = value
    return sorted(expanded.items(), key=lambda pair: pair[0])


def why_absent(gate: Gate, opened: Collection[str], samples: Sequence[Sample]) -> str:
    """Say why a gate holds nothing: its stage was never opened, or it limits a tool that no request offers; else ``""``.

    Args:
        gate: A gate that a marker names.
        opened: Stages that the run opened.
        samples: The samples of this run.
    """
    stage, name = gate.metric.stage, gate.metric.name
    if stage and stage not in opened:
        return f"stage {stage!r} was never opened; opened: {', '.join(sorted(opened)) or 'none'}"
    if gate.kind != "limit" or not is_tool_metric(name):
        return ""
    found = [within(sample.composition, stage) for sample in samples]
    tools = {part.name for each in found if each is not None for part in each.parts if part.part == "tools"}
    tool = name.removeprefix(TOOL_PREFIX)
    return "" if tool in tools else f"no request offers a tool {tool!r}; offered: {', '.join(sorted(tools)) or 'none'}"
