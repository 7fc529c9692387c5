"""The options of an A/B run: targets and rules that are added to each test's own, and what an earlier report suspects."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from pytest_tokenbudget.ab.paired_test import GateKey
from pytest_tokenbudget.compare.rules import parse_reduction, parse_rule
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, MetricSpec, parse_metric
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL


@dataclass(frozen=True, slots=True)
class AbOptions:
    """Targets and rules that hold for every test.

    Attributes:
        default_rule: Rule of the default gates; ``None`` leaves each test's own.
        rules: Rules by metric, beside the test's own.
        reduce: Wanted reductions by metric; a test's own are against a stored reference and do not count here.
        max_samples: Most pairs that are run.
    """

    default_rule: Rule | None = None
    rules: tuple[tuple[Metric, Rule], ...] = ()
    reduce: tuple[tuple[Metric, Fraction], ...] = ()
    max_samples: int = 30

    def on(self, budget: Budget, *, base: str, stages: Collection[str]) -> Budget:
        """A test's budget in this run.

        Args:
            budget: What its markers say.
            base: Name of the base.
            stages: Stages that the test opened on either side; a target for a stage of other tests is not for this one.
        """
        return replace(
            budget,
            default_rule=budget.default_rule if self.default_rule is None else self.default_rule,
            rules=(*budget.rules, *((metric, rule) for metric, rule in self.rules if _here(metric, stages))),
            reduce=tuple((metric, wanted) for metric, wanted in self.reduce if _here(metric, stages)),
            against=base,
            samples=None,
            max_samples=self.max_samples,
        )

    def check_stages(self, opened: Collection[str]) -> None:
        """See that each named stage exists in at least one test.

        Raises:
            ABError: If one does not; it names those that do.
        """
        for metric, _ in (*self.reduce, *self.rules):
            if not _here(metric, opened):
                raise ABError(
                    f"{metric}: no test opened the stage {metric.stage!r}; opened: {', '.join(sorted(filter(None, opened))) or 'none'}",
                    remedy="check its name",
                )


def _here(metric: Metric, stages: Collection[str]) -> bool:
    return metric.stage in ("", "*") or metric.stage in stages


def parse_options(
    increases: Sequence[str], reductions: Sequence[str], *, max_samples: int, table: Mapping[str, MetricSpec]
) -> AbOptions:
    """Parse the options.

    Args:
        increases: ``METRIC=RULE``, or ``RULE`` for the default gates.
        reductions: ``METRIC=30%``.
        max_samples: Most pairs.
        table: The known metrics.

    Raises:
        ABError: If one cannot be understood.
    """
    default: Rule | None = None
    rules, reduce = [], []
    for text in increases:
        name, sign, rule = text.rpartition("=")
        try:
            if not sign:
                default = parse_rule(rule, unit="count")
            else:
                metric = parse_metric(name, table)
                rules.append((metric, parse_rule(rule, unit=table[metric.name].unit)))
        except ValueError as error:
            raise ABError(f"--max-increase {text}: {error}", remedy="--max-increase worker.latency=20%") from None
    for text in reductions:
        name, sign, wanted = text.rpartition("=")
        try:
            if not sign:
                raise ValueError("no metric is named")
            reduce.append((parse_metric(name, table), parse_reduction(wanted)))
        except ValueError as error:
            raise ABError(f"--reduce {text}: {error}", remedy="--reduce worker.input_tokens=30%") from None
    if max_samples < 1:
        raise ABError(f"--max-samples {max_samples}: at least one pair is needed", remedy="--max-samples 12")
    return AbOptions(default, tuple(rules), tuple(reduce), max_samples)


_TIMED = frozenset(spec.name for spec in BUILTIN_METRICS if spec.timed and spec.name != "latency")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The tests and gates that a report suspects.

    Attributes:
        gates: Suspected gates by node id.
        family: Number of gates of the whole report that compared live times: the level is shared out among them.
    """

    gates: Mapping[str, frozenset[GateKey]]
    family: int


def suspicion(path: Path) -> Suspicion:
    """Read what is to be confirmed from a JSON report.

    A gate is suspected where it was called a regression, or where it was left undecided with a value above what is
    allowed and a p-value at which screening stops (0.05).

    Raises:
        ABError: If the report cannot be read.
    """
    try:
        tests = json.loads(path.read_text(encoding="utf-8"))["tests"]
        gates: dict[str, frozenset[GateKey]] = {}
        family = 0
        for test in tests:
            judged = test["gates"]
            family += sum(_timed(gate) for gate in judged)
            suspected = frozenset((str(gate["metric"]), str(gate["statistic"])) for gate in judged if _suspected(gate))
            if suspected:
                gates[str(test["nodeid"])] = suspected
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"is no report of pytest-tokenbudget ({type(error).__name__}: {str(error)[:200]})"
        if isinstance(error, OSError):
            what = error.strerror or "cannot be read"
        raise ABError(
            f"--confirm {path}: {what}", remedy="write it with `pytest --tokenbudget-report=report.json`"
        ) from None
    return Suspicion(gates, max(1, family))


def _timed(gate: Mapping[str, Any]) -> bool:
    return gate["kind"] == "max_increase" and not gate["exact"] and gate["metric"].rpartition(".")[2] in _TIMED


def _suspected(gate: Mapping[str, Any]) -> bool:
    if gate["kind"] != "max_increase":
        return False
    if gate["verdict"] == "regression":
        return True
    value, allowed, p = gate["value"], gate["allowed"], gate["p"]
    above = value is not None and allowed is not None and value > allowed
    return bool(gate["verdict"] == "inconclusive" and above and (p is None or p < SCREENING_LEVEL))
